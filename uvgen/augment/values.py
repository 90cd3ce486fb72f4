"""What augmentation may do, and what it does to one sample: `Augmentation` and the `AugmentationDraw` it makes.

Both are plain frozen values that go to JSON and back. Every option has its own places in a sample's row of uniform
random numbers: switching one off, or adding one to uvgen, leaves what the others do as it was.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import choice, shown
from uvgen.errors import InputError
from uvgen.randomness import keyed_generator
from uvgen.storage.names import brief
from uvgen.storage.plain_json import parse_json

Bounds = tuple[float, float]

SHAPES = ("rectangle", "blob")
FILLS = ("noise", "color", "image")
MAX_OCCLUDERS = 4

_LIMITS = {
    "rotation_deg": (-180, 180), "translation": (-1, 1), "scale": (0.1, 10), "flip": (0, 1), "occlusion": (0, 1),
    "n_occluders": (1, MAX_OCCLUDERS), "occluder_size": (0.01, 1), "channel_gain": (0, 3), "brightness": (-1, 1),
    "contrast": (0, 3), "saturation": (0, 3), "hue_deg": (-180, 180), "blur": (0, 8), "noise": (0, 128),
    "jpeg": (1, 100),
}  # fmt: skip
_CHOICES = {"occluder_shapes": SHAPES, "occluder_fills": FILLS}
# Places in the row of random numbers. Never renumber: the same seed must give the same draws in years.
_PLACES = {
    "rotation_deg": 0, "translation": 1, "scale": 3, "flip": 4, "channel_gain": 5, "brightness": 8, "contrast": 9,
    "saturation": 10, "hue_deg": 11, "blur": 12, "noise": 13, "jpeg": 14, "occlusion": 15, "n_occluders": 16,
    "seed": 17, "occluders": 24,
}  # fmt: skip
_PER_OCCLUDER = 12
_N_PLACES = _PLACES["occluders"] + MAX_OCCLUDERS * _PER_OCCLUDER


@dataclass(frozen=True, slots=True)
class Occluder:
    """One thing that hides part of the crop. Positions and sizes are shares of the crop's side.

    `shape` is one of `SHAPES`, `fill` one of `FILLS`; x, y is the centre, `angle_deg` turns it clockwise; `color` is
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


