"""Object stores, named by fsspec URLs such as ``s3://bucket/shards``: the one place that imports fsspec.

Within uvgen, a folder in a store is the path of its mirror: a folder in the cache whose path says the URL
(``…/uvgen-stores/s3/bucket/shards``), so that all code works on paths. The mirror holds the small files of a data set;
large ones are fetched when they are read (`uvgen.storage.object_cache`) and uploaded whole. Messages show the URL, see
`uvgen.errors.with_urls`.
"""

import errno
import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from uvgen.errors import MIRROR, SCHEMES, DatasetError, DependencyError, InputError, to_install
from uvgen.storage.cache import cache_folder
from uvgen.storage.files import has_sha256, new_temporary, sha256_file, share_lock
from uvgen.storage.names import brief
from uvgen.storage.reading import max_bytes, read_file
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

_SLOWEST = 1e6  # bytes per second: an upload may not say how far it is
_AT_ONCE = 16
_LISTING = 20  # times as long may a listing take: a million names take a thousand requests
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_LONGEST = 230  # bytes of a name in a URL, which becomes a file's
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "az": "adlfs",
             "abfs": "adlfs"}  # fmt: skip
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)  # also of a Path, which keeps one slash


def local_path(path: str | os.PathLike[str]) -> Path:
    """A path as it is; for a URL, the path of what it stands for on this machine: see the module.

    Parameters
    ----------
    path : path-like
        A path, ``file:///…``, or a URL of a store.

    Raises
    ------
    InputError
        If a URL names no store, holds credentials, or is none that can be a path.
    """
    text = os.fspath(path)
    found = _URL.fullmatch(text) if isinstance(text, str) else None
    scheme, rest = (found[1].lower(), found[2]) if found else ("", "")
    if scheme in ("file", "local"):
        if text[len(scheme) :].removeprefix("://").partition("/")[0] not in ("", "localhost", ":"):
            raise InputError(f"{_masked(text)}: names another machine, expected file:///PATH, of this one")
        text = "/" + unquote(rest.removeprefix("localhost/"), errors="surrogateescape")  # a name's bytes
    if "\0" in text:  # Python raises errors of other kinds
        raise InputError(f"{_masked(text)}: holds a zero byte, expected a path")
    if found is None or scheme in ("file", "local"):
        return Path(text)
    if scheme not in SCHEMES:
        if "://" not in text:  # a folder of such a name, perhaps
            return Path(text)
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise InputError(f"{_masked(text)}: a URL of no store that uvgen knows, expected {known} or file://")
    if "@" in rest.partition("/")[0]:
        raise InputError(f"{_masked(text)}: holds credentials, expected none in a URL; set them in the environment")
    parts = rest.rstrip("/").split("/")
    if not parts[0] or text[len(scheme) :].startswith(":///"):
        raise InputError(f"{text}: names no bucket, expected {scheme}://BUCKET/FOLDER")
    for part in parts:
        if part in ("", ".", "..") or "?" in part or "\0" in part or len(os.fsencode(part)) > _LONGEST:
            raise InputError(f"{brief(text)}: holds {brief(part)!r}, expected names without ? between single slashes")
    return cache_folder() / MIRROR / scheme / "/".join(parts)


def url_of(path: str | os.PathLike[str]) -> str | None:
    """The URL that a path stands for; None for a path that stands for itself."""
    text = os.fspath(path)
    if MIRROR not in text:
        return None
    _, found, tail = text.rpartition(f"/{MIRROR}/")
    scheme, _, rest = tail.partition("/")
    return f"{scheme}://{rest}" if found and scheme in SCHEMES and rest else None


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path as it is shown in messages: its URL, if it stands for one."""
    return url_of(path) or os.fspath(path)


def writes_are_commits(path: str | os.PathLike[str]) -> bool:
    """Whether each write to the store of a path stays in its history: a Hugging Face repository's."""
    return (url_of(path) or "").startswith("hf://")


def refuse_url(path: str | os.PathLike[str], what: str, advice: str) -> None:
    """Raise InputError if a path stands for a URL, or is one."""
    if url := url_of(local_path(path)):
        raise InputError(f"{url}: a URL, expected {what} on this machine; {advice}")


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
                os.replace(draft, target)
            except OSError as error:
                raise _unwritable(target.parent, error) from error
        finally:
            with suppress(OSError):
                draft.unlink()
            os.close(handle)

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


def _too_large(url: str, found: int, most: int) -> DatasetError:
    return DatasetError(f"{url}: {found} bytes or more, expected {most} at most; set UVGEN_MAX_BYTES to allow more")


def _unwritable(folder: Path, error: OSError) -> DatasetError:
    why = error.strerror or error
    if url := url_of(folder):  # of which the cache holds the small files
        return DatasetError(
            f"{cache_folder()}: the cache for {url} cannot be written ({why}); check free space, permissions, or "
            "set UVGEN_CACHE to another folder"
        )
    return DatasetError(f"{folder}: cannot be written ({why}); check free space, permissions")


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


def fetch_all(places: Sequence[tuple[Path, Path]]) -> None:
    """Fetch many small files at once, each from its place in the mirror to a path; those that are gone are left out."""

    def one(place: tuple[Path, Path]) -> None:
        path, to = place
        with suppress(MissingError):
            fetch(path, to)

    with ThreadPoolExecutor(min(_AT_ONCE, max(len(places), 1))) as pool:
        list(pool.map(one, places))


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


def _masked(url: str) -> str:
    return brief(re.sub(r"//[^/@]*@", "//…@", url))
