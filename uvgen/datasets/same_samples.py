"""Check that an unfinished set was made from the samples that are given now, not from others with the same names."""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.naming import original_name
from uvgen.datasets.open import reader_of
from uvgen.datasets.record import index_of_begun
from uvgen.errors import DatasetError, InputError, SampleError, SettingsError
from uvgen.samples.files import check_machine
from uvgen.samples.find import Sample, find_samples
from uvgen.samples.read import read_annotation
from uvgen.samples.stored import at_hand
from uvgen.shards.reader import ShardReader
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.names import brief, printable
from uvgen.storage.urls import url_of

_N_COMPARED = 16
_STATED = {"shape", "expression", "pose"}  # see `parameters_of`


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


class _Compared:
    """A set's stored samples beside what files say of them now.

    Parameters
    ----------
    reader : ShardReader
        The set.
    stated_of : callable
        What a sample's files say of fields that are stored as they are.
    fields : set of str
        Those that count.
    """

    def __init__(
        self, reader: ShardReader, stated_of: Callable[[Any], Mapping[str, NDArray[Any]]], fields: Set[str]
    ) -> None:
        self._reader, self._stated_of, self._fields = reader, stated_of, fields
        self._moved: dict[str, dict[bytes, list[str]]] = {}  # by the names that rows share

    def _stated(self, sample: Any) -> dict[str, NDArray[Any]]:
        with at_hand([sample]) as (here, _):
            return {name: values for name, values in self._stated_of(here[0]).items() if name in self._fields}

    def differing(self, row: int, sample: Any, *, with_image: bool) -> str:
        """The first field of which a stored sample has other values than are stated now, or was made of another image;
        "" if there is none. SampleError or DatasetError if a file cannot be read."""
        stated = self._stated(sample)
        stored = self._reader.gather([row], stated)
        if odd := [name for name in stated if not np.array_equal(stored[name][0], stated[name])]:
            return odd[0]
        return "source" if with_image and self._source(row) != _source_of(sample, self._reader) else ""

    def has_moved(self, row: int, sample: Sample, there: Mapping[str, int]) -> bool:
        """Whether a stored sample of several of one name is what another row of its name states, which has not kept its
        own place: they may have changed places. Those that cannot be read say nothing."""
        if sample.list_path is None or "pose" not in self._fields:  # without it, two faces may state the same
            return False
        if sample.shared_name not in self._moved:
            rows = _by_shared_name(sample.list_path).get(sample.shared_name, ())
            self._moved[sample.shared_name] = self._moved_of(rows, there)
        return any(name != sample.name for name in self._moved[sample.shared_name].get(self._key_of(row), ()))

    def _moved_of(self, rows: Sequence[Sample], there: Mapping[str, int]) -> dict[bytes, list[str]]:
        """By what they state, rows whose stored sample is another, or none: names of two at most."""
        moved: dict[bytes, list[str]] = {}
        for one in rows:
            try:
                key = self._key(self._stated(one), _source_of(one, self._reader))
            except (SampleError, DatasetError) as error:
                check_machine(error)
                continue
            names = moved.setdefault(key, [])
            if len(names) < 2 and (one.name not in there or self._key_of(there[one.name]) != key):
                names.append(one.name)
        return moved

    def _source(self, row: int) -> str:
        if "source" not in self._reader.fields:
            return ""
        (source,) = self._reader.gather([row], ["source"])["source"]
        return PurePosixPath(source).name

    def _key_of(self, row: int) -> bytes:
        stored = self._reader.gather([row], self._fields & _STATED)
        return self._key({name: values[0] for name, values in stored.items()}, self._source(row))

    def _key(self, values: Mapping[str, NDArray[Any]], source: str) -> bytes:
        """The same for the same values and image."""
        digest = hashlib.sha256(source.encode("utf-8", "surrogatepass"))
        for name in sorted(values.keys() & _STATED):
            digest.update(np.asarray(values[name], np.float64).tobytes())
        return digest.digest()


