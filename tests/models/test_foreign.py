"""Model files as other programs save them, and files of other kinds: read alike, or named with what takes them."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io as sio
import scipy.sparse
from support.toy import face3d_files, toy_model, write_bfm_files

from uvgen import BaselFiles, Supplements, convert_model, load_model
from uvgen.errors import ModelError
from uvgen.models.formats import bfm2009, matlab
from uvgen.models.morphable import MorphableModel

PARTS = {
    "bfm": "01_MorphableModel.mat",
    "expression": "Model_Expression.mat",
    "info": "model_info.mat",
    "uv": "BFM_UV.mat",
    "mouth": "Model_tri_mouth.mat",
}


@pytest.fixture(scope="module")
def whole() -> MorphableModel:
    return toy_model(with_mouth=True)


@pytest.fixture
def files(tmp_path: Path, whole: MorphableModel) -> dict[str, Path]:
    write_bfm_files(tmp_path, whole)
    return {part: tmp_path / name for part, name in PARTS.items()}


def content(path: Path) -> dict[str, Any]:
    return {key: value for key, value in sio.loadmat(path).items() if not key.startswith("__")}


def cell(value: np.ndarray) -> np.ndarray:
    wrapped = np.empty((1, 1), object)
    wrapped[0, 0] = value
    return wrapped


CHANGES: dict[str, Callable[[np.ndarray], Any]] = {
    "transposed": lambda value: np.asarray(value).T,
    "sparse": lambda value: scipy.sparse.csc_matrix(np.asarray(value, float)),
    "in a cell": cell,
    "double": lambda value: np.asarray(value, np.float64),
}


def same_labels(a: MorphableModel, b: MorphableModel) -> None:
    assert a.content_sha256 == b.content_sha256
    for name in ("mirror", "albedo_mean", "albedo_basis", "albedo_std", "shape_std", "expression_std"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("change", CHANGES)
def test_bfm2009_read_of_values_saved_otherwise_gives_the_same_model(files: dict[str, Path], change: str) -> None:
    expected = bfm2009.read(**files)
    for path in files.values():
        for key, value in content(path).items():
            changed = content(path) | {key: CHANGES[change](value)}
            before = path.read_bytes()
            sio.savemat(path, changed)
            same_labels(bfm2009.read(**files), expected)
            path.write_bytes(before)


@pytest.mark.parametrize("change", CHANGES)
def test_face3d_read_of_values_saved_otherwise_gives_the_same_model(
    tmp_path: Path, whole: MorphableModel, change: str
) -> None:
    path = face3d_files(whole, tmp_path)
    expected = load_model(path)
    for name, struct in (("BFM.mat", "model"), ("BFM_info.mat", "model_info")):
        record = content(tmp_path / name)[struct][0, 0]
        fields = {key: CHANGES[change](record[key]) for key in record.dtype.names}
        sio.savemat(tmp_path / name, {struct: fields})
    sio.savemat(tmp_path / "BFM_UV.mat", {"UV": CHANGES[change](whole.uv)})
    same_labels(load_model(path), expected)


def save_v73(path: Path, variables: dict[str, Any]) -> None:
    """As MATLAB 7.3 does: a header of 512 bytes before HDF5, axes reversed, structs as groups."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            if isinstance(value, dict):
                group = file.create_group(name)
                for key, item in value.items():
                    group[key] = np.asarray(item).T
            else:
                file[name] = np.asarray(value).T
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")


def test_models_in_matlab_7_3_files_are_read(tmp_path: Path, files: dict[str, Path], whole: MorphableModel) -> None:
    expected = bfm2009.read(**files)
    for path in files.values():
        save_v73(path, content(path))
    same_labels(bfm2009.read(**files), expected)
    path = face3d_files(whole, tmp_path)
    expected = load_model(path)
    for name, struct in (("BFM.mat", "model"), ("BFM_info.mat", "model_info")):
        record = content(tmp_path / name)[struct][0, 0]
        save_v73(tmp_path / name, {struct: {key: record[key] for key in record.dtype.names}})
    same_labels(load_model(path), expected)


