"""Models on the UV grid, and expressions carried to vertices that lack them."""

from dataclasses import replace

import numpy as np
import pytest
from support.toy import grid

from uvgen.errors import InputError
from uvgen.maps.resample import resample_model
from uvgen.meshes.transfer import transfer_expressions
from uvgen.meshes.tutte import signed_areas
from uvgen.models.builtin import builtin_model


def test_resample_model_vertices_are_texels():
    model = builtin_model()
    texels = resample_model(model, 112)
    assert texels.mean.shape == (112 * 112, 3) and texels.basis.shape == (112 * 112, 3, model.basis.shape[2])
    np.testing.assert_allclose(texels.uv[0], [0, 1])
    np.testing.assert_allclose(texels.uv[112 + 1], [1 / 111, 1 - 1 / 111])
    assert signed_areas(texels.uv, texels.triangles).max() < 0  # turned as the model's are
    assert np.array_equal(texels.mirror[texels.mirror], np.arange(112 * 112))
    assert np.abs(texels.mean[texels.mirror] * [-1, 1, 1] - texels.mean).max() < 2.0  # µm; weights are float32


@pytest.mark.parametrize("size", [64, 65])
def test_resample_model_triangles_mirror_about_the_middle_column(size):
    triangles = resample_model(builtin_model(), size).triangles
    rows, columns = np.divmod(triangles, size)
    mirrored = rows * size + (size - 1 - columns)
    there, across = ({frozenset(corners) for corners in mesh.tolist()} for mesh in (triangles, mirrored))
    assert len(there) == 2 * (size - 1) ** 2
    middle = 2 * (size - 1) * (1 - size % 2)  # of squares on the middle itself, which have one diagonal
    assert len(there - across) == middle


def test_resample_model_landmarks_stay_in_place():
    model = builtin_model()
    texels = resample_model(model, 256)
    moved = np.linalg.norm(texels.mean[texels.landmarks] - model.mean[model.landmarks], axis=1) / 1000
    assert np.median(moved) < 0.6 and moved.max() < 3.0  # mm; texels are a millimeter wide


def test_resample_model_at_its_own_grid_returns_it():
    v, t = grid(16, 16, bulge=0.4)
    model = builtin_model(4_000)
    flat = type(model)(
        mean=v.astype(np.float32),
        basis=np.stack([v, v**2], -1).astype(np.float32),
        shape_std=np.ones(1),
        expression_std=np.ones(1),
        triangles=t.astype(np.int32),
        mouth_triangles=np.zeros((0, 3), np.int32),
        uv=v[:, :2] * 0.5 + [0.5, 0],
        landmarks=np.arange(68, dtype=np.int32),
    )
    texels = resample_model(flat, 16)
    order = np.arange(256).reshape(16, 16)[::-1].ravel()  # v grows upward, rows downward
    np.testing.assert_allclose(texels.mean, flat.mean[order], atol=1e-5)  # float32, and the rim is met by a hair
    np.testing.assert_allclose(texels.basis, flat.basis[order], atol=1e-5)


def test_resample_model_too_small_says_so():
    with pytest.raises(InputError, match="texel"):
        resample_model(builtin_model(4_000), 4)


def test_resample_model_lets_few_landmarks_share_a_texel():
    model = builtin_model(4_000)
    landmarks = model.landmarks.copy()
    landmarks[61] = landmarks[62]  # as two of 3DMMasSTN's 68 points do at 112 x 112
    texels = resample_model(replace(model, landmarks=landmarks), 112)
    assert np.linalg.norm(texels.mean[texels.landmarks] - model.mean[landmarks], axis=1).max() < 4000  # µm
    crowded = resample_model(model, 16)
    off = np.abs(crowded.uv[crowded.landmarks] - model.uv[model.landmarks]).max() * 15
    assert len(np.unique(crowded.landmarks)) == 67 and off <= 1.5
    with pytest.raises(InputError, match="size: 112 texels, expected enough for the 68 landmarks to lie on 64"):
        resample_model(replace(model, landmarks=np.repeat(landmarks[::34], 34)), 112)


def test_transfer_expressions_reproduces_linear_fields_on_a_plane():
    v, t = grid(11, 13)
    rng = np.random.default_rng(1)
    field = np.einsum("nk,kce->nce", np.c_[v[:, :2], np.ones(len(v))], rng.normal(size=(3, 3, 4)))
    border = (np.abs(v[:, 0]) == 1) | (v[:, 1] == 0) | (v[:, 1] == 2)
    known = np.flatnonzero(border | (rng.random(len(v)) < 0.2))
    np.testing.assert_allclose(transfer_expressions(v, t, known, field[known]), field, atol=1e-10)


