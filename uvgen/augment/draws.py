"""What augmentation does to one sample: the plain numbers of an `AugmentationDraw`, which go to JSON and back."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import choice, plain_number, shown
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.storage.names import brief
from uvgen.storage.plain_json import parse_json
from uvgen.wording import count

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
"""Limits of the numbers of a draw, and of the ranges that they are drawn from."""

_TURNS = ("yaw_deg", "pitch_deg")  # omitted if they are 0, so that the JSON of older draws stays the same


@dataclass(frozen=True, slots=True)
class Occluder:
    """One thing that hides part of the crop. Positions and sizes are shares of the crop's side.

    `shape` is one of `SHAPES`, `fill` one of `FILLS`; x, y is the center, `angle_deg` turns it clockwise; `color` is
    used by the fill of that name, `cell_px` the grain of noise, and `seed` determines the outline, the noise and the
    part of an image that is shown.
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

    def __post_init__(self) -> None:
        _check_numbers(self, "occluder")
        _check_tuple(self, "occluder", "color", 3, 0, 255)
        choice(self.shape, "occluder: shape", SHAPES)
        choice(self.fill, "occluder: fill", FILLS)

    __repr__ = described


@dataclass(frozen=True, slots=True)
class AugmentationDraw:
    """The changes to one sample, in plain numbers. Made by `Augmentation.draw`.

    First, the face is turned out of the plane by `yaw_deg` and `pitch_deg` in the whole photograph, see
    `uvgen.augment.profile`; all other changes are made to the crop and do not depend on this one. The crop is turned by
    `rotation_deg` (clockwise as seen) and scaled by `scale` about its center, moved by `translation` (shares of its
    side, x right, y down), and mirrored if `flip` is true. Then `occluders` (frame of the finished crop), colors, blur
    (σ, px), noise (σ, gray levels) and JPEG (quality, 0 for none) are applied. `brightness` is a share of 255. `seed`
    determines the noise, and `other` in [0, 1) the image that an occluder shows. `size` is the side of the crop, px.
    InputError where a number is out of the range of `LIMITS`, or has the wrong type.
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

    def __post_init__(self) -> None:
        _check_numbers(self, "draw")
        _check_tuple(self, "draw", "translation", 2, *LIMITS["translation"])
        _check_tuple(self, "draw", "channel_gain", 3, *LIMITS["channel_gain"])
        if not isinstance(self.flip, bool):
            raise InputError(f"draw: flip = {shown(self.flip)}, expected True or False")
        occluders = self.occluders
        if not isinstance(occluders, tuple) or not all(isinstance(one, Occluder) for one in occluders):
            raise InputError(f"draw: occluders = {shown(occluders)}, expected a tuple of Occluder")
        if len(occluders) > MAX_OCCLUDERS:
            raise InputError(f"draw: {len(occluders)} occluders, expected {MAX_OCCLUDERS} at most")

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
        other = min(int(self.other * (n - 1)), n - 2)  # a draw that others wrote may have 1
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
            return cls(**values)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"draw: {shown(text)}, not a draw ({brief(error)}), expected what AugmentationDraw.to_json wrote"
            ) from error


_SEED = (0, (1 << 64) - 1)
_OWN_LIMITS: dict[str, tuple[float, float]] = {
    "size": (1, 1 << 20), "seed": _SEED, "other": (0, 1), "jpeg": (0, 100), "cell_px": (1, 1 << 20),
    "angle_deg": (-360, 360), "x": (-10, 10), "y": (-10, 10), "width": (-10, 10), "height": (-10, 10),
}  # fmt: skip


def _check_numbers(record: Any, what: str) -> None:
    """Raise InputError unless all fields of a record that hold numbers do, within limits; keep them as Python's own."""
    for name, whole, (low, high) in _NUMBERS[type(record)]:
        value = getattr(record, name)
        if type(value) is not int and type(value) is not float:  # as nearly all are
            object.__setattr__(record, name, value := plain_number(value))
        if type(value) not in ((int,) if whole else (int, float)) or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise InputError(f"{what}: {name} = {shown(value)}, expected {kind}, {low} to {high}")


_NUMBERS: dict[type, list[tuple[str, bool, tuple[float, float]]]] = {
    kind: [
        (field.name, field.type in ("int", int), _OWN_LIMITS.get(field.name) or LIMITS[field.name])
        for field in dataclasses.fields(kind)
        if field.type in ("float", "int", float, int)
    ]
    for kind in (Occluder, AugmentationDraw)
}
"""The fields that hold one number: the name, whether it is whole, and its limits."""


def _check_tuple(record: Any, what: str, name: str, n: int, low: float, high: float) -> None:
    """Raise InputError unless a field holds n numbers within limits; keep them as a tuple of Python's own."""
    values = getattr(record, name)
    if type(values) is not tuple or any(type(value) not in (int, float) for value in values):
        good = isinstance(values, tuple | list)
        values = tuple(map(plain_number, values)) if good else ()
        object.__setattr__(record, name, values if good else getattr(record, name))
    if len(values) != n or not all(type(value) in (int, float) and low <= value <= high for value in values):
        raise InputError(
            f"{what}: {name} = {shown(getattr(record, name))}, expected {count(n, 'number')}, {low} to {high}"
        )
