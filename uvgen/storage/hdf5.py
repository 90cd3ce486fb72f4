"""New HDF5 files: the first failure to write is kept and raised, whatever HDF5 makes of it."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uvgen.errors import OutputError

if TYPE_CHECKING:
    import h5py
    from typing_extensions import Buffer


MAX_ATTRIBUTE_BYTES = 64_000
"""What an attribute may take: HDF5 keeps it in the header of its object, where a message has 64 KiB at most."""


def write_attributes(owner: Any, values: Mapping[str, Any]) -> None:
    """Write attributes of a file, group or dataset; texts as UTF-8 of fixed length, which alone is read again.

    Parameters
    ----------
    owner : h5py object
        What they belong to.
    values : mapping
        Numbers, texts, and lists or arrays of either. Half surrogate pairs become escapes.

    Raises
    ------
    OutputError
        If a value takes more than `MAX_ATTRIBUTE_BYTES`; nothing is written of it.
    """
    import h5py

    for name, value in values.items():
        array = np.asarray(value)
        if array.dtype.kind in "US":
            texts = [text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
                     for text in ([value] if isinstance(value, (str, bytes)) else array.ravel().tolist())]  # fmt: skip
            width = max(map(len, texts), default=1) or 1  # HDF5 has no empty strings of fixed length
            array = np.array(texts, h5py.string_dtype("utf-8", width)).reshape(array.shape)
        if array.nbytes > MAX_ATTRIBUTE_BYTES:
            raise OutputError(
                f"attribute {name}: {array.nbytes} bytes, expected {MAX_ATTRIBUTE_BYTES} at most, which HDF5 can keep; "
                "shorten it"
            )
        owner.attrs.create(name, array, dtype=array.dtype)


@contextmanager
def new_hdf5(path: Path) -> Iterator["h5py.File"]:
    """Make an HDF5 file; if the disk does not take it, an OSError says so, and nothing worse happens.

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
