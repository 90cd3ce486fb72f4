"""The layers of the 3DMM as a spatial transformer: against formulas written out, and their gradients."""

from typing import Any

import numpy as np
import pytest

from uvgen.errors import InputError
from uvgen.geometry import rotation_matrices
from uvgen.models.morphable import MorphableModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import uvgen.torch as ut  # noqa: E402


def values(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_power_series(axis_angle: Any) -> Any:
    """exp of the cross product's matrix, term by term."""
    x, y, z = axis_angle.tolist()
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    total, term = np.eye(3), np.eye(3)
    for k in range(1, 80):
        term = term @ cross / k
        total = total + term
    return total


@pytest.mark.parametrize("angle", [0.0, 1e-300, 1e-12, 1e-5, 0.00999, 0.01001, 1.0, np.pi - 1e-9, np.pi, 4.0])
def test_axis_angle_to_matrix_is_the_exponential_and_differentiable(angle: float) -> None:
    axes = values(4, 3)
    axes = axes / axes.norm(dim=1, keepdim=True) * angle
    found = ut.axis_angle_to_matrix(axes)
    for k in range(4):
        np.testing.assert_allclose(found[k], by_power_series(axes[k]), atol=1e-14)
    np.testing.assert_allclose(found @ found.mT, np.tile(np.eye(3), (4, 1, 1)), atol=1e-14)
    assert torch.autograd.gradcheck(ut.axis_angle_to_matrix, axes.requires_grad_())


def test_axis_angle_to_matrix_at_zero_has_the_generators_as_derivatives_and_float32_stays() -> None:
    jacobian = torch.autograd.functional.jacobian(ut.axis_angle_to_matrix, torch.zeros(3))
    expected = np.zeros((3, 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):  # the cross product's
        expected[j, i, k], expected[i, j, k] = 1, -1
    np.testing.assert_array_equal(jacobian, expected)
    assert ut.axis_angle_to_matrix(torch.zeros(2, 5, 3)).shape == (2, 5, 3, 3) and jacobian.dtype == torch.float32


def test_euler_to_matrix_is_that_of_the_geometry() -> None:
    angles = values(5, 3)
    np.testing.assert_allclose(ut.euler_to_matrix(angles), rotation_matrices(angles.numpy()), atol=1e-15)
    assert torch.autograd.gradcheck(ut.euler_to_matrix, angles.requires_grad_())


def test_layers_from_theta_to_places_are_the_paper_s() -> None:
    mean, basis, alpha, r, t, s = values(7, 3), values(7, 3, 4), values(2, 4), values(2, 3), values(2, 2), values(2)

    def places(*arguments: Any) -> Any:
        alpha, r, t, s = arguments
        turned = ut.rotate_points(ut.linear_model(mean, basis, alpha), ut.axis_angle_to_matrix(r))
        return ut.translate_points(ut.scale_points(ut.project_orthographic(turned), ut.log_scale_to_scale(s)), t)

    found = places(alpha, r, t, s)
    for b in range(2):
        rotation = by_power_series(r[b])
        for k in range(7):
            vertex = mean[k].numpy() + sum(basis[k, :, j].numpy() * alpha[b, j].item() for j in range(4))
            expected = np.exp(s[b].item()) * (rotation @ vertex)[:2] + t[b].numpy()
            np.testing.assert_allclose(found[b, k], expected, atol=1e-12)
    assert torch.autograd.gradcheck(places, [v.requires_grad_() for v in (alpha, r, t, s)])


def test_log_scale_to_scale_as_published_shrinks_by_a_hundredth() -> None:
    s = values(3)
    np.testing.assert_allclose(ut.log_scale_to_scale(s, "3dmmasstn"), [0.99**x for x in s.tolist()], rtol=1e-14)
    assert torch.autograd.gradcheck(lambda s: ut.log_scale_to_scale(s, "3dmmasstn"), s.requires_grad_())


def bilinear(image: Any, x: float, y: float) -> Any:
    """Of an image (C, H, W) with 0 around it."""
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    total = np.zeros(len(image))
    for column, row in ((x0, y0), (x0 + 1, y0), (x0, y0 + 1), (x0 + 1, y0 + 1)):
        if 0 <= column < image.shape[2] and 0 <= row < image.shape[1]:
            total += max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row)) * image[:, row, column]
    return total


@pytest.mark.parametrize("y_up", [False, True])
@pytest.mark.parametrize("convention", ["exact", "3dmmasstn"])
def test_grid_and_sampler_read_the_image_where_they_say(convention: str, y_up: bool) -> None:
    image = values(1, 2, 9, 12)
    places = values(1, 3, 4, 2, seed=1) * 2 + 5
    grid = ut.sampling_grid(places, (9, 12), convention, y_up=y_up)
    found = ut.sample_bilinear(image, grid)[0]
    for i, j in np.ndindex(3, 4):
        x, y = places[0, i, j].tolist()
        if convention == "exact":
            x, y = (x - 1, 9 - y) if y_up else (x, y)
        else:  # vl_nngrid.m of 1-based px with y up, for a width and a height; MATLAB's sampler from -1 … 1 to 1 … n
            column, row = (x, y) if y_up else (x + 1, 9 - y)
            x, y = (((column - 6) / 6 + 1) / 2 * 11, (-(row - 4.5) / 4.5 + 1) / 2 * 8)
        np.testing.assert_allclose(found[:, i, j], bilinear(image[0].numpy(), x, y), atol=1e-12)
    inputs = image.requires_grad_(), places.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda i, p: ut.sample_bilinear(i, ut.sampling_grid(p, (9, 12), convention, y_up=y_up)), inputs
    )


