"""Per-pixel targets against a slow loop over all triangles, in float64, and against what must follow from them."""

import dataclasses
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.oracles import crop_vertices
from support.toy import toy_model

from uvgen import PositionMapper, Sample, build_atlas, read_annotation
from uvgen.errors import InputError, ModelError
from uvgen.fixed_point import FixedPoint, decode
from uvgen.maps.atlas import MESH
from uvgen.maps.mirror import mirror_vertices
from uvgen.maps.target_layouts import COVERED, PARTS, TARGETS, check_targets, target_layouts
from uvgen.maps.targets import TargetMaker
from uvgen.models.morphable import REGIONS, MorphableModel

R, U = 40, 32
EDGE = 1e-3  # px and weights: nearer to an edge or a tie, float32 may decide otherwise than float64


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    """The toy with UV that are not symmetric, labels that are not, and vertices without a mirror vertex."""
    toy = toy_model()
    u, v = toy.uv.T
    mirror = np.array(toy.mirror)
    mirror[::97] = -1
    labels = np.random.default_rng(1).integers(0, len(REGIONS), len(mirror)).astype(np.uint8)
    uv = np.stack([0.05 + 0.9 * u**1.2, 0.1 + 0.8 * v], axis=1)
    return dataclasses.replace(toy, uv=uv, mirror=mirror, regions=labels)


def faces(n: int, size: int = R) -> tuple[NDArray[np.float64], ...]:
    """Shape, expression, pose, similarity and image height of toy faces that fill most of a crop, turned far."""
    rng = np.random.default_rng(3)
    toy = toy_model()
    pose = np.c_[
        rng.uniform(-1, 1, (n, 3)) * [0.4, 1.2, 0.5],
        rng.uniform(45, 55, (n, 2)),
        rng.uniform(-9, 9, n),
        np.full(n, 4e-4),
    ]
    similarity = np.tile(np.eye(3) * [size / 100, size / 100, 1], (n, 1, 1))
    shape, expression = (rng.normal(size=(n, len(std))) * std * 0.3 for std in (toy.shape_std, toy.expression_std))
    return shape, expression, pose, similarity, np.full(n, 100)


def drawn(model: MorphableModel, names: tuple[str, ...], rows: Any, flip: bool = False) -> dict[str, NDArray[Any]]:
    maker = TargetMaker(model, names, crop_size=R, uv_size=U)
    found, in_range = maker(*rows, flipped=np.full(len(rows[2]), flip))
    assert in_range.all()
    return found


def placed(model: MorphableModel, rows: tuple[NDArray[np.float64], ...], k: int, flip: bool) -> NDArray[np.float64]:
    """(n, 3) vertices of a face, or of the mirrored face, in the crop."""
    points = crop_vertices(model, *(row[k] for row in rows))
    if flip:
        points[:, 0] = R - 1 - points[:, 0]
    return points


def outward(model: MorphableModel) -> NDArray[np.int32]:
    """Triangles that run clockwise on the screen, y down, where the mean face looks at the viewer."""
    a, b, c = (model.mean[model.triangles[:, i]] * [1, -1, 1] for i in range(3))
    facing = np.cross(b - a, c - a)[:, 2]
    return model.triangles if np.median(facing) > 0 else model.triangles[:, ::-1]


Rays = Callable[[float, float], tuple[list[Any], bool]]


def rays(points: NDArray[np.float64], triangles: NDArray[np.int32]) -> Rays:
    """A function of a place (x, y) in the crop: see `ray`. It asks triangles alone whose box the place lies in."""
    corners = points[triangles][..., :2]
    low, high = corners.min(axis=1), corners.max(axis=1)
    slack = 0.01 * (high - low)  # far more than EDGE, which counts as near
    low, high = low - slack, high + slack

    def meet(x: float, y: float) -> tuple[list[Any], bool]:
        around = np.flatnonzero((low[:, 0] <= x) & (x <= high[:, 0]) & (low[:, 1] <= y) & (y <= high[:, 1]))
        hits, is_doubtful = ray(points, triangles[around], x, y)
        return [(depth, around[t], weights) for depth, t, weights in hits], is_doubtful

    return meet


