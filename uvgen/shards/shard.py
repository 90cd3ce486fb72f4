"""One shard, open for reading."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError, FieldError
from uvgen.fixed_point import FixedPoint
from uvgen.images.jpeg import decode_jpeg
from uvgen.shards.format import FORMAT, LEAST_SAMPLE_BYTES, MAX_SIZE, VERSION, Layout
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.hdf5_dataset import MAX_INFLATED_BYTES, Hdf5Dataset
from uvgen.storage.hdf5_reading import open_hdf5, opened_by
from uvgen.storage.isolated import Hdf5Process
from uvgen.storage.names import brief
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import max_bytes
from uvgen.wording import count, typed

_CODES, _ENDS = "image_data", "image_end"
_LEAST_BYTES, _MOST_RATIO = 64 << 20, 16  # what fields that are read whole may take unpacked, and times the file's size
_MOST_ROW_BYTES = 256 << 20  # of a sample's field: a map of 4096 texels as float32 has 192 MiB
_MOST_TEXT_BYTES = 1 << 16  # of a sample's text


class OpenShard:
    """A shard that `uvgen.shards.reader.ShardReader` has open.

    Attributes
    ----------
    place : Path
        Where its set has it, for messages.
    fields : list of str
        What a sample has; ``image`` even if it is stored as JPEG.
    attributes : dict
        HDF5 attributes of each field.
    layouts : dict
        Shape and stored dtype of each field of a sample.
    chunked : set of str
        Fields stored one sample a chunk.
    n_samples : int
        How many samples it has.
    has_jpegs : bool
        Whether images are stored as JPEG.

    Parameters
    ----------
    path : Path
        The file.
    n_samples : int
        Samples that the index says it has.
    expected : mapping of str to Layout
        What is known of some fields; those of other names may be anything.
    required, excluded : sequence of str
        Fields that must be there, and that must not.
    process : Hdf5Process, optional
        Reads the file in this one's place.
    place : Path, optional
        Where its set has it, if `path` is a copy in the cache.

    Raises
    ------
    DatasetError
        If the file is no such shard; see `uvgen.storage.hdf5_reading` for what is refused.
    """

    def __init__(
        self,
        path: Path,
        n_samples: int,
        expected: Mapping[str, Layout] | None = None,
        process: Hdf5Process | None = None,
        *,
        required: Sequence[str] = (),
        excluded: Sequence[str] = (),
        place: Path | None = None,
    ) -> None:
        self.place, self.n_samples = place or path, n_samples
        lead = "" if self.place == path else f"copy of {self.place}: "
        with opened_by(None if process is None else process.open):
            self._file = open_hdf5(path, DatasetError, f"; run `uvgen verify {typed(self.place.parent)}`", lead)
        try:
            self._open(expected or {})
            if missing := [name for name in required if name not in self.layouts]:
                raise self._file.refused(f"no dataset {missing[0]}")
            if odd := [name for name in excluded if name in self.layouts]:
                raise self._file.refused(
                    f"has a dataset {odd[0]}, expected none in a set with the settings of {DATASET_INDEX}"
                )
        except BaseException:
            self._file.close()
            raise

    def _open(self, expected: Mapping[str, Layout]) -> None:
        if self.file_attributes.get("format") != FORMAT:
            raise self._file.refused("not a shard of uvgen")
        version = self.file_attributes.get("version")
        if not isinstance(version, (int, np.integer)) or version != VERSION:
            raise DatasetError(f"{self.place}: version {brief(version)}, expected {VERSION}; build the data set again")
        datasets = {name: self._file.safe_dataset(name) for name in self._file.names}
        self._check_sizes(datasets)
        self._jpegs = datasets.pop(_CODES, None)
        for name, data in datasets.items():
            n_rows = data.shape[0] if data.shape else 0
            if n_rows != self.n_samples:
                raise DatasetError(
                    f"{self.place}: {name} has {count(n_rows, 'row')}, {DATASET_INDEX} says {self.n_samples}; build "
                    "it again"
                )
        self._datasets = datasets
        self._rows: dict[str, NDArray[Any]] = {}  # fields not stored by row, whole at first use: some hundred kB
        self.fields = ["image" if name == _ENDS else name for name in datasets]
        self.attributes = {name: data.attributes for name, data in datasets.items()}
        self.layouts = {name: (data.shape[1:], data.dtype) for name, data in datasets.items()}
        self.chunked = {name for name, data in datasets.items() if data.by_row and data.shape[1:]}
        self.has_jpegs = self._jpegs is not None
        if self._jpegs is not None:
            self._check_jpegs(self._jpegs)
        elif _ENDS in datasets:
            raise self._file.refused(f"has {_ENDS}, but no {_CODES}")
        for name, data in datasets.items():
            self._check_type(name, data)
            self._check_codes(name, data)
        self.check_layouts(expected)

    def _check_sizes(self, datasets: Mapping[str, Hdf5Dataset]) -> None:
        """That what is read whole, or as one row, takes about as much memory as the file suggests."""
        size = self._file.size
        if self.n_samples * LEAST_SAMPLE_BYTES > size:
            raise self._file.refused(f"has {size} bytes, too few for {count(self.n_samples, 'sample')}")
        most = min(max_bytes(), _LEAST_BYTES + _MOST_RATIO * size)
        whole = sum(data.n_bytes for data in datasets.values() if not data.by_row or len(data.shape) == 1)
        if whole > most:
            raise self._file.refused(f"its small fields take {whole} bytes unpacked, more than {most}")
        together = 0
        for name, data in datasets.items():
            row = math.prod(data.shape[1:]) * data.dtype.itemsize
            together += row
            most = _MOST_TEXT_BYTES if data.dtype.kind == "S" else _MOST_ROW_BYTES
            if row > most:
                raise self._file.refused(f"{name} takes {row} bytes per sample, more than {most}")
        if together > 2 * _MOST_ROW_BYTES:
            raise self._file.refused(f"its fields take {together} bytes per sample, more than {2 * _MOST_ROW_BYTES}")

    def check_names(self, listed: str | None) -> None:
        """Raise DatasetError if the index lists other names, a line each: what goes by them would mix samples up."""
        if listed is not None and listed != "\n".join(self.texts("name")):
            raise self._file.refused(f"its samples have other names than {DATASET_INDEX} says")

    def has_changed(self) -> bool:
        """Whether its file was written to since it was opened."""
        return self._file.has_changed()

    def sha256(self) -> str | None:
        """Of its file as it is now, even if its name is gone; None if another process has it open."""
        return self._file.sha256()

    def other_origin(self, config: Mapping[str, Any]) -> list[str]:
        """In what it was made otherwise than the index of its set states in `config`."""
        stated = self.file_attributes
        made = {**self.config, "size": stated.get("size"), "model_sha256": stated.get("model_sha256")}
        if "convention" in stated:
            made["convention"] = stated["convention"]
        return [
            f"made with {brief(key)} = {brief(value)}, {DATASET_INDEX} says {brief(config.get(key))}"
            for key, value in made.items()
            if config.get(key) != value
        ]

    def check_layouts(self, expected: Mapping[str, Layout]) -> None:
        """Raise DatasetError if fields are not as they are known to be."""
        for name, layout in expected.items():
            if name in self.layouts and (wrong := layout.differs(*self.layouts[name])):
                raise self._file.refused(f"{name} holds {wrong}")
            attributes = self.attributes.get(name)
            if not layout.coded and attributes and "scale_factor" in attributes:
                raise self._file.refused(f"{name} holds codes with a scale, expected the numbers themselves")
            if (
                layout.codes is not None
                and attributes is not None
                and FixedPoint.of_attributes(attributes) != layout.codes
            ):
                meant = f"{layout.codes.scale:g} and {layout.codes.offset:g}"
                raise self._file.refused(f"{name} holds codes with another scale or offset than {meant}")

    def _check_jpegs(self, data: Hdf5Dataset) -> None:
        if "image" in self._datasets or _ENDS not in self._datasets:
            raise self._file.refused(f"has {_CODES}, expected {_ENDS} with it, and no image")
        if data.dtype != np.uint8 or len(data.shape) != 1:
            raise self._file.refused(f"{_CODES} holds {data.dtype} {data.shape}, expected uint8 of one axis")
        ends = self._datasets[_ENDS]
        if ends.dtype.kind not in "iu" or len(ends.shape) != 1:
            raise self._file.refused(f"{_ENDS} holds {ends.dtype} {ends.shape[1:]}, expected integers")
        size = self.file_attributes.get("size")
        if not isinstance(size, (int, np.integer)) or not 1 <= size <= MAX_SIZE:
            raise self._file.refused(f"attribute size is {size!r}, expected 1 to {MAX_SIZE} px")
        # Python's integers: differences of unsigned ones would wrap
        values = [0, *map(int, self._column(_ENDS)), data.shape[0]]
        if any(low > high for low, high in pairwise(values)):
            raise self._file.refused(f"{_ENDS} is not ascending from 0 to the {data.shape[0]} bytes of {_CODES}")
        self.layouts["image"] = (int(size), int(size), 3), np.dtype(np.uint8)
        self.attributes["image"] = {}

    def _check_type(self, name: str, data: Hdf5Dataset) -> None:
        """That a field of any name can be copied, and handed to PyTorch: as those that uvgen writes."""
        if data.dtype.kind == "S" and len(data.shape) != 1:
            raise self._file.refused(f"{name} holds texts {data.shape[1:]} a sample, expected one text")
        if not data.dtype.isnative:
            raise self._file.refused(f"{name} holds {data.dtype.str}, expected numbers in this machine's byte order")

    def _check_codes(self, name: str, data: Hdf5Dataset) -> None:
        """That fixed-point numbers say what they stand for."""
        attributes = data.attributes
        if not {"scale_factor", "add_offset", "rounding"} & attributes.keys():
            return
        values = [attributes.get(key) for key in ("scale_factor", "add_offset")] + [attributes.get("rounding", 0)]
        good = all(isinstance(value, Real) and math.isfinite(value) for value in values)
        if data.dtype.kind not in "iu" or not good or float(attributes["scale_factor"]) <= 0:
            raise self._file.refused(f"{name} holds {data.dtype} with scale and offset {values}, expected codes")
        scale, offset = float(attributes["scale_factor"]), float(attributes["add_offset"])
        most = float(np.finfo(np.float32).max)
        if scale > most or abs(offset) > most or scale * float(np.iinfo(data.dtype).max) + abs(offset) > most:
            raise self._file.refused(f"{name} holds codes with scale and offset {values}, whose values are no float32")

    def __enter__(self) -> "OpenShard":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def file_attributes(self) -> dict[str, Any]:
        """The file's own attributes: where it comes from."""
        return self._file.attributes

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration that it says it was made with, as JSON has it; DatasetError if it says none."""
        text = self.file_attributes.get("config")
        try:
            content = parse_json(text) if isinstance(text, str) else None
        except ValueError as error:
            raise self._file.refused(f"attribute config is not JSON ({error})") from error
        if not isinstance(content, dict):
            raise self._file.refused("attribute config is not a JSON object")
        return content

    @property
    def image_attributes(self) -> dict[str, Any]:
        """The attributes of the images as they are stored."""
        return self.attributes["image"] if self._jpegs is None else self._jpegs.attributes

    def read(self, name: str, row: int, out: NDArray[Any] | None = None) -> Any:
        """One field of one sample, see `uvgen.shards.reader.ShardReader.read`."""
        if name == "image" and self._jpegs is not None:
            return self._decoded_image(self._jpegs, row, out)
        data = self._dataset(name)
        if name in self.chunked:
            return data.read_row(row, out)
        value = self._column(name)[row]
        if out is None:
            return self._text(name, row, value) if isinstance(value, bytes) else value.copy()
        out[...] = value
        return out

    def view(self, name: str, row: int) -> Any:
        """`read`, but perhaps into what the shard keeps: quicker for small fields."""
        if name not in self._rows:
            return self.read(name, row)  # and next time it is there, if it is kept at all
        value = self._rows[name][row]
        return self._text(name, row, value) if isinstance(value, bytes) else value

    def column(self, name: str, max_bytes: int = MAX_INFLATED_BYTES) -> NDArray[Any]:
        """One field of all samples as it is stored; bytes for texts."""
        return self._dataset(name).read(max_bytes)

    def texts(self, name: str) -> list[str]:
        """One text of all samples."""
        column = self._column(name)
        if column.dtype.kind != "S" or column.ndim != 1:
            raise self._file.refused(f"{name} holds {column.dtype} {column.shape[1:]}, expected texts")
        return [self._text(name, row, value) for row, value in enumerate(column.tolist())]

    def _text(self, name: str, row: int, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise self._file.refused(f"{name} of sample {row} is not text ({error})") from error

    def _column(self, name: str) -> NDArray[Any]:
        if name not in self._rows:
            self._rows[name] = self._dataset(name).read()
        return self._rows[name]

    def _dataset(self, name: str) -> Hdf5Dataset:
        if name not in self._datasets:
            raise self.no_field(name)
        return self._datasets[name]

    def no_field(self, name: str) -> FieldError:
        """The error for a field that its samples do not have, or that is not stored as an array."""
        how = "is stored as JPEG files" if name in self.fields else "no such field"
        there = ", ".join(field for field in self.fields if field in self._datasets)
        return FieldError(f"{self.place}: field {brief(name)!r}: {how}, expected one of {there}")

    def encoded_image(self, row: int) -> bytes:
        """The JPEG file of one sample's image, if images are stored so."""
        if self._jpegs is None:
            raise self._file.refused("stores no JPEG files")
        return self._jpeg(self._jpegs, row).tobytes()

    def _jpeg(self, jpegs: Hdf5Dataset, row: int) -> NDArray[np.uint8]:
        ends = self._rows[_ENDS]
        return jpegs.read_range(int(ends[row - 1]) if row else 0, int(ends[row]))

    def _decoded_image(self, jpegs: Hdf5Dataset, row: int, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        encoded = self._jpeg(jpegs, row)
        (height, width, _), _ = self.layouts["image"]
        with self._file.guarded(f"image of sample {row}"):
            return decode_jpeg(encoded, out, (height, width))
