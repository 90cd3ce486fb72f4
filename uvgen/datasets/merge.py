"""Real shards of samples that other shards hold: a part of one data set, or several put together.

Crops, maps and every other field are moved as they are stored: nothing is decoded or rounded again.
"""

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uvgen.checks import check_paths, check_several, shown
from uvgen.datasets.config import UNSTATED, DatasetConfig, check_known
from uvgen.datasets.fields import known_layouts, stored_fields
from uvgen.datasets.make_shards import BuildResult, NewSet, make_shards
from uvgen.datasets.naming import shard_file, subset_of_shard
from uvgen.datasets.open import reader_of
from uvgen.datasets.output_folder import check_output, output_folder
from uvgen.datasets.quality.label_columns import REPEATED, repeated_names, stated_repeated
from uvgen.datasets.quality.survey import NOT_SURVEYED
from uvgen.datasets.record import ShardResult
from uvgen.datasets.source import (
    check_source,
    check_source_constants,
    check_unchanged,
    open_source,
)
from uvgen.datasets.split_files import find_split
from uvgen.errors import DatasetError, InputError
from uvgen.jobs.options import RunOptions, check_run
from uvgen.progress import advance
from uvgen.samples.selection import find_names
from uvgen.shards.constants import CONSTANTS, read_constants
from uvgen.shards.format import Field
from uvgen.shards.index import Index, ShardEntry, data_folder
from uvgen.shards.shard import OpenShard
from uvgen.shards.writer import held_at_once, write_shard
from uvgen.storage.isolated import Hdf5Process
from uvgen.storage.names import brief
from uvgen.wording import are, count

_BATCH = 32
_WRITTEN_ANEW = ("format", "version")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some samples of one shard."""

    folder: Path
    entry: ShardEntry
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MergeTask:
    """One shard to make: its file name, and where its samples are."""

    file: str
    pieces: tuple[Piece, ...]

    @property
    def n_samples(self) -> int:
        """Number of samples in the shard."""
        return sum(len(piece.rows) for piece in self.pieces)

    def names(self) -> frozenset[str]:
        """Names by which samples may be skipped: none, since copying skips nothing."""
        return frozenset()

    def stored_names(self, skipped: Set[str], *, augmented: bool) -> list[str] | None:
        """Names of the shard's samples; None if a source's index does not have them."""
        names = list[str]()
        for piece in self.pieces:
            listed = piece.entry.sample_names
            if listed is None:
                return None
            names += [listed[row] for row in piece.rows]
        return names


@dataclass(frozen=True, slots=True)
class MergeJob:
    """What every process that copies samples needs: where they go, and the configuration of all of them.

    With `resized`, the sources' shards may be of other sizes than the new ones.
    """

    out: Path
    config: DatasetConfig
    untrusted: bool = False
    resized: bool = False

    def open(self) -> Callable[[MergeTask], ShardResult]:
        """The function that makes one shard."""
        return partial(self._make, Hdf5Process() if self.untrusted else None)

    def _make(self, process: Hdf5Process | None, task: MergeTask) -> ShardResult:
        first = task.pieces[0]
        with open_source(first.folder, first.entry, self.config, process)[1] as shard:
            order = {name: k for k, name in enumerate(known_layouts(self.config.build))}
            stored = stored_fields(shard).items()
            # in the order in which a build writes them: all of a set gives the same bytes
            fields = dict(sorted(stored, key=lambda item: order.get(item[0], len(order))))
            attributes = {key: value for key, value in shard.file_attributes.items() if key not in _WRITTEN_ANEW}
            if self.resized:
                stated = {**shard.config, "shard_size": self.config.build.shard_size}
                attributes["config"] = json.dumps(stated, sort_keys=True)
        samples = (sample for piece in task.pieces for sample in self._samples(piece, fields, process))
        batches = _batches(samples, held_at_once(fields, _BATCH))
        return ShardResult(
            write_shard(self.out / task.file, fields, self.config.build.compression, batches, attributes), ()
        )

    def _samples(
        self, piece: Piece, fields: Mapping[str, Field], process: Hdf5Process | None
    ) -> Iterator[dict[str, Any]]:
        expected = self.config.to_plain()
        if self.resized:
            del expected["shard_size"]
        path, opened = open_source(piece.folder, piece.entry, self.config, process)
        with opened as shard:
            check_source(piece.entry, shard, expected)
            found = stored_fields(shard)
            if odd := next((n for n in {**fields, **found} if not _are_alike(fields.get(n), found.get(n))), None):
                raise DatasetError(
                    f"{shard.place}: {odd} differs from the other shards, expected the same in all of them"
                )
            for row in piece.rows:
                yield {name: _stored(shard, name, row) for name in fields}
            check_unchanged(path, piece.entry, shard)


def _are_alike(one: Field | None, other: Field | None) -> bool:
    """Whether two shards store a field in the same way. NaN in an attribute, as netCDF's `_FillValue`, is itself."""
    if one is None or other is None:
        return one is other
    same = replace(one, attributes={}) == replace(other, attributes={})
    return same and one.attributes.keys() == other.attributes.keys() and all(
        _is_same(value, other.attributes[key]) for key, value in one.attributes.items()
    )  # fmt: skip


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    both_nan = all(isinstance(value, float | np.floating) and math.isnan(value) for value in (one, other))
    return both_nan or bool(one == other)


