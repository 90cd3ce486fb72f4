"""Archives of arrays: what NumPy wrote is read, and no header is believed."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uvgen.storage.npz import npz_names, read_npz

ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", ">f8", "i1", ">u2", "?", "<i8", "<U3", "S2"]), hnp.array_shapes(min_dims=0, min_side=0)
)


@given(array=ARRAYS, columns_first=st.booleans(), packed=st.booleans())
def test_read_npz_gives_what_numpy_wrote(
    tmp_path_factory: pytest.TempPathFactory, array: Any, columns_first: bool, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    given_array = np.asfortranarray(array) if columns_first else array
    (np.savez_compressed if packed else np.savez)(path, a=given_array, other=np.array([{}], object))
    assert npz_names(path) == ["a", "other"]
    np.testing.assert_array_equal(read_npz(path, ["a"])["a"], given_array, strict=True)


def test_read_npz_leaves_optional_arrays_out_and_names_missing_ones(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    assert list(read_npz(tmp_path / "a.npz", [], ["b", "a"])) == ["a"]
    with pytest.raises(ValueError, match="holds no b, only a; is it another"):
        read_npz(tmp_path / "a.npz", ["a", "b"])


def archive(path: Path, content: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a.npy", content)
    return path


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


SOUND = npy(np.arange(6.0))
BAD = {
    "objects": (npy(np.array([{}], object)), "a holds Python objects, expected numbers"),
    "records": (npy(np.zeros(2, [("x", "f4")])), "a holds values of type"),
    "complex numbers": (npy(np.zeros(2, complex)), "a holds values of type complex128"),
    "fewer bytes": (SOUND[:-1], r"a has 47 bytes, float64 \(6,\) needs 48"),
    "more bytes": (SOUND + b"x", "a has 49 bytes"),
    "a shape that no memory holds": (SOUND.replace(b"(6,)", b"(%d,)" % 10**15), "a has .* bytes|damaged header"),
    "a negative shape": (SOUND.replace(b"(6,), ", b"(-6,),"), "a has a damaged header"),
    "no header": (b"xx", "a has a damaged header"),
    "a header of brackets": (SOUND[:10] + b"[" * 118, "a has a damaged header"),
    "a later version": (SOUND[:6] + b"\x09\x00" + SOUND[8:], "a has a damaged header"),
}


@pytest.mark.parametrize("kind", BAD)
def test_read_npz_of_a_bad_array_names_it(tmp_path: Path, kind: str) -> None:
    content, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        read_npz(archive(tmp_path / "a.npz", content), ["a"])


def test_read_npz_of_a_bomb_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.npz", npy(np.zeros(9 << 20)), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=r"its arrays take 75\d+ bytes, more than 67108864; set UVGEN_MAX_BYTES"):
        read_npz(path, ["a"])
    monkeypatch.setenv("UVGEN_MAX_BYTES", str(1 << 30))
    assert read_npz(path, ["a"])["a"].shape == (9 << 20,)


def test_read_npz_of_damaged_archives_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", npy(np.arange(9999.0)))
    data = bytearray(path.read_bytes())
    data[40_000] ^= 255  # far behind the header, which is read at once with what follows
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a cannot be read .*CRC"):
        read_npz(path, ["a"])
    path.write_bytes(data[:-30])
    with pytest.raises(ValueError, match="no archive of arrays"):
        read_npz(path, ["a"])
    assert npz_names(path) == [] == npz_names(tmp_path)
    with pytest.raises(ValueError, match="a is compressed in an unknown way"):
        read_npz(archive(path, SOUND, zipfile.ZIP_LZMA), ["a"])
    with pytest.raises(OSError):
        read_npz(tmp_path / "none.npz", ["a"])


@pytest.mark.parametrize("kind", ["<U0", "|S0"])
def test_read_npz_of_texts_without_length_takes_no_memory_for_them(tmp_path: Path, kind: str) -> None:
    content = SOUND[: SOUND.index(b"}")].replace(b"<f8", kind.encode()).replace(b"(6,)", b"(%d,)" % 2**24)
    path = archive(tmp_path / "a.npz", content.ljust(127) + b"\n")
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"texts of no length|damaged header"):
        read_npz(path, ["a"])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", [0x110000, 0x7FFFFFFF, 0xFFFFFFFF, 0xD800, 0xDFFF])
def test_read_npz_of_texts_of_no_characters_is_refused(tmp_path: Path, code: int, order: str) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([65, code], f"{order}u4").view(f"{order}U1"))
    with pytest.raises(ValueError, match="a holds texts of damaged characters"):
        read_npz(tmp_path / "a.npz", ["a"])
    np.savez(tmp_path / "a.npz", a=np.array([65, 0x10FFFF], f"{order}u4").view(f"{order}U1"))
    assert read_npz(tmp_path / "a.npz", ["a"])["a"].tolist() == ["A", chr(0x10FFFF)]


def test_read_npz_counts_small_numbers_as_what_is_made_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(9_000_000, "i1"))
    with pytest.raises(ValueError, match="its numbers take 72000000 bytes as float64, more than 67108864"):
        read_npz(tmp_path / "a.npz", ["a"])
    monkeypatch.setenv("UVGEN_MAX_BYTES", "72000000")
    assert read_npz(tmp_path / "a.npz", ["a"])["a"].size == 9_000_000


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["a.npy", "a"])
def test_read_npz_of_an_array_that_is_there_twice_is_refused(tmp_path: Path, name: str) -> None:
    """Programs differ in which of them they take."""
    np.savez(tmp_path / "a.npz", a=np.arange(3), b=np.arange(2))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr(name, npy(np.arange(3) + 1))
    with pytest.raises(ValueError, match="holds a twice, expected each array once"):
        read_npz(tmp_path / "a.npz", ["b"])


def test_read_npz_of_more_arrays_than_are_listed_is_refused(tmp_path: Path) -> None:
    """One of them might be there twice."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for k in range(4097):
            archive.writestr(f"{k}.npy", b"")
    with pytest.raises(ValueError, match="4097 arrays, expected 4096 at most"):
        read_npz(tmp_path / "a.npz", ["0"])
