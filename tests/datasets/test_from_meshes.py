"""Sets made of registered meshes: the labels that the same faces' parameters give, cameras, bad meshes by name."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.builds import by_name, edit_index, file_hashes
from support.models import builtin_model
from support.registered import image_vertices, model_vertices, pose_camera, write_camera, write_mesh, write_meshes
from support.scans import resampled, somewhere
from support.toy import picture, toy_model, write_tree

from uvgen import (
    Augmentation,
    BuildConfig,
    BuildResult,
    MorphableModel,
    RunOptions,
    SynthOptions,
    augment_shards,
    build_atlas,
    build_shards,
    describe_shards,
    export_shards,
    find_samples,
    import_meshes,
    merge_shards,
    open_shards,
    register_scans,
    render_faces,
    render_preview,
    repair_shards,
    save_model,
    verify_shards,
    write_report,
)
from uvgen.cameras import apply_camera
from uvgen.cli.main import main
from uvgen.errors import DatasetError, DependencyError, InputError, SampleError, SettingsError
from uvgen.geometry import rotation_matrices, similarity_scale, transform_points
from uvgen.storage.files import sha256_file

CONFIG = BuildConfig(size=64, uv_size=48, shard_size=2, posmap_dtype="float32", targets=("uv", "depth", "visibility"))
FLIPS = Augmentation(rotation_deg=(-20, 20), flip=0.5)
EXACT_PX = 1e-3  # float32 products on the one side, float64 on the other
NEAR_CODES = 0.02  # share of a target's values: on edges of triangles, last bits decide which one a pixel shows

Make = Callable[..., tuple[BuildResult, Path]]


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return toy_model()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_tree(tmp_path_factory.mktemp("tree") / "tree", 2)
    shutil.rmtree(root / "IBUG_Flip")
    return root


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, tree: Path, model: MorphableModel) -> Path:
    """What the parameters give."""
    out = tmp_path_factory.mktemp("expected") / "out"
    build_shards(tree, out, model=model, config=CONFIG)
    return out


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory, tree: Path, model: MorphableModel) -> Path:
    """Meshes in their images."""
    return write_meshes(tree, tmp_path_factory.mktemp("meshes"), model)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tree: Path, meshes: Path, model: MorphableModel) -> Path:
    """What they give."""
    out = tmp_path_factory.mktemp("built") / "out"
    import_meshes(tree, meshes, out, model=model, config=CONFIG)
    return out


def assert_same_labels(found: Path, expected: Path, exact_px: float = EXACT_PX) -> None:
    ours, theirs = by_name(found), by_name(expected)
    assert [*ours] == [*theirs]
    for name, one in ours.items():
        other = theirs[name]
        for field in ("posmap", "landmarks"):
            np.testing.assert_allclose(one[field], other[field], atol=exact_px, err_msg=name)
        np.testing.assert_allclose(one["image_to_crop"], other["image_to_crop"], atol=exact_px)
        assert np.abs(one["image"].astype(int) - other["image"]).max() <= 1
        assert (one["source"], one["image_height"]) == (other["source"], other["image_height"])
        for target in ("uv", "depth", "visibility", "covered"):
            assert np.mean(np.abs(one[target].astype(int) - other[target]) > 1) < NEAR_CODES, (name, target)


@pytest.mark.parametrize("suffix", [".npy", ".obj", ".ply", ".glb"])
@pytest.mark.parametrize("cameras", [False, True])
def test_meshes_of_known_faces_give_the_labels_of_their_parameters(
    tmp_path: Path, tree: Path, model: MorphableModel, expected: Path, suffix: str, cameras: bool
) -> None:
    if suffix == ".ply":
        pytest.importorskip("trimesh")
    folder = write_meshes(tree, tmp_path / "m", model, suffix, cameras=cameras)
    result = import_meshes(tree, folder, tmp_path / "out", model=model, config=CONFIG)
    assert not result.skipped and not result.warnings and result.samples == 4
    assert_same_labels(tmp_path / "out", expected)


@pytest.mark.parametrize("convention", ["exact", "face3d"])
def test_meshes_that_are_flipped_while_they_are_built_are_as_parameters_are(
    tmp_path: Path, tree: Path, meshes: Path, model: MorphableModel, convention: str
) -> None:
    config = replace(CONFIG, augmentation=FLIPS, copies=2, convention=convention)
    result = import_meshes(tree, meshes, tmp_path / "out", model=model, config=config)
    build_shards(tree, tmp_path / "expected", model=model, config=config)
    assert result.samples == 8 and result.mirror is not None
    assert len({sample["flipped"] for sample in by_name(tmp_path / "out", "flipped").values()}) == 2
    assert_same_labels(tmp_path / "out", tmp_path / "expected")
    assert verify_shards(tmp_path / "out", model=model).sound


def test_stored_codes_are_those_of_the_exact_map(
    tmp_path: Path, tree: Path, meshes: Path, model: MorphableModel, built: Path
) -> None:
    config = replace(CONFIG, posmap_dtype="uint16")
    import_meshes(tree, meshes, tmp_path / "out", model=model, config=config)
    step = 64 / 2**14
    for name, sample in by_name(tmp_path / "out", "posmap").items():
        np.testing.assert_allclose(sample["posmap"], by_name(built, "posmap")[name]["posmap"], atol=0.501 * step)


def test_perspective_camera_puts_landmarks_and_texels_where_a_matrix_does(
    tmp_path: Path, tree: Path, model: MorphableModel
) -> None:
    """A homogeneous 3 × 4 matrix, vertex by vertex; texels between three of them."""
    folder, wanted = tmp_path / "m", {}
    turn, lens = rotation_matrices([[0.1, 0.2, 0.05]])[0], np.array([[700.0, 0, 80], [0, 650, 55], [0, 0, 1]])
    down = np.diag([1.0, -1, -1])
    place = np.array([0, 0, 1.2e6])
    for sample in find_samples(tree):
        vertices = model_vertices(sample, model)
        write_mesh(folder / f"{sample.name}.npy", vertices, model)
        homogeneous = np.stack([lens @ np.c_[down @ turn, place] @ [*vertex, 1.0] for vertex in vertices])
        xy, depths = homogeneous[:, :2] / homogeneous[:, 2:], homogeneous[:, 2]
        wanted[sample.name] = np.c_[xy, -depths * np.sqrt(700 * 650) / depths.mean()]
    content = {"type": "perspective", "convention": "opencv", "fx": 700, "fy": 650, "cx": 80, "cy": 55}
    content |= {"rotation": (down @ turn).tolist(), "translation": place.tolist(), "width": 160, "height": 120}
    write_camera(tmp_path / "c.json", content)
    result = import_meshes(tree, folder, tmp_path / "out", model=model, cameras=tmp_path / "c.json", config=CONFIG)
    assert not result.skipped
    atlas = build_atlas(model, CONFIG.uv_size)
    for name, sample in by_name(tmp_path / "out").items():
        similarity = sample["image_to_crop"]
        in_crop = np.c_[
            transform_points(wanted[name][:, :2], similarity), wanted[name][:, 2] * similarity_scale(similarity)
        ]
        in_crop[:, 2] -= in_crop[:, 2].min()
        np.testing.assert_allclose(sample["landmarks"], in_crop[model.landmarks], atol=EXACT_PX)
        texels = (in_crop[atlas.vertices] * atlas.weights[..., None]).sum(axis=1)
        np.testing.assert_allclose(sample["posmap"].reshape(-1, 3), texels, atol=EXACT_PX)
        mesh = np.load(folder / f"{name}.npy")
        np.testing.assert_allclose(apply_camera(sample["camera"], mesh), wanted[name], atol=1e-6)  # stored so
    assert verify_shards(tmp_path / "out", model=model).sound


def test_cameras_of_a_colmap_reconstruction_are_found_by_their_images(
    tmp_path: Path, tree: Path, model: MorphableModel
) -> None:
    folder, images = tmp_path / "m", []
    for number, sample in enumerate(find_samples(tree)):
        write_mesh(folder / f"{sample.name}.npy", model_vertices(sample, model), model)
        images.append(f"{number} 0 1 0 0 0 0 1.2e6 1 {sample.name}.png\n\n")  # a half turn about x
    (folder / "cameras.txt").write_text("1 SIMPLE_PINHOLE 160 120 700 80.5 60.5\n")
    (folder / "images.txt").write_text("".join(images[:-1]))
    result = import_meshes(tree, folder, tmp_path / "out", model=model, cameras=folder, config=CONFIG)
    assert result.samples == 3
    assert "no camera of it" in result.skipped[0].reason and "in images.txt" in result.skipped[0].reason
    first = next(iter(find_samples(tree)))
    found = by_name(tmp_path / "out", "landmarks", "image_to_crop")[first.name]
    (x, y, z), depth = model_vertices(first, model)[model.landmarks[30]], 1.2e6
    in_image = (80 + 700 * x / (depth - z), 60 - 700 * y / (depth - z))
    np.testing.assert_allclose(
        found["landmarks"][30, :2], transform_points([in_image], found["image_to_crop"])[0], atol=EXACT_PX
    )


@pytest.mark.parametrize("names", [("{0}", "{0}-face2"), ("{0}", "{0}_face2"), ("{0}.0", "{0}.1")])
def test_several_faces_of_an_image_are_samples_of_their_own(
    tmp_path: Path, tree: Path, model: MorphableModel, names: tuple[str, str]
) -> None:
    sample = find_samples(tree, ["AFW"])[0]
    vertices = image_vertices(sample, model)
    for name, shift in zip(names, (-20, 20), strict=True):
        write_mesh(tmp_path / "m" / f"{name.format(sample.name)}.npy", vertices + [shift, 0, 0], model)
    write_camera(tmp_path / "c" / f"{sample.name}.json", {"type": "image"})
    result = import_meshes(
        tree, tmp_path / "m", tmp_path / "out", model=model, config=replace(CONFIG, jitter=0), subsets=["AFW"],
        cameras=tmp_path / "c",
    )  # fmt: skip
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_001_1_0"]
    assert result.warnings == ("1 image has no mesh, first AFW/AFW_001_1_0",)
    found = by_name(tmp_path / "out", "image_to_crop", "source", "landmarks")
    first, second = found[sample.name], found[f"{sample.name}_face2"]
    assert len(found) == 2 and first["source"] == second["source"]
    scale = similarity_scale(first["image_to_crop"])
    np.testing.assert_allclose(second["image_to_crop"][0, 2], first["image_to_crop"][0, 2] - 40 * scale, atol=1e-6)
    np.testing.assert_allclose(first["landmarks"], second["landmarks"], atol=EXACT_PX)
    assert describe_shards(tmp_path / "out").photographs == 1


MIDDLE = np.array([80.0, 60, 0])
AROUND = rotation_matrices([[0, np.pi - 1.2, 0]])[0]  # the first face's yaw is -1.2


def bad_meshes(tree: Path, folder: Path, model: MorphableModel, change: Any, **camera: Any) -> Path:
    """Meshes of which the first is changed; with a camera, all are in the model's frame."""
    for number, sample in enumerate(find_samples(tree, ["AFW"])):
        vertices = model_vertices(sample, model) if camera else image_vertices(sample, model)
        content = pose_camera(sample)
        if number == 0:
            vertices, content = change(vertices), {**content, **camera}
        if vertices is not None:
            write_mesh(folder / f"{sample.name}.npy", vertices, model)
        if camera:
            write_camera(folder / f"{sample.name}.camera.json", content)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v[:-1], r"1680 vertices, toy has 1681; register the mesh to it \(`uvgen register`\)"),
        (lambda v: np.where(np.arange(len(v))[:, None] == 7, np.nan, v), "vertex 7 is NaN, infinite or too large"),
        (
            lambda v: v * 1e-3 + 50,
            r"the face is 0\.\d+ px large .*; a mesh without a camera counts px of the image; is it",
        ),
        (lambda v: v * 1e4, r"the face is \d.*e\+05 px large .*counts px of the image"),
        (lambda v: v * [-1, 1, 1] + [160, 0, 0], "is mirrored: its landmarks fit a face's mirror image better"),
        (lambda v: v * [1, -1, 1] + [0, 120, 0], r"is mirrored: .*is an axis turned over \(y up"),
        (lambda v: v * [1, 1, -1], "is mirrored: .*A mesh without a camera counts px of the image, y down: give its"),
        (lambda v: v * [1, -1, 1], r"the face lies outside the image \(160×120; .*is y up in the mesh\?"),
        (
            lambda v: (v - MIDDLE) @ AROUND + MIDDLE,
            r"its face is turned 1\d\d° from the viewer, .*; a mesh without a camera counts px",
        ),
        (lambda v: v[np.random.default_rng(0).permutation(len(v))], "show no face.*vertices in another order"),
        (lambda v: v + [400, 0, 0], "the face lies outside the image"),
        (lambda v: v * [1, 1, 0] + [0, 0, 3e7], "gives labels of up to 3e.07 px"),
        (lambda v: np.r_[v[:-1], v[-1:] + [0, 0, 2e6]], "its map holds NaN, or more than 1e.06 px"),
        (lambda v: None, "no mesh of it, expected .*AFW_000_1_0.obj"),
    ],
)
def test_bad_mesh_is_skipped_and_named_and_costs_itself_alone(
    tmp_path: Path, tree: Path, model: MorphableModel, change: Any, message: str
) -> None:
    folder = bad_meshes(tree, tmp_path / "m", model, change)
    how: dict[str, Any] = {"model": model, "config": CONFIG, "subsets": ["AFW"]}
    result = import_meshes(tree, folder, tmp_path / "out", **how)
    assert result.samples == 1
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_000_1_0"]
    with pytest.raises(SampleError, match=message):
        import_meshes(tree, folder, tmp_path / "no", on_error="fail", **how)


