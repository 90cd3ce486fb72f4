"""FLAME: pickles with objects of chumpy and SciPy, read without these packages, and .npz."""

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from support.other_models import flame_content, flame_pickle

from uvgen.errors import ModelError
from uvgen.models.formats import flame
from uvgen.models.rig import JAW_STD, pose

CONTENT = flame_content()


@pytest.mark.parametrize("protocol", range(6))
def test_read_of_a_pickle_takes_numbers_out_of_objects(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(flame_pickle(CONTENT, protocol))
    assert "chumpy" not in sys.modules and flame.recognizes(path)
    model = flame.read(path, jaw=False)
    np.testing.assert_allclose(model.mean, CONTENT["v_template"] * 1e6)
    np.testing.assert_allclose(model.shape_basis, CONTENT["shapedirs"][:, :, :300] * 1e6)
    np.testing.assert_allclose(model.expression_basis, CONTENT["shapedirs"][:, :, 300:] * 1e6)
    np.testing.assert_array_equal(model.triangles, CONTENT["f"])
    assert model.rig is not None and model.rig.parents.tolist() == [-1, 0, 1, 1, 1]
    regressor = CONTENT["J_regressor"].toarray()
    np.testing.assert_allclose(model.rig.joints, regressor @ CONTENT["v_template"] * 1e6)
    moved = CONTENT["v_template"] + CONTENT["shapedirs"] @ np.full(303, 0.1)
    joints = model.rig.joints + model.rig.joint_basis @ np.full(303, 0.1)
    np.testing.assert_allclose(joints, regressor @ moved * 1e6)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_read_of_an_npz_gives_what_the_pickle_gives(tmp_path: Path, save: Any) -> None:
    (tmp_path / "a.pkl").write_bytes(flame_pickle(CONTENT))
    save(tmp_path / "a.npz", **flame_content(sparse=False))
    assert flame.recognizes(tmp_path / "a.npz")
    pickled, zipped = flame.read(tmp_path / "a.pkl"), flame.read(tmp_path / "a.npz")
    for name in ("mean", "shape_basis", "expression_basis", "triangles", "expression_std"):
        np.testing.assert_allclose(getattr(zipped, name), getattr(pickled, name), err_msg=name)
    assert pickled.rig is not None and zipped.rig is not None
    np.testing.assert_allclose(zipped.rig.joint_basis, pickled.rig.joint_basis)


def test_read_of_rows_and_of_columns_of_a_sparse_matrix_is_the_same(tmp_path: Path) -> None:
    for kind in (scipy.sparse.csc_matrix, scipy.sparse.csr_matrix):
        (tmp_path / f"{kind.__name__}.pkl").write_bytes(
            pickle.dumps(CONTENT | {"J_regressor": kind(CONTENT["J_regressor"])})
        )
    columns, rows = (flame.read(tmp_path / f"{kind}_matrix.pkl").rig for kind in ("csc", "csr"))
    assert columns is not None and rows is not None
    np.testing.assert_allclose(columns.joints, rows.joints, rtol=1e-12)  # sums in another order


def test_read_lets_two_components_of_the_jaw_follow_the_expressions(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(flame_pickle(CONTENT))
    model = flame.read(path)
    assert model.rig is not None and model.expression_basis.shape[2] == 5
    assert model.expression_std.tolist() == [1, 1, 1, *JAW_STD]
    assert model.rig.joint_basis.shape == (5, 3, 305) and not model.rig.joint_basis[:, :, 303:].any()
    rotations = np.zeros((5, 3))
    rotations[2, 0] = 0.3
    opened = pose(model.rig, model.mean, rotations, np.zeros(305))
    np.testing.assert_allclose(model.mean + 0.3 * model.expression_basis[:, :, 3], opened, atol=1e-6)


def test_landmarks_of_embedding_are_the_heaviest_corners(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    triangles = CONTENT["f"]
    faces, weights = rng.integers(0, len(triangles), 68), rng.dirichlet(np.ones(3), 68)
    expected = [
        int(triangles[face][list(weight).index(max(weight))]) for face, weight in zip(faces, weights, strict=True)
    ]
    decas = {
        "static_lmk_faces_idx": faces[:51],
        "full_lmk_faces_idx": faces[None],
        "full_lmk_bary_coords": weights[None],
    }
    np.save(tmp_path / "landmark_embedding.npy", np.array(decas, object), allow_pickle=True)
    plain = {"lmk_face_idx": faces.astype(np.uint32), "lmk_b_coords": weights}
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(plain, 2))
    np.savez(tmp_path / "c.npz", other=np.array([{}], object), **plain)
    for name in ("landmark_embedding.npy", "b.pkl", "c.npz"):
        assert flame.landmarks_of_embedding(tmp_path / name, triangles).tolist() == expected
    (tmp_path / "a.pkl").write_bytes(flame_pickle(CONTENT))
    model = flame.read(tmp_path / "a.pkl", landmarks=tmp_path / "b.pkl")
    assert model.landmarks is not None and model.landmarks.tolist() == expected
    assert list(model.sources) == ["a.pkl", "b.pkl"]


def test_landmarks_of_embedding_pass_over_tensors(tmp_path: Path) -> None:
    """DECA's file has some, which only PyTorch could make."""
    faces, weights = np.zeros((1, 68), int), np.full((1, 68, 3), 1 / 3)
    inner = pickle.dumps({"full_lmk_faces_idx": faces, "full_lmk_bary_coords": weights}, 2)
    storage = b"ctorch.storage\n_load_from_bytes\n(B\x03\x00\x00\x00abctR"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00(I2\nt(I1\nt\x89NtR"
    data = inner[:-1] + b"X\x03\x00\x00\x00dyn" + tensor + b"s."
    (tmp_path / "a.pkl").write_bytes(data)
    assert flame.landmarks_of_embedding(tmp_path / "a.pkl", CONTENT["f"]).shape == (68,)


LANDMARKS: dict[str, tuple[Any, str]] = {
    "51": (
        {"lmk_face_idx": np.zeros(51, int), "lmk_b_coords": np.ones((51, 3))},
        r"lmk_face_idx has 51 landmarks .* a file of 51 has none on the jaw line",
    ),
    "other": ({"a": 1}, "holds a, expected full_lmk_faces_idx or lmk_face_idx"),
    "a list": ([1], "holds a list, expected a dict"),
    "another model's": (
        {"lmk_face_idx": np.full(68, 9999), "lmk_b_coords": np.ones((68, 3))}, "names triangles 9999 to 9999"
    ),
    "half a triangle": (
        {"lmk_face_idx": np.full(68, 1.5), "lmk_b_coords": np.full((68, 3), 1 / 3)}, "numbers that are not whole"
    ),
    "no shares": (
        {"lmk_face_idx": np.zeros(68), "lmk_b_coords": np.zeros((68, 3))}, "weights of 0 to 0, expected three shares"
    ),
    "shares below 0": (
        {"lmk_face_idx": np.zeros(68), "lmk_b_coords": np.tile([-1, 1, 1], (68, 1))}, "weights of -1 to 1, expected"
    ),
    "no weights": (
        {"lmk_face_idx": np.zeros(68), "lmk_b_coords": np.zeros((68, 0))}, r"weights \(0, 1\), expected 68"
    ),
    "one number": (
        {"lmk_face_idx": np.zeros(68), "lmk_b_coords": np.float32(1)}, r"weights \(1, 1\)|expected an array"
    ),
    "NaN": ({"lmk_face_idx": np.zeros(68), "lmk_b_coords": np.full((68, 3), np.nan)}, "NaN"),
    "text": ({"lmk_face_idx": "x", "lmk_b_coords": np.ones((68, 3))}, "lmk_face_idx holds a str"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LANDMARKS)
def test_landmarks_of_embedding_of_another_file_are_refused(tmp_path: Path, kind: str) -> None:
    content, message = LANDMARKS[kind]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match=rf"a\.pkl: .*({message})"):
        flame.landmarks_of_embedding(tmp_path / "a.pkl", CONTENT["f"])


def test_landmarks_of_embedding_of_no_such_file_and_plain_npy_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ModelError, match=r"a\.npy: .*a \.npy file that holds no dict"):
        flame.landmarks_of_embedding(tmp_path / "a.npy", CONTENT["f"])
    with pytest.raises(ModelError, match=r"b\.npy: cannot be read"):
        flame.landmarks_of_embedding(tmp_path / "b.npy", CONTENT["f"])


def sparse(**changes: Any) -> dict[str, Any]:
    matrix = flame_content()["J_regressor"]
    matrix.__dict__.update(changes)
    return {"J_regressor": matrix}


BODY = {"kintree_table": np.zeros((2, 24), int)}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a body": (BODY, "kintree_table has 24 joints, expected FLAME's 5.*SMPL"),
    "no template": ({"v_template": None}, "v_template holds a NoneType, expected an array"),
    "a list": ({"v_template": [[1.0, 2, 3]]}, "v_template holds a list"),
    "shapes of another mesh": ({"shapedirs": np.zeros((3, 3, 303))}, r"shapedirs is \(3, 3, 303\), expected \(81"),
    "few shapes": ({"shapedirs": np.zeros((81, 3, 10))}, "shapedirs has 10 components, expected 300 of identity"),
    "many shapes": ({"shapedirs": np.zeros((81, 3, 4097), np.int8)}, "shapedirs has 4097 components, expected FLAME"),
    "weights of 4 joints": ({"weights": np.zeros((81, 4))}, r"weights is \(81, 4\), expected \(81, 5\)"),
    "correctives of the root too": ({"posedirs": np.zeros((81, 3, 45))}, r"posedirs is .*, expected \(81, 3, 36\)"),
    "triangles of other vertices": ({"f": np.full((2, 3), 81)}, "f names vertices 81 to 81, expected 0 to 80"),
    "triangles of halves": ({"f": np.full((2, 3), 0.5)}, "f names vertices 0.5 to 0.5, expected 0 to 80"),
    "parents in a ring": ({"kintree_table": np.array([[-1, 2, 1, 1, 1]] * 2)}, "parents .*expected each before"),
    "joints in another order": (
        {"kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 4, 3]])}, "joints 0, 1, 2, 4, 3, expected 0 to 4"
    ),
    "weights of no joint": ({"weights": np.zeros((81, 5))}, "weights are 0 to 0, in sum 0, expected shares of 1"),
    "weights below 0": ({"weights": -CONTENT["weights"]}, "weights are -.* expected shares of 1, one per joint"),
    "NaN": ({"v_template": np.full((81, 3), np.nan)}, "NaN or infinity"),
    "a sparse matrix of another shape": (sparse(_shape=(5, 1 << 40)), r"J_regressor is \(5, 1099511627776\), expected"),
    "a sparse matrix of floats of rows": (sparse(_shape=(5.0, 81.0)), r"J_regressor is \(5.0, 81.0\), expected"),
    "a sparse matrix beyond its shape": (sparse(indices=np.full(3, 9)), "J_regressor is a damaged scipy.sparse"),
    "a sparse matrix without rows": (sparse(indptr=None), "J_regressor is a damaged scipy.sparse"),
    "a sparse matrix of text": (sparse(data=np.array(["a"])), "J_regressor is a damaged scipy.sparse"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_read_of_a_bad_model_names_the_part(tmp_path: Path, kind: str) -> None:
    changes, message = BAD[kind]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(CONTENT | changes))
    with pytest.raises(ModelError, match=rf"a\.pkl: .*({message})"):
        flame.read(path)


def test_read_of_a_file_without_a_part_names_it(tmp_path: Path) -> None:
    rest = {key: value for key, value in CONTENT.items() if key != "posedirs"}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(rest))
    with pytest.raises(ModelError, match=r"a\.pkl: holds no posedirs, only v_template"):
        flame.read(tmp_path / "a.pkl")
    np.savez(tmp_path / "a.npz", **{key: value for key, value in rest.items() if key != "J_regressor"})
    with pytest.raises(ModelError, match=r"a\.npz: .*holds no posedirs"):
        flame.read(tmp_path / "a.npz")
    assert not flame.recognizes(tmp_path / "a.npz")


def test_read_of_an_npz_with_a_pickle_inside_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **CONTENT)  # the sparse matrix becomes an array of objects
    with pytest.raises(ModelError, match=r"a\.npz: .*J_regressor holds Python objects, expected numbers or text"):
        flame.read(tmp_path / "a.npz")


@pytest.mark.parametrize("n", [0, 100, 3000, -2])
def test_read_of_a_truncated_file_is_refused(tmp_path: Path, n: int) -> None:
    data = flame_pickle(CONTENT)
    (tmp_path / "a.pkl").write_bytes(data[:n])
    with pytest.raises(ModelError, match=r"a\.pkl: not a readable FLAME model: .*damaged"):
        flame.read(tmp_path / "a.pkl")


def test_read_of_a_hostile_pickle_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = flame_pickle(CONTENT).replace(b"chumpy.ch\nCh\n", b"posix\nsystem\n")
    assert flame_pickle(CONTENT) != data
    Path("a.pkl").write_bytes(data)
    with pytest.raises(ModelError, match=r"a\.pkl: .*it needs posix\.system"):
        flame.read(Path("a.pkl"))
