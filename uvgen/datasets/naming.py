"""The names of shards and of augmented copies, and what can be read from them."""

import hashlib
import re

from uvgen.storage.names import shortened

_COPY = re.compile(r"-\d+$")


def shard_file(subset: str, number: int) -> str:
    """File name of a subset's shard: ``IBUG-00000.h5``."""
    return f"{subset}-{number:05d}.h5"


def shard_stem(subset: str) -> str:
    """What a subset's shards are named after: itself, if that is a file's name that is not long and not hidden.

    Hidden files in a data set are temporary ones. A list of images, or a flat folder, may be in a hidden folder.
    """
    stem = shortened(subset)
    if not stem.startswith(".") and "/" not in stem:
        return stem
    digest = hashlib.sha256(subset.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"_{stem.replace('/', '_')}~{digest}"


def subset_of_shard(file: str) -> str:
    """The subset that a shard's file is named after."""
    return file.rpartition("-")[0]


def copy_name(name: str, copy: int) -> str:
    """Name of a sample's augmented copy: ``IBUG/IBUG_image_008_1_0-0`` is the first."""
    return f"{name}-{copy}"


def original_name(copy: str) -> str:
    """Name of the sample that an augmented copy of this name was made of."""
    return _COPY.sub("", copy)
