"""CRC-32C (Castagnoli), the checksum of TFRecord, iSCSI and ext4: polynomial 0x1EDC6F41, reflected 0x82F63B78.

Eight tables take eight bytes at a time ("slicing by 8"; Kounavis and Berry, 2008).
"""

import numpy as np
from numpy.typing import NDArray

from uvgen.compiled import kernel

_POLYNOMIAL = 0x82F63B78


def _make_tables() -> NDArray[np.uint32]:
    """(8, 256): row k is the checksum of each byte with k zero bytes behind it."""
    tables = np.zeros((8, 256), np.uint32)
    row: NDArray[np.uint32] = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        row = (row >> np.uint32(1)) ^ (row & np.uint32(1)) * np.uint32(_POLYNOMIAL)
    tables[0] = row
    for k in range(1, 8):
        tables[k] = (tables[k - 1] >> 8) ^ row[tables[k - 1] & 0xFF]
    return tables


_TABLES = _make_tables()


def crc32c(data: bytes) -> int:
    """CRC-32C of bytes, 0 to 2**32 - 1."""
    return int(crc32c_of(np.frombuffer(data, np.uint8), _TABLES))


@kernel
def crc32c_of(data: NDArray[np.uint8], tables: NDArray[np.uint32]) -> np.uint32:
    """Of data (n,) uint8, with `_TABLES`."""
    crc = np.uint32(0xFFFFFFFF)
    n = len(data)
    eights = n - n % 8
    for i in range(0, eights, 8):
        low = crc ^ (
            np.uint32(data[i])
            | np.uint32(data[i + 1]) << np.uint32(8)
            | np.uint32(data[i + 2]) << np.uint32(16)
            | np.uint32(data[i + 3]) << np.uint32(24)
        )
        crc = np.uint32(
            tables[7, low & np.uint32(0xFF)]
            ^ tables[6, (low >> np.uint32(8)) & np.uint32(0xFF)]
            ^ tables[5, (low >> np.uint32(16)) & np.uint32(0xFF)]
            ^ tables[4, (low >> np.uint32(24)) & np.uint32(0xFF)]
            ^ tables[3, data[i + 4]]
            ^ tables[2, data[i + 5]]
            ^ tables[1, data[i + 6]]
            ^ tables[0, data[i + 7]]
        )
    for i in range(eights, n):
        crc = np.uint32((crc >> np.uint32(8)) ^ tables[0, (crc ^ data[i]) & np.uint32(0xFF)])
    return crc ^ np.uint32(0xFFFFFFFF)
