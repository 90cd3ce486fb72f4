"""What the targets share that store samples as rows: which fields, and how they are described."""

from typing import Any

from uvgen.datasets.export.common import array_layouts, sample_of
from uvgen.images.jpeg import encode_jpeg
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import printable


def key_of_row(name: str) -> str:
    """The name itself: samples are rows, so names need not be those of files."""
    return name


def row_of(reader: ShardReader, number: int, quality: int) -> dict[str, Any]:
    """A sample's row: ``name``, the crop's JPEG bytes ``image``, and the arrays of `array_layouts`."""
    sample = sample_of(reader, number)
    arrays = {name: sample[name] for name in array_layouts(reader)}
    return {"name": printable(sample["name"]), "image": encode_jpeg(sample["image"], quality), **arrays}
