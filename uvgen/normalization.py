"""Position maps and images as networks take them, and back: affine maps of their values, by the field's names.

``value = normalized * scale + offset``, in px for maps and gray levels (0 to 255) for images. NumPy arrays have their
channels last (..., 3), PyTorch's tensors first (..., 3, height, width), as everywhere in uvgen; PyTorch is not
imported. Nothing is ever clipped: a value outside of a normalization's usual range stays outside of it, one
that is not finite stays so.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from uvgen.checks import (
    check_array,
    check_several,
    check_tensor,
    choice,
    finite64_array,
    float64_array,
    is_tensor,
    number_in,
    shown,
    widened,
)
from uvgen.errors import InputError
from uvgen.fixed_point import MAX_CODE, FixedPoint

MAP_NORMALIZATIONS = ("size", "prnet", "reshow", "unit", None)
"""Of position maps, see `Normalization.of_maps`."""

MAP_SCALES = ("px", *(name for name in MAP_NORMALIZATIONS if name is not None))
"""Of maps that come from a network or a file, by name: "px" is none; see `Normalization.of_scale`."""

DIVISORS = (255.0, 256.0, 280.0, 281.6)
"""What programs divide maps by whatever the crop's size: PRNet_PyTorch, L-PRNet, reshow's, PRNet."""

IMAGE_NORMALIZATIONS = ("unit", "imagenet", "standardize", None)
"""Of images, see `Normalization.of_image`."""

AUTO = "auto"
"""Of images: "unit", or None if maps stay in px."""

_SHARES = {"size": 1.0, "prnet": 1.1, "reshow": 280 / 256}  # of the crop's side, that maps are divided by
_IMAGENET = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # torchvision's mean and deviation
_RESHOW_VARIANCE = 0.001  # what reshow/PRNet-PyTorch adds to the variance of images of 0 to 1
_GRAY = 255.0


@dataclass(frozen=True, slots=True)
class Normalization:
    """An affine map of values, the same for all channels or one per channel: ``value = normalized * scale + offset``.

    Attributes
    ----------
    scale, offset : tuple of float
        One number, or one for each of three channels, in the unit of the values: px, or gray levels of 0 to 255.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) not in (1, 3):
                raise InputError(f"{name}: {shown(values)}, expected a tuple of 1 or 3 numbers")
            low = 0 if name == "scale" else -math.inf
            object.__setattr__(self, name, tuple(number_in(value, name, low) for value in values))
        if not min(self.scale) > 0:
            raise InputError(f"scale: {shown(self.scale)}, expected numbers above 0")

    @classmethod
    def of_maps(cls, name: "str | Normalization | None", crop_size: int) -> "Normalization":
        """The normalization of position maps of crops.

        Parameters
        ----------
        name : {"size", "prnet", "reshow", "unit", None} or Normalization
            ``"size"``: px / R, R being the crop's side. ``"prnet"``: px / (1.1 R), as PRNet (YadiraF). ``"reshow"``:
            px / 280 for crops of 256 px, in proportion for others, as reshow/PRNet-PyTorch. ``"unit"``: each axis from
            -1.5 R ... 2.5 R, all that uint16 maps can hold, onto 0 ... 1. None: px. A Normalization: itself.
        crop_size : int
            R, px.

        Returns
        -------
        Normalization

        Raises
        ------
        InputError
            If the name is unknown, or the size is not a number of pixels.
        """
        if isinstance(name, Normalization):
            return name
        if isinstance(name, str) and name in ("imagenet", "standardize"):
            raise InputError(f"normalize: {name!r}, expected one of maps; give image_normalize={name!r}")
        choice(name, "normalize", MAP_NORMALIZATIONS)
        number_in(crop_size, "crop_size", 1)
        if name is None:
            return cls((1.0,), (0.0,))
        if name == "unit":
            codes = FixedPoint.for_crop(crop_size)
            return cls((codes.scale * (MAX_CODE + 1),), (codes.offset,))
        return cls((_SHARES[name] * crop_size,), (0.0,))

    @classmethod
    def of_scale(cls, scale: str | float, crop_size: int) -> "Normalization":
        """The normalization of maps that come from a network or a file.

        Parameters
        ----------
        scale : {"px", "size", "prnet", "reshow", "unit"} or float
            "px": none. A name: as `of_maps` has it. A number: what they are to be multiplied by, which is what they
            were divided by.
        crop_size : int
            px.

        Returns
        -------
        Normalization

        Raises
        ------
        InputError
            If the name is unknown, or the number is not above 0.
        """
        check_scale(scale)
        if not isinstance(scale, str):
            return cls((float(scale),), (0.0,))
        return cls.of_maps(None if scale == "px" else scale, crop_size)

    @classmethod
    def covering(cls, maps: Iterable[ArrayLike]) -> "Normalization":
        """The tightest normalization that takes all of some position maps, px, into [0, 1], each axis separately.

        Parameters
        ----------
        maps : iterable of (..., 3) arrays
            Each is read once: ``(sample["posmap"] for sample in reader)`` reads a whole set.

        Returns
        -------
        Normalization
            With three numbers each. Keep it with the network: what is normalized later needs the same.

        Raises
        ------
        InputError
            If there is no map, a map is not finite, or an axis has no extent.
        """
        check_several(maps, "maps", "position maps, such as those of samples")
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for position_map in maps:
            values = float64_array(position_map, "maps", (..., 3)).reshape(-1, 3)
            if not len(values):
                raise InputError("maps: one of no texels, expected one texel or more")
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
        if not (np.isfinite(low) & np.isfinite(high) & (high > low)).all():
            raise InputError(f"maps: of {low.tolist()} to {high.tolist()} px, expected finite extents along x, y and z")
        return cls(tuple((high - low).tolist()), tuple(low.tolist()))

    @classmethod
    def of_image(cls, name: str | None, image: Any) -> "Normalization":
        """The normalization of one image.

        Parameters
        ----------
        name : {"unit", "imagenet", "standardize", None}
            ``"unit"``: / 255. ``"imagenet"``: / 255, minus ImageNet's mean, by its deviation, channel by channel, as
            networks of torchvision expect. ``"standardize"``: / 255, then each channel minus its mean over the image,
            divided by √(variance + 0.001), as reshow/PRNet-PyTorch. None: 0 to 255.
        image : (h, w, 3) array or (3, h, w) tensor of 0 to 255
            Only "standardize" uses it.

        Returns
        -------
        Normalization

        Raises
        ------
        InputError
            If the name is unknown, or the image has the wrong shape.
        """
        choice(name, "image_normalize", IMAGE_NORMALIZATIONS)
        if name == "standardize":
            if is_tensor(image):
                check_tensor(image, "image")
                check_array(image, "image", (3, -1, -1))
                channels = image.double().flatten(1)
                mean, variance = channels.mean(1), channels.var(1, correction=0)
            else:
                channels = finite64_array(image, "image", (-1, -1, 3)).reshape(-1, 3)
                mean, variance = channels.mean(axis=0), channels.var(axis=0)
            return cls(tuple(map(standard_deviation, variance.tolist())), tuple(mean.tolist()))
        if name == "imagenet":
            return cls(tuple(_GRAY * d for d in _IMAGENET[1]), tuple(_GRAY * m for m in _IMAGENET[0]))
        return cls((1.0 if name is None else _GRAY,), (0.0,))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample's scale and offset: () or (3,)."""
        return () if len(self.scale) == len(self.offset) == 1 else (3,)

    def normalize(self, values: Any) -> Any:
        """Normalized values.

        Parameters
        ----------
        values : (..., 3) array or (..., 3, h, w) tensor of real numbers
            px, or gray levels of 0 to 255.

        Returns
        -------
        array or tensor
            float32, or float64 if the values are; new memory.
        """
        values, scale, offset = self._beside(values)
        return (values - offset) / scale

    def denormalize(self, values: Any) -> Any:
        """What `normalize` was given, to within rounding: px, or gray levels; of a network's output too."""
        values, scale, offset = self._beside(values)
        return values * scale + offset

    def _beside(self, values: Any) -> tuple[Any, Any, Any]:
        """Values in a type to calculate in, and scale and offset that broadcast against them."""
        values = _floats(values, "values")
        found = []
        for numbers in (self.scale, self.offset):
            if is_tensor(values):
                column = values.new_tensor(numbers)
                found.append(column if len(numbers) == 1 else column.reshape(3, 1, 1))
            else:
                found.append(np.asarray(numbers, values.dtype))
        return values, *found