def _batches(samples: Iterator[dict[str, Any]], size: int) -> Iterator[dict[str, list[Any]]]:
    """The same cuts wherever the sources' shards end: a shard's bytes depend on them."""
    while part := list(islice(samples, size)):
        yield {name: [sample[name] for sample in part] for name in part[0]}
        advance(len(part))


def _stored(shard: OpenShard, name: str, row: int) -> Any:
    return shard.encoded_image(row) if name == "image" and shard.has_jpegs else shard.read(name, row)


def merge_shards(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    names: Iterable[str] | str | os.PathLike[str] | None = None,
    split: str | None = None,
    shard_size: int | None = None,
    run: RunOptions = RunOptions(),
    overwrite: bool = False,
    untrusted: bool = False,
    progress: Callable[[ShardResult], object] | None = None,
) -> BuildResult:
    """Make a data set from the samples of others: join several, or copy a part of one.

    Parameters
    ----------
    sources : path-like or sequence of path-like
        Folders that ``uvgen build`` or ``uvgen augment`` made with the same settings and model.
    out : path-like
        Folder for the new shards and `dataset.json`.
    names, split
        Which samples, as for `uvgen.open_shards`; of all sources together for `names`, of each one for `split`. All by
        default.
    shard_size : int, optional
        Samples per new shard, 1 to 2**20; by default, as many as those of the sources have, which must then agree. No
        shard holds samples of two subsets.
    run : RunOptions
        As for `uvgen.build_shards`.
    overwrite : bool
        Replace an existing data set in the folder.
    untrusted : bool
        Read the shards in a child process: see `uvgen.open_shards`.
    progress : callable, optional
        Called with each `ShardResult` as it is finished.

    Returns
    -------
    BuildResult
        It lists no skipped samples: those of a source are listed in the source's own index.

    Raises
    ------
    DatasetError
        If a source is damaged or unfinished, or the output cannot be written or holds something else.
    InputError
        If the sources were made with different settings, two of them have a sample of the same name, one of `names` is
        in none of them, or an argument is of the wrong type.

    Examples
    --------
    >>> uvgen.merge_shards(["afw/", "ibug/"], "both/").samples
    >>> uvgen.merge_shards("shards/", "train/", split="train").samples
    >>> uvgen.merge_shards("shards/", "larger/", shard_size=4096).samples
    """
    check_paths(out=out)
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    check_several(sources, "sources")
    sources = list(sources)
    if wrong := [source for source in sources if not isinstance(source, str | os.PathLike)]:
        raise InputError(f"sources: {shown(wrong[0])}, expected folders of data sets")
    if not sources:
        raise InputError("sources: none, expected folders of data sets")
    folders = [Path(os.path.abspath(data_folder(source))) for source in sources]
    check_run(run)
    out = output_folder(out)
    check_output(out, overwrite=overwrite)
    for folder in folders:
        if out.exists() and folder.exists() and out.samefile(folder):
            raise InputError(f"{out}: is a source, expected another folder for the new shards")
    indexes = [Index.read(folder) for folder in folders]
    config = _common(folders, indexes, shard_size)
    check_source_constants(folders[0], indexes[0])
    samples = _samples(folders, indexes, names, split, untrusted=untrusted)
    _check_fields(folders, indexes, samples, untrusted=untrusted)
    plan = {
        **indexes[0].plan,
        "samples": len(samples),
        "merged_from": _hash_of(indexes),
        "names_sha256": hashlib.sha256("\n".join(sample.name for sample in samples).encode()).hexdigest(),
    }
    plan.pop(REPEATED, None)
    plan.pop(NOT_SURVEYED, None)
    if any(index.plan.get("survey") != plan.get("survey") for index in indexes):
        plan.pop("survey", None)
    if repeated := _repeated(folders, indexes, samples, untrusted=untrusted):
        plan[REPEATED] = repeated
    job = MergeJob(out, config, untrusted, resized=shard_size is not None)
    return make_shards(
        job, _plan(samples, config.build.shard_size), out,
        NewSet(config, plan, read_constants(folders[0], config.build.uv_size)), run, overwrite=overwrite,
        progress=progress, doing="copying",
    )  # fmt: skip


