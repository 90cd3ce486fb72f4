"""MDS, the format of MosaicML's `streaming`: files of up to 64 MiB and ``index.json``.

A file is the number n of its samples as uint32, n + 1 uint32 offsets at which samples begin and the last ends, a JSON
text that describes the columns, and the samples; little-endian. A sample is a uint32 length for each column whose
length varies, then the columns' bytes, columns in the order of their names. ``index.json`` lists the files, each with
the same description, its size and number of samples.

Columns: ``name`` (``str``), ``image`` (``jpeg``), arrays as ``ndarray:DTYPE:SHAPE`` and numbers as their dtype;
``flipped`` and masks are ``uint8``.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from uvgen.datasets.export.common import Part, array_layouts, each
from uvgen.datasets.export.rows import key_of_row, row_of
from uvgen.shards.reader import ShardReader
from uvgen.storage.files import replaced_on_success
from uvgen.storage.names import shortened

key = key_of_row

_MAX_BYTES = 1 << 26  # of a file, as streaming's own writer has it; one sample may be larger


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write the files of a shard's samples."""
    description = json.dumps(_description(reader), sort_keys=True).encode()
    for number, samples in enumerate(_files(reader, part, quality, len(description))):
        with replaced_on_success(folder / _name(part.name, number)) as temporary:
            temporary.write_bytes(shard_bytes(samples, description))


def finish(reader: ShardReader, folder: Path) -> None:
    """Write ``index.json``, of the files that are there."""
    description = _description(reader)
    shards = []
    for stem in (Path(file).stem for file in reader.files):
        number = 0
        while (path := folder / _name(stem, number)).exists():
            with open(path, "rb") as file:
                (n_samples,) = struct.unpack("<I", file.read(4))
            raw = {"basename": path.name, "bytes": path.stat().st_size, "hashes": {}}
            shards.append({**description, "raw_data": raw, "samples": n_samples, "version": 2, "zip_data": None})
            number += 1
    text = json.dumps({"shards": shards, "version": 2}, sort_keys=True)
    (folder / "index.json").write_text(text, encoding="utf-8")


def shard_bytes(samples: list[bytes], description: bytes) -> bytes:
    """A file of these samples."""
    start = 4 + 4 * (len(samples) + 1) + len(description)
    offsets = np.cumsum([start, *map(len, samples)]).astype("<u4")
    return b"".join((struct.pack("<I", len(samples)), offsets.tobytes(), description, *samples))


def _name(stem: str, number: int) -> str:
    return f"{shortened(stem)}-{number:05d}.mds"


def _files(reader: ShardReader, part: Part, quality: int, fixed: int) -> Iterator[list[bytes]]:
    """The samples of a shard, as many at a time as a file takes."""
    samples, size = list[bytes](), 8 + fixed
    for number in each(part):
        sample = _sample(row_of(reader, number, quality))
        if samples and size + len(sample) + 4 > _MAX_BYTES:
            yield samples
            samples, size = [], 8 + fixed
        samples.append(sample)
        size += len(sample) + 4
    yield samples


def _sample(row: dict[str, Any]) -> bytes:
    columns = [_bytes(row[name]) for name in sorted(row)]
    lengths = [len(data) for name, data in zip(sorted(row), columns, strict=True) if isinstance(row[name], str | bytes)]
    return b"".join((struct.pack(f"<{len(lengths)}I", *lengths), *columns))


def _bytes(value: Any) -> bytes:
    if isinstance(value, str | bytes):
        return value.encode() if isinstance(value, str) else value
    array = np.asarray(value)
    return array.astype(_stored(array.dtype).newbyteorder("<"), copy=False).tobytes()


def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The format has no bool."""
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def _description(reader: ShardReader) -> dict[str, Any]:
    """The columns, as each file and the index have them."""
    columns: dict[str, tuple[str, int | None]] = {"name": ("str", None), "image": ("jpeg", None)}
    for name, (shape, dtype) in array_layouts(reader).items():
        stored = _stored(dtype)
        encoding = f"ndarray:{stored.name}:{','.join(map(str, shape))}" if shape else stored.name
        columns[name] = encoding, int(np.prod(shape, dtype=np.int64)) * stored.itemsize
    names = sorted(columns)
    return {
        "column_encodings": [columns[name][0] for name in names],
        "column_names": names,
        "column_sizes": [columns[name][1] for name in names],
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": _MAX_BYTES,
    }
