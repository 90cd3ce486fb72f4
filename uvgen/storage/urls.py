"""URLs of object stores, such as ``s3://bucket/shards``, and the paths that stand for them.

Within uvgen, a folder in a store is the path of its mirror: a folder in the cache whose path says the URL
(``…/uvgen-stores/s3/bucket/shards``), so that all code works on paths. The mirror holds the small files of a data set.
Messages show the URL, see `uvgen.errors.with_urls`. Nothing here reads a store; `uvgen.storage.objects` does.
"""

import os
import re
from pathlib import Path
from urllib.parse import unquote

from uvgen.errors import MIRROR, SCHEMES, InputError
from uvgen.storage.cache import cache_folder
from uvgen.storage.names import brief

_LONGEST = 230  # bytes of a name in a URL, which becomes a file's
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


def _masked(url: str) -> str:
    return brief(re.sub(r"//[^/@]*@", "//…@", url))
