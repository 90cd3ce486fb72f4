"""Convert parameters of one model's bases to those of another's."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_finite, float64_array
from uvgen.errors import InputError
from uvgen.models.morphable import MorphableModel
from uvgen.wording import count


class Deep3dParameters(NamedTuple):
    """Faces of the Basel model as parameters of Deep3DFaceRecon's."""

    identity: NDArray[np.float64]
    """(B, 80) multiples of the standard deviations."""
    expression: NDArray[np.float64]
    """(B, 64) multiples of the standard deviations."""
    offset_um: NDArray[np.float64]
    """(B, 3) what is to be added to Deep3DFaceRecon's vertices, whose mean is moved to the origin, µm."""
    residual_um: NDArray[np.float64]
    """(B,) root mean square distance of the vertices then, µm: what its bases cannot express."""


def deep3d_of_300wlp(
    shape: ArrayLike, expression: ArrayLike, bfm: MorphableModel, deep3d: MorphableModel, kept: ArrayLike
) -> Deep3dParameters:
    """Deep3DFaceRecon's identity and expression of 300W-LP's parameters.

    Identities are the same components of the Basel model of 2009, of which Deep3DFaceRecon takes the first: the
    parameters divided by the standard deviations. Expressions are of another basis and about another mean, and fitted
    by least squares, with a shift, over all vertices that both have.

    Parameters
    ----------
    shape, expression : (B, ks), (B, ke) float
        ``Shape_Para`` and ``Exp_Para``.
    bfm : MorphableModel
        The Basel model of 2009 with 3DDFA's expressions.
    deep3d : MorphableModel
        Deep3DFaceRecon's.
    kept : (n,) int
        The vertex of `bfm` of each of `deep3d`'s, as ``BFM_front_idx.mat`` has them, counted from 0.

    Returns
    -------
    Deep3dParameters

    Raises
    ------
    InputError
        If shapes do not agree, values are not finite, or the models' identities are not the same.
    """
    given = float64_array(shape, "shape", ("B", bfm.n_shape), note=f"components of {bfm.name}")
    moved = float64_array(expression, "expression", (len(given), bfm.n_expression), note=f"components of {bfm.name}")
    check_finite(given, "shape")
    check_finite(moved, "expression")
    given_rows = float64_array(kept, "kept", (deep3d.n_vertices,), note="vertices")
    check_finite(given_rows, "kept")
    rows = given_rows.astype(np.int64)
    if not np.array_equal(rows, given_rows):
        raise InputError(f"kept: holds numbers that are not whole, expected vertices of {bfm.name}")
    if rows.min() < 0 or rows.max() >= bfm.n_vertices:
        raise InputError(
            f"kept: {rows.min()} to {rows.max()}, expected 0 to {bfm.n_vertices - 1}, vertices of {bfm.name}"
        )
    n_identity = deep3d.n_shape
    if n_identity > bfm.n_shape:
        raise InputError(
            f"deep3d: {count(n_identity, 'identity component')}, expected {bfm.n_shape} at most, as {bfm.name} has"
        )
    own = deep3d.shape_basis
    basel = bfm.shape_basis[rows][:, :, :n_identity] * bfm.shape_std[:n_identity]
    if not np.abs(own - basel).max(initial=0) <= 1e-3 * np.abs(own).max(initial=0):
        raise InputError(
            f"deep3d: its identities are other components than those of {bfm.name} at these vertices, expected "
            "Deep3DFaceRecon's model of the same Basel model, and the vertices of BFM_front_idx.mat"
        )
    identity = given[:, :n_identity] / bfm.shape_std[:n_identity].astype(np.float64)
    base = (bfm.mean[rows].astype(np.float64) - deep3d.mean).reshape(-1)
    target = base[:, None] + bfm.expression_basis[rows].reshape(len(base), -1).astype(np.float64) @ moved.T
    shifts = np.tile(np.eye(3), (len(rows), 1))
    design = np.concatenate([deep3d.expression_basis.reshape(len(base), -1).astype(np.float64), shifts], axis=1)
    lengths = np.linalg.norm(design, axis=0)
    lengths[lengths == 0] = 1
    solution = np.linalg.lstsq(design / lengths, target, rcond=None)[0] / lengths[:, None]
    lost = bfm.shape_basis[rows][:, :, n_identity:].reshape(len(base), -1).astype(np.float64) @ given[:, n_identity:].T
    left = (target + lost - design @ solution).reshape(len(rows), 3, -1)
    residual = np.sqrt((left**2).sum(axis=1).mean(axis=0))
    return Deep3dParameters(identity, solution[:-3].T, solution[-3:].T, residual)
