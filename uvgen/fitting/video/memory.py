"""A bound for the memory that FFmpeg takes for a file, whose tables may be stated to be far longer than the file."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MOST = 3 << 29  # bytes that opening a video, or decoding one frame, may take: 11 per pixel of the largest picture
_STATM = Path("/proc/self/statm")  # of Linux: pages that this process has mapped


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Let this process take no more than 1.5 GiB of further memory within the block.

    Raises ValueError if FFmpeg asks for more, or for more at once than it ever takes: that is the file's fault.
    Where the system or a limit that was set from outside has less than that to give, MemoryError passes.
    """
    short = False
    try:
        with _limited() as short:
            yield
    except MemoryError:
        if short:
            raise
        raise ValueError("it asks for more memory than a video needs") from None


@contextmanager
def _limited() -> Iterator[bool]:
    """Lower the limit of this process's memory; yields whether one that was there already is lower."""
    try:
        import resource

        mapped = int(_STATM.read_text().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError, ValueError, IndexError):  # Windows, macOS
        yield False
        return
    bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    if min(bounds, default=mapped + _MOST) < mapped + _MOST:
        yield True
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (mapped + _MOST, hard))
    try:
        yield False
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
