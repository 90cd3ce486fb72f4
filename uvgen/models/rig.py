"""Joints of a face model, skinned as FLAME's and GNM's are."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """Linear blend skinning with pose correctives. n vertices, j joints, ks + ke components.

    Attributes
    ----------
    names : tuple of str
        Of the joints; "jaw" is the one that opens the mouth.
    parents : (j,) int
        -1 for the root.
    joints : (j, 3)
        Places in the mean face, µm.
    joint_basis : (j, 3, ks + ke)
        How they move with the parameters.
    weights : (n, j)
        Skinning weights, rows summing to 1.
    correctives : (n, 3, 9 (j - 1))
        Offsets per entry of the rotations of all joints but the root, less the identity, row by row; µm.
    """

    names: tuple[str, ...]
    parents: NDArray[Any]
    joints: NDArray[Any]
    joint_basis: NDArray[Any]
    weights: NDArray[Any]
    correctives: NDArray[Any]
