"""Models of one's own: from meshes, landmarks and scans; UV for models; export."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io as sio
from scipy.spatial.transform import Rotation
from support.models import builtin_model

from uvgen import PositionMapper, load_model
from uvgen.errors import DatasetError, InputError, ModelError
from uvgen.meshes.read import read_mesh
from uvgen.meshes.tutte import signed_areas
from uvgen.models.formats import face3d
from uvgen.models.from_mesh import model_from_mesh, model_stretch, scan_warnings, with_new_uv, write_model
from uvgen.rasterize import write_obj

trimesh = pytest.importorskip("trimesh")


@pytest.fixture(scope="module")
def head():
    return builtin_model(4_000)


def skin(head):
    """Vertices and triangles without the inside of the mouth, whose vertices no skin triangle names."""
    used, triangles = np.unique(head.triangles, return_inverse=True)
    return used, triangles.reshape(-1, 3).astype(np.int32)


@pytest.fixture(scope="module")
def untouched(head, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mean mesh, its landmarks, and five registered scans of two modes, in mm."""
    folder = tmp_path_factory.mktemp("files")
    used, triangles = skin(head)
    rng = np.random.default_rng(0)
    (folder / "scans").mkdir()
    mean = head.mean[used] / 1e3
    modes = head.shape_basis[used][:, :, :2] / 1e3
    for k in range(5):
        write_obj(folder / f"scans/{k}.obj", mean + modes @ rng.normal(size=2), triangles, frame="raw")
    write_obj(folder / "mean.obj", mean, triangles, frame="raw")
    rows = np.searchsorted(used, head.landmarks)
    np.savetxt(folder / "landmarks.txt", rows, fmt="%d")
    return folder


@pytest.fixture
def files(untouched: Path, tmp_path: Path) -> Path:
    """Copies of them, to be changed."""
    return Path(shutil.copytree(untouched, tmp_path, dirs_exist_ok=True))


def test_vertices_of_no_triangle_keep_their_numbers(files, head) -> None:
    """As in meshes that `uvgen register` made with the built-in model: the inside of its mouth has no skin triangle."""
    write_obj(files / "whole.obj", head.mean / 1e3, head.triangles, frame="raw")
    np.savetxt(files / "numbers.txt", head.landmarks, fmt="%d")
    model = model_from_mesh(files / "whole.obj", files / "numbers.txt")
    used, _ = skin(head)
    assert len(used) < head.n_vertices == model.n_vertices
    np.testing.assert_array_equal(model.triangles, head.triangles)
    alone = model_from_mesh(files / "mean.obj", files / "landmarks.txt")
    np.testing.assert_array_equal(model.uv[used], alone.uv)
    assert alone.mirror is not None and model.mirror is not None
    np.testing.assert_array_equal(model.mirror[used] >= 0, alone.mirror >= 0)
    loose = np.setdiff1d(np.arange(head.n_vertices), used)
    assert (model.mirror[loose] == -1).all() and np.isin(model.uv[loose], alone.uv).all()
    np.testing.assert_allclose(with_new_uv(model).uv, model.uv, atol=1e-4)  # of a mean in float32


def test_errors_have_the_file_s_numbers_of_vertices_and_the_command_s_words(uvgen, files, head) -> None:
    """Vertices of no triangle are left out before the UV are found."""
    a, b = head.triangles[-1][:2]
    vertices = head.mean / 1e3
    vertices[b] = vertices[a]
    write_obj(files / "whole.obj", vertices, head.triangles, frame="raw")
    with pytest.raises(InputError, match=rf"whole\.obj: vertices: ({a} and {b}|{b} and {a}) share an edge"):
        model_from_mesh(files / "whole.obj")
    write_obj(files / "half.obj", head.mean / 1e3, head.triangles[:-40], frame="raw")
    result = uvgen("model", "parameterize", files / "half.obj", "--out", files / "half.npy")
    assert result.exit_code == 1 and "half.obj: triangles: " in result.stderr
    assert "pass --asymmetric" in result.stderr


