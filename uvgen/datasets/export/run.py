"""Writing a data set in another layout: the shards are the tasks, on any number of processes.

Crops become JPEG files, which loses a little; maps stay exact: float32 ``.npy``.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from uvgen.checks import check_optional_paths, check_paths, choice, number_in
from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.export.common import Part, Skipped, pixel_layouts
from uvgen.datasets.export.folder import ExportRecord, Written, check_export_folder, in_place, is_export, written
from uvgen.datasets.export.targets import EXPORT_TARGETS, ExportTarget, check_target
from uvgen.datasets.open import builtin_of_set, check_same_set, open_shards, own_model
from uvgen.datasets.split_files import check_train_and_val
from uvgen.described import described
from uvgen.errors import DatasetError, InputError
from uvgen.images.jpeg import JPEG_QUALITY
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import run_job
from uvgen.models.load import check_model_file
from uvgen.shards.index import Index, data_folder
from uvgen.shards.reader import ShardReader, state_of
from uvgen.storage.drafts import beside, draft_of
from uvgen.storage.files import folds_case, sha256_file
from uvgen.storage.folders import DATASET_INDEX, EXPORT_MARK
from uvgen.storage.locks import exclusive
from uvgen.storage.names import brief, same_name, shortened
from uvgen.wording import are, count, none_can_be

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel

_LONGEST_NAME = 4096  # characters, as long as a path may be
_MOST_OF_NAMES = 1 << 28  # characters of all names, as NumPy keeps them: each as long as the longest


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The result of `uvgen.export_shards`.

    Attributes
    ----------
    samples : int
        How many samples were written.
    files : tuple of Path
        The files of the export, sorted.
    seconds : float
        How long it took.
    skipped : tuple of Skipped
        Samples that were left out, and why.
    unwritten : tuple of str
        Per-pixel targets that the set has and the layout has no place for.
    """

    samples: int
    files: tuple[Path, ...]
    seconds: float
    skipped: tuple[Skipped, ...] = ()
    unwritten: tuple[str, ...] = ()

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen export --json` prints it."""
        return {
            "samples": self.samples,
            "files": [str(path) for path in self.files],
            "skipped": [skip._asdict() for skip in self.skipped],
            "unwritten": list(self.unwritten),
            "seconds": self.seconds,
        }


def export_shards(
    shards: str | os.PathLike[str],
    out: str | os.PathLike[str],
    to: str,
    *,
    model: "MorphableModel | str | os.PathLike[str] | None" = None,
    data: str | os.PathLike[str] | None = None,
    convention: str | None = None,
    quality: int = JPEG_QUALITY,
    names: Iterable[str] | str | os.PathLike[str] | None = None,
    split: str | None = None,
    run: RunOptions = RunOptions(),
    overwrite: bool = False,
    untrusted: bool = False,
    progress: Callable[[int], object] | None = None,
) -> ExportResult:
    """Write a data set in another layout.

    Parameters
    ----------
    shards : path-like
        Folder that ``uvgen build`` made.
    out : path-like
        Folder to make. It appears once it is complete; a run that was killed is continued by the next one, and one that
        fails leaves nothing.
    to : {"webdataset", "npy", "prnet", "reshow", "deep3d", "stn", "huggingface", "tfrecord", "mds", "obj", "ply", \
"glb", "croissant"}
        See the modules of these names in `uvgen.datasets.export`; "npy" is `uvgen.datasets.export.files`. All that
        write maps have the weight mask as ``weight_mask.npy``.
    model : MorphableModel or path-like, optional
        The model that the set was built with; makes maps that are not stored. "prnet" and "stn" need it, except for a
        set of the built-in model.
    data : path-like, optional
        The images that the set was built from, as ``uvgen build`` took them; "deep3d" needs it.
    convention : str, optional
        For "reshow": where its labels lie, see `uvgen.datasets.export.reshow`.
    quality : int
        Quality of the JPEG files, 1 to 100; colors are not subsampled. Some targets write none.
    names, split
        Which samples, as for `uvgen.open_shards`; all by default.
    run : RunOptions
        On how many processes; a task is a shard. If processes die at one again and again, the export ends.
    overwrite : bool
        Replace an export that is in the folder, once the new one is complete.
    untrusted : bool
        Read the shards, and `model` if it is a file, in child processes: see `uvgen.open_shards`.
    progress : callable, optional
        Called after each shard with the number of its samples.

    Returns
    -------
    ExportResult

    Raises
    ------
    InputError
        If `to` is unknown, needs `model` or `data` and does not get it, the data set lacks images or maps, two samples
        would get the same file, or an argument is of the wrong type.
    DependencyError
        If the target needs a package that is not installed.
    ModelError
        If the model is not the set's.
    DatasetError
        If the data set is damaged, or `out` cannot be written, holds something else, or an export that may not be
        overwritten.

    Examples
    --------
    >>> uvgen.export_shards("shards/", "tars/", "webdataset").samples
    """
    check_paths(shards=shards, out=out)
    check_optional_paths(data=data)
    started = time.perf_counter()
    choice(to, "to", tuple(EXPORT_TARGETS))
    target = EXPORT_TARGETS[to]
    if target.check_packages is not None:
        target.check_packages()
    quality = number_in(quality, "quality", 1, 100, whole=True)
    check_run(run)
    if model is None and target.needs_model:
        model = builtin_of_set(shards)
    more = check_target(to, {"model": model, "data": data, "convention": convention})
    if target.is_whole and (names is not None or split is not None):
        raise InputError(f"{'split' if names is None else 'names'}: given, expected none: {to} describes whole shards")
    out = Path(os.path.abspath(out))
    check_export_folder(out, overwrite=overwrite)
    if model is not None:
        from uvgen.models.load import as_model

        model = as_model(model, untrusted=untrusted)
    elif target.has_maps:
        folder = data_folder(shards)
        model = own_model(DatasetConfig.of_index(Index.read(folder), folder))
    if target.is_whole:
        data_folder(shards, changes=f"{to} describes the files beside it")
    reader = open_shards(shards, model, names=names, split=split, untrusted=untrusted)
    if not len(reader):
        raise InputError(f"{shards}: holds no samples, expected one or more")
    _check_source(reader, out, target, whole=names is None and split is None, untrusted=untrusted)
    if "image" not in reader.fields:
        raise InputError(f"{shards}: has no images, expected a data set with crops")
    if target.has_maps and "posmap" not in reader.fields and model is None:
        raise InputError(f"{shards}: stores no maps; give the model that it was built with, to make them")
    _check_names(reader, target, out)
    if target.check_set is not None:
        target.check_set(reader, out, **more)
    ends = [*accumulate(reader.shard_samples)]
    counts = zip(reader.files, reader.shard_samples, ends, strict=True)
    parts = [Part(Path(file).stem, range(end - n, end)) for file, n, end in counts]
    replaces = overwrite and is_export(out)
    place = beside(out) if replaces else out
    with exclusive(draft_of(place), out) as check_there, in_place(place, out) as draft:
        settings = {"index": sha256_file(reader.folder / DATASET_INDEX), "to": to, "quality": quality}
        settings |= {name: str(value) for name, value in more.items() if name != "model"}  # that is the index's
        chosen = None if names is None and split is None else tuple(reader.names)
        if chosen is not None:
            settings["names"] = hashlib.sha256("\n".join(chosen).encode()).hexdigest()
        job = ExportJob(reader.folder, state_of(reader), model, to, quality, draft, untrusted, chosen, more)
        labels = str(more.get("convention", target.labels or reader.config.build.convention))
        clean = None if target.clean is None else partial(target.clean, reader, draft)
        inputs = "" if target.inputs is None else target.inputs(reader, **more)
        record = ExportRecord(draft, settings, parts, check_there, partial(_finish, reader, job), labels, clean, inputs)
        counted = None if progress is None else lambda written: progress(len(written.part.samples))
        run_job(
            job, parts, record, draft, run, progress=counted, doing="exporting", count=lambda part: len(part.samples),
            locked=True,
        )  # fmt: skip
    files = tuple(sorted(path for path in out.rglob("*") if path.is_file() and path.name != EXPORT_MARK))
    skipped = tuple(record.skipped)
    unwritten = () if target.has_pixels else tuple(pixel_layouts(reader))
    return ExportResult(len(reader) - len(skipped), files, time.perf_counter() - started, skipped, unwritten)


@dataclass(frozen=True, slots=True, eq=False)
class ExportJob:
    """What every process of an export needs: the data set's folder and model, the target, and the folder to fill."""

    shards: Path
    state: str  # of the set as the command opened it
    model: "MorphableModel | None"
    to: str
    quality: int
    draft: Path
    untrusted: bool
    names: tuple[str, ...] | None  # of the samples, if not all are written
    more: Mapping[str, Any]  # arguments that the target takes

    def keywords(self) -> dict[str, Any]:
        """What the target's functions get besides the samples."""
        return {name: self.model if name == "model" else value for name, value in self.more.items()}

    def open(self) -> Callable[[Part], Written[Part]]:
        """The function that writes the samples of one shard."""
        reader = open_shards(self.shards, self.model, names=self.names, untrusted=self.untrusted, check=True)
        check_same_set(reader, self.state)
        keywords = self.keywords()

        def write(part: Part) -> Written[Part]:
            def into(folder: Path) -> list[Skipped]:
                skipped = EXPORT_TARGETS[self.to].module.write(reader, part, folder, self.quality, **keywords)
                check_model_file(self.model)
                return skipped or []

            return written(self.draft, part, into)

        return write


def _finish(reader: ShardReader, job: ExportJob, skipped: list[Skipped]) -> int:
    """Write the files that exist once per data set; how many samples there are."""
    if skipped:
        gone = {skip.name for skip in skipped}
        reader = reader.subset([number for number, name in enumerate(reader.names) if name not in gone])
        if not len(reader):
            raise DatasetError(none_can_be(f"written as {job.to}", len(gone), "sample", skipped[0].reason))
    weights = reader.constants.get("weight_mask")
    target = EXPORT_TARGETS[job.to]
    if weights is not None and target.has_maps:
        np.save(job.draft / "weight_mask.npy", weights)
    target.module.finish(reader, job.draft, **job.keywords())
    if target.is_whole:  # it describes the files as they are by now
        check_same_set(open_shards(job.shards, untrusted=job.untrusted), job.state)
    check_model_file(job.model)
    return len(reader)


def _check_source(reader: ShardReader, out: Path, target: ExportTarget, *, whole: bool, untrusted: bool) -> None:
    """Raise an error if the set cannot be exported whole, or its parts cannot be told, or it lies in `out`."""
    if Path(os.path.realpath(reader.folder)).is_relative_to(os.path.realpath(out)):
        raise InputError(f"{out}: holds the data set, expected another folder for the export")
    index = Index.read(reader.folder)
    if whole and index.missing:
        raise DatasetError(
            f"{reader.folder}: unfinished, {count(index.missing, 'sample')} {are(index.missing)} missing; run what "
            "made it again, or choose samples that are there (names, split)"
        )
    if target.has_parts:
        every = reader if whole else open_shards(reader.folder, untrusted=untrusted)
        check_train_and_val(reader.folder, every.names, reader.names)


def _check_names(reader: ShardReader, target: ExportTarget, out: Path) -> None:
    """Raise InputError if two samples would be written to the same file, or names would fill the memory."""
    names = reader.names
    if (longest := max(map(len, names), default=0)) > _LONGEST_NAME and longest * len(names) > _MOST_OF_NAMES:
        raise InputError(f"a sample's name of {count(longest, 'character')}, expected {_LONGEST_NAME} at most")
    file, n = Counter(shortened(Path(file).stem) for file in reader.files).most_common(1)[0]
    if n > 1:
        raise InputError(f"{brief(file)}: two shards' names are shortened to this one; build the set anew, or merge it")
    taken = dict.fromkeys(target.reserved, "")
    for name in names:
        key = target.module.key(name)
        if key in taken:
            both = f": {brief(taken[key])!r} and {brief(name)!r}" if taken[key] else ", or one and the export's own"
            raise InputError(
                f"sample {brief(key)!r}: two samples map to this file name{both}; export them to separate folders"
            )
        taken[key] = name
    alike: dict[str, str] = {}
    folded = ((alike.setdefault(same_name(key).casefold(), key), key) for key in sorted(taken))
    if (two := next((pair for pair in folded if pair[0] != pair[1]), None)) and folds_case(out):
        raise InputError(
            f"samples {brief(two[0])!r} and {brief(two[1])!r}: one file name on the disk of {out}, which does not tell "
            "capitals from small letters; export them to separate folders, or to another disk"
        )
    folders = {str(parent) for key in taken for parent in PurePosixPath(key).parents}
    if own := sorted(folders.intersection(target.own_files)):
        raise InputError(
            f"a sample's folder {brief(own[0])!r}: a file of the export's own has this name; choose the samples of "
            "other folders (names), or another target"
        )
    for ending in target.endings:
        if clash := next(
            (folder for folder in folders if folder.endswith(ending) and folder.removesuffix(ending) in taken), None
        ):
            raise InputError(
                f"sample {brief(clash.removesuffix(ending))!r}: its file has the name of another sample's folder, "
                f"{brief(clash)!r}; export them to separate folders"
            )