def test_what_else_is_in_a_matlab_7_3_file_is_passed_over(
    tmp_path: Path, files: dict[str, Path], whole: MorphableModel
) -> None:
    """As a workspace holds cells, tables and the like, which lie in HDF5 in ways of their own."""

    def add_others(group: h5py.Group) -> None:
        group["a_cell"] = np.array([group.ref], h5py.ref_dtype)
        group["complex"] = np.ones((2, 2), [("real", "f8"), ("imag", "f8")])
        group.create_dataset("a_text", data="text of variable length")
        group["link"] = h5py.SoftLink("/nowhere")

    expected = bfm2009.read(**files)
    for path in files.values():
        save_v73(path, content(path))
        with h5py.File(path, "r+") as file:
            add_others(file)
    same_labels(bfm2009.read(**files), expected)
    path = face3d_files(whole, tmp_path)
    expected = load_model(path)
    record = content(tmp_path / "BFM.mat")["model"][0, 0]
    save_v73(path, {"model": {key: record[key] for key in record.dtype.names}})
    with h5py.File(path, "r+") as file:
        add_others(file["model"])
    same_labels(load_model(path), expected)
    with h5py.File(path, "r+") as file:
        del file["model/shapeMU"]
        file["model/shapeMU"] = np.array([file.ref], h5py.ref_dtype)
    with pytest.raises(ModelError, match=r"BFM\.mat: MATLAB 7\.3 file; save it again .* \(.*shapeMU.*references"):
        load_model(path)


def test_characters_in_a_matlab_7_3_file_are_no_numbers(files: dict[str, Path]) -> None:
    about = content(files["info"])
    save_v73(files["info"], about | {"keypoints": about["keypoints"].astype(np.uint16), "notes": np.full((1, 4), 97)})
    with h5py.File(files["info"], "r+") as file:
        file["tri"].attrs["MATLAB_class"] = np.bytes_("double")
        file["notes"].attrs["MATLAB_class"] = np.bytes_("char")
    bfm2009.read(**files)
    with h5py.File(files["info"], "r+") as file:
        file["keypoints"].attrs["MATLAB_class"] = np.bytes_("char")
    with pytest.raises(ModelError, match="keypoints is text, expected a vector or matrix of real numbers"):
        bfm2009.read(**files)


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("bfm", "shapeMU", np.ones((5052, 2)), r"shapeMU is float64 \(5052, 2\), expected one row or column"),
        ("bfm", "shapeMU", np.ones((1, 5051)), "shapeMU has 5051 numbers, expected three per vertex"),
        ("bfm", "shapePC", np.ones((10, 77)), r"shapePC has 10 rows, expected 5064; it is float64 \(10, 77\)"),
        ("bfm", "shapeEV", "text", "shapeEV is .*, expected a vector or matrix of real numbers"),
        ("bfm", "texMU", np.ones(3), r"texMU is float64 \(1, 3\), expected one row or column of 5064 numbers"),
        ("info", "trimIndex", np.zeros((0, 0)), "trimIndex is empty"),
        ("info", "trimIndex", np.full((1681, 1), 0.5), "trimIndex holds numbers that are not vertices"),
        ("info", "tri", np.ones((4, 9)), r"tri is float64 \(4, 9\), expected \(3, m\)"),
        ("info", "symlist", np.ones((4, 9)), r"symlist is float64 \(4, 9\), expected \(2, q\)"),
        ("info", "symlist", np.full((2, 9), 1e9), "symlist: names a vertex that does not exist, expected 1 to 1681"),
        ("info", "segbin", np.ones((4, 9)), "segbin: .*, expected .1681, 4."),
        ("info", "keypoints", np.ones((2, 34)), r"keypoints is float64 \(2, 34\), expected one row or column"),
        ("info", "keypoints", np.ones((1, 68)) * 1j, "keypoints is complex numbers"),
        ("expression", "mu_exp", np.ones((1, 9)), r"mu_exp is float64 \(1, 9\), expected one row or column of 5043"),
        ("uv", "UV", np.ones((1688, 3)), r"UV is float64 \(1688, 3\), expected 1688 or 1681 rows of two numbers"),
        ("mouth", "tri_mouth", np.ones(4), "tri_mouth is"),
        ("bfm", "shapeEV", np.ones(9), "shapeEV has 9 numbers, expected 10: one per component"),
        ("expression", "sigma_exp", np.ones(6), "sigma_exp has 6 numbers, expected 5: one per component"),
        ("bfm", "texEV", np.ones(3), "texEV has 3 numbers, expected 4: one per component"),
        ("info", "trimIndex", np.r_[1, np.arange(1, 1681)], "trimIndex names vertex 1 twice, expected each once"),
        ("info", "tri", np.full((3, 9), 1690.0), "tri names vertex 1690, expected whole numbers of 1 to 1681"),
        ("info", "keypoints", np.full(68, np.nan), "keypoints names vertex nan, expected whole numbers of 1 to 1681"),
        ("info", "segbin", np.full((4, 1681), np.nan), "segbin: holds NaN"),
        ("uv", "UV", np.full((1688, 2), np.nan), "UV hold NaN or infinity"),
        ("uv", "UV", np.full((1688, 2), 1.5), r"UV leave \[0, 1\], 1.5 to 1.5"),
    ],
)
def test_bfm2009_read_of_a_wrong_shape_names_file_and_variable(
    files: dict[str, Path], part: str, key: str, value: Any, message: str
) -> None:
    sio.savemat(files[part], content(files[part]) | {key: value})
    with pytest.raises(ModelError, match=rf"{files[part].name}: {message}"):
        bfm2009.read(**files)