def check_scale(scale: str | float) -> None:
    """Raise InputError if a scale is none that `Normalization.of_scale` knows."""
    if isinstance(scale, str):
        choice(scale, "scale", MAP_SCALES)
    elif not number_in(scale, "scale", 0, 1e6) > 0:
        raise InputError("scale: 0, expected a number above 0")


def standard_deviation(variance: Any) -> Any:
    """What reshow divides a channel of this variance by, both in gray levels: a number, an array or a tensor."""
    return _GRAY * (variance / _GRAY**2 + _RESHOW_VARIANCE) ** 0.5


def image_choice(image_normalize: Any, normalize: Any) -> str | None:
    """The images' normalization that is meant beside that of the maps; InputError if it is unknown."""
    if isinstance(image_normalize, str) and image_normalize == AUTO:
        return None if normalize is None else "unit"
    choice(image_normalize, "image_normalize", (AUTO, *IMAGE_NORMALIZATIONS))
    return None if image_normalize is None else str(image_normalize)


def denormalize(values: Any, scale: Any, offset: Any) -> Any:
    """Convert normalized maps or images to px or gray levels: ``values * scale + offset``. Takes arrays and tensors.

    Parameters
    ----------
    values : (..., 3) array or (..., 3, h, w) tensor of real numbers
        One sample's map or image, or a batch: also what a network predicted.
    scale, offset : array, tensor or number
        The fields ``posmap_scale`` and ``posmap_offset``, or ``image_scale`` and ``image_offset``, of the same sample
        or batch: one number per sample, or one for each of its channels.

    Returns
    -------
    array or tensor
        float32, or float64 where the values are, where `values` lie.

    Raises
    ------
    InputError
        If shapes do not agree, or something is not a real number.

    Examples
    --------
    >>> px = uvgen.denormalize(predicted, batch["posmap_scale"], batch["posmap_offset"])
    """
    values = _floats(values, "values")
    tensor = is_tensor(values)
    n_axes = values.ndim
    found = []
    for name, numbers in (("scale", scale), ("offset", offset)):
        if tensor:
            if is_tensor(numbers):
                check_tensor(numbers, name)
            else:
                numbers = values.new_tensor(float64_array(numbers, name).tolist())
            numbers = numbers.to(device=values.device, dtype=values.dtype)
        else:
            numbers = float64_array(numbers, name).astype(values.dtype)
        lead = n_axes - 3
        own, shape = numbers.ndim - lead, tuple(values.shape)
        fits = numbers.ndim == 0 or (own in (0, 1) and tuple(numbers.shape[:lead]) == shape[:lead])
        if lead < 0 or not fits or (own == 1 and numbers.ndim and numbers.shape[-1] != 3):
            raise InputError(
                f"{name}: shape {tuple(numbers.shape)}, expected one number per sample or channel of values {shape}"
            )
        if numbers.ndim == 0:
            found.append(numbers)
        elif own == 1:
            found.append(numbers.reshape(*numbers.shape, 1, 1) if tensor else numbers.reshape(*shape[:lead], 1, 1, 3))
        else:
            found.append(numbers.reshape(*numbers.shape, 1, 1, 1))
    return values * found[0] + found[1]


def _floats(values: Any, name: str) -> Any:
    """An array or tensor with three channels where they belong, as float32 or float64."""
    if is_tensor(values):
        check_tensor(values, name)
        check_array(values, name, (..., 3, "h", "w"))
        return values.float() if not values.is_floating_point() else widened(values)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        raise InputError(f"{name}: {shown(values)}, expected a NumPy array or a PyTorch tensor of real numbers")
    check_array(values, name, (..., 3))
    wide = values.dtype.kind == "f" and values.dtype.itemsize >= 8  # in any byte order; float64 at most is kept
    with np.errstate(over="ignore"):
        return values.astype(np.float64 if wide else np.float32, copy=False)