def _hash_of(indexes: Sequence[Index]) -> str:
    """Of the sources' shards, so that a merge does not go on with others."""
    hashes = [sorted(entry.sha256 or "" for entry in index.shards) for index in indexes]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


class _Place(NamedTuple):
    """Where a sample is."""

    name: str
    folder: Path
    entry: ShardEntry
    row: int


def _common(folders: Sequence[Path], indexes: Sequence[Index], shard_size: int | None) -> DatasetConfig:
    """The configuration that all sources have, but for the size of shards if another is asked for."""
    for folder, index in zip(folders, indexes, strict=True):
        if index.missing:
            raise DatasetError(
                f"{folder}: unfinished, {count(index.missing, 'sample')} {are(index.missing)} missing; run what made "
                "it again"
            )
        for key in {**indexes[0].config, **index.config}:
            here, there = (one.config.get(key, UNSTATED.get(key)) for one in (index, indexes[0]))
            if here != there and not (key == "shard_size" and shard_size is not None):
                what = "another model" if key.startswith("model") else _unlike(key, here, there)
                raise InputError(
                    f"{folder}: was made with {what}, expected the settings of {folders[0]}; to train on both, put "
                    "them together as they are read"
                )
        if index.constants_sha256 != indexes[0].constants_sha256:
            raise InputError(f"{folder}: has other {CONSTANTS} than {folders[0]}, expected the same")
    common = DatasetConfig.of_index(indexes[0], folders[0])
    check_known(indexes[0], common, folders[0])
    if shard_size is None:
        return common
    build = replace(common.build, shard_size=shard_size)
    build.check()
    return replace(common, build=build)


