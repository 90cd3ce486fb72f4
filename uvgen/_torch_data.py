"""Shards as a PyTorch data set. Import it from `uvgen.torch`."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, default_collate, get_worker_info

from uvgen import _kernels
from uvgen._torch_values import Buffers, check_normalize, encode, mean_and_deviation
from uvgen.errors import DatasetError, InputError
from uvgen.open_shard import decode
from uvgen.reader import ShardReader, open_shards

PARAMETERS = ("shape", "expression", "pose", "crop", "image_height")
"""Fields that a `PositionMapLayer` takes, in its order."""


class Augmentation(Protocol):
    """What `ShardDataset` asks of an augmentation; `uvgen.augment.Augmentation` is one, with `uvgen.augment.apply`."""

    def draw(self, seed: int, name: str, epoch: int, size: int) -> Any:
        """Random numbers for one sample with a crop of `size` px.

        ``draw.similarity`` is the (3, 3) map from crop to augmented crop, before mirroring where ``draw.flip``.
        """

    def apply(
        self, draw: Any, image: NDArray[np.uint8], position_map: NDArray[np.float32] | None, landmarks: Any
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None, NDArray[np.float32]]:
        """Image (R, R, 3) uint8, map (U, U, 3) float32 px or None, and landmarks (68, 3) float32 px, changed alike."""


class ShardDataset(Dataset[dict[str, Any]]):
    """Samples of a data set as dicts of tensors, by index.

    A sample has, R being the crop's and U the map's side,

    - ``image`` (3, R, R) float32, or uint8 where `compact`, RGB;
    - ``posmap`` (3, U, U) float32, or uint16 where `compact`: x, y, z; only where maps are stored;
    - ``weight_mask`` (U, U) float32;
    - ``landmarks`` (68, 3) float32, px of the crop, whatever `normalize` is;
    - ``shape``, ``expression``, ``pose``, ``crop``, ``image_height``, ``name``: as stored; ``crop`` follows the
      augmentation's similarity, and ``flipped`` () bool says that the sample was mirrored thereafter;
    - ``image_scale``, ``image_offset``, ``posmap_scale``, ``posmap_offset`` () float32: pixel value 0 to 255 =
      image * image_scale + image_offset, px = posmap * posmap_scale + posmap_offset. So every normalization, and
      the compact form, can be undone; `to_float` does it.

    Safe under fork, spawn and forkserver: each process opens the files for itself. With
    ``DataLoader(..., collate_fn=uvgen.torch.collate)`` samples are written straight into the batch's memory, which
    saves two copies; without it everything works all the same.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` or ``uvgen augment`` made.
    augmentation : object with `draw`, and `apply` where it is not uvgen's, optional
        Such as ``uvgen.augment.Augmentation.preset("prnet")``. Every epoch draws anew, see `set_epoch`.
    mirror : uvgen.augment.TexelMirror, optional
        The model's, for uvgen's augmentations that flip.
    source : path-like, optional
        The folder that was ``uvgen build``'s ``--data``: augmented crops are then sampled from the original images,
        once, instead of from the stored crops, which end at their edges. Costs an image to decode each time.
    seed : int
        Of the augmentation.
    normalize : {"size", "standardize", None}
        ``"size"``: image / 255, map / R. ``"standardize"``: the image minus its mean, divided by its standard
        deviation, both over all channels together, because one channel at a time would undo channel gains; map / R.
        None: 0 to 255 and px.
    compact : bool
        Hand over uint8 images and uint16 maps, three and two times smaller, in `channels_last` layout; `to_float`
        makes floats of them on the device. `normalize` is then left to it.
    channels_last : bool
        Tensors keep the shapes above and lie in memory as ``torch.channels_last``, as they are stored: not a byte
        is moved for it.

    Raises
    ------
    DatasetError
        Where the folder is not a data set; on reading, where a shard is missing or damaged.
    InputError
        Where `normalize` is unknown, or the set has no images.

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
        augmentation: Augmentation | None = None,
        mirror: Any = None,
        source: str | os.PathLike[str] | None = None,
        seed: int = 0,
        normalize: str | None = "size",
        compact: bool = False,
        channels_last: bool = False,
    ) -> None:
        check_normalize(normalize)
        self.reader = open_shards(path)
        self.augmentation, self.seed = augmentation, seed
        self._apply = None if augmentation is None else _apply_of(augmentation, mirror)
        self._takes_codes = not hasattr(augmentation, "apply")  # uvgen's own decodes and moves in one pass
        self.normalize, self.compact, self.channels_last = normalize, compact, channels_last
        self._source = None if source is None else _checked_source(source, self.reader, augmentation)
        self._mirror = mirror
        self._fields = self.reader.fields
        if self._fields and "image" not in self._fields:
            raise InputError(f"{path}: the data set has no images, only {', '.join(self._fields)}")
        self._attributes: dict[str, dict[str, Any]] = {
            name: self.reader.attributes(name) for name in ("image", "posmap") if name in self._fields
        }
        mask = self.reader.constants.get("weight_mask")
        self.weight_mask = None if mask is None else torch.from_numpy(mask)
        # Shared memory: set_epoch reaches workers that are running already (persistent_workers=True).
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._buffers = Buffers()

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> dict[str, Any]:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"sample {index} of {n}")
        return _first(self.batch([index % n]))

    def __getitems__(self, indices: Sequence[int]) -> "_Samples":
        return _Samples(self, [int(index) for index in indices])

    def set_epoch(self, epoch: int) -> None:
        """Let augmentations of the next samples be those of this epoch, in all workers; call it before iterating."""
        self._epoch.fill_(epoch)

    def batch(self, indices: Sequence[int], *, shared: bool = False) -> dict[str, Any]:
        """Samples stacked along a new first axis; names become a list.

        Parameters
        ----------
        indices : sequence of int
            0 to ``len(dataset) - 1``.
        shared : bool
            Put images and maps into shared memory, from where another process takes them without a copy.

        Returns
        -------
        dict
        """
        n = len(indices)
        rows = self.reader.gather(indices, [name for name in self._fields if name not in self._attributes])
        rows["flipped"] = np.zeros(n, np.bool_)
        result: dict[str, Any] = {}
        for name in self._attributes:
            shape, _ = self._fields[name]
            kind = (torch.uint8 if name == "image" else torch.uint16) if self.compact else torch.float32
            interleaved = self.compact or self.channels_last
            tensor = self._buffers.take((n, *shape) if interleaved else (n, shape[2], *shape[:2]), kind, shared=shared)
            rows[name] = tensor.numpy()
            rows[f"{name}_scale"], rows[f"{name}_offset"] = np.empty((2, n), np.float32)
            result[name] = tensor.permute(0, 3, 1, 2) if interleaved else tensor
        for k, index in enumerate(indices):
            self._fill(index, k, rows)
        if self.augmentation is None:
            del rows["flipped"]
        for name, values in rows.items():
            if name not in result:
                result[name] = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
        if self.weight_mask is not None:
            result["weight_mask"] = self.weight_mask.expand(n, -1, -1)
        return result

    def _fill(self, index: int, k: int, rows: dict[str, Any]) -> None:
        """Read, augment and write sample `index` as number k of a batch."""
        size = self._fields["image"][0][1]
        if self.augmentation is None and self.compact and self._stored_as_codes():
            for name in self._attributes:  # the bytes on disk are those of the batch
                self.reader.read(index, name, rows[name][k])
                _note(rows, name, k, *self._stored_scale(name))
            return
        image: Any = None
        if self._source is None:
            image = self.reader.read(index, "image", self._buffers.borrow("image", *self._fields["image"]))
        codes = None
        if "posmap" in self._attributes:
            codes = self.reader.read(index, "posmap", self._buffers.borrow("posmap", *self._fields["posmap"]))
        scale, offset = self._stored_scale("posmap")
        if self.augmentation is not None and self._apply is not None:
            draw = self.augmentation.draw(self.seed, rows["name"][k], int(self._epoch), size)
            position_map = codes
            if codes is not None and not self._takes_codes:
                position_map = decode(codes, self._attributes["posmap"])
            if self._source is None:
                image, codes, rows["landmarks"][k] = self._apply(draw, image, position_map, rows["landmarks"][k])
            else:
                path = self._source / rows["source"][k]
                image = _from_source(path, rows["crop"][k], draw)
                codes, rows["landmarks"][k] = _labels(draw, position_map, rows["landmarks"][k], self._mirror)
            rows["crop"][k] = draw.similarity @ rows["crop"][k]
            rows["flipped"][k] = getattr(draw, "flip", False)
            scale, offset = 1.0, 0.0
        if self.compact:
            rows["image"][k] = image
            _note(rows, "image", k, 1.0, 0.0)
            if codes is not None:
                _note(rows, "posmap", k, *encode(codes, scale, offset, rows["posmap"][k]))
            return
        mean, deviation = (0.0, 255.0) if self.normalize == "size" else (0.0, 1.0)
        if self.normalize == "standardize":
            mean, deviation = mean_and_deviation(image)
        self._convert(image, 1 / deviation, -mean / deviation, rows["image"][k])
        _note(rows, "image", k, deviation, mean)
        if codes is not None:
            side = 1.0 if self.normalize is None else float(size)
            self._convert(codes, scale / side, offset / side, rows["posmap"][k])
            _note(rows, "posmap", k, side, 0.0)

    def _stored_as_codes(self) -> bool:
        return "posmap" not in self._fields or self._fields["posmap"][1] == np.uint16

    def _stored_scale(self, name: str) -> tuple[float, float]:
        attributes = self._attributes.get(name, {})
        return float(attributes.get("scale_factor", 1.0)), float(attributes.get("add_offset", 0.0))

    def _convert(self, values: NDArray[Any], scale: float, offset: float, out: NDArray[np.float32]) -> None:
        if self.channels_last:
            np.copyto(out, values)
            out *= np.float32(scale)
            if offset:
                out += np.float32(offset)
        else:
            flat = np.ascontiguousarray(values).reshape(-1)
            _kernels.planar_values(flat, np.float32(scale), np.float32(offset), out.reshape(3, -1))


def _note(rows: dict[str, Any], name: str, k: int, scale: float, offset: float) -> None:
    rows[f"{name}_scale"][k], rows[f"{name}_offset"][k] = scale, offset


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch; what `ShardDataset` reads for a `DataLoader` is read right into it.

    Parameters
    ----------
    samples : sequence of dict
        What a `DataLoader` hands over.

    Returns
    -------
    dict
        Tensors stacked along a new first axis, names as a list.
    """
    return samples.batch() if isinstance(samples, _Samples) else default_collate(list(samples))


def _apply_of(augmentation: Any, mirror: Any) -> Callable[..., Any]:
    if hasattr(augmentation, "apply"):
        return augmentation.apply
    from uvgen.augment import apply  # works on values, and is a function

    return partial(apply, mirror=mirror)


def _checked_source(folder: str | os.PathLike[str], reader: ShardReader, augmentation: Any) -> Path:
    if augmentation is None or hasattr(augmentation, "apply"):
        raise InputError("source: goes with an augmentation of uvgen.augment; stored crops are the same without")
    if "augmentation" in reader.config:
        raise InputError(f"source: {reader.folder} is augmented already; give the set that it was made from")
    path = Path(os.path.abspath(folder))  # workers may have another working folder
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder; expected the --data that the set was built from")
    return path


def _from_source(path: Path, similarity: NDArray[np.float64], draw: Any) -> NDArray[np.uint8]:
    from uvgen.augment import crop_augmented
    from uvgen.samples import Sample, read_image

    return crop_augmented(read_image(Sample(path.stem, path.parent.name, path, None)), similarity, draw)[0]


def _labels(draw: Any, position_map: Any, landmarks: Any, mirror: Any) -> tuple[Any, Any]:
    from uvgen.augment import move_landmarks, move_map

    moved = None if position_map is None else move_map(draw, position_map, mirror=mirror)
    return moved, move_landmarks(draw, landmarks)


def _first(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: values[0] for name, values in batch.items()}


class _Samples(Sequence[dict[str, Any]]):
    """The samples of a batch, not read yet: all at once for `collate`, else one by one as `__getitem__` does."""

    def __init__(self, dataset: ShardDataset, indices: list[int]) -> None:
        self._dataset, self._indices = dataset, indices
        self._samples: list[dict[str, Any]] = []

    def batch(self) -> dict[str, Any]:
        return self._dataset.batch(self._indices, shared=get_worker_info() is not None)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, k: Any) -> Any:
        if not self._samples:
            self._samples = [self._dataset[index] for index in self._indices]
        return self._samples[k]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[k] for k in range(len(self)))
