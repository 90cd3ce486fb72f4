"""The commands `uvgen model convert` and `uvgen model info`."""

import dataclasses
import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io as sio
from support.builds import make
from support.formats import kept_vertices, with_rig, write_tddfa, write_tddfa_parts, write_whole
from support.other_models import write_statismo
from support.toy import N_EXPRESSION, N_SHAPE, face3d_files, toy_model, write_tree

from uvgen import MorphableModel, load_model, save_model
from uvgen.meshes.read import read_mesh

ONE_LINE = r"uvgen: [^\n]+\n"
N_EXTRA = 3  # vertices of the distributed mean face that the trimmed one has not


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory, model: MorphableModel) -> Path:
    """The toy model in the file formats of Basel, 3DDFA, 3DMMasSTN and face3d; counted from 1, as theirs are."""
    folder = tmp_path_factory.mktemp("distributed")
    n = model.n_vertices
    mean_expression = np.random.default_rng(2).normal(size=(n, 3)).astype(np.float32) * 100
    mean_shape = model.mean - mean_expression
    trim = np.arange(n) + N_EXTRA  # the first three are cut off
    assert model.albedo_mean is not None and model.albedo_basis is not None and model.albedo_std is not None

    def untrimmed(array: np.ndarray, columns: int) -> np.ndarray:
        extra = np.full((N_EXTRA, *array.shape[1:]), 0.25, array.dtype)
        return np.concatenate([extra, array]).reshape(-1, columns)

    def column(array: np.ndarray, columns: int = 1) -> np.ndarray:
        return array.reshape(-1, columns)

    shape, expression, texture = model.shape_basis, model.expression_basis, model.albedo_basis
    mouth = np.array([[1, 2, 3]]).T
    sio.savemat(folder / "01_MorphableModel.mat", {
        "shapeMU": untrimmed(mean_shape, 1), "shapePC": untrimmed(shape, N_SHAPE), "shapeEV": column(model.shape_std),
        "texMU": untrimmed(model.albedo_mean, 1), "texPC": untrimmed(texture, texture.shape[2]),
        "texEV": column(model.albedo_std),
    })  # fmt: skip
    sio.savemat(folder / "Model_Expression.mat", {
        "mu_exp": column(mean_expression), "w_exp": column(expression, N_EXPRESSION),
        "sigma_exp": column(model.expression_std),
    })  # fmt: skip
    info = {"trimIndex": column(trim + 1), "tri": model.triangles.T + 1, "keypoints": model.landmarks[None] + 1}
    sio.savemat(folder / "model_info.mat", info)
    sio.savemat(folder / "Model_tri_mouth.mat", {"tri_mouth": mouth})
    (folder / "stn").mkdir()
    sio.savemat(folder / "stn/BFM_UV.mat", {"UV": untrimmed(model.uv, 2)})
    sio.savemat(folder / "BFM.mat", {"model": {
        "shapeMU": column(mean_shape), "shapePC": column(shape, N_SHAPE), "shapeEV": column(model.shape_std),
        "expMU": column(mean_expression), "expPC": column(expression, N_EXPRESSION),
        "expEV": column(model.expression_std), "texMU": column(model.albedo_mean),
        "texPC": column(texture, texture.shape[2]), "texEV": column(model.albedo_std),
        "tri": model.triangles.T + 1, "tri_mouth": mouth, "kpt_ind": model.landmarks[None] + 1,
    }})  # fmt: skip
    sio.savemat(folder / "BFM_UV.mat", {"UV": model.uv})
    return folder


@pytest.fixture
def files(untouched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untouched, tmp_path / "files"))


def distributed(files: Path, *, without: str = "") -> list[object]:
    """The options that name the distributed files."""
    named = {
        "--bfm": files / "01_MorphableModel.mat", "--expression": files / "Model_Expression.mat",
        "--info": files / "model_info.mat", "--uv": files / "stn/BFM_UV.mat",
    }  # fmt: skip
    return [part for option, path in named.items() if option != without for part in (option, path)]


