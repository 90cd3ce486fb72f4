"""Reading a sample: its image, and what its `.mat` says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import FARTHEST_PX, choice
from uvgen.described import described
from uvgen.errors import DatasetError, InputError, ListChangedError, SampleError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.images.picture import Picture
from uvgen.samples.find import Sample
from uvgen.samples.landmark_schemes import AFLW_21
from uvgen.samples.parameter_list import open_list, read_vector
from uvgen.storage.matfile import read_numeric
from uvgen.storage.names import brief, os_reason
from uvgen.storage.reading import read_file
from uvgen.wording import count

EXIF = ("ignore", "apply")
"""What may be done with an image's EXIF orientation: take the pixels as they are stored, or turn them."""

EXTRAS = {"tex": "Tex_Para", "illum": "Illum_Para", "color": "Color_Para"}
"""What else 300W-LP's files hold: albedo parameters, light, and camera color."""

_LANDMARKS = {"pt2d": ((68, 2), (21, 2)), "pt3d_68": ((68, 3),)}
_MOST_BYTES = 1 << 28  # of an image or a .mat
_FEWEST_COMPARED = 5  # marked points that may not all lie in one point or line; fewer may do so by chance
_FIRST_PIXEL = np.array([1.0, 1, 0])  # of MATLAB's x, y and z
_PARAMETERS = ("Pose_Para", "Shape_Para", "Exp_Para")


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """What a sample's ``.mat`` says.

    Attributes
    ----------
    shape, expression : (ks,), (ke,) float32
        Parameters that multiply the bases directly. They are rounded here, once: stored maps and maps that are made of
        stored parameters are then the same.
    pose : (7,) float32
        Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm).
    landmarks_2d : (68, 2) float64 or None
        The annotated points (`pt2d`), 0-based image px, in iBUG order also for flipped samples; NaN for points that
        are not marked. None if the file has none or another number of them.
    landmarks_3d : (68, 3) float64 or None
        AFLW2000-3D's `pt3d_68`: x and y as above, z as the pose puts it.
    landmarks_21 : (21, 2) float64 or None
        AFLW's own points (`pt2d` of AFLW2000-3D), 0-based image px; NaN for those that are not visible.
    extras : dict of str to (k,) float32
        `EXTRAS` that were asked for and are there.
    unused : str
        What the file holds as landmarks that cannot be used, such as ``pt2d (2, 66)``; empty if there is nothing.
    """

    shape: NDArray[np.float32]
    expression: NDArray[np.float32]
    pose: NDArray[np.float32]
    landmarks_2d: NDArray[np.float64] | None
    landmarks_3d: NDArray[np.float64] | None = None
    landmarks_21: NDArray[np.float64] | None = None
    extras: dict[str, NDArray[np.float32]] | None = None
    unused: str = ""

    __repr__ = described

    @property
    def landmarks(self) -> NDArray[np.float64] | None:
        """The best annotation of the 68 points that the file has, (68, 3) or (68, 2); NaN where a point has none."""
        if self.landmarks_3d is not None or self.landmarks_2d is not None:
            return self.landmarks_3d if self.landmarks_3d is not None else self.landmarks_2d
        if self.landmarks_21 is None:
            return None
        points = np.full((68, 2), np.nan)
        points[list(AFLW_21.values())] = self.landmarks_21[list(AFLW_21)]
        return points


