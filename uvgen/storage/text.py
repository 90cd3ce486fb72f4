"""Text files in the encodings that editors write. All text is read here.

UTF-8 with or without a byte-order mark, UTF-16 and UTF-32 with one, UTF-16 without one if its zero bytes give it
away, and what is none of these as Windows-1252, of which Latin-1's printable characters are a part. Lines end in LF,
CR LF or CR.
"""

import codecs
import errno
import os
import re
from pathlib import Path

from uvgen.errors import InputError
from uvgen.storage.kinds import HEAD_BYTES, describe_non_text, unmarked_utf16
from uvgen.storage.reading import read_file

MOST_BYTES = 1 << 28
"""Size up to which a text file is read."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile(r"[\0-\x08\x0e-\x19\x1c-\x1f]")  # but for those of printers, terminals and MS-DOS's end of file


def read_text(path: str | os.PathLike[str], what: str, *, most_bytes: int = MOST_BYTES) -> str:
    """A text file's content.

    Parameters
    ----------
    path : path-like
        The file.
    what : str
        What is expected in it, for messages: "one sample name per line".
    most_bytes : int
        Size up to which it is read.

    Returns
    -------
    str
        Without a byte-order mark; every line ends in LF, as in Python's text mode.

    Raises
    ------
    InputError
        If it is binary, of another kind, or too large; the message names the file and what it is.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    try:
        data = read_file(path, most_bytes)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise InputError(f"{path}: more than {most_bytes} bytes, expected {what}; is it the right file?") from error
        raise
    try:
        return decode_text(data)
    except ValueError as error:
        raise InputError(f"{path}: {error}, expected {what}") from error


def read_lines(path: str | os.PathLike[str], what: str) -> list[str]:
    """The lines of a text file, without their ends; arguments and errors are those of `read_text`, OSError too."""
    lines = read_text(path, what).split("\n")  # not splitlines(): a name may hold what Unicode counts as a line's end
    return lines if lines[-1] else lines[:-1]


def number_of(text: str) -> float:
    """The number that a text says; ValueError if it is none, or only Python takes it for one: ``1_0``, ``١``."""
    if "_" in text or not text.isascii():
        raise ValueError(f"no number: {text[:40]!r}")
    return float(text)


def decode_text(data: bytes, *, strict: bool = True) -> str:
    """The text of a file's bytes.

    Parameters
    ----------
    data : bytes
        The whole file.
    strict : bool
        Whether control characters make it binary; else all but zeros are let through.

    Returns
    -------
    str
        As `read_text`.

    Raises
    ------
    ValueError
        If it is no text; the message says what it is, "a PNG image".
    """
    marked = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), None)
    if marked is None and (kind := describe_non_text(data[:HEAD_BYTES])) is not None:
        raise ValueError(kind)
    try:
        text = data[len(marked[0]) :].decode(marked[1]) if marked else _without_mark(data)
    except UnicodeDecodeError as error:
        raise ValueError(f"text that is not whole ({error.encoding}: {error.reason} at byte {error.start})") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    odd = _CONTROL.search(text) if strict else re.search("\0", text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        raise ValueError(f"a binary file (byte {ord(odd[0]):#04x} in line {line})")
    return text.removesuffix("\x1a")  # MS-DOS's end of file


def _without_mark(data: bytes) -> str:
    """Text without a byte-order mark."""
    if (encoding := unmarked_utf16(data)) is not None:
        return data.decode(encoding)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:  # five bytes have no meaning there
        return data.decode("latin-1")
