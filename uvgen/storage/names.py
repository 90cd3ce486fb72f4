"""Names from files and file systems: as text that can be shown, and as paths that stay in their folder."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

_MAX_COMPONENT = 230  # bytes, of the 255 that file systems allow: an ending follows
_MAX_PATH = 1000  # bytes
_BIDI = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # they reorder a line of a terminal
_LONGEST = 200  # characters of a message
_MOST_READ = 64 * _LONGEST  # of what it is made of: the words of a long text take far more memory than it
_MARKUP = re.compile(r"[\\`*<>&\[\]|~#!$]|(?<![^\W_])_|_(?![^\W_])")  # an underscore within a word is one
_LONGEST_NAME = 1024  # characters, more than names of files have: it takes time with the square of their number
_ADDRESS = re.compile(r"(?<= object) at 0x[0-9A-Fa-f]+")  # another one in each process, where messages must be alike
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names that Windows keeps for itself


def printable(text: str) -> str:
    """Text that can be stored, printed and put on one line: control characters and halves of surrogates escaped.

    Bytes of a file's name that are no UTF-8 become ``\\xe9``.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "surrogateescape" if _from_bytes(text) else "surrogatepass").decode(
        "utf-8", "backslashreplace"
    )
    return "".join(
        repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(c) in _BIDI else c
        for c in text
    )


def same_name(name: str) -> str:
    """What two spellings of a name have in common: file systems differ in how they compose accents.

    A text too long for a name of a file is left as it is.
    """
    return unicodedata.normalize("NFC", name) if len(name) <= _LONGEST_NAME else name


def spellings(name: str) -> list[str]:
    """A name or path as it is, and as others write its accents: macOS and its archives take é for two letters."""
    return list(dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))))


@lru_cache(maxsize=16)
def ends_of_path(folder: str) -> tuple[str, ...]:
    """The last names in a folder's absolute path, all of them first, in all `spellings`; none of them is the root."""
    names = Path(folder).parts[1:]
    return tuple(end for first in range(len(names)) for end in spellings(os.path.join(*names[first:])))


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 as uvgen writes it, by which a file of the cache may be named."""
    return _SHA256.fullmatch(text) is not None


def _from_bytes(text: str) -> bool:
    """Whether all surrogates are those by which Python writes the bytes of a file's name that are no UTF-8."""
    return not re.search("[\ud800-\udc7f\udd00-\udfff]", text)


def brief(text: object) -> str:
    """What another program says, such as an error's message, for one of uvgen's: printable, on one line, not long."""
    line = _ADDRESS.sub("", printable(" ".join(str(text)[:_MOST_READ].split())))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def os_reason(error: OSError) -> str:
    """Why a file cannot be read or written, for a message: the system's words, or the error's own if it has none."""
    return error.strerror or brief(error)


def without_ending(path: str, endings: Sequence[str]) -> str:
    """A path without the longest of these that ends it, in whatever case."""
    longest = max((len(end) for end in endings if path.lower().endswith(end)), default=0)
    return path[: len(path) - longest]


def in_markdown(text: str) -> str:
    """Text as a page in Markdown shows it on one line: neither markup nor HTML, whatever is in it."""
    return _MARKUP.sub(r"\\\g<0>", printable(text))


def safe_name(name: str) -> str:
    """A name as a relative path with ``/`` that every file system takes and that leads nowhere else.

    Parameters
    ----------
    name : str
        Any text, such as a sample's name in a shard that somebody else made.

    Returns
    -------
    str
        The name itself if it is one already. Else ``..``, empty parts, control characters, NUL, backslashes, points,
        blanks and colons at the end of a part and Windows' device names have ``_`` in their place or beside them, and
        long parts are cut and given 8 digits of their hash. Two names may become the same: compare.
    """
    parts = [_safe_part(part) for part in name.split("/")]
    path = "/".join(parts)
    if len(path.encode()) > _MAX_PATH:
        return f"{_cut(parts[0].removesuffix('_'), _MAX_COMPONENT - 9)}~{_digest(name)}"
    return path


def unencodable(name: str) -> str:
    """Why no file can have a name in this process: its encoding lacks a character. "" if one can.

    Names of files are UTF-8 unless the locale is another one, as ``fr_FR.ISO-8859-1``.
    """
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        if error.encoding.replace("-", "") != "utf8":
            return (
                f"{name[error.start]!r} is no character of {error.encoding}, this locale's encoding of file names; set "
                "PYTHONUTF8=1, or LC_ALL to a locale with UTF-8"
            )
    return ""


def _safe_part(part: str) -> str:
    shown = "".join("_" if c == "\\" or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in part)
    if re.match("[A-Za-z]:", shown):  # a drive
        shown = f"{shown[0]}_{shown[2:]}"
    if shown.endswith(":"):  # of a URL, such as s3:, in which nothing is written
        shown = f"{shown[:-1]}_"
    if not shown.strip(". "):
        return "_" * max(len(shown[:8]), 1)
    if shown[-1] in ". ":
        shown = f"{shown.rstrip('. ')}_"
    if _DEVICES.fullmatch(shown):
        shown = f"_{shown}"
    return shortened(shown, part)


def shortened(text: str, whole: str | None = None) -> str:
    """A file's name, cut and given 8 digits of the hash of `whole`, itself by default, if endings would not fit."""
    if len(text.encode("utf-8", "surrogatepass")) <= _MAX_COMPONENT:
        return text
    return f"{_cut(text, _MAX_COMPONENT - 9)}~{_digest(text if whole is None else whole)}"


def _cut(text: str, n_bytes: int) -> str:
    return text.encode("utf-8", "surrogatepass")[:n_bytes].decode("utf-8", "ignore")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def inside(folder: Path, name: str) -> Path:
    """The path of a name in a folder, after `safe_name`: never outside of it, whatever the name is."""
    return folder / PurePosixPath(safe_name(name))
