"""Pictures as JPEG and PNG: the one place that encodes and decodes them.

JPEG goes through simplejpeg (libjpeg-turbo), everything else through Pillow; both are imported on first use.
"""

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_bytes
from uvgen.errors import InputError
from uvgen.images.markers import n_scans
from uvgen.images.png_rows import check_whole
from uvgen.storage.files import replaced_on_success
from uvgen.storage.kinds import describe_bytes
from uvgen.storage.reading import check_picture_size, max_pixels
from uvgen.wording import count

JPEG_QUALITY = 95
"""Default quality of crops that are written as JPEG."""

SUFFIXES = (".png", ".jpg", ".jpeg")
"""Endings of the names of pictures that `save_picture` writes."""

_IMAGES, _LOSSLESS = ("JPEG", "PNG", "BMP", "WEBP"), ("PNG", "BMP")
_NAMES = {"WEBP": "WebP"}  # if `describe_bytes` writes a format otherwise than Pillow
_FREE_PIXELS = 1 << 20  # that any file may state
_JPEG_PIXELS_PER_BYTE = 4096  # 8 times what it can hold with Huffman codes: a bit per block of 8 × 8 pixels
_MOST_SCANS = 100  # of a JPEG; progressive ones have 10 or so
_SCANS_OF_LARGEST = 12  # of a picture of `max_pixels`, more of smaller ones: 3 ns per pixel and scan, 4 s in all
_DEFLATED = 1032  # bytes that deflate makes of one at most
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by its type of color
_TRANSPARENT_ROWS = 1 << 18  # pixels that are laid on black at a time
_PILLOW = threading.Lock()  # around changes of its global bound
_MOST_STRAY = 16  # bytes before a JPEG's end marker
_READ_AHEAD = 8  # bytes that the decoder does not count among those, since it has read them before
_LEAST_REDUCED = 1 << 20  # pixels; smaller images take little time, and most data sets consist of those
_PIXELS_OF_TRIES = 1 << 29  # times scans, over all decodings without stray bytes


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

    Raises
    ------
    InputError
        Another dtype or shape.
    """
    import simplejpeg

    check_bytes(image, "image", ("h", "w", 3))
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality, colorspace="RGB", colorsubsampling=subsampling
    )
    return encoded


def decode_jpeg(
    data: Any, out: NDArray[np.uint8] | None = None, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """RGB image (h, w, 3) uint8 of a JPEG's bytes, in `out` if it is given.

    ValueError if it is damaged, or is not of `size` (h, w), which its header says before any memory is taken.
    """
    import simplejpeg

    height, width = _check_jpeg(data)[:2]
    if size is not None and (height, width) != size:
        raise ValueError(f"{height} x {width} px, expected {size[0]} x {size[1]}")
    if out is not None and out.shape != (height, width, 3):
        raise ValueError(f"a picture of {width} × {height} pixels, expected {out.shape[1]} × {out.shape[0]}")
    image: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=out)
    return image


def _check_jpeg(data: Any) -> tuple[int, int, str, str]:
    """Height, width, color space and subsampling of a JPEG.

    ValueError if its pixels are too many, or more than it can hold.
    """
    import simplejpeg

    try:
        height, width, colorspace, subsampling = simplejpeg.decode_jpeg_header(data, strict=False)
    except KeyError as error:
        raise ValueError("damaged JPEG header: colors of an unknown kind") from error
    check_picture_size(width, height)
    _check_density(width, height, len(data), _JPEG_PIXELS_PER_BYTE)
    most = min(_SCANS_OF_LARGEST * max_pixels() // max(width * height, 1), _MOST_SCANS)
    if bytes(data).count(b"\xff\xda") > most and (found := n_scans(data)) > most:  # the latter counts exactly
        if found > _MOST_SCANS:
            raise ValueError(f"more than {_MOST_SCANS} scans, each of which takes as long as a whole picture")
        raise ValueError(
            f"{count(found, 'scan')} of {width} × {height} pixels, expected {most} at most, since each takes as "
            "long as a whole picture; save it again, not progressive"
        )
    return height, width, colorspace, subsampling


def _check_density(width: int, height: int, n_bytes: int, most: int) -> None:
    """Raise ValueError if a file states more pixels than its format can put into its bytes."""
    if width * height > _FREE_PIXELS + n_bytes * most:
        raise ValueError(f"{n_bytes} bytes cannot hold the {width} × {height} pixels that they state; it is damaged")


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
        damaged. A few stray
        bytes before a JPEG's end marker are no damage: every pixel is there.
    Exception
        Pillow's decoders raise a dozen kinds on damaged files, not all of them documented.
    """
    if data.startswith(b"\xff\xd8\xff"):
        if _check_jpeg(data)[2] not in ("CMYK", "YCCK"):
            return _decode_whole_jpeg(data, "RGB")
        _decode_whole_jpeg(data, "CMYK")  # Pillow converts the colors, but does not tell where it finds damage
    with _opened(data, _IMAGES) as image:
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            colors = np.asarray(image.convert("RGBA"))
            if not colors[..., 3].any():  # black, and labels for it
                raise ValueError("transparent all over, expected a picture")
            on_black = np.empty((*colors.shape[:2], 3), np.uint8)
            step = max(_TRANSPARENT_ROWS // max(colors.shape[1], 1), 1)  # all at once would take four times the memory
            for first in range(0, len(colors), step):
                rows = colors[first : first + step]
                on_black[first : first + step] = (rows[..., :3].astype(np.uint16) * rows[..., 3:] + 127) // 255
            return on_black
        return np.asarray(image.convert("RGB"))


def reducible_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG of which `decode_reduced` makes exact means; None of every other file.

    If colors are subsampled along one axis alone (4:2:2, 4:4:0, 4:1:1), libjpeg-turbo would take means over more
    pixels of them than of the brightness.

    Raises
    ------
    ValueError
        As `decode_image`, if the header says so.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    height, width, colorspace, subsampling = _check_jpeg(data)
    exact = colorspace == "Gray" or (colorspace == "YCbCr" and subsampling in ("444", "420"))
    return (height, width) if exact and height * width >= _LEAST_REDUCED else None


def decode_reduced(data: bytes, block: int) -> NDArray[np.uint8]:
    """Means of squares of a JPEG's pixels, made from its coefficients without the pixels.

    Pixel k is the mean of pixels k * block to k * block + block - 1, so that its center is k * block + (block - 1) / 2.
    What the last ones have of pixels beyond the edge counts as 0, as everything outside of an image does.

    Parameters
    ----------
    data : bytes
        A file that `reducible_size` knows.
    block : {2, 4, 8}
        Pixels along each side of the squares.

    Returns
    -------
    (ceil(h / block), ceil(w / block), 3) uint8
        RGB; within 3 gray levels of the means of the decoded pixels if none of those is cut to 0 or 255.

    Raises
    ------
    ValueError
        As `decode_image`.
    """
    height, width = _check_jpeg(data)[:2]
    rows, columns = -(-height // block), -(-width // block)
    small = _decode_whole_jpeg(data, "RGB", min_height=rows, min_width=columns)
    if small.shape[:2] != (rows, columns):
        raise ValueError(f"decoded to {small.shape[1]} × {small.shape[0]} pixels, expected {columns} × {rows}")
    for line, inside in ((small[-1], height - (rows - 1) * block), (small[:, -1], width - (columns - 1) * block)):
        if inside < block:  # the decoder fills up blocks with whatever the encoder put there, usually the last pixel
            line[:] = (line.astype(np.uint16) * inside + block // 2) // block
    return small


def _decode_whole_jpeg(data: bytes, colorspace: str, **least: int) -> NDArray[np.uint8]:
    """A JPEG's pixels, even if a few stray bytes stand before its end marker, of which libjpeg only warns.

    `least` are simplejpeg's `min_height` and `min_width`, of a smaller picture.

    Damage inside makes it warn of leftover bytes too, where it loses its place and reaches the last pixel too early.
    So a few bytes alone count as stray. Of 2400 files of AFLW2000-3D with one bit changed, libjpeg said nothing of
    1893, and 55 had 1 to 16 bytes left over, which pass too.
    """
    import simplejpeg

    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace=colorspace, **least)
        return pixels
    except ValueError as error:
        found = re.search(r"(\d+) extraneous bytes before marker 0xd9", str(error))
        if found is None or int(found[1]) > _MOST_STRAY:
            raise
    height, width = simplejpeg.decode_jpeg_header(data, strict=False)[:2]
    if (_READ_AHEAD + 1) * n_scans(data) * width * height > _PIXELS_OF_TRIES:
        raise ValueError(
            f"{found[1]} stray bytes before the end marker of a picture too large to be tried without them; "
            "save it again"
        )
    end, counted = data.rfind(b"\xff\xd9"), int(found[1])
    for n in range(counted, counted + _READ_AHEAD + 1):
        with suppress(ValueError):
            pixels = simplejpeg.decode_jpeg(data[: end - n] + data[end:], colorspace=colorspace, **least)
            return pixels
    raise ValueError("damaged JPEG data: bytes that are not pixels before the end marker")


@contextmanager
def _opened(data: bytes, formats: tuple[str, ...]) -> Iterator[Any]:
    """A file's bytes opened by Pillow as one of a few formats, with 8 bits per channel or fewer; ValueError if not.

    Other formats are not even tried: some of Pillow's readers start other programs.
    """
    from PIL import Image, UnidentifiedImageError

    kind = describe_bytes(data)
    if kind == "a PNG image" and data[24:25] == b"\x10":  # of which Pillow drops the lower half without a word
        raise ValueError("16 bits per channel, expected 8 bits per channel")
    if (size := _stated_size(data, kind)) is not None:
        check_picture_size(*size)
        _check_density(*size, len(data), _most_pixels_per_byte(data, kind))
    try:
        with pillow_without_bound():
            image = Image.open(io.BytesIO(data), formats=formats)
            check_picture_size(*image.size)
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
            image.load()
            with pillow_without_bound():
                check_whole(data, image)
        yield image


def _most_pixels_per_byte(data: bytes, kind: str) -> int:
    """Pixels that a file may hold in each of its bytes."""
    if kind == "a WebP image":
        return 1 << 28  # a single color takes nearly nothing there
    bits = max(data[24], 1) * _CHANNELS.get(data[25], 1) if kind == "a PNG image" and len(data) > 25 else 1
    return -(-8 * _DEFLATED // bits)


def _stated_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """Width and height in the first bytes of a PNG, BMP or WebP; Pillow makes a WebP's pixels on opening it."""
    if kind == "a PNG image" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if kind == "a BMP image" and len(data) >= 26:
        if int.from_bytes(data[14:18], "little") == 12:
            return int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
        width, height = (int.from_bytes(data[k : k + 4], "little", signed=True) for k in (18, 22))
        return abs(width), abs(height)
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
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
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
    with _opened(data, _LOSSLESS) as image:
        if image.mode == "L" and "transparency" not in image.info:
            return np.array(image)
        colors = np.asarray(image.convert("RGBA"))
    if (colors[..., 3] != 255).any():
        raise ValueError("has transparent pixels, expected gray without transparency")
    if (colors[..., :3] != colors[..., :1]).any():
        raise ValueError("has colors, expected gray")
    return np.ascontiguousarray(colors[..., 0])


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
