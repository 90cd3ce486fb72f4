"""The parts of a fit's steps: how points move with a pose, how much each counts, and rotations as angles."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dtrtri

from uvgen.errors import InputError
from uvgen.geometry import affine_to_pose

_ALONG = 0.25  # weight of how far a contour point is along the contour, of which it says little

FREEDOM = 5.0
"""Degrees of Student's distribution."""


def root_of_inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """W, where W'W is the inverse of a symmetric positive definite matrix: that of its Cholesky factor."""
    factor, failed = dpotrf(matrix.T, lower=1, clean=1, overwrite_a=False)
    if failed:  # rounding of a covariance without noise
        values, vectors = np.linalg.eigh(matrix)
        return np.asarray((vectors / np.sqrt(np.maximum(values, 1e-15 * values[-1]))).T)
    inverse, _ = dtrtri(factor, lower=1, overwrite_c=True)
    return np.asarray(inverse)


def solution(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the equations of a fit, or of several, are solved by; InputError if rounding leaves them without an answer:
    they are made such by a model that holds numbers of no face."""
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError as error:
        raise InputError(
            "model: a fit has no one answer; are two of its components alike, or one far larger than a face?"
        ) from error


def pose_jacobian(turned: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 68, 2, 6) how points move as a face turns (rad, about the camera's axes), grows (log) and shifts."""
    jacobian = np.zeros((*turned.shape[:2], 2, 6))
    x, y, z = np.moveaxis(turned * scale[:, None, None], -1, 0)
    jacobian[:, :, 0, 1], jacobian[:, :, 0, 2] = z, -y
    jacobian[:, :, 1, 0], jacobian[:, :, 1, 2] = -z, x
    jacobian[:, :, 0, 3], jacobian[:, :, 1, 3] = x, y
    jacobian[:, :, 0, 4] = jacobian[:, :, 1, 5] = 1
    return jacobian


def counted(across: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 68, 2, 2) what of each residual counts: all of it, or most of it in one direction alone."""
    slides = np.asarray(np.abs(across).sum(axis=2) > 0)[..., None, None]
    along = np.eye(2) * _ALONG + (1 - _ALONG) * across[..., :, None] * across[..., None, :]
    return np.where(slides, along, np.eye(2))


def student(seen: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 68) weights of points by Student's distribution of two dimensions."""
    square: NDArray[np.float64] = (seen**2).sum(axis=2) / sigma[:, None] ** 2
    return (FREEDOM + 2) / (FREEDOM + square)


def angles_of(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) pitch, yaw, roll of rotations: of the two ways to write each, the one with less pitch and yaw.

    Pitch counts twice: a face upside down has a roll of 180°, and one seen from behind a yaw of 180°.
    """
    affine = np.concatenate([rotation * [[[1.0], [-1.0], [1.0]]], np.zeros((len(rotation), 3, 1))], axis=2)
    angles = affine_to_pose(affine, 0)[:, :3]
    other = np.stack([angles[:, 0] + np.pi, np.pi - angles[:, 1], angles[:, 2] + np.pi], axis=1)
    other = (other + np.pi) % (2 * np.pi) - np.pi
    less = np.abs(other[:, :2]) @ [2, 1] < np.abs(angles[:, :2]) @ [2, 1]
    return np.where(less[:, None], other, angles)
