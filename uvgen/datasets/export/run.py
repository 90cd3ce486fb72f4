"""Writing a data set in another layout: the shards are the tasks, on any number of processes.

Crops become JPEG files, which loses a little; maps stay exact: float32 ``.npy``.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from uvgen._version import __version__
from uvgen.checks import choice, number_in
from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.export import files, prnet, webdataset
from uvgen.datasets.export.common import Part
from uvgen.datasets.open import open_shards, own_model
from uvgen.errors import InputError, OutputError, SettingsError
from uvgen.images.codecs import JPEG_QUALITY
from uvgen.jobs.run import RETRIES, check_run, run
from uvgen.shards.index import DATASET_INDEX, Index, data_folder
from uvgen.shards.reader import ShardReader
from uvgen.storage.files import (
    beside,
    check_folder,
    check_new_folder,
    draft_of,
    exchange,
    folder_on_success,
    sha256_file,
)
from uvgen.storage.folders import EXPORT_MARK
from uvgen.storage.journal import Journal
from uvgen.storage.locks import exclusive
from uvgen.storage.names import brief
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import read_file

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel

TARGETS: dict[str, ModuleType] = {"webdataset": webdataset, "npy": files, "prnet": prnet}
"""What a data set can be written as."""

_RECORD = ".uvgen-journal"
_LONGEST_NAME = 4096  # characters, as long as a path may be
_MOST_OF_NAMES = 1 << 28  # characters of all names, as NumPy keeps them: each as long as the longest


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What `uvgen.export_shards` wrote: how many samples, which files, and the seconds that it took."""

    samples: int
    files: tuple[Path, ...]
    seconds: float


