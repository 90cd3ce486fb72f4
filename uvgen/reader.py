"""Reading shards: random access to samples, decoded, safe in the workers of any data loader."""

import operator
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import h5py
import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError, ModelError
from uvgen.shards import FORMAT, INDEX, Index

if TYPE_CHECKING:  # trainers that read stored maps need neither numba nor scipy
    from uvgen.model import MorphableModel
    from uvgen.posmap import PositionMapper
    from uvgen.texel_mirror import TexelMirror

_MAX_OPEN = 64  # files a reader keeps open
MAP_PARAMETERS = ("shape", "expression", "pose", "crop", "image_height")
"""Fields that a position map is made from, in the order of `PositionMapper`'s arguments."""


def decode(array: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    """Real values, float32, of fixed-point codes; other arrays as they are.

    Parameters
    ----------
    array : ndarray
        As stored.
    attributes : mapping
        The dataset's attributes; ``scale_factor`` and ``add_offset`` mark fixed-point codes.

    Returns
    -------
    ndarray
        ``codes * scale_factor + add_offset``, or `array` itself.
    """
    if "scale_factor" not in attributes:
        return array
    values = np.multiply(array, np.float32(attributes["scale_factor"]), dtype=np.float32)
    values += np.float32(attributes["add_offset"])
    return values


class ShardReader:
    """Random access to the samples of a data set. Made by `open_shards`.

    A sample is a dict of arrays and strings: position maps come as float32 whether they are stored as floats, as
    fixed point or, with a model, not at all; images as uint8 whether they are stored raw or as JPEG. Files are
    opened on first use, by each process for itself: a reader may be pickled, sent to workers, or carried through a
    fork.

    Attributes
    ----------
    folder : Path
        Where the shards are.
    config : dict
        What the set was built with.
    names : list of str
        Every sample's name, in order (read on first use).
    """

    def __init__(self, folder: Path, index: Index, model: "MorphableModel | None" = None) -> None:
        self.folder = folder
        self.config = index.config
        self._shards = [entry for entry in index.shards if entry.samples]
        self._ends = np.cumsum([entry.samples for entry in self._shards], dtype=np.int64)
        self._model = model
        self._mapper: PositionMapper | None = None
        self._mirror: TexelMirror | None = None
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()
        self._pid = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_mapper": None}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> dict[str, Any]: ...
    def __getitem__(self, key: int | slice) -> dict[str, Any]:
        """One sample, or for a slice its samples stacked along a new first axis (strings as a list)."""
        if isinstance(key, slice):
            return self.batch(range(*key.indices(len(self))))
        sample = self._stored(operator.index(key))
        if self._model is not None and "posmap" not in sample:
            flipped = np.array([sample.get("flipped", False)])
            sample["posmap"] = self._maps(self._model, flipped, *(sample[name][None] for name in MAP_PARAMETERS))[0]
        return sample

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[k] for k in range(len(self)))

    def batch(self, keys: Iterable[int]) -> dict[str, Any]:
        """Samples stacked along a new first axis (strings as a list); maps that are not stored are made at once."""
        samples = [self._stored(operator.index(k)) for k in keys]
        if not samples:
            return {}
        stacked: dict[str, Any] = {
            name: [s[name] for s in samples] if isinstance(value, str) else np.stack([s[name] for s in samples])
            for name, value in samples[0].items()
        }
        if self._model is not None and "posmap" not in stacked:
            flipped = stacked.get("flipped", np.zeros(len(samples), bool))
            stacked["posmap"] = self._maps(self._model, flipped, *(stacked[name] for name in MAP_PARAMETERS))
        return stacked

    def _stored(self, key: int) -> dict[str, Any]:
        n = len(self)
        if not -n <= key < n:
            raise IndexError(f"sample {key} of {n}")
        number = int(np.searchsorted(self._ends, key % n, side="right"))
        row = key % n - int(self._ends[number] - self._shards[number].samples)
        return self._shard(number).read(row)

    def _maps(
        self, model: "MorphableModel", flipped: NDArray[np.bool_], *parameters: NDArray[Any]
    ) -> NDArray[np.float32]:
        from uvgen.posmap import PositionMapper

        if self._mapper is None:
            self._mapper = PositionMapper(model, self.config["uv_size"], self.config["compat"])
        shape, expression, pose, similarity, image_height = parameters
        maps = self._mapper(shape, expression, pose, similarity, image_height)
        if flipped.any():
            from uvgen.augment import TexelMirror, mirror_map

            if self._mirror is None:
                self._mirror = TexelMirror.of_model(model, self._mapper.size, self._mapper.atlas)
            for k in np.flatnonzero(flipped):
                maps[k] = mirror_map(maps[k], self.config["size"], self._mirror)
        return maps

    def _shard(self, number: int) -> "_OpenShard":
        if self._pid != os.getpid():  # handles of the process that forked this one are not ours to close
            self._open, self._pid = OrderedDict(), os.getpid()
        if number in self._open:
            self._open.move_to_end(number)
        else:
            if len(self._open) >= _MAX_OPEN:
                self._open.popitem(last=False)[1].file.close()
            self._open[number] = _OpenShard(self.folder / self._shards[number].file, self._shards[number].samples)
        return self._open[number]

    @property
    def names(self) -> list[str]:
        """Every sample's name, in order."""
        return [name for k in range(len(self._shards)) for name in self._shard(k).file["name"].asstr()[()]]

    def column(self, name: str) -> NDArray[Any]:
        """One stored field of every sample, stacked, in order: for small ones, such as the pose."""
        parts = [self._shard(k).file[name] for k in range(len(self._shards))]
        return np.concatenate([decode(part[()], dict(part.attrs)) for part in parts])

    @property
    def constants(self) -> dict[str, NDArray[Any]]:
        """What holds for all samples: the weight mask, the coverage and the landmarks' texels."""
        if not self._shards:
            return {}
        shard = self._shard(0)
        return {name: shard.file[name][()] for name in shard.constants}


