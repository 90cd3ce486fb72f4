"""Faces exported as textured meshes: drawn as other programs draw them, they are the crop's face again."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.builds import SMALL, have
from support.glb import read_glb
from support.toy import write_tree

import uvgen
from uvgen import open_shards, rasterize
from uvgen.datasets.export.glb import px_in_meters
from uvgen.datasets.export.run import export_shards
from uvgen.datasets.export.textured import mesh_key, refined
from uvgen.meshes.grid import mesh_from_map


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("built")
    have(write_tree(folder / "300W_LP", n=1), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture(scope="module", params=["obj", "ply", "glb"])
def exported(request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meshes") / request.param
    export_shards(built, folder, request.param)
    return folder


def read_mesh(path: Path) -> dict[str, NDArray[Any]]:
    """Vertices and triangles as stored, uv with v up, and the texture: by a reader that is not uvgen's."""
    if path.suffix == ".glb":
        glb = read_glb(path)
        uv = glb.attribute("TEXCOORD_0") * [1, -1] + [0, 1]
        return {"vertices": glb.attribute("POSITION"), "triangles": glb.triangles, "uv": uv, "texture": glb.images[0]}
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.load(path, process=False, maintain_order=True)
    texture = np.asarray(mesh.visual.material.image)[..., :3]
    return {"vertices": mesh.vertices, "triangles": mesh.faces, "uv": mesh.visual.uv, "texture": texture}


