"""The folder of a video's frames while it is made: hidden until it is complete."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from uvgen.errors import DatasetError, OutputError, UvgenError
from uvgen.storage.names import printable

SCRATCH = ".uvgen-frames-"
"""How the names of hidden folders in the output folder begin."""

_MARK = ".uvgen-video"  # a file in each folder of frames, by which a later run knows that it may replace it
_OURS = re.compile(r"frame_\d{6,}\.(mat|jpg|jpeg|png|bmp|webp)|\.uvgen-video")


def make_scratch(scratch: Path) -> None:
    """Make a video's hidden folder; OutputError if a link has its name, DatasetError if it cannot be made."""
    if scratch.is_symlink():
        raise OutputError(f"{scratch}: is a link, expected a folder; remove it")
    try:
        scratch.mkdir(exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{scratch}: cannot be made ({error.strerror or error})") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file in a hidden folder; DatasetError if it cannot be written."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error.strerror or error}); check free space") from error


def replace_folder(scratch: Path, folder: Path) -> None:
    """Rename a video's hidden folder to its final name, and replace the folder that an earlier run made.

    Raises OutputError if the final name belongs to a link or to files that uvgen did not make, and DatasetError
    if the folder cannot be written.
    """
    try:
        (scratch / ".found").unlink(missing_ok=True)
        (scratch / _MARK).touch()
        if folder.is_symlink():
            raise OutputError(f"{folder}: is a link, expected a folder of {folder.parent}; remove it")
        if folder.is_dir():
            names = os.listdir(folder)
            strange = next((name for name in sorted(names) if not _OURS.fullmatch(name)), None)
            strange = strange or next(iter(sorted(names) if _MARK not in names else []), None)
            if strange is not None:
                raise OutputError(
                    f"{folder}: holds something else ({printable(strange)}), expected a video's frames; remove it"
                )
            shutil.rmtree(folder)
        scratch.rename(folder)
    except OSError as error:
        if isinstance(error, UvgenError):
            raise
        raise DatasetError(f"{folder}: cannot be written ({error.strerror or error}); check permissions") from error


def remove_emptied(folder: Path) -> None:
    """Remove a folder of which only the mark of a video's is left."""
    with suppress(OSError):
        if not folder.is_symlink() and os.listdir(folder) == [_MARK]:
            (folder / _MARK).unlink()
            folder.rmdir()


def scratch_folders(out: Path) -> Iterator[Path]:
    """The hidden folders of videos in the output folder."""
    with suppress(OSError):
        yield from (out / name for name in os.listdir(out) if name.startswith(SCRATCH))