class _OpenShard:
    def __init__(self, path: Path, n_samples: int) -> None:
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            raise DatasetError(f"{path}: cannot be opened ({error}); run `uvgen verify {path.parent}`") from error
        if self.file.attrs.get("format") != FORMAT:
            raise DatasetError(f"{path}: not a shard of uvgen; run `uvgen verify {path.parent}`")
        self.constants = [str(name) for name in self.file.attrs["constants"]]
        self._image_data = self.file.get("image_data")
        self._datasets = {n: data for n, data in self.file.items() if n not in (*self.constants, "image_data")}
        self._attributes = {name: dict(data.attrs) for name, data in self._datasets.items()}
        for name, data in self._datasets.items():
            if len(data) != n_samples:
                raise DatasetError(f"{path}: {name} has {len(data)} rows, {INDEX} says {n_samples}; build it again")

    def read(self, row: int) -> dict[str, Any]:
        sample: dict[str, Any] = {}
        for name, data in self._datasets.items():
            if name == "image_end":
                sample["image"] = self._decoded_image(data, row)
                continue
            value = data[row]
            sample[name] = value.decode() if isinstance(value, bytes) else decode(value, self._attributes[name])
        return sample

    def _decoded_image(self, ends: h5py.Dataset, row: int) -> NDArray[np.uint8]:
        import simplejpeg

        start = int(ends[row - 1]) if row else 0
        encoded = self._image_data[start : int(ends[row])]
        return simplejpeg.decode_jpeg(encoded, colorspace="RGB")


def open_shards(
    path: str | os.PathLike[str], model: "MorphableModel | str | os.PathLike[str] | None" = None
) -> ShardReader:
    """Open a data set for reading.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` made, or its ``dataset.json``.
    model : MorphableModel or path-like, optional
        The model that the set was built with; needed for position maps where they are not stored
        (``--maps none``), which it then makes, a batch at a time for slices and `ShardReader.batch`.

    Returns
    -------
    ShardReader
        A sequence: ``len(reader)``, ``reader[i]``, ``reader[2:5]``, iteration.

    Raises
    ------
    DatasetError
        Where the index is missing or damaged.
    ModelError
        Where the model is another than that of the set.
    """
    folder = Path(path)
    if folder.name == INDEX:
        folder = folder.parent
    index = Index.read(folder)
    if model is None:
        return ShardReader(folder, index)
    from uvgen.model import MorphableModel, load_model

    loaded = model if isinstance(model, MorphableModel) else load_model(model)
    check_model(loaded, folder, index)
    return ShardReader(folder, index, loaded)


def check_model(model: "MorphableModel", folder: Path, index: Index) -> None:
    """Raise ModelError unless a data set was built with this model."""
    expected = index.config["model_sha256"]
    if model.content_sha256 != expected:
        raise ModelError(
            f"{model.path or model.name}: not the model of {folder} (content {model.content_sha256[:12]}…, "
            f"the set was built with {index.config['model']}, {expected[:12]}…)"
        )