def test_unwrap_as_published_is_up_to_a_pixel_off() -> None:
    column = torch.arange(8.0).expand(1, 1, 8, 8)
    image = torch.cat([column, column.mT], dim=1)
    maps = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="xy"))
    maps = torch.cat([maps, torch.zeros(1, 8, 8)])[None]
    exact, off = (ut.unwrap(image, maps, convention=c)[0] for c in ("exact", "3dmmasstn"))
    np.testing.assert_allclose(exact, image, atol=1e-6)
    np.testing.assert_allclose(off[0, 0, 0], (np.arange(8) + 1) * 7 / 8, atol=1e-6)  # +1 … 0
    np.testing.assert_allclose(off[0, 1, :, 0], np.arange(8) * 7 / 8, atol=1e-6)  # 0 … -1


def test_visible_by_normals_says_which_side_of_a_cube_faces_the_viewer() -> None:
    corners = torch.tensor([[x, y, z] for z in (0.0, 1.0) for y in (0.0, 1.0) for x in (0.0, 1.0)])
    front, back = [[4, 5, 7], [4, 7, 6]], [[0, 3, 1], [0, 2, 3]]
    seen = ut.visible_by_normals(corners[None].repeat(2, 1, 1), torch.tensor(front + back))
    assert seen.tolist() == [[False] * 4 + [True] * 4] * 2
    normals = ut.vertex_normals(corners[None], torch.tensor(front))
    assert normals[0, 4].tolist() == [0, 0, 2] and normals[0, 5].tolist() == [0, 0, 1]
    vertices = values(1, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: ut.vertex_normals(v, torch.tensor([[0, 1, 2], [1, 3, 2]])), vertices)


def test_visible_by_depth_is_unwrap_s_and_masks(model: MorphableModel) -> None:
    layer = ut.PositionMapLayer(model, 24)
    pose = torch.tensor([[0.1, 0.9, 0.0, 40, 30, 0, 0.0003]])
    maps = layer(torch.zeros(1, layer.n_shape), torch.zeros(1, layer.n_expression), pose, torch.eye(3)[None], 64.0)
    texture, seen = ut.unwrap(torch.rand(1, 3, 64, 64), maps)
    found = ut.visible_by_depth(maps, (64, 64))
    assert torch.equal(found, seen) and 0 < found.float().mean() < 1
    masked = ut.mask_invisible(texture, found)
    assert torch.equal(masked, torch.where(seen, texture, 0))
    part = texture[..., :4, :4].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: ut.mask_invisible(values, found[..., :4, :4]), part)