def test_convert_of_distributed_files_gives_a_model_that_builds(
    uvgen: Any, files: Path, model: MorphableModel, tmp_path: Path
) -> None:
    out = tmp_path / "bfm.h5"
    result = uvgen("model", "convert", *distributed(files), "--out", out)
    assert (result.exit_code, result.stderr) == (0, "")
    megabytes = out.stat().st_size / 1e6
    assert result.stdout == f"{out}: 1681 vertices, 10 shape + 5 expression components, {megabytes:.1f} MB (BFM 2009)\n"
    found = load_model(out)
    np.testing.assert_array_equal(found.basis, model.basis)
    np.testing.assert_array_equal(found.triangles, model.triangles)
    np.testing.assert_array_equal(found.uv, model.uv)
    np.testing.assert_array_equal(found.landmarks, model.landmarks)
    # mean shape and mean expression are added in float64 and rounded to float32, as is their difference above
    np.testing.assert_allclose(found.mean, model.mean, atol=2 * np.spacing(np.float32(1e5)))
    assert found.sources == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in distributed(files)[1::2]  # type: ignore[attr-defined]
    }
    assert make(write_tree(tmp_path / "data", 1), out, tmp_path / "shards").samples == 3


def test_convert_of_face3d_file_gives_the_same_model_to_the_last_bit(uvgen: Any, files: Path, tmp_path: Path) -> None:
    mouth = ("--mouth", files / "Model_tri_mouth.mat")
    assert uvgen("model", "convert", *distributed(files), *mouth, "--out", tmp_path / "a.h5").exit_code == 0
    assert uvgen("model", "convert", "--face3d", files / "BFM.mat", "--out", tmp_path / "b.h5").exit_code == 0
    a, b = load_model(tmp_path / "a.h5"), load_model(tmp_path / "b.h5")
    assert a.content_sha256 == b.content_sha256
    for field in dataclasses.fields(a):
        if isinstance(getattr(a, field.name), np.ndarray):
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), strict=True)
    np.testing.assert_array_equal(a.mouth_triangles, [[0, 1, 2]])
    assert set(b.sources) == {"BFM.mat", "BFM_UV.mat"}


