"""The folder that a data set is made in: whether it can take one, and what lies there already."""

import os
from pathlib import Path

from uvgen.errors import DatasetError, OutputError, SettingsError
from uvgen.shards.constants import CONSTANTS
from uvgen.shards.format import is_shard
from uvgen.shards.index import Index, fetch_index
from uvgen.storage.files import check_folder
from uvgen.storage.folders import DATASET_INDEX, EXPORT, FIT_INDEX, REPORT, SHARD_NAME, SYNTH_INDEX, folder_kind
from uvgen.storage.isolated import reading_in_child
from uvgen.storage.objects import listed
from uvgen.storage.reading import is_elsewhere
from uvgen.storage.transfers import MissingError
from uvgen.storage.urls import local_path, url_of


def check_output(out: Path, *, overwrite: bool = False) -> None:
    """Raise OutputError, before any work, if a folder cannot take shards: it cannot be written or holds no data set.

    A set that is there may be finished, and on a disk that is only read: nothing is written then.
    """
    if url_of(out):
        check_store(out)
        if not overwrite and (out / DATASET_INDEX).exists():
            read_begun(out)
    elif not (out / DATASET_INDEX).exists():
        check_folder(out)
        if (out / SYNTH_INDEX).exists():
            raise OutputError(f"{out}: holds samples that uvgen synth made; choose another folder for the shards")
        if (out / FIT_INDEX).exists():
            raise OutputError(f"{out}: holds samples that uvgen fit made; choose another folder for the shards")
        if out.is_dir() and (kind := folder_kind(out)) in (EXPORT, REPORT):
            raise OutputError(f"{out}: is {kind}; choose another folder for the shards")
        _check_foreign(out, overwrite=overwrite)
    elif overwrite:
        check_folder(out, may_be_full=True)
    else:
        read_begun(out)


def output_folder(out: str | os.PathLike[str]) -> Path:
    """The absolute path of a folder to write into, as workers may have another working folder; of a URL, its mirror."""
    return Path(os.path.abspath(local_path(out)))


def check_store(out: Path) -> None:
    """Bring the mirror's index up to that of the store; OutputError if something else than a set is there."""
    try:
        fetch_index(out)
    except MissingError:
        (out / DATASET_INDEX).unlink(missing_ok=True)
        for name in sorted(listed(out)):
            if name == CONSTANTS or SHARD_NAME.fullmatch(name):
                raise OutputError(
                    f"{out / name}: exists, but no {DATASET_INDEX} lists it; choose another place, or delete "
                    "what is left of a data set there"
                ) from None


def _check_foreign(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError if a folder without an index holds files of the names that a data set has."""
    named = [out / CONSTANTS, *named_like_shards(out)] if out.is_dir() else []
    with reading_in_child(overwrite):  # anybody may have written them
        for path in sorted(named):
            if os.path.lexists(path) and not (overwrite and (path.name == CONSTANTS or is_shard(path))):
                problem = f"{path}: exists, but no {DATASET_INDEX} lists it; choose another folder"
                if overwrite:
                    raise OutputError(problem)
                raise SettingsError(f"{problem}, or overwrite what is left of a data set")


def named_like_shards(folder: Path) -> list[Path]:
    """The files of a folder that have names like those of shards."""
    return [path for path in folder.iterdir() if SHARD_NAME.fullmatch(path.name)]


def read_begun(folder: Path) -> Index:
    """The index of a set that is there; SettingsError if it cannot be used, as that of an earlier version."""
    try:
        return Index.read(folder)
    except DatasetError as error:
        if is_elsewhere(error.__cause__):  # the set may be whole: it is not what should be overwritten
            raise
        raise SettingsError(f"{error}; choose another output folder, or overwrite this one") from error