def test_transfer_expressions_fills_the_built_in_mouth_within_the_lips_range():
    model = builtin_model()
    whole = np.concatenate([model.triangles, model.mouth_triangles])
    skin = np.unique(model.triangles)
    out = transfer_expressions(model.mean, whole, skin, model.expression_basis[skin])
    assert np.array_equal(out[skin], model.expression_basis[skin])
    inside = np.setdiff1d(np.arange(len(model.mean)), skin)
    lips = np.intersect1d(skin, model.mouth_triangles)
    low, high = out[lips].min(axis=0), out[lips].max(axis=0)
    slack = 0.02 * (high - low) + 1.0  # obtuse triangles: cotangent weights keep the range only nearly
    assert (out[inside] >= low - slack).all() and (out[inside] <= high + slack).all()


def test_transfer_expressions_of_vertices_in_no_triangle_follows_the_nearest():
    v, t = grid(6, 7)
    order = np.random.default_rng(2).permutation(len(v) + 3)  # where each vertex goes, loose ones among the others
    field = np.stack([v @ [1.0, 2, 0], v[:, 1], 0 * v[:, 0]], 1)
    border = np.flatnonzero((np.abs(v[:, 0]) == 1) | (v[:, 1] == 0) | (v[:, 1] == v[:, 1].max()))
    vertices = np.empty((len(v) + 3, 3))
    vertices[order] = np.concatenate([v, v[[9, 20]] + [0, 0, 0.1], [[0, 0, 9]]])
    known, given = np.append(border, len(v) + 2), np.concatenate([field[border], [[7.0, 8, 9]]])
    out = transfer_expressions(vertices, order[t], order[known], given)[order]
    np.testing.assert_allclose(out[: len(v)], field, atol=1e-12)
    np.testing.assert_allclose(out[len(v) :], [*field[[9, 20]], [7, 8, 9]], atol=1e-12)
    with pytest.raises(InputError, match="known: none of them lies in a triangle"):
        transfer_expressions(vertices, order[t], order[[len(v)]], np.zeros((1, 3)))


def test_transfer_expressions_bad_input_says_what_is_wrong():
    v, t = grid(5, 5)
    with pytest.raises(InputError, match="distinct"):
        transfer_expressions(v, t, np.array([0, 0]), np.zeros((2, 3)))
    with pytest.raises(InputError, match="distinct"):
        transfer_expressions(v, t, np.array([25]), np.zeros((1, 3)))
    with pytest.raises(InputError, match="displacements"):
        transfer_expressions(v, t, np.array([0, 1]), np.zeros((3, 3)))


def test_transfer_expressions_carries_the_trimmed_expressions_into_the_basel_mouth(reference):
    """From the 53,215 vertices that have expressions to the mouth's 275 that have none, in the UV plane."""
    io = pytest.importorskip("scipy.io")
    from scipy.spatial import Delaunay

    parts = reference / "bfm_parts"
    uv = io.loadmat(parts / "BFM_UV_53490.mat")["UV"]
    known = io.loadmat(parts / "map_tddfa_to_basel.mat")["map_tddfa_to_basel"].ravel().astype(np.int64)
    rest = np.setdiff1d(np.arange(len(uv)), known)
    assert len(rest) == 275
    near = np.flatnonzero(np.linalg.norm(uv - uv[rest].mean(axis=0), axis=1) < 0.12)
    near = near[np.unique(uv[near], axis=0, return_index=True)[1]]
    v = np.c_[uv[near], np.zeros(len(near))]
    t, has = Delaunay(uv[near]).simplices, np.isin(near, known)
    v, t, has = v[np.unique(t)], np.unique(t, return_inverse=True)[1].reshape(-1, 3), has[np.unique(t)]
    turned = signed_areas(v[:, :2], t) < 0
    t[turned] = t[turned][:, ::-1]
    truth = np.stack([v @ [3.0, 1, 0] - 2, v @ [0, -1.0, 0], v @ [1.0, 1, 0]], 1)
    out = transfer_expressions(v, t, np.flatnonzero(has), truth[has])
    assert (~has).sum() > 200
    np.testing.assert_allclose(out, truth, atol=1e-8)


@pytest.mark.parametrize("size", [64.0, "64", 8])
def test_resample_model_names_a_size_that_no_grid_has(size) -> None:
    with pytest.raises(InputError, match=r"^size: .*, expected .*16 to 4096"):
        resample_model(builtin_model(), size)