def ray(points: NDArray[np.float64], triangles: NDArray[np.int32], x: float, y: float) -> tuple[list[Any], bool]:
    """Depths at which the ray through (x, y) meets triangles that face the viewer, and where, nearest first."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    with np.errstate(all="ignore"):
        w1 = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (y - a[:, 1]) * (c[:, 0] - a[:, 0])) / area
        w2 = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])) / area
    weights = np.stack([1 - w1 - w2, w1, w2], axis=1)
    hit = (area > 1e-9) & (weights >= 0).all(axis=1)
    near = (area > 1e-9) & (weights > -EDGE).all(axis=1) & (weights < EDGE).any(axis=1)
    depth = (weights * np.stack([a[:, 2], b[:, 2], c[:, 2]], axis=1)).sum(axis=1)
    order = np.flatnonzero(hit)[np.argsort(-depth[hit])]
    return [(depth[t], t, weights[t]) for t in order], bool(near.any())


@pytest.mark.parametrize("flip", [False, True])
def test_targets_are_those_of_a_loop_over_all_triangles(model: MorphableModel, flip: bool) -> None:
    rows = faces(2)
    found = drawn(model, TARGETS, rows, flip)
    layouts = target_layouts(TARGETS, R, U)
    low, extent = model.mean.min(axis=0).astype(np.float64), np.ptp(model.mean, axis=0).astype(np.float64)
    partner = mirror_vertices(model) if flip else np.arange(model.n_vertices)
    n_compared = 0
    for k in range(2):
        points = placed(model, rows, k, flip)
        triangles = outward(model)[:, ::-1] if flip else outward(model)
        sides = points[triangles]
        faces_ = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0])
        normals = np.zeros_like(points)
        for corner in range(3):  # each face's unit normal, weighted by its angle there
            one = sides[:, (corner + 1) % 3] - sides[:, corner]
            two = sides[:, (corner + 2) % 3] - sides[:, corner]
            lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
            angle = np.arccos(np.clip((one * two).sum(axis=1) / lengths, -1, 1))
            unit = faces_ / np.linalg.norm(faces_, axis=1, keepdims=True)
            np.add.at(normals, triangles[:, corner], angle[:, None] * unit)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        meet = rays(points, triangles)
        for row in range(R):
            for column in range(R):
                hits, is_doubtful = meet(column, row)
                if is_doubtful:
                    continue
                assert found[COVERED][k, row, column] == bool(hits)
                if not hits:
                    for name in ("uv", "depth", "parts", "pncc"):
                        assert not found[name][k, row, column].any()
                    assert (found["normals"][k, row, column] == 127).all()
                    continue
                depth, t, weights = hits[0]
                corners = partner[triangles[t]]
                if (corners < 0).any():
                    continue
                label = int(model.regions[corners[weights.argmax()]]) + 1
                if np.diff(np.sort(weights)[1:])[0] > EDGE:
                    assert found["parts"][k, row, column] == label
                normal = (weights @ normals[triangles[t]]).astype(np.float64)
                wanted = {
                    "uv": weights @ model.uv[corners],
                    "depth": depth,
                    "pncc": (weights @ model.mean[corners].astype(np.float64) - low) / extent,
                    "normals": normal / np.linalg.norm(normal),
                }
                for name, value in wanted.items():
                    codes = layouts[name].codes
                    got = found[name][k, row, column] * codes.scale + codes.offset
                    # half a step, and what float32 leaves: of depth px, of the others shares
                    assert np.abs(got - value).max() <= codes.scale / 2 + (2e-3 if name == "depth" else 2e-4), name
                n_compared += 1
    assert n_compared > R * R / 3


@pytest.mark.parametrize("flip", [False, True])
def test_visibility_is_that_of_rays_to_each_texel(model: MorphableModel, flip: bool) -> None:
    rows = faces(2)
    found = drawn(model, ("visibility",), rows, flip)["visibility"]
    assert set(found.shape) == {2, U}
    atlas = build_atlas(model, U)
    pairs = mirror_vertices(model)
    n_seen = n_hidden = n_wrong = 0
    for k in range(2):
        points = placed(model, rows, k, flip)
        triangles = outward(model)[:, ::-1] if flip else outward(model)
        meet, outwards = rays(points, triangles), outward(model)
        for texel in range(U * U):
            corners = atlas.vertices[texel]
            corners = pairs[corners] if flip else corners
            if (corners < 0).any():
                continue
            is_seen = bool(found[k].ravel()[texel])
            if atlas.texel_kind.ravel()[texel] != MESH:
                assert not is_seen
                continue
            x, y, z = atlas.weights[texel].astype(np.float64) @ points[corners]
            one, two = points[corners[1]] - points[corners[0]], points[corners[2]] - points[corners[0]]
            area = one[0] * two[1] - one[1] * two[0]
            area = area if np.array_equal(outwards, model.triangles) else -area
            inside = -0.5 <= x <= R - 0.5 and -0.5 <= y <= R - 0.5
            hits, _ = meet(x, y)
            in_front = hits and hits[0][0] > z + 2  # px: far more than the tolerance
            if inside and area > 0.05 and not (hits and hits[0][0] > z + 1e-3):
                n_seen += 1
                n_wrong += not is_seen
            elif not inside or area < -1e-3 or in_front:
                n_hidden += 1
                n_wrong += is_seen
    assert n_seen > 200 and n_hidden > 50
    assert n_wrong <= 0.03 * (n_seen + n_hidden)  # texels within a pixel of a silhouette


def test_uv_leads_back_to_the_pixel_through_the_position_map(model: MorphableModel) -> None:
    rows, size = faces(2, 64), 256
    maker = TargetMaker(model, ("uv", "depth"), crop_size=64, uv_size=size)
    found, _ = maker(*rows)
    maps = PositionMapper(model, size, crop_size=64)(*rows)
    for k in range(2):
        row, column = np.nonzero(found[COVERED][k])
        uv = found["uv"][k, row, column] / 65535
        texel = np.rint([(size - 1) * (1 - uv[:, 1]), (size - 1) * uv[:, 0]]).astype(int)
        there = maps[k][texel[0], texel[1]]
        apart = np.abs(there - np.c_[column, row, found["depth"][k, row, column] * (64 / 2**14)])
        # a texel is up to 0.4 px wide here; the few beyond lie on steep parts, or in the closed mouth
        assert np.median(apart) < 0.2 and (apart.max(axis=1) < 2).mean() > 0.98


def test_flipped_targets_are_the_mirrored_picture_with_exchanged_sides() -> None:
    symmetric = toy_model()
    rows = faces(2)
    plain, mirrored = (drawn(symmetric, ("uv", "normals", "depth"), rows, flip) for flip in (False, True))
    across = {name: values[:, :, ::-1] for name, values in mirrored.items()}
    same = plain[COVERED] & across[COVERED]
    assert same.sum() > 0.98 * plain[COVERED].sum()  # a center on an edge counts to its right
    inner = np.abs(plain["depth"][same].astype(int) - across["depth"][same]) <= 1
    assert inner.mean() > 0.99
    uv = np.abs(plain["uv"][same].astype(int) - [65535, 0] - across["uv"][same] * [-1, 1])
    assert (uv.max(axis=1) <= 2).mean() > 0.99
    normals = np.abs(plain["normals"][same].astype(int) - [254, 0, 0] - across["normals"][same] * [-1, 1, 1])
    assert (normals.max(axis=1) <= 2).mean() > 0.99


def test_rotated_crop_rotates_normals_and_leaves_what_pixels_show() -> None:
    rows = faces(2)
    turn = np.array([[0, -1.0, R - 1], [1, 0, 0], [0, 0, 1]])  # a quarter turn: (x, y) → (R - 1 - y, x)
    turned = (*rows[:3], turn @ rows[3], rows[4])
    plain, moved = (drawn(toy_model(), ("uv", "normals", "depth", "pncc"), r) for r in (rows, turned))
    for name in ("uv", "pncc", "depth"):
        back = np.rot90(moved[name], 1, axes=(1, 2)).astype(int)
        same = plain[COVERED] & np.rot90(moved[COVERED], 1, axes=(1, 2))
        assert same.sum() > 0.98 * plain[COVERED].sum()
        assert (np.abs(plain[name][same] - back[same]) <= 2).mean() > 0.99
    normals = np.rot90(moved["normals"], 1, axes=(1, 2)).astype(int)[same] - 127
    expected = (plain["normals"][same].astype(int) - 127) @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    assert (np.abs(normals - expected).max(axis=1) <= 2).mean() > 0.99


def test_targets_of_a_face_do_not_depend_on_the_batch_or_the_process(model: MorphableModel) -> None:
    rows = faces(5)
    together = drawn(model, TARGETS, rows)
    alone = pickle.loads(pickle.dumps(TargetMaker(model, TARGETS, crop_size=R, uv_size=U)))
    for k in range(5):
        one, _ = alone(*(row[k : k + 1] for row in rows))
        for name, values in one.items():
            np.testing.assert_array_equal(values[0], together[name][k], err_msg=name)


def test_targets_by_several_threads_are_those_of_one(model: MorphableModel) -> None:
    rows = faces(8)
    maker = TargetMaker(model, ("depth", "normals"), crop_size=96, uv_size=U)
    expected, _ = maker(*rows)
    wrong = list[int]()

    def draw(k: int) -> None:
        for _ in range(25):
            found, _ = maker(*(row[k : k + 1] for row in rows))
            wrong.extend(k for name, values in found.items() if not np.array_equal(values[0], expected[name][k]))

    threads = [threading.Thread(target=draw, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_targets_of_many_faces_with_one_similarity_are_those_of_each(model: MorphableModel) -> None:
    shape, expression, pose, similarity, height = faces(33)  # more than are held at once
    maker = TargetMaker(model, ("depth",), crop_size=R, uv_size=U)
    expected, _ = maker(shape, expression, pose, similarity, height)
    found, _ = maker(shape, expression, pose, similarity[0], height[0])
    np.testing.assert_array_equal(found["depth"], expected["depth"])


@pytest.mark.parametrize("which", [0, 1, 3, 4])
def test_targets_of_other_numbers_of_faces_are_refused(model: MorphableModel, which: int) -> None:
    rows = [*faces(32)]
    rows[which] = np.concatenate([rows[which], rows[which][:8]])
    with pytest.raises(InputError, match=r"^(shape|expression|similarity|image_height): float64 \(40"):
        TargetMaker(model, ("depth",), crop_size=R, uv_size=U)(*rows)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"uv_size": 8}, "^uv_size: 8 texels"), ({"uv_size": 32.0}, "^uv_size: 32.0"), ({"crop_size": 0}, "^crop_size: 0"),
     ({"convention": "3ddfa"}, "^convention: '3ddfa'")],
)  # fmt: skip
def test_target_maker_refuses_what_its_first_call_would(model: MorphableModel, wrong: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TargetMaker(model, ("depth",), **wrong)


def test_target_layouts_have_the_mask_with_images_and_codes_that_decode(model: MorphableModel) -> None:
    assert list(target_layouts(("visibility",), R, U)) == ["visibility"]
    assert list(target_layouts(("parts",), R, U)) == ["parts", COVERED]
    found = drawn(model, TARGETS, faces(1))
    for name, layout in target_layouts(TARGETS, R, U).items():
        assert (found[name].dtype, found[name].shape[1:]) == (layout.dtype, layout.shape)
        assert FixedPoint.of_attributes(layout.attributes) == layout.codes
    normals = decode(found["normals"], target_layouts(TARGETS, R, U)["normals"].attributes)
    np.testing.assert_allclose(np.linalg.norm(normals[found[COVERED]], axis=1), 1, atol=0.008)
    assert normals[found[COVERED]][:, 2].mean() > 0.3  # toward the viewer
    assert ("background", *REGIONS) == PARTS


def test_targets_with_a_depth_beyond_the_codes_say_so(model: MorphableModel) -> None:
    rows = faces(2)
    rows[3][1, :2, :2] *= 40
    rows[3][1, :2, 2] = R / 2 - 40 * 50 * R / 100
    _, in_range = TargetMaker(model, ("depth",), crop_size=R, uv_size=U)(*rows)
    assert in_range.tolist() == [True, False]


def test_targets_that_a_model_or_nobody_has_are_an_error() -> None:
    with pytest.raises(InputError, match="targets: 'flow', expected 'uv', 'normals', 'depth', 'parts', 'pncc' or"):
        check_targets(["uv", "flow"])
    with pytest.raises(InputError, match="targets: uv, uv, expected each once"):
        check_targets(["uv", "uv"])
    assert check_targets(["pncc", "uv"]) == ("uv", "pncc")
    with pytest.raises(ModelError, match="toy: has no regions, expected labels of its vertices for the target parts"):
        TargetMaker(toy_model(), ("parts",))
    flat = dataclasses.replace(toy_model(), mean=toy_model().mean * np.float32([1, 1, 0]))
    with pytest.raises(ModelError, match="toy: is flat, expected extents along x, y and z for the target pncc"):
        TargetMaker(flat, ("pncc",))
    alone = dataclasses.replace(toy_model(), mirror=None)
    with pytest.raises(ModelError, match="toy: has no mirror pairs"):
        drawn(alone, ("uv",), faces(1), flip=True)


GOLDEN = {"AFW_134212_1_1": "AFW/AFW_134212_1_1", "IBUG_image_008_1_0": "IBUG/IBUG_image_008_1_0"}


@pytest.mark.parametrize("name", GOLDEN)
def test_targets_of_a_whole_image_are_face3ds_drawings(
    reference: Path, stand_in_model: MorphableModel, name: str
) -> None:
    golden = np.load(reference / "golden" / f"{name}_render.npz")
    drawn_there, size = golden["depth"] > -9e5, len(golden["depth"])
    path = reference / "w300lp" / GOLDEN[name]
    said = read_annotation(Sample(name, "", path.with_suffix(".jpg"), path.with_suffix(".mat")))
    maker = TargetMaker(stand_in_model, ("depth", "pncc"), crop_size=size, convention="face3d")
    rows = (said.shape[None], said.expression[None], said.pose[None], np.eye(3)[None], np.array([size]))
    found = {key: values[0] for key, values in maker(*rows)[0].items()}
    both = drawn_there & found[COVERED]
    assert not (found[COVERED] & ~drawn_there).sum() > 0.005 * drawn_there.sum()
    assert both.sum() > 0.95 * drawn_there.sum()  # face3d draws what faces away from the viewer too: the open neck
    depth = found["depth"][both] * (size / 2**14)
    shift = golden["depth"][both] - depth  # its depths are those of the pose
    assert (np.abs(shift - np.median(shift)) < 0.1).mean() > 0.98
    # 3DDFA's codes are those of the neutral face, ours those of the model's mean, with the mean expression
    assert np.abs(found["pncc"][both].astype(int) - golden["pncc"][both]).mean() < 2
