"""The network: an encoder, a linear layer that says θ, and the morphable model that flattens crops by it."""

import importlib.util
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import uvgen
from uvgen.torch import (
    ShardDataset,
    axis_angle_to_matrix,
    linear_model,
    log_scale_to_scale,
    mask_invisible,
    project_orthographic,
    rotate_points,
    sample_bilinear,
    sampling_grid,
    scale_points,
    translate_points,
    visible_by_depth,
    visible_by_normals,
)

N_EACH = 5  # components of identity, and of expression
PUBLISHED_SIZE = 224  # px of the crops of the paper, at 1 px a millimeter


def small_encoder() -> nn.Sequential:
    """To 512 numbers, for a CPU. Any module from (B, 3, R, R) to (B, n) does."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise([3, 16, 32, 64, 128]):
        layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(2048, 512), nn.ReLU())


def encoder_of(text: str) -> nn.Module:
    """``small``, or FILE.py:FUNCTION, which returns a module."""
    if text == "small":
        return small_encoder()
    file, _, name = text.rpartition(":")
    spec = importlib.util.spec_from_file_location("encoder", file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise uvgen.UvgenError(f"encoder: {text}, expected small or FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(make := getattr(module, name, None)):
        raise uvgen.UvgenError(f"encoder: {file} has no function {name}, expected FILE.py:FUNCTION")
    encoder: nn.Module = make()
    return encoder


class Landmarks:
    """Which landmarks count: 300W-LP's 68, or AFLW's 21 read from the maps; (n, 2) texels of a grid's model."""

    def __init__(self, dataset: ShardDataset, model: uvgen.MorphableModel, kind: str, texels: int) -> None:
        self.has_maps, self.is_68 = "posmap" in dataset.reader.fields, kind == "68"
        if not (self.has_maps or self.is_68):
            raise uvgen.UvgenError("landmarks: 21, read from maps, and the set stores none; expected 68")
        uv_size = dataset.reader.config.build.uv_size
        there = dataset.reader.constants["landmark_texels"] if self.is_68 else uvgen.aflw_texels(model, uv_size)
        self.rows, self.columns = torch.from_numpy(there.astype(np.int64)).unbind(1)
        self.mirror = (uvgen.LANDMARK_MIRROR if self.is_68 else uvgen.AFLW_MIRROR).tolist()
        self.vertices: Any = uvgen.resample_model(model, texels).landmarks
        if not self.is_68:
            self.vertices = uvgen.aflw_texels(model, texels) @ np.array([texels, 1])

    def of(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """True landmarks (B, n, 2), px, y down, and which are seen (B, n)."""
        if not self.has_maps:
            return batch["landmarks"][..., :2].float(), torch.ones_like(batch["landmarks"][..., 0], dtype=torch.bool)
        maps = batch["posmap"].float()
        seen = visible_by_depth(maps, tuple(batch["image"].shape[2:]))[:, 0, self.rows, self.columns]
        if self.is_68:
            return batch["landmarks"][..., :2].float(), seen
        return maps[:, :2, self.rows, self.columns].mT, seen


class SpatialTransformer(nn.Module):
    """Crops (B, 3, R, R) → θ, landmarks, flattened textures and where they are seen."""

    def __init__(
        self,
        encoder: nn.Module,
        model: uvgen.MorphableModel,
        texels: int,
        size: int,
        landmarks: Any,
        *,
        published: bool,
    ) -> None:
        super().__init__()
        grid = uvgen.resample_model(model, texels)
        parts = [
            (basis[..., :N_EACH] * std[:N_EACH])
            for basis, std in ((grid.shape_basis, grid.shape_std), (grid.expression_basis, grid.expression_std))
        ]
        parts = [np.pad(part, ((0, 0), (0, 0), (0, N_EACH - part.shape[2]))) for part in parts]
        triangles = grid.triangles
        corners = grid.mean[triangles].transpose(1, 0, 2)
        if np.cross(corners[1] - corners[0], corners[2] - corners[0])[:, 2].sum() < 0:
            triangles = triangles[:, ::-1]
        for name, array in {
            "mean": grid.mean / 1000, "basis": np.concatenate(parts, axis=2) / 1000,  # mm
            "triangles": triangles.astype(np.int64), "landmarks": landmarks.astype(np.int64),
        }.items():  # fmt: skip
            dtype = np.int64 if array.dtype.kind == "i" else np.float32
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array, dtype)), persistent=False)
        self.texels, self.size, self.convention = texels, size, "3dmmasstn" if published else "exact"
        self.encoder = encoder
        with torch.no_grad():
            n_features = encoder.eval()(torch.zeros(1, 3, size, size)).shape[1]
        self.head = nn.Linear(n_features, 6 + 2 * N_EACH)
        nn.init.xavier_uniform_(self.head.weight).data.mul_(0.001)
        nn.init.zeros_(self.head.bias)
        # The published θ is in px and radians, all through one layer; steps of a common length need units alike.
        unit = [1.0] * 16 if published else [0.3] * 3 + [0.1 * size] * 2 + [0.1] + [1.0] * 10
        start = [0.0] * 16 if published else [0.0] * 3 + [size / 2] * 2 + [math.log(size / PUBLISHED_SIZE)] + [0.0] * 10
        if published:
            self.head.bias.data[3:5] = size / 2  # 112
        self.register_buffer("unit", torch.tensor(unit))
        self.register_buffer("start", torch.tensor(start))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        theta = self.start + self.unit * self.head(self.encoder(images))
        return theta, *self.flatten(images, theta)

    def flatten(self, images: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Landmarks (B, n, 2), 1-based px with y up; textures (B, 3, U, U), 0 where not seen; (B, 1, U, U) seen."""
        square = len(images), self.texels, self.texels
        faces = linear_model(self.mean, self.basis, theta[:, 6:])
        turned = rotate_points(faces, axis_angle_to_matrix(theta[:, :3]))
        scales = log_scale_to_scale(theta[:, 5], self.convention)
        places = translate_points(scale_points(project_orthographic(turned), scales), theta[:, 3:5])
        grid = sampling_grid(places, (self.size, self.size), self.convention, y_up=True)
        inside = (grid.detach().abs() <= 1).all(dim=-1)
        seen = (visible_by_normals(turned, self.triangles) & inside).view(square[0], 1, *square[1:])
        texture = sample_bilinear(images, grid.view(*square, 2))
        return places[:, self.landmarks], mask_invisible(texture, seen), seen