def test_parameterize_of_mesh_and_scans_makes_a_model_that_spans_them(uvgen, files, head) -> None:
    arguments = ("--landmarks", files / "landmarks.txt", "--scans", files / "scans", "--out", files / "own.h5")
    result = uvgen("model", "parameterize", files / "mean.obj", *arguments)
    assert result.exit_code == 0, result.output
    model = load_model(files / "own.h5")
    used, triangles = skin(head)
    np.testing.assert_array_equal(model.triangles, triangles)
    np.testing.assert_array_equal(used[model.landmarks], head.landmarks)
    assert model.n_shape == 4 and model.n_expression == 0
    areas = signed_areas(model.uv, model.triangles)
    assert (areas < 0).all() or (areas > 0).all()
    basis = model.shape_basis.reshape(-1, 4)
    scan = trimesh.load(files / "scans/3.obj", process=False).vertices * 1e3
    wanted = (scan - model.mean).ravel()
    found = basis @ np.linalg.lstsq(basis, wanted, rcond=None)[0]
    np.testing.assert_allclose(found, wanted, atol=2)  # µm; OBJ files hold some digits
    strength = np.linalg.norm(basis, axis=0)
    assert strength[2] < 1e-2 * strength[1]  # two modes made them
    maps = PositionMapper(model, 64)(np.zeros((1, 4)), np.zeros((1, 0)), [[0, 0, 0, 100, 100, 0, 5e-4]], np.eye(3), 200)
    assert np.isfinite(maps).all()


def test_from_mesh_with_fewer_components_keeps_the_strongest(files) -> None:
    model = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans", 1)
    every = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    assert model.n_shape == 1 and every.n_shape == 4
    np.testing.assert_array_equal(model.shape_basis[..., 0], every.shape_basis[..., 0])
    assert np.linalg.norm(every.shape_basis, axis=(0, 1)).argmax() == 0


def test_from_mesh_components_are_one_standard_deviation_of_the_scans_long(files) -> None:
    model = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans", 2)
    scans = [trimesh.load(path, process=False).vertices * 1e3 - model.mean for path in (files / "scans").iterdir()]
    parameters = np.reshape(scans, (5, -1)) @ np.linalg.pinv(model.shape_basis.reshape(-1, 2)).T
    np.testing.assert_allclose(parameters.std(axis=0, ddof=1), 1, rtol=1e-3)  # OBJ files hold some digits


def test_with_new_uv_keeps_all_but_the_uv(head) -> None:
    model = with_new_uv(head)
    np.testing.assert_array_equal(model.mean, head.mean)
    np.testing.assert_array_equal(model.basis, head.basis)
    assert not np.array_equal(model.uv, head.uv)
    assert model.content_sha256 != head.content_sha256
    assert 1 <= model_stretch(model) < 5
    with pytest.raises(InputError, match=rf"^{head.name}: triangles: a mesh of 2 components"):
        with_new_uv(replace(head, triangles=head.triangles[:1]))


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".obj", ".h5"])
def test_write_in_each_format_holds_the_uv(head, tmp_path, suffix) -> None:
    path = tmp_path / f"out{suffix}"
    write_model(head, path)
    if suffix == ".npy":
        found = np.load(path)
    elif suffix == ".mat":
        found = sio.loadmat(path)["UV"]
    elif suffix == ".h5":
        found = load_model(path).uv
    else:
        lines = [line.split() for line in path.read_text().splitlines()]
        found = np.array([words[1:] for words in lines if words[:1] == ["vt"]], float)
        corners = [corner.split("/")[:2] for words in lines if words[:1] == ["f"] for corner in words[1:]]
        np.testing.assert_array_equal(np.array(corners, int).reshape(-1, 3, 2), np.stack(2 * [head.triangles + 1], -1))
    np.testing.assert_allclose(found, head.uv, rtol=0, atol=1e-7 if suffix == ".obj" else 0)  # OBJ: float32


