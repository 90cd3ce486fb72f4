"""GNM Head: several meshes in one, UV at corners, seams, a rig without a jaw."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.other_models import SIDE, gnm_content

from uvgen.errors import InputError, ModelError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.models.formats import gnm
from uvgen.models.rig import pose

CONTENT = gnm_content()
N = SIDE * SIDE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.savez_compressed(tmp_path / "gnm_head.npz", **CONTENT)
    return tmp_path / "gnm_head.npz"


def test_read_of_the_whole_head_gives_the_files_numbers(path: Path) -> None:
    assert gnm.recognizes(path)
    model = gnm.read(path)
    for name, array in (("shape_basis", "vertex_identity_basis"), ("expression_basis", "expression_basis")):
        for k, component in enumerate(CONTENT[array]):
            # float32 of about 1e3 µm
            np.testing.assert_allclose(getattr(model, name)[: 4 * N, :, k], component * 1e6, atol=1e-3)
    np.testing.assert_allclose(model.mean[: 4 * N], CONTENT["template_vertex_positions"] * 1e6, atol=0.01)
    assert model.shape_std.tolist() == [1] * 5 and model.expression_std.tolist() == [1] * 4
    assert model.landmarks is None and list(model.sources) == ["gnm_head.npz"]


def test_read_repeats_vertices_on_seams_and_moves_no_surface(path: Path) -> None:
    model = gnm.read(path)
    assert model.uv is not None and model.mirror is not None
    assert len(model.mean) == 4 * N + SIDE == len(model.uv) == len(model.mirror)  # one row of the skin has two UV
    corners = CONTENT["template_vertex_positions"][CONTENT["triangles"]] * 1e6
    np.testing.assert_allclose(model.mean[model.triangles], corners, atol=0.01)
    seam = np.flatnonzero(np.bincount(model.mirror[model.mirror >= 0], minlength=len(model.mean)) == 0)
    assert len(seam) == 2 * SIDE and set(seam[SIDE:]) == set(range(4 * N, 4 * N + SIDE))
    assert (model.mirror[seam] == -1).all()


def test_read_packs_the_uv_of_all_parts_side_by_side(path: Path) -> None:
    model = gnm.read(path)
    assert model.uv is not None
    from_file = CONTENT["triangle_uvs"].astype(np.float64)
    packed = model.uv[model.triangles]
    m = 2 * (SIDE - 1) ** 2
    np.testing.assert_allclose(packed[:m], from_file[:m] * [1, 0.875] + [0, 0.125], atol=1e-6)  # of float32
    tiles = []
    exterior = (CONTENT["vertex_groups"][4] > 0.5)[CONTENT["triangles"][:, 0]]
    of_part = CONTENT["triangles"][:, 0] // N
    for part in (1, 2, 3):
        for layer in (False, True):
            chosen = (of_part == part) & (exterior == layer)
            if chosen.any():
                tiles.append((packed[chosen].min(axis=(0, 1)), packed[chosen].max(axis=(0, 1))))
    assert len(tiles) == 5  # two layers of two eyes, and the tongue
    for low, high in tiles:
        assert low.min() >= 0 and high[1] < 0.125 and high[0] - low[0] > 0.15
    order = sorted((low[0], high[0]) for low, high in tiles)
    assert all(before[1] < after[0] for before, after in pairwise(order))


def test_read_of_the_skin_leaves_out_all_else_and_keeps_its_uv(path: Path) -> None:
    model = gnm.read(path, parts="skin")
    assert model.uv is not None and model.mirror is not None
    assert len(model.mean) == N + SIDE and len(model.triangles) == 2 * (SIDE - 1) ** 2
    np.testing.assert_allclose(model.uv[model.triangles], CONTENT["triangle_uvs"][: len(model.triangles)], atol=1e-6)
    assert model.rig is not None and model.rig.weights.shape == (N + SIDE, 4)
    np.testing.assert_array_equal(model.mirror[:SIDE], np.arange(SIDE)[::-1])


def test_read_keeps_the_rig_with_correctives_of_all_joints(path: Path) -> None:
    model = gnm.read(path)
    assert model.rig is not None and model.rig.parents.tolist() == [-1, 0, 1, 1]
    assert model.rig.names == ("neck", "head", "left_eye", "right_eye") and model.rig.joint_basis.shape == (4, 3, 9)
    rotations = np.random.default_rng(0).normal(size=(4, 3)) * 0.3
    turns = Rotation.from_rotvec(rotations).as_matrix()
    offset = (turns - np.eye(3)).reshape(-1) @ CONTENT["pose_correctives_regressor"]
    vertices = CONTENT["template_vertex_positions"] + offset.reshape(-1, 3)
    places = CONTENT["template_joint_positions"].astype(np.float64)
    world, at = [turns[0]], [places[0]]
    for k, parent in ((1, 0), (2, 1), (3, 1)):
        world.append(world[parent] @ turns[k])
        at.append(at[parent] + world[parent] @ (places[k] - places[parent]))
    expected = sum(
        CONTENT["skinning_weights"][k][:, None] * ((vertices - places[k]) @ world[k].T + at[k]) for k in range(4)
    )
    np.testing.assert_allclose(pose(model.rig, model.mean, rotations)[: 4 * N], expected * 1e6, atol=0.1)  # float32


def test_landmarks_are_different_vertices_that_mirror_each_other_in_number() -> None:
    """The file's own: right ones below 5,400, left ones above, but on the middle line."""
    assert len(set(gnm._LANDMARKS)) == 68
    middle = np.flatnonzero(np.arange(68) == LANDMARK_MIRROR)
    sides = np.array(gnm._LANDMARKS) < 5400
    for k in set(range(68)) - set(middle.tolist()):
        assert sides[k] != sides[LANDMARK_MIRROR[k]]


