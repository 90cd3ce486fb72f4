from .augment.values import Augmentation, Draw
from .datasets.config import BuildConfig
from .datasets.open import open_shards
from .errors import UvgenError
from .images.crop import crop_similarity
from .images.warp import warp_image
from .maps.atlas import UvAtlas, build_atlas
from .maps.masks import face_mask, landmark_texels, weight_mask
from .maps.mirror import TexelMirror
from .maps.position_mapper import PositionMapper
from .maps.resample import resample_model
from .meshes.transfer import transfer_expressions
from .meshes.tutte import parameterize
from .models.load import load_model
from .models.morphable import MorphableModel, save_model
from .preview.page import contact_sheet
from .samples.find import Sample, find_samples
from .samples.read import read_annotation, read_image
from .shards.reader import ShardReader

__version__: str

__all__ = [
    "Augmentation",
    "BuildConfig",
    "Draw",
    "MorphableModel",
    "PositionMapper",
    "Sample",
    "ShardReader",
    "TexelMirror",
    "UvAtlas",
    "UvgenError",
    "build_atlas",
    "contact_sheet",
    "crop_similarity",
    "face_mask",
    "find_samples",
    "landmark_texels",
    "load_model",
    "open_shards",
    "parameterize",
    "read_annotation",
    "read_image",
    "resample_model",
    "save_model",
    "transfer_expressions",
    "warp_image",
    "weight_mask",
]
