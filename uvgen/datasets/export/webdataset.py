"""WebDataset: one tar per shard.

Per sample it holds ``KEY.jpg``, ``KEY.posmap.npy`` (U, U, 3) float32, ``KEY.landmarks.npy`` (68, 3) float32,
``KEY.uv.npy``, ``KEY.normals.npy`` and so on for the per-pixel targets that the set has, and ``KEY.json`` with the
name and the parameters.
"""

import io
import json
import re
import tarfile
from pathlib import Path

from uvgen.datasets.export.common import PARAMETERS, Part, each, npy, path_of, pixel_layouts, sample_of
from uvgen.images.jpeg import encode_jpeg
from uvgen.shards.reader import ShardReader
from uvgen.storage.files import replaced_on_success
from uvgen.storage.names import shortened


def key(name: str) -> str:
    """The name with hyphens for points: WebDataset takes everything behind the first point for the extension."""
    path = str(path_of(name)).replace(".", "-")
    return f"x{path}" if re.match("__[^/]*__/", path) else path  # WebDataset passes over such folders


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write one tar."""
    with (
        replaced_on_success(folder / f"{shortened(part.name)}.tar") as temporary,
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for number in each(part):
            sample = sample_of(reader, number)
            stem = key(sample["name"])
            _add(tar, f"{stem}.jpg", encode_jpeg(sample["image"], quality))
            _add(tar, f"{stem}.posmap.npy", npy(sample["posmap"]))
            _add(tar, f"{stem}.landmarks.npy", npy(sample["landmarks"]))
            for name in pixel_layouts(reader):
                _add(tar, f"{stem}.{name}.npy", npy(sample[name]))
            small = {k: v.tolist() for k, v in sample.items() if k in PARAMETERS and k != "landmarks"}
            _add(tar, f"{stem}.json", json.dumps({"name": sample["name"], **small}).encode())


def finish(reader: ShardReader, folder: Path) -> None:
    """There is nothing else to write."""


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Without time or owner: the same data set gives the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
