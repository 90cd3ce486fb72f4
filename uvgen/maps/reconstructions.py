"""Position maps of what other networks say of a face: Deep3DFaceRecon's coefficients, 3DDFA_V2's 62 numbers."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.batch_product import columns_of
from uvgen.checks import check_array, finite64_array, float64_array
from uvgen.errors import InputError
from uvgen.geometry import transform_points
from uvgen.maps.position_mapper import PositionMapper
from uvgen.models.morphable import MorphableModel
from uvgen.samples import deep3d, tddfa
from uvgen.wording import count

_OFF_PX = 1.0  # between landmarks that a file holds and those that its coefficients give with the right model


def deep3d_vertices(model: MorphableModel, coefficients: deep3d.Deep3dCoefficients) -> NDArray[np.float64]:
    """Vertices of Deep3DFaceRecon's faces in their crops.

    Parameters
    ----------
    model : MorphableModel
        Deep3DFaceRecon's, as `uvgen.load_model` reads it.
    coefficients : Deep3dCoefficients
        Of B faces.

    Returns
    -------
    (B, n, 3) float64
        Frame of the crop of 224 px; z as `uvgen.cameras.PerspectiveCamera.project` scales it.

    Raises
    ------
    InputError
        If the model has other components, parts are of unlike numbers of faces or not finite, a face lies behind
        the camera, or landmarks that are among the coefficients do not agree with the model.
    """
    points = _vertices(model, coefficients.identity, coefficients.expression)
    angles = finite64_array(coefficients.angles_rad, "angles_rad", (len(points), 3))
    shift = finite64_array(coefficients.translation_dm, "translation_dm", (len(points), 3))
    moved = points @ np.swapaxes(deep3d.rotations(angles), 1, 2) + shift[:, None] * deep3d.MICROMETERS
    projected = deep3d.CAMERA.project(moved)
    if coefficients.landmarks is not None:
        marks = float64_array(coefficients.landmarks, "landmarks", (len(points), 68, 2))
        off = np.abs(projected[:, model.landmarks, :2] - marks).max(initial=0)
        if not off < _OFF_PX:
            raise InputError(
                f"coefficients: their landmarks lie up to {off:.3g} px from those of {model.name}, expected the model "
                "that they were made with: Deep3DFaceRecon's BFM_model_front.mat"
            )
    return projected


def deep3d_maps(
    mapper: PositionMapper, coefficients: deep3d.Deep3dCoefficients, similarity: ArrayLike | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Position maps (B, size, size, 3) and landmarks (B, 68, 3) of Deep3DFaceRecon's faces.

    Parameters
    ----------
    mapper : PositionMapper
        Of their model.
    coefficients : Deep3dCoefficients
        Of B faces.
    similarity : (B, 3, 3) or (3, 3) float, optional
        From their crop of 224 px to the crop that is wanted; theirs by default. The inverse of
        `uvgen.samples.deep3d.crop_of` leads to the image.

    Returns
    -------
    maps : (B, size, size, 3) float32
        As of `PositionMapper`.
    landmarks : (B, 68, 3) float32

    Raises
    ------
    InputError
        As `deep3d_vertices`.
    """
    vertices = deep3d_vertices(mapper.model, coefficients)
    return mapper.maps_of_vertices(vertices if similarity is None else transform_points(vertices, similarity))


def tddfa_maps(
    mapper: PositionMapper, parameters: ArrayLike, roi_box: ArrayLike, similarity: ArrayLike | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Position maps (B, size, size, 3) and landmarks (B, 68, 3) of 3DDFA_V2's faces.

    Parameters
    ----------
    mapper : PositionMapper
        Of its model.
    parameters, roi_box
        As for `uvgen.samples.tddfa.affines_of`.
    similarity : (B, 3, 3) or (3, 3) float, optional
        From the image to the crop; without it, maps are in the image frame.

    Returns
    -------
    maps : (B, size, size, 3) float32
        As of `PositionMapper`; the points are those of their `recon_vers`, its matrix not made a rotation.
    landmarks : (B, 68, 3) float32

    Raises
    ------
    InputError
        If shapes do not agree, or the model has other components.
    """
    affine = tddfa.affines_of(parameters, roi_box)
    _, shape, expression = tddfa.split_parameters(parameters)
    vertices = _vertices(mapper.model, shape, expression) @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3]
    return mapper.maps_of_vertices(vertices if similarity is None else transform_points(vertices, similarity))


def _vertices(model: MorphableModel, shape: ArrayLike, expression: ArrayLike) -> NDArray[np.float64]:
    """(B, n, 3) faces in the model frame, µm."""
    parts = [finite64_array(shape, "shape"), finite64_array(expression, "expression")]
    for values, name, n in zip(parts, ("shape", "expression"), (model.n_shape, model.n_expression), strict=True):
        check_array(values, name, (len(parts[0]), n), note=f"{count(n, 'component')} of {model.name}")
    with np.errstate(over="ignore", invalid="ignore"):  # what has become infinite is refused where it is projected
        columns = columns_of(np.concatenate(parts, axis=1))
        offsets = model.basis.reshape(3 * model.n_vertices, model.basis.shape[2]) @ columns.matrix
    # in C order: NumPy before 2.3 multiplies other layouts without BLAS, and one face has both layouts
    faces = offsets[:, columns.first : columns.first + len(parts[0])].T.astype(np.float64, order="C")
    moved: NDArray[np.float64] = faces.reshape(len(faces), model.n_vertices, 3) + model.mean
    return moved