def test_write_into_a_file_as_folder_is_refused(head, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be written"):
        write_model(head, tmp_path / "file/out.npy")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mean.obj", "v 0 0 0\n", "no triangles|not a readable mesh"),
        ("mean.ply", "text", "not a readable mesh"),
        ("mean.stl", "solid a\nfacet normal 0 0 1\n", "mean.stl: an STL holds no shared vertices.*OBJ, PLY or OFF"),
    ],
)
def test_from_mesh_of_no_mesh_is_refused(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=message):
        model_from_mesh(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 2 3", "3 numbers, expected 68"),
        ("a b", "expected a list of vertex numbers"),
        ("999999\n" * 68, "landmarks name"),
        ("1_0\n" * 68, "not readable as numbers .no number"),
        ("7.5\n" * 68, "not readable as numbers"),
        ("nan\n" * 68, "not readable as numbers"),
        ("99999999999\n" * 68, "expected vertex numbers, which count from 0"),
        ("\x93NUMPY\1\0", "a file of unknown kind|a binary file"),
    ],
)
def test_from_mesh_with_bad_landmarks_is_refused(files, content, message) -> None:
    (files / "landmarks.txt").write_text(content)
    with pytest.raises((InputError, ModelError), match=message):
        model_from_mesh(files / "mean.obj", files / "landmarks.txt")


def test_from_mesh_with_an_unregistered_scan_is_refused(files, head) -> None:
    used, triangles = skin(head)
    write_obj(files / "scans/bad.obj", head.mean[used], (triangles + 1) % len(used), frame="raw")
    with pytest.raises(ModelError, match=r"bad\.obj: other triangles than the mesh's"):
        model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")


def test_from_mesh_with_two_meshes_of_a_scan_is_refused(files) -> None:
    """Each would count twice in the components."""
    trimesh.load(files / "scans/1.obj", process=False).export(files / "scans/1.ply")
    with pytest.raises(ModelError, match=r"1\.obj: 1\.ply has the same name, expected one mesh of each scan"):
        model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")


@pytest.mark.parametrize(
    ("frame", "degrees", "unit", "message"),
    [
        ("scan", 9, "mm", r"turned by up to 9° against each other, .*; `uvgen register --frame model` puts them"),
        ("scan", 1, "mm", ""),
        ("model", 9, "mm", ""),
        ("scan", 1, "cm", "its meshes are in cm, but are read in mm; give their unit"),
    ],
)
def test_scans_that_say_that_they_are_in_frames_of_their_own_are_named(
    uvgen, files, frame: str, degrees: float, unit: str, message: str
) -> None:
    turned = Rotation.from_euler("y", degrees, degrees=True).as_matrix().tolist()
    entries = [{"rotation": np.eye(3).tolist(), "unit": unit}, {"rotation": turned, "unit": unit}]
    (files / "scans/register.json").write_text(json.dumps({"frame": frame, "scans": entries}))
    found = scan_warnings(files / "scans", "mm")
    assert len(found) == bool(message) and re.search(message, "".join(found))
    arguments = ["--landmarks", files / "landmarks.txt", "--scans", files / "scans", "--out", files / "own.h5"]
    said = uvgen("model", "parameterize", files / "mean.obj", *arguments)
    assert (f"{files / 'scans/register.json'}: its meshes" in said.stderr) == bool(message)
    (files / "scans/register.json").unlink()
    assert scan_warnings(files / "scans", "mm") == []


def test_from_mesh_takes_scans_in_subfolders_that_register_made_and_names_others(files) -> None:
    whole = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    moved = sorted((files / "scans").glob("*.obj"))[-1]
    (files / "scans/smith").mkdir()
    moved.rename(files / "scans/smith" / moved.name)
    (said,) = scan_warnings(files / "scans", "mm")
    assert said == f"{files / 'scans'}: 1 mesh in subfolders is not read, first smith/{moved.name}"
    fewer = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    assert fewer.n_shape == whole.n_shape - 1
    (files / "scans/register.json").write_text(json.dumps({"frame": "model", "scans": []}))
    assert scan_warnings(files / "scans", "mm") == []
    every = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    assert every.n_shape == whole.n_shape and f"smith/{moved.name}" in every.sources
    np.testing.assert_allclose(every.mean, whole.mean, atol=1e-3)


