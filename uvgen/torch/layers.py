"""Position maps made on the device, and textures unwrapped there. Import them from `uvgen.torch`."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uvgen.datasets.fields import MAP_PARAMETERS
from uvgen.datasets.open import check_model
from uvgen.errors import InputError
from uvgen.maps.atlas import build_atlas
from uvgen.maps.mirror import mirror_vertices, mirrored_texels
from uvgen.models.load import as_model
from uvgen.models.morphable import MorphableModel
from uvgen.shards.reader import ShardReader
from uvgen.torch.dataset import ShardDataset

_FACING = 0.05  # cosine between normal and view below which a texel is a silhouette's, and its visibility chance


class PositionMapLayer(nn.Module):
    """UV position maps of batches of parameters, differentiable in all of them.

    What `uvgen.PositionMapper` computes, as a module: on any device, in float32 or, after ``.double()``, float64.
    With it maps need not be stored or sent to the device. It has no parameters to train, and the model is not part
    of its state dict. Autocast is off inside, because half precision places points whole pixels off; so would
    TensorFloat-32, ``torch.set_float32_matmul_precision`` other than "highest".

    For the samples of shards, `for_shards` sets everything up and `from_batch` takes their fields:

        layer = PositionMapLayer.for_shards(dataset, "bfm.h5").cuda()
        maps = layer.from_batch(batch)

    Parameters
    ----------
    model : MorphableModel or path-like
        The face model; its bases are copied to the device, 150 MB for the Basel Face Model.
    size : int
        Texels along each side.
    convention : {"exact", "face3d"}
        Pixel convention, see `uvgen.geometry.pose_to_image`.
    crop_size : int, optional
        The crops' side, px; needed for mirrored samples, as is a model that says which vertices mirror each other.

    Raises
    ------
    InputError
        Where the size or `convention` is out of range.
    ModelError
        Where the model cannot be read, or has no mirror pairs and `crop_size` is given.
    """

    basis: Tensor
    mean: Tensor
    corners: Tensor
    weights: Tensor
    mirror_vertices: Tensor
    unpaired: Tensor
    unpaired_corners: Tensor
    unpaired_weights: Tensor

    def __init__(
        self,
        model: "MorphableModel | str | os.PathLike[str]",
        size: int = 256,
        convention: str = "exact",
        *,
        crop_size: int | None = None,
    ) -> None:
        super().__init__()
        model = as_model(model)
        atlas = build_atlas(model, size, convention)
        self.size, self.convention, self.crop_size = size, convention, crop_size
        self.n_shape, self.n_expression = model.n_shape, model.n_expression
        buffers = {
            "basis": np.array(model.basis).reshape(3 * model.n_vertices, -1),
            "mean": model.mean.copy(),
            "corners": atlas.vertices.astype(np.int64),
            "weights": atlas.weights.copy(),
        }
        if crop_size is not None:
            mirrored, pairs = mirrored_texels(model, size, convention), mirror_vertices(model)
            unpaired = mirrored.unpaired
            buffers["mirror_vertices"] = np.where(pairs < 0, np.arange(len(pairs)), pairs)
            buffers["unpaired"] = unpaired.astype(np.int64)
            buffers["unpaired_corners"] = mirrored.vertices[unpaired].astype(np.int64)
            buffers["unpaired_weights"] = mirrored.weights[unpaired]
        for name, array in buffers.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    @classmethod
    def for_shards(
        cls, data: ShardDataset | ShardReader, model: "MorphableModel | str | os.PathLike[str]"
    ) -> "PositionMapLayer":
        """The layer that makes the maps of a data set's samples.

        Parameters
        ----------
        data : ShardDataset or ShardReader
            Where size and pixel convention are from.
        model : MorphableModel or path-like
            The model that the set was built with.

        Returns
        -------
        PositionMapLayer
            It mirrors, where the model says which vertices mirror each other.

        Raises
        ------
        ModelError
            Where the model cannot be read, or is not the set's.
        """
        reader = data.reader if isinstance(data, ShardDataset) else data
        model = as_model(model)
        check_model(model, reader.folder, reader.config)
        config = reader.config.build
        crop_size = None if model.mirror is None else config.size
        return cls(model, config.uv_size, config.convention, crop_size=crop_size)

    def from_batch(self, batch: Mapping[str, Any]) -> Tensor:
        """Position maps of a `ShardDataset`'s batch, augmented and mirrored as its images are.

        Parameters
        ----------
        batch : mapping
            With the fields `PARAMETERS`, and `flipped` where samples may be mirrored, on this module's device.

        Returns
        -------
        (B, 3, size, size)
            As a call returns them.

        Raises
        ------
        InputError
            Where a field is missing, shapes do not agree, or a sample is mirrored and this layer cannot.
        """
        if missing := [name for name in MAP_PARAMETERS if name not in batch]:
            raise InputError(f"batch: has no {missing[0]}, expected {', '.join(MAP_PARAMETERS)}")
        flipped = batch.get("flipped")
        if flipped is not None and self.crop_size is None and not bool(flipped.any()):
            flipped = None
        return self(*(batch[name] for name in MAP_PARAMETERS), flipped=flipped)

    def forward(
        self,
        shape: Tensor,
        expression: Tensor,
        pose: Tensor,
        similarity: Tensor,
        image_height: Tensor | float,
        *,
        flipped: Tensor | None = None,
    ) -> Tensor:
        """Position maps of a batch.

        Parameters
        ----------
        shape, expression : (B, ks), (B, ke) float
            Parameters that multiply the bases directly.
        pose : (B, 7) float
            Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm). tz has no influence: depths are relative.
        similarity : (B, 3, 3) float
            Image → crop, a batch's ``image_to_crop``.
        image_height : (B,) or number
            px.
        flipped : (B,) bool, optional
            Which samples are mirrored after `similarity`: x becomes crop_size - 1 - x, and texels show the mirrored
            face (see `uvgen.maps.mirror.mirrored_texels`).

        Returns
        -------
        (B, 3, size, size)
            x, y, z in the crop frame, px; the smallest z over all vertices is 0.

        Raises
        ------
        InputError
            Where shapes do not agree, or `flipped` is given and `crop_size` was not.
        """
        if flipped is not None and self.crop_size is None:
            raise InputError("flipped: this layer cannot mirror; make it with crop_size, of a model with mirror pairs")
        n, dtype = len(pose), self.basis.dtype
        expected = {
            "shape": (shape, (n, self.n_shape)),
            "expression": (expression, (n, self.n_expression)),
            "pose": (pose, (n, 7)),
            "similarity": (similarity, (n, 3, 3)),
        }
        if flipped is not None:
            expected["flipped"] = flipped, (n,)
        if isinstance(image_height, Tensor) and image_height.ndim:
            expected["image_height"] = image_height, (n,)
        for name, (value, dimensions) in expected.items():
            if tuple(value.shape) != dimensions:
                raise InputError(f"{name}: {tuple(value.shape)}, expected {dimensions}")
        if n == 0:
            raise InputError("pose: (0, 7), expected one face or more")
        with torch.autocast(self.basis.device.type, enabled=False):
            coefficients = torch.cat([shape, expression], dim=1).to(dtype)
            linear, shift = self._to_crop(pose.to(dtype), similarity.to(dtype), image_height)
            # Faces last: the corners of a texel are then few long rows to add up, not many short ones.
            vertices = (self.basis @ coefficients.mT).view(len(self.mean), 3, n) + self.mean[:, :, None]
            smallest = (vertices * linear[:, 2].mT).sum(dim=1).amin(dim=0)  # einsum would take three times as long
            shift = torch.cat([shift, -smallest[:, None]], dim=1)
            if flipped is None or self.crop_size is None:
                texels = self._interpolate(vertices, self.corners, self.weights)
            else:
                flips = flipped.to(vertices.device, torch.bool)
                texels = self._mirrored(vertices, flips)
                sign = 1 - 2 * flips.to(dtype)[:, None]
                across = torch.stack([(self.crop_size - 1) * flips, *[torch.zeros_like(flips)] * 2], dim=1)
                sign = torch.cat([sign, torch.ones_like(shift[:, 1:])], dim=1)
                linear, shift = linear * sign[:, :, None], shift * sign + across
            maps = torch.baddbmm(shift[:, :, None], linear, texels.permute(2, 1, 0))
        return maps.view(n, 3, self.size, self.size)

    def _interpolate(self, vertices: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
        """(t, 3, B): points between vertices (n, 3, B)."""
        bags = nn.functional.embedding_bag(
            corners, vertices.view(len(vertices), -1), per_sample_weights=weights, mode="sum"
        )
        return bags.view(len(corners), *vertices.shape[1:])

    def _mirrored(self, vertices: Tensor, flips: Tensor) -> Tensor:
        """(t, 3, B): where the texels lie on faces with these vertices (n, 3, B), of which some are flipped (B,)."""
        swapped = torch.where(flips, vertices[self.mirror_vertices], vertices)
        texels = self._interpolate(swapped, self.corners, self.weights)
        if len(self.unpaired):
            opposite = self._interpolate(vertices, self.unpaired_corners, self.unpaired_weights)
            texels = texels.index_copy(0, self.unpaired, torch.where(flips, opposite, texels[self.unpaired]))
        return texels

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
        x = pose[:, 3] - (1 if self.convention == "exact" else 0)
        y = height - pose[:, 4] - (0 if self.convention == "exact" else 1)
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
        Bilinear samples; 0 outside the image, and where the map is not finite.
    visible : (B, 1, U, U) bool
        Texels with finite positions inside the image that face the camera with no other surface in front.

    Raises
    ------
    InputError
        Where shapes do not agree, or what is given are not floats.
    """
    if image.ndim != 4 or position_map.ndim != 4 or position_map.shape[:2] != (len(image), 3):
        raise InputError(
            f"image, position_map: {tuple(image.shape)} and {tuple(position_map.shape)}, "
            "expected (B, C, H, W) and (B, 3, U, U)"
        )
    if not (image.is_floating_point() and position_map.is_floating_point()):
        raise InputError(
            f"image, position_map: {image.dtype} and {position_map.dtype}, expected floats, as "
            "`to_float(batch, normalize=None)` makes them"
        )
    rows, columns = position_map.shape[2:]
    if not len(image) or min(rows, columns) < 2:
        raise InputError(f"position_map: {tuple(position_map.shape)}, expected one or more, of 2 texels a side or more")
    if coverage is not None:
        if tuple(coverage.shape) not in ((rows, columns), (len(image), rows, columns)):
            raise InputError(f"coverage: {tuple(coverage.shape)}, expected ({rows}, {columns}), one per texel")
        coverage = coverage.bool()
    height, width = image.shape[2:]
    x, y = position_map[:, 0], position_map[:, 1]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    grid = torch.where(grid.isfinite(), grid, 2.0)  # NaN: outside
    texture = nn.functional.grid_sample(image, grid.to(image.dtype), align_corners=True)
    with torch.no_grad():
        visible = _visible(position_map.detach().float(), coverage, (height, width), tolerance)
    return texture, visible


