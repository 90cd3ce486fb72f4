"""Foreign models: each published layout read from small files, and each way in which such files are wrong."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from support.fits import assert_fits
from support.formats import (
    kept_vertices,
    place_of,
    tddfa_parts,
    write_deep3d,
    write_deep3d_parts,
    write_tddfa,
    write_tddfa_parts,
    write_whole,
)
from support.toy import face3d_files, toy_model

from uvgen import (
    BuildConfig,
    PositionMapper,
    Supplements,
    SynthOptions,
    build_shards,
    convert_model,
    load_model,
    open_shards,
    render_faces,
)
from uvgen.errors import InputError, ModelError
from uvgen.models.assembled import AssembledModel
from uvgen.models.formats import FORMATS, bfm2009, bfm_whole, deep3d, format_of, tddfa_v2
from uvgen.models.morphable import MorphableModel

WRITERS: dict[str, Callable[[Path, MorphableModel], Path]] = {
    "tddfa_v2": write_tddfa,
    "tddfa_v2 parts": write_tddfa_parts,
    "deep3d": write_deep3d,
    "deep3d parts": write_deep3d_parts,
}


@pytest.fixture(scope="module")
def whole() -> MorphableModel:
    return toy_model(with_mouth=True)


def triangle_set(triangles: Any) -> set[frozenset[int]]:
    return {frozenset(corners) for corners in np.asarray(triangles).tolist()}


FIRST, *OTHERS = WRITERS


@pytest.mark.parametrize("name", [FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_each_format_is_recognized_read_completed_and_mapped(tmp_path: Path, whole: MorphableModel, name: str) -> None:
    path = WRITERS[name](tmp_path / "files", whole)
    kept = kept_vertices()
    assert format_of(path) is next(item for item in FORMATS if item.module == name.split()[0])
    model = convert_model(tmp_path / "model.h5", path).model
    assert load_model(path).content_sha256 == model.content_sha256 == load_model(tmp_path / "model.h5").content_sha256
    assert model.n_vertices == len(kept)
    np.testing.assert_array_equal(model.landmarks, place_of(kept, whole.n_vertices)[whole.landmarks])
    assert model.uv.min() == 0 and model.uv.max() == 1
    assert model.mirror is not None and (model.mirror >= 0).mean() > 0.9
    mapper = PositionMapper(model, 32)
    maps, landmarks = mapper.maps_of_vertices(model.mean[None] / 1e3)
    assert maps.shape == (1, 32, 32, 3) and np.isfinite(maps).all()
    np.testing.assert_allclose(landmarks[0], (model.mean / 1e3 - [0, 0, model.mean[:, 2].min() / 1e3])[model.landmarks],
                               atol=1e-4)  # fmt: skip
    render_faces(tmp_path / "faces", 2, model=model, options=SynthOptions(size=64, seed=1, flip=False))
    build_shards(tmp_path / "faces", tmp_path / "shards", model=model, config=BuildConfig(size=32, uv_size=32))
    assert_fits(model, tmp_path / "faces")
    shards = open_shards(tmp_path / "shards")
    assert len(shards) == 2 and shards[0]["shape"].shape == (model.n_shape,)
    assert np.isfinite(shards[0]["posmap"]).all() and np.isfinite(shards[1]["posmap"]).all()


def test_tddfa_v2_gives_what_its_files_hold_from_pickles_and_from_parts(tmp_path: Path, whole: MorphableModel) -> None:
    kept = kept_vertices()
    read = [tddfa_v2.read(write(tmp_path / write.__name__, whole)) for write in (write_tddfa, write_tddfa_parts)]
    for found in read:
        np.testing.assert_array_equal(found.mean, whole.mean[kept])
        np.testing.assert_array_equal(found.shape_basis, whole.shape_basis[kept])
        np.testing.assert_array_equal(found.expression_basis, whole.expression_basis[kept])
        assert found.uv is None and found.regions is None and (found.shape_std == 1).all()
        np.testing.assert_array_equal(found.triangles, read[0].triangles)


def test_face3d_files_beside_information_of_another_trim_are_read(tmp_path: Path, whole: MorphableModel) -> None:
    """Their UV are trimmed, and need none."""
    path = face3d_files(whole, tmp_path)
    expected = load_model(path)
    info = sio.loadmat(tmp_path / "BFM_info.mat")["model_info"]
    fields = {name: info[0, 0][name] for name in info.dtype.names}
    for trim in (np.arange(1, whole.n_vertices), np.arange(1, whole.n_vertices + 5)):
        fields["trimIndex"] = trim[:, None].astype(np.float64)
        sio.savemat(tmp_path / "BFM_info.mat", {"model_info": fields})
        np.testing.assert_array_equal(load_model(path).uv, expected.uv)


def test_face3d_files_beside_information_of_another_model_are_refused(tmp_path: Path, whole: MorphableModel) -> None:
    path = face3d_files(whole, tmp_path)
    info = sio.loadmat(tmp_path / "BFM_info.mat")["model_info"]
    fields = {name: info[0, 0][name] for name in info.dtype.names}
    assert "kpt_ind" not in fields  # as in face3d's own
    same = whole.landmarks[:, None] + 1.0
    sio.savemat(tmp_path / "BFM_info.mat", {"model_info": fields | {"kpt_ind": same}})
    load_model(path)
    sio.savemat(tmp_path / "BFM_info.mat", {"model_info": fields | {"kpt_ind": same + 1}})
    with pytest.raises(ModelError, match=r"BFM_info\.mat: kpt_ind is not that of .*BFM\.mat, expected the same 68"):
        load_model(path)


def test_tddfa_v2_parts_of_two_means_and_matlab_triangles_are_read(tmp_path: Path, whole: MorphableModel) -> None:
    folder = write_tddfa_parts(tmp_path, whole)
    mean, triangles = np.load(folder / "u.npy"), np.load(folder / "tri.npy")
    np.save(folder / "u_shp.npy", mean - 5)
    np.save(folder / "u_exp.npy", np.full_like(mean, 5))
    sio.savemat(folder / "tri.mat", {"tri": triangles + 1})
    expected = tddfa_v2.read(folder)
    for name in ("u.npy", "tri.npy"):
        (folder / name).unlink()
    (folder / "keypoints.npy").rename(folder / "keypoints_sim.npy")
    found = tddfa_v2.read(folder)
    np.testing.assert_allclose(found.mean, expected.mean, atol=0.02)  # float32 of 1e5 µm
    np.testing.assert_array_equal(found.triangles, expected.triangles)
    assert set(found.sources) == {"u_shp.npy", "u_exp.npy", "w_shp.npy", "w_exp.npy", "keypoints_sim.npy", "tri.mat"}
    for name in ("w_shp", "w_exp"):
        (folder / f"{name}.npy").rename(folder / f"{name}_sim.npy")
    assert tddfa_v2.recognizes(folder)
    of_3ddfa = tddfa_v2.read(folder)
    np.testing.assert_array_equal(of_3ddfa.shape_basis, expected.shape_basis)
    np.testing.assert_array_equal(of_3ddfa.expression_basis, expected.expression_basis)
    np.save(folder / "u_exp.npy", np.zeros((3, 1)))
    with pytest.raises(ModelError, match=r"u_shp of \d+ and u_exp of 1 vertex, expected as many"):
        tddfa_v2.read(folder)


def test_tddfa_v2_takes_the_networks_components_and_their_deviations(tmp_path: Path, whole: MorphableModel) -> None:
    path = write_tddfa(tmp_path, whole)
    content = pickle.loads(path.read_bytes())
    content["w_shp"], content["w_exp"] = np.tile(content["w_shp"], 5), np.tile(content["w_exp"], 5)
    path.write_bytes(pickle.dumps(content))
    found = tddfa_v2.read(path)
    assert found.shape_basis.shape[2] == 40 and found.expression_basis.shape[2] == 10
    statistics = {"mean": np.zeros(62, np.float32), "std": np.arange(1, 63, dtype=np.float32)}
    (tmp_path / tddfa_v2.STATISTICS).write_bytes(pickle.dumps(statistics))
    found = tddfa_v2.read(path)
    np.testing.assert_array_equal(np.r_[found.shape_std, found.expression_std], np.arange(13, 63))
    assert tddfa_v2.STATISTICS in found.sources
    (tmp_path / tddfa_v2.STATISTICS).unlink()
    of_3ddfa = {f"param_{key}": value + 1 for key, value in statistics.items()}
    (tmp_path / tddfa_v2.WHITENING).write_bytes(pickle.dumps(of_3ddfa))
    np.testing.assert_array_equal(tddfa_v2.read(path).shape_std, np.arange(14, 54))
    for bad in ({"mean": np.zeros(62)}, {"mean": np.zeros(62), "std": np.zeros(62)}, {"mean": 1, "std": 2}, [1]):
        (tmp_path / tddfa_v2.STATISTICS).write_bytes(pickle.dumps(bad))
        with pytest.raises(ModelError, match=f"{tddfa_v2.STATISTICS}: .*expected"):
            tddfa_v2.read(path)


class Hostile:
    """Pickled, it calls os.mkdir as it is read by `pickle.load`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("damage", ["hostile", "cut", "text", "list", "objects"])