def drawn(mesh: dict[str, NDArray[Any]], size: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The mesh from the front, with its texture sampled as OpenGL does, pixel i at (i + 0.5) / size; where it is."""
    in_image = np.asarray(mesh["vertices"], np.float32) * np.float32([1, -1, 1])
    triangles = np.asarray(mesh["triangles"])[:, ::-1]
    fragments = rasterize.rasterize(in_image, triangles, (size, size))
    uv = rasterize.interpolate(fragments, triangles, np.asarray(mesh["uv"], np.float32))
    height, width = mesh["texture"].shape[:2]
    x, y = uv[..., 0] * width - 0.5, (1 - uv[..., 1]) * height - 0.5
    x, y = np.clip(x, 0, width - 1)[..., None], np.clip(y, 0, height - 1)[..., None]
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    texels, x, y = mesh["texture"].astype(np.float64), x - left, y - top
    left, top = left[..., 0], top[..., 0]
    upper = texels[top, left] * (1 - x) + texels[top, left + 1] * x
    lower = texels[top + 1, left] * (1 - x) + texels[top + 1, left + 1] * x
    return upper * (1 - y) + lower * y, fragments.covered


def test_exported_mesh_is_the_position_map_with_y_up(built: Path, exported: Path) -> None:
    reader = uvgen.open_shards(built)
    coverage = reader.constants["coverage"]
    for sample in reader:
        mesh = read_mesh(exported / f"{sample['name']}.{exported.name}")
        expected = sample["posmap"][coverage] * np.float32([1, -1, 1])
        np.testing.assert_array_equal(np.asarray(mesh["vertices"], np.float32), expected)
        a, b, c = (mesh["vertices"][mesh["triangles"][:, k]].astype(np.float64) for k in range(3))
        areas = np.cross(b - a, c - a)[:, 2]
        assert areas.sum() > 0.5 * np.abs(areas).sum()  # most of it looks at the viewer, whose side is +z


def test_exported_mesh_drawn_from_the_front_is_the_crop(built: Path, exported: Path) -> None:
    for sample in uvgen.open_shards(built):
        image = sample["image"].astype(np.float64)
        mesh = read_mesh(exported / f"{sample['name']}.{exported.name}")
        picture, covered = drawn(mesh, len(image))
        inside = covered & np.pad(np.ones(np.subtract(covered.shape, 2), bool), 1)
        assert inside.sum() > 100
        # sampled twice bilinearly, on crops that are smooth: half a texel off gives 5 and more
        assert np.abs(picture - image)[inside].mean() < 2


def test_exported_faces_share_triangles_and_places_in_the_texture(built: Path, exported: Path) -> None:
    meshes = [read_mesh(path) for path in sorted(exported.rglob(f"*.{exported.name}"))]
    assert len(meshes) == 3
    for mesh in meshes[1:]:
        np.testing.assert_array_equal(mesh["triangles"], meshes[0]["triangles"])
        np.testing.assert_array_equal(mesh["uv"], meshes[0]["uv"])


def test_exported_glb_has_the_size_of_a_head(built: Path, tmp_path: Path) -> None:
    files = [path for path in export_shards(built, tmp_path / "out", "glb").files if path.suffix == ".glb"]
    assert len(files) == len(open_shards(built))
    for path in files:
        glb = read_glb(path)
        (node,) = glb.content["nodes"]
        placed = glb.attribute("POSITION") * np.array(node["scale"]) + node["translation"]
        np.testing.assert_allclose(placed.min(axis=0), -placed.max(axis=0), atol=1e-6)
        assert 0.1 < np.ptp(placed[:, 1]) < 0.3  # the toy model is 0.19 m high


@pytest.mark.parametrize(("scale", "meters"), [(1e-3, 1e-3), (5e-4, 2e-3), (0, 1e-3), (-1, 1e-3), (np.nan, 1e-3),
                                               (np.inf, 1e-3), (1e-30, 1e-3)])  # fmt: skip
def test_px_in_meters_is_a_usable_scale_whatever_the_pose(scale: float, meters: float) -> None:
    assert px_in_meters(scale) == pytest.approx(meters)


def test_exported_ply_has_the_crop_s_colors(built: Path, tmp_path: Path) -> None:
    meshio = pytest.importorskip("meshio")
    export_shards(built, tmp_path / "out", "ply")
    sample = uvgen.open_shards(built)[0]
    found = meshio.read(tmp_path / "out" / f"{sample['name']}.ply").point_data
    colors, _ = rasterize.unwrap(sample["image"], sample["posmap"])
    coverage = uvgen.open_shards(built).constants["coverage"]
    columns = [found[color].astype(np.uint8) for color in ("red", "green", "blue")]  # meshio reads them as int8
    np.testing.assert_array_equal(np.stack(columns, axis=1), np.rint(colors[coverage]))


def test_refined_map_lies_on_the_mesh_of_the_map() -> None:
    rng = np.random.default_rng(0)
    coarse = np.concatenate([np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1), rng.normal(size=(5, 5, 1))], -1)
    fine = refined(coarse.astype(np.float32), 17)
    np.testing.assert_allclose(fine[::4, ::4], coarse, atol=1e-6)
    vertices, triangles, _ = mesh_from_map(coarse)
    for point in fine.reshape(-1, 3):  # the depth of the one triangle below it
        a, b, c = (vertices[triangles[:, k]].astype(np.float64) for k in range(3))
        m = np.stack([b - a, c - a], axis=-1)[:, :2]
        s = np.linalg.solve(m, (point[:2] - a[:, :2])[..., None])[..., 0]
        inside = (s >= -1e-6).all(1) & (s.sum(1) <= 1 + 1e-6)
        depth = a[:, 2] + s[:, 0] * (b - a)[:, 2] + s[:, 1] * (c - a)[:, 2]
        assert inside.any()
        np.testing.assert_allclose(depth[inside], point[2], atol=1e-5)


def test_exported_texture_has_the_crop_s_resolution_where_the_map_is_smaller(tmp_path: Path, model_path: Path) -> None:
    config = dataclasses.replace(SMALL, size=96, uv_size=32)
    have(write_tree(tmp_path / "300W_LP", n=1), model_path, tmp_path / "shards", config)
    export_shards(tmp_path / "shards", tmp_path / "out", "obj")
    sample = uvgen.open_shards(tmp_path / "shards")[0]
    path = tmp_path / "out" / f"{sample['name']}.obj"
    with Image.open(path.with_suffix(".png")) as picture:
        assert picture.size == (96, 96)
    picture, covered = drawn(read_mesh(path), 96)
    assert np.abs(picture - sample["image"])[covered].mean() < 2


@pytest.mark.parametrize(("name", "expected"), [("a/b c", "a/b_c"), ("a/-b#1", "a/_b_1"), ("x.v2", "x.v2"),
                                                (".uvgen-x", "_.uvgen-x"), ("../a\tb", "__/a_b")])  # fmt: skip
def test_mesh_key_is_a_name_that_readers_of_meshes_take(name: str, expected: str) -> None:
    assert mesh_key(name) == expected
