"""The truth that predictions are compared with: shards, AFLW2000-3D's folder, or 3DDFA's benchmarks.

| source | frame of a face | truths |
| --- | --- | --- |
| shards | the crop | ``landmarks`` with the map; ``annotation`` if all 68 points are annotated |
| a folder of images and ``.mat`` | the image | ``annotation``: `pt3d_68`, or `pt2d` of 68 points; ``aflw21`` |
| 3DDFA's ``AFLW2000-3D.*.npy`` | the image, from (1, 1) as in MATLAB | ``landmarks``; ``reannotated``; ``aflw21`` |
| 3DDFA's ``AFLW_GT_*.npy`` | the same | ``aflw21`` |

The 3DDFA benchmark's arrays are the numbers of the ``.mat`` files, and its code compares predictions with them as they
are. ``aflw21`` is AFLW's 21 points, as far as they are visible, with the 68 points whose box the error is divided by.
Shards have none: they keep 68 points, and of AFLW2000-3D's files those are `pt3d_68`.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import FARTHEST_PX
from uvgen.datasets.open import open_shards, own_model
from uvgen.errors import DatasetError, InputError, SampleError, UvgenError
from uvgen.evaluation.faces import Faces
from uvgen.geometry import similarity_scale
from uvgen.maps.landmarks import LandmarkWeights
from uvgen.samples.files import check_machine
from uvgen.samples.find import Sample, find_samples
from uvgen.samples.map_files import IMAGE_SHIFTS
from uvgen.samples.read import read_annotation, read_picture
from uvgen.shards.reader import ShardReader
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.names import brief, os_reason
from uvgen.storage.npy import as_float64, read_npy_file
from uvgen.storage.text import read_text
from uvgen.storage.urls import local_path, url_of
from uvgen.wording import count

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel

POINTS, REANNOTATED = "AFLW2000-3D.pts68.npy", "AFLW2000-3D-Reannotated.pts68.npy"
YAWS, BOXES, LIST = "AFLW2000-3D.pose.npy", "AFLW2000-3D_crop.roi_box.npy", "AFLW2000-3D_crop.list"
AFLW_POINTS, AFLW_BOX_POINTS = "AFLW_GT_pts21.npy", "AFLW_GT_pts68.npy"
AFLW_YAWS, AFLW_BOXES, AFLW_LIST = "AFLW_GT_crop_yaws.npy", "AFLW_GT_crop_roi_box.npy", "AFLW_GT_crop.list"
POINTS_21 = "AFLW2000-3D.pts21.npy"
AFLW21 = "aflw21"
"""The truth of AFLW's points."""

_BOX_SIDE = 120.0  # px of 3DDFA's crops
_MOST_BYTES = 1 << 30
_DEGREES = ("degrees", 360.0)
_FEWEST_YAWS = 30  # of which some are above 3° if they are degrees


@dataclass(frozen=True, slots=True, eq=False)
class TrueFace:
    """A face of the truth.

    Attributes
    ----------
    name : str
        The sample's.
    yaw_deg : float
        As its parameters have it.
    truths : dict of str to Faces
        One face each, by the truth's name; the first one is the default. Empty if it has none.
    frames : dict of str to (3, 3) float64
        Frames that a prediction may be in, and what takes its x, y to the truth's.
    convention : str
        See `Truth`.
    row : dict
        All fields of a sample of shards; empty for others.
    partial : dict of str to int
        Truths that the face has some of the 68 points of, and how many: their box is not known, so nothing is scored.
    sample : Sample or None
        Of a folder of samples, whose image lies there.
    """

    name: str
    yaw_deg: float
    truths: dict[str, Faces]
    frames: dict[str, NDArray[np.float64]]
    convention: str
    row: dict[str, Any] = field(default_factory=dict)
    partial: dict[str, int] = field(default_factory=dict)
    sample: Sample | None = None

    def image_size(self) -> tuple[int, ...] | None:
        """Height and width of its sample's photograph as it is stored, px; None if that is not known."""
        try:
            return None if self.sample is None else read_picture(self.sample).shape[:2]
        except SampleError:  # it counts for nothing else
            return None

    @property
    def image_to_truth(self) -> NDArray[np.float64]:
        """(2, 2): where a step of a pixel in the original image leads in the truth's frame."""
        if not self.row:
            return np.eye(2)
        matrix = np.array(self.row["image_to_crop"][:2, :2], np.float64)
        if self.row.get("flipped", False):
            matrix[0] = -matrix[0]
        return matrix


