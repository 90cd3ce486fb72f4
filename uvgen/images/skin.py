"""How likely each pixel of a photograph is skin, as Deep3DFaceRecon weighs its photometric loss.

Two mixtures of four Gaussians in YCbCr (BT.601), one of skin and one of everything else, and a prior of 0.8 for skin.
All numbers are those of ``util/skin_mask.py`` in sicxu/Deep3DFaceRecon_pytorch (commit 9167c71), whose masks these are
but for pixels that lie between two gray levels.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_bytes
from uvgen.images.skin_kernels import SkinColors, mark_skin, skin_rows

_TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]]) / 255
_OFFSET = (16.0, 128.0, 128.0)
_PRIOR = 0.8
_N_SKIN = 4

# Weight, mean, determinant of the covariance; upper triangle of its inverse.
_GAUSSIANS = (
    # skin
    (0.24063933, (113.71862, 103.39613, 164.08226), 5692842.5,
     (0.0019472069, 0.0020450759, -0.00060243998, 0.017700525, 0.0051420014, 0.0081308950)),
    (0.16365987, (150.19858, 105.18467, 155.51428), 5851930.5,
     (0.0027110141, 0.0011036990, 0.0023122299, 0.010707724, 0.010742856, 0.017481629)),
    (0.26034665, (183.92976, 107.62468, 152.71820), 2329131.0,
     (0.0048026871, 0.00022935172, 0.0077668377, 0.011729696, 0.0081661865, 0.025374353)),
    (0.33535415, (114.90524, 113.59782, 151.38217), 1585971.0,
     (0.0011989699, 0.0022453172, -0.0010748957, 0.047758564, 0.020332102, 0.024502251)),
    # everything else
    (0.12791070, (99.200851, 112.07533, 140.20602), 458703648.0,
     (0.00085371657, 0.00071197288, 0.00023958916, 0.0025935620, 0.00076557708, 0.0015042332)),
    (0.31130761, (110.91392, 125.52969, 130.19237), 6466488.0,
     (0.00024650150, 0.00045542428, 0.00015019422, 0.026412144, 0.018419769, 0.037497383)),
    (0.34245777, (129.75864, 129.96107, 126.96808), 90611376.0,
     (0.00037054974, 0.00038146760, 0.00040408765, 0.0085505722, 0.0079136286, 0.010982352)),
    (0.21832393, (112.29587, 128.85121, 129.05431), 133097.63,
     (0.00013709733, 0.00051228428, 0.00012777430, 0.28237113, 0.10528370, 0.23468947)),
)  # fmt: skip


def skin_mask(image: ArrayLike) -> NDArray[np.uint8]:
    """How likely each pixel is skin.

    Parameters
    ----------
    image : (h, w, 3) uint8
        RGB.

    Returns
    -------
    (h, w) uint8
        The probability, 255 for 1.

    Raises
    ------
    InputError
        Another shape or dtype.
    """
    pixels = np.ascontiguousarray(image)
    check_bytes(pixels, "image", ("h", "w", 3))
    mask = np.empty(pixels.shape[:2], np.uint8)
    mark_skin(pixels, _SKIN, skin_rows(pixels.shape[1]), mask)
    return mask


def _skin_colors() -> SkinColors:
    """The constants as the kernel takes them."""
    weights, means, determinants, upper = (np.array(column) for column in zip(*_GAUSSIANS, strict=True))
    priors = np.where(np.arange(len(weights)) < _N_SKIN, _PRIOR, 1 - _PRIOR)
    logs = np.log(priors * weights / ((2 * np.pi) ** 1.5 * np.sqrt(determinants)))
    precisions = upper[:, [0, 3, 5, 1, 2, 4]] * [1, 1, 1, 2, 2, 2]
    matrix, offset = _TO_YCBCR.astype(np.float32), np.array(_OFFSET, np.float32)
    gaussians = means.astype(np.float32), precisions.astype(np.float32), logs.astype(np.float32)
    return SkinColors(matrix, offset, *gaussians, n_skin=_N_SKIN)


_SKIN = _skin_colors()
