"""One process's share of `uvgen predict`: photographs to crops, crops to maps, and files for each face."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uvgen.errors import DatasetError, InputError, ModelError, UvgenError
from uvgen.evaluation.network import Network, NetworkOptions, hash_network
from uvgen.evaluation.predict_options import WRITTEN, PredictOptions
from uvgen.fitting.detectors import FaceDetector, detector_settings
from uvgen.fitting.doubts import order_doubt
from uvgen.fitting.fitted import Unfitted, source_below
from uvgen.fitting.landmarks import FEWEST_POINTS, fit_landmarks
from uvgen.fitting.tasks import FitTask, Photograph, PhotographJob
from uvgen.fitting.worker import (
    MOST_BYTES,
    FaceTools,
    faces_of,
    open_photograph,
    open_table,
    state_of,
)
from uvgen.fitting.written import InputFiles, TakenError
from uvgen.geometry import crop_to_image, similarity_scale
from uvgen.images.crop import crop_from_box, crop_from_landmarks
from uvgen.images.picture import Picture
from uvgen.images.warp import warp_image
from uvgen.maps.readings import map_to_landmarks, map_to_mesh, map_to_pose
from uvgen.meshes.files import obj_files
from uvgen.models.load import check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.progress import advance
from uvgen.rasterize import unwrap
from uvgen.samples.box_tables import read_boxes
from uvgen.samples.files import check_machine
from uvgen.samples.landmark_schemes import SMALLEST_PX, FaceLandmarks, misplaced, to_68, unlike_face
from uvgen.samples.landmark_tables import LandmarkTable
from uvgen.storage.kinds import check_fetched
from uvgen.storage.names import printable
from uvgen.storage.reading import read_file


@dataclass(frozen=True, slots=True)
class PredictedFace:
    """A face that was predicted.

    Attributes
    ----------
    name, image : str
        Of its files, without suffix; the photograph, below the folder that it came from.
    pitch_deg, yaw_deg, roll_deg : float
        See `uvgen.map_to_pose`.
    source : str
        Where the crop comes from: a file of landmarks or boxes, a detector, or "whole".
    suffixes : tuple of str
        Of its files.
    made_of : str
        Hash of the photograph and of what files say of its faces.
    """

    name: str
    image: str
    pitch_deg: float
    yaw_deg: float
    roll_deg: float
    source: str
    suffixes: tuple[str, ...]
    made_of: str


@dataclass(frozen=True, slots=True)
class PredictedBatch:
    """What came of a few photographs: the faces, and what was left out."""

    faces: tuple[PredictedFace, ...]
    skipped: tuple[Unfitted, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PredictJob(PhotographJob):
    """What every process that predicts needs; as the arguments of `predict_photographs`, with absolute paths."""

    root: Path
    out: Path
    network: Path
    network_sha256: str
    network_options: NetworkOptions
    model: MorphableModel
    landmarks: Path | None
    boxes: Path | None
    detector: FaceDetector | None
    options: PredictOptions
    disputed: Mapping[Path, str]

    def open(self) -> Callable[[FitTask], PredictedBatch]:
        """The function that predicts some photographs."""
        self._check_network()  # one that was not tried is not opened
        network = Network(self.network, self.network_options)
        self._check_network()  # what was opened is what was hashed
        return partial(_predict, FaceTools(self, face_table(self)), network)

    def _check_network(self) -> None:
        if hash_network(self.network) != self.network_sha256:
            raise InputError(
                f"{self.network}: has changed since the run began; keep a network's files as they are while it runs, "
                "and run the command again"
            )

    @property
    def decode(self) -> str:
        """How photographs are decoded: whole if all pixels are needed anyway, else as finely as crops need.

        Not by whether a detector is needed, which another run on the same folder may not know.
        """
        return "full" if "mesh" in self.options.write or self.options.draw is not None else "reduced"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of each face's files."""
        drawn = [".png"] if self.options.draw is not None else []
        return *(WRITTEN[item] for item in self.options.write), *drawn

    def settings(self) -> dict[str, Any]:
        """What `predict.json` states of how the folder was made."""
        return {
            "network": self.network.name, "network_sha256": self.network_sha256, **asdict(self.network_options),
            "model": self.model.name, "model_sha256": self.model.content_sha256,
            **detector_settings(self.detector),
            "which_faces": self.faces, "crop": self.options.crop, "exif": self.exif,
            "write": list(self.options.write),
            "drawing": None if self.options.draw is None else self.options.kind,
            **({"decode": self.decode} if self.decode != "full" else {}),  # as in folders from before
        }  # fmt: skip


