"""An augmentation with everything switched on, for tests."""

from uvgen import Augmentation

ALL = Augmentation(
    rotation_deg=(-45, 45), translation=(-0.1, 0.1), scale=(0.9, 1.2), flip=0.5, occlusion=0.7, n_occluders=(1, 4),
    occluder_fills=("noise", "color", "image"), channel_gain=(0.6, 1.4), brightness=(-0.1, 0.1), contrast=(0.8, 1.2),
    saturation=(0.7, 1.3), hue_deg=(-10, 10), blur=(0, 1.5), noise=(0, 8), jpeg=(50, 95),
)  # fmt: skip
