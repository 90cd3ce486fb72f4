"""Plain files: ``NAME.jpg`` and the map ``NAME.npy`` per sample, and ``samples.npz`` with the small fields of all.

If the set has per-pixel targets, ``NAME.npz`` holds them, not compressed: ``uv``, ``normals`` and so on.
"""

from pathlib import Path
from typing import Any

import numpy as np

from uvgen.datasets.export.common import PARAMETERS, Part, each, npy, path_of, pixel_layouts, sample_of, unhidden
from uvgen.images.jpeg import encode_jpeg
from uvgen.shards.reader import ShardReader
from uvgen.storage.files import TEMPORARY_PREFIX
from uvgen.storage.names import shortened


def key(name: str) -> str:
    """The name itself, if a file can have it and it is no temporary file's."""
    return unhidden(str(path_of(name)))


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write the files of a shard's samples, and their small fields until all are there."""
    small = {name: list[Any]() for name in PARAMETERS if name in reader.fields}
    for number in each(part):
        sample = sample_of(reader, number)
        path = folder / key(sample["name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.jpg").write_bytes(encode_jpeg(sample["image"], quality))
        path.with_name(f"{path.name}.npy").write_bytes(npy(sample["posmap"]))
        if layouts := pixel_layouts(reader):
            pictures: dict[str, Any] = {name: sample[name] for name in layouts}
            np.savez(path.with_name(f"{path.name}.npz"), **pictures)
        for name, values in small.items():
            values.append(sample[name])
    arrays: dict[str, Any] = {name: np.array(values) for name, values in small.items()}
    np.savez(_fields_file(folder, part.name), **arrays)


def finish(reader: ShardReader, folder: Path) -> None:
    """Write ``samples.npz``: of what was read with the samples, as the shards may be others by now."""
    parts = list[dict[str, Any]]()
    for file in reader.files:
        with np.load(_fields_file(folder, Path(file).stem)) as stored:
            parts.append(dict(stored))
    arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    np.savez(folder / "samples.npz", name=np.array(reader.names), **arrays)


def clean(reader: ShardReader, folder: Path) -> None:
    """Remove the files in which the small fields of the shards waited."""
    for file in reader.files:
        _fields_file(folder, Path(file).stem).unlink(missing_ok=True)


def _fields_file(folder: Path, part: str) -> Path:
    return folder / f"{TEMPORARY_PREFIX}fields-{shortened(part)}.npz"
