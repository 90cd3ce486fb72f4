"""How per-pixel targets are stored beside position maps: which targets there are, and what their codes mean.

Needs NumPy alone, so that readers of stored targets do; `uvgen.maps.targets` draws them.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from uvgen.checks import check_several, choice
from uvgen.errors import InputError, SampleError
from uvgen.fixed_point import MAX_CODE, FixedPoint

TARGETS = ("uv", "normals", "depth", "parts", "pncc", "visibility")
"""Names of the targets, in the order in which they are stored."""

PARTS = ("background", "neck", "face", "mouth", "eyes", "nose", "other")
"""Names of the labels of "parts", by value: after the background, `uvgen.models.morphable.REGIONS`."""

COVERED = "covered"
"""The mask of the pixels that show the face, which is stored with any target of pixels."""

MIDDLE = 127
"""The code of 0 in normals; 0 to 254 are -1 to 1."""

DEPTH_STEPS = 2**14
"""Codes of depth in a crop's side, as in position maps."""


class TargetLayout(NamedTuple):
    """How a target is stored: NumPy dtype, one sample's shape, what its codes mean (None: labels), and what it is."""

    dtype: str
    shape: tuple[int, ...]
    codes: FixedPoint | None
    content: str

    @property
    def attributes(self) -> dict[str, Any]:
        """As a stored field has them."""
        return {"content": self.content, **({} if self.codes is None else self.codes.attributes)}


def check_targets(names: Iterable[str]) -> tuple[str, ...]:
    """Names of targets in the order of `TARGETS`; InputError if one is unknown or named twice."""
    check_several(names, "targets")
    names = tuple(names)
    for name in names:
        choice(name, "targets", TARGETS)
    if len(set(names)) < len(names):
        raise InputError(f"targets: {', '.join(names)}, expected each once")
    return tuple(name for name in TARGETS if name in names)


def target_layouts(names: Sequence[str], crop_size: int, uv_size: int) -> dict[str, TargetLayout]:
    """How these targets are stored, in crops of `crop_size` px and maps of `uv_size` texels; with `COVERED`."""
    r = crop_size
    found = {
        "uv": TargetLayout("uint16", (r, r, 2), FixedPoint(1 / MAX_CODE, 0.0), "u, v of the face at each pixel"),
        "normals": TargetLayout(
            "uint8", (r, r, 3), FixedPoint(1 / MIDDLE, -1.0), "unit normals: x right, y down, z toward the viewer"
        ),
        "depth": TargetLayout(
            "uint16", (r, r), FixedPoint(crop_size / DEPTH_STEPS, 0.0), "z of position maps at each pixel, px"
        ),
        "parts": TargetLayout("uint8", (r, r), None, " ".join(PARTS)),
        "pncc": TargetLayout("uint8", (r, r, 3), FixedPoint(1 / 255, 0.0), "x, y, z of the mean face, each 0 to 1"),
        "visibility": TargetLayout("bool", (uv_size, uv_size), None, "texels of the map that the camera sees"),
    }
    chosen = {name: found[name] for name in TARGETS if name in names}
    if any(name != "visibility" for name in chosen):
        chosen[COVERED] = TargetLayout("bool", (r, r), None, "pixels that show the face")
    return chosen


def range_error(what: str, crop_size: int) -> SampleError:
    """The error for a depth that no code stands for; `what` names the sample."""
    high = MAX_CODE * crop_size / DEPTH_STEPS
    return SampleError(f"{what} has depths beyond {high:.0f} px, the range of uint16; check the parameters")
