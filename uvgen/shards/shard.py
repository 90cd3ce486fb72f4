"""One shard, open for reading."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError
from uvgen.images.codecs import decode_jpeg
from uvgen.shards.format import FORMAT, VERSION
from uvgen.shards.index import DATASET_INDEX


class OpenShard:
    """A shard that `uvgen.shards.reader.ShardReader` has open.

    Attributes
    ----------
    file : h5py.File
        The file itself.
    fields : list of str
        What a sample has; ``image`` also where it is stored as JPEG.
    attributes : dict
        HDF5 attributes of each field.
    layouts : dict
        Shape and stored dtype of each field of a sample.
    n_samples : int
        How many samples it has.
    has_jpegs : bool
        Whether images are stored as JPEG.
    """

    def __init__(self, path: Path, n_samples: int) -> None:
        self._path, self.n_samples = path, n_samples
        try:
            # samples are read whole and in any order: HDF5's chunk cache would copy each once more
            self.file = h5py.File(path, "r", rdcc_nbytes=0)
        except OSError as error:
            raise DatasetError(f"{path}: cannot be opened ({error}); run `uvgen verify {path.parent}`") from error
        if self.file.attrs.get("format") != FORMAT:
            raise DatasetError(f"{path}: not a shard of uvgen; run `uvgen verify {path.parent}`")
        version = int(self.file.attrs.get("version", 0))
        if version != VERSION:
            raise DatasetError(f"{path}: version {version}, expected {VERSION}; build the data set again")
        self._jpegs = self.file.get("image_data")
        datasets = {n: data for n, data in self.file.items() if n != "image_data"}
        for name, data in datasets.items():
            if len(data) != n_samples:
                raise DatasetError(
                    f"{path}: {name} has {len(data)} rows, {DATASET_INDEX} says {n_samples}; build it again"
                )
        self._datasets = datasets
        self._contiguous = {name for name, data in datasets.items() if data.chunks is None}
        self._rows: dict[str, NDArray[Any]] = {}  # contiguous fields, read whole at first use: some hundred kB
        self._direct = {  # fields whose chunks hold a sample's bytes as they are
            name: (data.id, data.shape[1:], data.dtype, (0,) * (data.ndim - 1))
            for name, data in datasets.items()
            if data.chunks == (1, *data.shape[1:]) and data.id.get_create_plist().get_nfilters() == 0
        }
        self.fields = ["image" if name == "image_end" else name for name in datasets]
        self.attributes = {name: dict(data.attrs) for name, data in datasets.items()}
        self.layouts = {name: (data.shape[1:], data.dtype) for name, data in datasets.items()}
        self.has_jpegs = self._jpegs is not None
        if self.has_jpegs:
            size = int(self.file.attrs["size"])
            self.layouts["image"], self.attributes["image"] = ((size, size, 3), np.dtype(np.uint8)), {}

    def __enter__(self) -> "OpenShard":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self, name: str, row: int, out: NDArray[Any] | None = None) -> Any:
        """One field of one sample, see `uvgen.shards.reader.ShardReader.read`."""
        try:
            if name == "image" and self._jpegs is not None:
                return self._decoded_image(row, out)
            if name in self._contiguous:
                value = self._column(name)[row]
                if out is None:
                    return value.decode() if isinstance(value, bytes) else value.copy()
                out[...] = value
                return out
            if name in self._direct:  # past HDF5's selection machinery, which takes as long as the copy
                dataset, shape, dtype, start = self._direct[name]
                out = np.empty(shape, dtype) if out is None else out
                dataset.read_direct_chunk((row, *start), out=out.reshape(-1).view(np.uint8))
                return out
            data = self._datasets[name]
            out = np.empty(data.shape[1:], data.dtype) if out is None else out
            data.read_direct(out, np.s_[row])
            return out
        except (OSError, RuntimeError, ValueError) as error:
            raise DatasetError(
                f"{self._path}: {name} of sample {row} cannot be read ({error}); run `uvgen verify {self._path.parent}`"
            ) from error

    def view(self, name: str, row: int) -> Any:
        """`read`, but perhaps into what the shard keeps: quicker for small fields."""
        if name not in self._rows:
            return self.read(name, row)  # and next time it is there, if it is kept at all
        value = self._rows[name][row]
        return value.decode() if isinstance(value, bytes) else value

    def _column(self, name: str) -> NDArray[Any]:
        if name not in self._rows:
            self._rows[name] = self._datasets[name][()]
        return self._rows[name]

    def _decoded_image(self, row: int, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        ends = self._column("image_end")
        encoded = self._jpegs[int(ends[row - 1]) if row else 0 : int(ends[row])]
        return decode_jpeg(encoded, out)
