"""Reading predictions, of any network: the one place that knows their files, scales, frames and pixel conventions.

| predictions | holds |
| --- | --- |
| a folder | a ``.npy``, ``.obj``, ``.ply``, ``.off`` or ``.mat`` for each face, of the truth's name or its last part |
| what `uvgen predict` wrote | a ``.txt`` of landmarks for each face, or its map, ``.npy``, if the truth has maps |
| a ``.npy`` file | all faces in the truth's order: (N, 68, 2 or 3), (N, 2 or 3, 68), (N, U, U, 3) |
| shards | the maps, or landmarks, of the samples with the truth's names |

| a face's array or file | is |
| --- | --- |
| (U, U, 3), (3, U, U) | a position map |
| (68, 2 or 3), (2 or 3, 68) | landmarks |
| as many numbers as shape, expression and pose (7) have; 300W-LP's 235; a ``.mat`` | parameters; needs the model |
| a mesh | the model's vertices, y down, or negated as `uvgen.rasterize.write_obj` writes it; needs the model |
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import choice
from uvgen.datasets.open import open_shards
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.evaluation.faces import Faces
from uvgen.evaluation.prediction_files import (
    MOST_BYTES,
    OF_PREDICT,
    array_of_faces,
    files_of,
    files_of_predict,
    points_of_lines,
    spelled_alike,
    stated_by_predict,
    stated_size,
)
from uvgen.evaluation.truth import ShardTruth, TrueFace, Truth, crop_of_sample
from uvgen.evaluation.uv_doubts import doubts_of_shards, doubts_of_uv
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks
from uvgen.meshes.read import MESH_SUFFIXES, read_mesh
from uvgen.meshes.registered import Topology, check_triangles
from uvgen.normalization import Normalization, check_scale
from uvgen.samples.find import Sample
from uvgen.samples.map_files import IMAGE_SHIFTS, stated_convention
from uvgen.samples.parameter_list import VECTORS
from uvgen.samples.read import read_annotation
from uvgen.storage.folders import DATASET_INDEX, EXPORT_MARK
from uvgen.storage.npy import as_float64, read_npy_file
from uvgen.wording import count

if TYPE_CHECKING:
    from uvgen.maps.position_mapper import PositionMapper
    from uvgen.models.morphable import MorphableModel

SHIFTS = {**IMAGE_SHIFTS, "matlab": (1.0, 1.0)}
"""Pixels of the original image by which labels of a convention lie right of and below the exact ones."""

FRAMES = ("crop", "image")
FARTHEST_PREDICTED_PX = 1e9  # predictions may be far off; those that lie farther are damaged or of another unit


@dataclass(frozen=True, slots=True)
class Reading:
    """Unit, frame and pixel convention of predictions.

    Attributes
    ----------
    scale : {"px", "size", "prnet", "reshow", "unit"} or float
        How their values are normalized, see `uvgen.Normalization.of_scale`. The names are of crops: the truth must be
        a data set.
    frame : {"crop", "image"}, optional
        Frame of x and y. By default the truth's; for files of `uvgen predict`, the one that they state.
    convention : str, optional
        Pixel convention, a key of `uvgen.evaluation.predictions.SHIFTS`; by default that of the data set if the
        predictions are one or were exported from one, "exact" for files of `uvgen predict`, else the truth's.
    """

    scale: str | float = "px"
    frame: str | None = None
    convention: str | None = None

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise InputError if there is no such scale, frame or convention."""
        check_scale(self.scale)
        choice(self.frame, "frame", (None, *FRAMES))
        choice(self.convention, "convention", (None, *SHIFTS))


