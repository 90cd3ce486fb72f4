"""What augmentation does to one sample: the plain numbers of an `AugmentationDraw`, which go to JSON and back."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import shown
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.storage.names import brief
from uvgen.storage.plain_json import parse_json

SHAPES = ("rectangle", "blob")
"""Shapes of occluders; a blob is a random outline."""
FILLS = ("noise", "color", "image")
"""What occluders show: noise, one color, or another image."""
MAX_OCCLUDERS = 4
"""Largest number of occluders in a crop."""

LIMITS = {
    "rotation_deg": (-180, 180), "translation": (-1, 1), "scale": (0.1, 10), "flip": (0, 1), "occlusion": (0, 1),
    "n_occluders": (1, MAX_OCCLUDERS), "occluder_size": (0.01, 1), "channel_gain": (0, 3), "brightness": (-1, 1),
    "contrast": (0, 3), "saturation": (0, 3), "hue_deg": (-180, 180), "blur": (0, 8), "noise": (0, 128),
    "jpeg": (1, 100), "yaw_deg": (-180, 180), "pitch_deg": (-180, 180),
}  # fmt: skip
"""Of the numbers of a draw, and of the ranges that they are drawn from."""

_TURNS = ("yaw_deg", "pitch_deg")  # omitted if they are 0, so that the JSON of older draws stays the same


@dataclass(frozen=True, slots=True)
class Occluder:
    """One thing that hides part of the crop. Positions and sizes are shares of the crop's side.

    `shape` is one of `SHAPES`, `fill` one of `FILLS`; x, y is the center, `angle_deg` turns it clockwise; `color` is
    for the fill of that name, `cell_px` the grain of noise, and `seed` stands for outline, noise and what part of an
    image is shown.
    """

    shape: str
    fill: str
    x: float
    y: float
    width: float
    height: float
    angle_deg: float
    color: tuple[int, int, int]
    cell_px: int
    seed: int

    __repr__ = described


@dataclass(frozen=True, slots=True)
class AugmentationDraw:
    """The changes to one sample, in plain numbers. Made by `Augmentation.draw`.

    First, the face is turned out of the plane by `yaw_deg` and `pitch_deg` in the whole photograph, see
    `uvgen.augment.profile`; all other changes are made to the crop and do not depend on this one. The crop is turned by
    `rotation_deg` (clockwise as seen) and scaled by `scale` about its center, moved by `translation` (shares of its
    side, x right, y down), and mirrored if `flip` is true. Then `occluders` (frame of the finished crop), colors,
    blur (σ, px), noise (σ, gray levels) and JPEG (quality, 0 for none) are applied. `brightness` is a share of 255.
    `seed` determines the noise, and `other` in [0, 1) the image that an occluder shows. `size` is the side of the
    crop, px.
    """

    size: int
    rotation_deg: float = 0.0
    translation: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    flip: bool = False
    channel_gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue_deg: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int = 0
    occluders: tuple[Occluder, ...] = ()
    seed: int = 0
    other: float = 0.0
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0

    __repr__ = described

    @property
    def turns(self) -> bool:
        """Whether the face is turned out of the plane."""
        return bool(self.yaw_deg or self.pitch_deg)

    @property
    def similarity(self) -> NDArray[np.float64]:
        """(3, 3) float64: crop → augmented crop, before mirroring, px."""
        angle = math.radians(self.rotation_deg)
        c, s = self.scale * math.cos(angle), self.scale * math.sin(angle)
        middle = (self.size - 1) / 2
        x = middle * (1 - c + s) + self.translation[0] * self.size
        y = middle * (1 - s - c) + self.translation[1] * self.size
        return np.array([[c, -s, x], [s, c, y], [0.0, 0.0, 1.0]])

    @property
    def needs_other(self) -> bool:
        """Whether an occluder shows another image's content."""
        return any(occluder.fill == "image" for occluder in self.occluders)

    def other_sample(self, number: int, n: int) -> int | None:
        """Which of n samples the "image" occluders over sample `number` show: another one, None if there is none."""
        if not self.needs_other or n < 2:
            return None
        other = int(self.other * (n - 1))
        return other + (other >= number)

    def to_json(self) -> str:
        """One line of JSON, keys sorted."""
        values = dataclasses.asdict(self)
        return json.dumps({name: v for name, v in values.items() if v or name not in _TURNS}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "AugmentationDraw":
        """The draw that `to_json` wrote.

        Parameters
        ----------
        text : str
            As stored in a shard's field `augmentation`.

        Returns
        -------
        AugmentationDraw

        Raises
        ------
        InputError
            If the text is something else.
        """
        try:
            values = parse_json(text)
            for key in ("translation", "channel_gain"):
                values[key] = tuple(values[key])
            values["occluders"] = tuple(Occluder(**{**o, "color": tuple(o["color"])}) for o in values["occluders"])
            draw = cls(**values)
            _check_draw(draw)
            return draw
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"draw: {shown(text)}, not a draw ({brief(error)}), expected what AugmentationDraw.to_json wrote"
            ) from error


def _check_draw(draw: AugmentationDraw) -> None:
    """Raise ValueError unless every field is of its type, and a number that a draw may have."""
    _check_numbers(draw, {"size": (1, 1 << 20), "seed": (0, 1 << 64), "other": (0, 1), "jpeg": (0, 100)})
    for name, n in (("translation", 2), ("channel_gain", 3)):
        values = getattr(draw, name)
        if len(values) != n or not all(_is_number(value, *LIMITS[name]) for value in values):
            raise ValueError(f"{name} is {values}")
    if not isinstance(draw.flip, bool):
        raise ValueError(f"flip is {draw.flip!r}")
    if len(draw.occluders) > MAX_OCCLUDERS:
        raise ValueError(f"{len(draw.occluders)} occluders")
    for occluder in draw.occluders:
        _check_numbers(occluder, {"cell_px": (1, 1 << 20), "seed": (0, 1 << 64), "angle_deg": (-360, 360)})
        if occluder.shape not in SHAPES or occluder.fill not in FILLS:
            raise ValueError(f"an occluder {occluder.shape!r} of {occluder.fill!r}")
        if len(occluder.color) != 3 or not all(_is_number(value, 0, 255) for value in occluder.color):
            raise ValueError(f"color is {occluder.color}")


def _check_numbers(record: Any, limits: dict[str, tuple[float, float]]) -> None:
    """Raise ValueError unless all fields of a record that hold numbers do, within limits."""
    for field in dataclasses.fields(record):
        if field.type in ("float", "int", float, int):
            value, (low, high) = getattr(record, field.name), limits.get(field.name, LIMITS.get(field.name, (-10, 10)))
            whole = field.type in ("int", int)
            if not _is_number(value, low, high) or (whole and not isinstance(value, int)):
                raise ValueError(f"{field.name} is {value!r}")


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
