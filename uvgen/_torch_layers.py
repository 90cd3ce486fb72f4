"""Position maps made on the device, and textures unwrapped there. Import them from `uvgen.torch`."""

import numpy as np
import torch
from torch import Tensor, nn

from uvgen.atlas import build_atlas
from uvgen.errors import InputError
from uvgen.geometry import COMPAT
from uvgen.model import MorphableModel

_FACING = 0.05  # cosine between normal and view below which a texel is a silhouette's, and its visibility chance


class PositionMapLayer(nn.Module):
    """UV position maps of batches of parameters, differentiable in all of them.

    What `uvgen.PositionMapper` computes, as a module: on any device, in float32 or, after ``.double()``, float64.
    With it maps need not be stored or sent to the device. It has no parameters to train, and the model is not part
    of its state dict. Autocast is off inside, because half precision places points whole pixels off; so would
    TensorFloat-32, ``torch.set_float32_matmul_precision`` other than "highest".

    Parameters
    ----------
    model : MorphableModel
        The face model; its bases are copied to the device, 150 MB for the Basel Face Model.
    size : int
        Texels along each side.
    compat : {None, "face3d"}
        Pixel convention, see `uvgen.geometry.pose_to_image`.

    Raises
    ------
    InputError
        Where the size or `compat` is out of range.
    """

    basis: Tensor
    mean: Tensor
    corners: Tensor
    weights: Tensor

    def __init__(self, model: MorphableModel, size: int = 256, compat: str | None = None) -> None:
        super().__init__()
        if compat not in COMPAT:
            raise InputError(f"compat: {compat!r}, expected None or 'face3d'")
        atlas = build_atlas(model, size, rule="top-left" if compat is None else "face3d")
        self.size, self.compat = size, compat
        self.n_shape, self.n_expression = model.n_shape, model.n_expression
        buffers = {
            "basis": np.array(model.basis).reshape(3 * model.n_vertices, -1),
            "mean": model.mean.copy(),
            "corners": atlas.vertices.astype(np.int64),
            "weights": atlas.weights.copy(),
        }
        for name, array in buffers.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def forward(
        self, shape: Tensor, expression: Tensor, pose: Tensor, similarity: Tensor, image_height: Tensor | float
    ) -> Tensor:
        """Position maps of a batch.

        Parameters
        ----------
        shape, expression : (B, ks), (B, ke) float
            Parameters that multiply the bases directly.
        pose : (B, 7) float
            Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm). tz has no influence: depths are relative.
        similarity : (B, 3, 3) float
            Image → crop, a batch's ``crop``.
        image_height : (B,) or number
            px.

        Returns
        -------
        (B, 3, size, size)
            x, y, z in the crop frame, px; the smallest z over all vertices is 0.

        Raises
        ------
        InputError
            Where shapes do not agree.
        """
        n, dtype = len(pose), self.basis.dtype
        expected = {
            "shape": (shape, (n, self.n_shape)),
            "expression": (expression, (n, self.n_expression)),
            "pose": (pose, (n, 7)),
            "similarity": (similarity, (n, 3, 3)),
        }
        for name, (value, dimensions) in expected.items():
            if tuple(value.shape) != dimensions:
                raise InputError(f"{name}: {tuple(value.shape)}, expected {dimensions}")
        with torch.autocast(self.basis.device.type, enabled=False):
            coefficients = torch.cat([shape, expression], dim=1).to(dtype)
            linear, shift = self._to_crop(pose.to(dtype), similarity.to(dtype), image_height)
            # Faces last: the corners of a texel are then few long rows to add up, not many short ones.
            vertices = (self.basis @ coefficients.mT).view(-1, 3, n) + self.mean[:, :, None]
            smallest = (vertices * linear[:, 2].mT).sum(dim=1).amin(dim=0)  # einsum would take three times as long
            shift = torch.cat([shift, -smallest[:, None]], dim=1)
            texels = nn.functional.embedding_bag(
                self.corners, vertices.view(-1, 3 * n), per_sample_weights=self.weights, mode="sum"
            )
            maps = torch.baddbmm(shift[:, :, None], linear, texels.view(-1, 3, n).permute(2, 1, 0))
        return maps.view(n, 3, self.size, self.size)

    def _to_crop(self, pose: Tensor, similarity: Tensor, image_height: Tensor | float) -> tuple[Tensor, Tensor]:
        """Model → crop: (B, 3, 3) for x, y, z and the shift (B, 2) of x and y. See `uvgen.geometry`."""
        (sp, sy, sr), (cp, cy, cr) = pose[:, :3].sin().unbind(1), pose[:, :3].cos().unbind(1)
        rows = [
            [cy * cr, cy * sr, -sy],
            [-(sp * sy * cr - cp * sr), -(sp * sy * sr + cp * cr), -sp * cy],  # y down
            [cp * sy * cr + sp * sr, cp * sy * sr - sp * cr, cp * cy],
        ]
        rotation = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
        height = torch.as_tensor(image_height, dtype=pose.dtype, device=pose.device)
        x = pose[:, 3] - (1 if self.compat is None else 0)
        y = height - pose[:, 4] - (0 if self.compat is None else 1)
        turn = similarity[:, :2, :2]
        scale = torch.linalg.det(turn).abs().sqrt()
        rotation = rotation * pose[:, 6, None, None]
        linear = torch.cat([turn @ rotation[:, :2], scale[:, None, None] * rotation[:, 2:]], dim=1)
        shift = (turn @ torch.stack([x, y], dim=1)[..., None])[..., 0] + similarity[:, :2, 2]
        return linear, shift


