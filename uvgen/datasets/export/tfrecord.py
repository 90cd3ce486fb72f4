"""TFRecord files of `tf.train.Example`, for TensorFlow and whatever else reads them: ``NAME.tfrecord``, one per shard.

A file is records one after the other: the length as uint64, its masked CRC-32C as uint32, the data, its masked
CRC-32C; little-endian. A mask is the checksum rotated right by 15 bits plus 0xA282EAD8. The data is a protobuf
message ``Example``: field 1 is ``Features``, whose field 1 is repeated: entries of a name (1) and a ``Feature`` (2),
which is a list of bytes (1), of packed float32 (2) or of packed int64 (3), each with its values in field 1.

A sample has ``name`` and ``image`` (JPEG) as bytes, ``posmap`` (px) and the small fields as floats; ``image_height``
and ``flipped`` are int64; ``image_to_crop``, in double precision, is the 72 bytes that ``tf.io.decode_raw(…,
tf.float64)`` takes. Per-pixel targets are floats; labels and masks a byte a value, for ``tf.io.decode_raw(…,
tf.uint8)``. ``features.json`` says kind, dtype and shape of each.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from uvgen.datasets.export.common import Part, array_layouts, each
from uvgen.datasets.export.rows import key_of_row, row_of
from uvgen.shards.reader import ShardReader
from uvgen.storage.crc32c import crc32c
from uvgen.storage.files import replaced_on_success
from uvgen.storage.names import shortened

key = key_of_row

_BYTES, _FLOATS, _INTEGERS = 1, 2, 3  # which list a Feature is


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write one file."""
    with replaced_on_success(folder / f"{shortened(part.name)}.tfrecord") as temporary, open(temporary, "wb") as file:
        for number in each(part):
            file.write(record(example(row_of(reader, number, quality))))


def finish(reader: ShardReader, folder: Path) -> None:
    """Write ``features.json``."""
    described: dict[str, Any] = {
        "name": {"list": "bytes", "content": "UTF-8"},
        "image": {"list": "bytes", "content": "JPEG, RGB"},
    }
    words = {_BYTES: "bytes", _FLOATS: "float", _INTEGERS: "int64"}
    for name, (shape, dtype) in array_layouts(reader).items():
        described[name] = {"list": words[_kind(shape, dtype)], "dtype": dtype.name, "shape": list(shape)}
    (folder / "features.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def record(data: bytes) -> bytes:
    """A record of these bytes."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked(length), data, _masked(data)))


def example(row: dict[str, Any]) -> bytes:
    """The message ``Example`` of a row, its features in their order."""
    entries = []
    for name, value in row.items():
        entry = _field(1, name.encode()) + _field(2, _feature(value))
        entries.append(_field(1, entry))
    return _field(1, b"".join(entries))


def _feature(value: Any) -> bytes:
    if isinstance(value, str | bytes):
        return _field(_BYTES, _field(1, value.encode() if isinstance(value, str) else value))
    array = np.asarray(value)
    kind = _kind(array.shape, array.dtype)
    if kind == _BYTES:
        return _field(_BYTES, _field(1, array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()))
    if kind == _FLOATS:
        return _field(_FLOATS, _field(1, array.astype("<f4", copy=False).tobytes()))
    return _field(_INTEGERS, _field(1, b"".join(_varint(number) for number in array.reshape(-1).tolist())))


def _kind(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """The list that keeps all bits of such numbers; a picture's, of a byte each, are not worth integers of 64 bits."""
    if dtype.itemsize == 1 and len(shape) > 1:
        return _BYTES
    if dtype.kind in "biu":
        return _INTEGERS
    return _FLOATS if dtype == np.float32 else _BYTES


def _field(number: int, data: bytes) -> bytes:
    """A field of a message whose value has a length: its tag, the length, the bytes."""
    return b"".join((bytes([number << 3 | 2]), _varint(len(data)), data))


def _varint(value: int) -> bytes:
    """An integer as protobuf writes it: seven bits a byte, the lowest first; negative ones as 64 bits."""
    value = int(value) & (1 << 64) - 1
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