class Truth(Protocol):
    """Faces by number, and what holds for all of them.

    Attributes
    ----------
    names : sequence of str
    mask : (U, U) bool or None
        Face texels of maps.
    crop_size : int
        px.
    reading : LandmarkWeights or None
        How landmarks are read from maps.
    frame : str
        That of the truths: "crop" or "image".
    convention : str
        How their pixels are counted, a key of `uvgen.evaluation.predictions.SHIFTS`.
    doubts : tuple of str
        What in its files looks as if it was counted otherwise.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def mask(self) -> NDArray[np.bool_] | None: ...
    @property
    def crop_size(self) -> int: ...
    @property
    def reading(self) -> LandmarkWeights | None: ...
    @property
    def frame(self) -> str: ...
    @property
    def convention(self) -> str: ...
    @property
    def doubts(self) -> tuple[str, ...]: ...

    def face(self, k: int) -> TrueFace:
        """The k-th face; UvgenError if it cannot be read."""


def open_truth(
    path: str | os.PathLike[str], *, model: "MorphableModel | None" = None, split: str | None = None,
    untrusted: bool = False,
) -> Truth:  # fmt: skip
    """Shards, a folder of samples, or 3DDFA's arrays, told apart by what is in the folder.

    3DDFA's folder has AFLW2000-3D's arrays and AFLW's; the latter are meant by the path of ``AFLW_GT_pts21.npy``.

    Raises
    ------
    DatasetError
        If it is none of them.
    """
    folder = local_path(path)
    if url_of(folder) or folder.name == DATASET_INDEX or (folder / DATASET_INDEX).exists():
        return ShardTruth(folder, model, split, untrusted=untrusted)
    if (folder / POINTS).exists():
        return BenchmarkTruth(folder)
    if folder.name == AFLW_POINTS or (folder / AFLW_POINTS).exists():
        return AflwTruth(folder.parent if folder.name == AFLW_POINTS else folder)
    return SampleTruth(folder)


class ShardTruth:
    """A data set of shards."""

    frame = "crop"
    doubts: tuple[str, ...] = ()

    def __init__(
        self, folder: Path, model: "MorphableModel | None", split: str | None, *, untrusted: bool = False
    ) -> None:
        reader = open_shards(folder, model, split=split, untrusted=untrusted)
        if model is None and (own := own_model(reader.config)) is not None:
            reader = open_shards(folder, own, split=split, untrusted=untrusted)
        self.reader: ShardReader = reader
        self.names: Sequence[str] = reader.names
        self.crop_size: int = reader.config.build.size
        self.convention: str = reader.config.build.convention
        self.mask: NDArray[np.bool_] | None = None
        self.reading: LandmarkWeights | None = None
        if len(reader):
            constants = reader.constants
            self.mask, self.reading = constants["weight_mask"] > 0, LandmarkWeights.of_constants(constants)

    def face(self, k: int) -> TrueFace:
        """See `Truth`."""
        row = self.reader[k]
        to_crop = crop_of_sample(row, self.reader.folder)
        maps = row.get("posmap")
        truths = {"landmarks": Faces(row["landmarks"][None], None if maps is None else maps[None])}
        annotated, partial = row.get("annotated_landmarks"), dict[str, int]()
        n = 0 if annotated is None else int(np.isfinite(annotated[:, :2]).all(axis=1).sum())
        if 0 < n < 68:
            partial["annotation"] = n
        if annotated is not None and n == 68:
            annotated = annotated.copy()
            annotated[:, :2] += self._shift(row, to_crop)
            whole = np.isfinite(annotated).all()
            truths["annotation"] = Faces((annotated if whole else annotated[:, :2])[None])
        frames = {"crop": np.eye(3)}
        if not row.get("flipped", False):
            frames["image"] = to_crop
        yaw = float(np.rad2deg(np.float64(row["pose"][1])))
        if not np.isfinite(yaw):  # without it, no face would have a bin
            raise SampleError(
                f"{row['name']}: its yaw in {self.reader.folder} is {yaw:g}, expected an angle; run `uvgen verify "
                f"{self.reader.folder}`"
            )
        return TrueFace(row["name"], yaw, truths, frames, self.convention, row, partial)

    def _shift(self, row: dict[str, Any], to_crop: NDArray[np.float64]) -> NDArray[np.float32]:
        """What brings exact px of the crop, such as annotated landmarks, to the set's convention."""
        shift = to_crop[:2, :2] @ IMAGE_SHIFTS[self.convention]
        return (shift * ([-1, 1] if row.get("flipped", False) else 1)).astype(np.float32)


