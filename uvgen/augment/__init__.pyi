from .sample import Augmented, apply, crop_augmented, occluded_texels
from .values import FILLS, MAX_OCCLUDERS, PRESETS, SHAPES, Augmentation, Draw, Occluder

__all__ = [
    "FILLS",
    "MAX_OCCLUDERS",
    "PRESETS",
    "SHAPES",
    "Augmentation",
    "Augmented",
    "Draw",
    "Occluder",
    "apply",
    "crop_augmented",
    "occluded_texels",
]
