"""Pictures as files: decoding whatever kind a file is of, encoding PNG, writing pictures by their names.

JPEG files are decoded by `uvgen.images.jpeg`, BMP by `uvgen.images.bmp`, all others by Pillow, which is imported on
first use.
"""

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_bytes
from uvgen.errors import InputError
from uvgen.images.bmp import bmp_size, decode_bmp
from uvgen.images.jpeg import check_jpeg, decode_whole_jpeg
from uvgen.images.png_rows import CHANNELS, check_chunks, check_whole, color_that_is_clear, without_texts
from uvgen.storage.files import replaced_on_success
from uvgen.storage.kinds import describe_bytes
from uvgen.storage.reading import check_density, check_picture_size, max_pixels

SUFFIXES = (".png", ".jpg", ".jpeg")
"""Endings of the names of pictures that `save_picture` writes."""

_IMAGES, _LOSSLESS = ("JPEG", "PNG", "BMP", "WEBP"), ("PNG", "BMP")
_NAMES = {"WEBP": "WebP"}  # if `describe_bytes` writes a format otherwise than Pillow
_DEFLATED = 1032  # bytes that deflate makes of one at most
_BAND_PIXELS = 1 << 18  # that are converted, or laid on black, at a time
_PILLOW = threading.Lock()  # around changes of its global bound


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """RGB image of a file's bytes, whatever its name says.

    Parameters
    ----------
    data : bytes
        JPEG, PNG, BMP or WebP; gray, palette and CMYK images are converted. What is transparent is laid on black.

    Returns
    -------
    (h, w, 3) uint8
        Pixels as they are stored; see `exif_orientation`.

    Raises
    ------
    ValueError
        If it is of another kind, animated, transparent all over, has more than 8 bits per channel, or a JPEG is
        damaged. A few stray bytes before a JPEG's end marker are no damage: every pixel is there.
    Exception
        Pillow's decoders raise a dozen kinds on damaged files, not all of them documented.
    """
    if data.startswith(b"\xff\xd8\xff"):
        if check_jpeg(data)[2] not in ("CMYK", "YCCK"):
            return decode_whole_jpeg(data, "RGB")
        decode_whole_jpeg(data, "CMYK")  # Pillow converts the colors, but does not tell where it finds damage
    if (bmp := _decoded_bmp(data)) is not None:
        return bmp if bmp.shape[2] == 3 else _on_black(bmp.shape[0], bmp.shape[1], lambda first, stop: bmp[first:stop])
    with _opened(data, _IMAGES) as image:
        image.load()
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            return _on_black(image.height, image.width, lambda first, stop: _rows(image, "RGBA", first, stop))
        rgb = np.empty((image.height, image.width, 3), np.uint8)
        for first, stop in _bands(*rgb.shape[:2]):
            rgb[first:stop] = _rows(image, "RGB", first, stop)
        return rgb


