"""The rasterizer on real samples, posed with the stand-in model, and against face3d's own drawings.

Needs the reference folder that the environment variable UVGEN_REFERENCE names.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from uvgen import rasterize as r

pytest.importorskip("scipy")
import scipy.io as sio

REFERENCE = os.environ.get("UVGEN_REFERENCE")
pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(not REFERENCE, reason="UVGEN_REFERENCE is not set: no real samples"),
    pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="100,000 triangles, interpreted"),
]

# The golden file's name, and the sample it was drawn from (two samples share the first name).
GOLDEN = {
    "AFW_134212_1_0": "w300lp/AFW_Flip/AFW_134212_1_0",
    "AFW_134212_1_1": "w300lp/AFW/AFW_134212_1_1",
    "HELEN_232194_1_1": "w300lp/HELEN/HELEN_232194_1_1",
    "IBUG_image_008_1_0": "w300lp/IBUG/IBUG_image_008_1_0",
    "image00050": "aflw2000/image00050",
    "image02616": "aflw2000/image02616",
}


@pytest.fixture(scope="module")
def model():
    """Mean (n, 3), bases (3 n, 199 and 29) and triangles of the stand-in that the golden drawings show."""
    root = Path(REFERENCE)
    spec = importlib.util.spec_from_file_location("make_reference_model", root / "make_reference_model.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    parts = root / "bfm_parts"
    mean = np.load(parts / "u_shp.npy").ravel() + np.load(parts / "u_exp.npy").ravel().astype(np.float64)
    points = mean.reshape(-1, 3).astype(np.float64)
    points = points / np.abs(points).max()
    return {
        "mean": mean,
        "neutral": np.load(parts / "u_shp.npy").reshape(-1, 3),
        "shape": maker.cosine_basis(points, 199, 0.5, 6.0, seed=1),
        "expression": maker.cosine_basis(points, 29, 1.0, 5.0, seed=2) * np.float32(2.0e5),
        "triangles": sio.loadmat(parts / "tri.mat")["tri"].T.astype(np.int32) - 1,
        "codes": np.load(parts / "pncc_code.npy").T,
    }


def posed(model, sample, height=450):
    """Vertices of a sample in face3d's pixel convention, x = p_x and y = H - p_y - 1."""
    parameters = sio.loadmat(Path(REFERENCE) / f"{sample}.mat")
    shape, expression = (parameters[k].ravel().astype(np.float64) for k in ("Shape_Para", "Exp_Para"))
    v = (model["mean"] + model["shape"] @ shape + model["expression"] @ expression).reshape(-1, 3)
    pitch, yaw, roll, tx, ty, tz, f = parameters["Pose_Para"].ravel()[:7].astype(np.float64)
    cos, sin = np.cos([pitch, yaw, roll]), np.sin([pitch, yaw, roll])
    rx = np.array([[1, 0, 0], [0, cos[0], sin[0]], [0, -sin[0], cos[0]]])
    ry = np.array([[cos[1], 0, -sin[1]], [0, 1, 0], [sin[1], 0, cos[1]]])
    rz = np.array([[cos[2], sin[2], 0], [-sin[2], cos[2], 0], [0, 0, 1]])
    p = f * v @ (rx @ ry @ rz).T + [tx, ty, tz]
    return np.column_stack([p[:, 0], height - p[:, 1] - 1, p[:, 2]]).astype(np.float32)


@pytest.mark.parametrize("name", GOLDEN)
def test_drawing_agrees_with_face3d(model, name):
    """face3d's rule is u >= 0, v >= 0, u + v < 1 in float32: no triangle owns a center on an edge opposite
    its p0, and two on an edge at p0 both do. Where such a center falls between two triangles that both have
    the edge opposite p0, face3d leaves a crack through which the background or a farther surface shows;
    the top-left rule draws it once. At coordinates of several hundred pixels float32 also loses or doubles
    centers within 1e-4 px of an edge. Real coordinates make both rare: a pixel or two a picture.
    """
    golden = np.load(Path(REFERENCE) / "golden" / f"{name}_render.npz")
    drawn = golden["depth"] > -9e5
    vertices = posed(model, GOLDEN[name], len(drawn))
    fragments = r.rasterize(vertices, model["triangles"], drawn.shape)
    differs = drawn != fragments.covered
    assert differs.sum() <= 0.005 * drawn.sum()
    near_edge = np.zeros_like(drawn)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near_edge |= np.roll(drawn, (dy, dx), (0, 1)) != drawn
    assert (near_edge | ~differs).all()  # silhouettes and cracks only
    both = drawn & fragments.covered
    assert (np.abs(fragments.depth - golden["depth"])[both] <= 0.05).mean() >= 0.999
    picture = r.pncc(fragments, model["triangles"], model["codes"]) * 255
    assert np.abs(picture - golden["pncc"])[both].mean() < 0.5  # face3d cuts to integers