def test_convert_overwrites_only_when_told(uvgen: Any, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "bfm.h5"
    out.write_text("precious")
    options = ("model", "convert", *distributed(files), "--out", out)
    result = uvgen(*options)
    assert (
        result.exit_code == 1 and "bfm.h5: exists, expected a new file; choose another name, or overw" in result.stderr
    )
    assert out.read_text() == "precious"
    assert uvgen(*options, "--overwrite").exit_code == 0
    assert load_model(out).n_vertices == 1681


def test_convert_help_names_each_file_and_its_origin(uvgen: Any) -> None:
    result = uvgen("model", "convert", "--help")
    assert result.exit_code == 0
    for word in ("--bfm", "--expression", "--info", "--uv", "--mouth", "--face3d", "--out", "--overwrite",
                 "01_MorphableModel.mat", "Model_Expression.mat", "model_info.mat", "BFM_UV.mat", "Basel", "3DDFA",
                 "What goes in:", "What comes out:", "Example:"):  # fmt: skip
        assert word in result.stdout
    result = uvgen("model", "--help")
    assert result.exit_code == 0 and "convert" in result.stdout and "info" in result.stdout


# Wrong usage: status 2


@pytest.mark.parametrize("missing", ["--bfm", "--expression", "--info", "--uv"])
def test_convert_without_a_file_exits_2_and_names_it(uvgen: Any, files: Path, tmp_path: Path, missing: str) -> None:
    result = uvgen("model", "convert", *distributed(files, without=missing), "--out", tmp_path / "bfm.h5")
    assert result.exit_code == 2
    assert f"missing {missing}; or give --face3d BFM.mat alone" in result.stderr


def test_convert_of_both_kinds_at_once_exits_2(uvgen: Any, files: Path, tmp_path: Path) -> None:
    options = ("--face3d", files / "BFM.mat", "--uv", files / "BFM_UV.mat", "--out", tmp_path / "bfm.h5")
    result = uvgen("model", "convert", *options)
    assert result.exit_code == 2 and "--face3d takes the place of the other files" in result.stderr


def test_convert_to_a_name_of_another_format_exits_2(uvgen: Any, files: Path, tmp_path: Path) -> None:
    result = uvgen("model", "convert", *distributed(files), "--out", tmp_path / "bfm.mat")
    assert result.exit_code == 2 and "--out" in result.stderr and ".h5" in result.stderr


@pytest.mark.parametrize("option", [("--keep-all",), ("--uv-from", "builtin")])
def test_convert_of_face3d_file_refuses_what_changes_nothing(
    uvgen: Any, files: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    result = uvgen("model", "convert", "--face3d", files / "BFM.mat", *option, "--out", tmp_path / "bfm.h5")
    assert result.exit_code == 2 and f"{option[0]} does not go with --face3d, whose model is whole" in result.stderr
    assert not (tmp_path / "bfm.h5").exists()


def test_convert_takes_files_of_the_basel_model_with_and_without_options(
    uvgen: Any, files: Path, tmp_path: Path
) -> None:
    plain = [files / name for name in ("01_MorphableModel.mat", "Model_Expression.mat", "model_info.mat")]
    uv = files / "stn/BFM_UV.mat"
    for out, given in {"a.h5": (*plain, uv), "b.h5": (*plain, "--uv", uv)}.items():
        result = uvgen("model", "convert", *given, "--out", tmp_path / out)
        assert result.exit_code == 0, result.stderr
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("option", ["--bfm", "--face3d"])
def test_convert_of_a_missing_file_exits_1_and_names_it(uvgen: Any, tmp_path: Path, option: str) -> None:
    result = uvgen("model", "convert", option, tmp_path / "nowhere.mat", "--out", tmp_path / "bfm.h5")
    assert result.exit_code == 1 and option in result.stderr and "nowhere.mat: no such file" in result.stderr


# Bad files: status 1, one line, nothing written


def damage(files: Path, kind: str) -> None:
    def rewrite(name: str, **changes: Any) -> None:
        content = {k: v for k, v in sio.loadmat(files / name).items() if not k.startswith("__")} | changes
        sio.savemat(files / name, {k: v for k, v in content.items() if v is not None})

    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\0" * 600
    match kind:
        case "text":
            (files / "Model_Expression.mat").write_text("<html>404</html>")
        case "cut in half":
            whole = (files / "01_MorphableModel.mat").read_bytes()
            (files / "01_MorphableModel.mat").write_bytes(whole[: len(whole) // 2])
        case "empty":
            (files / "model_info.mat").write_bytes(b"")
        case "MATLAB 7.3":
            (files / "stn/BFM_UV.mat").write_bytes(header)
        case "files exchanged":
            shutil.copy(files / "Model_Expression.mat", files / "01_MorphableModel.mat")
        case "no keypoints":
            rewrite("model_info.mat", keypoints=None)
        case "67 keypoints":
            rewrite("model_info.mat", keypoints=np.arange(1, 68)[None])
        case "keypoint beyond":
            rewrite("model_info.mat", keypoints=np.full((1, 68), 10**6))
        case "keypoint zero":
            rewrite("model_info.mat", keypoints=np.zeros((1, 68)))
        case "trim beyond":
            rewrite("model_info.mat", trimIndex=np.r_[1:1681, 10**6][:, None])
        case "other expression":
            rewrite("Model_Expression.mat", w_exp=np.ones((30, 5)), mu_exp=np.ones((30, 1)))
        case "other UV":
            rewrite("stn/BFM_UV.mat", UV=np.ones((100, 2)))
        case "UV in texels":
            rewrite("stn/BFM_UV.mat", UV=np.full((1684, 2), 200.0))
        case "NaN":
            rewrite("01_MorphableModel.mat", shapeMU=np.full((3 * 1684, 1), np.nan))
        case "NaN in basis":
            rewrite("01_MorphableModel.mat", shapePC=np.full((3 * 1684, N_SHAPE), np.nan))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", r"Model_Expression\.mat: not a readable MATLAB file .*download"),
        ("cut in half", r"01_MorphableModel\.mat: not a readable MATLAB file .*download"),
        ("empty", r"model_info\.mat: not a readable MATLAB file .*download"),
        ("MATLAB 7.3", r"BFM_UV\.mat: MATLAB 7\.3 file; save it again"),
        ("files exchanged", r"01_MorphableModel\.mat: variable shapeMU is missing; the file holds mu_exp"),
        ("no keypoints", r"model_info\.mat: variable keypoints is missing"),
        ("67 keypoints", r"model_info\.mat: keypoints is int64 \(1, 67\), expected one row or column of 68 numbers"),
        ("keypoint beyond", r"model_info\.mat: keypoints names vertex 1e\+06, expected whole numbers of 1 to 1681"),
        ("keypoint zero", r"model_info\.mat: keypoints names vertex 0, expected whole numbers of 1 to 1681"),
        ("trim beyond", r"model_info\.mat: trimIndex reaches vertex 1000000"),
        ("other expression", r"Model_Expression\.mat: w_exp has 30 rows, expected 5043"),
        ("other UV", r"BFM_UV\.mat: UV has 100 rows, expected 1684 or 1681"),
        ("UV in texels", r"BFM_UV\.mat: UV leave \[0, 1\], 200 to 200, expected the unit square"),
        ("NaN", "mean shape holds NaN"),
        ("NaN in basis", "bas(i|e)s holds? NaN"),
    ],
)
def test_convert_of_bad_files_is_refused_in_one_line(
    uvgen: Any, files: Path, tmp_path: Path, kind: str, message: str
) -> None:
    damage(files, kind)
    result = uvgen("model", "convert", *distributed(files), "--out", tmp_path / "bfm.h5")
    assert result.exit_code == 1, result.exception
    assert re.fullmatch(ONE_LINE, result.stderr), result.stderr
    assert re.search(message, result.stderr), result.stderr
    assert str(files) in result.stderr  # some file is named
    assert not list(tmp_path.glob("*.h5")) and not list(tmp_path.glob(".*"))


def test_convert_of_face3d_file_without_uv_beside_it_is_refused(uvgen: Any, files: Path, tmp_path: Path) -> None:
    (files / "BFM_UV.mat").unlink()
    result = uvgen("model", "convert", "--face3d", files / "BFM.mat", "--out", tmp_path / "bfm.h5")
    assert result.exit_code == 1
    assert re.fullmatch(r"uvgen: .*BFM_UV\.mat: no such file; .*beside BFM\.mat\n", result.stderr)


def test_convert_of_another_struct_is_refused(uvgen: Any, files: Path, tmp_path: Path) -> None:
    result = uvgen("model", "convert", "--face3d", files / "model_info.mat", "--out", tmp_path / "bfm.h5")
    assert result.exit_code == 1
    assert re.fullmatch(r"uvgen: .*model_info\.mat: no struct `model` in it, .*\n", result.stderr)


def test_convert_to_a_folder_that_cannot_be_made_is_refused(uvgen: Any, files: Path) -> None:
    result = uvgen("model", "convert", *distributed(files), "--out", files / "BFM.mat/bfm.h5")
    assert result.exit_code == 1
    assert re.fullmatch(r"uvgen: .*bfm\.h5: cannot be written .*\n", result.stderr), result.stderr


# Information


def test_info_prints_counts_dimensions_provenance_and_coverage(
    uvgen: Any, files: Path, model: MorphableModel, tmp_path: Path
) -> None:
    uvgen("model", "convert", *distributed(files), "--out", tmp_path / "bfm.h5")
    result = uvgen("model", "info", tmp_path / "bfm.h5")
    assert result.exit_code == 0, result.output
    rows = dict(re.split(r" {1,}", line, maxsplit=1) for line in result.stdout.splitlines())
    assert rows["vertices"] == "1681"
    assert rows["triangles"].startswith(str(len(model.triangles)))
    assert rows["shape"] == "10 components" and rows["expression"] == "5 components"
    assert rows["albedo"] == "4 components" and rows["landmarks"] == "68"
    extent = np.ptp(model.mean, axis=0) / 1000
    assert rows["size"] == f"{extent[0]:.0f} × {extent[1]:.0f} × {extent[2]:.0f} mm"
    mesh, closed, filled = (float(share) for share in re.findall(r"([\d.]+)%", rows["UV"]))
    assert 98 < mesh < 100 and 0 < closed < 1 and abs(mesh + closed + filled - 100) < 0.02  # rounded to 0.01 each
    for path in distributed(files)[1::2]:
        assert isinstance(path, Path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert re.search(rf"^source +{re.escape(path.name)} +{digest}$", result.stdout, re.MULTILINE)


def test_info_of_a_model_changed_since_it_was_made_says_so(uvgen: Any, files: Path, tmp_path: Path) -> None:
    uvgen("model", "convert", *distributed(files), "--out", tmp_path / "bfm.h5")
    with h5py.File(tmp_path / "bfm.h5", "r+") as file:
        file["basis"][5, 1, 2] += 1
    result = uvgen("model", "info", tmp_path / "bfm.h5")
    assert result.exit_code == 1
    assert "bfm.h5" in result.stderr and "hash" in result.stderr


@pytest.mark.parametrize("content", [b"text", b""])
def test_info_of_no_model_is_refused(uvgen: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bfm.h5").write_bytes(content)
    result = uvgen("model", "info", tmp_path / "bfm.h5")
    assert result.exit_code == 1
    assert re.fullmatch(r"uvgen: .*bfm\.h5: not a readable model file .*\n", result.stderr), result.stderr


def test_info_of_a_missing_file_exits_1(uvgen: Any) -> None:
    result = uvgen("model", "info", "nowhere.h5")
    assert result.exit_code == 1 and "nowhere.h5: no such file, expected a model's file" in result.stderr


# Models of other kinds


def test_convert_of_a_foreign_file_takes_what_it_lacks_from_a_larger_model(uvgen: Any, tmp_path: Path) -> None:
    larger = toy_model(with_mouth=True)
    save_model(larger, tmp_path / "bfm.h5")
    path = write_tddfa(tmp_path, larger)
    options = ("--uv-from", tmp_path / "bfm.h5", "--out", tmp_path / "tddfa.h5")
    result = uvgen("model", "convert", path, *options)
    assert result.exit_code == 0, result.stderr
    assert "tddfa.h5: 1369 vertices, 10 shape + 5 expression components" in result.stdout
    np.testing.assert_array_equal(load_model(tmp_path / "tddfa.h5").uv, larger.uv[kept_vertices()])
    again = uvgen("model", "convert", path, *options)
    assert again.exit_code == 1 and "--overwrite" in again.stderr
    result = uvgen("model", "convert", path, "--uv-from", "builtin", "--out", tmp_path / "other.h5")
    assert result.exit_code == 1 and "in a file, --indices" in result.stderr and not (tmp_path / "other.h5").exists()


def test_convert_of_foreign_files_takes_uv_indices_and_landmarks(uvgen: Any, tmp_path: Path) -> None:
    larger = toy_model()
    path = write_tddfa(tmp_path, larger)
    np.save(tmp_path / "uv.npy", larger.uv)
    np.save(tmp_path / "kept.npy", kept_vertices())
    (tmp_path / "marks.txt").write_text("\n".join(map(str, range(300, 368))))
    result = uvgen("model", "convert", path, "--uv", tmp_path / "uv.npy", "--indices", tmp_path / "kept.npy",
                   "--landmarks", tmp_path / "marks.txt", "--out", tmp_path / "a.h5")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    model = load_model(tmp_path / "a.h5")
    np.testing.assert_array_equal(model.uv, larger.uv[kept_vertices()])
    np.testing.assert_array_equal(model.landmarks, range(300, 368))


def test_convert_of_the_basel_files_in_any_order_or_whole(uvgen: Any, tmp_path: Path) -> None:
    files = write_whole(tmp_path, toy_model())
    assert uvgen("model", "convert", *list(files.values())[::-1], "--out", tmp_path / "a.h5").exit_code == 0
    named = [word for part, path in files.items() for word in (f"--{part}", path)]
    assert uvgen("model", "convert", *named, "--out", tmp_path / "b.h5").exit_code == 0
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    result = uvgen("model", "convert", *named, "--keep-all", "--out", tmp_path / "c.h5")
    assert result.exit_code == 0 and "c.h5: 1688 vertices" in result.stdout


def test_info_export_and_parameterize_take_foreign_files_and_folders(uvgen: Any, tmp_path: Path) -> None:
    path = write_tddfa(tmp_path / "a", toy_model())
    folder = write_tddfa_parts(tmp_path / "b", toy_model())
    for source in (path, folder, tmp_path / "a"):
        result = uvgen("model", "info", source)
        assert result.exit_code == 0 and "3DDFA_V2" in result.stdout, result.stderr
    for kind in ("obj", "npy", "mat"):
        result = uvgen("model", "export", path, "--to", kind, "--out", tmp_path / f"a.{kind}")
        assert result.exit_code == 0, result.stderr
    uv = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(sio.loadmat(tmp_path / "a.mat")["UV"], uv)
    vertices, _ = read_mesh(tmp_path / "a.obj")
    np.testing.assert_allclose(vertices, load_model(path).mean / 1e3, rtol=1e-5)
    wrong = uvgen("model", "export", path, "--to", "obj", "--out", tmp_path / "a.ply")
    assert wrong.exit_code == 2 and "expected a name that ends in .obj" in wrong.stderr
    result = uvgen("model", "parameterize", folder, "--asymmetric", "--out", tmp_path / "b.h5")
    assert result.exit_code == 1 and "remove the mesh's ears" in result.stderr  # it takes the mesh as it is


def test_build_with_a_foreign_model_without_landmarks_names_the_option(uvgen: Any, tmp_path: Path, tree: Path) -> None:
    write_statismo(tmp_path / "model2019_fullHead.h5")
    result = uvgen("build", "--data", tree, "--model", tmp_path / "model2019_fullHead.h5", "--out", tmp_path / "out")
    assert result.exit_code != 0 and "`uvgen model convert` as --landmarks" in result.stderr


def test_info_prints_joints(uvgen: Any, tmp_path: Path) -> None:
    save_model(with_rig(toy_model()), tmp_path / "a.h5")
    assert "joints        neck, jaw" in uvgen("model", "info", tmp_path / "a.h5").stdout


@pytest.mark.parametrize("names", [["01_MorphableModel.mat"], ["model_info.mat", "01_MorphableModel.mat"]])
def test_convert_of_some_of_the_distributed_files_names_the_others(
    uvgen: Any, files: Path, tmp_path: Path, names: list[str]
) -> None:
    result = uvgen("model", "convert", *(files / name for name in names), "--out", tmp_path / "x.h5")
    assert result.exit_code == 1 and not (tmp_path / "x.h5").exists()
    wanted = ("01_MorphableModel.mat", "Model_Expression.mat", "model_info.mat", "BFM_UV.mat")
    lacking = ", ".join(name for name in wanted if name not in names)
    assert f"{names[-1]}: not all files of the Basel Face Model 2009, expected {lacking} too" in result.stderr


def test_face3d_without_its_info_says_what_is_lost(uvgen: Any, model: MorphableModel, tmp_path: Path) -> None:
    path = face3d_files(model, tmp_path)
    path.with_name("BFM_info.mat").unlink(missing_ok=True)
    result = uvgen("model", "convert", "--face3d", path, "--out", tmp_path / "x.h5")
    assert result.exit_code == 0
    assert "warning: BFM_info.mat: not found beside BFM.mat, expected for mirror pairs and regions" in result.stderr


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".obj"])
def test_parameterize_takes_a_mesh_without_landmarks_where_no_model_is_written(
    uvgen: Any, tmp_path: Path, suffix: str
) -> None:
    uvgen("model", "export", "builtin", "--to", "obj", "--out", tmp_path / "mean.obj")
    result = uvgen("model", "parameterize", tmp_path / "mean.obj", "--asymmetric", "--out", tmp_path / f"uv{suffix}")
    assert result.exit_code == 0, result.output
    assert (tmp_path / f"uv{suffix}").is_file()