def _bands(height: int, width: int) -> Iterator[tuple[int, int]]:
    """The rows of a picture in parts: to convert all at once would take several times the memory."""
    step = max(_BAND_PIXELS // max(width, 1), 1)
    return ((first, min(first + step, height)) for first in range(0, height, step))


def _rows(image: Any, mode: str, first: int, stop: int) -> NDArray[np.uint8]:
    """Rows of a Pillow image that is loaded, in another mode."""
    part = image if stop - first == image.height else image.crop((0, first, image.width, stop))
    return np.asarray(part if part.mode == mode else part.convert(mode))


def _on_black(height: int, width: int, rows_of: Callable[[int, int], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """RGBA (height, width, 4) laid on black; ValueError if nothing is to be seen. `rows_of` gives some rows of it."""
    on_black, seen = np.empty((height, width, 3), np.uint8), False
    for first, stop in _bands(height, width):
        rows = rows_of(first, stop)
        seen = seen or bool(rows[..., 3].any())
        on_black[first:stop] = (rows[..., :3].astype(np.uint16) * rows[..., 3:] + 127) // 255
    if not seen:  # black, and labels for it
        raise ValueError("transparent all over, expected a picture")
    return on_black


def _decoded_bmp(data: bytes) -> NDArray[np.uint8] | None:
    """RGB or RGBA of a BMP; None of another kind."""
    if describe_bytes(data) != "a BMP image" or (size := bmp_size(data)) is None:
        return None
    check_picture_size(*size)
    check_density(*size, len(data), 8 * _DEFLATED)
    return decode_bmp(data)


@contextmanager
def _opened(data: bytes, formats: tuple[str, ...]) -> Iterator[Any]:
    """A file's bytes opened by Pillow as one of a few formats, with 8 bits per channel or fewer; ValueError if not.

    Other formats are not even tried: some of Pillow's readers start other programs.
    """
    from PIL import Image, UnidentifiedImageError

    kind = describe_bytes(data)
    if kind == "a PNG image" and data[24:25] == b"\x10":  # of which Pillow drops the lower half without a word
        raise ValueError("16 bits per channel, expected 8 bits per channel")
    if kind == "a PNG image":
        check_chunks(data)
        data = without_texts(data)
    if (size := _stated_size(data, kind)) is not None:
        check_picture_size(*size)
        check_density(*size, len(data), _most_pixels_per_byte(data, kind))
    try:
        with pillow_without_bound():
            image = Image.open(io.BytesIO(data), formats=[name for name in formats if name != "BMP"])
            check_picture_size(*image.size)
        if size is not None and image.size != size:  # as where a PNG has two headers
            raise ValueError(f"{image.width} × {image.height} pixels, expected {size[0]} × {size[1]} as it begins")
    except UnidentifiedImageError as error:
        expected = " or ".join(formats)
        damaged = ", damaged" * any(kind == f"a {_NAMES.get(name, name)} image" for name in formats)
        raise ValueError(f"{kind}{damaged}, expected {expected}") from error
    with image:
        if image.mode[0] in "IF":
            raise ValueError(f"{image.mode} pixels, expected 8 bits per channel")
        if getattr(image, "is_animated", False) and image.format != "MPO":
            raise ValueError("an animation, expected one picture")
        if image.format == "PNG":
            with pillow_without_bound():
                image.load()
                check_whole(data, image)
            if "transparency" in image.info:
                image.info["transparency"] = color_that_is_clear(data, image.info["transparency"])
        yield image


def _most_pixels_per_byte(data: bytes, kind: str) -> int:
    """Pixels that a file may hold in each of its bytes."""
    if kind == "a WebP image":
        return 1 << 28  # a single color takes nearly nothing there
    bits = max(data[24], 1) * CHANNELS.get(data[25], 1) if kind == "a PNG image" and len(data) > 25 else 1
    return -(-8 * _DEFLATED // bits)


def _stated_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """Width and height in the first bytes of a PNG or WebP; Pillow makes a WebP's pixels on opening it."""
    if kind == "a PNG image" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if kind == "a WebP image" and len(data) >= 30:
        if data[12:16] == b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        if data[12:16] == b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


@contextmanager
def pillow_without_bound() -> Iterator[None]:
    """Pillow's bound of 179 million pixels out of the way if a larger one was asked for; no warnings."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Pillow passes over: they would name lines of its code, not the file
        if max_pixels() <= 2 * (Image.MAX_IMAGE_PIXELS or 0):
            yield
            return
        with _PILLOW:
            before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels()
            try:
                yield
            finally:
                Image.MAX_IMAGE_PIXELS = before


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG of a gray (h, w) or RGB (h, w, 3) uint8 image, as small as Pillow makes it."""
    from PIL import Image

    check_bytes(image, "image", ("h", "w"), ("h", "w", 3))
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def decode_gray(data: bytes) -> NDArray[np.uint8]:
    """Gray levels of a picture in which they are data, such as a mask.

    Parameters
    ----------
    data : bytes
        PNG or BMP of at most 8 bits: gray, or of a palette or RGB in which all colors are gray. Not JPEG, which
        changes values.

    Returns
    -------
    (h, w) uint8

    Raises
    ------
    ValueError
        If it is of another kind, has 16 bits, colors, or transparent pixels.
    Exception
        As for `decode_image`.
    """
    if (bmp := _decoded_bmp(data)) is not None:
        return _gray(bmp.shape[0], bmp.shape[1], lambda first, stop: bmp[first:stop])
    with _opened(data, _LOSSLESS) as image:
        if image.mode == "L" and "transparency" not in image.info:
            return np.array(image)
        image.load()
        return _gray(image.height, image.width, lambda first, stop: _rows(image, "RGBA", first, stop))


def _gray(height: int, width: int, rows_of: Callable[[int, int], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Levels of RGB or RGBA; ValueError if they are not gray or not opaque. `rows_of` as for `_on_black`."""
    gray = np.empty((height, width), np.uint8)
    for first, stop in _bands(height, width):
        rows = rows_of(first, stop)
        if (rows[..., 3:] != 255).any():
            raise ValueError("has transparent pixels, expected gray without transparency")
        if (rows[..., 1:3] != rows[..., :1]).any():
            raise ValueError("has colors, expected gray")
        gray[first:stop] = rows[..., 0]
    return gray


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
        If the name ends otherwise, or the picture has another dtype or shape.
    DatasetError
        If the folder cannot be written.
    """
    check_picture_name(path)
    check_bytes(picture, "picture", ("h", "w", 3))
    from PIL import Image

    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    with replaced_on_success(path) as temporary:
        # A PNG of the usual level 6 is a sixth smaller and takes three times as long: half of what a preview takes.
        Image.fromarray(picture).save(temporary, kind, quality=92, compress_level=2)
