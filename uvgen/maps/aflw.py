"""AFLW's 21 points in UV and in position maps."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from uvgen.maps.landmarks import check_maps_of, closest_texels
from uvgen.samples.landmark_schemes import AFLW_21

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel

_OTHERS = {7: (37, 38, 40, 41), 10: (43, 44, 46, 47), 18: (62,), 12: (2,), 16: (14,)}
"""Of AFLW's 21 points, those that are not among the 68: points whose mean they are in UV, or, of ears, nearly."""

_EARS, _OUTWARD = (12, 16), 0.178
"""Ears lie so much farther from the middle in UV than points of the jaw beside them: (0.068, 0.426) on the BFM's."""


def aflw_uv(model: "MorphableModel") -> NDArray[np.float64]:
    """Where AFLW's 21 points lie in UV; `uvgen.geometry.AFLW_MIRROR` says which mirror each other.

    Parameters
    ----------
    model : MorphableModel
        The model whose `uv` and `landmarks` are used.

    Returns
    -------
    (21, 2) float64
        In [0, 1]. Sixteen of the points are some of the 68 (`uvgen.samples.landmark_schemes.AFLW_21`), the middles of
        the eyes and the mouth are means of theirs, and ears lie beside the jaw, where 3DMMasSTN has them.
    """
    from uvgen.models.morphable import check_sound

    check_sound(model)
    uv = model.uv[model.landmarks]
    points = np.zeros((21, 2))
    for k in range(21):
        points[k] = uv[AFLW_21[k]] if k in AFLW_21 else uv[list(_OTHERS[k])].mean(axis=0)
    for k in _EARS:
        points[k, 0] += _OUTWARD * (points[k, 0] - 0.5)
    return points.clip(0, 1)


def aflw_texels(model: "MorphableModel", size: int) -> NDArray[np.int32]:
    """Texels of AFLW's 21 points; in a model that `uvgen.resample_model` made they are vertices row * size + column.

    Parameters
    ----------
    model : MorphableModel
        The model whose mesh, `uv`, `landmarks` and expressions are used.
    size : int
        Texels along each side, as for `uvgen.build_atlas`.

    Returns
    -------
    (21, 2) int32
        Row and column; of points among the 68, those of `resample_model`'s landmarks, of others the nearest in UV.

    Raises
    ------
    InputError
        If the size is out of range.
    """
    check_maps_of(model, size)
    of_68 = closest_texels(model, size)
    texels = np.rint(aflw_uv(model) * [size - 1, 1 - size] + [0, size - 1])[:, ::-1].astype(np.int32)
    for k, landmark in AFLW_21.items():
        texels[k] = of_68[landmark]
    return texels
