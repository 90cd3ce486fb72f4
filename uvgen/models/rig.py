"""Joints of a face model, skinned as FLAME's and GNM's are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.checks import check_array, check_finite, frozen
from uvgen.errors import InputError, ModelError
from uvgen.geometry import rotations_about
from uvgen.wording import count

JAW = "jaw"
"""Name of the joint that opens the mouth."""

JAW_STD = (0.15, 0.05)
"""Standard deviations of the parameters of `jaw_components`, radians: about 9° open, 3° sideways."""

_SHARE = 1e-2  # largest error of skinning weights, which are shares of 1
_OPEN_RAD, _SIDEWAYS_RAD = 0.3, 0.1  # where the secants end: a mouth well open, a jaw moved as far as it goes


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """Linear blend skinning with pose correctives. n vertices, j joints, ks + ke components.

    Attributes
    ----------
    names : tuple of str
        Names of the joints; "jaw" is the one that opens the mouth.
    parents : (j,) int
        -1 for the root; a joint comes after its parent.
    joints : (j, 3)
        Positions in the mean face, µm.
    joint_basis : (j, 3, ks + ke)
        How these positions change with the parameters.
    weights : (n, j)
        Skinning weights, rows summing to 1.
    correctives : (n, 3, 9 (j - 1)) or (n, 3, 9 j)
        Offsets per entry of the rotations of all joints but the root, or of all, less the identity, row by row; µm.
    """

    names: tuple[str, ...]
    parents: NDArray[Any]
    joints: NDArray[Any]
    joint_basis: NDArray[Any]
    weights: NDArray[Any]
    correctives: NDArray[Any]


RIG_DTYPES = {
    "parents": np.int32, "joints": np.float32, "joint_basis": np.float32, "weights": np.float32, "correctives":
    np.float32
}  # fmt: skip
"""Each array of a `Rig`, and the type of its numbers in a model."""


def frozen_rig(rig: Rig, source: str) -> Rig:
    """A rig with read-only arrays of `RIG_DTYPES`, checked; ModelError if shapes do not agree or a value is not
    finite."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype in RIG_DTYPES.items():
        given = np.asarray(getattr(rig, name))
        if given.dtype.kind not in "fiub":
            raise ModelError(f"{source}: rig_{name} is {given.dtype} {given.shape}, expected real numbers")
        with np.errstate(over="ignore", invalid="ignore"):
            arrays[name] = frozen(given, dtype)
        if not np.isfinite(arrays[name]).all() or (dtype is np.int32 and not np.array_equal(arrays[name], given)):
            raise ModelError(
                f"{source}: rig_{name} holds NaN, infinity or fractions, expected finite numbers, whole parents"
            )
    n_joints, shapes = len(rig.names), {name: array.shape for name, array in arrays.items()}
    wanted = {
        "parents": (n_joints,), "joints": (n_joints, 3), "joint_basis": (n_joints, 3, *shapes["joint_basis"][2:3]),
        "weights": (*shapes["weights"][:1], n_joints),
    }  # fmt: skip
    for name, shape in wanted.items():
        if shapes[name] != shape or not n_joints:
            raise ModelError(f"{source}: rig_{name} is {shapes[name]}, expected {shape}: {count(n_joints, 'joint')}")
    n, last = shapes["weights"][0], shapes["correctives"][-1:]
    if shapes["correctives"][:-1] != (n, 3) or last not in ((9 * n_joints,), (9 * n_joints - 9,)):
        raise ModelError(f"{source}: rig_correctives is {shapes['correctives']}, expected ({n}, 3, {9 * n_joints - 9})")
    sums = arrays["weights"].sum(axis=1)
    if arrays["weights"].min(initial=0) < -_SHARE or np.abs(sums - 1).max(initial=0) > _SHARE:
        raise ModelError(
            f"{source}: rig_weights are {arrays['weights'].min():.4g} to {arrays['weights'].max():.4g}, in sum "
            f"{sums.min():.4g} to {sums.max():.4g} per vertex, expected shares from 0 to 1 that sum to 1"
        )
    if (arrays["parents"] >= np.arange(n_joints)).any() or (arrays["parents"] < -1).any():
        raise ModelError(f"{source}: rig_parents is {arrays['parents'].tolist()[:16]}, expected earlier joints, or -1")
    return Rig(rig.names, **arrays)