def test_bfm2009_read_of_deviations_that_fit_in_sum_alone_is_refused(files: dict[str, Path]) -> None:
    """One less of the shape and one more of the expressions would give parameters to other components."""
    for part, key, change in (("bfm", "shapeEV", -1), ("expression", "sigma_exp", 1)):
        n = content(files[part])[key].size + change
        sio.savemat(files[part], content(files[part]) | {key: np.ones(n)})
    with pytest.raises(ModelError, match="shapeEV has 9 numbers, expected 10"):
        bfm2009.read(**files)


@pytest.mark.parametrize(("value", "message"), [("text", "`model` in it is no struct"), (None, "no struct `model`")])
def test_face3d_read_without_its_struct_says_what_is_there(tmp_path: Path, value: str | None, message: str) -> None:
    path = tmp_path / "BFM.mat"
    sio.savemat(path, {} if value is None else {"model": value})
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_convert_of_a_file_that_is_no_model_says_so_and_not_that_options_do_not_go_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 cut short")
    (tmp_path / "l.txt").write_text("0 " * 68)
    with pytest.raises(ModelError, match=r"a\.npz: not a readable model file"):
        convert_model(tmp_path / "a.h5", tmp_path / "a.npz", supplements=Supplements(landmarks=tmp_path / "l.txt"))


@pytest.mark.filterwarnings("error")
def test_indices_of_half_precision_give_no_warning() -> None:
    assert matlab.indices(np.array([1, 2.5, np.nan, 2048], np.float16)).tolist() == [0, -1, -1, 2047]


@pytest.mark.parametrize("given", PARTS)
@pytest.mark.parametrize("wanted", PARTS)
def test_convert_with_files_exchanged_names_the_right_option(
    tmp_path: Path, files: dict[str, Path], given: str, wanted: str
) -> None:
    if given == wanted:
        return
    with pytest.raises(ModelError) as caught:
        convert_model(tmp_path / "out.h5", basel=BaselFiles(**(files | {wanted: files[given]})))
    message = str(caught.value)
    assert message.startswith(f"{files[given]}: variable ")
    assert f"{PARTS[given]}" in message.split("; it is ")[1]
    assert message.endswith(f"the file for argument `{given}` of `uvgen model convert`")


