"""Which fields the samples of a data set have."""

from uvgen.shards.format import Field

AUGMENTED = {
    "augmentation": Field("str", (), attributes={"content": "what was done, JSON"}),
    "flipped": Field("bool", (), attributes={"content": "mirrored after `crop`: x becomes size - 1 - x"}),
}
"""Fields that augmented samples have besides the others."""

MAP_PARAMETERS = ("shape", "expression", "pose", "crop", "image_height")
"""Fields that a position map is made from, in the order of `PositionMapper`'s arguments."""
