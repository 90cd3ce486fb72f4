"""Independent readers of the formats that `uvgen export` writes rows in."""

import json
import struct
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PACKAGES = {"huggingface": "pyarrow"}


def needs_package(to: str) -> pytest.MarkDecorator:
    """A mark that skips where the package is missing that a target needs."""
    package = PACKAGES.get(to)
    return pytest.mark.skipif(package is not None and find_spec(package) is None, reason=f"{package} is not installed")


def crc32c_of(data: bytes) -> int:
    """CRC-32C with a table of 256, a byte at a time."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def read_tfrecord(path: Path) -> list[dict[str, Any]]:
    """The examples of a file: bytes as bytes, other lists as float32 or int64 arrays; checksums are compared."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        (length,), (crc,) = struct.unpack_from("<Q", data, at), struct.unpack_from("<I", data, at + 8)
        assert crc == _mask(crc32c_of(data[at : at + 8]))
        content = data[at + 12 : at + 12 + length]
        assert len(content) == length
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == _mask(crc32c_of(content))
        found.append(parse_example(content))
        at += 16 + length
    return found


def _mask(crc: int) -> int:
    return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % (1 << 32)


def parse_example(data: bytes) -> dict[str, Any]:
    """A `tf.train.Example` by protobuf's wire format."""
    ((number, features),) = _fields(data)
    assert number == 1
    found: dict[str, Any] = {}
    for number, entry in _fields(features):
        assert number == 1
        (one, name), (two, feature) = _fields(entry)
        assert (one, two) == (1, 2) and name.decode() not in found
        ((kind, values),) = _fields(feature)
        ((number, content),) = _fields(values)
        assert number == 1
        if kind == 3:
            found[name.decode()] = np.array(_varints(content), np.uint64).astype(np.int64)
        else:
            found[name.decode()] = content if kind == 1 else np.frombuffer(content, "<f4")
    return found


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """Fields of a message, all of which have a length."""
    found, at = [], 0
    while at < len(data):
        tag, at = _varint(data, at)
        assert tag & 7 == 2
        length, at = _varint(data, at)
        assert at + length <= len(data)
        found.append((tag >> 3, data[at : at + length]))
        at += length
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def _varints(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return found


def read_mds(folder: Path) -> list[dict[str, Any]]:
    """The samples of an MDS folder, in the order of its index."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    assert index["version"] == 2
    found = []
    for shard in index["shards"]:
        assert (shard["format"], shard["version"], shard["compression"], shard["zip_data"]) == ("mds", 2, None, None)
        data = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert len(data) == shard["raw_data"]["bytes"]
        (n,) = struct.unpack_from("<I", data)
        offsets = struct.unpack_from(f"<{n + 1}I", data, 4)
        assert n == shard["samples"] and offsets[-1] == len(data)
        described = json.loads(data[8 + 4 * n : offsets[0]])
        assert described == {key: shard[key] for key in described}
        names, encodings, sizes = (shard[f"column_{key}"] for key in ("names", "encodings", "sizes"))
        assert names == sorted(names)
        for start, end in pairwise(offsets):
            n_free = sizes.count(None)
            free = list(struct.unpack_from(f"<{n_free}I", data, start))
            start, sample = start + 4 * n_free, {}
            for name, encoding, size in zip(names, encodings, sizes, strict=True):
                size = free.pop(0) if size is None else size
                sample[name] = _decoded(encoding, data[start : start + size])
                start += size
            assert start == end
            found.append(sample)
    return found


def _decoded(encoding: str, data: bytes) -> Any:
    if encoding in ("str", "jpeg"):
        return data.decode() if encoding == "str" else data
    if encoding.startswith("ndarray:"):
        _, dtype, shape = encoding.split(":")
        return np.frombuffer(data, dtype).reshape([int(n) for n in shape.split(",")])
    return np.frombuffer(data, encoding)[0]
