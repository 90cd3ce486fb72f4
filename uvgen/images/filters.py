"""How an image is sampled where it shrinks: how many bilinear samples each pixel of a crop is the mean of.

Bilinear sampling reads four pixels of the image per pixel of the crop. If a pixel of the crop covers more, the
others are not seen, and detail finer than the crop can show turns into noise and patterns (aliasing). The filter "area"
takes the mean of a grid of bilinear samples instead, spread so that their weights have the variance of the square that
the pixel covers. Up to a factor of 1.5 the grid is one sample, from there on it opens without a step.

If an image was decoded to means of squares already (`uvgen.images.picture`), the grid counts them among its weights.
As long as bilinear samples of the squares would have more variance than the square that the pixel covers, one bicubic
sample takes the grid's place, of a kernel with the variance that is left.
"""

import math
from typing import NamedTuple

FILTERS = ("area", "bilinear")
"""Values of the arguments named `filter`."""

BILINEAR_UP_TO = 1.5
"""Largest factor (image px per crop px) at which "area" is bilinear sampling."""

_BLOCKS = (8, 4, 2)  # of pixels whose means JPEG decoders make
_BILINEAR = 1 / 6  # variance of bilinear sampling, px²
_FULL_FROM = 1.8  # from this factor on, the grid has its whole width; up to it, its variance grows linearly
_REACH = 2.5  # image px averaged into one before sampling: as many as fit into the factor this many times
_WIDEST = 1.15  # px between samples; further apart, a line between two of them would be seen less than its neighbors


class SampleGrid(NamedTuple):
    """The samples that one pixel of a crop is the mean of.

    Attributes
    ----------
    block : int
        Side of the squares of image pixels that are averaged before sampling; 1 for none.
    n : int
        Samples along each axis of the crop.
    spacing : float
        Distance of the samples, px of the image.
    """

    block: int
    n: int
    spacing: float


def block_decoded(factor: float) -> int:
    """Side of the largest squares whose means an image may be decoded to for a crop: 8, 4, 2, or 1 for its pixels.

    If squares are no larger than what a crop's pixel covers, the filter can have the variance that it has of pixels.
    """
    return next((block for block in _BLOCKS if block <= factor), 1)


def bicubic_blur(factor: float, block: int) -> float | None:
    """Of which bicubic kernel one sample makes a crop's pixel, if an image holds means of squares.

    Parameters
    ----------
    factor : float
        Image px per crop px, at least `block`.
    block : int
        Side of the squares, image px; more than 1.

    Returns
    -------
    float or None
        B of the kernels of Mitchell and Netravali (1988) with C = (1 - B) / 2, which keep straight slopes as they are;
        0 to 0.5. None if bilinear samples have no more variance than is needed: `area_grid` is taken.
    """
    missing = (factor * factor + 2) / (block * block) - 1  # 12 times the variance to be added, px² of squares
    return max(missing / 4, 0.0) if missing < 12 * _BILINEAR else None  # the kernels' variance is B / 3


def area_grid(factor: float, decoded: int = 1) -> SampleGrid:
    """The grid of the filter "area".

    The square of `factor` px that a crop pixel covers, seen through square image pixels, has the variance
    (factor² + 1) / 12 along each axis. Of a grid's weights, the blocks have (block² - 1) / 12, bilinear sampling of the
    blocks block² / 6, and the grid itself spacing² (n² - 1) / 12. The spacing makes both equal. The smallest n is taken
    that leaves no gaps.

    Parameters
    ----------
    factor : float
        Image px per crop px, more than 0.
    decoded : int
        Side of the squares whose means the image holds already; 1 for none. Blocks are a multiple of it.

    Returns
    -------
    SampleGrid
    """
    if not factor > BILINEAR_UP_TO:
        return SampleGrid(1, 1, 0.0)
    block = max(1, int(factor / (_REACH * decoded))) * decoded
    missing = (factor * factor + 2) / (block * block) - 3  # spacing² (n² - 1) in px of blocks
    missing *= min((factor - BILINEAR_UP_TO) / (_FULL_FROM - BILINEAR_UP_TO), 1.0)
    n = max(2, math.ceil(math.sqrt(missing / _WIDEST**2 + 1)))
    return SampleGrid(block, n, block * math.sqrt(missing / (n * n - 1)))
