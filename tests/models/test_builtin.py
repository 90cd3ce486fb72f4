"""The built-in model: a symmetric, human-sized head whose parts are where their labels say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from uvgen.errors import InputError
from uvgen.meshes.topology import boundary_loops, check_disk
from uvgen.meshes.tutte import signed_areas
from uvgen.models.builtin import EXPRESSION_NAMES, EXPRESSIONS, IDENTITY_NAMES, builtin_model
from uvgen.models.builtin.mesh import head_mesh
from uvgen.models.morphable import REGIONS as REGION_NAMES
from uvgen.models.morphable import hash_arrays

MIRRORED = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        27,
        28,
        29,
        30,
        35,
        34,
        33,
        32,
        31,
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        67,
        66,
        65,
    ]
)
REGIONS = {name: value for value, name in enumerate(REGION_NAMES)}
SIDED = [EXPRESSION_NAMES.index(name) for name in ("jaw sideways", "right eye closed", "left eye closed")]


@pytest.fixture(scope="module")
def model():
    return builtin_model()


@pytest.fixture(scope="module")
def slit(model):
    """Vertices of the upper and lower lip that touch in the neutral face, (k, 2)."""
    loop = boundary_loops(model.triangles)
    mouth = min(loop, key=len)
    pairs = cKDTree(model.mean[mouth]).query_pairs(1e-3, output_type="ndarray")
    return mouth[pairs]


def posed(model, **strengths):
    out = model.mean.astype(np.float64)
    for name, strength in strengths.items():
        out = out + strength * model.expression_basis[:, :, EXPRESSION_NAMES.index(name.replace("_", " "))]
    return out


def test_builtin_model_twice_gives_the_same_bytes(model):
    again = builtin_model()
    for field in (
        "mean",
        "basis",
        "triangles",
        "mouth_triangles",
        "uv",
        "landmarks",
        "regions",
        "mirror",
        "albedo_mean",
        "albedo_basis",
    ):
        assert getattr(model, field).tobytes() == getattr(again, field).tobytes(), field


@pytest.mark.parametrize("wished", [4_000, 10_000, 30_000, 60_000])
def test_builtin_model_has_about_the_wished_number_of_vertices(wished):
    assert len(builtin_model(wished).mean) == pytest.approx(wished, rel=0.1)


@pytest.mark.parametrize("wished", [0, 100, 1_000_000])
def test_builtin_model_out_of_range_says_what_it_can_have(wished):
    with pytest.raises(InputError, match=rf"n_vertices: {wished}, expected 4000 to 70000"):
        builtin_model(wished)


def test_head_mesh_twice_as_dense_keeps_every_vertex_of_the_coarse_one():
    coarse, dense = head_mesh(1.0), head_mesh(2.0)
    skin = coarse.pocket == 0
    distance, nearest = cKDTree(dense.points[dense.pocket == 0]).query(coarse.points[skin])
    assert distance.max() < 1e-9
    assert np.abs(dense.uv[dense.pocket == 0][nearest] - coarse.uv[skin])[:, 0].max() < 1e-9


def test_shapes_and_types_are_those_of_a_morphable_model(model):
    n = len(model.mean)
    assert model.mean.shape == (n, 3) and model.mean.dtype == np.float32
    assert model.basis.shape == (n, 3, len(IDENTITY_NAMES) + 12) and model.basis.dtype == np.float32
    assert len(IDENTITY_NAMES) >= 24 and len(EXPRESSIONS) == 12
    assert model.albedo_mean.min() >= 0 and model.albedo_mean.max() <= 255
    assert model.albedo_basis.shape == (n, 3, 12)
    assert np.isfinite(model.basis).all() and np.isfinite(model.albedo_basis).all()


def test_mirror_is_exact_in_shape_color_uv_and_triangles(model):
    m = model.mirror
    assert np.array_equal(m[m], np.arange(len(m)))
    assert np.array_equal(model.mean[m] * np.float32([-1, 1, 1]), model.mean)
    assert np.array_equal(model.albedo_mean[m], model.albedo_mean)
    assert np.abs(model.uv[m] * [-1, 1] + [1, 0] - model.uv).max() < 1e-15
    for triangles in (model.triangles, model.mouth_triangles):
        ours = {tuple(sorted(t)) for t in triangles.tolist()}
        assert {tuple(sorted(t)) for t in m[triangles].tolist()} == ours


def test_components_are_mirror_symmetric_but_for_the_sided_expressions(model):
    flipped = model.basis[model.mirror] * np.float32([-1, 1, 1])[:, None]
    even = np.setdiff1d(np.arange(model.basis.shape[2]), len(IDENTITY_NAMES) + np.array(SIDED))
    assert np.array_equal(flipped[:, :, even], model.basis[:, :, even])
    jaw, right, left = (len(IDENTITY_NAMES) + i for i in SIDED)
    assert np.array_equal(flipped[:, :, right], model.basis[:, :, left])
    assert np.array_equal(flipped[:, :, jaw], -model.basis[:, :, jaw])
    assert np.array_equal(model.albedo_basis[model.mirror], model.albedo_basis)


def test_uv_is_one_to_one_onto_the_unit_square(model):
    area = signed_areas(model.uv, np.concatenate([model.triangles, model.mouth_triangles]))
    area = -area  # clockwise, as the Basel model's triangles
    assert area.min() > 0
    assert area.sum() == pytest.approx(1.0, abs=1e-12)
    assert model.uv.min() == 0.0 and model.uv.max() == 1.0


def test_skin_is_a_disk_with_a_slit_and_the_whole_head_a_disk(model):
    assert len(boundary_loops(model.triangles)) == 2
    whole = np.concatenate([model.triangles, model.mouth_triangles])
    check_disk(model.mean, whole)
    assert len(boundary_loops(whole)) == 1


def test_skin_of_the_face_faces_outward(model):
    p = model.mean[model.triangles].astype(np.float64)
    normal = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    center = p.mean(axis=1)
    away = center * [1, 0, 1]  # from the vertical axis
    face = np.isin(model.regions[model.triangles], (REGIONS["face"], REGIONS["neck"])).all(axis=1)
    face &= np.abs(center[:, 0]) < 60_000  # ears have folds that face inward
    assert ((normal * away).sum(axis=1)[face] < 0).mean() > 0.995  # clockwise seen from outside


def test_landmarks_have_human_distances(model):
    x = model.mean[model.landmarks].astype(np.float64) / 1000

    def apart(i, j):
        return np.linalg.norm(x[i] - x[j])

    # adult means with about two standard deviations either way, mm
    assert apart(39, 42) == pytest.approx(32, abs=5)  # between the inner corners of the eyes
    assert apart(36, 45) == pytest.approx(90, abs=8)  # between the outer corners
    assert apart(31, 35) < apart(48, 54) < 60  # nose narrower than mouth
    assert apart(48, 54) == pytest.approx(51, abs=6)
    assert apart(27, 33) == pytest.approx(51, abs=6)  # height of the nose
    assert x[27, 1] - x[8, 1] == pytest.approx(118, abs=10)  # root of the nose to the chin
    assert apart(0, 16) == pytest.approx(140, abs=12)
    assert np.ptp(model.mean[:, 1]) / 1000 > 190


def test_landmarks_are_distinct_and_mirror_each_other(model):
    assert len(np.unique(model.landmarks)) == 68
    assert np.array_equal(model.mirror[model.landmarks], model.landmarks[MIRRORED])


def test_landmarks_lie_on_their_features(model):
    x = model.mean[model.landmarks].astype(np.float64)
    red = model.albedo_mean[:, 0] - model.albedo_mean[:, 1]
    assert x[30, 2] == pytest.approx(model.mean[:, 2].max(), abs=2500)  # the tip of the nose
    assert (np.diff(x[0:9, 1]) < 0).all() and (np.diff(x[0:17, 0]) > 0).all()  # round the chin
    assert (x[17:27, 1] > x[36:48, 1].max()).all()  # brows above eyes
    assert (model.albedo_mean[model.landmarks[18:26]].mean(axis=1) < 140).all()  # on dark hair
    assert np.isin(model.regions[model.landmarks[36:48]], REGIONS["eyes"]).all()
    assert np.isin(model.regions[model.landmarks[48:68]], REGIONS["mouth"]).all()
    assert red[model.landmarks[[62, 66]]].min() > red[model.landmarks[8]]  # lips, chin
    assert np.array_equal(x[61:64], x[[67, 66, 65]])  # lips touch


def test_jaw_open_opens_the_mouth_between_the_inner_lips(model):
    upper, lower = model.landmarks[62], model.landmarks[66]
    opened = posed(model, jaw_open=1.0)
    assert (opened[upper, 1] - opened[lower, 1]) / 1000 == pytest.approx(25, abs=10)
    assert np.linalg.norm(opened[model.landmarks[27]] - model.mean[model.landmarks[27]]) < 1


@pytest.mark.parametrize("side", ["right", "left"])
def test_eye_closed_brings_its_lids_together_and_leaves_the_other_eye(model, side):
    marks = {"right": (37, 41, 38, 40), "left": (44, 46, 43, 47)}
    closed = posed(model, **{f"{side}_eye_closed": 1.0})[model.landmarks]
    still = model.mean[model.landmarks]
    other = {"right": "left", "left": "right"}[side]
    for top, bottom in (marks[side][:2], marks[side][2:]):
        assert abs(closed[top, 1] - closed[bottom, 1]) < 2_000 < 6_000 < still[top, 1] - still[bottom, 1]
    assert np.array_equal(closed[list(marks[other])], still[list(marks[other])].astype(np.float64))


def test_identity_keeps_the_lips_closed_and_no_expression_crosses_them(model, slit):
    gap = model.mean[slit[:, 0]] - model.mean[slit[:, 1]]
    assert np.abs(gap).max() == 0
    assert np.abs(model.shape_basis[slit[:, 0]] - model.shape_basis[slit[:, 1]]).max() == 0
    step = model.expression_basis[slit[:, 0], 1] - model.expression_basis[slit[:, 1], 1]  # (k, 12)
    opening = model.expression_basis[:, 1, EXPRESSION_NAMES.index("jaw open")]
    upper_first = np.sign(opening[slit[:, 0]] - opening[slit[:, 1]])[:, None]
    low, high = np.array([e[2] for e in EXPRESSIONS]), np.array([e[3] for e in EXPRESSIONS])
    worst = np.minimum(upper_first * step * low, upper_first * step * high)
    assert worst.min() > -50  # µm


def test_regions_cover_the_head_with_every_label(model):
    assert set(np.unique(model.regions)) == set(REGIONS.values())
    y, z = model.mean[:, 1], model.mean[:, 2]
    assert y[model.regions == REGIONS["neck"]].max() < 0
    assert z[model.regions == REGIONS["nose"]].min() > 40_000
    assert np.median(y[model.regions == REGIONS["eyes"]]) > np.median(y[model.regions == REGIONS["mouth"]])


def test_random_faces_do_not_fold(model):
    rng = np.random.default_rng(7)
    p = model.mean.astype(np.float64)
    t = model.triangles[(model.regions[model.triangles] == REGIONS["face"]).all(axis=1)]

    def normals(v):
        return np.cross(v[t[:, 1]] - v[t[:, 0]], v[t[:, 2]] - v[t[:, 0]])

    before = normals(p)
    for _ in range(8):
        identity = np.clip(rng.normal(size=len(IDENTITY_NAMES)), -2.5, 2.5)
        after = normals(p + model.shape_basis @ identity)
        assert ((before * after).sum(axis=1) <= 0).sum() <= 10  # slivers at the ears and lids


def test_builtin_model_has_the_same_bits_with_every_release_of_numpy() -> None:
    """Sets that were built with it would be refused elsewhere; `make test-lowest` runs this too."""
    expected = "d716e573d98d488430a30f00703599086b4189eb2ab3c65c502706e124852e56"
    assert hash_arrays(builtin_model()) == expected, "changed on purpose? Then state the new hash here"


def test_content_hash_of_uv_with_other_last_bits_stays_the_same(model, monkeypatch):
    """As another release of NumPy calculates them; labels that were made there still belong to the model."""

    def nudged(scale):
        mesh = head_mesh(scale)
        return replace(mesh, uv=np.clip(np.nextafter(mesh.uv, np.where(np.indices(mesh.uv.shape)[0] % 2, 2, -2)), 0, 1))

    monkeypatch.setattr("uvgen.models.builtin.model.head_mesh", nudged)
    assert builtin_model().content_sha256 == model.content_sha256
