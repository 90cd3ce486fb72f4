"""Samples in an object store: listed in one pass, and fetched for as long as they are read."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from uvgen.errors import MIRROR, DatasetError
from uvgen.storage.locks import scratch_folder
from uvgen.storage.objects import fetch_all, listed
from uvgen.storage.urls import url_of

if TYPE_CHECKING:
    from uvgen.samples.find import Sample

AnySample = TypeVar("AnySample", bound="Sample")


class StoredEntry(NamedTuple):
    """A file or folder of a store, as `os.scandir` lists those of this machine."""

    name: str
    path: str
    is_folder: bool

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.is_folder


_listing: dict[str, dict[str, list[StoredEntry]]] = {}  # of the last folder: entries of each folder in it


def list_store(root: Path) -> None:
    """List all that lies below a folder of a store, for `stored_entries`.

    DatasetError if nothing is there, or the store cannot be had.
    """
    folders: dict[str, list[StoredEntry]] = {os.fspath(root): []}
    for name in sorted(listed(root)):
        path = root.as_posix()
        *inner, last = name.split("/")
        for part in inner:
            parent, path = path, f"{path}/{part}"
            if path not in folders:
                folders[path] = []
                folders[parent].append(StoredEntry(part, path, True))
        folders[path].append(StoredEntry(last, f"{path}/{last}", False))
    if not folders[os.fspath(root)]:
        raise DatasetError(f"{root}: nothing is there, expected a folder like 300W-LP")
    _listing.clear()
    _listing[os.fspath(root)] = folders


def stored_entries(folder: Path) -> list[StoredEntry]:
    """What lies in a folder of a store, sorted by name."""
    path = os.fspath(folder)
    for root, folders in _listing.items():
        if path == root or path.startswith(f"{root}/"):
            return sorted(folders.get(path, ()))
    list_store(folder)
    return sorted(_listing[path][path])


@contextmanager
def at_hand(samples: Sequence[AnySample]) -> Iterator[tuple[Sequence[AnySample], Callable[[Path], Path]]]:
    """Have samples' files on this machine: those of a store are fetched into a temporary folder meanwhile.

    Parameters
    ----------
    samples : sequence of Sample
        As `uvgen.find_samples` lists them.

    Yields
    ------
    (sequence of Sample, callable)
        The same samples, with paths that can be read; and what makes the path of any folder of the store one that
        those paths are relative to.

    Raises
    ------
    DatasetError
        If a file cannot be fetched. One that is gone is missing when its sample is read.
    """
    stored = {path for sample in samples for path in (sample.image, sample.parameters) if path and url_of(path)}
    if not stored:
        yield samples, lambda path: path
        return
    with scratch_folder() as folder:

        def local(path: Path) -> Path:
            url = url_of(path)
            return path if url is None else folder / MIRROR / url.replace("://", "/", 1)

        try:
            bad = fetch_all([(path, local(path)) for path in sorted(stored)])
        except DatasetError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno != errno.ENOSPC:
                raise
            raise DatasetError(
                f"{folder}: is full, expected room for the samples of a shard; set TMPDIR to a folder with free space"
            ) from error
        yield (
            [
                replace(
                    sample,
                    image=sample.image and local(sample.image),
                    parameters=sample.parameters and local(sample.parameters),
                    problem=_problem(sample, bad),
                )
                for sample in samples
            ],
            local,
        )


def _problem(sample: "Sample", bad: Mapping[Path, str]) -> str:
    """Why a sample cannot be used: what was seen before, or that one of its files could not be taken from the store."""
    found = (bad[path] for path in (sample.parameters, sample.image) if path and path in bad)
    return sample.problem or next(found, "")