@pytest.mark.parametrize("name", ["bfm_noneck_v3.pkl", "tri.pkl"])
def test_tddfa_v2_of_a_bad_pickle_names_it_and_runs_nothing(
    tmp_path: Path, whole: MorphableModel, damage: str, name: str
) -> None:
    path = write_tddfa(tmp_path, whole)
    bad, ran = tmp_path / name, tmp_path / "ran"
    match damage:
        case "hostile":
            bad.write_bytes(pickle.dumps({"w_shp": Hostile(ran), "w_exp": 1}))
        case "cut":
            bad.write_bytes(bad.read_bytes()[:-2000])
        case "text":
            bad.write_text("w_shp w_exp")
        case "list":
            bad.write_bytes(pickle.dumps(["w_shp", "w_exp"]))
        case "objects":
            bad.write_bytes(pickle.dumps(np.array([{"w_shp": "w_exp"}], object)))
    with pytest.raises(ModelError, match=rf"{name}: .*expected"):
        tddfa_v2.read(path)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("u", np.ones((7, 1)), r"u is float64 \(7, 1\), expected three numbers per vertex"),
        ("u", np.ones((0, 1)), "u is .*, expected three numbers per vertex"),
        ("u", "text", "u is 'text', expected an array of real numbers"),
        ("w_shp", np.ones((9, 2)), r"w_shp is float64 \(9, 2\), expected \(4107, components\): three rows per vertex"),
        ("w_exp", np.ones(4107), r"w_exp is float64 \(4107,\), expected \(4107, components\)"),
        ("w_exp", np.full((4107, 2), np.nan), "bases hold NaN or infinity"),
        ("keypoints", np.arange(68), "keypoints are 68 numbers, expected 204"),
        ("keypoints", np.arange(204) + 1, "keypoints of landmark 0 are 1, 2, 3, expected the places of x, y, z"),
        ("keypoints", np.arange(204) - 3, "keypoints of landmark 0 are -3, -2, -1, expected the places of x, y, z"),
        ("keypoints", np.arange(204) + 3 * 10**6, "keypoints of landmark 0 are 3000000, .*, expected the places of"),
        ("keypoints", np.full(204, 0.5), "keypoints holds numbers that are not whole"),
        ("tri", np.ones((4, 5)), r"tri is float64 \(4, 5\), expected \(3, m\) or \(m, 3\)"),
        ("tri", np.full((3, 5), 10**6), "triangles are .*, expected .m, 3. vertices of 0 to 1368"),
        (
            "tri",
            np.zeros((3, 5)),
            "brings no UV, and none are found.*argument `uv`.*argument `uv_from`|on vertices of no triangle",
        ),
    ],
)
def test_tddfa_v2_of_wrong_dimensions_names_file_and_part(
    tmp_path: Path, whole: MorphableModel, key: str, value: Any, message: str
) -> None:
    path = write_tddfa(tmp_path, whole)
    path.write_bytes(pickle.dumps(tddfa_parts(whole, kept_vertices()) | {key: value}))
    with pytest.raises(ModelError, match=rf"bfm_noneck_v3\.pkl: {message}"):
        load_model(path)