def _samples(
    folders: Sequence[Path],
    indexes: Sequence[Index],
    names: Iterable[str] | str | os.PathLike[str] | None,
    split: str | None,
    *,
    untrusted: bool,
) -> list[_Place]:
    """The samples to take, in the order of the new set: by subset, then by source."""
    places = list[_Place]()
    for folder, index in zip(folders, indexes, strict=True):
        reader = reader_of(folder, index, DatasetConfig.of_index(index, folder), untrusted=untrusted)
        listed = iter(reader.names)
        entries = [entry for entry in index.shards if entry.samples]
        every = [_Place(next(listed), folder, entry, row) for entry in entries for row in range(entry.samples)]
        if split is not None:
            every = [every[k] for k in find_split(folder, split, reader.names)]
        places += every
    if names is not None:
        places = [places[k] for k in find_names([place.name for place in places], names)]
    if not places:
        raise InputError(f"{folders[0]}: holds no samples, expected some")
    counts = Counter(place.name for place in places)
    if twice := [name for name, count in counts.items() if count > 1]:
        are_twice = f"{count(len(twice), 'sample')} {are(len(twice))}"
        within = {place.folder for place in places if place.name == twice[0]}
        if len(within) == 1 and len(set(folders)) == len(folders):
            raise InputError(
                f"{within.pop()}: sample {brief(twice[0])} more than once in it ({are_twice}), expected each once; run "
                "`uvgen verify`"
            )
        raise InputError(f"sample {brief(twice[0])}: in two of the data sets ({are_twice}), expected each in only one")
    return sorted(places, key=lambda place: subset_of_shard(place.entry.file))


def _check_fields(
    folders: Sequence[Path], indexes: Sequence[Index], samples: Sequence[_Place], *, untrusted: bool
) -> None:
    """Raise InputError, before any work, unless all sources have the same fields: the new set could not be read."""
    taken = {sample.folder for sample in samples}
    first, fields = folders[0], dict[str, str]()
    for folder, index in zip(folders, indexes, strict=True):
        if folder not in taken:
            continue
        reader = reader_of(folder, index, DatasetConfig.of_index(index, folder), untrusted=untrusted)
        found = {
            name: "text" if dtype.kind == "S" else f"{dtype} {shape}" for name, (shape, dtype) in reader.fields.items()
        }
        first, fields = (first, fields) if fields else (folder, found)
        if odd := sorted(name for name in {**fields, **found} if found.get(name) != fields.get(name)):
            here, there = (of.get(odd[0], "none") for of in (found, fields))
            raise InputError(
                f"{folder}: its {brief(odd[0])} is {here} a sample, that of {first} is {there}, expected the same; to "
                "train on both, put them together as they are read"
            )


def _repeated(
    folders: Sequence[Path], indexes: Sequence[Index], samples: Sequence[_Place], *, untrusted: bool
) -> list[str]:
    """The samples whose annotation is another version's, if the new set may not show that by itself."""
    found = list[str]()
    whole = len(samples) == sum(index.n_samples for index in indexes)
    for folder, index in zip(folders, indexes, strict=True):
        chosen = [sample.name for sample in samples if sample.folder == folder]
        if whole:
            found += stated_repeated(index)
        else:
            reader = reader_of(folder, index, DatasetConfig.of_index(index, folder), untrusted=untrusted)
            found += repeated_names(reader, chosen)
    there = set(found)
    return [sample.name for sample in samples if sample.name in there]


def _plan(samples: Sequence[_Place], shard_size: int) -> list[MergeTask]:
    """Cut a sorted list of samples into shards, none across subsets."""
    tasks = []
    for subset, members in groupby(samples, key=lambda place: subset_of_shard(place.entry.file)):
        listed = list(members)
        for block, first in enumerate(range(0, len(listed), shard_size)):
            part = groupby(listed[first : first + shard_size], key=lambda place: (place.folder, place.entry))
            pieces = tuple(Piece(folder, entry, tuple(place.row for place in rows)) for (folder, entry), rows in part)
            tasks.append(MergeTask(shard_file(subset, block), pieces))
    return tasks


def _unlike(key: str, here: Any, there: Any) -> str:
    """A setting as two sets have it, of which one may lack it."""
    if here is None:
        return f"no {key}, not {brief(there)}"
    return f"{key} = {brief(here)}, not {'without' if there is None else brief(there)}"
