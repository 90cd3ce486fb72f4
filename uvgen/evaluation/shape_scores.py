"""Scores of shapes as point clouds, one face at a time: PRNet's reconstruction error, DAD-3DHeads' depth and Chamfer.

DAD-3DHeads: Martyniuk et al., CVPR 2022; its code is `dad_3dheads_benchmark/benchmark.py` of PinataFarms/DAD-3DHeads.
There truth and prediction are FLAME's vertices; here they are the face texels of position maps.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.evaluation.alignment import align_by_icp
from uvgen.similarity import Similarity, align_points

SEVEN = (36, 39, 42, 45, 33, 48, 54)
"""Corners of the eyes, below the nose, corners of the mouth: what DAD-3DHeads, NoW and REALY align by."""

_N_NEAREST = 5
_EYES_APART = 20.0
_N_ALIGNED = 4000  # true points that ICP pairs; the distances are those of all

Points = NDArray[np.floating[Any]]


def _nearest(points: Points, cloud: Points) -> NDArray[np.float64]:
    """Distance of each of the points to the nearest one of a cloud."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(cloud).query(points)[0], np.float64)


def reconstruction(predicted: Points, truth: Points, predicted_68: Points, true_68: Points, *, scaled: bool) -> float:
    """Mean distance from true points to the nearest predicted ones after ICP / distance of the outer eye corners.

    PRNet's protocol on MICC Florence (section 4.3): rigid ICP, "normalized by outer interocular distance of 3D
    coordinates".

    Parameters
    ----------
    predicted, truth : (n, 3), (m, 3) float
        Points of the face.
    predicted_68, true_68 : (68, 3) float
        Where ICP starts: at the rotation and shift, and the scale if that is asked for, between these.
    scaled : bool
        Whether the prediction's scale is fitted too.
    """
    start = align_points(predicted_68, true_68, scaled=scaled)
    every = max(1, -(-len(truth) // _N_ALIGNED))
    found = align_by_icp(predicted, truth[::every], scaled=scaled, start=start)
    apart = float(np.linalg.norm(true_68[36].astype(np.float64) - true_68[45]))
    return float(_nearest(truth, found.apply(predicted)).mean() / apart)


def ordinal_depth(predicted: Points, truth: Points, predicted_68: Points, true_68: Points) -> float:
    """Share of pairs, each point and its 5 nearest, whose order in depth is the true one: DAD-3DHeads' Z5 (eq. 4).

    Parameters
    ----------
    predicted, truth : (n, 3) float
        Points that correspond; neighbors are those of the truth. A larger z is nearer. The 68 points are not used.
    """
    from scipy.spatial import cKDTree

    n = min(_N_NEAREST, len(truth) - 1)
    near = cKDTree(truth).query(truth, k=n + 1)[1]
    rows = np.arange(len(truth))[:, None]
    others = np.where(near == rows, -1, near)  # a point is not its own neighbor, even if two lie in one place
    others[(others != -1).all(axis=1), -1] = -1
    others = others[others != -1].reshape(len(truth), n)
    return _same_order(predicted[:, 2], truth[:, 2], rows, others)


def ordinal_depth_as_coded(predicted: Points, truth: Points, predicted_68: Points, true_68: Points) -> float:
    """What `calc_zn` of DAD-3DHeads' benchmark computes, whose published numbers are made of it.

    It sorts the matrix of distances along its first axis and takes columns instead of rows: the k-th point is compared
    with the k-th nearest of the second, third, … sixth column's point, not with its own neighbors.
    """
    chosen = truth[1 : _N_NEAREST + 1].astype(np.float64)
    columns = [np.argsort(np.linalg.norm(truth - point, axis=1), kind="stable") for point in chosen]
    return _same_order(predicted[:, 2], truth[:, 2], np.arange(len(truth))[:, None], np.stack(columns, axis=1))


def _same_order(predicted: Points, truth: Points, rows: NDArray[np.intp], others: NDArray[np.intp]) -> float:
    """Of -z, as in its code, where ties count as farther."""
    return float(((-truth[rows] >= -truth[others]) == (-predicted[rows] >= -predicted[others])).mean())


def chamfer(predicted: Points, truth: Points, predicted_68: Points, true_68: Points) -> float:
    """Mean squared distance from true points to the nearest predicted ones, as DAD-3DHeads' code has it.

    The truth is scaled so that the inner corners of its eyes are 20 apart, the prediction brought onto it by
    `SEVEN` points, with a scale, and mirrored if that fits better. The code calls kaolin's `chamfer_distance` with
    weights 1 and 0, which squares.

    Parameters
    ----------
    predicted, truth : (n, 3), (m, 3) float
        Points of the face.
    predicted_68, true_68 : (68, 3) float
        Landmarks of both.
    """
    true_68, predicted_68 = true_68.astype(np.float64), predicted_68.astype(np.float64)
    scale = _EYES_APART / float(np.linalg.norm(true_68[39] - true_68[42]))
    target, source = scale * true_68[list(SEVEN)], predicted_68[list(SEVEN)]
    found = _best(source, target)
    return float((_nearest(scale * truth, found.apply(predicted)) ** 2).mean())


def _best(source: Points, target: Points) -> Similarity:
    """The better one of the similarities with and without a reflection."""
    flip = np.diag([-1.0, 1.0, 1.0])
    plain, mirrored = align_points(source, target, scaled=True), align_points(source @ flip, target, scaled=True)
    mirrored = Similarity(mirrored.scale, mirrored.rotation @ flip, mirrored.shift)
    misses = [((one.apply(source) - target) ** 2).sum() for one in (plain, mirrored)]
    return plain if misses[0] <= misses[1] else mirrored
