"""New HDF5 files: the first failure to write is kept and raised, whatever HDF5 makes of it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py
    from typing_extensions import Buffer


@contextmanager
def new_hdf5(path: Path) -> Iterator["h5py.File"]:
    """Make an HDF5 file; where the disk does not take it, an OSError says so, and nothing worse happens.

    HDF5 itself cannot close a file whose buffers it cannot write. Measured with h5py 3.16 (HDF5 2.0): on a full tmpfs
    of 400 kB, ``with h5py.File(...)`` ended without an exception although data were lost; under a limit on the file's
    size it raised; and both processes died of a segmentation fault on exit. So HDF5 writes through an object that
    remembers the first failure and lets HDF5 finish: the same two runs raise OSError and exit normally. An interrupt
    inside HDF5 may crash it too: use `uvgen.interrupts.interrupts_deferred` around.

    Parameters
    ----------
    path : Path
        File to make, or to replace.

    Yields
    ------
    h5py.File
        Open for writing.

    Raises
    ------
    OSError
        The first failure to write.
    """
    import h5py

    with open(path, "w+b", buffering=0) as raw:
        target = _RememberingFile(raw)
        try:
            with h5py.File(target, "w", libver=("earliest", "v110")) as file:
                yield file
        except (OSError, RuntimeError):
            if target.failure is None:
                raise
        if target.failure is not None:
            raise target.failure


class _RememberingFile:
    """A binary file whose writes never fail; `failure` holds the first that did."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self.failure: OSError | None = None
        self.seek, self.tell, self.flush = raw.seek, raw.tell, raw.flush
        self.read, self.readinto = raw.read, raw.readinto

    def write(self, data: "Buffer") -> int:
        view = memoryview(data).cast("B")
        if self.failure is None:
            try:
                written = 0
                while written < len(view):
                    written += self._raw.write(view[written:]) or 0
            except OSError as error:
                self.failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        if self.failure is None:
            try:
                return self._raw.truncate(size)
            except OSError as error:
                self.failure = error
        return size or 0


def library_version() -> str:
    """The version of the HDF5 library that h5py brings along: "2.0.0"."""
    import h5py

    return str(h5py.version.hdf5_version)
