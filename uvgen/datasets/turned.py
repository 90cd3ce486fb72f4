"""Faces turned out of the plane while a data set is built: the photograph, its parameters and its draw, turned."""

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.augment.draws import AugmentationDraw
from uvgen.augment.profile import possible_turn, turned_annotation, turned_pose
from uvgen.augment.turner import FaceTurner
from uvgen.datasets.config import BuildConfig
from uvgen.errors import InputError, SampleError
from uvgen.maps.atlas import build_atlas
from uvgen.maps.mirror import mirrored_texels
from uvgen.models.morphable import MorphableModel
from uvgen.samples.find import Sample
from uvgen.samples.read import Annotation

AT_ONCE = 16
"""Faces whose vertices are evaluated by one matrix product."""


class TurnedSample(NamedTuple):
    """A photograph with a turned face: what a build goes on with."""

    image: NDArray[np.uint8]
    annotation: Annotation
    draw: AugmentationDraw
    unseen: NDArray[np.bool_] | None  # (u, u) texels, if they are marked


class SampleTurner:
    """Turns the faces of a build's samples. `of` says whether there is anything to turn."""

    def __init__(self, model: MorphableModel, config: BuildConfig, unseen: str) -> None:
        self._model, self._config = model, config
        self._turner = FaceTurner(model, unseen)
        self._marks = unseen == "mark"

    @classmethod
    def of(cls, model: MorphableModel, config: BuildConfig) -> "SampleTurner | None":
        """What turns a build's faces, or None; ModelError if the model cannot."""
        if config.augmentation is None or not config.augmentation.turns:
            return None
        return cls(model, config, config.augmentation.unseen)

    def vertices(self, faces: list[Annotation]) -> NDArray[np.float32]:
        """See `FaceTurner.vertices`; parameters that no face has are left to later checks."""
        with np.errstate(all="ignore"):
            return self._turner.vertices(faces)

    def turn(
        self,
        sample: Sample,
        image: NDArray[np.uint8],
        annotation: Annotation,
        vertices: NDArray[np.float32],
        draw: AugmentationDraw,
    ) -> TurnedSample:
        """Turn a sample's face as its draw says, as far as 90° in all; the draw that comes back says how far.

        Raises SampleError if the photograph or its parameters do not allow it.
        """
        yaw, pitch = possible_turn(annotation.pose, draw.yaw_deg, draw.pitch_deg)
        draw = dataclasses.replace(draw, yaw_deg=yaw, pitch_deg=pitch)
        try:
            pose = turned_pose(self._model, annotation, yaw, pitch)
            turned = self._turner.turn(image, vertices, annotation.pose, pose)
        except InputError as error:
            raise SampleError(f"{sample.stated_in}: {error}") from error
        moved = turned_annotation(annotation, pose, vertices[self._model.landmarks], image.shape[0])
        return TurnedSample(turned.image, moved, draw, self._unseen(turned.unseen, draw.flip) if self._marks else None)

    def _unseen(self, unseen: NDArray[np.float32], flip: bool) -> NDArray[np.bool_]:
        """Texels of the map, mirrored if the sample is, that lie between vertices most of which were not seen."""
        model, size, convention = self._model, self._config.uv_size, self._config.convention
        texels = mirrored_texels(model, size, convention) if flip else build_atlas(model, size, convention)
        mostly: NDArray[np.bool_] = ((unseen[texels.vertices] * texels.weights).sum(axis=1) > 0.5).reshape(size, size)
        return mostly
