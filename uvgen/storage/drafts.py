"""Folders that appear when they are whole: made as a hidden draft beside their place, and renamed."""

import errno
import hmac
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from uvgen.errors import DatasetError, OutputError, UvgenError
from uvgen.interrupts import interrupts_deferred
from uvgen.storage.cache import cache_folder
from uvgen.storage.contents import discard, empty
from uvgen.storage.files import TEMPORARY_PREFIX, check_no_url, move, names_another, temporary_name
from uvgen.storage.locks import exclusive, locked, remove_unlocked
from uvgen.storage.names import os_reason
from uvgen.storage.reading import what_helps

_LONGEST = 120  # bytes of a folder's name in that of its draft


def draft_of(folder: Path) -> Path:
    """Where `folder_on_success` makes a folder: beside it, hidden, under the same name in each run of this user.

    The name ends in a code that only this user's uvgen knows: a folder or a link that came from elsewhere, such as an
    unpacked archive, is never taken for a draft.
    """
    target = Path(os.path.realpath(folder))
    code = hmac.new(_secret(), os.fsencode(target), "sha256").hexdigest()[:16]
    name = os.fsencode(target.name)
    if len(name) > _LONGEST:  # no half of a character: macOS refuses such names
        name = re.sub(rb"\A[\x80-\xbf]{1,3}", b"", name[-_LONGEST:])
    return target.with_name(f"{TEMPORARY_PREFIX}{os.fsdecode(name)}-{code}")


def other_drafts(folder: Path) -> list[Path]:
    """Folders beside one that have the names of its drafts, were it at another path or another user's.

    A run that was interrupted before its folder was moved does not go on: such a draft is left for people to delete.
    """
    own = draft_of(folder)
    draft = re.compile(re.escape(own.name[:-16]) + "[0-9a-f]{16}")
    with suppress(OSError):
        names = sorted(name for name in os.listdir(own.parent) if draft.fullmatch(name) and name != own.name)
        return [path for name in names if (path := own.parent / name).is_dir() and not path.is_symlink()]
    return []


@cache
def _secret() -> bytes:
    """A number that is made once and kept in the user's cache folder; if that cannot be written, the machine's."""
    path = cache_folder() / "secret"
    with suppress(OSError):
        if path.exists() and path.stat().st_size != 32:  # cut short by a power failure
            path.unlink()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(temporary_name(path.name))
            temporary.touch(mode=0o600, exist_ok=False)
            try:
                temporary.write_bytes(secrets.token_bytes(32))
                with suppress(FileExistsError):  # another process was faster
                    os.link(temporary, path)
            finally:
                temporary.unlink()
        found = path.read_bytes()
        if len(found) == 32:
            return found
    with suppress(OSError):  # the same until the machine is started anew
        return Path("/proc/sys/kernel/random/boot_id").read_bytes() + str(os.getuid()).encode()
    return secrets.token_bytes(32)


