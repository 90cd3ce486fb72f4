"""One process's share of `uvgen.synth`: faces to images and parameter files like 300W-LP's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import ModelError, WorkerError
from uvgen.geometry import LANDMARK_MIRROR, pose_to_image
from uvgen.images.jpeg import encode_jpeg
from uvgen.models.load import check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.progress import advance
from uvgen.randomness import keyed_generator
from uvgen.samples.write import parameter_file
from uvgen.storage.files import replaced_on_success
from uvgen.synth.faces import FaceParameters, FaceSource
from uvgen.synth.portrait import Painter
from uvgen.synth.scene import SHININESS


@dataclass(frozen=True, slots=True, eq=False)
class SynthJob:
    """What every process that renders samples needs.

    Attributes
    ----------
    out : Path
        The folder, absolute.
    model : MorphableModel
        Whose faces.
    seed, size : int
        Random seed; pixels along each side of the images.
    flip : bool
        Whether to make the mirrored samples too.
    """

    out: Path
    model: MorphableModel
    seed: int
    size: int
    flip: bool

    def open(self) -> Callable[[Sequence[str]], int]:
        """The function that makes the samples of some names and returns how many there are, mirror images included."""
        return _Renderer(self).make

    def parts(self, task: Sequence[str]) -> list[list[str]]:
        """Each name alone: its files are the same then."""
        return [[name] for name in task]

    def without(self, task: Sequence[str], causes: Mapping[int, str]) -> Sequence[str]:
        """A face cannot be left out: WorkerError."""
        number, cause = min(causes.items())
        raise WorkerError(f"{task[number]}: {cause}")


def flipped_name(name: str) -> str:
    """Name of the mirrored sample, ``IBUG_Flip/IBUG_image_0001_0``."""
    subset, stem = name.split("/")
    return f"{subset}_Flip/{stem}"


class _Renderer:
    """One process's share of the work."""

    def __init__(self, job: SynthJob) -> None:
        self.job, self.model = job, job.model
        with np.errstate(all="ignore"):  # of models of numbers that no face has; `_check_faces` refuses theirs
            self.source = FaceSource(self.model, job.seed, job.size)
            self.painter = Painter(self.model, job.size)
        self.landmark_mean = self.model.mean[self.model.landmarks].astype(np.float64)
        self.landmark_basis = self.model.basis[self.model.landmarks].astype(np.float64)

    def make(self, names: Sequence[str]) -> int:
        """Make some samples and their mirror images; return how many pairs of files were written."""
        job = self.job
        with np.errstate(all="ignore"):
            faces = [self.source.draw_photograph(name) for name in names]
            vertices, albedo = self.painter.surfaces(faces)
        self._check_faces(names, faces, vertices, albedo)
        check_model_file(self.model)
        for k, (name, face) in enumerate(zip(names, faces, strict=True)):
            surface = vertices[k], None if albedo is None else albedo[k]
            image = self.painter.paint(face, *surface, keyed_generator(job.seed, name, "scene"))
            self._write(name, image, face, flipped=False)
            if job.flip:
                mirror = self.source.mirror(face)
                if self.source.components is not None:
                    image = np.ascontiguousarray(image[:, ::-1])
                else:
                    image = self.painter.paint(mirror, *surface, keyed_generator(job.seed, name, "scene"))
                self._write(flipped_name(name), image, mirror, flipped=True)
            advance(1 + job.flip)
        return len(names) * (1 + job.flip)

    def _check_faces(
        self, names: Sequence[str], faces: Sequence[FaceParameters], vertices: NDArray[np.float32],
        albedo: NDArray[np.float32] | None,
    ) -> None:  # fmt: skip
        """Raise ModelError unless all numbers of all faces are finite: their labels would be wrong."""
        for k, (name, face) in enumerate(zip(names, faces, strict=True)):
            colors = () if albedo is None else albedo[k]
            values = (face.shape, face.expression, face.albedo, face.pose, vertices[k], colors)
            if not all(np.isfinite(value).all() for value in values):
                raise ModelError(
                    f"{self.model.path or self.model.name}: its face of {name} holds NaN or infinity, expected numbers "
                    "that float32 holds; its bases or standard deviations are too large, or its mean is too small"
                )

    def _write(self, name: str, image: NDArray[np.uint8], face: FaceParameters, *, flipped: bool) -> None:
        quality = int(keyed_generator(self.job.seed, name, "file").integers(72, 98))
        path = self.job.out / name
        jpeg = encode_jpeg(image, quality, subsampling="420")
        parameters = _parameters(face, self._landmarks(face), self.job.size, flipped)
        for suffix, data in ((".jpg", jpeg), (".mat", parameters)):
            # not flushed to disk, which would take longer than painting
            with replaced_on_success(
                path.with_suffix(suffix), folder=self.job.out, flush=False, make_folder=False
            ) as temporary:
                temporary.write_bytes(data)

    def _landmarks(self, face: FaceParameters) -> NDArray[np.float64]:
        """(68, 2) landmarks, image frame, from the very numbers that the file holds."""
        coefficients = np.concatenate([face.shape, face.expression]).astype(np.float64)
        affine = pose_to_image(face.pose[None], self.job.size)[0]
        points: NDArray[np.float64] = (self.landmark_mean + self.landmark_basis @ coefficients) @ affine[
            :2, :3
        ].T + affine[:2, 3]
        return points


def parameters_of_zero(model: MorphableModel, flipped: bool) -> bytes:
    """A parameter file of this model: all of them have one size."""
    return _parameters(FaceSource(model, 0, 450).draw(""), np.zeros((68, 2)), 450, flipped)


def _parameters(face: FaceParameters, landmarks: NDArray[np.float64], size: int, flipped: bool) -> bytes:
    """The ``.mat`` of a face, as 300W-LP has it: mirrored ones keep the order of landmarks, in single precision."""
    light = face.light
    illumination = [*light.ambient, *light.key, light.elevation, light.azimuth, light.specular, SHININESS]
    return parameter_file(
        face.shape,
        face.expression,
        face.pose,
        landmarks[LANDMARK_MIRROR] if flipped else landmarks,
        (size, size),
        albedo=face.albedo,
        light=illumination,
        dtype=np.float32 if flipped else np.float64,
    )
