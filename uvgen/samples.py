"""Samples of 300W-LP and AFLW2000-3D: finding them in a folder, reading images and parameters.

300W-LP is a tree of subset folders (AFW, HELEN, IBUG, LFPW, and each with ``_Flip``), AFLW2000-3D is flat. A
sample is an image and, beside it under the same name, a MATLAB file with `Pose_Para` (1, 7), `Shape_Para`
(199, 1) and `Exp_Para` (29, 1), in 300W-LP also `pt2d` (2, 68).
"""

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.matfile import read_numeric

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


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """What a sample's ``.mat`` says.

    Attributes
    ----------
    shape, expression : (ks,), (ke,) float64
        Parameters that multiply the bases directly.
    pose : (7,) float64
        Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm).
    landmarks_2d : (68, 2) float64 or None
        The annotated points, 0-based image px, in iBUG order also for flipped samples; None where the file
        has none or another number of them.
    """

    shape: NDArray[np.float64]
    expression: NDArray[np.float64]
    pose: NDArray[np.float64]
    landmarks_2d: NDArray[np.float64] | None


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


def read_annotation(sample: Sample) -> Annotation:
    """Read a sample's parameters.

    Parameters
    ----------
    sample : Sample
        As `find_samples` lists it.

    Returns
    -------
    Annotation

    Raises
    ------
    SampleError
        Where the file is missing, not a MATLAB file, lacks a key, or holds wrong counts, NaN or infinity.
    """
    path = sample.parameters
    if path is None:
        raise SampleError(f"{sample.image}: no .mat beside it; add the parameters or remove the image")
    try:
        content = read_numeric(path.read_bytes(), ("Pose_Para", "Shape_Para", "Exp_Para", "pt2d"))
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SampleError(f"{path}: not a readable MATLAB file ({error}); copy it again") from error
    values = {}
    for key in ("Pose_Para", "Shape_Para", "Exp_Para"):
        if key not in content:
            raise SampleError(f"{path}: {key} is missing; expected Pose_Para, Shape_Para and Exp_Para")
        array = content[key]
        if array is None:
            raise SampleError(f"{path}: {key} holds text, cells, structs or complex values, expected numbers")
        values[key] = array.astype(np.float64).ravel()
        if not np.isfinite(values[key]).all() or np.abs(values[key]).max(initial=0) > np.finfo(np.float32).max:
            raise SampleError(f"{path}: {key} holds NaN or infinity; remove the sample or fit it again")
    if len(values["Pose_Para"]) != 7:
        raise SampleError(
            f"{path}: Pose_Para has {len(values['Pose_Para'])} numbers, expected 7 (3 angles, 3 shifts, scale)"
        )
    points = content.get("pt2d")
    landmarks = None
    if points is not None and points.shape == (2, 68):
        landmarks = points.T.astype(np.float64) - 1  # MATLAB counts pixels from 1
        if sample.flipped:
            landmarks = landmarks[LANDMARK_MIRROR]
    return Annotation(values["Shape_Para"], values["Exp_Para"], values["Pose_Para"], landmarks)


def read_image(sample: Sample) -> NDArray[np.uint8]:
    """Read a sample's image as RGB.

    Parameters
    ----------
    sample : Sample
        As `find_samples` lists it.

    Returns
    -------
    (h, w, 3) uint8
        RGB; grey, palette and CMYK images are converted.

    Raises
    ------
    SampleError
        Where the file is missing, unreadable, truncated, or has more than 8 bits a channel.
    """
    path = sample.image
    if path is None:
        raise SampleError(f"{sample.parameters}: no image beside it; add the .jpg or .png, or remove the .mat")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return _decode(data)
    except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files, not all of them documented
        raise SampleError(f"{path}: not a readable image ({error}); copy it again") from error


def _decode(data: bytes) -> NDArray[np.uint8]:
    import simplejpeg

    if simplejpeg.is_jpeg(data) and simplejpeg.decode_jpeg_header(data)[2] != "CMYK":
        return simplejpeg.decode_jpeg(data, colorspace="RGB")
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.mode[0] in "IF":
            raise ValueError(f"{image.mode} pixels, expected 8 bits a channel")
        return np.asarray(image.convert("RGB"))
