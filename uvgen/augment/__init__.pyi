from .sample import Augmented, apply, crop_augmented, occluded_texels
from .values import FILLS, MAX_OCCLUDERS, PRESETS, SHAPES, Augmentation, AugmentationDraw, Occluder

__all__ = [
    "FILLS",
    "MAX_OCCLUDERS",
    "PRESETS",
    "SHAPES",
    "Augmentation",
    "AugmentationDraw",
    "Augmented",
    "Occluder",
    "apply",
    "crop_augmented",
    "occluded_texels",
]
