"""How an image is sampled where it shrinks: how many bilinear samples each pixel of a crop is the mean of.

Bilinear sampling reads four pixels of the image per pixel of the crop. Where a pixel of the crop covers more, the
others are not seen, and detail finer than the crop can show turns into noise and patterns (aliasing). The filter "area"
takes the mean of a grid of bilinear samples instead, spread so that their weights have the variance of the square that
the pixel covers. Up to a factor of 1.5 the grid is one sample, from there on it opens without a step.
"""

import math
from typing import NamedTuple

FILTERS = ("area", "bilinear")
"""Values of the arguments named `filter`."""

BILINEAR_UP_TO = 1.5
"""Largest factor (image px per crop px) at which "area" is bilinear sampling."""

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


def area_grid(factor: float) -> SampleGrid:
    """The grid of the filter "area".

    The square of `factor` px that a crop pixel covers, seen through square image pixels, has the variance
    (factor² + 1) / 12 along each axis. Of a grid's weights, the blocks have (block² - 1) / 12, bilinear sampling of the
    blocks block² / 6, and the grid itself spacing² (n² - 1) / 12. The spacing makes both equal. The smallest n is taken
    that leaves no gaps.

    Parameters
    ----------
    factor : float
        Image px per crop px, more than 0.

    Returns
    -------
    SampleGrid
    """
    if not factor > BILINEAR_UP_TO:
        return SampleGrid(1, 1, 0.0)
    block = max(1, int(factor / _REACH))
    missing = (factor * factor + 2) / (block * block) - 3  # spacing² (n² - 1) in px of blocks
    missing *= min((factor - BILINEAR_UP_TO) / (_FULL_FROM - BILINEAR_UP_TO), 1.0)
    n = max(2, math.ceil(math.sqrt(missing / _WIDEST**2 + 1)))
    return SampleGrid(block, n, block * math.sqrt(missing / (n * n - 1)))
