"""A morphable model as a spatial transformer: the layers of Bas et al., ICCV workshops 2017, from parameters to a
texture in UV. Import them from `uvgen.torch`.

    R = axis_angle_to_matrix(theta[:, :3])
    vertices = rotate_points(linear_model(mean, basis, theta[:, 6:]), R)
    places = scale_points(project_orthographic(vertices), log_scale_to_scale(theta[:, 5]))
    places = translate_points(places, theta[:, 3:5])
    texture = sample_bilinear(image, sampling_grid(places, image.shape[2:]).view(len(image), U, U, 2))
    texture = mask_invisible(texture, visible_by_normals(vertices, triangles).view(len(image), 1, U, U))

Each is a formula of a few lines, on any device and in the type of its arguments, differentiable in all that are floats.
Of values that are not finite come values that are not: to look for them would be to wait for the device.
Where the published code (github.com/anilbas/3DMMasSTN) differs from its paper, the function says so, and
``convention="3dmmasstn"`` does the same if that changes the result.

Other differences of that code: its backward passes of the symmetry and the siamese loss do not divide by the number of
texels, leave out half of the symmetry's gradient, and push both images of a pair the same way (vl_nnsymmetry.m,
vl_nnsiamese.m); PyTorch derives the gradients of `uvgen.losses` from the formulas.
"""

import torch
from torch import Tensor, nn

from uvgen.checks import check_array, check_tensor, choice, number_in, picture_size, shown
from uvgen.errors import InputError
from uvgen.torch import warp_runtime, warp_surfaces
from uvgen.torch.grids import SAMPLERS, grid_of
from uvgen.torch.texture import seen_texels

_SMALL = 1e-4  # squared angle, rad², below which series of four terms have all digits of float64


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rotation matrices of axis-angle vectors, by Rodrigues' formula.

    Parameters
    ----------
    axis_angle : (..., 3) float
        Axes times angles, rad.

    Returns
    -------
    (..., 3, 3) float
        ``I + sin(a)/a K + (1 - cos(a))/a² K²``, K the axis' cross product. By series near a = 0, so that all
        derivatives are finite and right there; nothing is special about π. vl_nnr2R.m divides by the angle, which
        loses digits near 0, and treats 0 itself apart.

    Raises
    ------
    InputError
        If the shape is not (..., 3), or the arguments are not floats.
    """
    _check("axis_angle", axis_angle, (..., 3))
    square = (axis_angle * axis_angle).sum(dim=-1)
    small = square < _SMALL
    safe = torch.where(small, torch.ones_like(square), square)  # the branch not taken needs gradients too
    angle = safe.sqrt()
    sine = torch.where(small, 1 - square / 6 * (1 - square / 20 * (1 - square / 42)), angle.sin() / angle)
    # 1 - cos(a) = 2 sin²(a/2): no cancellation at small angles
    versine = torch.where(
        small, 0.5 - square / 24 * (1 - square / 30 * (1 - square / 56)), 2 * (angle / 2).sin() ** 2 / safe
    )
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).view(*x.shape, 3, 3)
    unit = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return unit + sine[..., None, None] * cross + versine[..., None, None] * (cross @ cross)


def euler_to_matrix(angles: Tensor) -> Tensor:
    """Rotation matrices of 300W-LP's angles, ``Rx(pitch) @ Ry(yaw) @ Rz(roll)``, as in `uvgen.geometry`.

    Parameters
    ----------
    angles : (B, 3) float
        Pitch, yaw, roll, rad.

    Returns
    -------
    (B, 3, 3) float

    Raises
    ------
    InputError
        If the shape is not (B, 3), or the arguments are not floats.
    """
    _check("angles", angles, ("B", 3))
    (sp, sy, sr), (cp, cy, cr) = angles.sin().unbind(1), angles.cos().unbind(1)
    rows = [
        [cy * cr, cy * sr, -sy],
        [sp * sy * cr - cp * sr, sp * sy * sr + cp * cr, sp * cy],
        [cp * sy * cr + sp * sr, cp * sy * sr - sp * cr, cp * cy],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def to_matrix(rotation: Tensor) -> Tensor:
    """Rotations given as axis-angle (B, 3) or as matrices (B, 3, 3), which are not checked, as matrices (B, 3, 3)."""
    _check("rotation", rotation, ("B", 3), ("B", 3, 3))
    return rotation if rotation.ndim == 3 else axis_angle_to_matrix(rotation)


def linear_model(mean: Tensor, basis: Tensor, coefficients: Tensor) -> Tensor:
    """Vertices of the faces with these coefficients: ``mean + basis @ coefficients``.

    Parameters
    ----------
    mean : (n, 3) float
    basis : (n, 3, k) float
    coefficients : (B, k) float
        What multiplies the basis as it is; with a basis times its standard deviations, the paper's α.

    Returns
    -------
    (B, n, 3) float
        In the model's unit.

    Raises
    ------
    InputError
        If shapes do not agree, or the arguments are not floats.
    """
    _check("basis", basis, (-1, 3, "k"))
    _check("mean", mean, (len(basis), 3))
    _check("coefficients", coefficients, ("B", basis.shape[2]))
    _check_alike(mean=mean, basis=basis, coefficients=coefficients)
    return faces_last(mean, basis.reshape(mean.numel(), -1), coefficients).permute(2, 0, 1)


def faces_last(mean: Tensor, basis: Tensor, coefficients: Tensor) -> Tensor:
    """`linear_model` (n, 3, B) of a basis (3 n, k): a texel's corners are then few long rows to add up."""
    return (basis @ coefficients.mT).view(len(mean), 3, len(coefficients)) + mean[:, :, None]


