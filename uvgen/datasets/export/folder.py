"""The folder of an export: when it may be made or replaced, and how the new one takes its place."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uvgen.errors import OutputError, SettingsError
from uvgen.storage.files import check_folder, check_new_folder, exchange, folder_on_success
from uvgen.storage.folders import EXPORT_MARK
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import read_file


def check_export_folder(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError unless an export can be made there; SettingsError where one is, and may not be replaced."""
    if not is_export(out):
        check_new_folder(out)
    elif not overwrite:
        raise SettingsError(f"{out}: holds an export already; choose another folder, or overwrite it")
    elif count_files(out) != _stated_files(out):
        raise OutputError(f"{out}: holds other files than its export had; move yours away, or choose another folder")
    check_folder(out.absolute().parent, out)


def is_export(folder: Path) -> bool:
    """Whether there is an export in a folder."""
    return (folder / EXPORT_MARK).is_file() and not (folder / EXPORT_MARK).is_symlink()


def count_files(folder: Path) -> int:
    """How many files there are in a folder and those in it."""
    return sum(len(files) for _, _, files in os.walk(folder))


def _stated_files(folder: Path) -> Any:
    try:
        return parse_json(read_file(folder / EXPORT_MARK, 1 << 16).decode()).get("files")
    except (OSError, ValueError, AttributeError):
        return None


@contextmanager
def in_place(place: Path, out: Path) -> Iterator[Path]:
    """The draft of a folder, which becomes `place`, and then takes the place of `out` where that is another one."""
    if place != out:
        shutil.rmtree(place, ignore_errors=True)  # of a run that was killed before it took the old one's place
    with folder_on_success(place) as draft:
        yield draft
    if place != out:
        exchange(place, out)
