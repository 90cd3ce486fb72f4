"""What `uvgen export` writes for PRNet_PyTorch and reshow's PRNet-PyTorch, read the way these do, and read back."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from numpy.typing import NDArray
from PIL import Image
from support.builds import SMALL, have
from support.toy import write_tree

import uvgen
from uvgen import Augmentation, export_shards, open_shards
from uvgen.datasets.augmented import augment_shards
from uvgen.datasets.export.prnet import canonical_map
from uvgen.errors import InputError, ModelError
from uvgen.maps.masks import face_mask
from uvgen.models.morphable import MorphableModel
from uvgen.samples.map_files import find_maps, read_map

U = SMALL.uv_size


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("trainers")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture(scope="module")
def in_prnet(built: Path, model_path: Path) -> Path:
    out = built.with_name("prnet")
    export_shards(built, out, "prnet", model=model_path)
    return out


def test_prnet_files_give_landmarks_vertices_and_weights_as_its_programs_read_them(
    built: Path, in_prnet: Path, model: MorphableModel
) -> None:
    constants = open_shards(built).constants
    position_map = np.load(in_prnet / "train/1/uv_posmap.npy")
    kpt = np.loadtxt(in_prnet / "uv_kpt_ind.txt").astype(np.int32)  # api.py
    rows, columns = constants["landmark_texels"].T
    np.testing.assert_array_equal(position_map[kpt[1], kpt[0]], position_map[rows, columns])
    face = face_mask(model, U)
    ind = np.loadtxt(in_prnet / "face_ind.txt").astype(np.int32)
    np.testing.assert_array_equal(position_map.reshape(U * U, -1)[ind], position_map[face])
    for name in ("uv_weight_mask_gdh.png", "uv_weight_mask.png"):
        gray = np.asarray(Image.open(in_prnet / name))
        assert gray.dtype == np.uint8 and gray.shape == (U, U)
        weights = gray // 16  # tools/prnet_loss.py
        weights[weights == 15], weights[weights == 7] = 16, 8
        np.testing.assert_array_equal(weights, constants["weight_mask"])


def test_prnet_triangles_join_neighboring_texels_of_the_face_and_turn_to_the_viewer(in_prnet: Path) -> None:
    ind = np.loadtxt(in_prnet / "face_ind.txt").astype(np.int32)
    triangles = np.loadtxt(in_prnet / "triangles.txt").astype(np.int32)
    assert set(np.unique(triangles)) <= set(range(len(ind))) and len(np.unique(triangles)) > 0.95 * len(ind)
    places = np.stack(np.divmod(ind, U), axis=1)[triangles]
    assert np.ptp(places, axis=1).max() == 1
    vertices = np.load(in_prnet / "canonical_vertices.npy")[triangles]
    (ax, ay), (bx, by) = ((vertices[:, k] - vertices[:, 0])[:, :2].T for k in (1, 2))
    assert np.mean(ax * by - ay * bx > 0) > 0.95  # clockwise on a picture whose y points down


def test_prnet_canonical_vertices_are_the_mean_face_seen_from_the_front(in_prnet: Path, model: MorphableModel) -> None:
    vertices = np.load(in_prnet / "canonical_vertices.npy")
    face = face_mask(model, U)
    assert vertices.shape == (face.sum(), 3) and vertices.dtype == np.float64
    whole = canonical_map(model, U)
    np.testing.assert_array_equal(whole[face], vertices.astype(np.float32))
    rows, columns = open_shards(in_prnet.with_name("shards")).constants["landmark_texels"].T
    mean = model.mean[model.landmarks]
    scale = 102.46 / (mean[45, 0] - mean[36, 0])
    texel = np.ptp(model.mean[:, 0]) * scale / (U - 1)
    offsets = (whole[rows, columns] - mean * [scale, -scale, scale])[:, :2]
    assert np.ptp(offsets, axis=0).max() < 3 * texel and texel < 6  # one or two from a landmark beside the mouth
    assert vertices[:, 1].mean() == pytest.approx(249.87, abs=0.01) and vertices[:, 2].min() > -0.01


def test_prnet_estimates_the_pose_of_a_map_from_the_canonical_vertices(
    built: Path, in_prnet: Path, model: MorphableModel
) -> None:
    """`estimate_pose` of PRNet: rotation of the similarity from canonical to predicted vertices."""
    canonical = np.load(in_prnet / "canonical_vertices.npy")
    face = face_mask(model, U)
    for sample in open_shards(built):
        vertices = sample["posmap"][face].astype(np.float64)
        a, b = canonical - canonical.mean(axis=0), vertices - vertices.mean(axis=0)
        u, _, vt = np.linalg.svd(b.T @ a)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        yaw = np.arcsin(np.clip(rotation[2, 0], -1, 1))
        assert abs(abs(yaw) - abs(sample["pose"][1])) < 0.2  # the toy's shapes are not small


def test_prnet_with_another_model_or_none_is_refused_before_any_work(
    built: Path, tmp_path: Path, model: MorphableModel, uvgen: Any
) -> None:
    with pytest.raises(
        InputError, match=r"model: none, expected one for prnet: canonical_vertices\.npy is its mean face"
    ):
        export_shards(built, tmp_path / "out", "prnet")
    with pytest.raises(ModelError, match="not the model of"):
        export_shards(built, tmp_path / "out", "prnet", model="builtin")
    result = uvgen("export", built, "--to", "prnet", "--out", tmp_path / "out")
    assert result.exit_code == 2 and "uvgen: --model: none, expected one for prnet" in result.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("given", [{"convention": "exact"}, {"data": "."}])
def test_arguments_that_a_target_does_not_take_are_refused(built: Path, tmp_path: Path, given: dict[str, str]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(given))}: given, expected none: npy has no use for it"):
        export_shards(built, tmp_path / "out", "npy", **given)  # type: ignore[arg-type]


def sets(tmp_path: Path, model_path: Path, model: MorphableModel) -> dict[str, Path]:
    """Data sets of both conventions, and copies of them that are turned and mirrored."""
    from dataclasses import replace

    tree = write_tree(tmp_path / "300W_LP")
    found = {}
    for convention in ("exact", "face3d"):
        out = tmp_path / convention
        have(tree, model_path, out, replace(SMALL, convention=convention, posmap_dtype="float32"))
        turned = Augmentation(rotation_deg=(-60, 60), flip=0.5)
        augment_shards(out, tmp_path / f"{convention}_turned", turned, model=model)
        found |= {convention: out, f"{convention}_turned": tmp_path / f"{convention}_turned"}
    return found


@pytest.mark.slow
def test_reshow_folders_are_read_back_by_maps_from_as_exact_maps(
    tmp_path: Path, model_path: Path, model: MorphableModel
) -> None:
    shards = sets(tmp_path, model_path, model)
    for name, folder in shards.items():
        out = tmp_path / f"{name}_reshow"
        export_shards(folder, out, "reshow")
        samples, layout = find_maps(out)
        assert layout == "reshow" and [s.name for s in samples] == sorted(open_shards(folder).names)
        exact = {s["name"]: s for s in open_shards(shards[name.replace("face3d", "exact")])}
        for sample in samples:
            found = read_map(sample, "reshow")
            whole = exact[sample.name]["posmap"]
            if name.startswith("exact"):
                np.testing.assert_allclose(found, whole, atol=1e-4)
                continue
            # crops of the two conventions differ: their squares are cut to whole pixels otherwise
            own, other = (
                Tform(folder_of, sample.name) for folder_of in (folder, shards[name.replace("face3d", "exact")])
            )
            inner = np.s_[2:-2, 2:-2, :2]  # face3d draws the outermost texels otherwise
            np.testing.assert_allclose(own.to_image(found[inner]), other.to_image(whole[inner]), atol=2e-2)


class Tform:
    """Image → crop of a sample, mirroring included, written out once more."""

    def __init__(self, folder: Path, name: str) -> None:
        reader = open_shards(folder)
        sample = reader[reader.names.index(name)]
        mirror = np.array([[-1, 0, SMALL.size - 1], [0, 1, 0], [0, 0, 1]]) if sample.get("flipped") else np.eye(3)
        self.matrix = mirror @ sample["image_to_crop"]

    def to_image(self, points: NDArray[Any]) -> NDArray[np.float64]:
        return (np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1) @ np.linalg.inv(self.matrix).T)[
            ..., :2
        ]


@pytest.mark.parametrize(("convention", "shift"), [("reshow", (1, 0)), ("exact", (0, 0)), ("face3d", (1, -1))])
def test_reshow_bbox_info_is_what_its_processor_saves(
    built: Path, tmp_path: Path, convention: str, shift: tuple[int, int]
) -> None:
    export_shards(built, tmp_path / "out", "reshow", convention=convention)
    for sample in open_shards(built):
        stem = sample["name"].rsplit("/")[-1]
        base = tmp_path / "out" / sample["name"] / stem
        assert np.asarray(Image.open(f"{base}_cropped.jpg")).shape == (SMALL.size, SMALL.size, 3)
        info = sio.loadmat(f"{base}_bbox_info.mat")
        position_map = np.load(f"{base}_cropped_uv_posmap.npy")
        assert position_map.dtype == np.float32
        matrix = sample["image_to_crop"]
        np.testing.assert_array_equal(info["Tform"], matrix)
        np.testing.assert_allclose(info["TformInv"] @ info["Tform"], np.eye(3), atol=1e-12)
        moved = matrix[:2, :2] @ shift
        np.testing.assert_allclose(
            position_map[..., :2] - sample["posmap"][..., :2], np.broadcast_to(moved, (U, U, 2)), atol=1e-5
        )
        np.testing.assert_array_equal(position_map[..., 2], sample["posmap"][..., 2])
        points = (sample["landmarks"][:, :2] + moved).astype(np.int32)
        np.testing.assert_array_equal(info["Bbox"], [points.min(axis=0), points.max(axis=0)])
        assert info["Bbox"].dtype == info["OldBbox"].dtype == np.int32
        old = np.linalg.inv(matrix) @ np.column_stack([sample["landmarks"][:, :2], np.ones(68)]).T
        whole = (old[:2].T + shift).astype(np.int32)
        np.testing.assert_array_equal(info["OldBbox"], [whole.min(axis=0), whole.max(axis=0)])
        assert info["Kpt"].size == info["OldKpt"].size == 0  # as of 300W-LP


def test_reshow_uv_files_are_those_of_the_set(built: Path, tmp_path: Path) -> None:
    export_shards(built, tmp_path / "out", "reshow")
    constants = open_shards(built).constants
    weights = np.asarray(Image.open(tmp_path / "out/uv_weight_mask.png")).astype(float)  # loss.py
    weights[weights == 255] = 256
    np.testing.assert_array_equal(weights / 16, constants["weight_mask"])
    face = np.asarray(Image.open(tmp_path / "out/uv_face_mask.png")) / 255.0
    np.testing.assert_array_equal(face, constants["weight_mask"] > 0)
    lines = (tmp_path / "out/uv_kpt_ind.txt").read_text().splitlines()  # data.py: "txt is inversed"
    texels = np.array([[int(float(word)) for word in lines[k].strip().split(" ")] for k in (1, 0)]).T
    np.testing.assert_array_equal(texels, constants["landmark_texels"])


def test_reshow_keeps_annotated_landmarks_in_three_dimensions_as_matlab_counts(
    tmp_path: Path, model_path: Path, model: MorphableModel
) -> None:
    rng = np.random.default_rng(3)
    marks = rng.uniform(20, 100, (3, 68))
    tree = write_tree(tmp_path / "300W_LP")
    for path in tree.rglob("*.mat"):
        content = {k: v for k, v in sio.loadmat(path).items() if not k.startswith("__")}
        sio.savemat(path, {**content, "pt3d_68": marks})
    have(tree, model_path, tmp_path / "shards")
    for convention, first in (("reshow", 1), ("exact", 0)):
        export_shards(tmp_path / "shards", tmp_path / convention, "reshow", convention=convention)
        files = [*(tmp_path / convention).rglob("*_bbox_info.mat")]
        assert len(files) == 9
        for path in files:
            info = sio.loadmat(path)
            np.testing.assert_allclose(info["OldKpt"][:, :2], marks[:2].T - 1 + first, atol=1e-3)
            expected = np.column_stack([info["OldKpt"][:, :2], np.ones(68)]) @ info["Tform"].T
            np.testing.assert_allclose(info["Kpt"][:, :2], expected[:, :2], atol=1e-4)
            depth = info["OldKpt"][:, 2] - marks[2]
            assert np.ptp(depth) < 1e-3  # but for where the depths begin
    assert uvgen.open_shards(tmp_path / "shards").fields["annotated_landmarks"][0] == (68, 3)


def test_prnet_canonical_vertices_of_the_basel_mesh_are_those_that_prnet_published(
    reference: Path, stand_in_model: MorphableModel
) -> None:
    published = np.load(reference / "prnet_uv/canonical_vertices.npy")
    ind = np.loadtxt(reference / "prnet_uv/face_ind.txt").astype(int)
    off = canonical_map(stand_in_model, 256).reshape(-1, 3)[ind] - published
    # px; the Basel mean with and without 3DDFA's mean expression, and where the face's mask ends
    assert np.abs(off.mean(axis=0)).max() < 2 and off.std(axis=0).max() < 1


def test_prnet_of_a_model_whose_eyes_are_one_above_the_other_is_refused(model: MorphableModel) -> None:
    landmarks = model.landmarks.copy()
    landmarks[45] = landmarks[36]
    with pytest.raises(ModelError, match="landmarks 36 and 45, the outer corners of the eyes, are 0 µm apart in x"):
        canonical_map(dataclasses.replace(model, landmarks=landmarks), 32)