def test_mesh_whose_surface_is_away_from_its_landmarks_is_skipped(
    tmp_path: Path, tree: Path, model: MorphableModel
) -> None:
    """`verify` would call its shard damaged."""

    def change(vertices: Any) -> Any:
        changed = np.tile(vertices.mean(axis=0), (len(vertices), 1))
        changed[model.landmarks] = vertices[model.landmarks]
        return changed

    folder = bad_meshes(tree, tmp_path / "m", model, change)
    result = import_meshes(tree, folder, tmp_path / "out", model=model, config=CONFIG, subsets=["AFW"])
    (skipped,) = result.skipped
    assert skipped.name == "AFW/AFW_000_1_0"
    assert re.search(r"npy: its landmarks are up to \d\S* px from where the surface around them is", skipped.reason)
    assert not verify_shards(tmp_path / "out", model=model).problems


def test_missing_package_is_no_mesh_s_fault(
    tmp_path: Path, tree: Path, model: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skipped ones would stay so after it is installed: their files are the same."""
    folder = write_meshes(tree, tmp_path / "m", model)
    last = sorted(folder.rglob("*.npy"))[-1]
    last.unlink()
    last.with_suffix(".ply").write_text("ply\nformat ascii 1.0\nelement vertex 0\nend_header\n")
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(DependencyError, match=r"\.ply: reading meshes needs trimesh: pip install"):
        import_meshes(tree, folder, tmp_path / "out", model=model, config=CONFIG)


TURNED = rotation_matrices([[0, 2.8, 0]])[0].tolist()
PINHOLE = {"type": "perspective", "fx": 700, "cx": 80, "cy": 60, "scale": None}


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        (
            {"scale": 4.5e-7},
            r"px large .*px per unit of the mesh; the mesh seems 1000 times too",
        ),
        ({"translation": [500, 60]}, "lies outside the image .*are the camera's translation and scale of this image"),
        ({"rotation": TURNED}, r"its face is turned 1\d\d° from the viewer.*the camera's convention another"),
        ({"width": 640, "height": 480}, r"camera\.json is of an image of 640×480 px, .*AFW_000_1_0\.jpg has 160×120"),
        ({"rotation": np.diag([1, -1, 1]).tolist()}, "determinant is -1, it mirrors the face"),
        ({"zoom": 1}, "zoom: no key of a camera"),
        (
            {**PINHOLE, "translation": [0, 0, 1]},
            r"camera\.json: puts the face behind it: \d+ of 1681 lie behind",
        ),
        (
            {**PINHOLE, "translation": [0, 0, -5e8]},
            "px large .*counts in the mesh's unit; is the mesh in meters",
        ),
        (
            {**PINHOLE, "translation": [3e6, 0, -1.2e6]},
            "outside the image .*are its camera's center, rotation",
        ),
    ],
)
def test_bad_camera_is_skipped_and_named_and_costs_itself_alone(
    tmp_path: Path, tree: Path, model: MorphableModel, camera: dict[str, Any], message: str
) -> None:
    folder = bad_meshes(tree, tmp_path / "m", model, lambda v: v, **camera)
    path = folder / "AFW/AFW_000_1_0.camera.json"
    path.write_text(path.read_text().replace('"scale": null, ', ""))
    result = import_meshes(tree, folder, tmp_path / "out", model=model, config=CONFIG, subsets=["AFW"])
    assert result.samples == 1
    (skip,) = result.skipped
    assert skip.name == "AFW/AFW_000_1_0"
    with pytest.raises(SampleError, match=message):
        import_meshes(tree, folder, tmp_path / "no", model=model, config=CONFIG, subsets=["AFW"], on_error="fail")


def test_pairs_that_lack_a_part_are_counted_and_named(tmp_path: Path, tree: Path, model: MorphableModel) -> None:
    folder = write_meshes(tree, tmp_path / "m", model, cameras=True)
    (folder / "AFW/AFW_000_1_0.npy").rename(folder / "AFW/other.npy")
    (folder / "AFW/AFW_001_1_0.camera.json").unlink()
    shutil.copy(folder / "IBUG/IBUG_000_1_0.npy", folder / "IBUG/IBUG_000_1_0.0.npy")
    write_mesh(folder / "IBUG/IBUG_001_1_0.obj", np.load(folder / "IBUG/IBUG_001_1_0.npy"), model)
    with pytest.raises(DatasetError, match="none of 5 samples can be used; the first, "):
        import_meshes(tree, folder, tmp_path / "out", model=model, config=CONFIG)
    (folder / "IBUG/IBUG_000_1_0.0.npy").unlink()
    result = import_meshes(tree, folder, tmp_path / "out", model=model, config=CONFIG)
    assert result.samples == 1
    reasons = {skip.name: skip.reason for skip in result.skipped}
    assert "AFW_000_1_0.jpg: no mesh of it, expected" in reasons["AFW/AFW_000_1_0"]
    assert "other.npy: no image of it, expected" in reasons["AFW/other"]
    assert "no camera of it in" in reasons["AFW/AFW_001_1_0"]
    assert "of the same face as IBUG_001_1_0.obj, expected" in reasons["IBUG/IBUG_001_1_0"]
    assert result.warnings == (
        "1 image has no mesh, first AFW/AFW_000_1_0", "1 mesh has no image, first AFW/other",
    )  # fmt: skip


def test_interrupted_or_mended_set_is_finished_with_the_same_bytes(
    tmp_path: Path, tree: Path, meshes: Path, model: MorphableModel, built: Path
) -> None:
    folder, out = tmp_path / "m", tmp_path / "out"
    shutil.copytree(meshes, folder)
    mesh = folder / "AFW/AFW_001_1_0.npy"
    sound = mesh.read_bytes()
    mesh.write_bytes(sound[:-8])
    assert len(import_meshes(tree, folder, out, model=model, config=CONFIG).skipped) == 1
    mesh.write_bytes(sound)
    (out / "IBUG-00000.h5").unlink()
    result = import_meshes(tree, folder, out, model=model, config=CONFIG)
    assert result.new_samples == 4 and not result.skipped
    assert file_hashes(out) == file_hashes(built)
    with pytest.raises(DatasetError, match="meshes"):
        build_shards(tree, out, model=model, config=CONFIG)


def test_files_that_changed_after_their_shard_are_named(
    tmp_path: Path, tree: Path, model: MorphableModel, meshes: Path
) -> None:
    how: dict[str, Any] = {"model": model, "config": CONFIG, "subsets": ["AFW"]}
    camera = tmp_path / "image.json"
    camera.write_text('{"type": "image"}')
    folder = Path(shutil.copytree(meshes, tmp_path / "m"))
    first = import_meshes(tree, folder, tmp_path / "out", cameras=camera, **how)
    assert import_meshes(tree, folder, tmp_path / "out", cameras=camera, **how).warnings == first.warnings == ()
    later = (tmp_path / "out" / "AFW-00000.h5").stat().st_mtime + 9
    os.utime(folder / "AFW/AFW_001_1_0.npy", (later, later))
    said = import_meshes(tree, folder, tmp_path / "out", **how).warnings
    assert said and said[0].startswith("AFW/AFW_001_1_0: mesh, camera or image are newer than their shard")
    os.utime(camera, (later, later))
    said = import_meshes(tree, folder, tmp_path / "out", cameras=camera, **how).warnings
    assert said and said[0].startswith("AFW/AFW_000_1_0 and 1 more: ")


@pytest.mark.parametrize("change", [{}, {"augmentation": FLIPS, "copies": 2}], ids=["plain", "augmented"])
def test_other_meshes_of_the_same_names_are_refused(
    tmp_path: Path, tree: Path, model: MorphableModel, meshes: Path, change: dict[str, Any]
) -> None:
    how: dict[str, Any] = {"model": model, "config": replace(CONFIG, **change), "subsets": ["AFW"]}
    folder, out = Path(shutil.copytree(meshes, tmp_path / "m")), tmp_path / "out"
    import_meshes(tree, folder, out, **how)
    before = file_hashes(out)
    files = sorted((folder / "AFW").glob("*.npy"))
    np.save(files[0], np.load(files[0]) + 1)
    import_meshes(tree, folder, out, **how)  # a mesh that changed is not another set
    for file in files[1:]:
        np.save(file, np.load(file) + 1)
    with pytest.raises(SettingsError, match=r"out: holds AFW/AFW_00\S+ with other values of \w+ than .*\.npy"):
        import_meshes(tree, folder, out, **how)
    assert file_hashes(out) == before
    import_meshes(tree, folder, out, overwrite=True, **how)
    assert file_hashes(out) != before


@pytest.mark.slow  # processes start
def test_two_workers_make_the_same_bytes(
    tmp_path: Path, tree: Path, meshes: Path, model: MorphableModel, built: Path
) -> None:
    import_meshes(tree, meshes, tmp_path / "out", model=model, config=CONFIG, run=RunOptions(2))
    assert file_hashes(tmp_path / "out") == file_hashes(built)


@pytest.mark.slow
def test_set_of_meshes_is_read_by_everything_that_reads_sets(
    tmp_path: Path, model: MorphableModel, built: Path
) -> None:
    assert verify_shards(built, model=model).sound and verify_shards(built).sound
    reader = open_shards(built, model)
    assert "shape" not in reader.fields and reader[0]["camera"].shape == (4, 4)
    assert reader.config.build.meshes and not reader.config.build.has_parameters
    assert describe_shards(built).fields["camera"] == ((4, 4), np.dtype(np.float64))
    render_preview(built, tmp_path / "sheet.png", 2, targets=True)
    for target in ("npy", "obj"):
        export_shards(built, tmp_path / target, target)
    np.testing.assert_array_equal(np.load(tmp_path / "npy/samples.npz")["camera"], reader.column("camera"))
    merge_shards([built], tmp_path / "merged")
    np.testing.assert_array_equal(open_shards(tmp_path / "merged").column("camera"), reader.column("camera"))


@pytest.mark.slow  # pages take seconds
def test_set_of_meshes_has_a_report(tmp_path: Path, model: MorphableModel, built: Path) -> None:
    write_report(built, tmp_path / "report", model=model)
    assert (tmp_path / "report/index.html").exists()


def test_finished_set_of_meshes_is_augmented_without_what_needs_parameters(
    tmp_path: Path, tree: Path, meshes: Path, model: MorphableModel, built: Path
) -> None:
    with pytest.raises(InputError, match=r"targets: the set has uv, depth, visibility, drawn of meshes.*--augment"):
        augment_shards(built, tmp_path / "no", Augmentation(), model=model)
    import_meshes(tree, meshes, tmp_path / "plain", model=model, config=replace(CONFIG, targets=()))
    with pytest.raises(InputError, match=r"flip: .*holds maps of meshes.*`uvgen build --meshes … --augment` flips too"):
        augment_shards(tmp_path / "plain", tmp_path / "no", FLIPS, model=model)
    augment_shards(tmp_path / "plain", tmp_path / "moved", Augmentation(rotation_deg=(-30, 30)))
    assert verify_shards(tmp_path / "moved", model=model).sound


def test_verify_finds_changed_labels_and_repair_says_how_to_make_them_again(
    tmp_path: Path, model: MorphableModel, built: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(built, out)
    path = out / "AFW-00000.h5"
    with h5py.File(path, "r+") as file:
        file["landmarks"][0] += 9
        file["crop_pose"][1, 1] += 0.2
    digest = sha256_file(path)
    edit_index(out, lambda content: next(s for s in content["shards"] if s["file"] == path.name).update(sha256=digest))
    problems = "\n".join(verify_shards(out, model=model).problems)
    assert "AFW/AFW_000_1_0: landmarks are off by" in problems
    assert "AFW/AFW_001_1_0: crop_pose is not that of its pose" in problems
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"was made of meshes.*run the same `uvgen build --meshes` again"):
        repair_shards(out, model=model)


@pytest.mark.parametrize(
    "change",
    [
        {"maps": "none"},
        {"keep": ("tex",)},
        {"max_nme": 0.1},
        {"maps_from": "face3d"},
        {"augmentation": Augmentation(yaw_deg=(-9, 9))},
    ],
)
def test_settings_that_need_parameters_are_refused(
    tmp_path: Path, tree: Path, meshes: Path, model: MorphableModel, change: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"meshes: given with|maps_from: given with"):
        import_meshes(tree, meshes, tmp_path / "out", model=model, config=replace(CONFIG, **change))
    with pytest.raises(InputError, match=r"meshes: True, expected False: uvgen\.import_meshes"):
        build_shards(tree, tmp_path / "out", model=model, config=replace(CONFIG, meshes=True))


def test_registered_scans_say_their_model_and_where_they_were_moved(
    tmp_path: Path, tree: Path, model: MorphableModel
) -> None:
    folder = write_meshes(tree, tmp_path / "m", model, cameras=True)
    how: dict[str, Any] = {"subsets": ["AFW"], "config": CONFIG}
    with pytest.raises(InputError, match="model: none, expected the one whose topology the meshes have"):
        import_meshes(tree, folder, tmp_path / "no", **how)
    save_model(model, tmp_path / "m.h5")
    np.save(folder / "AFW/AFW_000_1_0.landmarks.npy", np.zeros((68, 3)))  # of the scan that lay there
    said = {"model": model.name, "model_file": str(tmp_path / "m.h5"), "model_sha256": model.content_sha256}
    for frame, warned in (("scan", False), ("model", True)):
        (folder / "register.json").write_text(json.dumps({**said, "frame": frame}))
        result = import_meshes(tree, folder, tmp_path / frame, **how)
        assert (result.samples, result.skipped) == (2, ())
        moved = ["--frame model` moved each of these meshes away from its scan" in text for text in result.warnings]
        assert moved == [True] * warned
    for path in folder.rglob("*.camera.json"):
        path.write_text('{"type": "image"}')
    command = ["build", "--data", str(tree), "--meshes", str(folder), "--workers", "1", "--out", str(tmp_path / "o")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1 and "Give its camera" in done.output  # and no model was missing


@pytest.mark.slow
def test_scan_in_its_scanners_frame_becomes_the_map_of_the_face_that_was_scanned(tmp_path: Path) -> None:
    model = builtin_model()
    photos, place = tmp_path / "photos", somewhere(5, 1e-3)
    render_faces(photos, 1, options=SynthOptions(size=120, subsets=["IBUG"], flip=False))
    (sample,) = find_samples(photos)
    face = model_vertices(sample, model) / 1e3
    (tmp_path / "scans/IBUG").mkdir(parents=True)
    scan = tmp_path / "scans" / f"{sample.name}.npy"
    np.save(scan, place.apply(resampled(model, face, 8000, 0)[0]))  # m
    np.save(scan.with_suffix(".landmarks.npy"), place.apply(face[model.landmarks]))
    assert register_scans(tmp_path / "scans", tmp_path / "meshes").scans[0].unit == "m"
    camera = pose_camera(sample)
    turn = np.asarray(camera["rotation"]) @ place.rotation.T  # the camera of the scanner's frame
    camera["scale"] = camera["scale"] * 1e3 / place.scale
    shift = camera["scale"] * turn @ place.shift * [1, -1, 1]
    camera |= {"rotation": turn.tolist(), "translation": (np.asarray(camera["translation"]) - shift).tolist()}
    write_camera(scan.with_suffix(".camera.json"), camera)
    shutil.copy(sample.image, scan.with_suffix(".jpg"))
    config = BuildConfig(size=64, posmap_dtype="float32")
    import_meshes(
        tmp_path / "scans", tmp_path / "meshes", tmp_path / "found", cameras=tmp_path / "scans", config=config
    )
    build_shards(photos, tmp_path / "true", config=config)
    ((name, found),), ((_, true),) = by_name(tmp_path / "found").items(), by_name(tmp_path / "true").items()
    assert name == sample.name
    for field in ("landmarks", "posmap"):
        away = np.linalg.norm(found[field].astype(float) - true[field], axis=-1)
        assert away.mean() < 0.2, field  # px of 64: what registering is off


def test_build_meshes_on_the_command_line(tmp_path: Path, tree: Path, model: MorphableModel, meshes: Path) -> None:
    save_model(model, tmp_path / "m.h5")
    names = tmp_path / "names.txt"
    names.write_text("AFW/AFW_000_1_0\nAFW/AFW_001_1_0\nIBUG/IBUG_000_1_0\n")
    common = ["build", "--data", str(tree), "--meshes", str(meshes), "--out", str(tmp_path / "out"), "--size", "32"]
    command = [*common, "--model", str(tmp_path / "m.h5"), "--workers", "1"]

    def run(*more: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, [*command, *more])
        return done.exit_code, done.output

    assert "4 samples in 2 shards" in run("--dry-run")[1]
    status, output = run("--list", str(names), "--subset", "AFW", "--targets", "posmap,uv")
    assert status == 1 and "1 listed sample is not there" in output
    status, output = run("--list", str(names), "--targets", "posmap,uv")
    assert status == 0 and "3 samples" in output, output
    chosen = "--list", str(names), "--targets", "posmap,uv"
    assert "3 samples in 2 shards" in run(*chosen, "--dry-run")[1]
    assert "2 of the shards are there already" in run(*chosen, "--dry-run")[1]
    out = "--out", str(tmp_path / "other"), "--exclude", str(names)
    assert "1 sample in 1 shard" in run(*out, "--dry-run")[1]
    Image.fromarray(picture()).save(tree / "AFW" / "alone.png")
    try:
        status, output = run("--overwrite")
    finally:
        (tree / "AFW" / "alone.png").unlink()
    assert status == 3 and "alone.png: no mesh of it" in " ".join(output.split())
    for more, message in (
        (["--maps", "none"], "--maps does not go with --meshes"),
        (["--maps", "none"], "no parameters to make maps from: they are always stored; leave it out"),
        (
            ["--keep", "tex"],
            "--keep does not go with --meshes, whose samples have no annotations to keep; leave it out",
        ),
        (
            ["--max-nme", "0.1"],
            "--max-nme does not go with --meshes, whose samples have no annotations to compare with",
        ),
        (["--targets", "uv"], "--targets without posmap does not go with --meshes"),
        (["--maps-from", "x"], "--meshes does not go with --maps-from"),
    ):
        status, output = run(*more)
        assert status == 2 and message in " ".join(output.split())
    done = CliRunner().invoke(main, common)
    assert done.exit_code == 2 and "missing --model: the one whose topology" in done.output
    done = CliRunner().invoke(main, ["build", "--cameras", "x", "--out", str(tmp_path / "o")])
    assert done.exit_code == 2 and "--cameras goes with --meshes" in done.output
    status, output = run("--cameras", str(tmp_path / "gone"))
    assert status == 1 and "gone: cannot be read" in output
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(main, [*command[:4], str(tmp_path / "empty"), *command[5:]])
    assert done.exit_code == 1 and "no meshes in it, expected NAME.obj" in done.output
