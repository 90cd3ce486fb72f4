"""uvgen: training data for networks that regress UV position maps.

The names below are loaded on first use, so that `import uvgen` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "MorphableModel": "model",
    "load_model": "model",
    "save_model": "model",
    "PositionMapper": "posmap",
    "parameterize": "tutte",
    "resample_model": "resample",
    "transfer_expressions": "resample",
    "UvAtlas": "atlas",
    "build_atlas": "atlas",
    "weight_mask": "masks",
    "face_mask": "masks",
    "landmark_texels": "masks",
    "Augmentation": "augmentation",
    "Draw": "augmentation",
    "TexelMirror": "texel_mirror",
    "Sample": "samples",
    "find_samples": "samples",
    "read_annotation": "samples",
    "read_image": "samples",
    "crop_similarity": "crop",
    "warp_image": "crop",
    "BuildConfig": "plan",
    "ShardReader": "reader",
    "open_shards": "reader",
    "contact_sheet": "preview",
    "UvgenError": "errors",
}

if TYPE_CHECKING:
    from uvgen.atlas import UvAtlas, build_atlas
    from uvgen.augmentation import Augmentation, Draw
    from uvgen.crop import crop_similarity, warp_image
    from uvgen.errors import UvgenError
    from uvgen.masks import face_mask, landmark_texels, weight_mask
    from uvgen.model import MorphableModel, load_model, save_model
    from uvgen.plan import BuildConfig
    from uvgen.posmap import PositionMapper
    from uvgen.preview import contact_sheet
    from uvgen.reader import ShardReader, open_shards
    from uvgen.resample import resample_model, transfer_expressions
    from uvgen.samples import Sample, find_samples, read_annotation, read_image
    from uvgen.texel_mirror import TexelMirror
    from uvgen.tutte import parameterize

__all__ = [
    "Augmentation", "BuildConfig", "Draw", "MorphableModel", "PositionMapper", "Sample", "ShardReader",
    "TexelMirror", "UvAtlas", "UvgenError", "build_atlas", "contact_sheet", "crop_similarity", "face_mask",
    "find_samples", "landmark_texels", "load_model", "open_shards", "parameterize", "read_annotation", "read_image",
    "resample_model", "save_model", "transfer_expressions", "warp_image", "weight_mask",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"uvgen.{_HOME[name]}"), name)
    raise AttributeError(f"module 'uvgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
