"""Samples of 300W-LP and AFLW2000-3D: finding them in a folder, reading images and parameters.

300W-LP is a tree of subset folders (AFW, HELEN, IBUG, LFPW, and each with ``_Flip``), AFLW2000-3D is flat. A
sample is an image and, beside it under the same name, a MATLAB file with `Pose_Para` (1, 7), `Shape_Para`
(199, 1) and `Exp_Para` (29, 1), in 300W-LP also `pt2d` (2, 68).
"""

import difflib
import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

from uvgen.checks import check_paths, check_several
from uvgen.errors import DatasetError
from uvgen.samples.image_folders import (
    each_once,
    folders_below,
    folders_in,
    lost_links,
    parameters_alone,
    subset_folders,
    unlisted,
)
from uvgen.samples.parameter_list import is_list, open_list, place_of
from uvgen.samples.photographs import unflipped
from uvgen.samples.stored import list_store, stored_entries
from uvgen.storage.folders import EXPORT, IMAGE_SUFFIXES, REPORT, folder_kind
from uvgen.storage.names import brief, printable, same_name
from uvgen.storage.urls import local_path, refuse_url, url_of

_MOST_NAMED = 20  # subsets


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample that has not been read yet. If one of its two files is missing, reading it raises an error.

    Attributes
    ----------
    name : str
        Path below the root without suffix, ``IBUG/IBUG_image_008_1_0``; names are unique and stable. Bytes that are not
        UTF-8, and control characters, are written as escapes, ``\\xe9``.
    subset : str
        Folder name; for a flat tree the root's own.
    image, parameters : Path or None
        The image and its ``.mat``.
    problem : str
        Why the sample cannot be used, if that was seen when it was found; reading it raises this.
    row : int or None
        If `parameters` is a list of many samples (see `uvgen.samples.parameter_list`): the row of this one.
    deadly : bool
        Whether the problem is that processes died at it, which says nothing of its files.
    list_sha256 : str
        If there is a row: of the list's text when it was found; "" if that may have changed since.
    shared_name : str
        The name, without a number, that several rows of its list have, of which the order says which is which: faces of
        an image, or images of other suffixes; "" if no other has its name.
    list_path : Path or None
        That list, if there are such rows.
    """

    name: str
    subset: str
    image: Path | None
    parameters: Path | None
    problem: str = ""
    row: int | None = None
    deadly: bool = False
    list_sha256: str = ""
    shared_name: str = ""
    list_path: Path | None = None

    @property
    def is_unopened(self) -> bool:
        """Whether processes died at it even as they read its files for a hash, so that these were taken from it."""
        return self.deadly and self.image is None and self.parameters is None

    @property
    def stated_in(self) -> str:
        """Where its parameters are, for messages."""
        return f"{self.parameters}" if self.row is None else f"{self.parameters}, row {self.row + 1}"

    @property
    def flipped(self) -> bool:
        """Whether it is of a ``_Flip`` subset, whose 2D landmarks keep the order of the original image.

        Of a list's rows, which may be named otherwise, the folder of their ``.mat`` counts.
        """
        folder = self.subset if self.parameters is None else self.parameters.parent.name
        return unflipped(self.subset) != self.subset or unflipped(folder) != folder


FoundSample = TypeVar("FoundSample", bound=Sample)


def find_samples(root: str | os.PathLike[str], subsets: Sequence[str] = (), *, flip: bool = True) -> list[Sample]:
    """Samples in a 300W-LP tree or a flat AFLW2000-3D folder, sorted by name.

    Parameters
    ----------
    root : path-like
        Folder with subset folders, or with the images themselves; or a list of images and parameters, CSV or JSON, see
        `uvgen.samples.parameter_list`.
    subsets : sequence of str
        Which subsets; none means all. ``"IBUG"`` brings ``IBUG_Flip`` along if `flip` is true;
        ``"IBUG_Flip"`` means that alone.
    flip : bool
        Whether to take the mirrored subsets too.

    Returns
    -------
    list of Sample
        Also images without ``.mat`` and the reverse, so that reading can report them. A folder that links lead to again
        counts once.

    Raises
    ------
    InputError
        If `root` is not a path, or `subsets` is a single text.
    DatasetError
        If the folder is missing or unreadable, holds no images or a copy of itself, a named subset is not there
        (the message lists those that are), or nothing is left to take.
    """
    check_paths(root=root)
    check_several(subsets, "subsets")
    root = Path(os.path.abspath(local_path(root)))  # workers may have another working folder
    if root.suffix.lower() in (".csv", ".json"):
        refuse_url(root, "a list of samples", "copy it here, beside its images")
    if url_of(root):
        list_store(root)
    elif is_list(root):
        return _listed_samples(root, subsets, flip=flip)
    if url_of(root) is None and (kind := folder_kind(root)) in (REPORT, EXPORT):  # which hold images, and no parameters
        raise DatasetError(f"{root}: {kind}, expected the folder of images and .mat files")
    folders = subset_folders(root)
    there = list(dict.fromkeys(printable(folder.name) for folder in folders))
    if unknown := [name for name in subsets if same_name(name) not in map(same_name, there)]:
        raise DatasetError(f"{root}: no subset {unknown[0]} with images; {_subset_hint(unknown[0], there)}")
    asked = set(map(same_name, subsets))
    wanted = [name for name in there if is_wanted(name, asked, flip=flip)]
    if not wanted:
        raise DatasetError(
            f"{root}: holds only mirrored images ({_first_of(there)}), which flip=False leaves out; include them (flip)"
        )
    chosen = each_once([folder for folder in folders if printable(folder.name) in wanted])
    chosen.sort(key=lambda folder: folder.name)
    with _without_collector():
        samples = [sample for folder in chosen for sample in _pair(folder, flat=folder == root)]
    if len({sample.name for sample in samples}) == len(samples):
        return samples
    return told_apart(samples, lambda one: f"{one.image or one.parameters}: another file has this name too; rename one")


def is_wanted(subset: str, asked: set[str], *, flip: bool) -> bool:
    """Whether the subsets that were asked for, as `same_name` gives them, include this one; none means all."""
    if not asked:
        return flip or unflipped(subset) == subset
    return same_name(subset) in asked or (flip and same_name(unflipped(subset)) in asked)


def folder_of(data: str | os.PathLike[str]) -> Path:
    """The folder that samples' paths are relative to: of a list, the one that it lies in."""
    path = Path(os.path.abspath(local_path(data)))
    return path.parent if url_of(path) is None and is_list(path) else path


