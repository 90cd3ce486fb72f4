"""Folders of images, here or in an object store: which of a tree's hold some, and what to say if none does."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from uvgen.errors import DatasetError, UvgenError
from uvgen.samples.stored import StoredEntry, stored_entries
from uvgen.storage.folders import IMAGE_SUFFIXES, SAMPLES, instead, is_passed_over, unreadable
from uvgen.storage.matfile import read_numeric
from uvgen.storage.reading import read_file
from uvgen.storage.urls import url_of
from uvgen.wording import count

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".ogv", ".3gp",
)  # fmt: skip
"""Suffixes of video files in a folder; a file that is named itself may have any suffix."""


_LARGEST_PARAMETERS = 1 << 24  # bytes of a sample's .mat
_MOST_FOLDERS = 256  # whose subfolders are looked for, below those that are read: a home folder has many more


_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM)
"""Errors of links that lead nowhere, such as below a file or to themselves, or into folders that may not be read."""


@contextmanager
def _scanned(folder: Path) -> "Iterator[Iterable[os.DirEntry[str]] | Iterable[StoredEntry]]":
    """What lies in a folder, here or in an object store; OSError or DatasetError if it cannot be listed."""
    if url_of(folder):
        yield stored_entries(folder)
        return
    with os.scandir(folder) as entries:
        yield entries


def _entries(folder: Path) -> "list[os.DirEntry[str]] | list[StoredEntry]":
    try:
        with _scanned(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)  # type: ignore[return-value]
    except OSError as error:
        raise unlisted(folder, error) from error


def unlisted(folder: Path, error: OSError) -> DatasetError:
    """The error for a folder that cannot be listed; one that says so already is raised as it is."""
    if isinstance(error, DatasetError):  # of a store
        raise error
    return DatasetError(f"{folder}: {unreadable(error, 'a folder like 300W-LP')}")


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def has_images(folder: Path) -> bool:
    """Whether there is one; a folder of a million is read up to its first."""
    try:
        with _scanned(folder) as entries:
            return any(_is_image(entry.name) and not _is_folder(entry) for entry in entries)
    except OSError as error:
        raise unlisted(folder, error) from error


def _stems(folder: Path) -> set[str]:
    return {os.path.splitext(entry.name)[0] for entry in _entries(folder) if _is_image(entry.name)}


def subset_folders(root: Path) -> list[Path]:
    """The folders with images: the root itself, and those in it."""
    inner = folders_in(root)
    found = [folder for folder in [root, *inner] if has_images(folder)]
    if not found:
        deeper = folders_below(inner, root=root)
        hint = f"; there are some in {deeper[0]}: give {deeper[0].parent}" if deeper else ""
        expected = "images, or folders of them such as 300W-LP's AFW, HELEN, IBUG, LFPW"
        if not deeper and (found_instead := instead(root, wanted=SAMPLES, expected=expected)):
            raise DatasetError(f"{root}: {found_instead}")
        raise DatasetError(f"{root}: no images in it or in its folders, expected {expected}{hint}")
    twice = root / root.name
    if root in found and twice in each_once(found) and (same := _stems(root) & _stems(twice)):
        raise DatasetError(
            f"{twice}: holds {count(len(same), 'image')} of the same names as {root}, expected each image once; was "
            "the archive unpacked into itself? Give the inner folder, or move it away"
        )
    return found


def folders_below(folders: Sequence[Path], *, root: Path) -> list[Path]:
    """The folders with images in some folders of a root, at any depth, the nearest first.

    Each comes once, even if links lead to it, without the root and these folders themselves. Folders that cannot be
    listed are left out, and those of a large tree that lie deep.
    """
    found: list[Path] = []
    seen = set(map(os.path.realpath, [root, *folders]))
    queue = [*folders]
    for folder in queue:  # the loop below adds to it
        with suppress(DatasetError):
            for inner in each_once(folders_in(folder)):
                if (where := os.path.realpath(inner)) in seen:
                    continue
                seen.add(where)
                if len(queue) < len(folders) + _MOST_FOLDERS:
                    queue.append(inner)
                with suppress(DatasetError):
                    found += [inner] if has_images(inner) else []
    return found


def parameters_alone(root: Path) -> list[Path]:
    """Those of a root's folders that hold samples' ``.mat`` files and no image, by name.

    They are a sample's if a file of the same name lies beside one, such as a picture of another kind, or if the first
    has a pose: 300W-LP has a folder of the model's files, too.
    """
    found = []
    for folder in each_once(folders_in(root)):
        with suppress(DatasetError):
            if not has_images(folder) and _holds_parameters(folder):
                found.append(folder)
    return found


def _holds_parameters(folder: Path) -> bool:
    names = [os.path.splitext(entry.name) for entry in _entries(folder) if not entry.name.startswith(".")]
    files = [stem + end for stem, end in names if end.lower() == ".mat"]
    others = {stem for stem, end in names if end and end.lower() != ".mat"}
    if not files or any(os.path.splitext(name)[0] in others for name in files):
        return bool(files)
    try:
        return bool(read_numeric(read_file(folder / files[0], _LARGEST_PARAMETERS), ("Pose_Para",)))
    except (OSError, ValueError, UvgenError):
        return False


def lost_links(root: Path) -> list[Path]:
    """Links in a root, not in a store, that may have led to a folder and lead nowhere, by name."""
    return [
        Path(entry.path)
        for entry in _entries(root)
        if not isinstance(entry, StoredEntry)
        and entry.is_symlink()
        and not is_passed_over(entry.name)
        and not os.path.splitext(entry.name)[1]
        and not os.path.exists(entry.path)  # noqa: PTH110
    ]


def each_once(folders: Sequence[Path]) -> list[Path]:
    """Folders in their order, without links to others of them, or to the same as another link."""
    if not any(folder.is_symlink() for folder in folders):  # nor in an object store
        return [*folders]
    kept: dict[str, Path] = {}
    for folder in sorted(folders, key=Path.is_symlink):  # folders themselves before links, each by name
        kept.setdefault(os.path.realpath(folder), folder)
    chosen = set(kept.values())
    return [folder for folder in folders if folder in chosen]


def folders_in(folder: Path) -> list[Path]:
    """The folders that lie in a folder, hidden ones left out, by name."""
    try:
        with _scanned(folder) as entries:
            found = [entry.path for entry in entries if not is_passed_over(entry.name) and _is_folder(entry)]
    except OSError as error:
        raise unlisted(folder, error) from error
    return [Path(path) for path in sorted(found)]


def _is_folder(entry: "os.DirEntry[str] | StoredEntry") -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno in _NO_FOLDER:
            return False
        raise unlisted(Path(entry.path), error) from error  # as on a network's disk that does not answer
