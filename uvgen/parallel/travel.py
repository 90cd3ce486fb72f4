"""How models are pickled for worker processes: as the path of their file, or as a whole if they lack that file."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_paths: ContextVar[list[Path] | None] = ContextVar("_paths", default=None)
_whole: ContextVar[bool] = ContextVar("_whole", default=False)


@contextmanager
def traveling(*, whole: bool = False) -> Iterator[list[Path]]:
    """Within the block, values that have a file are pickled as its path, or as a `whole`; yields the list of paths."""
    paths: list[Path] = []
    token, other = _paths.set(paths), _whole.set(whole)
    try:
        yield paths
    finally:
        _paths.reset(token)
        _whole.reset(other)


def travels_as(path: Path) -> bool:
    """Whether to pickle the value that this file holds as its path, which is then listed."""
    if _whole.get():
        return False
    paths = _paths.get()
    if paths is not None:
        paths.append(path)
    return True
