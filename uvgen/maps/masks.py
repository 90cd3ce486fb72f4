"""Masks over the UV grid: the face, its features, and the weights of the training loss."""

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from uvgen.maps.atlas import build_atlas, texel_coordinates
from uvgen.maps.landmarks import landmark_texels
from uvgen.maps.memo import once_per_model
from uvgen.models.morphable import REGIONS, MorphableModel, check_sound

WEIGHTS = {"landmarks": 16.0, "features": 4.0, "face": 3.0, "neck": 0.0}
"""Relative weights of the PRNet paper: 68 landmarks : eyes, nose, mouth : other face : neck."""

# Without region labels, the regions are drawn around the landmarks. Distances in units of that between the outer
# corners of the eyes in UV, chosen so that on the BFM's UV the regions are those of the masks PRNet published.
_JAW_MARGIN = 0.04  # the face ends this far outside the jaw line
_BORDER = 0.05  # the grid's outermost texels belong to nothing
_EYES_MARGIN, _EYES_DROP = 0.06, 0.15  # around brows and eyes, and eyes moved down toward the cheeks
_NOSE_MARGIN = 0.12
_MOUTH_MARGIN = 0.16


def face_mask(model: MorphableModel, size: int) -> NDArray[np.bool_]:
    """Texels of the face, without the neck.

    Parameters
    ----------
    model : MorphableModel
        If its `regions` label a neck, the face is all but the regions neck and other (hair, backs of the ears).
        Otherwise it ends at the jaw line and at the grid's border.
    size : int
        Texels along each side, 16 to 4096.

    Returns
    -------
    (size, size) bool

    Raises
    ------
    InputError
        If the size is out of range.
    """
    return _face(model, size, _texel_regions(model, size))


def _face(model: MorphableModel, size: int, labels: NDArray[np.uint8] | None) -> NDArray[np.bool_]:
    if labels is not None and (labels == REGIONS.index("neck")).any():
        return ~np.isin(labels, [REGIONS.index("neck"), REGIONS.index("other")])
    points, unit = _landmark_points(model, size)
    jaw = points[:17]
    sides = [[0.0, jaw[0, 1]], [size - 1.0, jaw[16, 1]], [size - 1.0, 0.0], [0.0, 0.0]]
    mask = _near_hull(np.concatenate([jaw, sides]), _JAW_MARGIN * unit, size)
    border = round(_BORDER * unit)
    inside = np.zeros_like(mask)
    inside[border : size - border, border : size - border] = True
    return mask & inside


def feature_mask(model: MorphableModel, size: int) -> NDArray[np.bool_]:
    """Texels of eyes (with brows), nose and mouth, from the model's regions or around its landmarks.

    Parameters
    ----------
    model : MorphableModel
        Its `regions` if it has them, else its `landmarks` and `uv`, count.
    size : int
        Texels along each side.

    Returns
    -------
    (size, size) bool
    """
    return _features(model, size, _texel_regions(model, size))


def _features(model: MorphableModel, size: int, labels: NDArray[np.uint8] | None) -> NDArray[np.bool_]:
    if labels is not None:
        return np.isin(labels, [REGIONS.index(name) for name in ("eyes", "nose", "mouth")])
    points, unit = _landmark_points(model, size)
    eyes = points[36:48]
    lowered = eyes + [0.0, _EYES_DROP * unit]
    polygons = (
        (np.concatenate([points[17:27], eyes, lowered]), _EYES_MARGIN),
        (points[27:36], _NOSE_MARGIN),
        (points[48:60], _MOUTH_MARGIN),
    )
    near: NDArray[np.bool_] = np.any([_near_hull(corners, margin * unit, size) for corners, margin in polygons], axis=0)
    return near


def weight_mask(model: MorphableModel, size: int) -> NDArray[np.float32]:
    """Weights of the training loss: 16 on the landmarks, 4 on eyes, nose and mouth, 3 on the face, 0 elsewhere.

    Parameters
    ----------
    model : MorphableModel
        See `face_mask` and `feature_mask`.
    size : int
        Texels along each side, 16 to 4096.

    Returns
    -------
    (size, size) float32
        The ratio of the PRNet paper (Feng et al., ECCV 2018, section 3.2).

    Raises
    ------
    InputError
        If the size is out of range.
    """
    build_atlas(model, size)  # what is wrong with the arguments is raised before they are looked up
    return _weight_mask(model, int(size)).copy()


@once_per_model
def _weight_mask(model: MorphableModel, size: int) -> NDArray[np.float32]:
    labels = _texel_regions(model, size)
    face = _face(model, size, labels)
    weights = np.where(face, WEIGHTS["face"], WEIGHTS["neck"]).astype(np.float32)
    weights[face & _features(model, size, labels)] = WEIGHTS["features"]
    rows, columns = landmark_texels(model, size).T
    weights[rows, columns] = WEIGHTS["landmarks"]
    return weights


def _texel_regions(model: MorphableModel, size: int) -> NDArray[np.uint8] | None:
    check_sound(model)
    if model.regions is None:
        return None
    return model.regions[build_atlas(model, size).nearest_vertices].reshape(size, size)


def _landmark_points(model: MorphableModel, size: int) -> tuple[NDArray[np.float64], float]:
    """Landmarks as (68, 2) columns and rows, and the distance between the outer corners of the eyes."""
    points = texel_coordinates(model.uv[model.landmarks], size)
    return points, float(np.linalg.norm(points[45] - points[36]))


def _near_hull(points: NDArray[np.float64], margin: float, size: int) -> NDArray[np.bool_]:
    """Texels within `margin` of the convex hull of (column, row) points, or in it."""
    from scipy.ndimage import distance_transform_edt
    from scipy.spatial import ConvexHull, QhullError
    from skimage.draw import polygon2mask

    inside = np.zeros((size, size), bool)
    with suppress(QhullError):  # all in one point or line, as where landmarks share a vertex
        inside = polygon2mask((size, size), points[ConvexHull(points).vertices, ::-1])
    if not inside.any():
        columns, rows = np.rint(points).astype(np.intp).clip(0, size - 1).T
        inside[rows, columns] = True
    near: NDArray[np.bool_] = distance_transform_edt(~inside) <= margin
    return near
