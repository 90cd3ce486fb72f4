"""Samples of 300W-LP and AFLW2000-3D: finding them in a folder, reading images and parameters.

300W-LP is a tree of subset folders (AFW, HELEN, IBUG, LFPW, and each with ``_Flip``), AFLW2000-3D is flat. A
sample is an image and, beside it under the same name, a MATLAB file with `Pose_Para` (1, 7), `Shape_Para`
(199, 1) and `Exp_Para` (29, 1), in 300W-LP also `pt2d` (2, 68).
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uvgen.errors import DatasetError, InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_FLIP = "_Flip"


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample, not read yet; a file of the pair may be missing, which reading it reports.

    Attributes
    ----------
    name : str
        Path below the root without suffix, ``IBUG/IBUG_image_008_1_0``; names are unique and stable.
    subset : str
        Folder name; for a flat tree the root's own.
    image, parameters : Path or None
        The image and its ``.mat``.
    """

    name: str
    subset: str
    image: Path | None
    parameters: Path | None

    @property
    def flipped(self) -> bool:
        """Whether it is of a ``_Flip`` subset, whose 2D landmarks keep the order of the original image."""
        return self.subset.endswith(_FLIP)


def find_samples(root: str | os.PathLike[str], subsets: Sequence[str] = (), *, flip: bool = True) -> list[Sample]:
    """Samples in a 300W-LP tree or a flat AFLW2000-3D folder, sorted by name.

    Parameters
    ----------
    root : path-like
        Folder with subset folders, or with the images themselves.
    subsets : sequence of str
        Which subsets; none means all. ``"IBUG"`` brings ``IBUG_Flip`` along where `flip` is true;
        ``"IBUG_Flip"`` means that alone.
    flip : bool
        Whether to take the mirrored subsets too.

    Returns
    -------
    list of Sample
        Also images without ``.mat`` and the reverse, so that reading can report them.

    Raises
    ------
    DatasetError
        Where the folder is missing or unreadable, holds no images, or a named subset is not there; the
        message lists those that are.
    """
    root = Path(os.path.abspath(root))  # workers may have another working folder
    folders = _subset_folders(root)
    wanted = list(folders)
    if subsets:
        unknown = [name for name in subsets if name not in folders]
        if unknown:
            raise DatasetError(f"{root}: no subset {unknown[0]} with images; there are {', '.join(folders)}")
        wanted = [name for name in folders if name in subsets or (flip and name.removesuffix(_FLIP) in subsets)]
    elif not flip:
        wanted = [name for name in folders if not name.endswith(_FLIP)]
    return [sample for name in sorted(wanted) for sample in _pair(folders[name], name, flat=folders[name] == root)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read ({error.strerror}); expected a 300W-LP folder") from error


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def _subset_folders(root: Path) -> dict[str, Path]:
    entries = _entries(root)
    flat = {root.name: root} if any(_is_image(entry.name) for entry in entries) else {}
    found = flat | {
        entry.name: Path(entry.path)
        for entry in entries
        if entry.is_dir() and any(_is_image(inner.name) for inner in _entries(Path(entry.path)))
    }
    if not found:
        raise DatasetError(f"{root}: no images in it or in its folders; expected 300W-LP's AFW, HELEN, IBUG, LFPW")
    return found


def _pair(folder: Path, subset: str, *, flat: bool) -> list[Sample]:
    images: dict[str, Path] = {}
    parameters: dict[str, Path] = {}
    for entry in _entries(folder):
        stem, suffix = os.path.splitext(entry.name)
        if _is_image(entry.name):
            images.setdefault(stem, Path(entry.path))
        elif suffix.lower() == ".mat" and not entry.name.startswith("."):
            parameters.setdefault(stem, Path(entry.path))
    prefix = "" if flat else f"{subset}/"
    return [
        Sample(prefix + stem, subset, images.get(stem), parameters.get(stem))
        for stem in sorted(images.keys() | parameters.keys())
    ]


def select_samples(samples: Iterable[Sample], names: Iterable[str]) -> list[Sample]:
    """The samples that a list of names picks.

    Parameters
    ----------
    samples : iterable of Sample
        What to pick from.
    names : iterable of str
        Sample names, with or without a suffix; empty lines and those that begin with # do not count.

    Returns
    -------
    list of Sample
        In the order of `samples`.

    Raises
    ------
    InputError
        Where a name is not among the samples.
    """
    samples = list(samples)
    lines = [line.strip() for line in names]
    suffixes = (*IMAGE_SUFFIXES, ".mat")
    wanted = {
        os.path.splitext(line)[0] if line.lower().endswith(suffixes) else line
        for line in lines
        if line and not line.startswith("#")
    }
    if not wanted:
        raise InputError("the list of samples names none")
    missing = sorted(wanted - {sample.name for sample in samples})
    if missing:
        example = samples[0].name if samples else "none"
        raise InputError(f"{len(missing)} listed samples are not there, first {missing[0]}; names look like {example}")
    return [sample for sample in samples if sample.name in wanted]
