"""What augmentation may do: `Augmentation`, which makes an `AugmentationDraw` for a sample.

Both are plain frozen values that go to JSON and back. Every option has its own places in a sample's row of uniform
random numbers: switching one off, or adding one to uvgen, leaves what the others do as it was.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uvgen.augment.draws import FILLS, LIMITS, MAX_OCCLUDERS, SHAPES, AugmentationDraw, Occluder
from uvgen.checks import check_instance, choice, plain_number, shown
from uvgen.errors import InputError
from uvgen.randomness import keyed_generator
from uvgen.storage.plain_json import parse_json

Bounds = tuple[float, float]

_CHOICES = {"occluder_shapes": SHAPES, "occluder_fills": FILLS}
# Places in the row of random numbers. Never renumber: the same seed must give the same draws in years.
_PLACES = {
    "rotation_deg": 0, "translation": 1, "scale": 3, "flip": 4, "channel_gain": 5, "brightness": 8, "contrast": 9,
    "saturation": 10, "hue_deg": 11, "blur": 12, "noise": 13, "jpeg": 14, "occlusion": 15, "n_occluders": 16,
    "seed": 17, "occluders": 24, "yaw_deg": 72, "pitch_deg": 73,
}  # fmt: skip
_PER_OCCLUDER = 12
_END_OF_OCCLUDERS = _PLACES["occluders"] + MAX_OCCLUDERS * _PER_OCCLUDER
_N_PLACES = _PLACES["pitch_deg"] + 1

UNSEEN = ("mirror", "mark")
"""What a turned face shows where the photograph does not show it: the other half of the face, or one color."""

_TURNS = ("pitch_deg", "unseen", "yaw_deg")  # omitted if nothing turns, so that the JSON of older sets stays the same


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges of augmentations, from which `draw` draws uniformly. The defaults change nothing.

    Attributes
    ----------
    rotation_deg, translation, scale : (low, high)
        In-plane rotation in degrees; shift along each axis as a share of the crop's side; scale factor.
    flip : float
        Probability that the sample is mirrored, 0 to 1. To mirror maps, a `uvgen.maps.mirror.TexelMirror` is needed.
    occlusion : float
        Probability that there are occluders, 0 to 1.
    n_occluders, occluder_size : (low, high)
        Number of occluders (1 to 4), and their width and height as shares of the crop's side.
    occluder_shapes, occluder_fills : tuple of str
        Shapes and fills to choose from: "rectangle", "blob"; "noise", "color", "image" (content of other samples).
    channel_gain : (low, high)
        Factor of each color channel.
    brightness, contrast, saturation, hue_deg : (low, high)
        Added value, as a share of 255; factor about mid-gray; factor about each pixel's luminance; rotation of colors
        in degrees.
    blur, noise : (low, high)
        Standard deviations: of a Gaussian, px, and of noise, gray levels.
    jpeg : (low, high) or None
        JPEG quality, 1 to 100.
    yaw_deg, pitch_deg : (low, high)
        Angles that are added to the yaw and pitch of the pose. The face is turned out of the plane in the whole
        photograph, before all other changes, as by `uvgen.augment.turn_face`, and at most to a yaw or pitch of 90°.
        Only builds can do this.
    unseen : {"mirror", "mark"}
        How to fill parts of a turned face that the photograph does not show: with the other half of the face, or with
        gray. With "mark", samples have a field `unseen`.
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
    yaw_deg: Bounds = (0.0, 0.0)
    pitch_deg: Bounds = (0.0, 0.0)
    unseen: str = "mirror"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # JSON has lists for tuples, and callers pass NumPy's numbers
            value = getattr(self, field.name)
            same = tuple(map(plain_number, value)) if isinstance(value, tuple | list) else plain_number(value)
            object.__setattr__(self, field.name, same)
        for name, (low, high) in LIMITS.items():
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
            if not isinstance(chosen, tuple) or not chosen or not all(what in allowed for what in chosen):
                raise InputError(f"augmentation: {name} = {chosen!r}, expected some of {', '.join(allowed)}")
        choice(self.unseen, "augmentation: unseen", UNSEEN)

    @property
    def turns(self) -> bool:
        """Whether faces are turned out of the plane, which needs whole photographs and the faces' parameters."""
        return any(self.yaw_deg) or any(self.pitch_deg)

    def check_crops(self) -> None:
        """Raise InputError if this cannot be done to crops, because it turns faces out of the plane."""
        if self.turns:
            raise InputError(
                "augmentation: yaw_deg and pitch_deg turn faces in whole photographs, expected ranges of (0, 0) for "
                "crops, which is all that a data set holds; `uvgen build --augment FILE` and uvgen.augment.turn_face "
                "turn them"
            )

    def draw(self, seed: int, name: str, epoch: int, size: int = 256) -> AugmentationDraw:
        """What to do to one sample in one epoch; the same arguments give the same answer anywhere.

        Parameters
        ----------
        seed : int
            Random seed of the run.
        name : str
            Name of the sample.
        epoch : int
            Number of the epoch, or of the copy.
        size : int
            The crop's side, px.

        Returns
        -------
        AugmentationDraw
        """
        u = keyed_generator(seed, name, epoch, "augmentation").random(_N_PLACES).tolist()

        def within(option: str, offset: int = 0) -> float:
            low, high = getattr(self, option)
            value: float = low + (high - low) * u[_PLACES[option] + offset]
            return value

        occluders: tuple[Occluder, ...] = ()
        if u[_PLACES["occlusion"]] < self.occlusion:
            n = _whole(self.n_occluders, u[_PLACES["n_occluders"]])
            places = range(_PLACES["occluders"], _END_OF_OCCLUDERS, _PER_OCCLUDER)
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
            yaw_deg=within("yaw_deg"),
            pitch_deg=within("pitch_deg"),
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
        """``"none"``; ``"prnet"``: the augmentation of the PRNet paper (Feng et al., ECCV 2018, section 3.4); or
        ``"300wlp"``: faces turned out of the plane, as 300W-LP's were, which only builds can do.

        Raises
        ------
        InputError
            If there is no such preset.
        """
        return PRESETS[choice(name, "augmentation: preset", sorted(PRESETS))]

    def to_plain(self) -> dict[str, Any]:
        """All fields by name, in alphabetical order, with lists for tuples, as JSON holds them. Fields of turns are
        left out if there are none."""
        values = sorted(
            (name, value) for name, value in dataclasses.asdict(self).items() if self.turns or name not in _TURNS
        )
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any], base: "Augmentation | None" = None) -> "Augmentation":
        """The augmentation that `to_plain` gave, or that a user's JSON object describes. Arguments and errors are those
        of `from_json`."""
        if not isinstance(values, Mapping):
            raise InputError(
                f'augmentation: {shown(values)}, expected a JSON object like {{"preset": "prnet", "flip": 0.5}}'
            )
        if base is not None:
            check_instance(base, "base", Augmentation, "Augmentation.preset('prnet')")
        fields: dict[str, Any] = dict(values)
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
            A JSON object with any of the fields, and optionally ``"preset"``, from which the other fields are taken.
        base : Augmentation, optional
            The augmentation that the other fields are taken from if there is no ``"preset"``; by default one that
            changes nothing.

        Returns
        -------
        Augmentation

        Raises
        ------
        InputError
            If the text is not such an object, a field is unknown or a value out of range.
        """
        if not isinstance(text, str):
            raise InputError(f"augmentation: {shown(text)}, expected the text of a JSON object")
        try:
            values = parse_json(text)
        except ValueError as error:
            raise InputError(f"augmentation: not JSON ({error}), expected an object of ranges") from error
        return cls.from_plain(values, base)


def _is_range(numbers: Any, low: float, high: float, *, whole: bool) -> bool:
    if not isinstance(numbers, tuple) or len(numbers) != 2:
        return False
    kinds = (int,) if whole else (int, float)
    if any(isinstance(n, bool) or not isinstance(n, kinds) for n in numbers):
        return False
    inside: bool = low <= numbers[0] <= numbers[1] <= high
    return inside


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
    "300wlp": Augmentation(yaw_deg=(-60.0, 60.0), pitch_deg=(-15.0, 15.0)),
}
"""Presets by name. None of them flips, because flipping is exact for some models only."""
