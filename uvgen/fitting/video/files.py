"""The folder of a video's frames while it is made: hidden until it is complete."""

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from uvgen.errors import DatasetError, OutputError, UvgenError
from uvgen.fitting.written import note
from uvgen.storage.folders import is_passed_over
from uvgen.storage.names import os_reason, printable

SCRATCH = ".uvgen-frames-"
"""How the names of hidden folders in the output folder begin."""

MARK = ".uvgen-video"  # a file in each folder of frames, by whose lines a later run knows which files it may replace
_OURS = re.compile(r"frame_\d{6,}\.(mat|jpg|jpeg|png|bmp|webp)|\.uvgen-video|\.found")


def make_scratch(scratch: Path) -> None:
    """Make a video's hidden folder, or go on with one that an interrupted run left.

    Raises OutputError if what has its name is a link or holds something else, and DatasetError if it cannot be made.
    """
    if scratch.is_symlink():
        raise OutputError(f"{scratch}: is a link, expected a folder; remove it")
    try:
        scratch.mkdir(exist_ok=True)
        strange = _strange(scratch)
    except OSError as error:
        raise DatasetError(f"{scratch}: cannot be made ({os_reason(error)})") from error
    if strange is not None:
        raise OutputError(
            f"{scratch}: holds something else ({printable(strange)}), expected what an interrupted run left; remove it"
        )


def _strange(folder: Path) -> str | None:
    """The first name in a folder that is no file of a video's frames, nor passed over; None if there is none."""
    with os.scandir(folder) as entries:
        ours = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries if _is_looked_at(entry.name)}
    return next((name for name in sorted(ours) if not (ours[name] and _OURS.fullmatch(name))), None)


def _is_looked_at(name: str) -> bool:
    """Whether a name in a folder of frames counts: systems put files such as ``.DS_Store`` there by themselves."""
    return _OURS.fullmatch(name) is not None or not is_passed_over(name)


def write_file(path: Path, data: bytes) -> None:
    """Write a file in a hidden folder, to the disk; DatasetError if it cannot be written."""
    try:
        path.unlink(missing_ok=True)  # it may be another name of a file elsewhere
        with open(path, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({os_reason(error)}); check free space") from error


def remove_others(scratch: Path, names: Collection[str]) -> None:
    """Remove what an interrupted run left in a hidden folder of a video that has been changed since.

    Raises DatasetError if that cannot be done.
    """
    try:
        for name in os.listdir(scratch):
            if name not in names and _OURS.fullmatch(name):
                (scratch / name).unlink()
    except OSError as error:
        raise DatasetError(f"{scratch}: cannot be written ({os_reason(error)}); check permissions") from error


def remove_scratch(scratch: Path) -> None:
    """Remove a video's hidden folder, as far as that can be done; what else lies in it stays."""
    with suppress(OSError):  # DatasetError is one
        remove_others(scratch, ())
        scratch.rmdir()


def replace_folder(scratch: Path, folder: Path) -> None:
    """Rename a video's hidden folder to its final name, and replace the folder that an earlier run made.

    Raises OutputError if the final name belongs to a link or to files that uvgen did not make, and DatasetError
    if the folder cannot be written.
    """
    try:
        (scratch / ".found").unlink(missing_ok=True)
        names = sorted(name for name in os.listdir(scratch) if _OURS.fullmatch(name) and name != MARK)
        mark = "".join(f"{name}\n" for name in names).encode()
        write_file(scratch / MARK, mark)
        note(folder.parent, {folder / MARK: hashlib.sha256(mark).hexdigest()})
        if problem := not_replaceable(folder):
            raise OutputError(problem)
        if folder.is_dir():
            for name in os.listdir(folder):
                if not (_is_looked_at(name) or os.path.lexists(scratch / name)):
                    (folder / name).rename(scratch / name)
            shutil.rmtree(folder)
        scratch.rename(folder)
    except OSError as error:
        if isinstance(error, UvgenError):
            raise
        raise DatasetError(f"{folder}: cannot be written ({os_reason(error)}); check permissions") from error


def not_replaceable(folder: Path) -> str:
    """What is wrong with a folder that is not one that an earlier run made of a video's frames, or holds more than
    that; "" if nothing is, or it is not there. DatasetError if it cannot be listed."""
    if folder.is_symlink():
        return f"{folder}: is a link, expected a folder of {folder.parent}; remove it"
    try:
        strange = _unlisted(folder) if folder.is_dir() else None
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be listed ({os_reason(error)}); check permissions") from error
    if strange is None:
        return ""
    return f"{folder}: holds something else ({printable(strange)}), expected a video's frames; move it away"


def _unlisted(folder: Path) -> str | None:
    """The first name in a folder that is not of a file that a run wrote there, as the folder's mark lists them.

    The empty mark of earlier versions stands for all names that a video's frames have.
    """
    names = sorted(filter(_is_looked_at, os.listdir(folder)))
    if (strange := _strange(folder)) is not None or MARK not in names:
        return strange or next(iter(names), None)
    listed = (folder / MARK).read_bytes().decode(errors="replace")
    known = {MARK, *listed.split("\n")}
    return next((name for name in names if name not in known), None) if listed else None


def check_replaceable(folder: Path) -> None:
    """Raise OutputError if a folder is one that an earlier run made of a video's frames, and holds more than that."""
    if (folder / MARK).is_file() and (problem := not_replaceable(folder)):
        raise OutputError(problem)


def has_frames(folder: Path) -> bool:
    """Whether a folder is that of a video's frames, and nothing else lies in it."""
    return (folder / MARK).is_file() and _unlisted(folder) is None


def remove_frames(folder: Path) -> None:
    """Remove a folder of a video's frames, unless something else lies in it; OSError if that cannot be done."""
    if has_frames(folder):
        for name in os.listdir(folder):
            if _OURS.fullmatch(name) and name != MARK:
                (folder / name).unlink()
        remove_emptied(folder)


def remove_emptied(folder: Path) -> None:
    """Remove a folder of which only the mark of a video's is left."""
    with suppress(OSError):
        if not folder.is_symlink() and [*filter(_is_looked_at, os.listdir(folder))] == [MARK]:
            (folder / MARK).unlink()
            folder.rmdir()


def scratch_folders(out: Path) -> Iterator[Path]:
    """The hidden folders of videos in the output folder: those in which nothing else lies, which may be a user's."""
    with suppress(OSError):
        for entry in [*os.scandir(out)]:
            if entry.name.startswith(SCRATCH) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    if _strange(Path(entry.path)) is None:
                        yield Path(entry.path)
