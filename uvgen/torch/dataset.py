"""Shards as a PyTorch data set. Import it from `uvgen.torch`."""

import operator
import os
from collections.abc import Iterable, Sequence
from functools import cache
from multiprocessing.context import get_spawning_popen
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch.utils.data import Dataset, get_worker_info

from uvgen.checks import seed_number, true_or_false
from uvgen.datasets.fields import MAP_PARAMETERS
from uvgen.datasets.open import ADDED, check_added, open_shards
from uvgen.datasets.targets import remaking_targets
from uvgen.errors import InputError
from uvgen.fixed_point import FixedPoint, decode
from uvgen.maps.labels import crop_pose
from uvgen.maps.target_layouts import TARGETS, target_layouts
from uvgen.models.load import as_model
from uvgen.normalization import AUTO, Normalization, image_choice
from uvgen.shards.makers import Maker
from uvgen.shards.reader import naming
from uvgen.shards.stored import ReadAhead
from uvgen.torch.augmenter import MOVED, AugmentationLike, Augmenter
from uvgen.torch.batches import LazySamples, PackedBatch, as_tensors
from uvgen.torch.memory import Buffers, Layout, Slots
from uvgen.torch.shared_pickle import SharedPickle
from uvgen.torch.targets import Targets
from uvgen.torch.values import Values
from uvgen.wording import count

if TYPE_CHECKING:
    from uvgen.maps.mirror import TexelMirror
    from uvgen.maps.targets import TargetMaker
    from uvgen.models.morphable import MorphableModel

PARAMETERS = MAP_PARAMETERS
"""Fields that a `PositionMapLayer` takes, in its order."""


