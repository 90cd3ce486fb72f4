"""JPEG files, encoded and decoded by simplejpeg (libjpeg-turbo), which is imported on first use."""

import re
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_bytes
from uvgen.images.markers import check_frame, end_of, n_scans
from uvgen.storage.reading import check_density, check_picture_size, max_pixels
from uvgen.wording import count

JPEG_QUALITY = 95
"""Default quality of crops that are written as JPEG."""

_PIXELS_PER_BYTE = 4096  # 8 times what it can hold with Huffman codes: a bit per block of 8 × 8 pixels
_MOST_SCANS = 100  # progressive ones have 10 or so
_SCANS_OF_LARGEST = 12  # of a picture of `max_pixels`, more of smaller ones: 3 ns per pixel and scan, 4 s in all
_MOST_STRAY = 16  # bytes before the end marker
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

    ValueError if it is damaged, or is not of `size` (h, w), as the crops of shards are, which its header says before
    any memory is taken; those may have few scans, since there are many of them.
    """
    import simplejpeg

    height, width = check_jpeg(data, _MOST_SCANS if size is None else _SCANS_OF_LARGEST)[:2]
    if size is not None and (height, width) != size:
        raise ValueError(f"{height} x {width} px, expected {size[0]} x {size[1]}")
    if out is not None and out.shape != (height, width, 3):
        raise ValueError(f"a picture of {width} × {height} pixels, expected {out.shape[1]} × {out.shape[0]}")
    image: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=out)
    return image


def check_jpeg(data: Any, most_scans: int = _MOST_SCANS) -> tuple[int, int, str, str]:
    """Height, width, color space and subsampling of a JPEG.

    ValueError if its pixels are too many, or more than it can hold, or it has more scans than these, or fewer if it is
    a large one.
    """
    import simplejpeg

    try:
        height, width, colorspace, subsampling = simplejpeg.decode_jpeg_header(data, strict=False)
    except KeyError as error:
        raise ValueError("damaged JPEG header: colors of an unknown kind") from error
    except ValueError as error:
        if "subsampling" in str(error):
            check_frame(data)
            raise ValueError(
                "a JPEG whose colors are subsampled in an unusual way, or damaged; save it again with 4:4:4 or 4:2:0"
            ) from error
        raise
    check_picture_size(width, height)
    check_density(width, height, len(data), _PIXELS_PER_BYTE)
    most = min(_SCANS_OF_LARGEST * max_pixels() // max(width * height, 1), most_scans)
    if bytes(data).count(b"\xff\xda") > most and (found := n_scans(data)) > most:  # the latter counts exactly
        if found > most_scans:
            raise ValueError(f"more than {most_scans} scans, each of which takes as long as a whole picture")
        raise ValueError(
            f"{count(found, 'scan')} of {width} × {height} pixels, expected {most} at most, since each takes as "
            "long as a whole picture; save it again, not progressive"
        )
    return height, width, colorspace, subsampling


def reducible_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG of which `decode_reduced` makes exact means; None of every other file.

    If colors are subsampled along one axis alone (4:2:2, 4:4:0, 4:1:1), libjpeg-turbo would take means over more
    pixels of them than of the brightness.

    Raises
    ------
    ValueError
        As `uvgen.images.codecs.decode_image`, if the header says so.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    height, width, colorspace, subsampling = check_jpeg(data)
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
        RGB; within 3 gray levels of the means of the decoded pixels if none of those is cut to 0 or 255. Where colors
        have half the resolution (4:2:0), decoders blend those of neighboring squares, which is not done here: at edges
        between strong colors, 21 gray levels were measured for squares of 2, 9 of 4, 4 of 8.

    Raises
    ------
    ValueError
        As `uvgen.images.codecs.decode_image`.
    """
    height, width = check_jpeg(data)[:2]
    rows, columns = -(-height // block), -(-width // block)
    small = decode_whole_jpeg(data, "RGB", min_height=rows, min_width=columns)
    if small.shape[:2] != (rows, columns):
        raise ValueError(f"decoded to {small.shape[1]} × {small.shape[0]} pixels, expected {columns} × {rows}")
    for line, inside in ((small[-1], height - (rows - 1) * block), (small[:, -1], width - (columns - 1) * block)):
        if inside < block:  # the decoder fills up blocks with whatever the encoder put there, usually the last pixel
            line[:] = (line.astype(np.uint16) * inside + block // 2) // block
    return small


def decode_whole_jpeg(data: bytes, colorspace: str, **least: int) -> NDArray[np.uint8]:
    """A JPEG's pixels, even if a few stray bytes stand before its end marker, of which libjpeg only warns.

    `least` are simplejpeg's `min_height` and `min_width`, of a smaller picture.

    Damage inside makes it warn of leftover bytes too, where it loses its place and reaches the last pixel too early.
    So a few bytes alone count as stray. Of 2400 files of AFLW2000-3D with one bit changed, libjpeg said nothing of
    1893, and 55 had 1 to 16 bytes left over, which pass too.
    """
    import simplejpeg

    check_frame(data)
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
    end, counted = end_of(data), int(found[1])
    for n in range(counted, counted + _READ_AHEAD + 1) if end > 0 else ():
        with suppress(ValueError):
            pixels = simplejpeg.decode_jpeg(data[: end - n] + data[end:], colorspace=colorspace, **least)
            return pixels
    raise ValueError("damaged JPEG data: bytes that are not pixels before the end marker")
