"""Plain files: ``NAME.jpg`` and the map ``NAME.npy`` per sample, and ``samples.npz`` with the small fields of all.

If the set has per-pixel targets, ``NAME.npz`` holds them, not compressed: ``uv``, ``normals`` and so on.
"""

from pathlib import Path
from typing import Any

import numpy as np

from uvgen.datasets.export.common import PARAMETERS, Part, each, npy, path_of, pixel_layouts, sample_of, unhidden
from uvgen.images.jpeg import encode_jpeg
from uvgen.shards.reader import ShardReader


def key(name: str) -> str:
    """The name itself, if a file can have it and it is no temporary file's."""
    return unhidden(str(path_of(name)))


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write the files of a shard's samples."""
    for number in each(part):
        sample = sample_of(reader, number)
        path = folder / key(sample["name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.jpg").write_bytes(encode_jpeg(sample["image"], quality))
        path.with_name(f"{path.name}.npy").write_bytes(npy(sample["posmap"]))
        if layouts := pixel_layouts(reader):
            pictures: dict[str, Any] = {name: sample[name] for name in layouts}
            np.savez(path.with_name(f"{path.name}.npz"), **pictures)


def finish(reader: ShardReader, folder: Path) -> None:
    """Write ``samples.npz``."""
    arrays: dict[str, Any] = {"name": np.array(reader.names)}
    arrays |= {name: reader.column(name) for name in PARAMETERS if name in reader.fields}
    np.savez(folder / "samples.npz", **arrays)
