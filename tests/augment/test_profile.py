"""Face profiling: labels against dots, colors against faces rendered at that yaw, and a background without tears."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from support.examples import examples
from support.models import builtin_model

from uvgen import find_samples, read_annotation, read_image
from uvgen.augment import Augmentation, apply, turn_face
from uvgen.augment.background import N_RAYS, around_face
from uvgen.augment.profile import possible_turn, turned_pose
from uvgen.augment.turner import MARK, FaceTurner
from uvgen.errors import InputError, ModelError
from uvgen.geometry import pose_to_image
from uvgen.models.morphable import MorphableModel
from uvgen.randomness import keyed_generator
from uvgen.rasterize import interpolate, rasterize, vertex_normals, visible_vertices
from uvgen.samples.read import Annotation
from uvgen.synth.faces import FaceParameters, FaceSource
from uvgen.synth.portrait import Painter

SIZE = 300
ANGLES = [(-40.0, 10.0), *(pytest.param(*angles, marks=pytest.mark.slow) for angles in ((25.0, 0.0), (15.0, -20.0)))]


@cache
def painter() -> Painter:
    return Painter(builtin_model(), SIZE)


@cache
def ambient_face(name: str = "a", yaw_deg: float = 0.0) -> FaceParameters:
    """A face in light from everywhere: what a lamp adds would stay with the camera when the face turns."""
    face = FaceSource(builtin_model(), 0, SIZE).draw(name)
    pose = face.pose.copy()
    pose[1] = np.deg2rad(yaw_deg)
    return replace(face, pose=pose, light=replace(face.light, key=np.zeros(3), specular=0.0))


def photograph(face: FaceParameters) -> NDArray[np.uint8]:
    (vertices,), albedo = painter().surfaces([face])
    assert albedo is not None
    return painter().paint(face, vertices, albedo[0], keyed_generator(0, "photograph"))


def annotation(face: FaceParameters) -> Annotation:
    return Annotation(face.shape, face.expression, face.pose, None)


def in_image(face: Annotation, height: int = SIZE) -> NDArray[np.float64]:
    """Where its vertices are: evaluated in double precision, apart from what turns it."""
    model = builtin_model()
    vertices = model.mean + model.basis.astype(np.float64) @ np.concatenate([face.shape, face.expression])
    affine = pose_to_image(face.pose[None], height)[0]
    return np.asarray(vertices @ affine[:, :3].T + affine[:, 3])


def facing(points: NDArray[np.float64], size: int = SIZE) -> NDArray[np.float64]:
    """z of the vertices' normals, 0 for hidden ones."""
    model = builtin_model()
    normals = vertex_normals(points, model.triangles)[:, 2]
    normals = normals if normals[model.landmarks[30]] > 0 else -normals
    return np.where(visible_vertices(points, model.triangles, size=(size, size), tolerance=0.5), normals, 0)