def pose(rig: Rig, vertices: ArrayLike, rotations: ArrayLike, parameters: ArrayLike | None = None) -> NDArray[Any]:
    """Skinned vertices of a face whose joints are turned.

    Parameters
    ----------
    rig : Rig
        The model's.
    vertices : (n, 3)
        The face with its joints unturned, µm: mean plus shape and expression.
    rotations : (j, 3)
        Of each joint against its parent, as axis times angle, radians.
    parameters : (ks + ke,), optional
        Shape and expression parameters of the face, with which the joints move; those of the mean face by default.

    Returns
    -------
    (n, 3) float64
        ``sum_k w_k (G_k (v + c) + o_k)``, with the chain G, o of the joints' rotations, and c the pose correctives, as
        in Li et al., "Learning a model of facial shape and expression from 4D scans", 2017, equations 1 to 4.

    Raises
    ------
    InputError
        If an array has another shape, or is not finite.
    """
    n_joints = len(rig.parents)
    bind, turns = np.asarray(vertices, np.float64), np.asarray(rotations, np.float64)
    check_array(bind, "vertices", (len(rig.weights), 3))
    check_array(turns, "rotations", (n_joints, 3))
    check_finite(bind, "vertices")
    check_finite(turns, "rotations")
    joints = np.asarray(rig.joints, np.float64)
    if parameters is not None:
        given = np.asarray(parameters, np.float64)
        check_array(given, "parameters", (rig.joint_basis.shape[2],))
        check_finite(given, "parameters")
        joints = joints + rig.joint_basis @ given
    local = rotations_about(turns)
    first = n_joints - rig.correctives.shape[2] // 9
    bind = bind + rig.correctives @ (local[first:] - np.eye(3)).reshape(-1)
    world, places = np.empty((n_joints, 3, 3)), np.empty((n_joints, 3))
    for k, parent in enumerate(np.asarray(rig.parents).tolist()):
        if parent < 0:
            world[k], places[k] = local[k], joints[k]
        elif parent < k:
            world[k] = world[parent] @ local[k]
            places[k] = places[parent] + world[parent] @ (joints[k] - joints[parent])
        else:
            raise InputError(f"rig: joint {k} has the parent {parent}, expected one before it, or -1")
    offsets = places - np.einsum("kij,kj->ki", world, joints)
    blended = np.einsum("nk,kij->nij", rig.weights, world)
    skinned: NDArray[Any] = np.einsum("nij,nj->ni", blended, bind) + rig.weights @ offsets
    return skinned


def jaw_components(rig: Rig, mean: ArrayLike) -> NDArray[Any]:
    """The jaw's motion as two linear components: open, and to the image's right.

    Each is a secant: from the closed mouth to one that is 0.3 rad (17°) open, and from a jaw 0.1 rad to the left to one
    as far to the right. In between and beyond, the mouth moves on a straight line where the jaw would turn.

    Parameters
    ----------
    rig : Rig
        With a joint named "jaw", whose turns about x open it, and about y move it sideways.
    mean : (n, 3)
        The mean face, µm.

    Returns
    -------
    (n, 3, 2) float64
        µm per radian of jaw angle; parameters like that have standard deviations of `JAW_STD`.

    Raises
    ------
    InputError
        If the rig has no jaw, or the mean another shape.
    """
    if JAW not in rig.names:
        raise InputError(f"rig: joints {', '.join(rig.names)[:200] or 'without names'}, expected one named {JAW}")
    jaw = rig.names.index(JAW)

    def turned(x: float, y: float) -> NDArray[Any]:
        rotations = np.zeros((len(rig.parents), 3))
        rotations[jaw, :2] = x, y
        return pose(rig, mean, rotations)

    opened = (turned(_OPEN_RAD, 0.0) - turned(0.0, 0.0)) / _OPEN_RAD
    sideways = (turned(0.0, _SIDEWAYS_RAD) - turned(0.0, -_SIDEWAYS_RAD)) / (2 * _SIDEWAYS_RAD)
    return np.stack([opened, sideways], axis=2)
