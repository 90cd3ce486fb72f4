"""Models that tests open again and again, opened once in a process."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from uvgen.models import builtin
from uvgen.models.morphable import MorphableModel

builtin_model = cache(builtin.builtin_model)
"""The built-in model, the same object each time: making it takes a quarter of a second."""


class FewFiles:
    """Reads a model's file, or gives the object that was read of it before, as long as the file is the same one."""

    def __init__(self, read: Callable[..., MorphableModel]) -> None:
        self._read = read
        self._kept: dict[tuple[str, int, int, int], MorphableModel] = {}  # the last few: models may be large

    def __call__(self, path: Path, untrusted: bool = False) -> MorphableModel:
        if untrusted or not path.is_file():
            return self._read(path, untrusted=untrusted)
        found = path.stat()
        key = (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in self._kept:
            self._kept[key] = self._read(path)
            while len(self._kept) > 4:
                del self._kept[next(iter(self._kept))]
        return self._kept[key]
