"""The built-in sample set: 64 synthetic IBUG faces and their mirror images, made on first use.

It lies in the user's cache folder (``UVGEN_CACHE`` names another), in a folder whose name depends on uvgen's version
and on `CONTENT_VERSION`, so that a changed uvgen makes its own.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import uvgen
from uvgen.errors import DatasetError

COUNT, SEED, SUBSET = 64, 20, "IBUG"
CONTENT_VERSION = 1
"""Raise it with every change to the pictures or the parameters of the built-in samples (a test compares them)."""


def builtin_samples() -> Path:
    """The folder of the built-in sample set, like 300W-LP's: ``IBUG`` and ``IBUG_Flip``, for the built-in model.

    The first call makes it, in a few seconds, and others meanwhile wait for it; what is missing later is made again.

    Returns
    -------
    Path
        As `uvgen.find_samples` takes it.

    Raises
    ------
    DatasetError
        Where the cache folder cannot be written.
    """
    from uvgen.synth import INDEX, synth

    folder = cache_folder() / f"samples-{_fingerprint()}"
    if _is_whole(folder):
        return folder
    with _alone(folder):
        if not _is_whole(folder):  # nobody has made it meanwhile
            draft = folder.with_name(f".{folder.name}")
            if folder.is_dir() and not draft.exists():
                os.replace(folder, draft)  # damaged: repaired out of sight
            if draft.exists() and not (draft / INDEX).exists():
                shutil.rmtree(draft, ignore_errors=True)  # damaged beyond that
            synth(draft, COUNT, seed=SEED, subsets=(SUBSET,))
            try:
                os.replace(draft, folder)
            except OSError as error:
                if not _is_whole(folder):  # where there are no locks, another process may have been faster
                    raise DatasetError(f"{folder}: cannot be made ({error.strerror})") from error
                shutil.rmtree(draft, ignore_errors=True)
    return folder


def cache_folder() -> Path:
    """``UVGEN_CACHE`` where it is set, else the user's cache folder for uvgen."""
    named = os.environ.get("UVGEN_CACHE")
    if named:
        return Path(os.path.abspath(Path(named).expanduser()))
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("uvgen", appauthor=False))


def _fingerprint() -> str:
    """Hash of everything that the samples' content depends on."""
    return sha256(f"{uvgen.__version__} {CONTENT_VERSION} {COUNT} {SEED} {SUBSET}".encode()).hexdigest()[:16]


def _is_whole(folder: Path) -> bool:
    """Whether all files are there; a folder appears under its name only when they are."""
    from uvgen.synth import sample_names

    stems = [name.split("/")[1] for name in sample_names(COUNT, (SUBSET,))]
    wanted = {stem + suffix for stem in stems for suffix in (".jpg", ".mat")}
    try:
        return all(wanted <= set(os.listdir(folder / (SUBSET + flip))) for flip in ("", "_Flip"))
    except OSError:
        return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process makes this folder; the dead hold nothing."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise DatasetError(
            f"{folder.parent}: cannot be written ({error.strerror}); set UVGEN_CACHE to a folder that can"
        ) from error
    try:
        _wait_for_lock(handle)
        yield
    finally:
        os.close(handle)


def _wait_for_lock(handle: int) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a file system without locks
        return
