"""Joints that turn: what skinning gives is compared with vertex after vertex, turned by one joint after the other."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from support.formats import with_rig
from support.toy import toy_model

from uvgen import load_model, save_model
from uvgen.errors import InputError, ModelError
from uvgen.models.rig import JAW_STD, RIG_DTYPES, Rig, jaw_components, pose

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
    with pytest.raises(InputError, match=r"parameters.*NaN"):
        pose(made, vertices, np.zeros((5, 3)), np.full(made.joint_basis.shape[2], np.nan))
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


def test_joints_are_kept_in_a_model_file_and_in_pickles_and_count_in_the_hash(tmp_path: Path) -> None:
    plain = toy_model()
    model = with_rig(plain)
    save_model(model, tmp_path / "a.h5")
    opened = load_model(tmp_path / "a.h5")
    for found in (opened, pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(opened))):
        assert found.rig is not None and model.rig is not None and found.rig.names == ("neck", "jaw")
        for name in RIG_DTYPES:
            np.testing.assert_array_equal(getattr(found.rig, name), getattr(model.rig, name))
            assert not getattr(found.rig, name).flags.writeable
        assert found.content_sha256 == model.content_sha256
    hashes = {plain.content_sha256, model.content_sha256}
    for changes in ({"names": ("neck", "chin")}, {"joints": np.ones((2, 3))}, {"parents": np.array([-1, -1])}):
        hashes.add(with_rig(plain, **changes).content_sha256)
    assert len(hashes) == 5
    save_model(plain, tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert not any("rig" in name for name in (*file, *file.attrs))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.ones((9, 2))}, r"rig_correctives is \(1681, 3, 9\), expected \(9, 3, 9\)"),
        (
            {"weights": np.ones((1681, 2))},
            "rig_weights are 1 to 1, in sum 2 to 2 per vertex, expected shares",
        ),
        (
            {"weights": np.tile([-1, 2], (1681, 1))},
            "rig_weights are -1 to 2, in sum 1 to 1 per vertex, expected",
        ),
        ({"weights": np.ones((1681, 3))}, r"rig_weights is \(1681, 3\), expected \(1681, 2\): 2 joints"),
        ({"parents": np.array([0, 0])}, r"rig_parents is \[0, 0\], expected earlier joints, or -1"),
        ({"parents": np.array([-1, 0.5])}, "rig_parents holds NaN, infinity or fractions"),
        ({"joints": np.full((2, 3), np.nan)}, "rig_joints holds NaN, infinity or fractions"),
        ({"joints": np.array([["a"]])}, "rig_joints is .*, expected real numbers"),
        ({"joint_basis": np.ones((2, 3, 4))}, "rig is of 1681 vertices and 4 components, expected 1681 and 15"),
        ({"correctives": np.ones((1681, 3, 10))}, r"rig_correctives is \(1681, 3, 10\), expected \(1681, 3, 9\)"),
        ({"names": ()}, ".*expected .*: 0 joints"),
    ],
)
def test_joints_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=rf"^a\.file: {message}"):
        with_rig(toy_model(), **changes)


@pytest.mark.parametrize("damage", ["missing", "names", "changed"])
def test_damaged_joints_in_a_model_file_are_named(tmp_path: Path, damage: str) -> None:
    save_model(with_rig(toy_model()), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        if damage == "missing":
            del file["rig_weights"]
        elif damage == "names":
            file.attrs["rig_names"] = np.bytes_("{}")
        else:
            file["rig_joints"][0, 0] = 5
    messages = {"missing": "dataset rig_weights is missing", "names": "rig_names", "changed": "does not have the hash"}
    with pytest.raises(ModelError, match=rf"a\.h5: .*{messages[damage]}"):
        load_model(tmp_path / "a.h5")