def face_table(job: PredictJob) -> LandmarkTable | None:
    """The table of all photographs' boxes or landmarks, if there is one."""
    return open_table(job.landmarks) if job.boxes is None else read_boxes(job.boxes)


def made_of(job: PredictJob, table: LandmarkTable | None, photograph: Photograph) -> str:
    """What `PredictedFace.made_of` would be now; OSError if the photograph cannot be read."""
    if job.options.crop != "whole":
        return state_of(job, table, photograph)
    data = read_file(photograph.path, MOST_BYTES)
    check_fetched(photograph.path, data)
    return hashlib.sha256(data).hexdigest()


def _predict(tools: FaceTools[PredictJob], network: Network, task: FitTask) -> PredictedBatch:
    faces, skipped = list[PredictedFace](), list[Unfitted]()
    for photograph in task.photographs:
        found = _predict_photograph(tools, network, photograph, trial=task.trial)
        faces.extend(found.faces)
        skipped.extend(found.skipped)
        advance(1)
    return PredictedBatch(tuple(faces), tuple(skipped))


def _predict_photograph(
    tools: FaceTools[PredictJob], network: Network, photograph: Photograph, *, trial: bool
) -> PredictedBatch:
    job, shown = tools.job, photograph.shown(tools.job.root)
    try:
        found, picture, state = _found(tools, photograph)
        names = [photograph.name, *(f"{photograph.name}-face{number + 2}" for number in range(len(found) - 1))]
        files = InputFiles(job.out, photograph.path)
        files.check(job.out / f"{name}{suffix}" for name in names for suffix in job.suffixes)
    except UvgenError as error:
        check_machine(error)
        return PredictedBatch((), (Unfitted(photograph.name, shown, printable(str(error))),))
    faces, skipped = list[PredictedFace](), list[Unfitted]()
    for name, face in zip(names, found, strict=True):
        try:
            similarity = _similarity(job, face, picture.shape, network.size)
            pixels, reduced = picture.for_crop(float(1 / similarity_scale(similarity)))
            position_map = network(warp_image(pixels, similarity, network.size, reduced=reduced))
            if not trial:
                about = name, shown, face, picture, similarity, network.size
                faces.append(_written(job, *about, position_map, state, files))
        except (DatasetError, ModelError):  # the folder cannot be written, the model has changed
            raise
        except TakenError as error:
            return PredictedBatch((), (Unfitted(photograph.name, shown, printable(str(error))),))
        except UvgenError as error:
            check_machine(error)
            skipped.append(Unfitted(name, shown, printable(str(error))))
    return PredictedBatch(tuple(faces), tuple(skipped))


def _found(tools: FaceTools[PredictJob], photograph: Photograph) -> tuple[list[FaceLandmarks], Picture, str]:
    """The faces of a photograph, the photograph, and the hash of what they are made of."""
    if tools.job.options.crop != "whole":
        return faces_of(tools, photograph, tools.job.decode)
    if photograph.problem:
        raise UvgenError(f"{photograph.path}: {photograph.problem}")
    data, picture = open_photograph(tools.job, photograph.path, tools.job.decode)
    corners = np.array([[0, 0], [picture.shape[1] - 1, picture.shape[0] - 1]], np.float64)
    whole = FaceLandmarks(corners, None, "whole", source="whole")
    return [whole], picture, hashlib.sha256(data).hexdigest()