def inradius(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each triangle in the picture, px."""
    a, b, c = (points[builtin_model().triangles[:, k], :2] for k in range(3))
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    around = sum(np.hypot(*(p - q).T) for p, q in ((a, b), (b, c), (c, a)))
    return np.asarray(np.abs(ux * vy - uy * vx) / around)


@pytest.mark.parametrize(("yaw", "pitch"), ANGLES)
def test_turn_dots_of_the_photograph_are_where_the_labels_say(yaw: float, pitch: float) -> None:
    """Each dot lies within one triangle, where a turn is affine and keeps its middle: so the picture is a large one."""
    size, model, face = 1200, builtin_model(), annotation(ambient_face())
    face = replace(face, pose=face.pose * np.float32([1, 1, 1, 4, 4, 4, 4]))
    turned = replace(face, pose=turned_pose(model, face, yaw, pitch))
    both = in_image(face, size), in_image(turned, size)
    shown = [facing(points, size) for points in both]
    room = np.where(np.min(shown, axis=0)[model.triangles].min(axis=1) > 0.4, np.minimum(*map(inradius, both)), 0)
    before, after = (points[model.triangles, :2].mean(axis=1) for points in both)
    dots: list[int] = []
    for k in np.argsort(-room)[:300]:
        if room[k] > 4 and all(min(np.hypot(*(p[k] - p[j])) for p in (before, after)) > 18 for j in dots):
            dots.append(int(k))
    assert len(dots) >= 12
    image = np.zeros((size, size))
    for k in dots:
        y, x = np.mgrid[-7:8, -7:8] + np.rint(before[k, ::-1]).astype(int)[:, None, None]
        image[y, x] += 250 * np.exp(-((x - before[k, 0]) ** 2 + (y - before[k, 1]) ** 2) / (2 * 1.2**2))
    photo = np.repeat(np.rint(image)[..., None], 3, 2).astype(np.uint8)
    picture, label = turn_face(photo, face, model, yaw, pitch, unseen="mark")  # no color from the other half
    np.testing.assert_array_equal(label.pose, turned.pose)
    marked, n = (picture == MARK).all(axis=2), 0
    for k in dots:
        y, x = np.mgrid[-7:8, -7:8] + np.rint(after[k, ::-1]).astype(int)[:, None, None]
        if marked[y, x].sum() > 4:
            continue
        light = picture[y, x, 1].astype(np.float64)
        found = np.array([(light * x).sum(), (light * y).sum()]) / light.sum()
        assert np.hypot(*(found - after[k])) < 0.05
        n += 1
    assert n >= 10


@pytest.mark.parametrize("yaw", [-40.0, 15.0, *(pytest.param(yaw, marks=pytest.mark.slow) for yaw in (-15.0, 40.0))])
def test_turn_visible_face_looks_as_if_rendered_at_that_yaw(yaw: float) -> None:
    face = ambient_face("b")
    model = builtin_model()
    picture, label = turn_face(photograph(face), annotation(face), model, yaw)
    marked, _ = turn_face(photograph(face), annotation(face), model, yaw, unseen="mark")
    expected = photograph(replace(face, pose=label.pose))
    shown = rasterize(in_image(label), model.triangles, (SIZE, SIZE)).covered & ~(marked == MARK).all(axis=2)
    difference = np.abs(picture.astype(int) - expected).mean(axis=2)
    assert shown.mean() > 0.1
    assert difference[shown].mean() < 6  # gray levels; 8 are asked for
    assert np.abs(photograph(face).astype(int) - expected).mean(axis=2)[shown].mean() > difference[shown].mean()


def test_turn_back_of_the_head_looks_about_as_if_rendered_at_that_yaw() -> None:
    """Nothing shows it: with what lies before it, eyes and cheeks, it would be off by 30 gray levels."""
    face, model = ambient_face("a"), builtin_model()
    picture, label = turn_face(photograph(face), annotation(face), model, 75)
    expected = photograph(replace(face, pose=label.pose))
    drawn = rasterize(in_image(label), model.triangles, (SIZE, SIZE), cull="back")
    normals = vertex_normals(in_image(face), model.triangles)[:, 2:]
    normals = normals if normals[model.landmarks[30], 0] > 0 else -normals
    back = drawn.covered & (interpolate(drawn, model.triangles, normals)[..., 0] < -0.3)
    assert back.mean() > 0.02
    assert np.abs(picture.astype(int) - expected)[back].mean() < 20


def test_turn_by_nothing_returns_a_copy_of_the_photograph_and_the_same_parameters() -> None:
    image, face = photograph(ambient_face()), annotation(ambient_face())
    picture, same = turn_face(image, face, builtin_model())
    assert same is face
    assert not np.shares_memory(picture, image)
    np.testing.assert_array_equal(picture, image)


def test_turn_by_almost_nothing_moves_nothing() -> None:
    image, face = photograph(ambient_face()), annotation(ambient_face())
    picture, _ = turn_face(image, face, builtin_model(), 1e-4)
    difference = np.abs(picture.astype(int) - image)
    assert difference.max() <= 3  # of rounding, where an edge is a steep one
    assert np.mean(difference > 0) < 0.01


def test_turn_keeps_the_middle_of_the_face_and_everything_but_the_pose() -> None:
    face = annotation(ambient_face())
    _, label = turn_face(photograph(ambient_face()), face, builtin_model(), 50, -10)
    np.testing.assert_allclose(in_image(label).mean(axis=0), in_image(face).mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(np.rad2deg(label.pose[:3] - face.pose[:3]), [-10, 50, 0], atol=1e-4)
    assert label.shape is face.shape
    assert label.expression is face.expression
    assert label.pose[6] == face.pose[6]
    assert label.pose.dtype == np.float32


def test_turn_annotated_points_keep_their_distance_from_the_landmarks() -> None:
    face = annotation(ambient_face())
    before = in_image(face)[builtin_model().landmarks]
    offset = np.random.default_rng(0).normal(size=(68, 3))
    offset[5] = np.nan
    marked = replace(face, landmarks_2d=before[:, :2] + offset[:, :2], landmarks_3d=before + offset)
    _, label = turn_face(
        photograph(ambient_face()), replace(marked, landmarks_21=np.zeros((21, 2))), builtin_model(), 30
    )
    after = in_image(label)[builtin_model().landmarks]
    assert label.landmarks_2d is not None
    assert label.landmarks_3d is not None
    np.testing.assert_allclose(label.landmarks_2d - after[:, :2], offset[:, :2], atol=1e-3)
    np.testing.assert_allclose(label.landmarks_3d - after, offset, atol=1e-3)
    assert label.landmarks_21 is None


@examples(12)
@given(
    st.floats(-90, 90), st.floats(-60, 60), st.floats(-90, 90), st.floats(-60, 60), st.floats(0.1, 1.2),
    st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
)  # fmt: skip
def test_background_covers_every_pixel_inside_its_rim(yaw, pitch, to_yaw, to_pitch, scale, shift) -> None:
    """By the rasterizer, whatever folds: also with the face at the border, or most of it outside."""
    face = annotation(ambient_face())
    pose, to = face.pose.astype(np.float64), face.pose.astype(np.float64)
    pose[:2], to[:2] = np.deg2rad([pitch, yaw]), np.deg2rad([to_pitch, to_yaw])
    pose[6], to[6] = scale * pose[6], scale * pose[6]
    pose[3:5] = to[3:5] = SIZE * (0.5 + np.array(shift))
    affines = pose_to_image([pose, to], SIZE)
    before, after = (in_image(replace(face, pose=one)).astype(np.float32) for one in (pose, to))
    turn = affines[1, :, :3] @ np.linalg.inv(affines[0, :, :3])
    bounds = np.stack([before[:, :2].min(axis=0), before[:, :2].max(axis=0)])
    normals = vertex_normals(before, builtin_model().triangles)
    around = around_face(before, after, normals, turn, bounds, (SIZE, SIZE))
    anchors = around.anchors
    rim = slice(-1 - N_RAYS, -1)
    np.testing.assert_array_equal(anchors.points[rim], anchors.places[rim])
    disk = rasterize(np.column_stack([anchors.places, 0 * anchors.depth]), around.triangles, (SIZE, SIZE)).covered
    assert disk.any()
    points = np.column_stack([anchors.points, anchors.depth])
    drawn = rasterize(points, around.triangles, (SIZE, SIZE), cull="back").covered
    assert not (disk & ~drawn).any()


def test_turn_draws_the_background_where_the_rasterizer_does() -> None:
    """Of a photograph whose colors say where they are from: an oracle of drawing, depth and colors together."""
    face, model = annotation(ambient_face()), builtin_model()
    y, x = np.mgrid[:SIZE, :SIZE]
    image = (
        np.stack([x * 0.8, y * 0.8, 0 * x + 60], axis=2).round().astype(np.uint8)
    )  # smooth: no quantum of gray jumps
    picture, label = turn_face(image, face, model, 30, unseen="mark")  # no mirrored colors
    points = in_image(label)
    turner = FaceTurner(model)
    drawn = rasterize(points, turner._mesh.triangles, (SIZE, SIZE), cull="back")
    found = interpolate(drawn, turner._mesh.triangles, in_image(face)[:, :2])
    own = interpolate(drawn, turner._mesh.triangles, facing(in_image(face))[:, None])[..., 0] > 0.6
    usable = drawn.covered & ~(picture == MARK).all(axis=2)
    inside = own & binary_erosion(usable, iterations=3)
    assert inside.mean() > 0.05
    assert np.quantile(np.abs(picture[inside][:, :2] - 0.8 * found[inside]), 0.99) < 1.5
    assert set(np.unique(picture[..., 2])) <= set(range(60, 129))  # the photograph, the mark, and edges between


def test_turn_changes_nothing_far_from_the_face_and_faces_apart_can_be_turned_one_after_the_other() -> None:
    one, two = ambient_face("a"), ambient_face("c")
    small = 0.35
    wide = np.full((SIZE, 4 * SIZE, 3), 90, np.uint8)
    faces = []
    for k, face in enumerate((one, two)):
        pose = face.pose.copy()
        pose[3:] *= small
        pose[3] += (0.3 + 2.9 * k) * SIZE
        pose[4] += 0.3 * SIZE
        faces.append(replace(annotation(face), pose=pose))
        picture = photograph(face)[::3, ::3]
        top, left = SIZE - 1 - int(0.3 * SIZE) - len(picture), int((0.3 + 2.9 * k) * SIZE)
        wide[top : top + len(picture), left : left + len(picture)] = picture
    first, label = turn_face(wide, faces[0], builtin_model(), 40)
    assert (first[:, 2 * SIZE :] == wide[:, 2 * SIZE :]).all()
    assert (first[:, : 2 * SIZE] != wide[:, : 2 * SIZE]).any()
    both, _ = turn_face(first, faces[1], builtin_model(), -40)
    assert (both[:, : 2 * SIZE] == first[:, : 2 * SIZE]).all()
    assert (both[:, 2 * SIZE :] != first[:, 2 * SIZE :]).any()
    assert label.pose[1] > faces[0].pose[1]


def test_turn_unseen_half_comes_from_the_mirrored_half_or_is_marked() -> None:
    """Of a face whose colors are its own mirror image: the other half, once it is turned into view, is known."""
    model, face = builtin_model(), annotation(ambient_face("a", 45.0))
    mirror = model.mirror
    assert mirror is not None
    colors = 40 + 100 * (1 + np.sin(model.mean[:, 1:] / 15e3)) * (1 + np.cos(model.mean[:, :1] / 2e4)) / 2
    colors = (colors + colors[mirror]) / 2

    def drawn(points: NDArray[np.float64]) -> NDArray[np.uint8]:
        shown = rasterize(points, model.triangles, (SIZE, SIZE))
        return np.rint(interpolate(shown, model.triangles, colors[:, [0, 1, 0]], background=90)).astype(np.uint8)

    source = drawn(in_image(face))
    picture, label = turn_face(source, face, model, -90)
    marked, _ = turn_face(source, face, model, -90, unseen="mark")
    points = in_image(label)
    expected, seen = drawn(points), facing(points)
    hidden = facing(in_image(face)) <= 0
    for name, vertices, most in (("seen", ~hidden, 12), ("hidden", hidden, 12)):
        which = np.flatnonzero((seen > 0.5) & vertices)
        x, y = np.rint(points[which, :2]).astype(int).T
        assert len(which) > 100, name
        assert np.median(np.abs(picture[y, x].astype(int) - expected[y, x]).mean(axis=1)) < most, name
        gray = (marked[y, x] == MARK).all(axis=1)
        assert gray.mean() > 0.8 if name == "hidden" else gray.mean() < 0.2


@pytest.mark.parametrize("shift", [(-0.5, 0.0), (0.45, 0.3), (0.0, -0.4)])
def test_turn_face_across_the_border_is_drawn_and_what_lies_outside_is_unseen(shift: tuple[float, float]) -> None:
    model, face = builtin_model(), annotation(ambient_face())
    pose = face.pose.copy()
    pose[3:5] += SIZE * np.array(shift, np.float32)
    face = replace(face, pose=pose)
    turner = FaceTurner(model, "mark")
    (vertices,) = turner.vertices([face])
    points = in_image(face)
    outside = ((points < -6) | (points > SIZE + 5))[:, :2].any(axis=1)
    turned = turner.turn(np.full((SIZE, SIZE, 3), 200, np.uint8), vertices, pose, turned_pose(model, face, -30, 0))
    assert outside.any()
    assert turned.unseen[outside].mean() > 0.99
    assert set(np.unique(turned.image)) <= set(range(128, 201))  # the photograph, the mark, and edges between


def test_turn_does_not_depend_on_what_was_turned_before_nor_on_the_rest_of_a_batch() -> None:
    model, one, two = builtin_model(), annotation(ambient_face("a")), annotation(ambient_face("c"))
    turner = FaceTurner(model)
    image = photograph(ambient_face())
    alone = turner.vertices([one])[0]
    np.testing.assert_array_equal(turner.vertices([two, one])[1], alone)
    pose = turned_pose(model, one, 35, 5)
    first = turner.turn(image, alone, one.pose, pose).image
    turner.turn(np.repeat(image, 2, axis=1), turner.vertices([two])[0], two.pose, turned_pose(model, two, -60, 0))
    np.testing.assert_array_equal(turner.turn(image, alone, one.pose, pose).image, first)
    np.testing.assert_array_equal(turn_face(image, one, model, 35, 5)[0], first)


def test_possible_turn_ends_at_90_degrees_or_where_the_face_is_already() -> None:
    pose = np.array([0.0, np.deg2rad(70), 0, 0, 0, 0, 1])
    assert possible_turn(pose, 40, 5) == pytest.approx((20, 5))
    assert possible_turn(pose, -180, 0) == pytest.approx((-160, 0))
    pose[1] = np.deg2rad(-100)
    assert possible_turn(pose, -40, 120) == pytest.approx((0, 90))
    assert possible_turn(pose, 40, 0) == pytest.approx((40, 0))


def test_angles_beyond_half_a_turn_are_those_of_less() -> None:
    """As AFLW2000-3D states 351 degrees."""
    model, face, turned = builtin_model(), annotation(ambient_face()), list[NDArray[np.float32]]()
    for more in (0, -2 * np.pi):
        pose = face.pose.copy()
        pose[1] = np.deg2rad(281) + more
        yaw, pitch = possible_turn(pose, -40, 0)
        assert (yaw, pitch) == pytest.approx((-11, 0), abs=1e-4)
        assert possible_turn(pose, 40, 0) == pytest.approx((40, 0))
        turned.append(turned_pose(model, replace(face, pose=pose), yaw, pitch))
    np.testing.assert_allclose(turned[0], turned[1], rtol=1e-5, atol=1e-4)
    assert np.rad2deg(turned[0][1]) == pytest.approx(-90, abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"yaw_deg": 91}, r"yaw_deg: 91 turns a face at 0.0° to 91.0°, expected 90° at most either way"),
        ({}, {"pitch_deg": -100}, r"pitch_deg: -100 turns a face at -?\d+.\d° to -\d+.\d°, expected 90° at most"),
        ({}, {"yaw_deg": np.nan}, r"yaw_deg: nan, expected a finite number, -180"),
        ({}, {"yaw_deg": 10, "unseen": "blur"}, r"unseen: 'blur', expected 'mirror' or 'mark'"),
        ({"pose": np.zeros(7)}, {"yaw_deg": 10}, r"pose: f is 0 px/µm, expected more than 0"),
        ({"pose": np.ones(6)}, {"yaw_deg": 10}, r"pose: float64 \(6,\), expected \(7,\)"),
        ({"pose": np.full(7, np.nan)}, {"yaw_deg": 10}, r"pose: holds NaN or infinity"),
        ({"shape": np.zeros(3)}, {"yaw_deg": 10}, r"shape: float64 \(3,\), expected \(\d+,\)"),
        ({"expression": np.full(1, np.inf)}, {"yaw_deg": 10}, r"expression: "),
        ({"pose": np.array([0, 0, 0, 5e4, 0, 0, 1e-3])}, {"yaw_deg": 10},
         r"pose: puts the face at x .* to .*, y .* to .*, outside the image \(300×300\); are these parameters of this"),
    ],
)  # fmt: skip
def test_turn_face_names_what_is_wrong(changes, options, message) -> None:
    face = replace(annotation(ambient_face()), **changes)
    with pytest.raises(InputError, match=message):
        turn_face(np.zeros((SIZE, SIZE, 3), np.uint8), face, builtin_model(), **options)


@pytest.mark.parametrize(
    "image", [np.zeros((SIZE, SIZE), np.uint8), np.zeros((SIZE, SIZE, 3)), np.zeros((1, 9, 3), np.uint8)]
)
def test_turn_face_wants_a_photograph_in_rgb(image) -> None:
    with pytest.raises(InputError, match=r"image: .*, expected"):
        turn_face(image, annotation(ambient_face()), builtin_model(), 10)


def test_turn_model_without_mirror_pairs_can_only_mark(model: MorphableModel) -> None:
    with pytest.raises(ModelError, match=r'has no mirror pairs, expected a model with them .*; give unseen="mark"'):
        FaceTurner(replace(model, mirror=None))
    FaceTurner(replace(model, mirror=None), "mark")


def test_turn_model_without_width_is_refused(model: MorphableModel) -> None:
    tiny = replace(model, mean=model.mean * np.float32(1e-12))
    with pytest.raises(ModelError, match=r"toy: its mean face is \S+e-\d+ µm wide from its middle, expected a face"):
        FaceTurner(tiny)


def test_turn_model_of_a_single_triangle_gives_a_picture(model: MorphableModel) -> None:
    """No two triangles meet, so nothing is torn."""
    single = replace(model, triangles=model.triangles[:1], mirror=None)
    face = Annotation(np.zeros(model.n_shape), np.zeros(model.n_expression), annotation(ambient_face()).pose, None)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    face.pose[6] = 0.5 * SIZE / np.ptp(model.mean[:, 0])
    turned, _ = turn_face(image, face, single, 10, unseen="mark")
    assert turned.shape == image.shape


def test_vertices_of_a_model_without_components_are_the_mean_face(model: MorphableModel) -> None:
    none = np.empty(0, np.float32)
    bare = replace(model, basis=model.basis[:, :, :0], shape_std=none, expression_std=none)
    face = Annotation(none, none, annotation(ambient_face()).pose, None)
    np.testing.assert_array_equal(FaceTurner(bare).vertices([face, face]), np.stack([model.mean, model.mean]))


def test_apply_and_presets_say_where_faces_can_be_turned() -> None:
    augmentation = Augmentation.preset("300wlp")
    assert augmentation.turns
    draw = augmentation.draw(0, "a", 0, 64)
    with pytest.raises(InputError, match=r"draw: turns the face by .*uvgen build --augment FILE"):
        apply(draw, np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r"yaw_deg and pitch_deg turn faces in whole photographs"):
        augmentation.check_crops()


@pytest.mark.slow
def test_turn_to_the_pose_of_300wlps_own_turned_version_gives_its_picture(reference, stand_in_model) -> None:
    """Two photographs that 300W-LP turned by 6° and 9°, and their mirror images."""
    samples = {sample.name: sample for sample in find_samples(reference / "w300lp")}
    turner = FaceTurner(stand_in_model)
    for name in ("AFW/AFW_134212", "HELEN/HELEN_232194", "AFW_Flip/AFW_134212", "HELEN_Flip/HELEN_232194"):
        first, second = (samples[f"{name}_1_{k}"] for k in (0, 1))
        face, turned = read_annotation(first), read_annotation(second)
        (vertices,) = turner.vertices([face])
        picture = turner.turn(read_image(first), vertices, face.pose, turned.pose).image
        affine = pose_to_image(turned.pose[None], len(picture))[0]
        points = vertices @ affine[:, :3].T + affine[:, 3]
        inside = binary_erosion(rasterize(points, stand_in_model.triangles, picture.shape[:2]).covered, iterations=8)
        theirs = read_image(second).astype(int)
        ours, unturned = (np.abs(image - theirs)[inside].mean() for image in (picture, read_image(first)))
        assert ours < 8
        assert unturned > 2.5 * ours


def test_a_face_whose_pose_is_stated_by_the_other_angles_turns_alike() -> None:
    """Pitch and roll by half a turn, and the yaw's supplement: the same rotation."""
    model, face = builtin_model(), annotation(ambient_face())
    pitch, yaw, roll = face.pose[:3].tolist()
    pose = face.pose.copy()
    pose[:3] = pitch + np.pi, np.pi - yaw, roll + np.pi
    other = replace(face, pose=pose)
    assert possible_turn(other.pose, 300, -300) == pytest.approx(possible_turn(face.pose, 300, -300), abs=1e-3)
    expected, found = (pose_to_image(turned_pose(model, one, -30, 10)[None], SIZE) for one in (face, other))
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
