"""The built-in sample set: 64 synthetic IBUG faces and their mirror images, made on first use.

It lies in the user's cache folder (``UVGEN_CACHE`` names another), in a folder whose name depends on uvgen's version
and on `CONTENT_VERSION`, so that a changed uvgen makes its own.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

from uvgen._version import __version__
from uvgen.errors import DatasetError
from uvgen.storage.cache import cache_folder
from uvgen.storage.files import draft_of, folder_on_success
from uvgen.storage.locks import locked

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
    from uvgen.synth.folder import SYNTH_INDEX, render_faces

    folder = cache_folder() / f"samples-{_fingerprint()}"
    if _is_whole(folder):
        return folder
    with _alone(folder):
        if not _is_whole(folder):  # no other process has made it meanwhile
            if folder.is_dir() and not draft_of(folder).exists():
                os.replace(folder, draft_of(folder))  # damaged: repaired out of sight
            try:
                with folder_on_success(folder) as draft:
                    if not (draft / SYNTH_INDEX).exists():  # damaged beyond that
                        for path in draft.iterdir():
                            shutil.rmtree(path, ignore_errors=True)
                    render_faces(draft, COUNT, seed=SEED, subsets=(SUBSET,))
            except DatasetError:
                if not _is_whole(folder):  # where there are no locks, another process may have been faster
                    raise
    return folder


def _fingerprint() -> str:
    """Hash of everything that the samples' content depends on."""
    return sha256(f"{__version__} {CONTENT_VERSION} {COUNT} {SEED} {SUBSET}".encode()).hexdigest()[:16]


def _is_whole(folder: Path) -> bool:
    """Whether all files are there; a folder appears under its name only when they are."""
    from uvgen.synth.folder import sample_names

    stems = [name.split("/")[1] for name in sample_names(COUNT, (SUBSET,))]
    wanted = {stem + suffix for stem in stems for suffix in (".jpg", ".mat")}
    try:
        return all(wanted <= set(os.listdir(folder / (SUBSET + flip))) for flip in ("", "_Flip"))
    except OSError:
        return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process makes this folder."""
    with ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = folder.with_name(f".{folder.name}.lock")
            lock.touch()
            stack.enter_context(locked(lock, wait=True))
        except OSError as error:
            raise DatasetError(
                f"{folder.parent}: cannot be written ({error.strerror}); set UVGEN_CACHE to a folder that can"
            ) from error
        yield