def test_tddfa_v2_without_its_partners_says_which(tmp_path: Path, whole: MorphableModel) -> None:
    path = write_tddfa(tmp_path / "a", whole)
    path.with_name("tri.pkl").unlink()
    with pytest.raises(ModelError, match=r"tri\.pkl: no such file, expected 3DDFA_V2's triangles beside bfm_noneck_v3"):
        load_model(path)
    content = tddfa_parts(whole, kept_vertices())
    del content["keypoints"]
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match="keypoints is missing"):
        load_model(path)
    folder = write_tddfa_parts(tmp_path / "b", whole)
    (folder / "keypoints.npy").unlink()
    with pytest.raises(
        ModelError,
        match=r"keypoints\.npy: no such file, expected the parts of 3DDFA's model in "
        "one fo",
    ):
        load_model(folder)


def test_deep3d_file_and_its_parts_give_the_same_model(tmp_path: Path, whole: MorphableModel) -> None:
    front = deep3d.read(write_deep3d(tmp_path / "front", whole))
    parts = deep3d.read(write_deep3d_parts(tmp_path / "parts", whole))
    kept = kept_vertices()
    for found in (front, parts):
        assert found.mean.mean(axis=0) == pytest.approx(0, abs=1e-3)
        assert (found.shape_std == 1).all() and found.albedo_std is not None and (found.albedo_std == 1).all()
    np.testing.assert_allclose(parts.mean, whole.mean[kept] - whole.mean[kept].mean(axis=0, dtype=float), atol=0.05)
    expected = whole.shape_basis[kept].astype(float) * whole.shape_std
    np.testing.assert_allclose(parts.shape_basis, expected, rtol=1e-5, atol=1e-3)
    for name in ("mean", "shape_basis", "expression_basis", "albedo_mean", "albedo_basis"):
        np.testing.assert_allclose(getattr(front, name), getattr(parts, name), rtol=1e-5, atol=0.05, err_msg=name)
    for name in ("triangles", "landmarks"):
        np.testing.assert_array_equal(getattr(front, name), getattr(parts, name))