def rotate_points(points: Tensor, matrices: Tensor) -> Tensor:
    """Points (B, n, 3), each turned by its sample's matrix (B, 3, 3), ``matrix @ point``; or an InputError."""
    _check("points", points, ("B", "n", 3))
    _check("matrices", matrices, (len(points), 3, 3))
    _check_alike(points=points, matrices=matrices)
    return points @ matrices.mT


def project_orthographic(points: Tensor) -> Tensor:
    """x and y (B, n, 2) of points (B, n, 3): what a camera far away sees; InputError if the shape is wrong."""
    _check("points", points, ("B", "n", 3))
    return points[..., :2]


def log_scale_to_scale(log_scale: Tensor, convention: str = "exact") -> Tensor:
    """Positive scales from any real numbers.

    Parameters
    ----------
    log_scale : (B,) float
    convention : {"exact", "3dmmasstn"}
        ``exp(s)``, or ``0.99**s`` as vl_nnlogScale2Scale.m, which is ``exp(-0.01005 s)``: a hundredth of the step, in
        the opposite direction.

    Returns
    -------
    (B,) float

    Raises
    ------
    InputError
        If the shape is not (B,), the arguments are not floats, or the convention is unknown.
    """
    _check("log_scale", log_scale, ("B",))
    if choice(convention, "convention", SAMPLERS) == "exact":
        return log_scale.exp()
    return torch.pow(0.99, log_scale)


def scale_points(points: Tensor, factors: Tensor) -> Tensor:
    """Points (B, n, 2|3) times each sample's factor (B,); InputError if shapes differ."""
    _check("points", points, ("B", "n", 2), ("B", "n", 3))
    _check("factors", factors, (len(points),))
    _check_alike(points=points, factors=factors)
    return points * factors[:, None, None]


def translate_points(points: Tensor, shifts: Tensor) -> Tensor:
    """Points (B, n, 2|3) plus each sample's shift (B, 2|3); InputError if shapes differ."""
    _check("points", points, ("B", "n", 2), ("B", "n", 3))
    _check("shifts", shifts, (len(points), points.shape[2]))
    _check_alike(points=points, shifts=shifts)
    return points + shifts[:, None]


def sampling_grid(places: Tensor, size: tuple[int, int], convention: str = "exact", *, y_up: bool = False) -> Tensor:
    """Places in an image as PyTorch's `grid_sample` and MatConvNet's sampler take them: -1 to 1, pixel centers.

    Parameters
    ----------
    places : (..., 2) float
        x and y, px.
    size : (int, int)
        Height and width of the image, px.
    convention : {"exact", "3dmmasstn"}
        The exact place; or that of vl_nngrid.m, ``(X - 112) / 112`` for X of 1 to 224: there, up to 1 px to the left at
        the left edge and up to 1 px up at the lower one, and exact at the other two.
    y_up : bool
        Whether places are 3DMMasSTN's, as its model has them: the first pixel 1, y up from below the last row; else
        those of crops, the first pixel 0, y down.

    Returns
    -------
    (..., 2) float
        For ``align_corners=True``.

    Raises
    ------
    InputError
        If the last axis is not of 2, the arguments are not floats, the size is not two whole numbers, or the convention
        is unknown.
    """
    _check("places", places, (..., 2))
    choice(convention, "convention", SAMPLERS)
    return grid_of(places, picture_size(size), convention, y_up=y_up)


