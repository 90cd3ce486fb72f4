"""A journal: an append-only file of lines that records what is finished until `dataset.json` is written."""

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from uvgen.errors import DatasetError
from uvgen.storage.names import os_reason
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import OUT_OF_REACH, SHORTAGES, let_go, read_file, what_helps

JOURNAL = ".uvgen-journal"
"""Name of the journal in a folder that a command fills, while it does."""

_UNKNOWN = {*SHORTAGES, *OUT_OF_REACH, errno.EACCES, errno.EPERM}  # what is in it: it may be another user's


class Journal:
    """Values, one per line, each on disk before `append` returns; a line that was cut short or damaged is not read.

    Parameters
    ----------
    path : Path
        The file; it exists once a value is appended.
    about : value
        What the lines are about, a JSON value. Those of a journal about something else are not read, and are replaced.
    """

    def __init__(self, path: Path, about: Any) -> None:
        self._path, self._about = path, _line(about)
        self._handle, self._valid = -1, 0

    def read(self) -> list[Any]:
        """The values, up to the first line that is not whole; DatasetError if it is there but cannot be read now."""
        lines = self._lines()
        if not lines or lines[0] != self._about:
            self._valid = 0
            return []
        values, length = _values(lines[1:])
        self._valid = len(lines[0]) + length
        return values

    def read_any(self) -> list[Any]:
        """As `read`, whatever the journal is about; lines that are appended then are added to none of that."""
        self._valid = 0
        return _values(self._lines()[1:])[0]

    def _lines(self) -> list[bytes]:
        try:
            return read_file(self._path).splitlines(keepends=True)
        except OSError as error:
            if error.errno in _UNKNOWN:  # what it lists would be made again, or forgotten
                raise DatasetError(
                    f"{self._path}: cannot be read ({error.strerror}); {what_helps(error, 'check permissions')}; then "
                    "run the command again"
                ) from error
            return []

    def append(self, value: Any) -> None:
        """Add a value; DatasetError if that cannot be done."""
        try:
            if self._handle < 0:
                if not self._valid:  # what is there is no journal of this work, and may be a link to another file
                    self._path.unlink(missing_ok=True)
                new = os.O_CREAT | (0 if self._valid else os.O_EXCL)
                self._handle = os.open(self._path, os.O_RDWR | new | getattr(os, "O_NOFOLLOW", 0), 0o666)
                self._valid = min(self._valid, os.fstat(self._handle).st_size)
                os.ftruncate(self._handle, self._valid)  # a line that a killed process began
                os.lseek(self._handle, 0, os.SEEK_END)
                if not self._valid:
                    self._write(self._about)
            self._write(_line(value))
            os.fsync(self._handle)
            self._valid = os.lseek(self._handle, 0, os.SEEK_CUR)
        except OSError as error:
            helps = what_helps(error, "check free space, permissions")
            raise DatasetError(f"{self._path}: cannot be written ({os_reason(error)}); {helps}") from error

    def _write(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._handle, line) :]

    def close(self) -> None:
        """Close the file; it stays."""
        if self._handle >= 0:
            let_go(self._handle)  # each line was flushed
            self._handle = -1

    def remove(self) -> None:
        """Delete the file, if that can be done."""
        self.close()
        self._valid = 0
        with suppress(OSError):
            self._path.unlink()


def _values(lines: Sequence[bytes]) -> tuple[list[Any], int]:
    """The values of lines, up to the first that is not whole, and how many bytes they have."""
    values, length = list[Any](), 0
    for line in lines:
        digest, _, text = line.partition(b" ")
        if not line.endswith(b"\n") or _digest(text) != digest:
            break
        try:
            values.append(parse_json(text.decode()))
        except ValueError:
            break
        length += len(line)
    return values, length


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()


def _line(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True).encode() + b"\n"
    return _digest(text) + b" " + text
