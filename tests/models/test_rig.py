"""Joints that turn: what skinning gives is compared with vertex after vertex, turned by one joint after the other."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from uvgen.errors import InputError
from uvgen.models.rig import JAW_STD, Rig, jaw_components, pose

N = 40


def rig(*, with_root: bool = False, seed: int = 0) -> tuple[Rig, NDArray[np.float64]]:
    """A made-up chain of five joints, and a face."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(size=(N, 5))
    made = Rig(
        names=("root", "neck", "jaw", "left eye", "right eye"),
        parents=np.array([-1, 0, 1, 1, 1]),
        joints=rng.normal(size=(5, 3)) * 3e4,
        joint_basis=rng.normal(size=(5, 3, 7)) * 1e3,
        weights=weights / weights.sum(axis=1, keepdims=True),
        correctives=rng.normal(size=(N, 3, 45 if with_root else 36)) * 500,
    )
    return made, rng.normal(size=(N, 3)) * 8e4


def slow_pose(
    rig: Rig, vertices: NDArray[np.float64], rotations: NDArray[np.float64], parameters: NDArray[np.float64]
) -> NDArray[np.float64]:
    """4 × 4 matrices, walked up from each joint to the root, one vertex at a time."""
    n_joints = len(rig.parents)
    turns = [Rotation.from_rotvec(rotation).as_matrix() for rotation in rotations]
    joints = [rig.joints[k] + sum(parameters[c] * rig.joint_basis[k, :, c] for c in range(7)) for k in range(n_joints)]
    entries = np.concatenate([(turn - np.eye(3)).ravel() for turn in turns])
    entries = entries[len(entries) - rig.correctives.shape[2] :]
    found = np.zeros((N, 3))
    for v in range(N):
        start = vertices[v] + np.array([rig.correctives[v, axis] @ entries for axis in range(3)])
        for k in range(n_joints):
            point, joint = np.append(start, 1.0), k
            while joint >= 0:
                about = np.eye(4)  # turns about the joint's place in the unturned face
                about[:3, :3], about[:3, 3] = turns[joint], joints[joint] - turns[joint] @ joints[joint]
                point, joint = about @ point, int(rig.parents[joint])
            found[v] += rig.weights[v, k] * point[:3]
    return found


@pytest.mark.parametrize("with_root", [False, True])
def test_pose_is_what_each_vertex_gives_by_itself(with_root: bool) -> None:
    made, vertices = rig(with_root=with_root)
    rng = np.random.default_rng(1)
    rotations, parameters = rng.normal(size=(5, 3)), rng.normal(size=7)
    found = pose(made, vertices, rotations, parameters)
    np.testing.assert_allclose(found, slow_pose(made, vertices, rotations, parameters), atol=1e-6)  # of 1e5 µm
    assert np.abs(pose(made, vertices, rotations) - found).max() > 100  # the parameters move the joints


def test_pose_without_rotations_gives_the_face_itself() -> None:
    made, vertices = rig()
    np.testing.assert_allclose(pose(made, vertices, np.zeros((5, 3))), vertices, atol=1e-9)


def test_pose_of_a_turned_root_turns_the_face_as_a_body() -> None:
    made, vertices = rig()
    rotations = np.zeros((5, 3))
    rotations[0] = 0.3, -0.2, 0.9
    turn = Rotation.from_rotvec(rotations[0]).as_matrix()
    expected = (vertices - made.joints[0]) @ turn.T + made.joints[0]
    np.testing.assert_allclose(pose(made, vertices, rotations), expected, atol=1e-6)


def test_pose_of_other_shapes_is_refused() -> None:
    made, vertices = rig()
    with pytest.raises(InputError, match=r"rotations: float64 \(4, 3\), expected"):
        pose(made, vertices, np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"vertices: float64 \(3, 3\), expected"):
        pose(made, vertices[:3], np.zeros((5, 3)))
    with pytest.raises(InputError, match=r"parameters: float64 \(6,\), expected"):
        pose(made, vertices, np.zeros((5, 3)), np.zeros(6))
    with pytest.raises(InputError, match=r"rotations.*NaN"):
        pose(made, vertices, np.full((5, 3), np.nan))
    with pytest.raises(InputError, match="joint 1 has the parent 2, expected one before it"):
        pose(dataclasses.replace(made, parents=np.array([-1, 2, 0, 1, 1])), vertices, np.zeros((5, 3)))


def test_jaw_components_open_the_mouth_as_the_joint_does() -> None:
    made, vertices = rig()
    components = jaw_components(made, vertices)
    rotations = np.zeros((5, 3))
    rotations[2, 0] = 0.3
    np.testing.assert_allclose(vertices + 0.3 * components[:, :, 0], pose(made, vertices, rotations), atol=1e-6)
    rotations[2] = 0, 0.1, 0
    exact, linear = pose(made, vertices, rotations), vertices + 0.1 * components[:, :, 1]
    moved = np.abs(exact - vertices).max()
    assert np.abs(exact - linear).max() < 0.06 * moved  # half the angle, squared, and what a symmetric secant halves
    assert components.shape == (N, 3, len(JAW_STD))


def test_jaw_components_of_a_rig_without_a_jaw_are_refused() -> None:
    made, vertices = rig()
    with pytest.raises(InputError, match="joints neck, head, expected one named jaw"):
        jaw_components(dataclasses.replace(made, names=("neck", "head")), vertices)
