"""16-bit codes for pixel coordinates: how position maps are stored, and everything that follows from it."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import float64_array, number_in, shown
from uvgen.errors import InputError, SampleError

MAX_CODE = 65535
"""The largest code; the smallest is 0."""


class FixedPoint(NamedTuple):
    """Codes for real values: ``value = code * scale + offset``.

    Attributes
    ----------
    scale, offset : float
        In the unit of the values, px.
    """

    scale: float
    offset: float

    @classmethod
    def for_crop(cls, size: int) -> "FixedPoint":
        """Codes for crops `size` px wide: -1.5 to 2.5 crop widths, in steps of 1/64 px at 256."""
        size = number_in(size, "size", 1)
        return cls(size / 2**14, -1.5 * size)

    @classmethod
    def for_range(cls, low: float, high: float) -> "FixedPoint":
        """Codes that reach from `low` to `high`; InputError unless these are finite numbers in this order."""
        low = number_in(low, "low", -math.inf)
        high = number_in(high, "high", low)
        if not high - low < math.inf:
            raise InputError(f"low, high: {low} to {high}, expected a range whose width is finite")
        return cls(max((high - low) / MAX_CODE, 1e-6), low)

    @classmethod
    def of_attributes(cls, attributes: Mapping[str, Any]) -> "FixedPoint | None":
        """The codes that a stored field's attributes describe; None if it holds the values themselves."""
        if "scale_factor" not in attributes:
            return None
        return cls(float(attributes["scale_factor"]), float(attributes["add_offset"]))

    @property
    def attributes(self) -> dict[str, float]:
        """``scale_factor`` and ``add_offset``, as the CF conventions name them."""
        return {"scale_factor": self.scale, "add_offset": self.offset}

    @property
    def shift(self) -> float:
        """``value / scale + shift``, cut to a whole number, is the code nearest to a value."""
        return 0.5 - self.offset / self.scale

    def after(self, affine: NDArray[np.float64]) -> NDArray[np.float64]:
        """The affine map (3, 4) to codes, of one to values; its results are to be truncated to integers."""
        result = float64_array(affine, "affine", (3, 4)) / self.scale
        result[:, 3] += self.shift
        return result

    def before(self, affine: NDArray[np.float64]) -> NDArray[np.float64]:
        """The affine map (3, 4) of points as one of their codes."""
        affine = float64_array(affine, "affine", (3, 4))
        result = affine.copy()
        result[:, 3] += affine[:, :3].sum(axis=1) * self.offset
        result[:, :3] *= self.scale
        return result

    def decode(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """The values, float32, of codes of any shape; InputError unless these are an array of real numbers, no bool."""
        if not isinstance(codes, np.ndarray) or codes.dtype.kind not in "fiu":
            raise InputError(f"codes: {shown(codes)}, expected a NumPy array of integers")
        values = codes.astype(np.float32)  # three plain passes: NumPy converts and multiplies slower in one
        values *= np.float32(self.scale)
        values += np.float32(self.offset)
        return values

    def encode(self, values: NDArray[np.floating[Any]]) -> tuple[NDArray[np.uint16], bool]:
        """The nearest codes of values of any shape, and whether all have one; others are cut."""
        codes = np.floor(values.astype(np.float64) / self.scale + self.shift)
        in_range = bool(((codes >= 0) & (codes <= MAX_CODE)).all())  # NaN is not
        return np.clip(np.nan_to_num(codes), 0, MAX_CODE).astype(np.uint16), in_range

    def range_error(self, what: str) -> SampleError:
        """The error for a map with a value that no code stands for; `what` names the map."""
        low, high = self.offset, self.offset + MAX_CODE * self.scale
        return SampleError(
            f"{what} leaves {low:.0f} to {high:.0f} px, the range of uint16; check the pose and the augmentation's "
            "ranges, or store maps as float32"
        )


def decode(array: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    """Real values of a stored field.

    Parameters
    ----------
    array : ndarray
        As stored.
    attributes : mapping
        The field's attributes; ``scale_factor`` and ``add_offset`` mark fixed-point codes.

    Returns
    -------
    ndarray
        float32 values of fixed-point codes; other arrays as they are.

    Raises
    ------
    InputError
        If codes are no NumPy array of numbers.
    """
    codes = FixedPoint.of_attributes(attributes)
    if codes is None:
        return array
    return codes.decode(np.asarray(array) if isinstance(array, np.generic) else array)  # one number of a shard
