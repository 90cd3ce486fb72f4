"""Recognizing a file by its content, so that errors can say which kind of file was given instead.

Only the first bytes are looked at, and of ZIP and pickle files, which hide what they are, names inside. Nothing is
unpacked or executed. HDF5 files are opened with h5py for the names in them, and any failure is caught.
"""

import errno
import mmap
import os
import re
import struct
from contextlib import suppress
from pathlib import Path

from uvgen.storage.reading import irregular, open_regular

HEAD_BYTES = 4096
"""As much of a file as `describe_head` needs."""

_MAGIC = (
    (b"\x93NUMPY", "a NumPy .npy array"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"8BPS\0\1", "a Photoshop image"),
    (b"%PDF-", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh91AY&SY", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"glTF\2\0\0\0", "a GLB mesh"),
    (b"\0\x05\x16\x07", "a macOS AppleDouble file, not the file that it accompanies"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself, which `git lfs pull` fetches"),
)
_IMAGES = ("a JPEG image", "a PNG image", "a BMP image", "a WebP image")
_POINTERS = (b"version https://git-lfs", b"/annex/objects/")
_LONGEST_START = 64  # bytes
_ZEROS = "nothing but zero bytes, perhaps a download that failed"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MATLAB_5, _MATLAB_7_3 = (
    (b"\0\1IM", b"\1\0MI"),
    (b"\0\2IM", b"\2\0MI"),
)  # version, order of bytes: letters alone say nothing
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body|title)\b", re.IGNORECASE | re.DOTALL)
_NETPBM = re.compile(rb"P[1-6]\s+(#[^\n]*\n)?\d+\s+\d+\s")
_PICKLED_TEXT = re.compile(rb"\((dp|lp)\d*\n|c(numpy|copy_?reg|__builtin__|builtins|collections|chumpy)[\w.]*\n")
_PICKLED_BINARY = re.compile(rb"[}\]]q[\0\1]\(")  # a dict or list in protocol 1, which has no mark
_OBJ = re.compile(r"(?m)^\s*(v|vn|vt)\s+[-+.\d]\S*\s+[-+.\d]")
_TEXTS = ("text", "a JSON document", "an OBJ mesh", "an OFF mesh", "an ASCII STL mesh", "an empty file")
_MOST_SCANNED = 1 << 30  # bytes of a pickle


def describe_file(path: str | os.PathLike[str]) -> str:
    """What a file is, for a message: ``"a PNG image"``, ``"a NumPy .npy array"``, ``"text"``.

    Parameters
    ----------
    path : path-like
        Any file; it is not trusted.

    Returns
    -------
    str
        With its article. "a file of unknown kind" if nothing is recognized; no error is raised.
    """
    path = Path(path)
    try:
        if (irregular_kind := irregular(path.stat().st_mode)) is not None:
            return irregular_kind
        with open_regular(path) as file:
            head, size = file.read(HEAD_BYTES), os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        return "a file that cannot be read"
    if len(head) == HEAD_BYTES and not head.strip(b"\0") and _is_zero(path):
        return _ZEROS
    kind = describe_head(head, size)
    if kind.startswith("an HDF5 file"):
        return _describe_hdf5(path)
    if kind == "a Python pickle":
        return _describe_pickle(path, head)
    return kind


def describe_head(head: bytes, size: int | None = None) -> str:
    """What a file is, by its first bytes.

    Parameters
    ----------
    head : bytes
        The whole file, or its first `HEAD_BYTES`.
    size : int, optional
        The file's size, bytes; that of `head` by default.

    Returns
    -------
    str
        As `describe_file`.
    """
    size = len(head) if size is None else size
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return _ZEROS if size <= len(head) else "a file of unknown kind"
    for magic, kind in _MAGIC:  # before MATLAB's mark, which may be anything in the middle of another file
        if head.startswith(magic):
            return kind
    if (image := _describe_image(head)) is not None:
        return image
    if head.startswith(b"MATLAB 7.3") or (head[124:128] in _MATLAB_7_3 and head[512:520] == HDF5_SIGNATURE):
        return "a MATLAB 7.3 file"
    if HDF5_SIGNATURE in (head[:8], head[512:520], head[1024:1032], head[2048:2056]):
        return "an HDF5 file"
    if head[124:128] in _MATLAB_5:
        return "a MATLAB 5 to 7 file"
    return _describe_structured(head, size) or _describe_text(head, size) or "a file of unknown kind"


def is_image_that_is_read(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as one of an image's kinds that uvgen reads does; OSError if it cannot be opened."""
    with open_regular(path) as file:
        return describe_head(file.read(HEAD_BYTES), HEAD_BYTES) in _IMAGES


def check_fetched(path: str | os.PathLike[str], data: bytes | None = None) -> None:
    """Raise OSError, as of a disk that does not answer, if a file (its content, if that is known) stands for one that
    Git LFS or git-annex has not fetched."""
    if data is None:
        with open_regular(path) as file:
            data = file.read(_LONGEST_START)
    if data.startswith(_POINTERS):
        raise OSError(errno.ESTALE, "a pointer of Git LFS or git-annex, not the file itself; fetch it", str(path))


def describe_bytes(data: bytes) -> str:
    """What a file is, by all of its bytes."""
    return _ZEROS if data and not data.strip(b"\0") else describe_head(data[:HEAD_BYTES], len(data))


def describe_non_text(head: bytes) -> str | None:
    """What a file is if it is no text for people or programs to read: binary, a web page, a stand-in; else None."""
    kind = describe_head(head)
    return None if kind in _TEXTS or kind.startswith("a file of unknown kind") else kind


def _describe_image(head: bytes) -> str | None:
    """Images whose first bytes alone do not tell them."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "a HEIC image"
    if head[4:12] == b"ftypavif":
        return "an AVIF image"
    if head[:2] == b"BM" and len(head) > 26 and struct.unpack_from("<I", head, 14)[0] in (12, 40, 52, 56, 64, 108, 124):
        return "a BMP image"
    return None


def _describe_structured(head: bytes, size: int) -> str | None:
    """Other kinds whose first bytes alone do not tell them."""
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        name = head[30 : 30 + struct.unpack_from("<H", head, 26)[0]] if len(head) > 30 else b""
        if name.endswith(b"/data.pkl"):
            return "a PyTorch file"
        return "a NumPy .npz archive" if name.endswith(b".npy") else "a ZIP archive"
    if head[257:265] in (b"ustar\x0000", b"ustar  \0"):
        return "a tar archive"
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "a PyTorch file" if b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19" in head[:20] else "a Python pickle"
    if _PICKLED_TEXT.match(head) or _PICKLED_BINARY.match(head):
        return "a Python pickle"
    if _NETPBM.match(head):
        return "a PPM image"
    if head[:4] in (b"ply\n", b"ply\r"):
        return "a PLY mesh"
    if size >= 84 and len(head) >= 84 and size == 84 + 50 * struct.unpack_from("<I", head, 80)[0]:
        return "a binary STL mesh"
    return "a MATLAB 4 file" if _is_matlab4(head) else None


def _is_matlab4(head: bytes) -> bool:
    """A header of five int32 (type, rows, columns, imaginary, name's length) and a name that ends in a zero."""
    for order in "<>":
        if len(head) < 22:
            return False
        kind, rows, columns, imaginary, length = struct.unpack_from(order + "5i", head)
        machine, zero, precision, matrix = kind // 1000, kind // 100 % 10, kind // 10 % 10, kind % 10
        plausible = 0 <= kind < 5000 and machine <= 4 and zero == 0 and precision <= 5 and matrix <= 2
        if plausible and rows >= 0 and columns >= 0 and imaginary in (0, 1) and 1 < length <= 64:
            name = head[20 : 20 + length]
            if re.fullmatch(rb"[A-Za-z]\w*\0", name):
                return True
    return False


def _describe_text(head: bytes, size: int) -> str | None:
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "an HTML page, perhaps an error page in place of a download"
    text = _decoded(head)
    if text is None:
        return None
    stripped = text.lstrip()
    if stripped.startswith("<?xml"):
        return "an XML document"
    if re.match(r"[\[{]\s*[\"\[{\]}\d-]", stripped):
        return "a JSON document"
    if re.match(r"(ST)?(C)?(N)?OFF\s", stripped) and re.match(r"\S+\s*(#[^\n]*\n\s*)*\d+\s+\d+\s", stripped):
        return "an OFF mesh"
    if stripped.startswith("solid") and "facet" in stripped:
        return "an ASCII STL mesh"
    return "an OBJ mesh" if _OBJ.search(text) else "text"


def unmarked_utf16(data: bytes) -> str | None:
    """The encoding of UTF-16 text without a byte-order mark: of its characters, half or more are Latin letters,
    digits and marks, whose one byte is zero, always the same of the two. None if the bytes are something else.
    """
    even, odd = data[::2].count(0), data[1::2].count(0)
    if (even == 0) == (odd == 0) or max(even, odd) < len(data) / 4:
        return None
    return "utf-16-be" if even else "utf-16-le"


def _decoded(head: bytes) -> str | None:
    """The text that a file begins with, or None if it is binary."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head[: len(head) // 2 * 2].decode("utf-16", errors="replace")
    encoding = unmarked_utf16(head)
    found = head[: len(head) // 2 * 2].decode(encoding, errors="replace") if encoding else head.decode("latin-1")
    return None if re.search(r"[\0-\x08\x0e-\x19\x1c-\x1f]", found) else found


def _is_zero(path: Path) -> bool:
    with suppress(OSError), open_regular(path) as file:
        left = file.seek(0, os.SEEK_END)
        file.seek(0)
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            if block.count(0) < len(block):
                return False
            left -= len(block)
    return True


def _describe_hdf5(path: Path) -> str:
    with suppress(Exception):  # whatever a damaged file makes h5py raise
        from uvgen.storage.hdf5_reading import open_hdf5

        with open_hdf5(path) as file:
            if {"image_to_crop", "landmarks"} <= set(file.names):
                return "a shard of a uvgen data set"
            if "shape" in file.names and file.is_group("shape") and "model" in file.members("shape"):
                return "a Basel Face Model of 2017 or 2019"
            if file.attributes.get("format") == "uvgen-model":
                return "a uvgen model"
    return "an HDF5 file"


def _describe_pickle(path: Path, head: bytes) -> str:
    """Pickled face models by the names in them; the pickle is not executed."""
    with suppress(OSError, ValueError), open_regular(path) as file:
        size = min(os.fstat(file.fileno()).st_size, _MOST_SCANNED)
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
            if all(content.find(word) >= 0 for word in (b"w_shp", b"w_exp")):
                return "a Python pickle, 3DDFA_V2's face model"
            if all(content.find(word) >= 0 for word in (b"shapedirs", b"kintree_table")):
                return "a Python pickle, a model of the FLAME or SMPL family"
    return "a Python pickle"
