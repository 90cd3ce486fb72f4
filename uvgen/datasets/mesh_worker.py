"""Worker processes of a build from registered meshes: as `uvgen.datasets.worker`, with labels from meshes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.cameras import ImageCamera, apply_camera
from uvgen.datasets.mean_face import AWAY, lay_on
from uvgen.datasets.plan import ShardTask
from uvgen.datasets.quality.annotated_rows import Kept
from uvgen.datasets.quality.plausible import LARGEST_FACE, SMALLEST_FACE_PX, are_labels, check_inside, check_labels
from uvgen.datasets.record import ShardResult
from uvgen.datasets.shard_checks import farthest_from_map
from uvgen.datasets.worker import Builder, BuildJob
from uvgen.errors import InputError, MeshFileError, SampleError
from uvgen.fixed_point import FixedPoint
from uvgen.geometry import affine_to_pose, transform_points
from uvgen.maps.landmarks import landmark_weights, read_landmarks
from uvgen.meshes.registered import Topology, read_registered
from uvgen.models.morphable import MorphableModel
from uvgen.samples.map_files import IMAGE_SHIFTS
from uvgen.samples.mesh_files import MeshSample, camera_of_sample, mesh_files_sha256

_UNLIKE = 0.25  # RMS distance of landmarks from the aligned mean's, per size of their box; 0.05 is usual, 0.16 at 15 cm
_UNITS = {1e3: "1000 times too small, as if it were in meters", 1e-3: "1000 times too large, as if it were in µm"}
_LARGE = {
    "image": "a mesh without a camera counts px of the image; is it in meters or mm? Give its camera",
    "orthographic": "the camera's scale counts px per unit of the mesh",
    "perspective": "the camera's translation counts in the mesh's unit; is the mesh in meters, and the camera in mm?",
}
_BESIDE = {
    "image": "is y up in the mesh? A mesh without a camera counts px of the image from the first pixel, y down",
    "orthographic": "are the camera's translation and scale of this image, and its y counted downward?",
    "perspective": "are its camera's center, rotation and translation of this image and convention?",
}


_NO_CAMERA = " A mesh without a camera counts px of the image, y down: give its camera"


@dataclass(frozen=True, slots=True, eq=False)
class MeshFace:
    """A registered mesh as `MeshReader.read` gives it, or placed in its image as `MeshReader.place` gives it.

    Attributes
    ----------
    vertices : (n, 3) float64
        As read: in the mesh's frame and unit. Placed: in the image frame, px.
    camera : (4, 4) float64 or None
        Placed: the matrix that took vertices to the image, see `uvgen.cameras.ImageCamera.matrix`.
    pose : (7,) float32 or None
        Placed: the pose of the model's mean face, aligned with the landmarks.
    landmarks, extras, unused
        As in `uvgen.samples.read.Annotation`; empty for a mesh.
    """

    vertices: NDArray[np.float64]
    camera: NDArray[np.float64] | None = None
    pose: NDArray[np.float32] | None = None
    landmarks: None = None
    extras: None = None
    unused: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MeshJob(BuildJob):
    """What every process of a build from meshes needs."""

    def open(self) -> Callable[[ShardTask], ShardResult]:
        """The function that makes one shard."""
        return MeshBuilder(self).build


class MeshReader:
    """Reads meshes of a model's topology, places them in their images, and checks that they are plausible there."""

    def __init__(self, model: MorphableModel, convention: str, implausible: str) -> None:
        self._model, self._convention, self._implausible = model, convention, implausible
        self._topology = Topology.of_mesh(model.name, model.n_vertices, model.triangles, model.mouth_triangles)
        self._mean = model.mean[model.landmarks].astype(np.float64)

    def read(self, sample: MeshSample) -> MeshFace:
        """A sample's mesh; SampleError if it is missing, damaged or of another topology."""
        if sample.problem or sample.parameters is None:
            raise SampleError(sample.problem or f"{sample.image}: no mesh of it")
        try:
            return MeshFace(read_registered(sample.parameters, self._topology))
        except MeshFileError as error:
            raise SampleError(str(error)) from error

    def place(self, sample: MeshSample, face: MeshFace, shape: tuple[int, ...]) -> tuple[MeshFace, NDArray[np.float64]]:
        """The mesh placed in its image of shape (h, w, …), and its landmarks (68, 3) there, px.

        Raises SampleError if the camera cannot be used, or the mesh does not show a face in the image.
        """
        camera = camera_of_sample(sample, shape)
        where = sample.camera if not isinstance(sample.camera, ImageCamera) else f"{sample.parameters}: its camera"
        try:
            matrix = camera.matrix(face.vertices)
        except InputError as error:
            found = str(error).removeprefix("points: ")
            advice = "are convention, direction and unit of the translation those of the mesh?"
            raise SampleError(f"{where}: puts the face behind it: {found}; {advice}") from error
        matrix[:2] += np.outer(IMAGE_SHIFTS[self._convention], matrix[3])
        with np.errstate(all="ignore"):  # meshes that are not faces may overflow; the checks below refuse them
            vertices = apply_camera(matrix, face.vertices)
        landmarks = vertices[self._model.landmarks]
        self._check_size(sample, landmarks, shape, camera.kind)
        check_labels(sample, landmarks)
        low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
        check_inside(sample, low, high, shape, _BESIDE[camera.kind])
        pose = self._pose(sample, landmarks, shape, camera.kind)
        return replace(face, vertices=vertices, camera=matrix, pose=pose), landmarks

    def _check_size(
        self, sample: MeshSample, landmarks: NDArray[np.float64], shape: tuple[int, ...], kind: str
    ) -> None:
        """Raise SampleError if a face is far too small or large for its image."""
        face, most = float(np.ptp(landmarks[:, :2], axis=0).max()), LARGEST_FACE * max(shape[:2])
        if (self._implausible == "keep" and face > 0) or SMALLEST_FACE_PX <= face <= most:
            return
        units = [text for factor, text in _UNITS.items() if SMALLEST_FACE_PX <= face * factor <= most]
        cause = _LARGE[kind] + (f"; the mesh seems {units[0]}" if units and kind == "orthographic" else "")
        raise SampleError(
            f"{sample.parameters}: the face is {face:.3g} px large in an image of {shape[1]}×{shape[0]}, expected "
            f"{SMALLEST_FACE_PX:g} to {most:g}; {cause}"
        )

    def _pose(
        self, sample: MeshSample, landmarks: NDArray[np.float64], shape: tuple[int, ...], kind: str
    ) -> NDArray[np.float32]:
        """The pose of the mean face, aligned with landmarks (68, 3), px.

        Raises SampleError if the landmarks are not a face's, are mirrored, or are of a face turned away.
        """
        affine, distance = lay_on(self._mean, landmarks)
        _, mirrored = lay_on(self._mean * [-1, 1, 1], landmarks)
        sides = np.sort(np.ptp(landmarks, axis=0))
        extent = float(np.sqrt(sides[1] * sides[2]))  # of the longer two sides: a profile is narrow
        if not min(distance, mirrored) < _UNLIKE * extent:
            raise SampleError(
                f"{sample.parameters}: the vertices of {self._model.name}'s 68 landmarks show no face "
                f"({distance / max(extent, 1e-9):.0%} of their box off, expected {_UNLIKE:.0%} at most); are the "
                "mesh's vertices in another order?"
            )
        if mirrored < distance:
            raise SampleError(
                f"{sample.parameters}: is mirrored: its landmarks fit a face's mirror image better than a face "
                f"({mirrored:.3g} against {distance:.3g} px); is an axis turned over (y up, z away from the viewer), "
                f"or left and right exchanged?{_NO_CAMERA if kind == 'image' else ''}"
            )
        facing = affine[2, 2] / np.cbrt(np.abs(np.linalg.det(affine[:, :3])))
        if facing < AWAY:
            away = np.degrees(np.arccos(max(facing, -1.0)))
            advice = " is the camera's convention another, which looks the other way?"
            raise SampleError(
                f"{sample.parameters}: its face is turned {away:.0f}° from the viewer, expected one in view;"
                f"{_NO_CAMERA.lower() if kind == 'image' else advice}"
            )
        found: NDArray[np.float32] = affine_to_pose(affine[None], shape[0], self._convention)[0].astype(np.float32)
        return found


