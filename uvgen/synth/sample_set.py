"""The built-in sample set: 64 synthetic IBUG faces and their mirror images, made on first use.

It lies in the user's cache folder (``UVGEN_CACHE`` names another), in a folder whose name depends on uvgen's version
and on `CONTENT_VERSION`, so that a changed uvgen makes its own.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

from uvgen._version import __version__
from uvgen.errors import BusyError, DatasetError, OutputError
from uvgen.storage.cache import cache_folder
from uvgen.storage.contents import empty, remove
from uvgen.storage.drafts import draft_of, folder_on_success
from uvgen.storage.files import move, replaced_on_success, sha256_file
from uvgen.storage.folders import SYNTH_INDEX
from uvgen.storage.locks import locked_file
from uvgen.storage.names import os_reason
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import read_file
from uvgen.synth.names import sample_names

COUNT, SEED, SUBSET = 64, 20, "IBUG"
CONTENT_VERSION = 3
"""Raise it with every change to the built-in samples: pictures and parameters (a test compares them), model's hash."""

_WAIT_S = 600.0  # for another process that makes them, which takes seconds, unless it is stopped


def builtin_samples() -> Path:
    """The folder of the built-in sample set, like 300W-LP's: ``IBUG`` and ``IBUG_Flip``, for the built-in model.

    The first call makes it, in a few seconds, and others meanwhile wait for it. Each call compares all files with the
    hashes in its `synth.json`, and makes again what is missing or damaged.

    Returns
    -------
    Path
        As `uvgen.find_samples` takes it.

    Raises
    ------
    DatasetError
        If the cache folder cannot be written.
    """
    folder = cache_folder() / f"samples-{_fingerprint()}"
    if _is_whole(folder):
        return folder
    with _alone(folder):
        if not _is_whole(folder):  # no other process has made it meanwhile
            if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
                folder.unlink()  # the link: what it leads to is not ours
            if folder.is_dir() and not draft_of(folder).exists():
                move(folder, draft_of(folder))  # damaged: repaired out of sight
            from uvgen.synth.folder import render_faces
            from uvgen.synth.options import SynthOptions

            try:
                with folder_on_success(folder) as draft:
                    _remove_damaged(draft)
                    try:
                        render_faces(draft, COUNT, options=SynthOptions(SEED, subsets=(SUBSET,)))
                    except OutputError:  # what is left is no part of the set
                        empty(draft)
                        render_faces(draft, COUNT, options=SynthOptions(SEED, subsets=(SUBSET,)))
                    _write_hashes(draft)
            except DatasetError:
                if not _is_whole(folder):  # if there are no locks, another process may have been faster
                    raise
    return folder


def _fingerprint() -> str:
    """Hash of everything that the samples' content depends on."""
    return sha256(f"{__version__} {CONTENT_VERSION} {COUNT} {SEED} {SUBSET}".encode()).hexdigest()[:16]


def _is_whole(folder: Path) -> bool:
    """Whether all files are there, and hold what they did when they were made: 5 MB, 10 ms."""
    hashes = _read_hashes(folder)
    return hashes.keys() == _wanted() and all(_has_hash(folder / name, digest) for name, digest in hashes.items())


def _wanted() -> set[str]:
    """The samples' files, relative to the folder."""
    stems = [name.split("/")[1] for name in sample_names(COUNT, (SUBSET,))]
    return {f"{SUBSET}{flip}/{stem}{end}" for flip in ("", "_Flip") for stem in stems for end in (".jpg", ".mat")}


def _read_hashes(folder: Path) -> dict[str, str]:
    """What `_write_hashes` wrote; empty if that is damaged."""
    try:
        hashes = parse_json(read_file(folder / SYNTH_INDEX).decode())["files_sha256"]
        return {name: str(digest) for name, digest in hashes.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_hashes(folder: Path) -> None:
    """Add the hash of each file to the folder's `synth.json`."""
    content = json.loads((folder / SYNTH_INDEX).read_text(encoding="utf-8"))
    content["files_sha256"] = {name: sha256_file(folder / name) for name in sorted(_wanted())}
    with replaced_on_success(folder / SYNTH_INDEX) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _has_hash(path: Path, digest: str) -> bool:
    try:
        return sha256_file(path) == digest
    except OSError:
        return False


def _remove_damaged(draft: Path) -> None:
    """Remove files that are not what they were; all of them if nothing says what that was."""
    hashes = _read_hashes(draft)
    for path in [*draft.iterdir()]:
        if path.is_symlink() or hashes.keys() != _wanted():
            remove(path)
    for name, digest in hashes.items() if hashes.keys() == _wanted() else ():
        if not _has_hash(draft / name, digest):
            remove(draft / name)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process makes this folder."""
    with ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = folder.with_name(f".{folder.name}.lock")
            stack.enter_context(locked_file(lock, most_s=_WAIT_S))
        except BlockingIOError as error:
            raise BusyError(
                f"{folder}: another uvgen has been making it for more than {_WAIT_S:.0f} s; is it stopped? Let it go "
                "on, or end it, and run the command again"
            ) from error
        except OSError as error:
            raise DatasetError(
                f"{folder.parent}: cannot be written ({os_reason(error)}); set UVGEN_CACHE to a folder that can"
            ) from error
        yield
