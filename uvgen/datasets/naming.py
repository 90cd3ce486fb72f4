"""The names of shards and of augmented copies, and what can be read from them."""

import re

_COPY = re.compile(r"-\d+$")


def shard_file(subset: str, number: int) -> str:
    """File name of a subset's shard: ``IBUG-00000.h5``."""
    return f"{subset}-{number:05d}.h5"


def subset_of_shard(file: str) -> str:
    """The subset that a shard's file is named after."""
    return file.rpartition("-")[0]


def copy_name(name: str, copy: int) -> str:
    """Name of a sample's augmented copy: ``IBUG/IBUG_image_008_1_0-0`` is the first."""
    return f"{name}-{copy}"


def original_name(copy: str) -> str:
    """Name of the sample that an augmented copy of this name was made of."""
    return _COPY.sub("", copy)
