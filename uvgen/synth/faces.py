"""Drawing the parameters of a synthetic face at random, and those of its mirror image."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from uvgen.geometry import pose_to_image
from uvgen.maps.labels import mirror_parameters, mirror_pose
from uvgen.maps.mirror import ComponentMirror, component_mirror
from uvgen.models.load import BUILTIN
from uvgen.models.morphable import MorphableModel
from uvgen.randomness import keyed_generator
from uvgen.synth.scene import SceneLight, draw_light


@dataclass(frozen=True, slots=True, eq=False)
class FaceParameters:
    """What is drawn for a sample; the numbers have float32 precision, so that files hold them as they are.

    Attributes
    ----------
    shape, expression, albedo : (ks,), (ke,), (ka,) float32
        Parameters that multiply the bases directly.
    pose : (7,) float32
        As `Pose_Para`.
    light : SceneLight
        Of the picture.
    mirrored : bool
        Whether the backdrop is the mirror image of the one that the name stands for.
    """

    shape: NDArray[np.float32]
    expression: NDArray[np.float32]
    albedo: NDArray[np.float32]
    pose: NDArray[np.float32]
    light: SceneLight
    mirrored: bool = False


class FaceSource:
    """Draws faces of one model. Each depends on the seed and its name alone.

    Parameters
    ----------
    model : MorphableModel
        Whose parameters to draw.
    seed : int
        Of the data set.
    size : int
        Pixels along each side of the pictures.
    """

    def __init__(self, model: MorphableModel, seed: int, size: int) -> None:
        self.model, self.seed, self.size = model, seed, size
        landmarks = model.mean[model.landmarks].astype(np.float64)
        self._extent = float(np.ptp(landmarks[:, :2], axis=0).mean())
        self._center = (landmarks.min(axis=0) + landmarks.max(axis=0)) / 2
        self._low, self._high = -3 * model.expression_std, 3 * model.expression_std
        self._is_builtin = False
        if model.name == BUILTIN:  # which another model may be called too
            from uvgen.models.builtin import ALBEDO_NAMES, EXPRESSIONS

            n_albedo = 0 if model.albedo_std is None else len(model.albedo_std)
            self._is_builtin = (model.n_expression, n_albedo) == (len(EXPRESSIONS), len(ALBEDO_NAMES))
        if self._is_builtin:
            self._low, self._high = np.array([item[2:] for item in EXPRESSIONS], np.float32).T

    @np.errstate(all="ignore")
    def draw(self, name: str) -> FaceParameters:
        """The face that a name stands for; of models of odd numbers, with NaN or infinity."""
        rng = keyed_generator(self.seed, name, "face")
        model = self.model
        shape = np.clip(0.9 * rng.normal(size=model.n_shape), -2.2, 2.2) * model.shape_std
        strength = rng.choice([0.35, 0.9, 1.6], p=[0.35, 0.45, 0.2])
        expression = strength * rng.normal(size=model.n_expression) * model.expression_std
        expression = np.where(self._low == 0, np.abs(expression), expression)
        light = draw_light(rng)
        pose = self._pose(rng)
        n_albedo = 0 if model.albedo_std is None else len(model.albedo_std)
        albedo = np.clip(rng.normal(size=n_albedo), -2, 2)
        if self._is_builtin:
            self._human(rng, expression, albedo)
        expression = np.clip(expression, self._low, self._high)
        if model.albedo_std is not None:
            albedo = albedo * model.albedo_std
        return FaceParameters(_single(shape), _single(expression), _single(albedo), _single(pose), light)

    def draw_photograph(self, name: str) -> FaceParameters:
        """The face of a photograph, by its name: those after a person's first, ``…_1`` and so on, have the shape and
        the colors of the first, ``…_0``, with another pose, expression and light."""
        person, _, number = name.rpartition("_")
        face = self.draw(name)
        if number == "0":
            return face
        first = self.draw(f"{person}_0")
        return replace(face, shape=first.shape, albedo=first.albedo)

    def mirror(self, face: FaceParameters) -> FaceParameters:
        """The mirrored face, of the mirrored picture.

        Its parameters are exact if the model has the mirror image of each of its faces (`components`).
        If not, it keeps shape and expression, and its picture is to be painted anew.
        """
        pose, shape, expression = mirror_pose(face.pose, self.size), face.shape, face.expression
        if self.components is not None:
            shape, expression = mirror_parameters(shape, expression, self.components)
        return replace(
            face, shape=shape, expression=expression, pose=pose, light=face.light.mirrored(), mirrored=not face.mirrored
        )

    @cached_property
    def components(self) -> ComponentMirror | None:
        """How parameters change in the mirror image; None if the model's shapes or its albedo are not symmetric."""
        model, mirror = self.model, self.model.mirror
        if mirror is None or model.albedo_basis is None or model.albedo_mean is None:
            return None
        if any(np.any(albedo[mirror] != albedo) for albedo in (model.albedo_mean, model.albedo_basis)):
            return None
        return component_mirror(model)

    def _pose(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Yaw mostly moderate, a third of them anywhere up to a profile; pitch and roll moderate."""
        yaw = rng.normal(0, 22) if rng.random() < 0.62 else rng.uniform(-90, 90)
        pitch, roll = np.clip(rng.normal(-2, 10), -30, 30), np.clip(rng.normal(0, 9), -35, 35)
        angles = np.deg2rad([pitch, np.clip(yaw, -90, 90), roll])
        scale = rng.uniform(0.37, 0.46) * self.size / self._extent
        middle = pose_to_image([[*angles, 0, 0, 0, scale]], self.size)[0, :, :3] @ self._center
        x, y = (self.size - 1) / 2 - middle[:2] + np.clip(rng.normal(0, 0.015, 2), -0.04, 0.04) * self.size
        return np.array([*angles, x + 1, self.size - y, -scale * self._center[2], scale])

    @staticmethod
    def _human(rng: np.random.Generator, expression: NDArray[np.float64], albedo: NDArray[np.float64]) -> None:
        """What the built-in model's components have to do with each other, in place; parameters in the bases' units."""
        from uvgen.models.builtin import ALBEDO_NAMES, EXPRESSION_NAMES

        moves = {name: k for k, name in enumerate(EXPRESSION_NAMES)}
        colors = {name: k for k, name in enumerate(ALBEDO_NAMES)}
        if rng.random() < 0.9:  # who blinks, mostly blinks with both eyes
            expression[moves["left eye closed"]] = expression[moves["right eye closed"]] + rng.normal(0, 0.03)
        if rng.random() < 0.35:  # and who is photographed smiles
            expression[moves["smile"]] = rng.uniform(0.3, 1)
        tone = rng.uniform(-1.5, 3.3)  # from pale to deep brown; the darker, the less red, and dark the hair
        albedo[colors["skin tone"]] = tone
        albedo[colors["redness"]] -= 0.7 * max(tone - 1, 0)
        albedo[colors["hair tone"]] = rng.uniform(-1.6, 4 if tone < 1 else 0)
        albedo[colors["stubble"]] = abs(albedo[colors["stubble"]])
        if tone > 1.5:
            albedo[colors["iris blue to brown"]] = abs(albedo[colors["iris blue to brown"]])


def _single(array: NDArray[np.floating]) -> NDArray[np.float32]:
    return array.astype(np.float32)
