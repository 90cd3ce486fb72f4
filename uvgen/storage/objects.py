"""Reading and writing object stores: the one place that imports fsspec.

A file or folder of a store is named by the path of its place in the mirror, see `uvgen.storage.urls`. Large files are
fetched when they are read (`uvgen.storage.object_cache`) and uploaded whole.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from uvgen.errors import DatasetError, DependencyError, InputError, to_install
from uvgen.storage.cache import cache_folder
from uvgen.storage.files import has_sha256, move, new_temporary, sha256_file, share_lock
from uvgen.storage.names import brief, os_reason
from uvgen.storage.reading import let_go, max_bytes, read_file, what_helps
from uvgen.storage.s3 import WrongSizeError, client_of, download
from uvgen.storage.transfers import (
    MissingError,
    NoBucketError,
    WrongContentError,
    patience_s,
    settle,
    store_code,
    tried,
    watched,
)
from uvgen.storage.urls import url_of

_SLOWEST = 1e6  # bytes per second: an upload may not say how far it is
_AT_ONCE = 16
_LISTING = 20  # times as long may a listing take: a million names take a thousand requests
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "az": "adlfs",
             "abfs": "adlfs"}  # fmt: skip


def fetch(path: Path, to: Path | None = None, *, sha256: str | None = None, size: int | None = None) -> None:
    """Fetch a file of a store, whole.

    Parameters
    ----------
    path : Path
        Whose place in the mirror it is.
    to : Path, optional
        Where to put it, once all is there; `path` itself by default.
    sha256, size : str, int, optional
        What it is known to have: another content counts as a try that failed. Without a hash, it is a small file.

    Raises
    ------
    MissingError
        If the store has no such file.
    DatasetError
        If it cannot be had, or the folder can only be read and does not hold this content already.
    """
    url, target = _url(path), to or path

    def once() -> None:  # into a file of this try: one that was given up may still be written to
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft, handle = new_temporary(target.parent, target.name)
        except OSError as error:  # no matter of the store
            if error.errno in _READ_ONLY and _is_there_already(path, target, sha256):
                return
            raise _unwritable(target.parent, error) from error
        try:
            digest = _received(url, draft, handle, size, hashed=sha256 is not None)
            if size is not None and (found := os.fstat(handle).st_size) != size:
                raise WrongContentError(f"{found} bytes came, expected {size}")
            if digest != sha256:
                raise WrongContentError("its SHA-256 is not the one in the index")
            share_lock(handle)
            try:
                move(draft, target)
                written, handle = handle, -1
                os.close(written)
            except OSError as error:
                raise _unwritable(target.parent, error) from error
        finally:
            with suppress(OSError):
                draft.unlink()
            if handle >= 0:
                let_go(handle)

    try:
        tried(once, url, "fetched")
    except OSError as error:
        if isinstance(error, DatasetError):
            raise
        raise _unwritable(target.parent, error) from error


def _is_there_already(path: Path, target: Path, sha256: str | None) -> bool:
    """Whether a folder that cannot be written holds what is to be fetched; MissingError where the store has none."""
    if sha256 is not None:
        return has_sha256(target, sha256)
    content = get_bytes(path, max_bytes())
    if content is None:
        raise MissingError(f"{_url(path)}: no such file in the store; run what wrote it again")
    try:
        return read_file(target, len(content)) == content
    except (OSError, ValueError):
        return False


def _received(url: str, draft: Path, handle: int, size: int | None, *, hashed: bool) -> str | None:
    """Fetch a file into an empty one, once; its SHA-256, if that is asked for."""
    system = _filesystem(url)
    if client := client_of(system, _options(url)):
        try:
            bucket, key, _ = system.split_path(_inside(system, url))  # the bucket may be an access point's ARN
            return download(client, bucket, key, handle, size, hashed=hashed)
        except WrongSizeError as error:
            if size is None:
                raise _too_large(url, error.found, max_bytes()) from error
            raise WrongContentError(f"{error.found} bytes came, expected {size}") from error
    most = max_bytes() if size is None else size

    def grown() -> int:
        if (found := _size(draft)) > most:
            raise _too_large(url, found, most)
        return found

    given_up = threading.Event()

    def get() -> None:
        system = _filesystem(url)
        system.get_file(_inside(system, url), os.fspath(draft), callback=_ending(given_up))

    try:
        watched(get, grown, patience_s())
    except BaseException:
        given_up.set()
        raise
    return sha256_file(draft) if hashed else None


def _ending(given_up: threading.Event) -> Any:
    """What fsspec tells how far a transfer is: ends one that was given up, which would go on and fill the disk."""
    from fsspec.callbacks import Callback

    def check(*_: object, **__: object) -> None:
        if given_up.is_set():
            raise TimeoutError("given up")

    return Callback(hooks={"check": check})


class TooLargeError(DatasetError):
    """A file of a store has more bytes than are read."""


def _too_large(url: str, found: int, most: int) -> TooLargeError:
    return TooLargeError(f"{url}: {found} bytes or more, expected {most} at most; set UVGEN_MAX_BYTES to allow more")


def _unwritable(folder: Path, error: OSError) -> DatasetError:
    why, helps = os_reason(error), what_helps(error, "check free space, permissions")
    if url := url_of(folder):  # of which the cache holds the small files
        return DatasetError(
            f"{cache_folder()}: the cache for {url} cannot be written ({why}); {helps}, or set UVGEN_CACHE to "
            "another folder"
        )
    return DatasetError(f"{folder}: cannot be written ({why}); {helps}")


def upload(path: Path, source: Path | None = None) -> None:
    """Put a file into the place in its store whose path in the mirror is given, whole or not at all.

    Parameters
    ----------
    path : Path
        Whose place in the mirror it is.
    source : Path, optional
        The file; the one in the mirror by default.

    Raises
    ------
    DatasetError
        If that cannot be done.
    """
    url, source = _url(path), source or path
    size = source.stat().st_size

    def put() -> None:
        system = _filesystem(url)
        inside = _inside(system, url)
        system.put_file(os.fspath(source), inside)
        if (found := system.info(inside)["size"]) != size:
            raise WrongContentError(f"{found} bytes arrived, expected {size}")

    settle(url)
    tried(lambda: watched(put, lambda: 0, patience_s() + size / _SLOWEST, changes=url), url, "written")


def stored_size(path: Path) -> int:
    """Bytes of a file of a store, by the path of its place in the mirror; MissingError if it is not there."""
    url = _url(path)

    def get() -> int:
        system = _filesystem(url)
        return int(system.info(_inside(system, url))["size"] or 0)

    return tried(lambda: watched(get, lambda: 0, patience_s()), url, "fetched")


def get_bytes(path: Path, most_bytes: int | None = None) -> bytes | None:
    """The content of a small file of a store, by the path of its place in the mirror; None if it is not there, or has
    more than `most_bytes`.
    """
    url = _url(path)

    def get() -> bytes:
        system = _filesystem(url)
        return bytes(system.cat_file(_inside(system, url)))

    try:
        if most_bytes is not None and stored_size(path) > most_bytes:
            return None
        return tried(lambda: watched(get, lambda: 0, patience_s()), url, "fetched")
    except MissingError:
        return None


def put_bytes(path: Path, data: bytes, *, new: bool = False) -> bool:
    """Write a small file of a store; False if it is `new` and stands there already.

    A store that knows no conditions writes it all the same.
    """
    url = _url(path)

    def put() -> bool:
        system = _filesystem(url)
        inside = _inside(system, url)
        if new:
            try:
                system.pipe_file(inside, data, mode="create")
            except FileExistsError:
                return False
            except (TypeError, ValueError, NotImplementedError):
                pass
            except OSError as error:
                if store_code(error) == "PreconditionFailed":
                    return False
                if error.errno != errno.ENOSYS:
                    raise
            else:
                return True
        system.pipe_file(inside, data)
        return True

    settle(url)
    return tried(lambda: watched(put, lambda: 0, patience_s(), changes=url), url, "written")


def listed(folder: Path) -> dict[str, int]:
    """All files below a folder of a store, by their names relative to it, with their sizes: one listing.

    DatasetError if the store or the bucket cannot be had; empty if nothing is there.
    """
    url = _url(folder)

    def find() -> dict[str, int]:
        system = _filesystem(url)
        root = _inside(system, url).rstrip("/")
        try:
            found = system.find(root, withdirs=False, detail=True)
        except FileNotFoundError:
            found = {}
        if not found and not _has_bucket(system, root):
            raise NoBucketError(root.partition("/")[0])
        return {name[len(root) + 1 :]: int(info["size"] or 0) for name, info in found.items() if name != root}

    files = tried(lambda: watched(find, lambda: 0, _LISTING * patience_s()), url, "listed")
    return {name: size for name, size in files.items() if name and not name.endswith("/")}


def remove(paths: Iterable[Path]) -> None:
    """Delete files of a store; those that are not there do not matter."""
    for path in paths:
        url = _url(path)

        def delete(url: str = url) -> None:
            system = _filesystem(url)
            system.rm_file(_inside(system, url))

        def once(delete: Callable[[], None] = delete, url: str = url) -> None:
            watched(delete, lambda: 0, patience_s(), changes=url)

        settle(url)
        with suppress(MissingError):
            tried(once, url, "deleted")


def fetch_all(places: Sequence[tuple[Path, Path]]) -> dict[Path, str]:
    """Fetch many small files at once, each from its place in the mirror to a path; those that are gone are left out.

    Returns what is wrong with those that no machine like this one can take, by their places.
    """
    folders = {parent for _, to in places for parent in to.parents}

    def one(place: tuple[Path, Path]) -> str:
        path, to = place
        if to in folders:
            return f"{_url(path)}: is there as a file and as a folder, expected one of them; rename it"
        if "\0" in str(to):
            return f"{brief(_url(path))}: has a zero byte in its name; rename it"
        try:
            with suppress(MissingError):
                fetch(path, to)
        except TooLargeError as error:
            return str(error)
        except DatasetError as error:
            if getattr(error.__cause__, "errno", None) != errno.ENAMETOOLONG:
                raise
            return f"{_url(path)}: its name is too long for a file of this machine; rename it"
        return ""

    with ThreadPoolExecutor(min(_AT_ONCE, max(len(places), 1))) as pool:
        return {path: why for (path, _), why in zip(places, pool.map(one, places), strict=True) if why}


def _filesystem(url: str) -> Any:
    """The file system of a URL; fsspec keeps one for each process."""
    scheme = url.partition("://")[0]
    try:
        import fsspec

        return fsspec.filesystem(scheme, **_options(url))
    except ImportError as error:
        package = _PACKAGES[scheme]
        extra = to_install("stores") if package == "s3fs" else f"pip install fsspec {package}"
        raise DependencyError(f"{scheme}://: needs fsspec and {package} ({brief(error)}); {extra}") from error


def _options(url: str) -> dict[str, Any]:
    """What the file system of a URL is made with."""
    options: dict[str, Any] = {"use_listings_cache": False}
    if url.startswith(("s3://", "s3a://")):  # tries are counted here: botocore's own would multiply them
        options["config_kwargs"] = {"connect_timeout": 10, "read_timeout": patience_s(), "retries": {"max_attempts": 1}}
    return options


def _inside(system: Any, url: str) -> str:
    return str(system._strip_protocol(url))


def _has_bucket(system: Any, root: str) -> bool:
    """Whether the bucket of a path is there: an empty listing does not say it."""
    bucket = root.partition("/")[0]
    try:
        next(iter(system.ls(bucket, detail=False)), None)
    except FileNotFoundError:
        return False
    except Exception:
        return True  # who may see a part of it may not see all
    return True


def _url(path: Path) -> str:
    url = url_of(path)
    if url is None:
        raise InputError(f"{path}: not a path of a store's mirror")
    return url


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