def test_from_mesh_with_scans_whose_triangles_are_listed_in_another_order_is_the_same(files) -> None:
    plain = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    lines = (files / "scans/2.obj").read_text().splitlines()
    corners = [" ".join(line.split()[:1] + line.split()[2:] + line.split()[1:2]) for line in lines if line[:2] == "f "]
    (files / "scans/2.obj").write_text("\n".join([line for line in lines if line[:2] != "f "] + corners[::-1]))
    found = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    np.testing.assert_array_equal(found.basis, plain.basis)


@pytest.mark.slow
def test_from_mesh_says_which_registered_meshes_are_missing_and_follows_links(files, tmp_path) -> None:
    """A folder of one person may lie on another disk; some meshes may not have been copied."""
    whole = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    index, moved = files / "scans/register.json", sorted((files / "scans").glob("*.obj"))[-1]
    listed = [{"name": name, "rotation": np.eye(3).tolist(), "unit": "mm"} for name in ("0", f"smith/{moved.stem}")]
    index.write_text(json.dumps({"frame": "model", "scans": listed}))
    (tmp_path / "disk").mkdir()
    moved.rename(tmp_path / "disk" / moved.name)
    (said,) = scan_warnings(files / "scans", "mm")
    assert said == f"{index}: 1 mesh that it lists is not there, first smith/{moved.stem}; the model is made without"
    (files / "scans/smith").symlink_to(tmp_path / "disk")
    assert scan_warnings(files / "scans", "mm") == []
    assert model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans").n_shape == whole.n_shape
    (files / "scans/.uvgen-journal").touch()
    (said,) = scan_warnings(files / "scans", "mm")
    assert said.startswith(f"{files / 'scans'}: `uvgen register` has not finished")


def test_from_mesh_passes_over_hidden_files_beside_the_scans(files) -> None:
    """macOS puts ``._0.obj`` beside ``0.obj`` on disks of other systems."""
    expected = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    (files / "scans/._0.obj").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    (files / "scans/.DS_Store").write_bytes(b"\0\0\0\1Bud1")
    found = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    assert found.content_sha256 == expected.content_sha256


@pytest.mark.slow
def test_from_mesh_with_scans_of_several_materials_is_the_same(files) -> None:
    expected = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    for path in [files / "mean.obj", *(files / "scans").glob("*.obj")]:
        lines = path.read_text().splitlines()
        first = next(k for k, line in enumerate(lines) if line.startswith("f "))
        cut = lines[:first] + ["usemtl a"] + lines[first : first + 99] + ["o b", "usemtl b"] + lines[first + 99 :]
        path.write_bytes("\r\n".join(["mtllib m\xfcll.mtl", *cut]).encode("latin-1"))
    found = model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")
    assert found.content_sha256 == expected.content_sha256


@pytest.mark.parametrize("name", ["a.stl", "a.glb", "a.npy"])  # `uvgen register --format npy` writes these
def test_from_mesh_with_a_scan_of_another_kind_is_refused_by_name(files, name) -> None:
    start = {"a.stl": b"solid a\nfacet normal 0 0 1\n", "a.glb": b"glTF\2\0\0\0", "a.npy": b"\x93NUMPY\1\0"}
    (files / "scans" / name).write_bytes(start[name])
    (files / "scans" / "1.landmarks.npy").write_bytes(start["a.npy"])  # beside scans, and none
    found = "an STL holds no shared vertices|not a readable mesh: a (GLB mesh|NumPy .npy array)"
    with pytest.raises(ModelError, match=rf"{name}: ({found})"):
        model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")


def test_from_mesh_with_coordinates_that_would_overflow_is_refused_by_name(files) -> None:
    lines = (files / "mean.obj").read_text().splitlines()
    lines[next(k for k, line in enumerate(lines) if line.startswith("v "))] = "v 1e300 0 0"
    (files / "scans/far.obj").write_text("\n".join(lines))
    with pytest.raises(ModelError, match=r"far\.obj: a coordinate of 1e\+300 mm, expected a face's; it is damaged"):
        model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")


