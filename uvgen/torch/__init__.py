"""For PyTorch training code: data sets, samplers, maps that are made on the device, unwrapped textures.

Needs PyTorch, which uvgen itself does not require: ``pip install torch``. Losses and metrics, in
`uvgen.losses` and `uvgen.metrics`, take NumPy arrays and tensors alike. It builds on `datasets`; networks do not
belong here but to `examples/`.
"""

from uvgen.errors import DependencyError

try:
    import torch as _  # noqa: F401
except ImportError as error:
    raise DependencyError(
        f"uvgen.torch needs PyTorch ({error}): pip install torch, or, without a GPU, pip install torch --index-url "
        "https://download.pytorch.org/whl/cpu"
    ) from error

from uvgen.torch.dataset import PARAMETERS, ShardDataset
from uvgen.torch.layers import PositionMapLayer
from uvgen.torch.rasterizer import interpolate, rasterize
from uvgen.torch.sampler import ShardSampler
from uvgen.torch.spatial_transformer import (
    axis_angle_to_matrix,
    euler_to_matrix,
    linear_model,
    log_scale_to_scale,
    mask_invisible,
    project_orthographic,
    rotate_points,
    sample_bilinear,
    sampling_grid,
    scale_points,
    translate_points,
    vertex_normals,
    visible_by_depth,
    visible_by_normals,
)
from uvgen.torch.texture import unwrap
from uvgen.torch.values import to_float
from uvgen.torch.visibility import visible_vertices

__all__ = [
    "PARAMETERS",
    "PositionMapLayer",
    "ShardDataset",
    "ShardSampler",
    "axis_angle_to_matrix",
    "euler_to_matrix",
    "interpolate",
    "linear_model",
    "log_scale_to_scale",
    "mask_invisible",
    "project_orthographic",
    "rasterize",
    "rotate_points",
    "sample_bilinear",
    "sampling_grid",
    "scale_points",
    "to_float",
    "translate_points",
    "unwrap",
    "vertex_normals",
    "visible_by_depth",
    "visible_by_normals",
    "visible_vertices",
]
