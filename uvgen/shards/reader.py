"""Reading shards: random access to samples, decoded, safe in the workers of any data loader."""

import copy
import hashlib
import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_buffer
from uvgen.errors import DatasetError, FieldError, InputError
from uvgen.fixed_point import decode
from uvgen.shards.constants import CONSTANTS, read_constants
from uvgen.shards.index import Index
from uvgen.shards.makers import Finish, Maker
from uvgen.shards.places import SamplePlaces
from uvgen.shards.pool import ShardDemands, ShardPool, check_hash, check_sizes
from uvgen.shards.shard import OpenShard
from uvgen.shards.stored import ReadAhead
from uvgen.shards.table import listed_names
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.hdf5_dataset import MAX_INFLATED_BYTES
from uvgen.storage.names import brief
from uvgen.storage.urls import url_of
from uvgen.wording import count, typed

_CACHED = ("names", "constants", "_numbers")
_MANY = 1 << 24  # samples that an index does not name: a few bytes may state any number of them


class ShardReader:
    """Random access to the samples of a data set. Made by `open_shards`.

    ``reader[0]`` and ``reader["IBUG/IBUG_image_008_1_0"]`` are samples. A sample is a dict of arrays and strings:
    position maps come as float32 whether they are stored as floats, as fixed point or, with a model, not at all;
    images as uint8 whether they are stored raw or as JPEG. Files are opened on first use, by each process for itself:
    a reader may be pickled, sent to workers, or carried through a fork.

    Attributes
    ----------
    folder : Path
        Where the shards are.
    config : DatasetConfig
        What the set was made with.
    names : list of str
        Every sample's name, in order: from the index, or from the shards if an older version made the set.
    """

    def __init__(
        self,
        folder: Path,
        index: Index,
        config: Any,
        made: Mapping[str, Maker] | None = None,
        demands: ShardDemands | None = None,
        finish: Finish | None = None,
    ) -> None:
        self.folder = Path(os.path.abspath(folder))  # workers may have another working folder
        self.config = config
        self._finish, self._made = finish, made or {}
        self._constants_sha256 = index.constants_sha256
        entries = [entry for entry in index.shards if entry.samples]
        if sum(entry.samples for entry in entries if entry.names is None) > _MANY:
            check_sizes(self.folder, entries)
        self._pool = ShardPool(self.folder, entries, demands or ShardDemands())
        self._places = SamplePlaces([entry.samples for entry in entries])

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for cached in _CACHED:  # read again if they are asked for
            state.pop(cached, None)
        return state

    def subset(self, keys: Iterable[int | str]) -> "ShardReader":
        """A reader of some of the samples; nothing is copied.

        Parameters
        ----------
        keys : iterable of int or str
            Samples by their numbers, of which negative ones count from the end as in a list, or by their names. Their
            order does not matter.

        Returns
        -------
        ShardReader
            Those samples, each once, in this reader's order. Shards without any are not opened.
        """
        chosen = np.unique(np.array([self.number(key) for key in keys], np.intp))
        other: ShardReader = copy.copy(self)
        other._places, shards = self._places.subset(chosen)
        other._pool = self._pool.subset(shards)
        return other

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        build = self.config.build
        made = "" if not self._made else ", with a model"
        n_shards = count(len(self._pool.entries), "shard")
        return (
            f"<ShardReader of {str(self.folder)!r}: {count(len(self), 'sample')} in {n_shards}, "
            f"crops of {build.size} px, maps of {build.uv_size} texels{made}>"
        )

    def __contains__(self, name: object) -> bool:
        """Whether a sample has this name."""
        return name in self._numbers

    def __getitem__(self, key: int | str | slice | Sequence[int | str] | NDArray[np.integer]) -> dict[str, Any]:
        """One sample, by its number or its name; for a slice, or several numbers or names, their `batch`."""
        if isinstance(key, slice):
            return self.batch(range(*key.indices(len(self))))
        if not isinstance(key, int | str | tuple) and np.ndim(key) == 1:  # reader[0, 1] is not meant so
            return self.batch(key)
        sample = self._stored(key)  # type: ignore[arg-type]  # what else it may be, `number` refuses
        for name, maker in self._made.items():
            if name not in sample:
                with naming(self.folder):
                    sample[name] = maker({need: sample[need][None] for need in maker.needs if need in sample})[0]
        return sample if self._finish is None else self._finish(sample, batched=False)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self._all_ahead() as ahead:
            for k in range(len(self)):
                yield self[k]
                if ahead is not None:
                    ahead.given = k + 1

    def read_ahead(self, keys: Iterable[int]) -> ReadAhead | None:
        """Begin to fetch the shards of samples that are to be read in this order; None for a set on this machine.

        Parameters
        ----------
        keys : iterable of int
            All samples that will be read. As they are read, set `given` of the result to how many were; call its
            `close` in the end.
        """
        if url_of(self.folder) is None or not self._pool.entries:
            return None
        numbers = np.searchsorted(self._places.ends, np.fromiter(keys, np.int64), "right")
        return ReadAhead(self.folder, self._pool.entries, numbers)

    @contextmanager
    def _all_ahead(self) -> Iterator[ReadAhead | None]:
        ahead = self.read_ahead(range(len(self)))
        try:
            yield ahead
        finally:
            if ahead is not None:
                ahead.close()

    def batch(self, keys: Iterable[int | str]) -> dict[str, Any]:
        """Samples stacked along a new first axis (strings as a list); maps that are not stored are made at once."""
        samples = [self._stored(key) for key in keys]
        if not samples:
            return {}
        stacked: dict[str, Any] = {
            name: [s[name] for s in samples] if isinstance(value, str) else np.stack([s[name] for s in samples])
            for name, value in samples[0].items()
        }
        for name, maker in self._made.items():
            if name not in stacked:
                with naming(self.folder):
                    stacked[name] = maker(stacked)
        return stacked if self._finish is None else self._finish(stacked, batched=True)

    def number(self, key: int | str) -> int:
        """A sample's number, from 0, by its name or by a number that may count from the end; InputError or IndexError
        if there is none."""
        if isinstance(key, str):
            if key not in self._numbers:
                such = f", such as {self.names[0]!r}" if len(self) else ""
                raise InputError(f"sample {brief(key)!r}: not in {self.folder}, expected one of its names{such}")
            return self._numbers[key]
        n = len(self)
        try:
            if isinstance(key, bool | np.bool_):  # Python and NumPy before 2 take them for 0 and 1
                raise TypeError
            number = operator.index(key)
        except TypeError:
            kind = type(key).__name__
            raise TypeError(
                f"sample of type {kind}: expected a number below {n}, a name, a slice, or several of them"
            ) from None
        if not -n <= number < n:
            raise IndexError(f"sample {number} of {n}")
        return number % n

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Each sample's, by its name."""
        return {name: k for k, name in enumerate(self.names)}

    def _stored(self, key: int | str) -> dict[str, Any]:
        shard, row = self._locate(key)
        return {name: decode(shard.read(name, row), shard.attributes[name]) for name in shard.fields}

    def read(self, key: int | str, name: str, out: NDArray[Any] | None = None) -> Any:
        """One field of one sample as it is stored: fixed-point maps as codes, see `attributes`.

        Parameters
        ----------
        key : int or str
            The sample's number; as for a list, negative ones count from the end. Or its name.
        name : str
            The field.
        out : ndarray, C-contiguous, optional
            Buffer of the field's shape and dtype to fill and return; only for arrays.

        Returns
        -------
        ndarray, NumPy scalar or str

        Raises
        ------
        DatasetError
            If the shard is missing or damaged. `uvgen.errors.FieldError`, which is also a KeyError, if it has no such
            field.
        InputError
            If `out` is of another shape or dtype.
        """
        shard, row = self._locate(key)
        if name not in shard.layouts:
            raise shard.no_field(name)
        if out is not None:
            check_buffer(out, *shard.layouts[name])
        return shard.read(name, row, out)

    def gather(self, keys: Iterable[int | str], names: Iterable[str]) -> dict[str, Any]:
        """Some fields of some samples as they are stored, stacked along a new first axis; texts as a list.

        Parameters
        ----------
        keys : iterable of int or str
            Samples by their numbers, of which negative ones count from the end as in a list, or by their names.
        names : iterable of str
            Fields; quick for small ones.

        Returns
        -------
        dict of str to ndarray or list of str

        Raises
        ------
        DatasetError
            If a shard is missing or damaged. `uvgen.errors.FieldError`, which is also a KeyError, if it has no such
            field.
        """
        places = [self._locate(key) for key in keys]
        if not places:
            return {name: self._none(name) for name in names}
        result: dict[str, Any] = {}
        for name in names:
            values = [shard.view(name, row) for shard, row in places]
            result[name] = values if isinstance(values[0], str) else np.array(values)
        return result

    def _none(self, name: str) -> Any:
        """A field of no samples."""
        shard = self._first_shard(name)
        if name not in shard.layouts:
            raise shard.no_field(name)
        shape, dtype = shard.layouts[name]
        return [] if dtype.kind == "S" else np.empty((0, *shape), dtype)

    @property
    def made(self) -> dict[str, Maker]:
        """Fields that are not stored, and the functions that make them from a batch's other fields."""
        return {name: maker for name, maker in self._made.items() if name not in self.fields}

    def shard_range(self, key: int) -> tuple[int, int]:
        """First sample of the shard that a sample is in, and the one after its last."""
        number = self._places.shard(self.number(key))
        return self._places.first(number), int(self._places.ends[number])

    @property
    def shard_samples(self) -> tuple[int, ...]:
        """Number of samples in each shard, in the order of the samples."""
        return self._places.counts

    @property
    def files(self) -> tuple[str, ...]:
        """File name of each shard that has samples, in the order of the samples."""
        return tuple(entry.file for entry in self._pool.entries)

    @property
    def fields(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and stored dtype of each field of a sample; empty for an empty data set."""
        if not self._pool.entries:
            return {}
        shard = self._pool[0]
        return {name: shard.layouts[name] for name in shard.fields}

    def attributes(self, name: str) -> dict[str, Any]:
        """HDF5 attributes of a field: unit, frame, ``scale_factor`` and ``add_offset``; FieldError if there is no such
        field."""
        shard = self._first_shard(name)
        if name not in shard.attributes:
            raise shard.no_field(name)
        return dict(shard.attributes[name])

    def _first_shard(self, name: str) -> OpenShard:
        """A shard that says what a field is; FieldError if there is none."""
        if not self._pool.entries:
            raise FieldError(f"{self.folder}: field {brief(name)!r}: no samples, expected a data set that has some")
        return self._pool[0]

    def _locate(self, key: int | str) -> tuple[OpenShard, int]:
        shard, row = self._places.locate(self.number(key))
        return self._pool[shard], row

    @cached_property
    def names(self) -> list[str]:
        """Every sample's name, in order; not to be changed, since it is made once."""
        listed = listed_names(self.folder, self._pool.entries)
        return [
            name
            for k, names in enumerate(listed)
            for name in self._places.chosen(k, self._pool[k].texts("name") if names is None else names)
        ]

    def column(self, name: str, *, max_bytes: int = MAX_INFLATED_BYTES) -> NDArray[Any]:
        """One stored field of every sample, stacked, in order: for small ones, such as the pose.

        Parameters
        ----------
        name : str
            The field.
        max_bytes : int
            What a shard's compressed field may take in memory; a larger one is refused.

        Returns
        -------
        ndarray
            Texts as bytes.

        Raises
        ------
        DatasetError
            If a shard is missing or damaged. `uvgen.errors.FieldError`, which is also a KeyError, if there is no such
            field, or no sample.
        """
        return self.columns((name,), max_bytes=max_bytes)[name]

    def columns(self, names: Iterable[str], *, max_bytes: int = MAX_INFLATED_BYTES) -> dict[str, NDArray[Any]]:
        """Several fields as `column` gives them, for which each shard is opened once."""
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        for columns in self.shard_columns(tuple(parts), max_bytes=max_bytes):
            for name, values in columns.items():
                parts[name].append(values)
        return {name: np.concatenate(values) if values else self._none(name) for name, values in parts.items()}

    def shard_columns(
        self, names: Sequence[str], *, max_bytes: int = MAX_INFLATED_BYTES
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """The same shard by shard, in order: for fields that take too much memory for all samples together."""
        with self._all_ahead() as ahead:
            for k in range(len(self._pool.entries)):
                shard = self._pool[k]
                yield {
                    name: self._places.chosen(k, decode(shard.column(name, max_bytes), shard.attributes[name]))
                    for name in names
                }
                if ahead is not None:
                    ahead.given = int(self._places.ends[k])

    @cached_property
    def constants(self) -> dict[str, NDArray[Any]]:
        """Arrays that are the same for all samples.

        ``weight_mask`` (U, U) float32, ``coverage`` (U, U) bool, ``landmark_texels`` (68, 2) int32, rows and columns,
        and for `uvgen.LandmarkWeights.of_constants` ``landmark_indices`` and ``landmark_weights``. DatasetError if
        their file is missing, or not the one of the index.
        """
        if self._constants_sha256 is None:
            raise DatasetError(f"{self.folder / DATASET_INDEX}: lists no {CONSTANTS}, expected one; build it again")
        path = self.folder / CONSTANTS
        if self._pool.demands.hashed:
            check_hash(path, self._constants_sha256, self.folder)
        constants = read_constants(self.folder, self.config.build.uv_size)  # says first what is wrong with what is none
        if not self._pool.demands.hashed:
            check_hash(path, self._constants_sha256, self.folder)  # another set's would be taken for this one's
        return constants


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Let an error about the values of a set's samples name the set: no caller gave them."""
    try:
        yield
    except InputError as error:
        raise DatasetError(f"{folder}: {error}; run `uvgen verify {typed(folder)}`") from error


def state_of(reader: ShardReader) -> str:
    """A hash of the shards that a reader has and of its constants, as the index said when it was opened.

    Processes that open a set by its path compare it: numbers of samples mean others once the set was made again.
    """
    digest = hashlib.sha256(f"{reader._constants_sha256}\n".encode())
    for entry in reader._pool.entries:
        digest.update(f"{entry.samples} {entry.sha256} {entry.file}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
