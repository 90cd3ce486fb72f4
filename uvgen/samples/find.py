"""Samples of 300W-LP and AFLW2000-3D: finding them in a folder, reading images and parameters.

300W-LP is a tree of subset folders (AFW, HELEN, IBUG, LFPW, and each with ``_Flip``), AFLW2000-3D is flat. A
sample is an image and, beside it under the same name, a MATLAB file with `Pose_Para` (1, 7), `Shape_Para`
(199, 1) and `Exp_Para` (29, 1), in 300W-LP also `pt2d` (2, 68).
"""

import difflib
import gc
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from uvgen.checks import check_several
from uvgen.errors import DatasetError, InputError
from uvgen.samples.image_folders import (
    IMAGE_SUFFIXES,
    each_once,
    folders_below,
    folders_in,
    subset_folders,
    unlisted,
)
from uvgen.samples.parameter_list import is_list, open_list, place_of
from uvgen.samples.photographs import unflipped
from uvgen.samples.stored import list_store, stored_entries
from uvgen.storage.folders import EXPORT, REPORT, folder_kind
from uvgen.storage.names import brief, printable
from uvgen.storage.objects import local_path, refuse_url, url_of
from uvgen.storage.text import read_lines
from uvgen.wording import are, count

_LONGEST_COMPARED = 1000  # characters of a name; comparing takes as long as it is
_MOST_COMPARED = 10_000  # names, with one that is not among them: a second


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample that has not been read yet. If one of its two files is missing, reading it raises an error.

    Attributes
    ----------
    name : str
        Path below the root without suffix, ``IBUG/IBUG_image_008_1_0``; names are unique and stable. Bytes that are no
        UTF-8 and control characters stand in it as escapes, ``\\xe9``.
    subset : str
        Folder name; for a flat tree the root's own.
    image, parameters : Path or None
        The image and its ``.mat``.
    problem : str
        Why the sample cannot be used, if that was seen when it was found; reading it raises this.
    row : int or None
        If `parameters` is a list of many samples' (see `uvgen.samples.parameter_list`): which row is this one's.
    """

    name: str
    subset: str
    image: Path | None
    parameters: Path | None
    problem: str = ""
    row: int | None = None

    @property
    def stated_in(self) -> str:
        """Where its parameters are, for messages."""
        return f"{self.parameters}" if self.row is None else f"{self.parameters}, row {self.row + 1}"

    @property
    def flipped(self) -> bool:
        """Whether it is of a ``_Flip`` subset, whose 2D landmarks keep the order of the original image."""
        return unflipped(self.subset) != self.subset


OfSample = TypeVar("OfSample", bound=Sample)


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
        If `subsets` is a single text.
    DatasetError
        If the folder is missing or unreadable, holds no images or a copy of itself, a named subset is not there
        (the message lists those that are), or nothing is left to take.
    """
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
    if unknown := [name for name in subsets if _same(name) not in map(_same, there)]:
        raise DatasetError(f"{root}: no subset {unknown[0]} with images; {_subset_hint(unknown[0], there)}")
    asked = set(map(_same, subsets))
    wanted = [name for name in there if _is_wanted(name, asked, flip=flip)]
    if not wanted:
        raise DatasetError(
            f"{root}: holds only mirrored images ({', '.join(there)}), which flip=False leaves out; include them (flip)"
        )
    chosen = each_once([folder for folder in folders if printable(folder.name) in wanted])
    chosen.sort(key=lambda folder: folder.name)
    with _without_collector():
        samples = [sample for folder in chosen for sample in _pair(folder, flat=folder == root)]
    if len({sample.name for sample in samples}) == len(samples):
        return samples
    counts = Counter(sample.name for sample in samples)
    return [
        sample
        if counts[sample.name] == 1
        else replace(sample, problem=f"{sample.image or sample.parameters}: another file has this name too; rename one")
        for sample in samples
    ]


def _is_wanted(subset: str, asked: set[str], *, flip: bool) -> bool:
    """Whether the subsets that were asked for, as `_same` gives them, include this one; none means all."""
    if not asked:
        return flip or unflipped(subset) == subset
    return _same(subset) in asked or (flip and _same(unflipped(subset)) in asked)


