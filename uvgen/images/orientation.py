"""Which way up a picture stands: the orientation that EXIF data state, and turning pixels by it."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray

from uvgen.images.codecs import pillow_without_bound
from uvgen.images.markers import states_exif

_ORIENTATION = 0x0112  # EXIF's tag


def exif_orientation(data: bytes) -> int:
    """The EXIF orientation of an image file's bytes, 1 to 8; 1, which is upright, if it states no valid one."""
    if not _states_exif(data):
        return 1  # nearly all images of data sets: Pillow need not look
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged EXIF data, which decoders pass over
        try:
            kinds = ["JPEG", "PNG", "WEBP"]
            with pillow_without_bound(), Image.open(io.BytesIO(data), formats=kinds) as image:
                value = image.getexif().get(_ORIENTATION, 1)
        except MemoryError:
            raise
        except Exception:
            return 1
    return int(value) if value in range(1, 9) else 1


def _states_exif(data: bytes) -> bool:
    """Whether a JPEG has an Exif segment before its pixels; other formats may have EXIF data anywhere."""
    if data[:2] != b"\xff\xd8":
        return (data[:4] == b"\x89PNG" and b"eXIf" in data) or (data[:4] == b"RIFF" and b"EXIF" in data)
    return states_exif(data)


def oriented(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """An image (h, w, c) turned and mirrored as an EXIF orientation of 1 to 8 says, so that it stands upright."""
    if orientation >= 5:  # rows and columns exchanged
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
