"""Which mesh and which camera belong to which image, by their names alone: no file's content is read."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from uvgen.cameras import ImageCamera
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.samples.mesh_files import MeshSample, camera_of_sample, find_meshes, mesh_files_sha256
from uvgen.storage.files import has_sha256
from uvgen.storage.reading import max_bytes

CAMERA = {"type": "orthographic", "scale": 2, "width": 30, "height": 20}


def make(root: Path, *names: str) -> Path:
    """Empty files."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(samples: list[MeshSample]) -> dict[str, tuple[str | None, str]]:
    """Of each sample its mesh's file and why it cannot be used."""
    return {s.name: (None if s.parameters is None else s.parameters.name, s.problem) for s in samples}


def test_find_meshes_pairs_files_by_their_places(tmp_path: Path) -> None:
    images = make(tmp_path / "i", "b/x.jpg", "a/x.png", "a/y.0.jpg", "a/z.jpg", "a/readme.txt")
    meshes = make(
        tmp_path / "m", "b/x.OBJ", "a/x.npy", "a/x_face2.npy", "a/x-face10.npy", "a/y.0.glb", "a/z.0.ply", "a/z.1.ply",
        "a/z.mtl", "a/.hidden.obj",
    )  # fmt: skip
    samples = find_meshes(images, meshes)
    assert found(samples) == {
        "a/x": ("x.npy", ""), "a/x_face2": ("x_face2.npy", ""), "a/x_face10": ("x-face10.npy", ""),
        "a/y.0": ("y.0.glb", ""), "a/z": ("z.0.ply", ""), "a/z_face2": ("z.1.ply", ""), "b/x": ("x.OBJ", ""),
    }  # fmt: skip
    assert [s.name for s in samples] == sorted(found(samples))
    assert all(isinstance(s.camera, ImageCamera) and s.camera.kind == "image" for s in samples)
    assert found(find_meshes(images, meshes, subsets=["b"])) == {"b/x": ("x.OBJ", "")}


def test_find_meshes_names_images_whose_paths_differ_in_accents_alone(tmp_path: Path) -> None:
    one, two = "caf\u00e9/x.jpg", "cafe\u0301/x.jpg"
    images, meshes = make(tmp_path / "i", one, two, "b/y.jpg"), make(tmp_path / "m", "caf\u00e9/x.obj", "b/y.obj")
    if len(list(images.iterdir())) < 3:
        pytest.skip("the disk takes both for one name")
    problems = [sample.problem for sample in find_meshes(images, meshes)]
    assert len(problems) == 3 and sum("in accents alone; rename one" in problem for problem in problems) == 2


def test_two_cameras_of_a_mesh_whose_names_differ_in_accents_alone_are_a_problem_of_it(tmp_path: Path) -> None:
    images = make(tmp_path / "i", "e\u0301.jpg", "b.jpg")
    meshes = make(tmp_path / "m", "e\u0301.obj", "b.obj", "e\u0301.camera.json", "\u00e9.camera.json", "b.camera.json")
    if len(list(meshes.iterdir())) < 5:
        pytest.skip("the disk takes both for one name")
    problems = {sample.problem for sample in find_meshes(images, meshes)}
    assert len(problems) == 2 and any("is a camera of the same name" in problem for problem in problems)


def test_find_meshes_names_those_whose_subset_has_no_images_with_and_without_mirrored_ones(tmp_path: Path) -> None:
    images = make(tmp_path / "i", "AFW/x.jpg", "AFW_Flip/x.jpg")
    meshes = make(tmp_path / "m", "AFW/x.obj", "AFW_Flip/x.obj", "LFPW/y.obj", "LFPW_Flip/y.obj")
    assert [*found(find_meshes(images, meshes))] == ["AFW/x", "AFW_Flip/x", "LFPW/y", "LFPW_Flip/y"]
    samples = found(find_meshes(images, meshes, flip=False))
    assert [*samples] == ["AFW/x", "LFPW/y"] and "no image" in samples["LFPW/y"][1]


def test_find_meshes_beside_their_images_in_a_flat_folder(tmp_path: Path) -> None:
    folder = make(tmp_path / "i", "x.jpg", "x.obj", "y.jpg")
    samples = find_meshes(folder, folder)
    assert found(samples)["x"] == ("x.obj", "") and samples[0].subset == "i"
    assert found(samples)["y"][0] is None and "y.jpg: no mesh of it, expected" in found(samples)["y"][1]
    assert "y.obj (or .ply, .off, .glb, .npy)" in found(samples)["y"][1]