class MeshBuilder(Builder):
    """Makes shards in one process, with labels from meshes."""

    most_held = 32  # a mesh of 53,215 vertices takes 1.3 MB

    def __init__(self, job: BuildJob) -> None:
        super().__init__(job)
        self.reader = MeshReader(self.model, job.config.convention, job.config.implausible)
        self.weights = landmark_weights(self.model, job.config.uv_size, job.config.convention)
        self.apart = np.zeros(0)  # px, of the samples that are being made: landmarks from their maps

    def _annotation(self, sample: Any) -> Any:
        return self.reader.read(sample)

    def _landmarks_of(self, said: Sequence[Any]) -> None:
        return None

    def _in_image(self, sample: Any, annotation: Any, shape: tuple[int, ...], places: Any = None) -> Any:
        return self.reader.place(sample, annotation, shape)

    def _state(self, sample: Any) -> str:
        return mesh_files_sha256(sample)

    def _stated(self, kept: Sequence[Kept]) -> dict[str, Any]:
        faces: list[Any] = [one.annotation for one in kept]
        return {name: np.stack([getattr(face, name) for face in faces]) for name in ("pose", "camera")}

    def _add_labels(
        self, kept: Sequence[Kept], rows: dict[str, Any], flipped: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        config, n = self.job.config, len(kept)
        in_range, has_codes = np.ones(n, bool), np.ones(n, bool)
        codes = FixedPoint.for_crop(config.size) if config.posmap_dtype == "uint16" else None
        rows["posmap"], rows["landmarks"] = self.maps[:n], np.empty((n, 68, 3), np.float32)
        layouts = {} if self.targets is None else self.targets.layouts
        self.apart = np.zeros(n)
        drawn = {name: np.empty((n, *layout.shape), layout.dtype) for name, layout in layouts.items()}
        for k in range(n):
            face: Any = kept[k].annotation
            in_crop = transform_points(face.vertices, rows["image_to_crop"][k])
            maps, landmarks = self.mapper.maps_of_vertices(in_crop[None], flipped=flipped[k : k + 1])
            rows["landmarks"][k] = landmarks[0]
            if not flipped[k]:
                self.apart[k] = np.abs(read_landmarks(maps[0], self.weights) - landmarks[0]).max()
            if codes is None:
                rows["posmap"][k], in_range[k] = maps[0], are_labels(maps[0])
            else:
                rows["posmap"][k], in_range[k] = codes.encode(maps[0])
            if self.targets is not None:
                in_crop[:, 2] -= in_crop[:, 2].min()
                if flipped[k]:
                    in_crop[:, 0] = config.size - 1 - in_crop[:, 0]
                places = {name: values[k] for name, values in drawn.items()}
                vertices = np.ascontiguousarray(in_crop, np.float32)
                has_codes[k] = self.targets.draw(vertices, places, flipped=bool(flipped[k]))
        rows.update(drawn)
        return in_range, has_codes

    def _all_are_labels(self, rows: dict[str, Any]) -> bool:
        return super()._all_are_labels(rows) and bool((self.apart <= farthest_from_map(self.job.config)).all())

    def _are_labels(self, sample: Any, rows: dict[str, Any], k: int, skip: Callable[[Any, Exception], None]) -> bool:
        """As for samples with parameters; and whether the map shows the landmarks, which `verify` asks for too."""
        if not super()._are_labels(sample, rows, k, skip):
            return False
        farthest = farthest_from_map(self.job.config)
        if self.apart[k] <= farthest:
            return True
        skip(
            sample,
            SampleError(
                f"{sample.parameters}: its landmarks are up to {self.apart[k]:.3g} px from where the surface around "
                f"them is, expected {farthest:.3g} at most; are the vertices between them out of place?"
            ),
        )
        return False
