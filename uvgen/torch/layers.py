"""Position maps made on the device. Import the layer from `uvgen.torch`."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uvgen.checks import MAX_SIDE, check_tensor, number_in, shown
from uvgen.datasets.fields import MAP_PARAMETERS
from uvgen.datasets.open import check_model
from uvgen.errors import InputError
from uvgen.maps.atlas import build_atlas
from uvgen.maps.mirror import mirror_vertices, mirrored_texels
from uvgen.models.load import as_model
from uvgen.models.morphable import MorphableModel
from uvgen.shards.reader import ShardReader
from uvgen.torch import warp_runtime, warp_surfaces
from uvgen.torch.dataset import ShardDataset
from uvgen.torch.spatial_transformer import euler_to_matrix, faces_last, to_matrix

_WIDE = (torch.float32, torch.float64)  # types to calculate in


class PositionMapLayer(nn.Module):
    """UV position maps of batches of parameters, differentiable in all of them.

    What `uvgen.PositionMapper` computes, as a module: on any device, in float32 or, after ``.double()``, float64.
    With it maps need not be stored or sent to the device. It has no parameters to train, and the model is not part
    of its state dict. Autocast is off inside, because half precision places points whole pixels off; so would
    TensorFloat-32, ``torch.set_float32_matmul_precision`` other than "highest".

    For the same reason ``.half()``, ``.bfloat16()`` and ``.to(dtype)``, of the layer or of a network that it is part
    of, leave it in float32. Arguments in half precision are widened, and maps are float32; what half precision has
    rounded already stays rounded, a translation of 300 px in bfloat16 to a multiple of 2.

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
        If the size or `convention` is out of range.
    ModelError
        If the model cannot be read, or has no mirror pairs and `crop_size` is given.
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
        if crop_size is not None:
            crop_size = number_in(crop_size, "crop_size", 1, MAX_SIDE, "px", whole=True)
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
        sides = [(atlas.vertices, atlas.weights)]
        if crop_size is not None:
            sides.append((mirrored.vertices, mirrored.weights))
        tables = warp_surfaces.tables_of(sides, model.n_vertices)
        buffers |= {f"table_{name}": array for name, array in tables.items()}
        for name, array in buffers.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def extra_repr(self) -> str:
        """The text of the layer in `repr`."""
        crop = "" if self.crop_size is None else f", crop_size={self.crop_size}"
        return (
            f"size={self.size}, convention={self.convention!r}{crop}, n_shape={self.n_shape}, "
            f"n_expression={self.n_expression}"
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PositionMapLayer":
        """Called for every conversion and move of the module: keeps numbers in float32 or wider, indices in int64."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if moved.dtype == tensor.dtype or (tensor.is_floating_point() and moved.dtype in _WIDE):
                return moved
            return tensor.to(moved.device, torch.float32 if tensor.is_floating_point() else tensor.dtype)

        inherited: Callable[..., PositionMapLayer] = super()._apply  # without types in PyTorch
        return inherited(move, recurse)

    @classmethod
    def for_shards(
        cls, data: ShardDataset | ShardReader, model: "MorphableModel | str | os.PathLike[str]"
    ) -> "PositionMapLayer":
        """The layer that makes the maps of a data set's samples.

        Parameters
        ----------
        data : ShardDataset or ShardReader
            The data set that size and pixel convention are taken from.
        model : MorphableModel or path-like
            The model that the set was built with.

        Returns
        -------
        PositionMapLayer
            It mirrors, if the model says which vertices mirror each other.

        Raises
        ------
        InputError
            If `data` is neither.
        ModelError
            If the model cannot be read, or is not the set's.
        """
        reader = data.reader if isinstance(data, ShardDataset) else data
        if not isinstance(reader, ShardReader):
            raise InputError(f"data: {shown(data)}, expected a ShardDataset or a ShardReader")
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
            With the fields `PARAMETERS`, and `flipped` if samples may be mirrored, on this module's device.

        Returns
        -------
        (B, 3, size, size)
            As a call returns them.

        Raises
        ------
        InputError
            If a field is missing or not a tensor of real numbers, shapes do not agree, or a sample is mirrored and
            this layer cannot.
        """
        if not isinstance(batch, Mapping):
            raise InputError(f"batch: {shown(batch)}, expected a mapping of fields, as a ShardDataset gives it")
        if missing := [name for name in MAP_PARAMETERS if name not in batch]:
            raise InputError(f"batch: has no {missing[0]}, expected {', '.join(MAP_PARAMETERS)}")
        flipped = batch.get("flipped")
        if flipped is not None:
            check_tensor(flipped, "flipped")
        if flipped is not None and self.crop_size is None and not bool(flipped.any()):
            flipped = None
        maps: Tensor = self(*(batch[name] for name in MAP_PARAMETERS), flipped=flipped)
        return maps

    def forward(
        self,
        shape: Tensor,
        expression: Tensor,
        pose: Tensor,
        similarity: Tensor,
        image_height: Tensor | float,
        *,
        rotation: Tensor | None = None,
        flipped: Tensor | None = None,
    ) -> Tensor:
        """Position maps of a batch.

        Parameters
        ----------
        shape, expression : (B, ks), (B, ke) real numbers
            Parameters that multiply the bases directly. They and the others are taken in any real type, also integers,
            and calculated in the layer's.
        pose : (B, 7) float
            Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm). tz has no influence: depths are relative.
        similarity : (B, 3, 3) float
            Image → crop, a batch's ``image_to_crop``.
        image_height : (B,) or number
            px.
        rotation : (B, 3) or (B, 3, 3) float, optional
            In place of the pose's three angles, which are then ignored: axis-angle (rad, `axis_angle_to_matrix`), or
            matrices in the dataset frame (y up), taken as they are. A network learns these more easily than angles.
        flipped : (B,) bool, optional
            Which samples are mirrored after `similarity`: x becomes crop_size - 1 - x, and texels show the mirrored
            face (see `uvgen.maps.mirror.mirrored_texels`).

        Returns
        -------
        (B, 3, size, size) float32, float64 after ``.double()``
            x, y, z in the crop frame, px; the smallest z over all vertices is 0.

        Raises
        ------
        InputError
            If shapes do not agree, an argument is not a tensor of real numbers or not on the layer's device, or
            `flipped` is given and `crop_size` was not.
        """
        if flipped is not None and self.crop_size is None:
            raise InputError("flipped: this layer cannot mirror; make it with crop_size, of a model with mirror pairs")
        check_tensor(pose, "pose")
        if pose.ndim != 2:
            raise InputError(f"pose: {tuple(pose.shape)}, expected (B, 7)")
        n, dtype, device = len(pose), self.basis.dtype, self.basis.device
        expected = {
            "shape": (shape, (n, self.n_shape)),
            "expression": (expression, (n, self.n_expression)),
            "pose": (pose, (n, 7)),
            "similarity": (similarity, (n, 3, 3)),
        }
        if rotation is not None:
            check_tensor(rotation, "rotation")
            expected["rotation"] = rotation, (n, 3, 3) if rotation.ndim == 3 else (n, 3)
        height = _height(image_height, n, self.basis)
        if isinstance(height, Tensor):
            expected["image_height"] = height, (n,) if height.ndim else ()
        if flipped is not None:
            expected["flipped"] = flipped, (n,)
        for name, (value, dimensions) in expected.items():
            check_tensor(value, name)
            if tuple(value.shape) != dimensions:
                raise InputError(f"{name}: {tuple(value.shape)}, expected {dimensions}")
            if value.device != device and name != "flipped":
                raise InputError(f"{name}: on {value.device}, expected {device}, where this layer is; `.to()` moves it")
        if n == 0:
            raise InputError("pose: (0, 7), expected one face or more")
        with torch.autocast(device.type, enabled=False):
            shape, expression, pose, similarity = (t.to(dtype) for t in (shape, expression, pose, similarity))
            rotation = None if rotation is None else rotation.to(dtype)
            height = height.to(dtype) if isinstance(height, Tensor) else height
            flips = None if flipped is None else flipped.to(device, torch.bool)
            coefficients = torch.cat([shape, expression], dim=1)
            given = [value for value in (coefficients, pose, similarity, rotation, height) if isinstance(value, Tensor)]
            if warp_runtime.is_used(self.basis, *given) and not torch.are_deterministic_algorithms_enabled():
                maps = self._by_warp(coefficients, pose, rotation, similarity, height, flips)
                return maps.view(n, 3, self.size, self.size)
            turned = euler_to_matrix(pose[:, :3]) if rotation is None else to_matrix(rotation)
            linear, shift = self._to_crop(pose, turned, similarity, height)
            vertices = faces_last(self.mean, self.basis, coefficients)
            smallest = (vertices * linear[:, 2].mT).sum(dim=1).amin(dim=0)  # einsum would take three times as long
            shift = torch.cat([shift, -smallest[:, None]], dim=1)
            if flips is None or self.crop_size is None:
                texels = self._interpolate(vertices, self.corners, self.weights)
            else:
                texels = self._mirrored(vertices, flips)
                linear, shift = self._mirror(linear, shift, flips)
            maps = torch.baddbmm(shift[:, :, None], linear, texels.permute(2, 1, 0))
        return maps.view(n, 3, self.size, self.size)

    def _mirror(self, linear: Tensor, shift: Tensor, flips: Tensor) -> tuple[Tensor, Tensor]:
        """The result of `_to_crop`, with x mirrored for faces that are flipped."""
        sign = 1 - 2 * flips.to(linear.dtype)[:, None]
        sign = torch.cat([sign, torch.ones_like(shift[:, 1:])], dim=1)
        across = torch.stack([((self.crop_size or 0) - 1) * flips, *[torch.zeros_like(flips)] * 2], dim=1)
        return linear * sign[:, :, None], shift * sign + across

    def _by_warp(
        self,
        coefficients: Tensor,
        pose: Tensor,
        rotation: Tensor | None,
        similarity: Tensor,
        height: Tensor | float,
        flips: Tensor | None,
    ) -> Tensor:
        """Maps (B, 3, t): the product, one kernel for the poses, two passes over the vertices less their mean."""
        # the product first, so that a GPU is at it while the rest is queued
        vertices = nn.functional.linear(coefficients, self.basis).view(len(pose), -1, 3)
        if isinstance(height, Tensor):
            height = height.expand(len(pose))
        placed = warp_surfaces.ToCrop.apply(
            pose, rotation, similarity, height, flips, self.convention, self.crop_size or 0
        )
        tables = (getattr(self, f"table_{name}") for name in warp_surfaces.Tables._fields)
        maps: Tensor = warp_surfaces.PositionMaps.apply(vertices, *placed, self.mean, flips, *tables)
        return maps

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

    def _to_crop(
        self, pose: Tensor, rotation: Tensor, similarity: Tensor, height: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Model → crop: (B, 3, 3) for x, y, z and the shift (B, 2) of x and y. See `uvgen.geometry`."""
        rotation = torch.stack([rotation[:, 0], -rotation[:, 1], rotation[:, 2]], dim=1)  # y down
        x = pose[:, 3] - (1 if self.convention == "exact" else 0)
        y = height - pose[:, 4] - (0 if self.convention == "exact" else 1)
        turn = similarity[:, :2, :2]
        area = turn[:, 0, 0] * turn[:, 1, 1] - turn[:, 0, 1] * turn[:, 1, 0]  # linalg.det would factorize, on a GPU too
        scale = area.abs().sqrt()
        rotation = rotation * pose[:, 6, None, None]
        linear = torch.cat([turn @ rotation[:, :2], scale[:, None, None] * rotation[:, 2:]], dim=1)
        shift = (turn @ torch.stack([x, y], dim=1)[..., None])[..., 0] + similarity[:, :2, 2]
        return linear, shift


def _height(value: Any, n: int, beside: Tensor) -> Tensor | float:
    """An image height for the computation. A number stays a number, because copying it to a GPU would block."""
    try:
        if isinstance(value, int | float | np.integer | np.floating):
            return float(value)
        wide = None if isinstance(value, Tensor) else beside.dtype  # PyTorch's default may be half precision
        return torch.as_tensor(value, dtype=wide, device=beside.device)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InputError(f"image_height: {shown(value)}, expected ({n},) or a number, px") from None