class ShardDataset(Dataset[dict[str, Any]]):
    """Samples of a data set as dicts of tensors, by index.

    A sample has, R being the crop's and U the map's side,

    - ``image`` (3, R, R) float32, or uint8 if `compact`, RGB;
    - ``posmap`` (3, U, U) float32, or uint16 if `compact`: x, y, z; if maps are stored, or made with `model`;
    - ``uv`` (2, R, R), ``normals`` (3, R, R), ``depth`` (R, R), ``pncc`` (3, R, R) float32 in their own units, or
      their codes if `compact`; ``parts`` (R, R) uint8, ``covered`` (R, R) and ``visibility`` (U, U) bool: where the
      set has them (``uvgen build --targets``);
    - ``weight_mask`` (U, U) float32;
    - ``landmarks`` (68, 3) float32, px of the crop, whatever `normalize` is;
    - ``shape``, ``expression``, ``pose``, ``crop_pose``, ``image_to_crop``, ``image_height``, ``name``: as stored;
      ``crop_pose`` and ``image_to_crop`` follow an augmentation, and ``flipped`` () bool says that the sample was
      mirrored after ``image_to_crop``;
    - ``image_scale``, ``image_offset``, ``posmap_scale``, ``posmap_offset`` () float32, or (3,) if each channel has
      its own: pixel value 0 to 255 = image * image_scale + image_offset, px = posmap * posmap_scale + posmap_offset. So
      every normalization, and the compact form, can be undone: `uvgen.denormalize` does it, for predictions too, and
      `to_float` leads from each to each.

    Safe under fork, spawn and forkserver: each process opens the files for itself. A `DataLoader` without a
    `collate_fn` of its own gets batches that were written straight into memory which workers share with the training
    process and use again; that is several times as fast as samples one by one.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` or ``uvgen augment`` made.
    model : MorphableModel or path-like, optional
        The model that the set was built with: makes maps that are not stored, a batch at a time, mirrors maps if the
        augmentation flips, and draws per-pixel targets anew if there is an augmentation.
    augmentation : object with `draw`, and `apply` if it is not uvgen's, optional
        Such as ``uvgen.augment.Augmentation.preset("prnet")``. Every epoch draws anew, see `set_epoch`. What "image"
        occluders show is another sample of the same shard.
    source : path-like, optional
        The folder or list that was ``uvgen build``'s ``--data``: augmented crops are then sampled from the original
        images, once, instead of from the stored crops, which end at their edges. An image is then decoded for each
        sample; the first in each process is compared with the stored crop, and refused if it is another.
    seed : int
        Random seed of the augmentation.
    normalize : {"size", "prnet", "reshow", "unit", None} or uvgen.Normalization
        Normalization of the map: divided by R, by 1.1 R, by 280/256 R; all that uint16 maps hold onto 0 to 1; px; or
        one of your own. See `uvgen.Normalization.of_maps`. Values outside its usual range are not clipped, even if an
        augmentation moved them there.
    image_normalize : {"auto", "unit", "imagenet", "standardize", None}
        Normalization of the image: "unit" (None, if `normalize` is None); / 255; ImageNet's mean and deviation; each
        channel of each image by its own mean and deviation, which undoes channel gains of an augmentation; 0 to 255.
        See `uvgen.Normalization.of_image`.
    compact : bool
        Hand over uint8 images and uint16 maps, three and two times smaller, in `channels_last` layout; `to_float`
        makes floats of them on the device. Normalizing is then left to it.
    channels_last : bool
        Tensors keep the shapes above and lie in memory as ``torch.channels_last``, as they are stored: not a byte
        is moved for it.
    weight_mask : bool
        Whether samples hold the mask, 0.26 MB each at 256 texels. It is the same for all: ``dataset.weight_mask``,
        moved to the device once, works as well.
    names, split
        Which samples, as for `uvgen.open_shards`: ``split="train"`` takes those of the folder's ``splits.json``.
    untrusted : bool
        Read the shards, and `model` if it is a file, in child processes: see `uvgen.open_shards`. Each worker of a
        `DataLoader` has one of its own, from its first sample on until it ends.

    Raises
    ------
    DatasetError
        If the folder is not a data set; on reading, if a shard is missing or damaged.
    ModelError
        If the model is not the set's, or does not say which vertices mirror each other and the augmentation flips.
    InputError
        If a normalization, a name or the split is unknown, the set has no images, `source` cannot be used, or maps
        are to be flipped, or per-pixel targets augmented, without a model.

    Attributes
    ----------
    reader : ShardReader
        The samples as arrays.
    weight_mask : (U, U) float32 tensor or None
        The loss weights of all samples.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        model: "MorphableModel | str | os.PathLike[str] | None" = None,
        augmentation: AugmentationLike | None = None,
        source: str | os.PathLike[str] | None = None,
        seed: int = 0,
        normalize: "str | Normalization | None" = "size",
        image_normalize: str | None = AUTO,
        compact: bool = False,
        channels_last: bool = False,
        weight_mask: bool = True,
        names: Iterable[str] | str | os.PathLike[str] | None = None,
        split: str | None = None,
        untrusted: bool = False,
    ) -> None:
        seed = seed_number(seed)
        compact, channels_last = true_or_false(compact, "compact"), true_or_false(channels_last, "channels_last")
        weight_mask = true_or_false(weight_mask, "weight_mask")
        image_choice(image_normalize, normalize)
        Normalization.of_maps(normalize, 1)  # before anything is opened
        model = None if model is None else as_model(model, untrusted=untrusted)
        self.reader = open_shards(path, model, names=names, split=split, untrusted=untrusted)
        self._size = self.reader.config.build.size
        self._values = Values(normalize, image_normalize, self._size, compact=compact, channels_last=channels_last)
        fields = self.reader.fields
        if fields and "image" not in fields:
            raise InputError(f"{path}: the data set has no images, only {', '.join(fields)}")
        self._large: dict[str, Any] = {name: fields[name] for name in ("image", "posmap") if name in fields}
        build = self.reader.config.build
        targets = target_layouts([name for name in TARGETS if name in fields], build.size, build.uv_size)
        self._small = [name for name in fields if name not in self._large and name not in targets]
        check_added(path, self._small, (*ADDED, *["weight_mask"] * weight_mask))
        attributes_of = {name: self.reader.attributes(name) for name in self._small}
        self._coded = {name: found for name, found in attributes_of.items() if "scale_factor" in found}
        self._maker = self.reader.made.get("posmap") if fields else None
        if self._maker is not None:
            self._large["posmap"] = self._maker.layout
        self._map_attributes = self.reader.attributes("posmap") if "posmap" in fields else {}
        if augmentation is None and source is not None:
            raise InputError("source: goes with an augmentation; stored crops are the same without")
        self._augmenter: Augmenter | None = None
        target_maker: TargetMaker | None = None  # only if samples move: else they are read
        if augmentation is not None:
            mirrors = "posmap" in self._large or "unseen" in fields
            self._augmenter = Augmenter(augmentation, self.reader, seed, source, model=model, needs_mirror=mirrors)
            target_maker = remaking_targets(model, build)
        self._targets = Targets(targets, self._size, compact=compact, maker=target_maker)
        mask = self.reader.constants.get("weight_mask")
        self.weight_mask = None if mask is None else torch.from_numpy(mask)
        self._masks = self.weight_mask if weight_mask else None
        # Shared memory: set_epoch reaches workers that are running already (persistent_workers=True).
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._buffers, self._slots = Buffers(), Slots()
        self._shared: SharedPickle | None = None  # the reader, as worker processes that are spawned get it

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def mirror(self) -> "TexelMirror | None":
        """The mirror that flips maps, if the augmentation flips; `mirror.error_px` is its accuracy."""
        return None if self._augmenter is None else self._augmenter.mirror

    @property
    def shard_samples(self) -> tuple[int, ...]:
        """Number of samples in each shard, in the order of the samples."""
        return self.reader.shard_samples

    def __repr__(self) -> str:
        sides = {"image": self._size, "posmap": self.reader.config.build.uv_size}
        large = "".join(
            f", {name} (3, {side}, {side}) {str(self._values.dtype(name)).removeprefix('torch.')}"
            for name, side in sides.items()
            if name in self._large
        )
        augmented = "" if self._augmenter is None else ", augmented"
        return f"<ShardDataset of {str(self.reader.folder)!r}: {count(len(self), 'sample')}{large}{augmented}>"

    def __getitem__(self, index: int | str | slice | Sequence[int] | NDArray[np.integer]) -> dict[str, Any]:
        """One sample, by its number or its name; for a slice or several numbers, their `batch`."""
        if isinstance(index, slice):
            return self.batch(range(*index.indices(len(self))))
        if not isinstance(index, int | str) and np.ndim(index) == 1:
            return self.batch(index)  # type: ignore[arg-type]
        number = self.reader.number(index)  # type: ignore[arg-type]  # what else it may be, this refuses
        large, rows = self._filled([number])
        return as_tensors(
            {name: tensor[0] for name, tensor in large.items()},
            {name: v[0] if isinstance(v, list) else v.reshape(v.shape[1:]) for name, v in rows.items()},
            self._values.interleaved,
        )

    def __getitems__(self, indices: Sequence[int]) -> LazySamples:
        """The samples of a batch, as a `DataLoader` requests them for its `collate_fn`."""
        read_all = self.batch if get_worker_info() is None else self._packed
        return LazySamples([operator.index(index) for index in indices], self.__getitem__, read_all)

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_shared": None}
        if get_spawning_popen() is not None:  # for a worker process: what grows with the set is shared with it
            self._shared = self._shared or SharedPickle(self.reader)
            state["reader"] = self._shared
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(shared := state["reader"], SharedPickle):
            state = {**state, "reader": shared.load()}
        self.__dict__.update(state)
        if not self._epoch.is_shared():  # a copy is no worker's: it may have workers of its own
            self._epoch.share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which augmentations depend, in all workers. Call it before iterating."""
        self._epoch.fill_(seed_number(epoch, "epoch"))

    def read_ahead(self, indices: Iterable[int]) -> ReadAhead | None:
        """Begin to fetch the shards of samples that will be read in this order; see `ShardReader.read_ahead`."""
        return self.reader.read_ahead(indices)

    def batch(self, indices: Sequence[int]) -> dict[str, Any]:
        """Samples stacked along a new first axis; names become a list.

        Parameters
        ----------
        indices : sequence of int
            One or more; as for a list, negative ones count from the end.

        Returns
        -------
        dict

        Raises
        ------
        IndexError
            If there is no such sample.
        DatasetError
            If a shard is missing or damaged.
        SampleError
            If a sample's original image (`source`) cannot be used.
        InputError
            If there are no indices.
        """
        return as_tensors(*self._filled(indices), self._values.interleaved)

    def _filled(self, indices: Sequence[int]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        large = {name: self._buffers.take(*place) for name, place in self._layout(len(indices)).items()}
        return large, self._read(indices, large)

    def _packed(self, indices: Sequence[int]) -> PackedBatch:
        """`batch` in shared memory, to be sent to another process."""
        parcel = self._slots.take(self._layout(len(indices)))
        rows = self._read(indices, parcel.tensors())
        return PackedBatch(parcel, rows, self._values.interleaved)

    def _layout(self, n: int) -> Layout:
        """Shapes of a batch's images, maps and masks in memory."""
        if n == 0:
            raise InputError("indices: none, expected one or more")
        result: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
        for name, (shape, _) in self._large.items():
            result[name] = (n, *self._values.shape(shape)), self._values.dtype(name)
        result |= self._targets.memory(n)
        if self._masks is not None:  # a copy for each sample: whoever gets it may change it, or pin its memory
            result["weight_mask"] = (n, *self._masks.shape), self._masks.dtype
        return result

    def _read(self, indices: Sequence[int], large: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Fill images, maps and masks; return the other fields."""
        numbers = [self.reader.number(index) for index in indices]
        if self._augmenter is not None and not self._augmenter.takes_codes:
            return self._read_rows(numbers, large)  # an error may be about what the user's augmentation returned
        with naming(self.reader.folder):
            return self._read_rows(numbers, large)

    def _read_rows(self, indices: Sequence[int], large: dict[str, torch.Tensor]) -> dict[str, Any]:
        n = len(indices)
        if self._masks is not None:
            np.copyto(large["weight_mask"].numpy(), self._masks.numpy())
        rows = self.reader.gather(indices, self._small)
        rows |= {name: decode(rows[name], attributes) for name, attributes in self._coded.items()}
        if self._augmenter is not None and "flipped" not in rows:
            rows["flipped"] = np.zeros(n, np.bool_)
        places_of = {name: tensor.numpy() for name, tensor in large.items() if name in self._large}
        for name in places_of:
            shape = (2, n, *self._values.numbers_shape(name))
            rows[f"{name}_scale"], rows[f"{name}_offset"] = np.empty(shape, np.float32)
        made = None if self._maker is None else self._made_maps(self._maker, rows, n)
        for k, index in enumerate(indices):
            places = {name: values[k] for name, values in places_of.items()}
            self._read_sample(index, k, rows, None if made is None else made[k], places)
        self._targets.fill(self.reader, indices, rows, large)
        if self._augmenter is not None and "crop_pose" in rows:
            pose, similarity, height = rows["pose"], rows["image_to_crop"], rows["image_height"]
            config = self.reader.config.build
            rows["crop_pose"][:] = crop_pose(pose, similarity, height, config.size, config.convention, rows["flipped"])
        return rows

    def _made_maps(self, maker: Maker, rows: dict[str, Any], n: int) -> NDArray[np.float32]:
        if get_worker_info() is not None:
            _limit_threads()
        shape, dtype = self._large["posmap"]
        return maker(rows, out=self._buffers.borrow("made maps", (n, *shape), dtype))

    def _read_sample(
        self, index: int, k: int, rows: dict[str, Any], made: NDArray[np.float32] | None, out: dict[str, NDArray[Any]]
    ) -> None:
        """Read, augment and write sample `index`, number k of its batch."""
        scale, offset = self._map_scale
        position_map: NDArray[Any] | None = made
        if made is None and "posmap" in self._large:
            position_map = self._stored(index, "posmap", out["posmap"] if self._augmenter is None else None)
        if self._augmenter is None:
            image = self._stored(index, "image", out["image"])
        else:
            image, position_map = self._augmented(self._augmenter, index, k, rows, position_map, out["image"])
            scale, offset = 1.0, 0.0
        rows["image_scale"][k], rows["image_offset"][k] = self._values.write_image(image, out["image"])
        if position_map is not None:
            written = self._values.write_map(position_map, scale, offset, out["posmap"])
            rows["posmap_scale"][k], rows["posmap_offset"][k] = written

    def _augmented(
        self,
        augmenter: Augmenter,
        index: int,
        k: int,
        rows: dict[str, Any],
        position_map: NDArray[Any] | None,
        image_out: NDArray[Any],
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """Image and map, px, of an augmented sample; its other fields are changed where they stand."""
        draw = augmenter.draw(rows["name"][k], int(self._epoch))
        if position_map is not None and not augmenter.takes_codes:
            position_map = decode(position_map, self._map_attributes)
        row = {name: rows[name][k] for name in ("source", "image_to_crop", "image_height")}
        image, similarity, reduced = augmenter.image(lambda: self._stored(index, "image"), row, draw)
        other = None
        if getattr(draw, "needs_other", False):
            first, stop = self.reader.shard_range(index)
            number = draw.other_sample(self.reader.number(index) - first, stop - first)
            if number is not None:
                other = self._stored(first + number, "image", self._borrow("image", "other"))
        changed = augmenter.apply(
            draw,
            image,
            similarity,
            reduced,
            position_map,
            rows["landmarks"][k],
            other=other,
            image_out=image_out if image_out.dtype == np.uint8 else self._borrow("image", "augmented"),
            map_out=None if position_map is None else self._borrow("posmap", "augmented", np.float32),
        )
        rows["landmarks"][k] = changed.landmarks
        for name, moved in augmenter.move(draw, {name: rows[name][k] for name in MOVED if name in rows}).items():
            rows[name][k] = moved
        composed, flipped = augmenter.compose(draw, rows["image_to_crop"][k], bool(rows["flipped"][k]))
        rows["image_to_crop"][k], rows["flipped"][k] = composed, flipped
        return changed.image, changed.position_map

    def _stored(self, index: int, name: str, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """A field as it is stored; in `out`, if its bytes are those that it takes."""
        if out is None or out.dtype != self._large[name][1] or self._large[name][1] == np.float32:
            out = self._borrow(name, "stored")
        stored: NDArray[Any] = self.reader.read(index, name, out)
        return stored

    def _borrow(self, name: str, use: str, dtype: Any = None) -> NDArray[Any]:
        shape, stored_dtype = self._large[name]
        return self._buffers.borrow(f"{use} {name}", shape, np.dtype(dtype or stored_dtype))

    @property
    def _map_scale(self) -> tuple[float, float]:
        return FixedPoint.of_attributes(self._map_attributes) or (1.0, 0.0)


@cache
def _limit_threads() -> None:
    """Limit BLAS to one thread in this worker process, as PyTorch limits itself: more would slow the other workers."""
    threadpool_limits(1, user_api="blas")