def folder_of(data: str | os.PathLike[str]) -> Path:
    """The folder that samples' paths are relative to: of a list, the one that it lies in."""
    path = Path(os.path.abspath(local_path(data)))
    return path.parent if url_of(path) is None and is_list(path) else path


def _listed_samples(path: Path, subsets: Sequence[str], *, flip: bool) -> list[Sample]:
    """Samples of a list; a second face of an image has the image's name and a number."""
    found, seen = list[Sample](), Counter[str]()
    places = [place_of(row, path) for row in open_list(path).rows]
    there = sorted({place[1] for place in places})
    if unknown := [name for name in subsets if _same(name) not in map(_same, there)]:
        raise DatasetError(f"{path}: no row of {unknown[0]}; {_subset_hint(unknown[0], there)}")
    asked = set(map(_same, subsets))
    for number, (name, subset, image, file, problem) in enumerate(places):
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name}_face{seen[name]}"
        problem = f"{path}, row {number + 1}: {problem}" if problem else ""
        sample = Sample(name, subset, image, path if file is None else file, problem, number if file is None else None)
        if _is_wanted(subset, asked, flip=flip):
            found.append(sample)
    if not found:
        raise DatasetError(
            f"{path}: holds only mirrored images ({brief(', '.join(there))}), which flip=False leaves out; include "
            "them (flip)"
        )
    counts = Counter(sample.name for sample in found)
    return sorted(
        (
            sample if counts[sample.name] == 1
            else replace(sample, problem=f"{sample.stated_in}: another row has this name too; rename the images")
            for sample in found
        ),
        key=lambda sample: (sample.subset, sample.name),
    )  # fmt: skip