def crop_of_sample(row: dict[str, Any], folder: os.PathLike[str]) -> NDArray[np.float64]:
    """(3, 3): what takes the image of a sample of shards to its crop; SampleError if it is damaged."""
    matrix = np.asarray(row["image_to_crop"], np.float64)
    try:
        similarity_scale(matrix)
    except InputError as error:
        raise SampleError(
            f"{row['name']}: its image_to_crop in {folder} cannot be used ({error}); run `uvgen verify {folder}`"
        ) from error
    return matrix


class SampleTruth:
    """Images and ``.mat`` with annotated points in a folder, such as AFLW2000-3D's."""

    mask, crop_size, reading, frame, convention = None, 256, None, "image", "exact"
    doubts: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._samples = find_samples(folder)
        self.names: Sequence[str] = [sample.name for sample in self._samples]

    def face(self, k: int) -> TrueFace:
        """See `Truth`."""
        sample = self._samples[k]
        annotation = read_annotation(sample)
        points, truths, partial = annotation.landmarks, {}, dict[str, int]()
        n = 0 if points is None else int(np.isfinite(points).all(axis=1).sum())
        if points is not None and n == 68:
            truths["annotation"] = Faces(points[None])
            if annotation.landmarks_21 is not None:
                truths[AFLW21] = Faces(points[None], points_21=annotation.landmarks_21[None])
        elif n:
            partial["annotation"] = n
        yaw = float(np.rad2deg(np.float64(annotation.pose[1])))
        return TrueFace(sample.name, yaw, truths, {"image": np.eye(3)}, self.convention, partial=partial, sample=sample)


class BenchmarkTruth:
    """The arrays of 3DDFA's benchmark (`test.configs` of cleardusk/3DDFA)."""

    mask, crop_size, reading, frame, convention = None, 256, None, "image", "matlab"

    def __init__(self, folder: Path) -> None:
        self._points = _array(folder / POINTS, (None, 3, 68))
        n = len(self._points)
        self._yaws = _array(folder / YAWS, (n,), *_DEGREES)
        self.doubts = _doubts_of_yaws(folder / YAWS, self._yaws)
        self._reannotated = _array(folder / REANNOTATED, (n, 2, 68)) if (folder / REANNOTATED).exists() else None
        self._points_21 = _points_21(folder / POINTS_21, n) if (folder / POINTS_21).exists() else None
        self._boxes = _array(folder / BOXES, (n, 4)) if (folder / BOXES).exists() else None
        self.names: Sequence[str] = _listed_names(folder / LIST, n, POINTS)

    def face(self, k: int) -> TrueFace:
        """See `Truth`."""
        truths = {"landmarks": Faces(self._points[k].T[None])}
        if self._reannotated is not None:
            truths["reannotated"] = Faces(self._reannotated[k].T[None])
        if self._points_21 is not None and not np.isnan(self._points_21[k]).all():
            truths[AFLW21] = Faces(self._points[k].T[None], points_21=self._points_21[k][None])
        return TrueFace(self.names[k], float(self._yaws[k]), truths, _frames(self._boxes, k), self.convention)


