"""Whether an image is the one that a sample's crop was taken from: two of one name and size are easily mixed up."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.datasets.config import BuildConfig
from uvgen.errors import SampleError
from uvgen.images.jpeg import decode_jpeg, encode_jpeg
from uvgen.images.warp import warp_image

_UNLIKE = 12.0  # gray levels between a crop and what the image gives; those of other faces are some 50


def check_cropped_from(
    path: Path,
    image: NDArray[np.uint8],
    similarity: ArrayLike,
    crop: NDArray[np.uint8],
    config: BuildConfig,
    *,
    reduced: int = 1,
) -> None:
    """Raise SampleError unless a crop of the image is the stored one.

    Parameters
    ----------
    path : Path
        The image's file, for the message.
    image : (h, w, 3) uint8
        The image; means of squares of `reduced` px.
    similarity : (3, 3) float
        Image → crop.
    crop : (r, r, 3) uint8
        As the set stores it, without an augmentation.
    config : BuildConfig
        The set's: a crop that was stored as JPEG is compared with one that loses as much.
    reduced : int
        See `uvgen.warp_image`.
    """
    again = warp_image(image, similarity, len(crop), filter=config.filter, reduced=reduced)
    if config.image_codec == "jpeg":
        again = decode_jpeg(encode_jpeg(again, config.jpeg_quality))
    off = float(np.abs(again.astype(np.int16) - crop).mean())
    if off > _UNLIKE:
        raise SampleError(f"{path}: not the image of the set's crop ({off:.0f} gray levels off on average)")