def export_shards(
    shards: str | os.PathLike[str],
    out: str | os.PathLike[str],
    to: str,
    *,
    model: "MorphableModel | str | os.PathLike[str] | None" = None,
    quality: int = JPEG_QUALITY,
    names: Iterable[str] | str | os.PathLike[str] | None = None,
    split: str | None = None,
    workers: int = 1,
    retries: int = RETRIES,
    timeout: float | None = None,
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
    to : {"webdataset", "npy", "prnet"}
        See `uvgen.datasets.export.webdataset`, `uvgen.datasets.export.files` and `uvgen.datasets.export.prnet`. All
        have the weight mask as ``weight_mask.npy``.
    model : MorphableModel or path-like, optional
        The model that the set was built with; makes maps that are not stored.
    quality : int
        Of the JPEG files, 1 to 100; colors are not subsampled.
    names, split
        Which samples, as for `uvgen.open_shards`; all by default.
    workers : int
        Processes; 1 works in this one, unless there is a `timeout`.
    retries : int
        How often a shard is tried again whose process died or took too long; then the export ends.
    timeout : float, optional
        Seconds that a shard may take before its process is killed.
    overwrite : bool
        Replace an export that is in the folder, once the new one is complete.
    untrusted : bool
        Read the shards, and `model` where it is a file, in child processes: see `uvgen.open_shards`.
    progress : callable, optional
        Called after each shard with the number of its samples.

    Returns
    -------
    ExportResult

    Raises
    ------
    InputError
        Where `to` is unknown, the data set lacks images or maps, or two samples would get the same file.
    ModelError
        Where the model is not the set's.
    DatasetError
        Where the data set is damaged, or `out` cannot be written, holds something else, or an export that may not be
        overwritten.

    Examples
    --------
    >>> uvgen.export_shards("shards/", "tars/", "webdataset", workers=8).samples
    """
    started = time.perf_counter()
    choice(to, "to", tuple(TARGETS))
    number_in(quality, "quality", 1, 100, whole=True)
    check_run(workers, retries=retries, timeout=timeout)
    out = Path(os.path.abspath(out))
    check_export_folder(out, overwrite=overwrite)
    if model is not None:
        from uvgen.models.load import as_model

        model = as_model(model, untrusted=untrusted)
    else:
        folder = data_folder(shards)
        model = own_model(DatasetConfig.of_index(Index.read(folder), folder))
    reader = open_shards(shards, model, names=names, split=split, untrusted=untrusted)
    if not len(reader):
        raise InputError(f"{shards}: holds no samples, expected one or more")
    if "image" not in reader.fields:
        raise InputError(f"{shards}: has no images, expected a data set with crops")
    if "posmap" not in reader.fields and model is None:
        raise InputError(f"{shards}: stores no maps; give the model that it was built with, to make them")
    _check_names(reader, TARGETS[to])
    ends = [*accumulate(reader.shard_samples)]
    counts = zip(reader.files, reader.shard_samples, ends, strict=True)
    parts = [Part(Path(file).stem, range(end - n, end)) for file, n, end in counts]
    replaces = overwrite and _is_export(out)
    target = beside(out) if replaces else out
    with exclusive(draft_of(target)) as check_there, _in_place(target, out) as draft:
        settings = {"index": sha256_file(reader.folder / DATASET_INDEX), "to": to, "quality": quality}
        chosen = None if names is None and split is None else tuple(reader.names)
        if chosen is not None:
            settings["names"] = hashlib.sha256("\n".join(chosen).encode()).hexdigest()
        job = ExportJob(reader.folder, model, to, quality, draft, untrusted, chosen)
        record = _ExportRecord(draft, settings, reader, TARGETS[to], check_there)
        counted = None if progress is None else lambda part: progress(len(part.samples))
        how: dict[str, Any] = {"workers": workers, "retries": retries, "timeout": timeout, "progress": counted}
        run(job, parts, record, draft, **how, doing="exporting", count=lambda part: len(part.samples), locked=True)
    files = tuple(sorted(path for path in out.rglob("*") if path.is_file() and path.name != EXPORT_MARK))
    return ExportResult(len(reader), files, time.perf_counter() - started)


def check_export_folder(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError unless an export can be made there; SettingsError where one is, and may not be replaced."""
    if not _is_export(out):
        check_new_folder(out)
    elif not overwrite:
        raise SettingsError(f"{out}: holds an export already; choose another folder, or overwrite it")
    elif _count_files(out) != _stated_files(out):
        raise OutputError(f"{out}: holds other files than its export had; move yours away, or choose another folder")
    check_folder(out.absolute().parent, out)


def _is_export(folder: Path) -> bool:
    return (folder / EXPORT_MARK).is_file() and not (folder / EXPORT_MARK).is_symlink()


def _count_files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _stated_files(folder: Path) -> Any:
    try:
        return parse_json(read_file(folder / EXPORT_MARK, 1 << 16).decode()).get("files")
    except (OSError, ValueError, AttributeError):
        return None


@contextmanager
def _in_place(target: Path, out: Path) -> Iterator[Path]:
    """The draft of a folder, which becomes `target`, and then takes the place of `out` where that is another one."""
    if target != out:
        shutil.rmtree(target, ignore_errors=True)  # of a run that was killed before it took the old one's place
    with folder_on_success(target) as draft:
        yield draft
    if target != out:
        exchange(target, out)


@dataclass(frozen=True, slots=True, eq=False)
class ExportJob:
    """What every process of an export needs: the data set's folder and model, the target, and the folder to fill."""

    shards: Path
    model: "MorphableModel | None"
    to: str
    quality: int
    draft: Path
    untrusted: bool
    names: tuple[str, ...] | None  # of the samples, where not all are written

    def open(self) -> Callable[[Part], Part]:
        """The function that writes the samples of one shard."""
        reader = open_shards(self.shards, self.model, names=self.names, untrusted=self.untrusted)

        def write(part: Part) -> Part:
            TARGETS[self.to].write(reader, part, self.draft, self.quality)
            os.sync()  # before the record says that they are there
            return part

        return write


class _ExportRecord:
    """A journal in the draft that lists the finished shards; it is deleted when the export is complete."""

    def __init__(
        self, draft: Path, settings: dict[str, Any], reader: ShardReader, target: ModuleType,
        check_there: Callable[[], None],
    ) -> None:  # fmt: skip
        self._draft, self._reader, self._target, self._check_there = draft, reader, target, check_there
        self._settings, self._journal = settings, Journal(draft / _RECORD, settings)
        self._finished: set[str] = set()

    def resume(self) -> None:
        """Go on with a draft of the same export; empty another one."""
        self._finished = {name for name in self._journal.read() if isinstance(name, str)}
        if self._finished:
            return
        self._journal.remove()
        for path in self._draft.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def is_finished(self, part: Part) -> bool:
        """Whether a shard's samples are all written."""
        return part.name in self._finished

    def add(self, part: Part) -> None:
        """Note a shard."""
        self._check_there()
        self._journal.append(part.name)

    def pause(self) -> None:
        """The journal has it all."""
        self._journal.close()

    def finish(self) -> None:
        """Write the files that exist once per data set."""
        weights = self._reader.constants.get("weight_mask")
        if weights is not None:
            np.save(self._draft / "weight_mask.npy", weights)
        self._target.finish(self._reader, self._draft)
        self._journal.remove()
        stated = {**self._settings, "uvgen": __version__, "samples": len(self._reader)}
        stated["convention"] = self._reader.config.build.convention
        stated["files"] = _count_files(self._draft) + 1
        (self._draft / EXPORT_MARK).write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")


def _check_names(reader: ShardReader, target: ModuleType) -> None:
    """Raise InputError where two samples would be written to the same file, or names would fill the memory."""
    names = reader.names
    if (longest := max(map(len, names), default=0)) > _LONGEST_NAME and longest * len(names) > _MOST_OF_NAMES:
        raise InputError(f"a sample's name of {longest} characters, expected {_LONGEST_NAME} at most")
    taken = set(getattr(target, "RESERVED", ()))
    for name in names:
        key = target.key(name)
        if key in taken:
            raise InputError(
                f"sample {brief(key)!r}: two samples map to this file name; export them to separate folders"
            )
        taken.add(key)
    folders = {str(parent) for key in taken for parent in PurePosixPath(key).parents}
    for ending in getattr(target, "ENDINGS", ()):
        if clash := next(
            (folder for folder in folders if folder.endswith(ending) and folder.removesuffix(ending) in taken), None
        ):
            raise InputError(
                f"sample {brief(clash.removesuffix(ending))!r}: its file has the name of another sample's folder, "
                f"{brief(clash)!r}; export them to separate folders"
            )