def test_find_meshes_passes_over_landmarks_of_scans_and_names_meshes_that_are_called_like_them(tmp_path: Path) -> None:
    folder = make(tmp_path / "i", "x.jpg", "x.obj", "x.landmarks.npy", "y.landmarks.obj")
    samples = found(find_meshes(folder, folder))
    assert samples["x"] == ("x.obj", "") and samples.keys() == {"x", "y.landmarks"}
    assert "y.landmarks.obj: no image of it, expected" in samples["y.landmarks"][1]


def test_find_meshes_of_one_face_twice_says_so(tmp_path: Path) -> None:
    images = make(tmp_path / "i", "x.jpg")
    for number, names in enumerate((("x.0.obj", "x.obj"), ("x-face1.npy", "x.npy"), ("x.npy", "x.obj"))):
        (sample,) = find_meshes(images, make(tmp_path / f"m{number}", *names))  # one, as when a file is removed
        assert sample.name == "x"
        assert f"{names[0]}: of the same face as {names[1]}, expected one mesh of each" in sample.problem


def test_face_of_a_missing_image_is_called_as_with_it(tmp_path: Path) -> None:
    """A set goes on once the image is there."""
    meshes = make(tmp_path / "m", "x.0.obj", "x.1.obj", "y-face2.obj", "z.obj")
    whole = find_meshes(make(tmp_path / "i", "x.jpg", "y.jpg", "z.jpg"), meshes)
    for missing in ("x.jpg", "y.jpg", "z.jpg"):
        (tmp_path / "i" / missing).rename(tmp_path / "away")
        samples = find_meshes(tmp_path / "i", meshes)
        assert {s.name for s in samples} == {s.name for s in whole if s.parameters or s.name + ".jpg" != missing}
        assert {s.subset for s in samples} == {"i"}
        assert missing[0] + ".jpg (or" in next(s.problem for s in samples if s.name[0] == missing[0])
        (tmp_path / "away").rename(tmp_path / "i" / missing)


def test_numbered_images_of_which_one_is_missing_are_no_faces(tmp_path: Path) -> None:
    images = make(tmp_path / "i", "frame.0001.jpg", "frame.0003.jpg")
    meshes = make(tmp_path / "m", *(f"frame.000{k}.obj" for k in (1, 2, 3)), "x-face2.obj")
    assert list(found(find_meshes(images, meshes))) == ["frame.0001", "frame.0002", "frame.0003", "x_face2"]


def test_names_are_compared_however_their_accents_are_composed(tmp_path: Path) -> None:
    images = make(tmp_path / "i", "e\u0301.jpg", "o\u0308.jpg")
    meshes = make(tmp_path / "m", "\u00e9.obj", "\u00f6.obj")
    cameras = make(tmp_path / "c", "\u00e9.json", "o\u0308.json")
    assert [(s.problem, s.camera) for s in find_meshes(images, meshes, cameras)] == [
        ("", cameras / "\u00e9.json"), ("", cameras / "o\u0308.json"),
    ]  # fmt: skip


def test_two_cameras_of_one_name_are_refused_by_name(tmp_path: Path) -> None:
    """Either would do; which one was taken, nobody would know."""
    images, meshes = make(tmp_path / "i", "x.jpg", "y.jpg"), make(tmp_path / "m", "x.obj", "y.obj")
    cameras = make(tmp_path / "c", "x.camera.json", "x.json", "y.json")
    first, second = find_meshes(images, meshes, cameras)
    assert first.problem.endswith("x.camera.json: x.json is a camera of the same name, expected one; remove one")
    assert second.camera == cameras / "y.json" and not second.problem


@pytest.mark.parametrize("ending", [".json", ".camera.json", ".JSON"])
def test_cameras_of_a_folder_are_the_meshs_own_or_the_images(tmp_path: Path, ending: str) -> None:
    images = make(tmp_path / "i", "a/x.jpg", "a/y.jpg")
    meshes = make(tmp_path / "m", "a/x.obj", "a/x.1.obj", "a/y.obj")
    cameras = make(tmp_path / "c", f"a/x{ending}", f"a/x.1{ending}", "notes.txt")
    first, second, third = find_meshes(images, meshes, cameras)
    assert first.camera == cameras / f"a/x{ending}" and second.camera == cameras / f"a/x.1{ending}"
    assert third.problem.endswith(f"y.obj: no camera of it in {cameras}, expected a/y.camera.json")


