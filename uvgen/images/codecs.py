"""JPEG and PNG: the one place that encodes and decodes pictures."""

import numpy as np
from numpy.typing import NDArray

JPEG_QUALITY = 95
"""Of crops that are written as JPEG, where nothing else is said."""


def encode_crop(crop: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG of a crop (r, r, 3) uint8 RGB; colours are not subsampled."""
    import simplejpeg

    return simplejpeg.encode_jpeg(np.ascontiguousarray(crop), quality, colorspace="RGB", colorsubsampling="444")