def _visible(maps: Tensor, coverage: Tensor | None, size: tuple[int, int], tolerance: float) -> Tensor:
    n, _, rows, columns = maps.shape
    height, width = size
    finite = maps.isfinite().all(dim=1)  # a network that diverges is no reason to leave an array's bounds
    maps = maps.nan_to_num()
    x, y, z = maps.unbind(1)
    seen = finite & (x > -0.5) & (y > -0.5) & (x < width - 0.5) & (y < height - 0.5)
    if coverage is not None:
        seen = seen & coverage
    cell = max(2.0 * width / columns, 1.0)
    across, down = int(width / cell) + 2, int(height / cell) + 2
    cell_x = (x.clamp(-0.5, width - 0.5) / cell).round().long()
    cell_y = (y.clamp(-0.5, height - 0.5) / cell).round().long()
    cells = (cell_y * across + cell_x).reshape(n, -1)
    nearest = torch.full((n, down * across), -torch.inf, device=maps.device)
    nearest.scatter_reduce_(1, cells, z.masked_fill(~seen, -torch.inf).reshape(n, -1), "amax")
    in_front = z >= nearest.gather(1, cells).view(n, rows, columns) - tolerance * width
    return (seen & in_front & _facing(maps))[:, None]


def _facing(maps: Tensor) -> Tensor:
    """(B, U, U) bool: the map's surface turns to the camera."""
    right = torch.gradient(maps, dim=3)[0]
    down = torch.gradient(maps, dim=2)[0]
    normal = torch.linalg.cross(right, down, dim=1)
    return normal[:, 2] > _FACING * torch.linalg.vector_norm(normal, dim=1)