def foreign(kind: str, folder: Path) -> Path:
    path = folder / {"pkl": "model.pkl", "h5": "model.h5"}.get(kind.split()[0], "model.mat")
    match kind:
        case "h5 of 2017":
            with h5py.File(path, "w") as file:
                for part in ("shape", "expression", "color"):
                    file[f"{part}/model/mean"], file[f"{part}/model/pcaBasis"] = np.zeros(30), np.zeros((30, 2))
        case "pkl of FLAME":
            path.write_bytes(pickle.dumps({"shapedirs": np.ones(9), "kintree_table": 1}, 2))
        case "pkl of 3DDFA_V2":
            path.write_bytes(pickle.dumps({"u": np.ones(9), "w_shp": np.ones(9), "w_exp": np.ones(9)}))
        case "Deep3D":
            sio.savemat(path, {"meanshape": 1, "idBase": 2, "exBase": 3, "tri": 4})
        case "sample":
            sio.savemat(path, {"Pose_Para": 1, "Shape_Para": 2, "Exp_Para": 3})
        case "MATLAB 4":
            sio.savemat(path, {"shapeMU": np.ones(3), "shapePC": np.ones(3)}, format="4")
        case "page" | "h5 page":
            path.write_bytes(b"<!DOCTYPE html>\n<html>404</html>")
        case "zeros" | "h5 zeros":
            path.write_bytes(b"\0" * 9000)
        case "pointer":
            path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("h5 of 2017", "a Basel Face Model of 2017 or 2019.*a model of its own, .*model convert FILE.*Model of 2009"),
        ("pkl of FLAME", "FLAME or SMPL family.*a model of its own, .*model convert FILE.*Model of 2009"),
        ("pkl of 3DDFA_V2", "3DDFA_V2's face model.*a model of its own, .*model convert FILE.*Model of 2009"),
        ("Deep3D", "Deep3DFaceRecon's BFM_model_front.mat, a model of its own, .*model convert FILE.*Model of 2009"),
        ("sample", "the parameters of a sample"),
        ("MATLAB 4", "01_MorphableModel.mat.*argument `bfm`"),
        ("page", "an HTML page.*download it again"),
        ("h5 page", "an HTML page.*download it again"),
        ("zeros", "nothing but zero bytes.*download it again"),
        ("h5 zeros", "nothing but zero bytes.*download it again"),
        ("pointer", "a Git LFS pointer"),
    ],
)
def test_foreign_model_is_named_wherever_it_is_given(
    tmp_path: Path, files: dict[str, Path], kind: str, message: str
) -> None:
    path = foreign(kind, tmp_path)
    if "a model of its own" not in message:  # else it is read, see test_formats.py
        with pytest.raises(ModelError, match=rf"^{path}: .*{message}"):
            load_model(path)
    if kind != "MATLAB 4":  # which is the one for `bfm`, but for its content
        with pytest.raises(ModelError, match=rf"^{path}: .*{message}"):
            bfm2009.read(**(files | {"bfm": path}))


@pytest.mark.parametrize("name", ["01_MorphableModel.mat", "BFM_info.mat", "model_info.mat"])
def test_load_model_of_a_part_names_it(
    tmp_path: Path, files: dict[str, Path], whole: MorphableModel, name: str
) -> None:
    face3d_files(whole, tmp_path)
    with pytest.raises(ModelError, match=rf"{name}: no struct `model` in it, expected face3d's file; it is .*{name}"):
        load_model(tmp_path / name)


@pytest.mark.parametrize("error", [IndexError("x"), UnicodeDecodeError("utf-8", b"", 0, 1, "x")])
def test_whatever_reading_raises_becomes_a_model_error(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(matlab, "read_variables", fail)
    with pytest.raises(ModelError, match=r"01_MorphableModel\.mat: not a readable MATLAB file .*; download it again"):
        bfm2009.read(**files)


@pytest.mark.slow
def test_load_model_of_damaged_hdf5_files_raises_model_errors(reference: Path) -> None:
    paths = sorted((reference / "hdf5_cve").glob("*.h5"))
    assert len(paths) > 100
    for path in paths:
        with pytest.raises(ModelError, match=path.name):
            load_model(path)


def test_model_file_that_is_cut_short_or_a_picture_has_the_cure_of_its_own(tmp_path: Path, model_path: Path) -> None:
    cut, picture = tmp_path / "cut.h5", tmp_path / "face.png"
    cut.write_bytes(model_path.read_bytes()[:-1000])
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ModelError, match=f"^{cut}: .*; it is cut short: copy or download it again$"):
        load_model(cut)
    with pytest.raises(ModelError, match=f"^{picture}: .*a PNG image.*; `uvgen model convert` makes") as refused:
        load_model(picture)
    assert "download it again" not in str(refused.value)
