"""What a build is to do: its configuration."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from uvgen.errors import InputError
from uvgen.geometry import COMPAT
from uvgen.images.codecs import JPEG_QUALITY
from uvgen.images.crop import JITTER


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """Everything that the bytes of a data set depend on, besides the samples and the model.

    Attributes
    ----------
    size : int
        Pixels along each side of the crops.
    uv_size : int
        Texels along each side of the position maps.
    shard_size : int
        Samples a shard, skipped ones included.
    seed : int
        Of the crops' jitter and of the augmentation.
    jitter : float
        See `uvgen.images.crop.crop_similarity`; 0 is none.
    posmap_dtype : {"uint16", "float32"}
        Fixed point (1/64 px at 256) or exact.
    maps : {"stored", "none"}
        Whether maps are stored, or left to readers to make from the parameters.
    image_codec : {"raw", "jpeg"}
        How crops are stored.
    jpeg_quality : int
        1 to 100, for JPEG.
    compression : {None, "lzf", "gzip"}
        Of raw images and maps.
    compat : {None, "face3d"}
        Pixel convention.
    augmentation : str or None
        JSON of a `uvgen.augment.Augmentation`: crops are augmented as they are sampled from the image.
    copies : int
        Augmented samples from each image.
    """

    size: int = 256
    uv_size: int = 256
    shard_size: int = 256
    seed: int = 0
    jitter: float = JITTER
    posmap_dtype: str = "uint16"
    maps: str = "stored"
    image_codec: str = "raw"
    jpeg_quality: int = JPEG_QUALITY
    compression: str | None = None
    compat: str | None = None
    augmentation: str | None = None
    copies: int = 1

    def described(self) -> dict[str, Any]:
        """As it is stored: plain values, the augmentation as its ranges."""
        content = dataclasses.asdict(self)
        if self.augmentation is None:  # so that plain sets are told from augmented ones
            del content["augmentation"], content["copies"]
        else:
            content["augmentation"] = json.loads(self.augmentation)
        return content

    def check(self) -> None:
        """Raise InputError where a value is out of range."""
        for name, low, high in (
            ("size", 16, 4096),
            ("uv_size", 16, 4096),
            ("shard_size", 1, 1 << 20),
            ("jpeg_quality", 1, 100),
            ("copies", 1, 10_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name}: {getattr(self, name)}, expected {low} to {high}")
        for name, allowed in (
            ("posmap_dtype", ("uint16", "float32")), ("compression", (None, "lzf", "gzip")), ("compat", COMPAT),
            ("maps", ("stored", "none")), ("image_codec", ("raw", "jpeg")),
        ):  # fmt: skip
            if getattr(self, name) not in allowed:
                raise InputError(f"{name}: {getattr(self, name)!r}, expected one of {', '.join(map(str, allowed))}")
        if self.augmentation is None and self.copies != 1:
            raise InputError(f"copies: {self.copies}, expected 1 without an augmentation: they would all be the same")
        if not 0 <= self.jitter < 1:
            raise InputError(f"jitter: {self.jitter}, expected 0 (none) to below 1; the field's is {JITTER}")


def sample_bytes(config: BuildConfig) -> int:
    """Bytes of one sample's crop and map, uncompressed; of a JPEG about a tenth of the raw crop."""
    image = 3 * config.size**2 // (10 if config.image_codec == "jpeg" else 1)
    texel = np.dtype(config.posmap_dtype).itemsize if config.maps == "stored" else 0
    return image + 3 * config.uv_size**2 * texel