def _listed_samples(path: Path, subsets: Sequence[str], *, flip: bool) -> list[Sample]:
    """Samples of a list; a second face of an image has the image's name and a number."""
    found, seen = list[Sample](), Counter[str]()
    listed = open_list(path)
    rows = [place_of(row, path) for row in listed.rows]
    counts = Counter(name for name, *_ in rows)
    for number, (name, subset, image, file, problem) in enumerate(rows):
        seen[name] += 1
        shared = (name, path) if counts[name] > 1 else ("", None)
        name = name if seen[name] == 1 else f"{name}_face{seen[name]}"
        problem = f"{path}, row {number + 1}: {problem}" if problem else ""
        if file is None:
            found.append(Sample(name, subset, image, path, problem, number, False, listed.sha256, *shared))
        else:
            found.append(Sample(name, subset, image, file, problem, None, False, "", *shared))
    there = sorted({sample.subset for sample in found})
    if unknown := [name for name in subsets if same_name(name) not in map(same_name, there)]:
        raise DatasetError(f"{path}: no row of {unknown[0]}; {_subset_hint(unknown[0], there)}")
    asked = set(map(same_name, subsets))
    found = [sample for sample in found if is_wanted(sample.subset, asked, flip=flip)]
    if not found:
        raise DatasetError(
            f"{path}: holds only mirrored images ({brief(_first_of(there))}), which flip=False leaves out; include "
            "them (flip)"
        )
    found = told_apart(found, lambda one: f"{one.stated_in}: another row has this name too; rename the images")
    found.sort(key=attrgetter("name"))
    found.sort(key=attrgetter("subset"))  # twice: a key of both would be a tuple for each
    return found