def unwrap(
    image: Tensor, position_map: Tensor, coverage: Tensor | None = None, *, tolerance: float = 0.05
) -> tuple[Tensor, Tensor]:
    """The face's texture in UV: the image sampled at the texels' positions, with the mask of those seen.

    The sampling grid of "3D Morphable Models as Spatial Transformer Networks" (Bas et al., ICCVW 2017) for a map
    that a network predicts or `PositionMapLayer` makes. Differentiable in the image and the map's x and y.

    Parameters
    ----------
    image : (B, C, H, W) float
        Crops.
    position_map : (B, 3, U, U) float
        x, y, z of each texel, px of the crop (`to_float` with ``normalize=None`` gives them), z larger is nearer.
    coverage : (U, U) or (B, U, U) bool, optional
        Texels of the face: only they are visible, and hide others.
    tolerance : float
        How far behind the nearest surface a texel may lie and still be seen, in crop widths. Depths are compared
        in cells of about two texels: finer is `uvgen.rasterize.visible_texels`, on the CPU.

    Returns
    -------
    texture : (B, C, U, U)
        Bilinear samples; 0 outside the image.
    visible : (B, 1, U, U) bool
        Texels inside the image that face the camera with no other surface in front.

    Raises
    ------
    InputError
        Where shapes do not agree.
    """
    if image.ndim != 4 or position_map.ndim != 4 or position_map.shape[:2] != (len(image), 3):
        raise InputError(
            f"image {tuple(image.shape)}, position_map {tuple(position_map.shape)}: "
            "expected (B, C, H, W) and (B, 3, U, U)"
        )
    height, width = image.shape[2:]
    x, y = position_map[:, 0], position_map[:, 1]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    texture = nn.functional.grid_sample(image, grid.to(image.dtype), align_corners=True)
    with torch.no_grad():
        visible = _visible(position_map.detach().float(), coverage, (height, width), tolerance)
    return texture, visible


def _visible(maps: Tensor, coverage: Tensor | None, size: tuple[int, int], tolerance: float) -> Tensor:
    n, _, rows, columns = maps.shape
    height, width = size
    x, y, z = maps.unbind(1)
    seen = (x > -0.5) & (y > -0.5) & (x < width - 0.5) & (y < height - 0.5)
    if coverage is not None:
        seen = seen & coverage
    cell = max(2.0 * width / columns, 1.0)
    across, down = int(width / cell) + 2, int(height / cell) + 2
    cell_x = (x.clamp(-0.5, width - 0.5) / cell).round().long()
    cell_y = (y.clamp(-0.5, height - 0.5) / cell).round().long()
    cells = (cell_y * across + cell_x).view(n, -1)
    nearest = torch.full((n, down * across), -torch.inf, device=maps.device)
    nearest.scatter_reduce_(1, cells, z.masked_fill(~seen, -torch.inf).view(n, -1), "amax")
    in_front = z >= nearest.gather(1, cells).view(n, rows, columns) - tolerance * width
    return (seen & in_front & _facing(maps))[:, None]


def _facing(maps: Tensor) -> Tensor:
    """(B, U, U) bool: the map's surface turns to the camera."""
    right = torch.gradient(maps, dim=3)[0]
    down = torch.gradient(maps, dim=2)[0]
    normal = torch.linalg.cross(right, down, dim=1)
    return normal[:, 2] > _FACING * torch.linalg.vector_norm(normal, dim=1)