def read_annotation(sample: Sample, extras: tuple[str, ...] = ()) -> Annotation:
    """Read a sample's parameters and annotated landmarks.

    Parameters
    ----------
    sample : Sample
        As `find_samples` lists it.
    extras : tuple of str
        Which of `EXTRAS` to read too.

    Returns
    -------
    Annotation

    Raises
    ------
    SampleError
        If the file is missing, not a MATLAB file, lacks a key, or holds wrong counts, NaN or infinity.
    DatasetError
        If the sample is of a list that was changed since.
    """
    path = sample.parameters
    if sample.problem:
        raise SampleError(sample.problem)
    if path is None:
        raise SampleError(
            f"{sample.image}: no .mat beside it, expected its parameters; `uvgen fit` makes them from landmarks, or "
            "remove the image"
        )
    if sample.row is not None or path.suffix.lower() == ".npy":
        return _listed_annotation(sample, path)
    wanted = (*_PARAMETERS, "pt2d", "pt3d_68", *(EXTRAS[name] for name in extras))
    try:
        content = read_numeric(read_file(path, _MOST_BYTES), wanted)
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({os_reason(error)})") from error
    except ValueError as error:
        raise SampleError(f"{path}: not a readable MATLAB file ({error}){_advice(error)}") from error
    if missing := [key for key in _PARAMETERS if key not in content]:
        raise SampleError(f"{path}: {missing[0]} is missing, expected {', '.join(_PARAMETERS)}")
    shape, expression, pose = _vectors(path, {key: content[key] for key in ("Shape_Para", "Exp_Para", "Pose_Para")})
    if len(pose) != 7:
        raise SampleError(f"{path}: Pose_Para has {count(len(pose), 'number')}, expected 7 (3 angles, 3 shifts, scale)")
    landmarks = {key: _points(content.get(key), shapes) for key, shapes in _LANDMARKS.items()}
    landmarks_2d, landmarks_3d = landmarks["pt2d"], landmarks["pt3d_68"]
    landmarks_21 = None
    if landmarks_2d is not None and len(landmarks_2d) == 21:
        landmarks_2d, landmarks_21 = None, landmarks_2d
    if landmarks_2d is not None and sample.flipped:
        landmarks_2d = landmarks_2d[LANDMARK_MIRROR]
    kept = [name for name in extras if EXTRAS[name] in content]
    return Annotation(
        shape,
        expression,
        pose,
        landmarks_2d,
        landmarks_3d,
        landmarks_21,
        dict(zip(kept, _vectors(path, {EXTRAS[name]: content[EXTRAS[name]] for name in kept}), strict=True)),
        ", ".join(_unused(content, key) for key in _LANDMARKS if key in content and landmarks[key] is None),
    )


def _listed_annotation(sample: Sample, path: Path) -> Annotation:
    """What a row of a list says, or a vector of parameters."""
    if sample.row is not None:
        try:
            listed = open_list(path)
        except (DatasetError, InputError) as error:  # of all its samples
            raise ListChangedError(f"{error}; it was there before, run the command again when it is back") from error
        parts = listed.parameters(sample.row, sample.image, sample.list_sha256)
    else:
        try:
            parts = read_vector(path)
        except (DatasetError, InputError) as error:
            raise SampleError(str(error)) from error
    names = ("shape", "expression", "pose")
    shape, expression, pose = _vectors(sample.stated_in, dict(zip(names, parts, strict=True)))
    if len(pose) != 7:
        raise SampleError(
            f"{sample.stated_in}: pose has {count(len(pose), 'number')}, expected 7 (3 angles, 3 shifts, scale)"
        )
    return Annotation(shape, expression, pose, None)


def _advice(error: Exception) -> str:
    """What to do about an unreadable file, if the error does not say it: it is of another kind then, not damaged."""
    return "" if any(word in str(error) for word in ("expected", "save it")) else "; copy it again"


def _vectors(path: Path | str, arrays: Mapping[str, NDArray[Any] | None]) -> list[NDArray[np.float32]]:
    """Numbers as float32, whether the file has them as rows or columns; all at once, because each call costs."""
    rows = []
    for key, array in arrays.items():
        if array is None:
            raise SampleError(
                f"{path}: {key} holds text, cells, structs, an object, sparse, logical or complex values, expected "
                "numbers"
            )
        if array.size and max(array.shape) != array.size:
            raise SampleError(f"{path}: {key} is a matrix of {array.shape}, expected a row or a column")
        rows.append(array.ravel())
    if not rows:
        return []
    with np.errstate(over="ignore"):  # too large for float32: infinite, and refused as such
        joined = np.concatenate(rows, dtype=np.float32, casting="unsafe")
    vectors, first = [], 0
    for row in rows:
        vectors.append(joined[first : first + row.size])
        first += row.size
    if not np.isfinite(joined).all():
        key = next(key for key, vector in zip(arrays, vectors, strict=True) if not np.isfinite(vector).all())
        raise SampleError(f"{path}: {key} holds NaN or infinity; remove the sample or fit it again")
    return vectors