def test_deep3d_parts_of_small_whole_numbers_are_multiplied_as_real_ones(tmp_path: Path, whole: MorphableModel) -> None:
    folder = write_deep3d_parts(tmp_path, whole)
    basel = {name: value for name, value in sio.loadmat(folder / "01_MorphableModel.mat").items() if name[0] != "_"}
    basis = np.rint(basel["shapePC"] / np.abs(basel["shapePC"]).max() * 127).astype(np.int8)
    std = np.full((basis.shape[1], 1), 120, np.int8)
    sio.savemat(folder / "01_MorphableModel.mat", basel | {"shapePC": basis, "shapeEV": std})
    found = deep3d.read(folder).shape_basis
    assert np.abs(found).max() > 127
    np.testing.assert_array_equal(found, np.round(found / 120) * 120)


def test_deep3d_takes_uv_of_the_files_beside_it(tmp_path: Path, whole: MorphableModel) -> None:
    path = write_deep3d(tmp_path, whole)
    assert deep3d.read(path).uv is None
    (tmp_path / "all_UV.mat").rename(tmp_path / "BFM_UV.mat")
    found = deep3d.read(path)
    np.testing.assert_array_equal(found.uv, whole.uv[kept_vertices()])
    assert {"BFM_UV.mat", "BFM_front_idx.mat", "BFM_exp_idx.mat"} <= set(found.sources)
    sio.savemat(tmp_path / "BFM_front_idx.mat", {"idx": np.arange(1.0, 9)})
    with pytest.raises(ModelError, match=r"BFM_front_idx\.mat: idx has 8 numbers, expected 1369"):
        deep3d.read(path)