def cut(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (CONTENT | changes).items() if value is not None}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no triangles": (cut(triangles=None), "holds no triangles, only version"),
    "no identity": (cut(vertex_identity_basis=None), "holds no vertex_identity_basis"),
    "another variant": (cut(variant=np.array("body")), "its variant is 'body', expected head"),
    "an earlier version": (cut(version=np.array("2.1")), "its version is '2.1', expected 3.0"),
    "a later version": (cut(version=np.array("30.0")), "its version is '30.0', expected 3.0"),
    "a version that is a list": (cut(version=np.array(["3.0", "4.0"])), "its version is .*, expected 3.0"),
    "triangles of other vertices": (cut(triangles=CONTENT["triangles"] + 9999), "triangles name vertices 9999 to"),
    "triangles of floats": (cut(triangles=CONTENT["triangles"] * 1.0), r"triangles is float64 .*expected whole"),
    "basis of another mesh": (cut(expression_basis=np.zeros((4, 7, 3))), r"expression_basis is float64 \(4, 7, 3\)"),
    "weights of other joints": (cut(skinning_weights=np.ones((5, 4 * N))), r"skinning_weights .*expected .*\(4, 324\)"),
    "weights below 0": (
        cut(skinning_weights=-CONTENT["skinning_weights"]),
        "skinning_weights are -.* expected shares of 1, one per joint",
    ),
    "weights that are no shares": (
        cut(skinning_weights=2 * CONTENT["skinning_weights"]), "skinning_weights are .* in sum up to 2, expected shares"
    ),
    "UV outside": (cut(triangle_uvs=CONTENT["triangle_uvs"] + 1), "triangle_uvs holds NaN or leaves"),
    "UV that are NaN": (cut(triangle_uvs=CONTENT["triangle_uvs"] * np.nan), "triangle_uvs holds NaN"),
    "mirror of other vertices": (cut(mirror_indices=CONTENT["mirror_indices"] + 1), "mirror_indices name 1 to 324"),
    "a part without group": (cut(mesh_component_names=np.array(["skin", "hat"])), "vertex_group_names has no 'hat'"),
    "parts that are not all": (cut(mesh_component_names=np.array(["skin"])), "expected skin and all other parts"),
    "parts without skin": (
        cut(mesh_component_names=np.array(["left_eye", "right_eye"])), "expected skin and all other parts"
    ),
    "triangles across parts": (
        cut(triangles=np.concatenate([[[0, 1, N]], CONTENT["triangles"][1:]])), "triangle 0 has corners of two parts"
    ),
    "parents in a ring": (cut(joint_parent_indices=np.array([0, 2, 1, 1])), "joint_parent_indices are .* expected"),
    "a component named twice": (
        cut(mesh_component_names=np.array(["skin", "tongue", "tongue"])), "mesh_component_names has 'tongue' twice"
    ),
    "a group named twice": (
        cut(vertex_group_names=np.array(["skin", "left_eye", "right_eye", "tongue", "skin", "nose"])),
        "vertex_group_names has 'skin' twice",
    ),
    "objects": (cut(expression_basis=np.array([{}], object)), "expression_basis holds Python objects"),
    "one number": (cut(template_vertex_positions=np.float32(1)), "template_vertex_positions is float32"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_read_of_a_bad_file_names_the_array(tmp_path: Path, kind: str) -> None:
    content, message = BAD[kind]
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(ModelError, match=rf"a\.npz: .*({message})"):
        gnm.read(tmp_path / "a.npz")


def test_read_of_very_many_names_does_not_look_for_each(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **gnm_content() | {"mesh_component_names": np.array(["skin"] * 4091)})
    with pytest.raises(ModelError, match="4097 names of groups and components, expected 4096 at most"):
        gnm.read(tmp_path / "a.npz")


SMALL = {  # three vertices: all that else is a face's is multiplied with them
    "template_vertex_positions": np.eye(3, dtype=np.float32) * 0.1,
    "vertex_identity_basis": np.zeros((0, 3, 3), np.float32),
    "expression_basis": np.zeros((4, 3, 3), np.float32),
    "triangles": np.array([[0, 1, 2]]),
}


def test_read_of_more_joints_than_vertices_is_refused(tmp_path: Path) -> None:
    joints = {
        "joint_names": np.array(list("abcd")), "joint_parent_indices": np.zeros(4, int),
        "template_joint_positions": np.zeros((4, 3)), "joint_identity_basis": np.zeros((0, 4, 3)),
        "skinning_weights": np.full((4, 3), 0.25), "pose_correctives_regressor": np.zeros((36, 9)),
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", **SMALL, **joints)
    with pytest.raises(ModelError, match=r"a\.npz: 4 joints of 3 vertices, expected a few joints"):
        gnm.read(tmp_path / "a.npz")


def test_read_of_very_many_uv_of_a_vertex_is_refused(tmp_path: Path) -> None:
    uv = np.random.default_rng(0).uniform(size=(10, 3, 2)).astype(np.float32)
    parts = {
        "vertex_groups": np.ones((1, 3)), "vertex_group_names": np.array(["skin"]),
        "mesh_component_names": np.array(["skin"]),
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", **SMALL | {"triangles": np.tile([0, 1, 2], (3, 1))}, triangle_uvs=uv[:3], **parts)
    with pytest.raises(ModelError, match=r"a\.npz: texture coordinates: 9 for 3 vertices, expected one for each"):
        gnm.read(tmp_path / "a.npz")


def test_read_of_a_file_of_halves_gives_the_same_joints_nearly(path: Path) -> None:
    whole = gnm.read(path)
    halves = {k: a.astype(np.float16) if a.dtype == np.float32 else a for k, a in CONTENT.items()}
    np.savez(path, **halves)
    found = gnm.read(path)
    assert found.rig is not None and whole.rig is not None
    for name in ("joints", "joint_basis", "weights", "correctives"):
        values = getattr(whole.rig, name)
        np.testing.assert_allclose(getattr(found.rig, name), values, atol=1e-3 * np.abs(values).max(), err_msg=name)


def test_read_of_a_file_without_parts_has_no_uv_and_no_skin(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **cut(vertex_groups=None, joint_names=None))
    model = gnm.read(tmp_path / "a.npz")
    assert model.uv is None and model.rig is None and len(model.mean) == 4 * N
    with pytest.raises(ModelError, match=r"a\.npz: has no vertex_groups, .*they say what the skin is"):
        gnm.read(tmp_path / "a.npz", parts="skin")


def test_read_of_other_parts_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="parts"):
        gnm.read(path, parts="face")


def test_read_of_a_truncated_or_missing_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"gnm_head\.npz: not a readable GNM Head: no archive of arrays"):
        gnm.read(path)
    assert not gnm.recognizes(path)
    with pytest.raises(ModelError, match=r"none\.npz: cannot be read"):
        gnm.read(path.with_name("none.npz"))


def test_mirror_pairs_with_one_vertex_on_a_seam_are_unknown() -> None:
    found = gnm._beside_seams(np.array([1, 0, 3, 2, 4]), np.array([0], np.int32))
    assert found.tolist() == [-1, -1, 3, 2, 4, -1]