def _unused(content: dict[str, NDArray[Any] | None], key: str) -> str:
    """What a file has under `key` if it is no landmarks, as text."""
    array = content[key]
    if array is None:
        return f"{key} (no real numbers)"
    return f"{key} (all in one point or line)" if _oriented(array, _LANDMARKS[key]) is not None else (
        f"{key} {array.shape}"
    )  # fmt: skip


def _oriented(array: NDArray[Any], shapes: tuple[tuple[int, int], ...]) -> NDArray[Any] | None:
    """An array of one of the shapes (n, d), or of (d, n), as (n, d); else None."""
    if array.shape in shapes:
        return array
    return array.T if array.shape[::-1] in shapes else None


def _points(array: NDArray[Any] | None, shapes: tuple[tuple[int, int], ...]) -> NDArray[np.float64] | None:
    """(n, d) 0-based points from MATLAB's (d, n) or (n, d), counted from 1; NaN for a -1 or (0, 0), which mark none.

    None for another shape, and for points that are none: all unmarked, or in one point or line.
    """
    stated = None if array is None else _oriented(array, shapes)
    if stated is None:
        return None
    points: NDArray[np.float64] = np.asarray(stated, np.float64)
    plane, unmarked = points[:, :2], None
    ends = [*zip(points.min(axis=0).tolist(), points.max(axis=0).tolist(), strict=True)]
    if not all(low > 0 and high < FARTHEST_PX for low, high in ends):  # of nearly all files, the ends are enough
        unmarked = (plane == -1).any(axis=1) | (plane == 0).all(axis=1) | ~(np.abs(points) < FARTHEST_PX).all(axis=1)
    if unmarked is not None and unmarked.any():
        marked = plane[~unmarked]
        if not len(marked) or (len(marked) >= _FEWEST_COMPARED and np.ptp(marked, axis=0).min() < 1):
            return None
    elif min(high - low for low, high in ends[:2]) < 1:
        return None
    points = points - _FIRST_PIXEL[: points.shape[1]]
    if unmarked is not None:
        points[unmarked] = np.nan
    return points


def read_image(sample: Sample, *, exif: str = "ignore") -> NDArray[np.uint8]:
    """Read a sample's image as RGB.

    Parameters
    ----------
    sample : Sample
        As `find_samples` lists it.
    exif : {"ignore", "apply"}
        What to do with an EXIF orientation: take the pixels as they are stored, as MATLAB does and the parameters of
        300W-LP expect, or turn them, as OpenCV does.

    Returns
    -------
    (h, w, 3) uint8
        RGB; gray, palette and CMYK images are converted.

    Raises
    ------
    SampleError
        If the file is missing, unreadable, truncated, or has more than 8 bits per channel.
    InputError
        If `exif` is something else.
    """
    return read_oriented_image(sample, exif=exif)[0]


def read_oriented_image(sample: Sample, *, exif: str = "ignore") -> tuple[NDArray[np.uint8], int]:
    """`read_image`, and the EXIF orientation that the file states: 1 (or none) is upright, 2 to 8 are not."""
    picture = read_picture(sample, exif=exif, decode="full")
    return picture.pixels, picture.orientation


def read_picture(sample: Sample, *, exif: str = "ignore", decode: str = "reduced") -> Picture:
    """A sample's image, of which only the header may have been read: its pixels raise `read_image`'s errors too."""
    choice(exif, "exif", EXIF)
    path = sample.image
    if sample.problem:
        raise SampleError(sample.problem)
    if path is None:
        raise SampleError(f"{sample.parameters}: no image beside it; add the .jpg or .png, or remove the .mat")
    try:
        data = read_file(path, _MOST_BYTES)
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({os_reason(error)})") from error

    def refused(error: Exception) -> SampleError:
        return SampleError(f"{path}: not a readable image ({brief(error)}){_advice(error)}")

    return Picture(data, refused, exif=exif, decode=decode)
