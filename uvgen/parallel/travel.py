"""How large values travel to worker processes: as the path of their file, or whole where it is not seen there."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_paths: ContextVar[list[Path] | None] = ContextVar("_paths", default=None)
_whole: ContextVar[bool] = ContextVar("_whole", default=False)


@contextmanager
def travelling(*, whole: bool = False) -> Iterator[list[Path]]:
    """Within the block, values are pickled as paths, which are listed, or `whole`."""
    paths: list[Path] = []
    token, other = _paths.set(paths), _whole.set(whole)
    try:
        yield paths
    finally:
        _paths.reset(token)
        _whole.reset(other)


def travels_as(path: Path) -> bool:
    """Whether a value whose file this is, is to be pickled as its path."""
    if _whole.get():
        return False
    paths = _paths.get()
    if paths is not None:
        paths.append(path)
    return True
