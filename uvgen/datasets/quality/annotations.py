"""Annotated landmarks beside the labels' own: where a crop has them, and how far the labels are from them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.geometry import pose_to_image, similarity_scale, transform_points
from uvgen.maps.labels import mirror_landmarks
from uvgen.models.morphable import MorphableModel


def annotated_in_crop(
    annotated: NDArray[np.float64] | None, similarity: NDArray[np.float64], z_shift: float, dimensions: int
) -> NDArray[np.float32]:
    """Annotated landmarks in the crop frame.

    Parameters
    ----------
    annotated : (68, 2) or (68, 3) float64, or None
        Image px; NaN where a point is not annotated.
    similarity : (3, 3) float64
        Image → crop.
    z_shift : float
        What the label's depths are shifted by, crop px.
    dimensions : {2, 3}
        Of the result.

    Returns
    -------
    (68, dimensions) float32
        Crop px; NaN for what is not annotated.
    """
    points = np.full((68, dimensions), np.nan)
    if annotated is not None:
        points[:, :2] = transform_points(annotated[:, :2], similarity)
        if dimensions == 3 and annotated.shape[1] == 3:
            points[:, 2] = annotated[:, 2] * similarity_scale(similarity) + z_shift
    return points.astype(np.float32)


def image_landmarks(
    model: MorphableModel,
    shape: NDArray[Any],
    expression: NDArray[Any],
    pose: NDArray[Any],
    image_height: NDArray[Any],
    convention: str,
) -> NDArray[np.float64]:
    """(n, 68, 2) landmarks of a model in the image frame, px, of any poses; see `PositionMapper.image_landmarks`."""
    basis = model.basis[model.landmarks].astype(np.float64)
    parameters = np.concatenate([shape, expression], axis=1).astype(np.float64)
    vertices = model.mean[model.landmarks] + np.einsum("vck,nk->nvc", basis, parameters)
    affine = pose_to_image(pose, image_height, convention)
    points: NDArray[np.float64] = vertices @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3]
    return points[..., :2]


def in_image(
    points: NDArray[np.floating[Any]], image_to_crop: NDArray[np.float64], flipped: NDArray[np.bool_], size: int
) -> NDArray[np.float64]:
    """Landmarks (n, 68, 2) in the image, as it is not mirrored, from those of crops of `size` px, (n, 68, 2 or 3)."""
    flat = points[..., :2].astype(np.float64)
    for k in np.flatnonzero(flipped):
        flat[k] = mirror_landmarks(flat[k], size)
    finite = np.where(np.isfinite(image_to_crop).all(axis=(-2, -1), keepdims=True), image_to_crop, 0.0)
    regular = np.flatnonzero(np.linalg.det(finite))
    inverse = np.full(image_to_crop.shape, np.nan)  # of a damaged sample: its points are nowhere
    inverse[regular] = np.linalg.inv(image_to_crop[regular])
    return transform_points(flat, inverse)
