from .draws import FILLS, MAX_OCCLUDERS, SHAPES, AugmentationDraw, Occluder
from .profile import MOST_DEG, turn_face
from .sample import Augmented, apply, crop_augmented, occluded_texels
from .turner import MARK
from .values import PRESETS, UNSEEN, Augmentation

__all__ = [
    "FILLS",
    "MARK",
    "MAX_OCCLUDERS",
    "MOST_DEG",
    "PRESETS",
    "SHAPES",
    "UNSEEN",
    "Augmentation",
    "AugmentationDraw",
    "Augmented",
    "Occluder",
    "apply",
    "crop_augmented",
    "occluded_texels",
    "turn_face",
]