def break_part(name: str, **changes: Any) -> Callable[[Path], None]:
    def broken(folder: Path) -> None:
        content = {key: value for key, value in sio.loadmat(folder / name).items() if not key.startswith("__")}
        sio.savemat(folder / name, content | changes)

    return broken


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: (f / "std_exp.txt").unlink(),
            r"std_exp\.txt: no such file, expected the files that "
            "BFM_model_front",
        ),
        (lambda f: (f / "BFM_front_idx.mat").unlink(), r"BFM_front_idx\.mat: no such file"),
        (lambda f: (f / "std_exp.txt").write_text("1 2"), r"std_exp\.txt: 2 numbers, expected 5, one per component"),
        (lambda f: (f / "std_exp.txt").write_text("a b"), r"std_exp\.txt: holds values that are not numbers"),
        (lambda f: (f / "std_exp.txt").write_text("nan 1"), r"std_exp\.txt: holds nan, expected finite"),
        (lambda f: (f / "std_exp.txt").write_bytes(b"\0\1\2\3"), r"std_exp\.txt: "),
        (
            lambda f: (f / "Exp_Pca.bin").write_bytes(b"\5\0\0\0" + b"\0" * 40),
            r"Exp_Pca\.bin: 44 bytes that "
            "begin with ",
        ),
        (lambda f: (f / "Exp_Pca.bin").write_bytes(b"\5"), r"Exp_Pca\.bin: 1 bytes that begin with the number 0"),
        (break_part("BFM_front_idx.mat", idx=np.array([[1.0, 99999]])), r"BFM_front_idx\.mat: idx names vertices outs"),
        (
            break_part("BFM_front_idx.mat", idx=np.array([[7.0, 7]])),
            r"BFM_front_idx\.mat: idx names vertex 7 twice, exp",
        ),
        (break_part("BFM_exp_idx.mat", trimIndex=np.zeros((1681, 1))), r"BFM_exp_idx\.mat: trimIndex names vertices o"),
        (break_part("01_MorphableModel.mat", shapePC=np.ones((9, 9))), r"01_MorphableModel\.mat: shapePC has 9 rows"),
        *(
            (
                break_part("01_MorphableModel.mat", **{name: np.linspace(-1, 9, n)[:, None]}),
                rf"01_MorphableModel\.mat: {name} holds NaN, infinity or negative numbers, expected standard dev",
            )
            for name, n in (("shapeEV", 10), ("texEV", 4))
        ),
        (break_part("facemodel_info.mat", tri=np.ones((4, 5))), r"facemodel_info\.mat: tri is"),
        (lambda f: (f / "01_MorphableModel.mat").write_bytes(b"MATLAB 5.0"), r"01_MorphableModel\.mat: not a readable"),
    ],
)
def test_deep3d_of_bad_parts_names_the_file(
    tmp_path: Path, whole: MorphableModel, damage: Callable[[Path], object], message: str
) -> None:
    folder = write_deep3d_parts(tmp_path, whole)
    damage(folder)
    with pytest.raises((ModelError, InputError), match=message):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"idBase": np.ones((9, 3))}, "idBase has 9 rows, expected 4107"),
        ({"exBase": "text"}, "exBase is .*, expected a vector or matrix of real numbers"),
        ({"meanshape": np.ones((1, 10))}, "meanshape has 10 numbers, expected three per vertex"),
        ({"meantex": np.ones((1, 10))}, "meantex is .*, expected one row or column of 4107"),
        ({"keypoints": np.zeros((1, 68))}, "keypoints names vertex 0, expected whole numbers of 1 to 1369"),
        ({"tri": np.full((9, 3), 99999.0)}, "tri names vertex 99999, expected whole numbers of 1 to 1369"),
    ],
)
def test_deep3d_of_wrong_dimensions_names_the_variable(
    tmp_path: Path, whole: MorphableModel, changes: dict[str, Any], message: str
) -> None:
    path = write_deep3d(tmp_path, whole)
    break_part(path.name, **changes)(tmp_path)
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_keep_all_extends_the_trimmed_model(tmp_path: Path, whole: MorphableModel) -> None:
    files = write_whole(tmp_path, whole)
    trimmed, found = bfm2009.read(**files), bfm_whole.read(**files)
    trim = sio.loadmat(files["info"])["trimIndex"].ravel().astype(int) - 1
    extra = np.setdiff1d(np.arange(found.n_vertices), trim)
    assert found.n_vertices == trimmed.n_vertices + 7 and len(extra) == 7
    for name in ("mean", "basis", "uv", "albedo_mean", "albedo_basis"):
        np.testing.assert_array_equal(getattr(found, name)[trim], getattr(trimmed, name), err_msg=name)
    np.testing.assert_array_equal(found.landmarks, trim[trimmed.landmarks])
    np.testing.assert_array_equal(found.mirror[trim], trim[trimmed.mirror])
    assert (found.mirror[extra] == -1).all()
    assert triangle_set(found.triangles) > triangle_set(trim[trimmed.triangles])
    corners = {tuple(np.roll(t, -np.argmin(t))) for t in found.triangles.tolist()}
    assert {tuple(np.roll(t, -np.argmin(t))) for t in trim[trimmed.triangles].tolist()} <= corners, "turned otherwise"
    ring = np.unique(found.triangles[np.isin(found.triangles, extra).any(axis=1)])
    around = found.expression_basis[np.setdiff1d(ring, extra)]
    inside = found.expression_basis[extra]
    assert (inside >= around.min(axis=0) - 1e-3).all() and (inside <= around.max(axis=0) + 1e-3).all()
    assert np.abs(inside).max() > 1  # they move with the lips