def _subset_hint(name: str, there: Sequence[str]) -> str:
    if set(map(_same, name.split(","))) <= set(map(_same, there)):
        return "name each by itself: " + ", ".join(name.split(","))
    near = [one for one in there if _same(one).casefold() == _same(name).casefold()]
    near = near or difflib.get_close_matches(name, there, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"


def unread_folders(root: str | os.PathLike[str]) -> list[Path]:
    """Folders with images that `find_samples` does not look into: deeper than one level, the nearest first."""
    root = Path(os.path.abspath(local_path(root)))
    if url_of(root) is None and is_list(root):
        return []
    return folders_below(each_once(folders_in(root)), root=root)


def _same(name: str) -> str:
    """What two spellings of a name have in common: file systems differ in how they compose accents."""
    return unicodedata.normalize("NFC", name)


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
        key = stem if stem.isascii() else _same(stem)
        if kind.setdefault(key, file) is not file:
            more.setdefault(key, {}).setdefault("image" if kind is images else "parameter file", []).append(file)
    subset = printable(folder.name)
    start = "" if flat else f"{subset}/"
    samples = []
    for stem in sorted(dict.fromkeys((*images, *parameters))):  # nearly sorted, as no set is: much faster
        image, mat = images.get(stem), parameters.get(stem)
        problem = ""
        for kind_name, files in more.get(stem, {}).items() if more else ():
            first = image if kind_name == "image" else mat
            if not problem or kind_name == "image":
                others = ", ".join(map(printable, files))
                problem = (
                    f"{folder / str(first)}: {others} has the same name, expected one {kind_name}; remove the wrong one"
                )
        name = printable((image or mat or "").rpartition(".")[0])
        image_path, mat_path = paths.get(image or ""), paths.get(mat or "")
        samples.append(Sample(start + name, subset, image_path, mat_path, problem))
    return samples


Names = Iterable[str] | str | os.PathLike[str]
"""Names of samples, or a text file of them, one per line."""


def choose_samples(
    samples: Iterable[OfSample], names: Names | None, exclude: Names = (), limit: int | None = None
) -> list[OfSample]:
    """The samples that a build takes: those that `names` picks, or all, without those of `exclude`, the first `limit`.

    InputError as for `select_samples` and `exclude_samples`.
    """
    chosen = samples if names is None else select_samples(samples, names)
    return exclude_samples(chosen, exclude)[:limit]


def select_samples(samples: Iterable[OfSample], names: Names) -> list[OfSample]:
    """The samples that a list of names picks.

    Parameters
    ----------
    samples : iterable of Sample
        What to pick from.
    names : iterable of str, or path-like
        Sample names, with or without a suffix, or a text file of them, one per line; empty lines and those that begin
        with # do not count.

    Returns
    -------
    list of Sample
        In the order of `samples`.

    Raises
    ------
    InputError
        If a name is not among the samples, or there is none.
    """
    samples = list(samples)
    return [samples[k] for k in find_names([sample.name for sample in samples], names)]


def exclude_samples(samples: Iterable[OfSample], names: Names) -> list[OfSample]:
    """The samples that a list of names does not name; the list may be empty.

    Parameters and order as for `select_samples`. InputError if a name is not among the samples, or all are named.
    """
    samples = list(samples)
    unwanted = set(_numbers([sample.name for sample in samples], names))
    left = [sample for k, sample in enumerate(samples) if k not in unwanted]
    if samples and not left:
        raise InputError(
            f"all {count(len(samples), 'sample')} {are(len(samples))} excluded, expected one or more that are left"
        )
    return left


def find_names(there: Sequence[str], names: Names) -> list[int]:
    """Which samples a list of names picks.

    Parameters
    ----------
    there : sequence of str
        All samples' names.
    names : iterable of str, or path-like
        See `select_samples`.

    Returns
    -------
    list of int
        Their numbers in `there`, ascending.

    Raises
    ------
    InputError
        If a name is not among them, or none is given.
    """
    if not (found := _numbers(there, names)):
        raise InputError(f"{_origin(names)}names none, expected one or more, one name per line")
    return found


def _origin(names: Names) -> str:
    return f"{os.fspath(names)}: " if isinstance(names, (str, os.PathLike)) else "the list of samples "


def _numbers(there: Sequence[str], names: Names) -> list[int]:
    """As `find_names`; perhaps none."""
    keys = [_same(name) for name in there]
    known = set(keys)
    given: Iterable[str] = read_names(names) if isinstance(names, (str, os.PathLike)) else names
    lines, exact = {line.rstrip("\r\n") for line in given}, set(there)
    spelled = lines & exact  # two names may differ in how accents are composed alone
    wanted = {_listed(line, known) for line in lines - exact} - {""}
    if missing := sorted(wanted - known):
        which = f"{count(len(missing), 'listed sample')} {are(len(missing))}"
        origin = _origin(names) if isinstance(names, (str, os.PathLike)) else ""
        raise InputError(f"{origin}{which} not there, first {brief(missing[0])}; {like_names(missing[0], there)}")
    return [k for k, key in enumerate(keys) if there[k] in spelled or key in wanted]


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file of sample names."""
    try:
        return read_lines(path, "one sample name per line")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected one sample name per line") from error


def like_names(name: str, there: Sequence[str]) -> str:
    """What to say of a name that is not among others: the ones it may stand for, or what they look like."""
    key = _same(name)
    if len(key) > _LONGEST_COMPARED:  # no name that somebody typed
        return f"names look like {brief(there[0]) if there else 'none'}"
    stem = key.rpartition("/")[2]
    near = [known for known in there if _same(known).rpartition("/")[2] == stem][:3]
    if not near:
        keys = {_same(known).casefold(): known for known in there}
        close = difflib.get_close_matches(key.casefold(), list(keys)[:_MOST_COMPARED], n=1, cutoff=0.9)
        near = [keys[found] for found in close if not _differ_in_number(key, found)]
    if near:
        return f"did you mean {' or '.join(map(brief, near))}?"
    return f"names look like {brief(there[0]) if there else 'none'}"


def _differ_in_number(name: str, other: str) -> bool:
    """Whether two names are those of different numbers and otherwise the same: then neither is meant for the other."""
    words, others = re.split(r"(\d+)", name.casefold()), re.split(r"(\d+)", other)
    return words[::2] == others[::2] and [*map(int, words[1::2])] != [*map(int, others[1::2])]


def _listed(line: str, there: set[str]) -> str:
    """The name that a line of a list means, "" for none: as it stands, or without what a shell or an editor adds."""
    if _same(line) in there:
        return _same(line)
    text = line.strip()
    if not text or text.startswith("#"):
        return ""
    text = text.replace("\\", "/").removeprefix("./") if _same(text) not in there else text
    stem, suffix = os.path.splitext(text)
    return _same(stem if suffix.lower() in (*IMAGE_SUFFIXES, ".mat") and _same(text) not in there else text)