class AflwTruth:
    """The arrays of 3DDFA's benchmark on AFLW: 21 annotated points of each face, and 68 for the box."""

    mask, crop_size, reading, frame, convention = None, 256, None, "image", "matlab"

    def __init__(self, folder: Path) -> None:
        self._box_points = _array(folder / AFLW_BOX_POINTS, (None, None, 68))
        n = len(self._box_points)
        if self._box_points.shape[1] not in (2, 3):
            shape = " x ".join(map(str, self._box_points.shape))
            raise DatasetError(f"{folder / AFLW_BOX_POINTS}: {shape}, expected {n} x 2 x 68 or {n} x 3 x 68")
        self._points_21 = _points_21(folder / AFLW_POINTS, n)
        self._yaws = _array(folder / AFLW_YAWS, (n,), *_DEGREES)
        self.doubts = _doubts_of_yaws(folder / AFLW_YAWS, self._yaws)
        self._boxes = _array(folder / AFLW_BOXES, (n, 4)) if (folder / AFLW_BOXES).exists() else None
        self.names: Sequence[str] = _listed_names(folder / AFLW_LIST, n, AFLW_POINTS)

    def face(self, k: int) -> TrueFace:
        """See `Truth`."""
        truths, name = dict[str, Faces](), self.names[k]
        if np.isnan(self._points_21[k]).all():
            raise SampleError(f"{name}: none of AFLW's 21 points is visible, expected one or more")
        truths[AFLW21] = Faces(self._box_points[k].T[None], points_21=self._points_21[k][None])
        return TrueFace(name, float(self._yaws[k]), truths, _frames(self._boxes, k), self.convention)


def _doubts_of_yaws(path: Path, yaws: NDArray[np.float64]) -> tuple[str, ...]:
    """A question if many yaws are all smaller than a half turn in radians: all faces would count as frontal."""
    most = float(np.abs(yaws).max(initial=0))
    if len(yaws) < _FEWEST_YAWS or not 0 < most <= np.pi:
        return ()
    return (
        f"{path}: yaws of {yaws.min():.3g} to {yaws.max():.3g} degrees, of all {count(len(yaws), 'face')}: are they "
        "radians?",
    )


def _points_21(path: Path, n: int) -> NDArray[np.float64]:
    """(n, 21, 2) of AFLW's points, NaN for those that a -1 in x or y says to be invisible."""
    points = np.swapaxes(_array(path, (n, 2, 21)), 1, 2).copy()
    points[(points == -1).any(axis=2)] = np.nan
    return points


def _frames(boxes: NDArray[np.float64] | None, k: int) -> dict[str, NDArray[np.float64]]:
    """What takes the image, and the crop that a box was made into, to the image."""
    frames = {"image": np.eye(3)}
    if boxes is not None:
        left, top, right, bottom = boxes[k].tolist()
        if left < right and top < bottom:
            sides = (right - left) / _BOX_SIDE, (bottom - top) / _BOX_SIDE
            frames["crop"] = np.array([[sides[0], 0, left], [0, sides[1], top], [0, 0, 1.0]])
    return frames


def _listed_names(path: Path, n: int, of: str) -> list[str]:
    """The names in a list without their suffixes, with ``/``, whatever system wrote them; numbers without a list."""
    if not path.exists():
        return [f"{k:05d}" for k in range(n)]
    try:
        listed = read_text(path, "one name per line").split()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({os_reason(error)}), expected one name per line") from error
    if len(listed) != n:
        raise DatasetError(f"{path}: {count(len(listed), 'name')}, expected {n}, those of {of}")
    names = [os.path.splitext(name.replace("\\", "/"))[0] for name in listed]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise DatasetError(f"{path}: {brief(twice[0])} is listed twice, expected each face once")
    return names


def _array(
    path: Path, shape: tuple[int | None, ...], unit: str = "px", most: float = FARTHEST_PX
) -> NDArray[np.float64]:
    array = read_npy_file(path, DatasetError, most_bytes=_MOST_BYTES)
    if len(array.shape) != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        wanted = " x ".join("N" if n is None else str(n) for n in shape)
        raise DatasetError(f"{path}: {' x '.join(map(str, array.shape))}, expected {wanted}, as in 3DDFA's benchmark")
    if array.dtype.kind == "b":
        raise DatasetError(f"{path}: {array.dtype}, expected {unit}")
    values = as_float64(array)
    if not np.isfinite(values).all():
        raise DatasetError(f"{path}: holds NaN or infinity, expected {unit}")
    if (far := float(np.abs(values).max(initial=0))) > most:
        raise DatasetError(f"{path}: holds {far:.4g}, expected {unit}, {most:g} at most")
    return values


def face_or_problem(truth: Truth, k: int) -> tuple[TrueFace | None, str]:
    """The k-th face, or why it cannot be read; what is the machine's fault is raised."""
    try:
        return truth.face(k), ""
    except UvgenError as error:
        check_machine(error)
        return None, str(error)