def check_new_folder(folder: Path) -> None:
    """Raise OutputError unless a folder can be made: it is missing or empty, and no mount point."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise OutputError(f"{folder}: exists and is not empty, expected a new folder; choose another, or remove it")
    check_replaceable(folder)


def check_replaceable(folder: Path) -> None:
    """Raise OutputError if another folder cannot take the place of this one, which may be missing: a mount point."""
    if os.path.ismount(folder):
        raise OutputError(f"{folder}: is a mount point, expected a folder that can be replaced; choose one in it")


@contextmanager
def folder_on_success(folder: Path, *, shown: Path | None = None) -> Iterator[Path]:
    """Give a draft of a folder (`draft_of`); rename it to `folder` if the body succeeds.

    What a killed or interrupted run left in the draft is kept, so that the next run can finish it; after any other
    failure the draft is removed. Hold a lock around this, so that no other process works on the draft.

    Parameters
    ----------
    folder : Path
        The folder to make. One that is empty is replaced.
    shown : Path, optional
        The folder that an error names in its place: the user's, if `folder` is `beside` it.

    Yields
    ------
    Path
        The draft, hidden; it exists.

    Raises
    ------
    OutputError
        If the folder exists and is not empty.
    DatasetError
        If it cannot be written, or the disk is full.
    OSError
        Of the body, where it is about files outside of the draft.
    """
    check_no_url(folder)
    draft = draft_of(folder)
    try:
        check_new_folder(folder)
    except UvgenError:  # made meanwhile, by another command
        with suppress(OSError):
            draft.rmdir()  # whoever holds the lock has made it; what a killed run left stays
        raise
    in_body = False
    try:
        if draft.is_symlink():  # what it leads to is not ours
            draft.unlink()
        draft.mkdir(parents=True, exist_ok=True)
        made = os.lstat(draft)
        in_body = True
        yield draft
        in_body = False
        if not os.path.samestat(made, os.lstat(draft)):  # a link, or another folder: whose files are in it?
            raise DatasetError(f"{draft}: was moved or replaced while it was written; run the command again")
        move(draft, Path(os.path.realpath(folder)))
    except OSError as error:
        discard(draft, TEMPORARY_PREFIX)
        if isinstance(error, UvgenError) or (in_body and names_another(error, draft)):
            raise
        helps = what_helps(error, "check free space, permissions")
        raise DatasetError(f"{shown or folder}: cannot be written ({os_reason(error)}); {helps}") from error
    except Exception:
        discard(draft, TEMPORARY_PREFIX)
        raise
    except BaseException:
        with suppress(OSError):
            draft.rmdir()  # if it is empty: there is nothing to go on with
        raise


@contextmanager
def folder_made_at_once(folder: Path) -> Iterator[Path]:
    """As `folder_on_success`, for a folder that no later run goes on with: its draft is empty, and never left behind.

    What a killed run left in it may be of other settings. No other process makes the same folder meanwhile.

    Raises
    ------
    BusyError
        If another process makes it.
    """
    draft = draft_of(folder)
    with exclusive(draft, folder):
        try:
            with folder_on_success(folder) as place:
                empty(place)
                yield place
        except BaseException:
            discard(draft, TEMPORARY_PREFIX)
            raise


def beside(folder: Path) -> Path:
    """If a folder is put that is to replace another one, hidden beside it, until `exchange` does."""
    return draft_of(folder).with_name(f"{draft_of(folder).name}-new")


def exchange(new: Path, folder: Path, check: Callable[[], None]) -> None:
    """Put a finished folder in the place of an older one, which is removed. Ctrl-C never leaves neither there.

    Parameters
    ----------
    new, folder : Path
        The finished folder, and the older one, which may be gone by now.
    check : callable
        Raises OutputError if what is at `folder` may not be replaced. Making the new folder may have taken hours, in
        which others could put files of their own into the old one.

    Raises
    ------
    OutputError
        Of `check`. The new folder stays where it is.
    DatasetError
        If the folders cannot be renamed. The new one stays, too.
    """
    away, place = draft_of(folder), Path(os.path.realpath(folder))
    stays = f"the new one is whole and stays in {new} until the next run"
    try:
        check()
    except OutputError as error:
        raise OutputError(f"{error}; {stays}") from error
    remove_unlocked(away)  # that of a run that has begun meanwhile stays
    is_away = False
    with interrupts_deferred():
        try:
            with suppress(FileNotFoundError):  # the old one was moved or deleted meanwhile
                _put_away(place, away)
                is_away = True
            try:
                move(new, place)
            except OSError:
                if is_away:
                    try:
                        move(away, place)
                    except OSError:  # the first error counts: this one's follows from it
                        stays += f", the old one in {away}"
                raise
        except OSError as error:
            raise DatasetError(f"{folder}: cannot be replaced ({os_reason(error)}); {stays}") from error
        if is_away:
            shutil.rmtree(away, ignore_errors=True)


def _put_away(place: Path, away: Path) -> None:
    """Move an older folder; one of a container's image, which the disk lets nobody rename, is deleted instead."""
    try:
        move(place, away)
    except OSError as error:
        if error.errno != errno.EXDEV:  # an overlay's, for folders of its lower layers
            raise
        away.mkdir()  # if this process is killed now: see `finish_exchange`
        shutil.rmtree(place)


def finish_exchange(folder: Path) -> None:
    """Put a new folder in place if a process was killed in `exchange`, between its renames: nothing is there then."""
    new, away, place = beside(folder), draft_of(folder), Path(os.path.realpath(folder))
    if os.path.lexists(place) or not all(path.is_dir() and not path.is_symlink() for path in (new, away)):
        return
    with suppress(OSError), locked(new, wait=False):  # an `exchange` that is under way goes on by itself
        move(new, place)
        remove_unlocked(away)