def test_from_mesh_with_a_scan_of_fewer_vertices_is_refused(files, head) -> None:
    used, triangles = skin(head)
    mean = np.vstack([head.mean[used], [[0, 0, 0]]])
    write_obj(files / "scans/more.obj", mean, triangles, frame="raw")
    with pytest.raises(ModelError, match=rf"more\.obj: {len(mean)} vertices, the mesh has {len(used)}"):
        model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_from_mesh_reads_landmarks_that_an_editor_saved(files, encoding) -> None:
    path = files / "landmarks.txt"
    expected = model_from_mesh(files / "mean.obj", path).landmarks
    numbers = path.read_text().split()
    text = "# für jeden Punkt\r\n" + ", ".join(numbers[:30]) + "\r\n" + "\r\n".join(f"{n}.0" for n in numbers[30:])
    path.write_bytes(text.encode(encoding))
    np.testing.assert_array_equal(model_from_mesh(files / "mean.obj", path).landmarks, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mean.obj", "--out", "own.h5"), "missing --landmarks"),
        (("mean.obj", "--out", "own.txt"), "expected a name that ends in .h5 or .npy or .mat or .obj"),
        (("builtin", "--scans", "scans", "--out", "own.h5"), "--scans and --landmarks go with a mesh"),
    ],
)
def test_parameterize_used_wrongly_exits_2(uvgen, files, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(files)
    result = uvgen("model", "parameterize", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_export_to_face3d_and_back_gives_the_same_model(uvgen, tmp_path) -> None:
    result = uvgen("model", "export", "builtin", "--format", "face3d", "--out", tmp_path / "face3d")
    assert result.exit_code == 0, result.output
    ours, back = builtin_model(), load_model(tmp_path / "face3d/BFM.mat")
    assert back.content_sha256 == ours.content_sha256
    for name in ("mirror", "albedo_mean", "albedo_basis", "albedo_std", "shape_std", "expression_std"):
        np.testing.assert_array_equal(getattr(back, name), getattr(ours, name), err_msg=name)
    again = uvgen("model", "export", "builtin", "--format", "face3d", "--out", tmp_path / "face3d")
    assert again.exit_code == 1 and "BFM.mat: exists, expected a new file" in again.stderr


def test_export_to_face3d_of_a_mean_albedo_without_components_keeps_it(tmp_path) -> None:
    ours = builtin_model()
    face3d.write(replace(ours, albedo_basis=None, albedo_std=None), tmp_path)
    back = load_model(tmp_path / "BFM.mat")
    np.testing.assert_array_equal(back.albedo_mean, ours.albedo_mean)
    assert back.albedo_basis is None and back.albedo_std is None


def test_info_of_the_builtin_model_needs_no_file(uvgen, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "vertices      10833" in uvgen("model", "info", "builtin").output


def test_a_mesh_without_landmarks_gets_the_uv_that_it_has_with_them(files) -> None:
    expected = model_from_mesh(files / "mean.obj", files / "landmarks.txt")
    found = model_from_mesh(files / "mean.obj")
    np.testing.assert_array_equal(found.uv, expected.uv)
    np.testing.assert_array_equal(found.mirror, expected.mirror)
    assert len(np.unique(found.landmarks)) == 68


@pytest.mark.parametrize(
    ("change", "how"),
    [(Rotation.from_euler("x", 90, degrees=True).as_matrix(), "turned by 90°"), (np.diag([-1, 1, 1]), "mirrored")],
)
def test_from_mesh_of_a_scan_with_other_axes_is_refused(files, change, how: str) -> None:
    """As a program that exports with z up."""
    path = files / "scans/3.obj"
    vertices, triangles = read_mesh(path)
    write_obj(path, vertices @ change, triangles, frame="raw")
    with pytest.raises(ModelError, match=rf"3\.obj: {how} against the mesh, expected scans in the same frame"):
        model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")


def test_from_mesh_of_a_scan_that_lies_elsewhere_is_refused(files) -> None:
    """As those that `uvgen register` left in their own frames."""
    vertices, triangles = read_mesh(files / "scans/3.obj")
    write_obj(files / "scans/3.obj", vertices + [300, 0, 0], triangles, frame="raw")
    with pytest.raises(
        ModelError, match=r"3\.obj: lies 1\.\d sizes of the face beside the mesh, expected scans in the"
    ):
        model_from_mesh(files / "mean.obj", files / "landmarks.txt", files / "scans")


def test_from_mesh_says_which_meshes_are_of_a_kind_that_is_not_read(files) -> None:
    for name in ("0.fbx", "9.fbx", "8.DAE", "0.obj.gz", "7.ply.gz"):
        (files / "scans" / name).touch()
    (said,) = scan_warnings(files / "scans", "mm")
    expected = "expected .obj, .ply, .off at the end"
    assert said == f"{files / 'scans'}: 3 meshes of a kind that is not read, first 7.ply.gz, {expected}"
    for name in ("0.obj.1", "9.ply?dl=1", "notes.txt.1"):
        (files / "scans" / name).touch()
    _, said = scan_warnings(files / "scans", "mm")
    assert said == f"{files / 'scans'}: 2 meshes named on after the suffix, and not read, first 0.obj.1, {expected}"


def test_command_writes_no_mesh_among_the_scans(files, uvgen) -> None:
    """The next run would take it for one."""
    arguments = [
        "model",
        "parameterize",
        files / "mean.obj",
        "--scans",
        files / "scans",
        "--landmarks",
        files / "landmarks.txt",
    ]
    result = uvgen(*arguments, "--out", files / "scans/uv.obj")
    assert result.exit_code == 2 and "lies among the scans, where it would be one" in result.stderr
    assert len([*(files / "scans").iterdir()]) == 5


def test_from_mesh_of_flat_meshes_is_not_said_to_be_mirrored(tmp_path: Path) -> None:
    """A plane looks the same from its other side."""
    rng = np.random.default_rng(0)
    at = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), axis=2).reshape(-1, 2) * 10
    rotation = Rotation.from_euler("xyz", [20, 30, 10], degrees=True).as_matrix()
    quads = (np.arange(11)[:, None] * 12 + np.arange(11)).ravel()
    first, second = quads[:, None] + [0, 1, 12], quads[:, None] + [1, 13, 12]
    for k in (0, -1):  # cut the other way, so that no triangle has two edges on the boundary
        first[k], second[k] = quads[k] + [0, 1, 13], quads[k] + [0, 13, 12]
    triangles = np.concatenate([first, second]).astype(np.int32)
    (tmp_path / "scans").mkdir()
    for name in ("mean", *(f"scans/{k}" for k in range(8))):
        flat = np.column_stack([at + rng.normal(size=at.shape) * 0.5 * (name != "mean"), np.zeros(len(at))])
        write_obj(tmp_path / f"{name}.obj", flat @ rotation, triangles, frame="raw")
    assert model_from_mesh(tmp_path / "mean.obj", None, tmp_path / "scans").n_shape == 7


def test_from_mesh_that_lies_where_a_model_s_numbers_are_coarse_is_refused(files, tmp_path) -> None:
    """As georeferenced meshes do: a model is kept in float32."""
    vertices, triangles = read_mesh(files / "mean.obj")
    for name, away in (("near", 1e4), ("far", 6e8)):
        rows = [f"v {x!r} {y!r} {z!r}" for x, y, z in (vertices + [away, 0, 0]).tolist()]
        rows += [f"f {a} {b} {c}" for a, b, c in (triangles + 1).tolist()]
        (tmp_path / f"{name}.obj").write_text("\n".join(rows))
    assert np.ptp(model_from_mesh(tmp_path / "near.obj").mean, axis=0) == pytest.approx(
        np.ptp(vertices, axis=0) * 1e3, abs=50
    )
    with pytest.raises(ModelError, match=r"far\.obj: lies 6e\+08 mm from its origin, where a model's numbers .* 66 mm"):
        model_from_mesh(tmp_path / "far.obj")


def test_export_to_face3d_that_fails_leaves_the_model_that_was_there(tmp_path, monkeypatch) -> None:
    face3d.write(builtin_model(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    saved = face3d.savemat

    def failing(file, content) -> None:
        if "model" in content:  # the last and largest
            raise KeyboardInterrupt
        saved(file, content)

    monkeypatch.setattr(face3d, "savemat", failing)
    with pytest.raises(KeyboardInterrupt):
        face3d.write(replace(builtin_model(), uv=builtin_model().uv[:, ::-1].copy()), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