def _similarity(job: PredictJob, face: FaceLandmarks, shape: tuple[int, ...], size: int) -> NDArray[np.float64]:
    """Image → crop of a face."""
    if face.scheme == "whole":
        (width, height) = face.points[1]
        scale = (size - 1) / max(width, height, 1.0)
        return np.array(
            [[scale, 0, (size - 1 - scale * width) / 2], [0, scale, (size - 1 - scale * height) / 2], [0, 0, 1]]
        )
    if problem := misplaced(face, shape):
        raise InputError(problem)
    if face.scheme == "box":
        if np.ptp(face.points, axis=0).max() < SMALLEST_PX:
            raise InputError(f"{face.source}: a box within {SMALLEST_PX} px, expected px of the image")
        return crop_from_box(
            face.points.ravel(), size, "prnet-detector" if job.options.crop == "auto" else job.options.crop
        )
    points, weights = to_68(face)
    known = weights > 0
    if known.any() and (problem := unlike_face(points[known], face.source)):
        raise InputError(problem)
    if known.sum() < FEWEST_POINTS:
        raise InputError(
            f"{face.source}: {known.sum()} of the 68 landmarks are marked, expected {FEWEST_POINTS} or more"
        )
    doubt = order_doubt(points, weights, job.model, (shape[1], shape[0]))
    if doubt.is_explained and not (doubt.kind == "mirrored" and known.all()):  # the crop is the same in either order
        raise InputError(f"{face.source}: {doubt.text}")
    if not known.all():
        with threadpool_limits(1, user_api="blas"):
            points = fit_landmarks(points[None], job.model, shape[0], scores=weights[None]).points[0]
    if job.options.crop == "prnet-detector":
        return crop_from_box([*points.min(axis=0), *points.max(axis=0)], size, job.options.crop)
    return crop_from_landmarks(points, size, "training" if job.options.crop == "auto" else job.options.crop)


def _written(
    job: PredictJob, name: str, shown: str, face: FaceLandmarks, picture: Picture,
    similarity: NDArray[np.float64], crop_size: int, crop_map: NDArray[np.float32], state: str, files: InputFiles,
) -> PredictedFace:  # fmt: skip
    """Write what is wanted of a face."""
    position_map = crop_to_image(crop_map, similarity).astype(np.float32)
    landmarks, pose = map_to_landmarks(position_map, job.model), map_to_pose(position_map, job.model)
    pitch, yaw, roll = np.rad2deg(pose.angles_rad).tolist()
    source, path = source_below(face.source, job.landmarks, job.boxes, job.root), job.out / name
    check_model_file(job.model)
    content: dict[str, bytes] = {}
    if "landmarks" in job.options.write:
        content[".txt"] = "".join(f"{x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in landmarks.tolist()).encode()
    if "pose" in job.options.write:
        about = {
            "image": shown, "image_size": list(picture.shape[:2]), "source": source,
            "pitch_deg": pitch, "yaw_deg": yaw, "roll_deg": roll, "scale_px_per_um": pose.scale,
            "Pose_Para": pose.parameters(picture.shape[0]).tolist(), "model_to_image": pose.affine.tolist(),
            "residual_px": pose.residual_px, "image_to_crop": similarity.tolist(),
            "crop_size": crop_size,
            "landmarks": np.round(landmarks, 4).astype(float).tolist(),
        }  # fmt: skip
        content[".json"] = (json.dumps(about, indent=1) + "\n").encode()
    if "map" in job.options.write:
        buffer = io.BytesIO()
        np.save(buffer, position_map)
        content[".npy"] = buffer.getvalue()
    if "mesh" in job.options.write:
        vertices, triangles, _ = map_to_mesh(position_map, job.model)
        colors = map_to_mesh(unwrap(picture.pixels, position_map)[0], job.model)[0]  # the same texels
        (content[".obj"],) = obj_files("face.obj", vertices, triangles, colors=np.clip(colors, 0, 255)).values()
    if job.options.draw is not None:
        from PIL import Image

        drawing = job.options.draw(picture.pixels, position_map, job.options.kind, model=job.model)
        buffer = io.BytesIO()
        Image.fromarray(drawing).save(buffer, "PNG")
        content[".png"] = buffer.getvalue()
    files.write({path.with_name(path.name + suffix): data for suffix, data in content.items()})
    return PredictedFace(name, shown, pitch, yaw, roll, source, job.suffixes, state)
