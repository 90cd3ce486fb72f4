"""A photograph's file, decoded no finer than the crop that is cut from it needs.

A JPEG holds squares of 8 × 8 pixels as frequencies, from which means of 2 × 2, 4 × 4 or 8 × 8 pixels are made in less
time than the pixels. Decoding the bytes into frequencies (Huffman codes) is the same work either way.
"""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.images.codecs import decode_image
from uvgen.images.filters import block_decoded
from uvgen.images.jpeg import decode_reduced, reducible_size
from uvgen.images.orientation import exif_orientation, oriented

DECODING = ("reduced", "full")
"""Values of the arguments named `decode`: as finely as crops need, or every pixel."""


class Reduced(NamedTuple):
    """What a photograph was decoded to.

    Attributes
    ----------
    pixels : (h, w, 3) uint8
        RGB.
    block : int
        Side of the squares of the photograph whose means the pixels are; 1 if they are its own.
    """

    pixels: NDArray[np.uint8]
    block: int


class Picture:
    """The pixels of an image file's bytes, made when they are first needed.

    Parameters
    ----------
    data : bytes
        The file, see `uvgen.images.codecs.decode_image`.
    refused : callable
        Makes the error to raise of one that a decoder raised.
    exif : {"ignore", "apply"}
        Whether the pixels are turned upright as the EXIF orientation says.
    decode : {"reduced", "full"}
        Whether `for_crop` may give means of squares of pixels.

    Attributes
    ----------
    data : bytes
        The file, as it was given.
    orientation : int
        EXIF orientation that the file states, 1 to 8.
    shape : (int, int, int)
        Height, width and channels of all its pixels, upright.
    """

    def __init__(
        self, data: bytes, refused: Callable[[Exception], Exception], *, exif: str = "ignore", decode: str = "reduced"
    ) -> None:
        self.data, self._refused = data, refused
        try:
            self.orientation = exif_orientation(data)
            self._turned = self.orientation if exif == "apply" else 1
            size = reducible_size(data) if decode == "reduced" else None
        except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files, not all of them documented
            raise refused(error) from error
        self._reducible = size is not None
        if size is None:
            self.shape: tuple[int, ...] = self.pixels.shape
        else:
            self.shape = (*(size if self._turned < 5 else size[::-1]), 3)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """All pixels, (h, w, 3) uint8 RGB."""
        return self._decoded(1)

    def for_crop(self, factor: float, filter: str = "area") -> Reduced:
        """The pixels, or means of squares of them, from which `warp_image` cuts a crop.

        Which of them does not depend on whether all pixels were needed before.

        Parameters
        ----------
        factor : float
            Image px per crop px.
        filter : {"area", "bilinear"}
            How the crop is sampled; for "bilinear", all pixels are decoded.

        Returns
        -------
        Reduced
        """
        block = block_decoded(factor) if self._reducible and filter == "area" else 1
        if self._turned > 1 and any(side % block for side in self.shape[:2]):
            block = 1  # squares are counted from the corner that is the first as the pixels are stored
        return Reduced(self.pixels if block == 1 else self._decoded(block), block)

    def _decoded(self, block: int) -> NDArray[np.uint8]:
        try:
            pixels = decode_image(self.data) if block == 1 else decode_reduced(self.data, block)
        except Exception as error:
            raise self._refused(error) from error
        return oriented(pixels, self._turned) if self._turned > 1 else pixels
