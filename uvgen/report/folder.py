"""The folder of a report: whole or not there, and never in the place of anything but an older report."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from uvgen.errors import OutputError, SettingsError
from uvgen.storage.contents import empty, walked
from uvgen.storage.drafts import (
    beside,
    check_new_folder,
    check_replaceable,
    draft_of,
    exchange,
    finish_exchange,
    folder_on_success,
)
from uvgen.storage.files import check_folder
from uvgen.storage.folders import REPORT_PARTS
from uvgen.storage.locks import exclusive, remove_unlocked

_LEFT_BY_BROWSERS = re.compile(r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini", re.IGNORECASE)  # of files, where one looked
_PART = re.compile(r"index\.html|assets/([^/]+\.(js|css)|LICENSES\.txt)|data/((thumbs|samples)/\d+/)?[^/]+\.js")


def check_report_folder(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError unless a report can be made there; SettingsError if one is, and may not be replaced."""
    finish_exchange(out)
    if not _is_report(out):
        check_new_folder(out)
    elif not overwrite:
        raise SettingsError(f"{out}: holds a report already; choose another folder, or overwrite it")
    elif others := _others(out):
        raise OutputError(f"{out / others[0]}: is in a report's folder and no part of it; move it away first")
    check_replaceable(out)
    check_folder(out.absolute().parent, out)


def _is_report(folder: Path) -> bool:
    return all((folder / part).is_file() for part in REPORT_PARTS)


def _others(out: Path) -> list[str]:
    """What is in a report's folder, or in those in it, and no part of a report of any version."""
    found = {path.name for path in out.iterdir() if path.is_dir()} - {part.split("/")[0] for part in REPORT_PARTS}
    for folder, inner, files in walked(out):
        there = Path(folder).relative_to(out)
        names = [name for name in files if not _LEFT_BY_BROWSERS.fullmatch(name)]
        names += [name for name in inner if Path(folder, name).is_symlink()]
        found |= {path for name in names if not _PART.fullmatch(path := (there / name).as_posix())}
    return sorted(found)


@contextmanager
def report_on_success(out: Path, *, overwrite: bool) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Give an empty draft of a report's folder; put it in place if the body succeeds, remove it if not.

    Parameters
    ----------
    out : Path
        Absolute; missing, empty, or with `overwrite` a report.
    overwrite : bool
        Whether to replace a report, which stays as it is until the new one is whole.

    Yields
    ------
    (Path, callable)
        The draft, hidden, beside `out`; and what raises DatasetError if another folder, or a link, has taken its place.

    Raises
    ------
    BusyError
        If another process makes the same report.
    DatasetError
        If it cannot be written.
    """
    old = _is_report(out) and overwrite
    target = beside(out) if old else out
    draft = draft_of(target)
    with exclusive(draft, out) as check_there:
        remove_unlocked(beside(out))  # of a run that was killed before it took the old one's place
        try:
            with folder_on_success(target, shown=out) as folder:
                empty(folder)
                yield folder, check_there
            if old:
                exchange(target, out, partial(check_report_folder, out, overwrite=True))
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)  # also after Ctrl-C: a report goes on with nothing
            raise