@pytest.mark.parametrize("kind", ["axis-angle", pytest.param("matrix", marks=pytest.mark.slow)])
def test_map_layer_takes_rotations_of_other_kinds(model: MorphableModel, kind: str) -> None:
    layer = ut.PositionMapLayer(model, 20, crop_size=64).double()
    axes = values(3, 3)
    pose = torch.cat([torch.zeros(3, 3), torch.tensor([[30.0, 40, 0, 0.0003]] * 3)], dim=1).double()
    arguments = values(3, layer.n_shape), values(3, layer.n_expression)
    similarity = torch.eye(3, dtype=torch.float64).repeat(3, 1, 1)
    matrix = ut.axis_angle_to_matrix(axes)
    yaw = torch.asin(-matrix[:, 0, 2])
    pitch, roll = torch.atan2(matrix[:, 1, 2], matrix[:, 2, 2]), torch.atan2(matrix[:, 0, 1], matrix[:, 0, 0])
    euler = torch.cat([torch.stack([pitch, yaw, roll], dim=1), pose[:, 3:]], dim=1)
    flips = torch.tensor([True, False, True])
    expected = layer(*arguments, euler, similarity, 64.0, flipped=flips)
    rotation = axes if kind == "axis-angle" else matrix
    found = layer(*arguments, pose, similarity, 64.0, rotation=rotation, flipped=flips)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    inputs = rotation[:1].clone().requires_grad_()
    small = [a[:1] for a in arguments]
    assert torch.autograd.gradcheck(
        lambda r: layer(*small, pose[:1], similarity[:1], 64.0, rotation=r)[..., ::5, ::5], inputs, atol=1e-4
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ut.axis_angle_to_matrix(torch.zeros(4)), "axis_angle: torch.float32 (4,), expected (..., 3)"),
        (lambda: ut.axis_angle_to_matrix(torch.zeros(3, dtype=torch.int64)), "expected floats"),
        (lambda: ut.axis_angle_to_matrix(np.zeros(3)), "expected a PyTorch tensor"),
        (lambda: ut.euler_to_matrix(torch.zeros(3)), "angles: torch.float32 (3,), expected (B, 3)"),
        (lambda: ut.linear_model(torch.zeros(4, 3), torch.zeros(5, 3, 2), torch.zeros(1, 2)), "mean: torch.float32 (4"),
        (lambda: ut.linear_model(torch.zeros(5, 3), torch.zeros(5, 3, 2), torch.zeros(1, 3)), "coefficients: torch."),
        (lambda: ut.rotate_points(torch.zeros(2, 4, 3), torch.zeros(1, 3, 3)), "matrices: torch.float32 (1, 3, 3)"),
        (lambda: ut.project_orthographic(torch.zeros(2, 4, 2)), "points: torch.float32 (2, 4, 2), expected (B, n, 3)"),
        (lambda: ut.log_scale_to_scale(torch.zeros(2), "log"), "convention: 'log', expected 'exact' or '3dmmasstn'"),
        (lambda: ut.scale_points(torch.zeros(2, 4, 2), torch.zeros(3)), "factors: torch.float32 (3,), expected (2,)"),
        (lambda: ut.translate_points(torch.zeros(2, 4, 2), torch.zeros(2, 3)), "shifts: torch.float32 (2, 3)"),
        (lambda: ut.sampling_grid(torch.zeros(3), (4, 4)), "places: torch.float32 (3,), expected (..., 2)"),
        (lambda: ut.sample_bilinear(torch.zeros(1, 3, 4, 4), torch.zeros(2, 4, 4, 2)), "grid: torch.float32 (2, 4"),
        (lambda: ut.vertex_normals(torch.zeros(1, 3, 3), torch.zeros(1, 3)), "expected integers: vertex indices"),
        (lambda: ut.visible_by_depth(torch.zeros(1, 3, 1, 1), (4, 4)), "expected 2 texels per side or more"),
        (lambda: ut.mask_invisible(torch.zeros(1, 3, 4, 4), torch.ones(1, 4, 4)), "visible: torch.float32 (1, 4, 4)"),
        (lambda: ut.unwrap(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), convention="x"), "convention: 'x'"),
        (lambda: ut.axis_angle_to_matrix(torch.zeros(2, 3).to_sparse()), "axis_angle: a sparse tensor, expected"),
        (
            lambda: ut.rotate_points(torch.zeros(1, 4, 3), torch.zeros(1, 3, 3).double()),
            "points, matrices: torch.float32 on cpu, torch.float64 on cpu, expected one dtype and device",
        ),
        (lambda: ut.sample_bilinear(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, 2).half()), "image, grid: torch."),
        (lambda: ut.sampling_grid(torch.zeros(3, 2), 4), "size: 4, expected (height, width) as two integers"),
        (lambda: ut.visible_by_depth(torch.zeros(1, 3, 4, 4), (-1, 4)), "size: (-1, 4) px"),
        (lambda: ut.visible_by_depth(torch.zeros(1, 3, 4, 4), (4, 4), None), "tolerance: None, expected"),
        (lambda: ut.visible_by_normals(None, torch.zeros(1, 3)), "vertices: None, expected a PyTorch tensor"),
        (
            lambda: ut.vertex_normals(torch.zeros(1, 3, 3), torch.tensor([[0, 1, 3]])),
            "triangles: indices of 0 to 3, expected 0 to 2",
        ),
        (lambda: ut.vertex_normals(torch.zeros(1, 3, 3), torch.ones(1, 3).bool()), "triangles: torch.bool (1, 3)"),
        (lambda: ut.PositionMapLayer.for_shards([], "builtin"), "data: [], expected a ShardDataset or a ShardReader"),
        (lambda: ut.PositionMapLayer(None), "model: None, expected a MorphableModel, or the path of one"),
    ],
)
def test_layers_of_what_does_not_fit_say_so(call: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)


def test_normals_of_triangles_of_any_integers_are_the_same() -> None:
    vertices, triangles = torch.rand(1, 4, 3), torch.tensor([[0, 1, 2], [1, 3, 2]])
    for dtype in (torch.uint8, torch.int16, torch.int32):  # uint8 would choose as a mask does
        assert torch.equal(ut.vertex_normals(vertices, triangles.to(dtype)), ut.vertex_normals(vertices, triangles))


def test_map_layer_of_a_rotation_of_another_shape_says_so(model: MorphableModel) -> None:
    layer = ut.PositionMapLayer(model, 16)
    arguments = torch.zeros(2, layer.n_shape), torch.zeros(2, layer.n_expression), torch.zeros(2, 7)
    with pytest.raises(InputError, match=r"rotation: \(2, 4\), expected \(2, 3\)"):
        layer(*arguments, torch.eye(3).repeat(2, 1, 1), 64.0, rotation=torch.zeros(2, 4))