def test_pncc_codes_are_those_of_3ddfa(model):
    np.testing.assert_allclose(r.pncc_codes(model["neutral"]), model["codes"], atol=1e-6)


@pytest.mark.parametrize("name", ["IBUG_image_008_1_0", "image00050"])
def test_full_mesh_agrees_with_float64_at_its_pixels(model, name):
    """No second rasterizer can judge 100,000 triangles quickly, but every pixel can be checked by itself."""
    triangles = model["triangles"]
    vertices = posed(model, GOLDEN[name])
    fragments = r.rasterize(vertices, triangles, (450, 450))
    c = fragments.covered
    y, x = np.nonzero(c)
    corners = vertices.astype(np.float64)[triangles[fragments.triangle[c]]]
    weights = fragments.weights[c].astype(np.float64)
    assert (weights >= 0).all() and np.abs(weights.sum(axis=1) - 1).max() <= 1e-6
    place = np.einsum("pk,pkc->pc", weights, corners)
    np.testing.assert_allclose(place, np.column_stack([x, y, fragments.depth[c]]), atol=1e-3)
    # What is drawn over the whole picture at 3 times the size, and seen at every third pixel, is the same.
    fine = r.rasterize(vertices * np.float32(3), triangles, (1350, 1350))
    assert (fine.triangle[::3, ::3] != fragments.triangle).mean() < 1e-4  # tripling rounds the coordinates


def test_culled_closed_surface_shows_the_same_front(model):
    vertices = posed(model, GOLDEN["image00050"])
    back, both = (r.rasterize(vertices, model["triangles"], (450, 450), cull=c) for c in ("back", "none"))
    shown = r.face_normals(vertices, model["triangles"])[both.triangle[both.covered], 2]
    assert (shown > 0).mean() > 0.97  # the face is open at the neck, where its inside shows
    assert (back.covered & ~both.covered).sum() == 0


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.slow
def test_visible_vertices_agree_with_a_picture_of_eight_times_the_size(model, name):
    vertices, triangles = posed(model, GOLDEN[name]), model["triangles"]
    visible = r.visible_vertices(vertices, triangles, size=(450, 450))
    sharp = r.visible_vertices(vertices * np.float32(8), triangles, size=(3600, 3600), tolerance=2)
    assert (visible != sharp).mean() < 0.04  # a pixel along the silhouettes, inner ones included
    assert 0.3 < visible.mean() < 0.95


def unwrapped(name):
    """Crop, position map and coverage of a golden sample: texels that belong to a triangle."""
    golden = np.load(Path(REFERENCE) / "golden" / f"{name}_256.npz")
    position_map = golden["posmap"]
    coverage = np.zeros(position_map.shape[:2], bool)
    coverage[2:-2, 2:-2] = (position_map != 0).any(axis=-1)[2:-2, 2:-2]
    return golden["crop"], position_map, coverage


def test_unwrapping_and_rendering_returns_the_face():
    """To 2 gray levels on average over the visible pixels of all samples. What is lost is sharpness: the far
    cheek of a turned face has fewer texels than pixels, and a grainy picture shows it most (2.4 at worst).
    """
    means = []
    for name in GOLDEN:
        crop, position_map, coverage = unwrapped(name)
        texture, valid = r.unwrap(crop, position_map, coverage=coverage)
        picture, fragments = r.render(position_map, texture, crop.shape[:2], coverage=valid)
        means.append(np.abs(picture - crop)[fragments.covered].mean())
        assert fragments.covered.sum() > 20_000
    assert np.mean(means) < 2 and max(means) < 2.5


@pytest.mark.parametrize("name", GOLDEN)
def test_visible_texels_are_the_nearer_half_of_a_turned_face(name):
    _crop, position_map, coverage = unwrapped(name)
    visible = r.visible_texels(position_map, coverage)
    assert 0.4 < visible[coverage].mean() < 0.95 and not visible[~coverage].any()
    left, right = visible[80:180, 40:100].mean(), visible[80:180, 156:216].mean()
    yaw = float(sio.loadmat(Path(REFERENCE) / f"{GOLDEN[name]}.mat")["Pose_Para"].ravel()[1])
    if abs(yaw) > 0.3:
        assert (left > right) == (yaw < 0)
