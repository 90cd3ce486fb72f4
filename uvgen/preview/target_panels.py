"""Pictures of the per-pixel targets that a data set has beside its maps, for a contact sheet's second lines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from uvgen.maps.target_layouts import COVERED, PARTS, TARGETS
from uvgen.preview.drawing import EMPTY, PANEL, ramp

PART_COLORS = (
    EMPTY, (120, 150, 90), (235, 190, 150), (200, 60, 80), (60, 120, 200), (240, 160, 40), (120, 90, 70),
)  # fmt: skip
"""Colors of the labels of "parts"."""

_TITLES = {
    "uv": "u, v as red, green",
    "normals": "normals; facing: blue",
    "depth": "depth, near ones light",
    "parts": "parts over the crop",
    "pncc": "PNCC",
    "visibility": "texels that are seen",
}
_CHECKS = 16  # of u and v along each side of the chessboard that shows whether they run smoothly


def target_panels(sample: dict[str, Any]) -> tuple[tuple[Image.Image, ...], tuple[str, ...]]:
    """Pictures, `PANEL` px wide, of a sample's targets, and their titles; of none if it has none."""
    names = [name for name in TARGETS if name in sample]
    return tuple(_panel(name, sample) for name in names), tuple(_TITLES[name] for name in names)


def _panel(name: str, sample: dict[str, Any]) -> Image.Image:
    values = sample[name]
    if name == "visibility":
        return _enlarged(np.where(values[..., None], 255, 40) * np.ones(3))
    covered, crop = sample[COVERED], sample["image"]
    if name == "uv":
        checks = (np.floor(values * _CHECKS).sum(axis=2) % 2)[..., None]
        colors = np.dstack([255 * values, np.zeros(values.shape[:2])]) * (0.75 + 0.25 * checks)
    elif name == "normals":
        colors = 127.5 * (1 + values * [1, -1, 1])  # as is usual: up is green
    elif name == "pncc":
        colors = 255 * values
    elif name == "parts":
        colors = 0.5 * crop + 0.5 * np.array(PART_COLORS)[np.minimum(values, len(PARTS) - 1)]
        covered = values > 0
    else:
        seen = values[covered]
        low, high = (seen.min(), seen.max()) if seen.size else (0.0, 1.0)
        colors = ramp((values - low) / max(high - low, 1e-6))
    return _enlarged(np.where(covered[..., None], colors, 0.3 * crop + 0.7 * np.array(EMPTY)))


def _enlarged(colors: NDArray[Any]) -> Image.Image:
    picture = Image.fromarray(np.rint(np.clip(colors, 0, 255)).astype(np.uint8))
    return picture.resize((PANEL, PANEL), Image.Resampling.NEAREST if len(colors) < PANEL else Image.Resampling.BOX)