def test_cameras_that_some_meshes_have_beside_them_are_expected_of_all(tmp_path: Path) -> None:
    folder = make(tmp_path / "i", "x.jpg", "x.obj", "x.camera.json", "x-face2.obj", "y.jpg", "y.obj")
    first, second, third = find_meshes(folder, folder)
    assert first.camera == second.camera == folder / "x.camera.json"
    assert "y.obj: no camera of it" in third.problem


def test_camera_of_a_sample_is_compared_with_the_images_size(tmp_path: Path) -> None:
    folder = make(tmp_path / "i", "x.jpg", "x.obj")
    path = folder / "x.camera.json"
    path.write_text(json.dumps(CAMERA))
    (sample,) = find_meshes(folder, folder)
    assert camera_of_sample(sample, (20, 30, 3)).focal_px == (2.0, 2.0)
    with pytest.raises(SampleError, match=r"x\.camera\.json is of an image of 30×20 px, .*x\.jpg has 20×30"):
        camera_of_sample(sample, (30, 20))
    (shared,) = find_meshes(folder, folder, path)
    with pytest.raises(SampleError, match=r"x\.obj: its camera is of an image of 30×20 px"):
        camera_of_sample(shared, (30, 20))
    path.write_text("{}")
    with pytest.raises(SampleError, match=r"x\.camera\.json: type: missing"):
        camera_of_sample(sample, (20, 30))


def test_mesh_files_sha256_changes_with_image_mesh_and_camera(tmp_path: Path) -> None:
    folder = make(tmp_path / "i", "x.jpg", "x.obj")
    camera = tmp_path / "c.json"
    seen = set()
    for name, content in (
        ("x.jpg", "a"),
        ("x.obj", "b"),
        ("x.camera.json", "{}"),
        ("x.camera.json", json.dumps(CAMERA)),
    ):
        (folder / name).write_text(content)
        (sample,) = find_meshes(folder, folder)
        assert mesh_files_sha256(sample) == mesh_files_sha256(sample)
        seen.add(mesh_files_sha256(sample))
    for scale in (2, 3):
        camera.write_text(json.dumps({**CAMERA, "scale": scale}))
        seen.add(mesh_files_sha256(find_meshes(folder, folder, camera)[0]))
    assert len(seen) == 6


def test_find_meshes_of_a_wrong_place_says_what_was_expected(tmp_path: Path) -> None:
    images, meshes = make(tmp_path / "i", "x.jpg"), make(tmp_path / "m", "x.obj")
    (tmp_path / "list.csv").write_text("image,pose\n")
    with pytest.raises(InputError, match=r"list\.csv: a list of images, expected their folder"):
        find_meshes(tmp_path / "list.csv", meshes)
    with pytest.raises(DatasetError, match=r"i: no meshes in it, expected NAME\.obj"):
        find_meshes(images, images)
    with pytest.raises(DatasetError, match=r"m: no images in it"):
        find_meshes(meshes, meshes)
    with pytest.raises(DatasetError, match=r"m: no cameras in it, expected NAME\.json"):
        find_meshes(images, meshes, meshes)
    with pytest.raises(DatasetError, match=r"gone: .*a folder of meshes"):
        find_meshes(images, tmp_path / "gone")
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"c\.json: .*expected an object"):
        find_meshes(images, meshes, tmp_path / "c.json")


def test_files_too_large_to_be_read_are_not_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sparse file of a terabyte, hashing would take an hour."""
    folder = make(tmp_path, "x.jpg", "x.obj", "x.camera.json")
    sample = find_meshes(folder, folder)[0]
    before = mesh_files_sha256(sample)
    seen = set()
    for name in ("x.jpg", "x.obj", "x.camera.json"):
        content = (folder / name).read_bytes()
        for size in (1 << 40, (1 << 40) - 1):
            os.truncate(folder / name, size)
            seen.add(mesh_files_sha256(sample))
        (folder / name).write_bytes(content)
    assert len(seen) == 6 and mesh_files_sha256(sample) == before
    monkeypatch.setenv("UVGEN_MAX_BYTES", "3")
    assert mesh_files_sha256(sample) == before  # of files within the bound, their content counts
    assert has_sha256(folder / "x.jpg", hashlib.sha256(b"").hexdigest(), most_bytes=max_bytes())
    (folder / "x.jpg").write_bytes(b"four")
    assert not has_sha256(folder / "x.jpg", hashlib.sha256(b"four").hexdigest(), most_bytes=max_bytes())
