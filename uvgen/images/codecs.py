"""Pictures as JPEG and PNG: the one place that encodes and decodes them.

JPEG goes through simplejpeg (libjpeg-turbo), everything else through Pillow; both are imported on first use.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.storage.files import replaced_on_success

JPEG_QUALITY = 95
"""Default quality of crops that are written as JPEG."""

_ORIENTATION = 0x0112  # EXIF's tag

SUFFIXES = (".png", ".jpg", ".jpeg")
"""Endings of the names of pictures that `save_picture` writes."""


def encode_jpeg(image: NDArray[np.uint8], quality: int, *, subsampling: str = "444") -> bytes:
    """JPEG of an RGB image.

    Parameters
    ----------
    image : (h, w, 3) uint8
        RGB.
    quality : int
        1 to 100.
    subsampling : {"444", "420"}
        Whether the colors keep their resolution or are halved, as cameras do.

    Returns
    -------
    bytes
    """
    import simplejpeg

    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, colorspace="RGB", colorsubsampling=subsampling)


def decode_jpeg(
    data: Any, out: NDArray[np.uint8] | None = None, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """RGB image (h, w, 3) uint8 of a JPEG's bytes, in `out` where it is given.

    ValueError where it is damaged, or is not of `size` (h, w), which its header says before any memory is taken.
    """
    import simplejpeg

    if size is not None and (found := simplejpeg.decode_jpeg_header(data)[:2]) != size:
        raise ValueError(f"{found[0]} x {found[1]} px, expected {size[0]} x {size[1]}")
    return simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=out)


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """RGB image of a file's bytes, whatever its format.

    Parameters
    ----------
    data : bytes
        JPEG, PNG, or what else Pillow reads; gray, palette and CMYK images are converted.

    Returns
    -------
    (h, w, 3) uint8

    Raises
    ------
    ValueError
        Where it has more than 8 bits per channel.
    Exception
        Pillow's decoders raise a dozen kinds on damaged files, not all of them documented.
    """
    import simplejpeg

    if simplejpeg.is_jpeg(data) and simplejpeg.decode_jpeg_header(data)[2] != "CMYK":
        return decode_jpeg(data)
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.mode[0] in "IF":
            raise ValueError(f"{image.mode} pixels, expected 8 bits a channel")
        return np.asarray(image.convert("RGB"))


def exif_orientation(data: bytes) -> int:
    """The EXIF orientation of an image file's bytes, 1 to 8; 1, which is upright, where it states no valid one."""
    if not _states_exif(data):
        return 1  # nearly all images of data sets: Pillow need not look
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged EXIF data, which decoders pass over
        try:
            with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
                value = image.getexif().get(_ORIENTATION, 1)
        except Exception:
            return 1
    return int(value) if value in range(1, 9) else 1


def _states_exif(data: bytes) -> bool:
    """Whether a JPEG has an Exif segment before its pixels; other formats may have EXIF data anywhere."""
    if data[:2] != b"\xff\xd8":
        return data[:8] == b"\x89PNG\r\n\x1a\n" and b"eXIf" in data
    place = 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":  # up to the start of scan
        if data[place + 1 : place + 2] == b"\xff":  # fill bytes
            place += 1
            continue
        if data[place + 1 : place + 2] == b"\xe1" and data[place + 4 : place + 10] == b"Exif\0\0":
            return True
        place += 2 + max(int.from_bytes(data[place + 2 : place + 4], "big"), 2)
    return False


def oriented(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """An image (h, w, c) turned and mirrored as an EXIF orientation of 1 to 8 says, so that it stands upright."""
    if orientation >= 5:  # rows and columns exchanged
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG of a gray (h, w) or RGB (h, w, 3) uint8 image, as small as Pillow makes it."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def decode_gray(data: bytes) -> NDArray[np.uint8]:
    """Gray image (h, w) uint8 of a file's bytes; OSError or ValueError where it is none."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L"))


def check_picture_name(path: Path) -> None:
    """Raise InputError unless a name ends in one of `SUFFIXES`."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}")


def save_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a picture as PNG or JPEG, by the name's ending, through a temporary name.

    Parameters
    ----------
    picture : (h, w, 3) uint8
        RGB.
    path : Path
        Ends in one of `SUFFIXES`; an existing file is replaced.

    Raises
    ------
    InputError
        Where the name ends otherwise.
    DatasetError
        Where the folder cannot be written.
    """
    check_picture_name(path)
    from PIL import Image

    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    with replaced_on_success(path) as temporary:
        Image.fromarray(picture).save(temporary, kind, quality=92)
