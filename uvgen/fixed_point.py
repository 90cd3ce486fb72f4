"""16-bit codes for real values, as position maps are stored."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


def decode(array: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    """Real values, float32, of fixed-point codes; other arrays as they are.

    Parameters
    ----------
    array : ndarray
        As stored.
    attributes : mapping
        The dataset's attributes; ``scale_factor`` and ``add_offset`` mark fixed-point codes.

    Returns
    -------
    ndarray
        ``codes * scale_factor + add_offset``, or `array` itself.
    """
    if "scale_factor" not in attributes:
        return array
    values = array.astype(np.float32)  # three plain passes: NumPy converts and multiplies slower in one
    values *= np.float32(attributes["scale_factor"])
    values += np.float32(attributes["add_offset"])
    return values


class FixedPoint(NamedTuple):
    """16-bit codes for real values: ``value = code * scale + offset``."""

    scale: float
    offset: float

    @classmethod
    def for_crop(cls, size: int) -> "FixedPoint":
        """Codes for crops `size` px wide: -1.5 to 2.5 crop widths, in steps of 1/64 px at 256."""
        return cls(size / 2**14, -1.5 * size)
