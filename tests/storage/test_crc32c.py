"""CRC-32C against published vectors, and against its definition bit by bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvgen.storage.crc32c import crc32c


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the check value of the CRC catalog, CRC-32/ISCSI
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"The quick brown fox jumps over the lazy dog", 0x22620404),
    ],
)
def test_crc32c_of_published_vectors(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def by_definition(data: bytes) -> int:
    """One bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@given(st.binary(max_size=100))
def test_crc32c_is_its_definition(data: bytes) -> None:
    assert crc32c(data) == by_definition(data)


@given(st.binary(min_size=1, max_size=40), st.data())
def test_crc32c_sees_each_flipped_bit(data: bytes, draw: st.DataObject) -> None:
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    assert crc32c(bytes(changed)) != crc32c(data)


def test_crc32c_takes_memory_that_may_not_be_written() -> None:
    array = np.arange(1000, dtype=np.float32)
    array.flags.writeable = False
    assert crc32c(memoryview(array).cast("B")) == crc32c(array.tobytes())  # type: ignore[arg-type]