def sample_bilinear(image: Tensor, grid: Tensor) -> Tensor:
    """Bilinear samples of an image at the places of `sampling_grid`; beyond the outer pixel centers, toward 0.

    Parameters
    ----------
    image : (B, C, H, W) float
    grid : (B, h, w, 2) float
        -1 to 1.

    Returns
    -------
    (B, C, h, w) float
        As MatConvNet's sampler. `unwrap` has the border's values up to half a pixel beyond, where the image ends.

    Raises
    ------
    InputError
        If shapes do not agree, or the arguments are not floats.
    """
    _check("image", image, ("B", -1, -1, -1))
    _check("grid", grid, (len(image), -1, -1, 2))
    _check_alike(image=image, grid=grid)
    return nn.functional.grid_sample(image, grid, padding_mode="zeros", align_corners=True)


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Normals of vertices, the mean of those of their triangles weighted by area; not of unit length.

    Parameters
    ----------
    vertices : (B, n, 3) float
    triangles : (m, 3) integer
        Counter-clockwise as seen from outside, where y points up.

    Returns
    -------
    (B, n, 3) float
        Outward.

    Raises
    ------
    InputError
        If shapes do not agree, or dtypes are wrong.
    """
    _check("vertices", vertices, ("B", -1, 3))
    check_tensor(triangles, "triangles")
    check_array(triangles, "triangles", (-1, 3))
    if triangles.is_floating_point() or triangles.dtype == torch.bool:
        raise InputError(f"triangles: {shown(triangles)}, expected integers: vertex indices")
    if triangles.device != vertices.device:
        raise InputError(f"triangles: on {triangles.device}, expected {vertices.device}, where the vertices are")
    triangles = triangles.long()
    if triangles.device.type == "cpu":  # of others, not to wait for the device at each step
        low, high = int(triangles.min()), int(triangles.max())
        if low < 0 or high >= vertices.shape[1]:
            raise InputError(
                f"triangles: indices of {low} to {high}, expected 0 to {vertices.shape[1] - 1}, as there are vertices"
            )
    if warp_runtime.is_used(vertices) and not torch.are_deterministic_algorithms_enabled():
        corners = triangles.clamp(-1, 2**31 - 1).to(torch.int32).contiguous()
        normals: Tensor = warp_surfaces.VertexNormals.apply(vertices, corners, _normals)
        return normals
    return _normals(vertices, triangles)


def _normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """`vertex_normals` by PyTorch's operators, of int64 indices."""
    a, b, c = (vertices[:, triangles[:, k]] for k in range(3))
    normals = torch.linalg.cross(b - a, c - a, dim=-1)
    out = torch.zeros_like(vertices)
    for k in range(3):
        out = out.index_add(1, triangles[:, k], normals)
    return out


def visible_by_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Which vertices face the viewer: those whose normal has z of 0 or more, whatever lies in front of them.

    Parameters
    ----------
    vertices, triangles
        As for `vertex_normals`, rotated.

    Returns
    -------
    (B, n) bool
        visibilityNotSelf.m weights by angle rather than area, and adds to a vertex but the last of the triangles in
        which it is first, second and third (MATLAB's ``x(i) = x(i) + y`` with an index repeated); few vertices differ.

    Raises
    ------
    InputError
        If shapes do not agree, or dtypes are wrong.
    """
    check_tensor(vertices, "vertices")
    with torch.no_grad():
        return vertex_normals(vertices.detach(), triangles)[..., 2] >= 0


def visible_by_depth(position_map: Tensor, size: tuple[int, int], tolerance: float = 0.05) -> Tensor:
    """Which texels face the viewer, lie in the image and have no other surface in front: `unwrap`'s rule.

    Parameters
    ----------
    position_map : (B, 3, U, U) float
        x, y, z in px of the crop, y down, z larger is nearer.
    size : (int, int)
        Height and width of the crop, px.
    tolerance : float
        How far behind the nearest surface a texel may lie and still be seen, in crop widths.

    Returns
    -------
    (B, 1, U, U) bool

    Raises
    ------
    InputError
        If the shape is wrong, the arguments are not floats, or another argument is out of range.
    """
    _check("position_map", position_map, (-1, 3, "U", "U"))
    if min(position_map.shape[2:]) < 2:
        raise InputError(f"position_map: {shown(position_map)}, expected 2 texels per side or more")
    tolerance = float(number_in(tolerance, "tolerance", 0))
    return seen_texels(position_map.detach().float(), None, picture_size(size), tolerance)


def mask_invisible(texture: Tensor, visible: Tensor) -> Tensor:
    """A texture (B, C, U, U) with 0 where `visible` (B, 1, U, U) is False; InputError if shapes differ.

    With 0 for what is not seen, as the losses of `uvgen.losses` take it. A texel that is black is then not seen either.
    """
    _check("texture", texture, ("B", "C", "U", "V"))
    check_tensor(visible, "visible")
    check_array(visible, "visible", (len(texture), 1, *texture.shape[2:]))
    return texture * visible.to(texture.dtype)


def _check_alike(**values: Tensor) -> None:
    """Raise InputError unless all have one dtype and lie on one device."""
    kinds = {name: f"{value.dtype} on {value.device}" for name, value in values.items()}
    if len(set(kinds.values())) > 1:
        found = ", ".join(kinds.values())
        raise InputError(f"{', '.join(kinds)}: {found}, expected one dtype and device; `.to(other)` converts")


def _check(name: str, value: Tensor, *shapes: tuple[object, ...]) -> None:
    """Raise InputError unless this is a tensor of floats of one of the shapes."""
    check_tensor(value, name)
    if not value.is_floating_point():
        raise InputError(f"{name}: {shown(value)}, expected floats; `.float()` makes them")
    check_array(value, name, *shapes)