def told_apart(samples: Sequence[FoundSample], problem: Callable[[FoundSample], str]) -> list[FoundSample]:
    """Samples of which each has a name of its own: of several with one name, none can be used, for the `problem` of
    each, and all but the first have a number added to their names. What is known of a sample is kept by its name.
    """
    counts = Counter(sample.name for sample in samples)
    taken, seen = set[str](), Counter[str]()
    found = []
    for sample in samples:
        if counts[sample.name] == 1:
            found.append(sample)
            continue
        seen[sample.name] += 1
        name, number = sample.name, seen[sample.name]
        while number > 1 and (name in counts or name in taken):
            name, number = f"{sample.name} ({number})", number + 1
        taken.add(name)
        found.append(replace(sample, name=name, problem=problem(sample)))
    return found


def _subset_hint(name: str, there: Sequence[str]) -> str:
    if set(map(same_name, name.split(","))) <= set(map(same_name, there)):
        return "name each by itself: " + ", ".join(name.split(","))
    near = [one for one in there if same_name(one).casefold() == same_name(name).casefold()]
    near = near or difflib.get_close_matches(name, there, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else f"there are {_first_of(there)}"


def _first_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


class Unread(NamedTuple):
    """What lies in a folder of samples and `find_samples` does not take."""

    deeper: list[Path]
    """Folders with images that lie deeper than one level, the nearest first."""
    imageless: list[Path]
    """Folders in it that hold ``.mat`` files and no image."""
    lost: list[Path]
    """Links in it that lead nowhere, and may have led to a folder."""


def unread_folders(root: str | os.PathLike[str]) -> Unread:
    """What `find_samples` does not take of a folder; nothing of a list of samples."""
    root = Path(os.path.abspath(local_path(root)))
    if url_of(root) is None and is_list(root):
        return Unread([], [], [])
    deeper = folders_below(each_once(folders_in(root)), root=root)
    return Unread(deeper, parameters_alone(root), lost_links(root))


@contextmanager
def _without_collector() -> Iterator[None]:
    """Without Python's collector of cyclic garbage, which would visit all samples again and again as they get more.

    That took two thirds of the time for a million; no cycles are made here.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _no_folders(folder: Path, names: list[str], *, stored: bool) -> list[str]:
    """The names of entries of a folder that are files; the first name if none is."""
    return [name for name in names if stored or not os.path.isdir(folder / name)] or names[:1]  # noqa: PTH112


def _pair(folder: Path, *, flat: bool) -> list[Sample]:
    """The samples of a folder: its images and parameter files, by their names without suffix."""
    try:
        stored = url_of(folder) is not None
        found = (Path(entry.path) for entry in stored_entries(folder)) if stored else folder.iterdir()
        paths = {path.name: path for path in found}  # not Path(…) of each name: three times as slow
    except OSError as error:
        raise unlisted(folder, error) from error
    images, parameters = dict[str, str](), dict[str, str]()  # the first file of each stem
    kinds = dict.fromkeys(IMAGE_SUFFIXES, images) | {".mat": parameters}
    more: dict[str, dict[str, list[str]]] = {}  # further files of a stem, rarely any: of images, else of parameters
    for file in sorted(paths):
        stem, _, suffix = file.rpartition(".")
        kind = kinds.get(f".{suffix.lower()}")
        if kind is None or not stem or stem[0] == ".":
            continue
        key = stem if stem.isascii() else same_name(stem)
        if kind.setdefault(key, file) is not file:
            more.setdefault(key, {}).setdefault("image" if kind is images else "parameter file", []).append(file)
    subset = printable(folder.name)
    start = "" if flat else f"{subset}/"
    samples = []
    for stem in sorted(dict.fromkeys((*images, *parameters))):  # nearly sorted, as no set is: much faster
        image, mat = images.get(stem), parameters.get(stem)
        problem = ""
        for kind_name, files in more.get(stem, {}).items() if more else ():
            first, *others = _no_folders(folder, [str(image if kind_name == "image" else mat), *files], stored=stored)
            if kind_name == "image":
                image = first
            else:
                mat = first
            if others and (not problem or kind_name == "image"):
                problem = (
                    f"{folder / first}: {', '.join(map(printable, others))} has the same name, expected one "
                    f"{kind_name}; remove the wrong one"
                )
        if mat is None and not stored and os.path.isdir(folder / str(image)):  # noqa: PTH112 - "album.jpg" of pictures
            continue
        name = printable((image or mat or "").rpartition(".")[0])
        image_path, mat_path = paths.get(image or ""), paths.get(mat or "")
        samples.append(Sample(start + name, subset, image_path, mat_path, problem))
    return samples