@dataclass(frozen=True, slots=True)
class AugmentationDraw:
    """What is done to one sample, in plain numbers. Made by `Augmentation.draw`.

    Geometry: the crop is turned by `rotation_deg` (clockwise as seen) and scaled by `scale` about its centre, moved
    by `translation` (shares of its side, x right, y down), and mirrored where `flip` says so; then come `occluders`
    (frame of the finished crop), colours, blur (σ, px), noise (σ, grey levels) and JPEG (quality, 0 is none).
    `brightness` is a share of 255. `seed` stands for the noise, `other` in [0, 1) for which image an occluder shows.
    `size` is the crop's side, px.
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
        """Which of n samples the "image" occluders over sample `number` show: another one, None where there is none."""
        if not self.needs_other or n < 2:
            return None
        other = int(self.other * (n - 1))
        return other + (other >= number)

    def to_json(self) -> str:
        """One line of JSON, keys sorted."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

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
            Where the text is something else.
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
        if len(values) != n or not all(_is_number(value, *_LIMITS[name]) for value in values):
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
            value, (low, high) = getattr(record, field.name), limits.get(field.name, _LIMITS.get(field.name, (-10, 10)))
            whole = field.type in ("int", int)
            if not _is_number(value, low, high) or (whole and not isinstance(value, int)):
                raise ValueError(f"{field.name} is {value!r}")


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may be done to a sample: ranges, from which `draw` takes uniformly. By default nothing.

    Attributes
    ----------
    rotation_deg, translation, scale : (low, high)
        In-plane rotation; shift along each axis as a share of the crop's side; size.
    flip : float
        How often the sample is mirrored, 0 to 1. Maps need a `uvgen.maps.mirror.TexelMirror` for that.
    occlusion : float
        How often there are occluders, 0 to 1.
    n_occluders, occluder_size : (low, high)
        How many (1 to 4), and their width and height as shares of the crop's side.
    occluder_shapes, occluder_fills : tuple of str
        What to choose from: "rectangle", "blob"; "noise", "color", "image" (other samples' content).
    channel_gain : (low, high)
        Factor of each colour channel.
    brightness, contrast, saturation, hue_deg : (low, high)
        Term, as a share of 255; factor about mid-grey; factor about each pixel's luminance; rotation of colours.
    blur, noise : (low, high)
        Standard deviations: of a Gaussian, px, and of noise, grey levels.
    jpeg : (low, high) or None
        JPEG quality, 1 to 100.
    """

    rotation_deg: Bounds = (0.0, 0.0)
    translation: Bounds = (0.0, 0.0)
    scale: Bounds = (1.0, 1.0)
    flip: float = 0.0
    occlusion: float = 0.0
    n_occluders: tuple[int, int] = (1, 1)
    occluder_size: Bounds = (0.15, 0.45)
    occluder_shapes: tuple[str, ...] = SHAPES
    occluder_fills: tuple[str, ...] = ("noise",)
    channel_gain: Bounds = (1.0, 1.0)
    brightness: Bounds = (0.0, 0.0)
    contrast: Bounds = (1.0, 1.0)
    saturation: Bounds = (1.0, 1.0)
    hue_deg: Bounds = (0.0, 0.0)
    blur: Bounds = (0.0, 0.0)
    noise: Bounds = (0.0, 0.0)
    jpeg: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if value is None and name == "jpeg":
                continue
            if name in ("flip", "occlusion"):
                ok, expected = _is_range((value, value), low, high, whole=False), f"a number in {low} to {high}"
            else:
                ok = _is_range(value, low, high, whole=name in ("n_occluders", "jpeg"))
                expected = f"(low, high) with {low} <= low <= high <= {high}"
            if not ok:
                raise InputError(f"augmentation: {name} = {value!r}, expected {expected}")
        for name, allowed in _CHOICES.items():
            chosen = getattr(self, name)
            if not isinstance(chosen, tuple | list) or not chosen or not all(what in allowed for what in chosen):
                raise InputError(f"augmentation: {name} = {chosen!r}, expected some of {', '.join(allowed)}")

    def draw(self, seed: int, name: str, epoch: int, size: int = 256) -> AugmentationDraw:
        """What to do to one sample in one epoch; the same arguments give the same answer anywhere.

        Parameters
        ----------
        seed : int
            The run's.
        name : str
            The sample's.
        epoch : int
            Or the number of the copy.
        size : int
            The crop's side, px.

        Returns
        -------
        AugmentationDraw
        """
        u = keyed_generator(seed, name, epoch, "augmentation").random(_N_PLACES).tolist()

        def within(option: str, offset: int = 0) -> float:
            low, high = getattr(self, option)
            return low + (high - low) * u[_PLACES[option] + offset]

        occluders: tuple[Occluder, ...] = ()
        if u[_PLACES["occlusion"]] < self.occlusion:
            n = _whole(self.n_occluders, u[_PLACES["n_occluders"]])
            places = range(_PLACES["occluders"], _N_PLACES, _PER_OCCLUDER)
            occluders = tuple(self._occluder(u[first : first + _PER_OCCLUDER]) for first in places[:n])
        return AugmentationDraw(
            size=size,
            rotation_deg=within("rotation_deg"),
            translation=(within("translation"), within("translation", 1)),
            scale=within("scale"),
            flip=u[_PLACES["flip"]] < self.flip,
            channel_gain=(within("channel_gain"), within("channel_gain", 1), within("channel_gain", 2)),
            brightness=within("brightness"),
            contrast=within("contrast"),
            saturation=within("saturation"),
            hue_deg=within("hue_deg"),
            blur=within("blur"),
            noise=within("noise"),
            jpeg=_whole(self.jpeg, u[_PLACES["jpeg"]]) if self.jpeg else 0,
            occluders=occluders,
            seed=int(u[_PLACES["seed"]] * 2**53),
            other=u[_PLACES["seed"] + 1],
        )

    def _occluder(self, u: Sequence[float]) -> Occluder:
        low, high = self.occluder_size
        return Occluder(
            shape=self.occluder_shapes[int(u[0] * len(self.occluder_shapes))],
            fill=self.occluder_fills[int(u[1] * len(self.occluder_fills))],
            x=u[2],
            y=u[3],
            width=low + (high - low) * u[4],
            height=low + (high - low) * u[5],
            angle_deg=360 * u[6],
            color=(int(256 * u[7]), int(256 * u[8]), int(256 * u[9])),
            cell_px=1 << int(4 * u[10]),
            seed=int(u[11] * 2**53),
        )

    @classmethod
    def preset(cls, name: str) -> "Augmentation":
        """``"none"``, or ``"prnet"``: what the PRNet paper trains with (Feng et al., ECCV 2018, section 3.4).

        Raises
        ------
        InputError
            Where there is no such preset.
        """
        return PRESETS[choice(name, "augmentation: preset", sorted(PRESETS))]

    def to_plain(self) -> dict[str, Any]:
        """All fields, by name in alphabetical order, as JSON holds them: lists for tuples."""
        values = sorted(dataclasses.asdict(self).items())
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any], base: "Augmentation | None" = None) -> "Augmentation":
        """The augmentation that `to_plain` gave, or that a user's JSON object describes; see `from_json`."""
        if not isinstance(values, Mapping):
            raise InputError(
                f'augmentation: {shown(values)}, expected a JSON object like {{"preset": "prnet", "flip": 0.5}}'
            )
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        if "preset" in fields:
            base = cls.preset(fields.pop("preset"))
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(fields) - set(known)):
            raise InputError(f"augmentation: no option {unknown[0]!r}, expected some of {', '.join(known)}")
        return dataclasses.replace(base or cls(), **fields)

    def to_json(self) -> str:
        """JSON of all fields, keys sorted."""
        return json.dumps(self.to_plain())

    @classmethod
    def from_json(cls, text: str, base: "Augmentation | None" = None) -> "Augmentation":
        """Read an augmentation.

        Parameters
        ----------
        text : str
            A JSON object with any of the fields, and perhaps ``"preset"``, which stands for the others.
        base : Augmentation, optional
            What stands for the others where there is no ``"preset"``; nothing at all by default.

        Returns
        -------
        Augmentation

        Raises
        ------
        InputError
            Where the text is not such an object, a field is unknown or a value out of range.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise InputError(f"augmentation: not JSON ({error})") from error
        return cls.from_plain(values, base)


def _is_range(numbers: Any, low: float, high: float, *, whole: bool) -> bool:
    if not isinstance(numbers, tuple | list) or len(numbers) != 2:
        return False
    kinds = (int,) if whole else (int, float)
    if any(isinstance(n, bool) or not isinstance(n, kinds) for n in numbers):
        return False
    return low <= numbers[0] <= numbers[1] <= high


def _whole(bounds: tuple[int, int], u: float) -> int:
    return bounds[0] + int((bounds[1] - bounds[0] + 1) * u)


PRESETS = {
    "none": Augmentation(),
    "prnet": Augmentation(
        rotation_deg=(-45.0, 45.0),
        translation=(-0.1, 0.1),
        scale=(0.9, 1.2),
        channel_gain=(0.6, 1.4),
        occlusion=0.5,
        n_occluders=(1, 2),
    ),
}
"""Presets by name. None flips: that is exact for some models only."""
