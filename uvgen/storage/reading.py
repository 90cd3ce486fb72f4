"""Whole files, read within bounds: the one place that opens a file that a user names.

Only regular files are opened: a named pipe would wait forever, and a device has no end. The bounds are constants that
two environment variables raise: ``UVGEN_MAX_PIXELS`` (a picture's) and ``UVGEN_MAX_BYTES`` (a file's, and of what is
unpacked from it).
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

_MAX_PIXELS = 1 << 27  # 16384 × 8192; Pillow refuses pictures of more than 1.3 times as many
_MAX_BYTES = 4 << 30  # the largest model files have 0.4 GB
_BLOCK = 1 << 20
_FREE_PIXELS = 1 << 20  # that any file may state

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""Errors by which a file cannot be read for want of something that the machine has too little of: none is damaged."""

OUT_OF_REACH = frozenset(
    getattr(errno, name)
    for name in (
        "EIO", "ESTALE", "ENODEV", "ENXIO", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ESHUTDOWN",
        "ENETDOWN", "ENETUNREACH", "ENETRESET", "ECONNABORTED", "ECONNRESET", "ECONNREFUSED", "EREMOTEIO", "EREMCHG",
        "ENOLINK", "ENONET", "EPROTO", "EBADMSG", "EUCLEAN", "ECANCELED", "ENOMEDIUM", "EDEADLK", "ENOKEY",
        "EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED", "EBUSY", "ETXTBSY", "ENOLCK", "ENOBUFS", "EOVERFLOW",
    )
    if hasattr(errno, name)
)  # fmt: skip
"""Errors by which a file is there as far as is known, but its disk does not answer."""

MAY_BE_DAMAGED = frozenset(getattr(errno, name) for name in ("EIO", "EUCLEAN", "EBADMSG") if hasattr(errno, name))
"""Those of them that may say that the disk, or its file system, is damaged at this file."""

_SHORTAGES_HELP = {
    errno.EMFILE: "raise the limit (ulimit -n)",
    errno.ENFILE: "close other programs: the machine has too many files open",
    errno.ENOMEM: "free memory, or raise the limit (ulimit -v)",
    errno.EAGAIN: "raise the limits (ulimit -a)",
}

_ENDLESS = "a file without an end, expected one with an end"
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_elsewhere(error: BaseException | None) -> bool:
    """Whether an error is of the machine or of a disk that does not answer, and says nothing of a file's content."""
    return isinstance(error, OSError) and (error.errno in SHORTAGES or error.errno in OUT_OF_REACH)


def what_helps(error: OSError, otherwise: str) -> str:
    """What to do about a file that cannot be read or written, for the end of a message: `otherwise`, unless the error
    `is_elsewhere`.
    """
    if error.errno in MAY_BE_DAMAGED - {errno.EIO}:
        return "its file system is damaged, check it (fsck)"
    if error.errno in OUT_OF_REACH:
        return "its disk does not answer, try again when it does"
    return _SHORTAGES_HELP.get(error.errno or 0, otherwise)


def max_pixels() -> int:
    """Pixels up to which pictures are decoded: 134,217,728, or what ``UVGEN_MAX_PIXELS`` says."""
    return _stated("UVGEN_MAX_PIXELS", _MAX_PIXELS)


def max_bytes() -> int:
    """Bytes up to which files are read and unpacked: 4 GiB, or what ``UVGEN_MAX_BYTES`` says."""
    return _stated("UVGEN_MAX_BYTES", _MAX_BYTES)


def _stated(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else default


def check_picture_size(width: int, height: int) -> None:
    """Raise ValueError if a picture is larger than `max_pixels`; to be called before its pixels are made."""
    if width * height > (limit := max_pixels()):
        raise ValueError(
            f"{width} × {height} pixels, more than the {limit} that are decoded; set UVGEN_MAX_PIXELS to allow more"
        )


def check_density(width: int, height: int, n_bytes: int, most: int) -> None:
    """Raise ValueError if a picture's file states more pixels than it can hold, `most` in each of its bytes."""
    if width * height > _FREE_PIXELS + n_bytes * most:
        raise ValueError(f"{n_bytes} bytes cannot hold the {width} × {height} pixels that they state; it is damaged")


def irregular(mode: int) -> str | None:
    """What a file of this `st_mode` is if it is no regular file, ``"a named pipe"``; else None."""
    if stat.S_ISREG(mode):
        return None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no regular file")


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a regular file for reading bytes.

    Parameters
    ----------
    path : path-like
        Any name; it is not trusted.

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        If it cannot be opened, or is a folder, pipe, socket or device; `strerror` says which.
    """
    handle, _ = _opened(path)
    try:
        with open(handle, "rb", closefd=False) as file:
            yield file
    finally:
        let_go(handle)


def let_go(handle: int) -> None:
    """Close a file that was only read or locked, or that is given up: an error of that counts for nothing.

    Network disks report a full quota then, and what they report would hide the error that ended the work. A file that
    was written to is closed by `os.close`, whose error says that the content is lost.
    """
    with suppress(OSError):
        os.close(handle)


def _opened(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Descriptor and size of a regular file; errors as for `open_regular`."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        try:
            handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
        except BlockingIOError:  # a file server has a lease on it, and gives it up if one waits
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise
            handle = os.open(path, flags)
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from error
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):  # a socket, or a device that is not there
            raise OSError(error.errno, "a socket or a device, expected a file", os.fspath(path)) from error
        raise
    try:
        status = os.fstat(handle)
        kind = irregular(status.st_mode)
        if kind == "a folder":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if kind is not None:
            raise OSError(errno.EINVAL, f"{kind}, expected a file", os.fspath(path))
        if not status.st_size:
            _check_has_end(handle, path)
    except BaseException:
        let_go(handle)
        raise
    return handle, status.st_size


def _check_has_end(handle: int, path: str | os.PathLike[str]) -> None:
    """Raise OSError if a file that states no size is one whose next bytes are still to come, as the kernel's log has:
    readers would take the error of that for a machine that is short of something.
    """
    try:
        if os.read(handle, 1):
            os.lseek(handle, 0, os.SEEK_SET)
    except BlockingIOError:
        raise OSError(errno.EINVAL, _ENDLESS, os.fspath(path)) from None


def read_file(path: str | os.PathLike[str], most_bytes: int | None = None) -> bytes:
    """A regular file's content.

    Parameters
    ----------
    path : path-like
        Any name; it is not trusted.
    most_bytes : int, optional
        Size up to which it is read; `max_bytes` by default.

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        As `open_regular`, and if the file is larger; `strerror` names the limit.
    """
    limit = max_bytes() if most_bytes is None else min(most_bytes, max_bytes())
    handle, size = _opened(path)
    try:
        parts: list[bytes] = []
        n = 0
        while size <= limit and n <= limit:
            try:
                block = os.read(handle, size + 1 - n if n <= size else _BLOCK)  # it grows, or is made up by the kernel
            except BlockingIOError:
                raise OSError(errno.EINVAL, _ENDLESS, os.fspath(path)) from None
            if not block:
                break
            parts.append(block)
            n += len(block)
    finally:
        let_go(handle)
    if size > limit or n > limit:
        raise OSError(errno.EFBIG, f"more than the {limit} bytes that are read", os.fspath(path))
    return b"".join(parts)