def _source_of(sample: Any, reader: ShardReader) -> str:
    """What `source` says of a sample's image, as far as it is compared; "" where a set has no such field."""
    return "" if sample.image is None or "source" not in reader.fields else printable(sample.image.name)


@lru_cache(maxsize=1)
def _by_shared_name(list_path: Path) -> dict[str, list[Sample]]:
    """The rows of a list of which several have one name, also those that were not chosen."""
    found: dict[str, list[Sample]] = {}
    with suppress(DatasetError, InputError):  # it has changed since, which its rows say
        for sample in find_samples(list_path):
            if sample.shared_name:
                found.setdefault(sample.shared_name, []).append(sample)
    return found


def parameters_of(sample: Sample) -> dict[str, NDArray[Any]]:
    """Of a sample's `.mat`, by the names of the fields that store them."""
    stated = read_annotation(sample)
    return {"shape": stated.shape, "expression": stated.expression, "pose": stated.pose}


def check_same_samples(
    out: Path,
    samples: Sequence[Any],
    config: BuildConfig,
    stated_of: Callable[[Any], Mapping[str, NDArray[Any]]] = parameters_of,
    *,
    some_may_differ: bool = False,
) -> None:
    """Raise SettingsError, before any work, if a set holds samples of these names with other parameters.

    A few are compared, evenly spread: those of another folder of photographs, and those that were fitted again, differ
    in all of them. What cannot be read is left to the build.

    Parameters
    ----------
    out : Path
        The set's folder, perhaps without one. A set in an object store is not compared.
    samples : sequence of Sample
        What it is to be made of.
    config : BuildConfig
        What it is made with.
    stated_of : callable
        What a sample's files say of fields that are stored as they are.
    some_may_differ : bool
        Whether the samples must all differ for the set to be refused; otherwise one is enough.
    """
    if url_of(out) is not None or not (out / DATASET_INDEX).exists():
        return
    try:
        index = index_of_begun(out)
        there_is = [entry for entry in index.shards if _has_size(out / entry.file, entry.size_bytes)]
        index = replace(index, shards=there_is)  # the others are made again
        built = DatasetConfig.of_index(index, out)
        if built.build.to_plain() != config.to_plain():  # refused for that
            return
        reader = reader_of(out, index, built)
        augmentation = config.augmentation
        there = {name if augmentation is None else original_name(name): k for k, name in enumerate(reader.names)}
        fields = {*reader.fields}
        if augmentation is not None and augmentation.turns:
            fields -= {"pose"}
    except DatasetError:
        return
    known = [(sample, row) for sample in samples if (row := there.get(sample.name)) is not None]
    refusal = ""
    spread = np.linspace(0, len(known) - 1, min(_N_COMPARED, len(known))).astype(int).tolist()
    _by_shared_name.cache_clear()  # the list may have changed since
    compared = _Compared(reader, stated_of, fields)
    sharing = {k for k, (sample, _) in enumerate(known) if isinstance(sample, Sample) and sample.shared_name}
    for k in sorted(sharing | {*spread}):
        sample, row = known[k]
        try:
            odd = compared.differing(row, sample, with_image=k in sharing)
        except (SampleError, DatasetError) as error:
            check_machine(error)
            if k in sharing and isinstance(error, SampleError) and compared.has_moved(row, sample, there):
                raise SettingsError(
                    f"{out}: holds {brief(sample.name)} with the values of another row of its name, and {error}: the "
                    "rows may have changed places; mend it, choose another output folder, or overwrite this one"
                ) from error
            continue
        if not odd and some_may_differ:
            return
        if odd:
            refusal = refusal or (
                f"{out}: holds {brief(sample.name)} with other values of {odd} than {sample.stated_in}: it is of "
                "another folder whose samples have the same names, or was changed since; choose another output "
                "folder, or overwrite this one"
            )
        if refusal and not some_may_differ:
            break
    if refusal:
        raise SettingsError(refusal)