def test_keep_all_leaves_loose_vertices_without_expressions(tmp_path: Path, whole: MorphableModel) -> None:
    files = write_whole(tmp_path, whole, joined=False)
    found = bfm_whole.read(**files)
    used = np.unique(found.triangles)
    loose = np.setdiff1d(np.arange(found.n_vertices), used)
    assert len(loose) == 7 and (found.expression_basis[loose] == 0).all()


def test_keep_all_averages_neighbors_on_a_mesh_that_is_no_surface() -> None:
    triangles = np.array([[0, 1, 2], [1, 2, 3], [2, 1, 4], [5, 6, 7]])  # three triangles on one edge; a part of its own
    values = np.zeros((8, 3, 1))
    values[[0, 3, 4], 0, 0] = [1, 2, 6]
    found = bfm_whole._averaged(triangles, np.array([0, 3, 4]), values)
    expected = np.linalg.solve([[4, -1], [-1, 4]], [9, 9])  # vertices 1 and 2 have the neighbors 0, 3, 4 and each other
    np.testing.assert_allclose(found[[1, 2], 0, 0], expected)
    np.testing.assert_array_equal(found[[0, 3, 4]], values[[0, 3, 4]])
    assert (found[5:] == 0).all()


def test_keep_all_of_files_of_which_most_is_left_out_is_refused(
    tmp_path: Path, whole: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expressions of the others are solved for at once, whatever their triangles join."""
    files = write_whole(tmp_path, whole)
    bfm_whole.read(**files)
    monkeypatch.setattr(bfm_whole, "_MOST_CARRIED", 6)
    with pytest.raises(ModelError, match=r"trimIndex leaves out 7 of 1688 vertices, expected 6 at most with argument"):
        bfm_whole.read(**files)


def test_keep_all_of_wrong_files_is_refused(tmp_path: Path, whole: MorphableModel) -> None:
    files = write_whole(tmp_path, whole)
    sio.savemat(tmp_path / "trimmed.mat", {"UV": whole.uv})
    with pytest.raises(ModelError, match=r"UV of 1681 vertices, expected 1688 with argument `keep_all`: BFM_UV.mat"):
        bfm_whole.read(**files | {"uv": tmp_path / "trimmed.mat"})
    break_part("01_MorphableModel.mat", tl=np.full((3, 3), 5000.0))(tmp_path)
    with pytest.raises(ModelError, match="tl names vertex 5000, expected whole numbers of 1 to 1688"):
        bfm_whole.read(**files)


def test_folder_of_several_models_names_them_and_takes_none(
    tmp_path: Path, whole: MorphableModel, model_path: Path
) -> None:
    write_tddfa(tmp_path / "models", whole)
    shutil.copy(model_path, tmp_path / "models/bfm.h5")
    named = r"models/bfm\.h5 or .*models/bfm_noneck_v3\.pkl"
    message = rf"models: holds 2 models, expected one; name the one that .*{named}"
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "models")
    with pytest.raises(ModelError, match=message):
        convert_model(tmp_path / "out.h5", tmp_path / "models")
    assert not (tmp_path / "out.h5").exists()


def test_recognition_of_other_files_and_folders_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"\0" * 300)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"w_shp": 1}))
    for path in (*tmp_path.iterdir(), tmp_path / "missing", tmp_path):
        assert format_of(path) is None, path
    with pytest.raises(ModelError, match=r"is a folder of models, expected a model's file; .*3DDFA's .npy parts"):
        load_model(tmp_path)


@pytest.mark.slow
@pytest.mark.vital
def test_stand_in_of_full_size_is_read_in_each_format(stand_in: Path, stand_in_model: MorphableModel) -> None:
    whole = bfm_whole.read(
        stand_in / "bfm2009/01_MorphableModel.mat", stand_in / "3ddfa/Model_Expression.mat",
        stand_in / "3ddfa/model_info.mat", stand_in / "stn/BFM_UV.mat",
    )  # fmt: skip
    assert whole.n_vertices == 53490
    found: dict[str, AssembledModel] = {
        "tddfa_v2": tddfa_v2.read(stand_in / "tddfa_v2/bfm_noneck_v3.pkl"),
        "deep3d": deep3d.read(stand_in / "deep3d/BFM_model_front.mat"),
    }
    counts = {name: (len(a.mean), a.shape_basis.shape[2], a.expression_basis.shape[2]) for name, a in found.items()}
    assert counts == {"tddfa_v2": (38365, 40, 10), "deep3d": (35709, 80, 64)}
    front = sio.loadmat(stand_in / "deep3d/BFM_front_idx.mat")["idx"].ravel().astype(int) - 1
    np.testing.assert_allclose(
        found["deep3d"].shape_basis[::97],
        (stand_in_model.shape_basis[front, :, :80] * stand_in_model.shape_std[:80])[::97],
        rtol=1e-4, atol=0.05,
    )  # fmt: skip


@pytest.mark.slow
def test_stand_in_of_3ddfa_v2_takes_what_it_lacks_from_the_whole_model(
    stand_in: Path, stand_in_model: MorphableModel, reference: Path, tmp_path: Path
) -> None:
    path = stand_in / "tddfa_v2/bfm_noneck_v3.pkl"
    by_place = Supplements(uv_from=stand_in_model)  # vertices found by their places
    found = convert_model(tmp_path / "a.h5", path, supplements=by_place).model
    kept = np.load(reference / "bfm_parts/tddfa_v2_indices.npy")
    np.testing.assert_array_equal(found.uv, stand_in_model.uv[kept])
    np.testing.assert_allclose(found.shape_std, stand_in_model.shape_std[:40], rtol=1e-5)
    np.testing.assert_allclose(found.expression_std, stand_in_model.expression_std[:10], rtol=1e-5)
    by_number = Supplements(uv_from=stand_in_model, indices=reference / "bfm_parts/tddfa_v2_indices.npy")
    named = convert_model(tmp_path / "b.h5", path, supplements=by_number).model
    assert named.content_sha256 == found.content_sha256


@pytest.mark.parametrize("name", ["std_exp.txt", "Exp_Pca.bin", "BFM_exp_idx.mat", "01_MorphableModel.mat"])
def test_deep3d_folder_with_a_folder_in_a_files_place_names_it(
    tmp_path: Path, whole: MorphableModel, name: str
) -> None:
    folder = write_deep3d_parts(tmp_path, whole)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(ModelError, match=name):
        deep3d.read(folder)
