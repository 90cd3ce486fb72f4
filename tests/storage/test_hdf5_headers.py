"""Layouts read from object headers agree with what HDF5 says of datasets, whatever the format's version is."""

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from uvgen.storage.hdf5_headers import UNFILTERED_EDGE, layout_classes


def bytes_of(data: bytes) -> Callable[[int, int], bytes]:
    def read(offset: int, n: int) -> bytes:
        if not 0 <= n <= len(data) - offset:
            raise OSError("too few bytes")
        return data[offset : offset + n]

    return read


def compact(file: h5py.File) -> None:
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_layout(h5d.COMPACT)
    h5d.create(file.id, b"value", h5t.STD_U8LE, h5s.create_simple((4,)), plist)


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "value", (4,))
    file.create_virtual_dataset("value", layout)


MAKERS: dict[str, tuple[Callable[[h5py.File], object], set[int]]] = {
    "compact": (compact, {0}),
    "contiguous": (lambda f: f.create_dataset("value", data=np.zeros(4)), {1}),
    "chunked": (lambda f: f.create_dataset("value", data=np.zeros(4), chunks=(2,)), {2}),
    "virtual": (virtual, {3}),
    "group": (lambda f: f.create_group("value"), set()),
    "type": (lambda f: f.__setitem__("value", np.dtype("f4")), set()),
}


@pytest.mark.parametrize("options", [{}, {"track_order": True}, {"userblock_size": 512}])
@pytest.mark.parametrize("version", [("earliest", "v110"), "latest"])
@pytest.mark.parametrize("kind", MAKERS)
def test_layout_classes_are_those_of_the_dataset(tmp_path: Path, kind: str, version: Any, options: Any) -> None:
    make, expected = MAKERS[kind]
    with h5py.File(tmp_path / "a.h5", "w", libver=version, **options) as file:
        make(file)
        for k in range(40):  # more than the header's first block holds
            file["value"].attrs[f"a{k}"] = np.zeros(30)
    with h5py.File(tmp_path / "a.h5") as file:
        address = file.id.links.get_info(b"value").u
    data, base = (tmp_path / "a.h5").read_bytes(), options.get("userblock_size", 0)
    assert layout_classes(bytes_of(data), base + address, base) == expected


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_layout_classes_of_damaged_headers_end(tmp_path: Path, version: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=version) as file:
        file["value"] = np.zeros(4)
        for k in range(20):
            file["value"].attrs[f"a{k}"] = np.zeros(30)
        address = file.id.links.get_info(b"value").u
    data = (tmp_path / "a.h5").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        changed = bytearray(data)
        for at in rng.integers(address, min(address + 300, len(data)), 3):
            changed[at] = rng.integers(256)
        try:
            layout_classes(bytes_of(bytes(changed)), address)
        except (ValueError, OSError):
            refused += 1
    assert 0 < refused < 500


def test_layout_classes_of_a_header_that_goes_on_in_itself_ends() -> None:
    block = b"\x10\0\x10\0\0\0\0\0" + (16).to_bytes(8, "little") + (24).to_bytes(8, "little")
    data = bytes([1, 0, 1, 0]) + (1).to_bytes(4, "little") + (24).to_bytes(4, "little") + bytes(4) + block
    with pytest.raises(ValueError, match="without end"):
        layout_classes(bytes_of(data), 0)


def test_chunks_at_the_edge_that_are_stored_without_filters_are_told_from_others(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_dataset("value", data=np.zeros(5), chunks=(2,), shuffle=True)
        address = file.id.links.get_info(b"value").u
    data = bytearray((tmp_path / "a.h5").read_bytes())
    assert layout_classes(bytes_of(bytes(data)), address) == {2}
    found = re.compile(rb"[\x04\x05]\x02(\0)\x02").search(data, address)  # version, class, flags and number of axes
    assert found is not None
    data[found.start(1)] |= 1  # H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS
    assert layout_classes(bytes_of(bytes(data)), address) == {UNFILTERED_EDGE}


def test_a_header_whose_blocks_lie_over_each_other_is_refused_soon() -> None:
    """Each of a thousand would be read and walked through."""
    block = 1 << 20
    messages = [struct.pack("<HHB3xQQ", 0x10, 16, 0, 8 * k + 1024, block) for k in range(200)]
    body = b"".join(messages)
    head = b"\1\0" + struct.pack("<HII", 200, 1, len(body)) + bytes(4)
    data = (head + body).ljust(block + 4096, b"\0")
    read: list[int] = []

    def counted(offset: int, n: int) -> bytes:
        read.append(n)
        return bytes_of(data)(offset, n)

    with pytest.raises(ValueError, match="an object header"):
        layout_classes(counted, 0)
    assert sum(read) < 1 << 25