class Predictions:
    """Predictions for the faces of a truth.

    Parameters
    ----------
    path : path-like
        See this file's tables.
    truth : Truth
        What they are for.
    reading : Reading
        How they are counted.
    model : MorphableModel, optional
        For parameters and meshes.
    untrusted : bool
        As for `uvgen.open_shards`.

    Attributes
    ----------
    missing : list of str
        Names of the truth without a prediction.
    unexpected : list of str
        What is there and belongs to no face of the truth.
    doubts : list of str
        What the files say of themselves that may not fit the truth.

    Raises
    ------
    DatasetError
        If nothing is there, or nothing that belongs to a face.
    InputError
        If the reading is none.
    """

    def __init__(
        self, path: str | os.PathLike[str], truth: Truth, reading: Reading | None = None, *,
        model: "MorphableModel | None" = None, untrusted: bool = False,
    ) -> None:  # fmt: skip
        self.path, self._truth, self._how, self._model = Path(path), truth, reading or Reading(), model
        self._how.check()
        if isinstance(self._how.scale, str) and self._how.scale != "px" and truth.reading is None:
            raise InputError(
                f"scale: {self._how.scale!r}, expected a number, since the truth is not a data set with crops"
            )
        self._normalization = Normalization.of_scale(self._how.scale, truth.crop_size)
        self._mapper: PositionMapper | None = None
        self._topology: Topology | None = None
        self._array: NDArray[Any] | None = None
        self._files: dict[str, Path] = {}
        self._rows: dict[str, int] = {}
        self._frame = self._how.frame or truth.frame
        self._convention = self._how.convention
        self._reading: LandmarkWeights | None = None
        self._has_other_uv = self._is_of_predict = False
        self.unexpected, self.doubts = list[str](), list[str]()
        names = list(truth.names)
        if not self.path.exists():
            raise DatasetError(f"{self.path}: no such file or folder, expected predictions")
        if self.path.name == DATASET_INDEX or (self.path / DATASET_INDEX).exists():
            self._shards = open_shards(self.path, model, untrusted=untrusted)
            rows = {name: k for k, name in enumerate(self._shards.names)}
            called = spelled_alike(rows, names)
            self._rows = {name: rows[one] for name, one in called.items()}
            self.unexpected = sorted(rows.keys() - called.values())
            self._convention = self._convention or self._shards.config.build.convention
            self._has_other_uv, self.doubts = doubts_of_shards(self._shards, truth)
            if len(self._shards):
                self._reading = LandmarkWeights.of_constants(self._shards.constants)  # of its own model
            there = set(self._rows)
        elif self.path.is_dir():
            stated = stated_by_predict(self.path)
            if stated is None:
                self._files, self.unexpected = files_of(self.path, names)
                self._convention = self._convention or stated_convention(self.path / EXPORT_MARK)
            else:
                self._is_of_predict, has_maps = True, truth.reading is not None
                suffix, self._files, self.unexpected = files_of_predict(
                    self.path, names, stated.written, has_maps=has_maps
                )
                self._convention = self._convention or OF_PREDICT
                if has_maps:  # of crops
                    self._frame = self._how.frame or stated.frame
                    self.doubts += stated.doubts if self._how.frame is None else ()
                if suffix == ".npy" and isinstance(truth, ShardTruth):
                    self.doubts += doubts_of_uv(self.path, stated.model, stated.model_sha256, truth.reader)
            there = set(self._files)
        else:
            self._array = array_of_faces(self.path, len(names))
            there = set(names)
        self.missing = [name for name in names if name not in there]
        if names and len(self.missing) == len(names):
            found = f"; there is {self.unexpected[0]}" if self.unexpected else ""
            raise DatasetError(
                f"{self.path}: no prediction for any of {count(len(names), 'face')}, expected names such as "
                f"{names[0]}{found}"
            )
        self._missing = set(self.missing)
        self._number = {name: k for k, name in enumerate(names)}

    def has(self, name: str) -> bool:
        """Whether there is one for this face."""
        return name not in self._missing

    def read(self, face: TrueFace) -> Faces:
        """A face's prediction in the truth's frame, scale and convention; it may hold NaN.

        Raises
        ------
        UvgenError
            If the file cannot be read, has another shape or size than expected, leads too far away, or needs a model
            that is missing.
        """
        faces = self._read(face)
        if faces.finite()[0]:
            far = max(float(np.abs(values).max()) for values in (faces.landmarks, faces.maps) if values is not None)
            if far > FARTHEST_PREDICTED_PX:
                raise SampleError(f"{face.name}: its prediction leads {far:.3g} px away, expected px of a face")
        return faces

    def _read(self, face: TrueFace) -> Faces:
        """`read`, however far it leads."""
        if self._array is not None:
            return self._placed(self._as_faces(self._array[self._number[face.name]], face, str(self.path)), face)
        if self._rows:
            row = self._shards[self._rows[face.name]]
            maps = None if self._has_other_uv else row.get("posmap")
            points = Faces(row["landmarks"][None].astype(np.float64))
            return self._placed(
                points if maps is None else self._of_map(maps, face.name), face, self._crop_change(row, face)
            )
        path = self._files[face.name]
        suffix = path.suffix.lower()
        if suffix == ".mat":
            said = read_annotation(Sample(face.name, "", None, path, ""))
            return self._of_parameters(said.shape, said.expression, said.pose, face, str(path))
        if suffix in MESH_SUFFIXES:
            return self._placed(self._of_mesh(path), face)
        if self._is_of_predict:
            self._check_photograph(path, face)
        if suffix == ".txt":
            return self._placed(self._as_faces(points_of_lines(path), face, str(path)), face)
        array = read_npy_file(path, SampleError, most_bytes=MOST_BYTES)
        if array.ndim == 1 and len(array) > 8 and array.dtype.kind in "fiu":
            return self._of_vector(array, face, str(path))
        return self._placed(self._as_faces(array, face, str(path)), face)

    def _as_faces(self, array: NDArray[Any], face: TrueFace, where: str) -> Faces:
        """A map or landmarks of one face, as they are in the file but for the divisor."""
        while array.ndim > 2 and array.shape[0] == 1:
            array = array[0]
        if array.dtype.kind not in "fiu":
            raise SampleError(f"{where}: {array.dtype}, expected numbers")
        values = self._in_px(as_float64(array), where)
        if values.ndim == 2 and values.shape in ((2, 68), (3, 68)):
            values = values.T
        if values.ndim == 2 and values.shape in ((68, 2), (68, 3)):
            return Faces(values[None])
        if values.ndim == 3 and values.shape[0] == 3 and values.shape[1] == values.shape[2]:
            values = np.moveaxis(values, 0, -1)
        if values.ndim == 3 and values.shape[0] == values.shape[1] and values.shape[2] == 3:
            return self._of_map(values, where)
        shape = " x ".join(map(str, array.shape)) or "one number"
        raise SampleError(f"{where}: {shape}, expected a map of U x U x 3 or 68 points of 2 or 3 numbers")

    def _in_px(self, values: NDArray[Any], where: str) -> NDArray[Any]:
        """Of maps, points and meshes, whose axes are all normalized alike; NaN and infinity stay."""
        (scale,), (offset,) = self._normalization.scale, self._normalization.offset
        with np.errstate(over="ignore", invalid="ignore"):
            found = values * scale + offset
        far = np.isfinite(values) & ~(np.abs(found) <= FARTHEST_PREDICTED_PX)
        if far.any():
            raise SampleError(
                f"{where}: {values[far][0]:.4g} for a place, expected {FARTHEST_PREDICTED_PX:.0e} px at most"
            )
        return found

    def _of_map(self, values: NDArray[Any], where: str) -> Faces:
        reading = self._truth.reading
        if reading is None:
            raise SampleError(f"{where}: a map, expected 68 points, since the truth is no data set with maps")
        if len(values) != reading.size:
            raise SampleError(f"{where}: a map of {len(values)} texels per side, expected {reading.size}, the truth's")
        maps = np.ascontiguousarray(values, np.float64)[None]
        with np.errstate(invalid="ignore"):
            return Faces(read_landmarks(maps, self._reading or reading), maps)

    def _placed(self, faces: Faces, face: TrueFace, crop_change: NDArray[np.float64] | None = None) -> Faces:
        """In the truth's frame and pixel convention; `crop_change` takes the crop that they are of to the truth's."""
        frame = self._frame
        if frame not in face.frames:
            why = "this sample is mirrored" if face.row else "the truth has no such frame"
            raise SampleError(f"{face.name}: its prediction is said to be in the {frame}, and {why}")
        matrix = face.frames[frame] if crop_change is None or frame != "crop" else crop_change
        how = placing(matrix, face.image_to_truth, self._convention or face.convention, face.convention)
        return Faces(moved(faces.landmarks, how), None if faces.maps is None else moved(faces.maps, how))

    def _crop_change(self, row: dict[str, Any], face: TrueFace) -> NDArray[np.float64] | None:
        """(3, 3): what takes x, y in the crop of a sample of shards to the truth's crop; None if it is the same one."""
        if not face.row:
            return None
        if bool(row.get("flipped", False)) != bool(face.row.get("flipped", False)):
            raise SampleError(f"{face.name}: one of prediction and truth is mirrored, expected both or none")
        own, true = crop_of_sample(row, self.path), np.asarray(face.row["image_to_crop"], np.float64)
        if np.array_equal(own, true):
            return None
        self._check_height(row["image_height"], face)
        return np.asarray(true @ np.linalg.inv(own))

    def _check_photograph(self, path: Path, face: TrueFace) -> None:
        """Raise SampleError if `uvgen predict` states of a face's photograph that it is not the truth's, or no crop."""
        size = stated_size(path.with_suffix(".json")) if face.row or face.sample is not None else None
        if size is not None and self._frame == "image" and face.row:
            self._check_height(size[0], face)
        elif size is not None and self._frame == "image":
            true = face.image_size()
            if true is not None and sorted(true) != sorted(size):  # one of them may have been turned upright
                raise SampleError(
                    f"{face.name}: was predicted of a photograph of {size[1]}×{size[0]} px, expected the truth's, "
                    f"{true[1]}×{true[0]} px"
                )
        elif size is not None and face.row and size != (self._truth.crop_size,) * 2:
            raise SampleError(
                f"{face.name}: was predicted of a whole picture of {size[1]}×{size[0]} px, expected the truth's crop, "
                f"{self._truth.crop_size} px"
            )

    def _check_height(self, height: Any, face: TrueFace) -> None:
        """Raise SampleError if predictions are in px of another photograph than the truth is of."""
        if height != (true := face.row["image_height"]):
            raise SampleError(
                f"{face.name}: was predicted of a photograph that is {height} px high, expected the truth's, {true} px"
            )

    def _of_mesh(self, path: Path) -> Faces:
        mapper = self._mapper_of(str(path))
        vertices, triangles = read_mesh(path)
        vertices = self._in_px(vertices, str(path))
        if vertices[:, 1].mean() < 0:
            vertices = vertices * [1, -1, 1]
        model = mapper.model
        if len(vertices) != model.n_vertices:
            raise SampleError(
                f"{path}: {count(len(vertices), 'vertex')}, expected {model.n_vertices}, those of {model.name}"
            )
        if self._topology is None:
            self._topology = Topology.of_mesh(model.name, model.n_vertices, model.triangles, model.mouth_triangles)
        check_triangles(path, triangles, self._topology, all_of_them=False)
        maps, landmarks = mapper.maps_of_vertices(vertices[None])
        return Faces(landmarks.astype(np.float64), maps.astype(np.float64))

    def _of_vector(self, vector: NDArray[Any], face: TrueFace, where: str) -> Faces:
        model = self._mapper_of(where).model
        if len(vector) in VECTORS:
            shape, expression, pose = VECTORS[len(vector)](vector)
            return self._of_parameters(shape, expression, pose, face, where)
        if len(vector) != model.n_shape + model.n_expression + 7:
            raise SampleError(
                f"{where}: {count(len(vector), 'number')}, expected {model.n_shape} of the shape, "
                f"{model.n_expression} of the expression and 7 of the pose, those of {model.name}"
            )
        shape, expression, pose = np.split(vector, [model.n_shape, model.n_shape + model.n_expression])
        return self._of_parameters(shape, expression, pose, face, where)

    def _of_parameters(self, shape: Any, expression: Any, pose: Any, face: TrueFace, where: str) -> Faces:
        """Parameters of the original image, as 300W-LP's: in the truth's frame at once."""
        mapper = self._mapper_of(where)
        row = face.row
        flipped = np.array([bool(row.get("flipped", False))])
        with np.errstate(over="ignore", invalid="ignore"):  # of huge parameters; what is not finite is counted later
            maps, landmarks = mapper.maps_and_landmarks(
                shape[None], expression[None], pose[None], row["image_to_crop"][None], row["image_height"],
                flipped=flipped,
            )  # fmt: skip
        return Faces(landmarks.astype(np.float64), maps.astype(np.float64))

    def _mapper_of(self, where: str) -> "PositionMapper":
        if self._mapper is None:
            from uvgen.maps.position_mapper import PositionMapper

            if self._truth.reading is None:
                raise SampleError(f"{where}: parameters or a mesh, expected 68 points, since the truth is no data set")
            if self._model is None:
                raise SampleError(f"{where}: parameters or a mesh, expected the model too")
            size, convention = self._truth.reading.size, self._truth.convention
            self._mapper = PositionMapper(self._model, size, convention, crop_size=self._truth.crop_size)
        return self._mapper


def placing(
    matrix: NDArray[np.float64], image_to_truth: NDArray[np.float64], convention: str, true: str
) -> NDArray[np.float64]:
    """(3, 3): what takes x, y of a convention to the truth's frame, by `matrix`, and to its convention, `true`.

    `image_to_truth` is that of `TrueFace`.
    """
    shift = np.eye(3)
    shift[:2, 2] = image_to_truth @ (np.array(SHIFTS[true]) - SHIFTS[convention])
    return np.asarray(shift @ matrix, np.float64)


def moved(points: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 2 or 3) points after a matrix of x and y; z by its scale."""
    with np.errstate(invalid="ignore"):  # infinity and NaN are counted later
        plane = points[..., :2] @ matrix[:2, :2].T + matrix[:2, 2]
        return np.concatenate([plane, points[..., 2:] * np.sqrt(abs(np.linalg.det(matrix[:2, :2])))], axis=-1)
