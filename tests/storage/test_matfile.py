"""MATLAB files: what SciPy makes of sound ones, and words for those that are none, damaged, or bombs."""

import gzip
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
import scipy.sparse
from PIL import Image

from uvgen.storage.matfile import Unread, read_numeric, read_variables, variable_names


def matlab4() -> bytes:
    stream = io.BytesIO()
    sio.savemat(stream, {"Pose_Para": np.zeros((1, 7))}, format="4")
    return stream.getvalue()


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (matlab4(), "^MATLAB 4 format; save it with '-v7'"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM", "^MATLAB 7.3 format; save it with '-v7'"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, "^MATLAB 7.3 format"),
        (b"# Created by Octave 9.2.0\n# name: Pose_Para\n" + b"1 " * 99, "^Octave's own format; save it with '-v7'$"),
        (b"<!DOCTYPE html><html>" + b" " * 300, "^an HTML page, .*, no MATLAB 5 header"),
        (b"", "^an empty file, no MATLAB 5 header"),
        (b"\0" * 9000, "^nothing but zero bytes"),
        (b"0.1 0.2 0.3", "^text, no MATLAB 5 header"),
        (png(), "^a PNG image"),
        (gzip.compress(bytes(range(256))), "^a gzip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "^a Git LFS pointer"),
    ],
)
def test_read_numeric_of_something_else_says_what_it_is(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_numeric(data, ("Pose_Para",))


def plain(value: Any) -> Any:
    """What SciPy gives, out of its wrappings."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.ravel()[0]
    if getattr(getattr(value, "dtype", None), "names", None):
        record = value.ravel()[0] if isinstance(value, np.ndarray) else value
        return {name: plain(record[name]) for name in record.dtype.names}
    return value.toarray() if hasattr(value, "toarray") else value


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_same(found[name], expected[name])
    else:
        np.testing.assert_array_equal(found, expected, strict=True)


def assert_read_as_by_scipy(path: Path) -> None:
    expected = {name: plain(value) for name, value in sio.loadmat(path).items() if not name.startswith("__")}
    assert_same(read_variables(path), expected)
    assert variable_names(path) == expected.keys()


VARIABLES: dict[str, Any] = {
    "double": np.arange(6.0).reshape(2, 3), "single": np.float32([[1, 2]]), "long": np.arange(4).reshape(2, 2),
    "short": np.uint16([[1], [2]]), "logical": np.array([[True, False]]), "empty": np.zeros((0, 3)),
    "d3": np.ones((2, 3, 4)),
    "sparse": scipy.sparse.csc_matrix([[0, 2.5, 0], [1, 0, 0]]), "of_bool": scipy.sparse.csc_matrix(np.eye(3, 4) > 0),
    "struct": {"a": 1.5, "inner": {"x": np.float32(2)}, "nothing": [], "b": np.arange(3.0)},
    "cell": np.array([[None]], object),
}  # fmt: skip
VARIABLES["cell"][0, 0] = np.arange(3.0)


@pytest.mark.parametrize("packed", [False, True])
def test_read_variables_gives_what_scipy_gives(tmp_path: Path, packed: bool) -> None:
    sio.savemat(tmp_path / "a.mat", VARIABLES, do_compression=packed)
    assert_read_as_by_scipy(tmp_path / "a.mat")
    assert read_variables(tmp_path / "a.mat", ["short"]).keys() == {"short"}


def test_read_variables_of_matlab_4_gives_what_scipy_gives(tmp_path: Path) -> None:
    content = {name: VARIABLES[name] for name in ("double", "single")}
    sio.savemat(tmp_path / "a.mat", content, format="4")
    assert_read_as_by_scipy(tmp_path / "a.mat")
    whole = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="cut short"):
        read_variables(tmp_path / "a.mat")


def test_variables_of_matlab_4_that_are_no_full_numbers_are_there_unread(tmp_path: Path) -> None:
    content = {"text": "abc", "sparse": scipy.sparse.eye(3).tocsc(), "complex": np.array([[1j]])}
    sio.savemat(tmp_path / "a.mat", content, format="4")
    found = read_variables(tmp_path / "a.mat")
    assert {name: getattr(value, "what", value) for name, value in found.items()} == {
        "text": "text", "sparse": "a sparse matrix", "complex": "complex numbers"
    }  # fmt: skip


def test_read_variables_of_real_files_gives_what_scipy_gives(reference: Path) -> None:
    paths = [path for folder in ("bfm_parts", "aflw2000", "minimal_mat") for path in (reference / folder).glob("*.mat")]
    assert len(paths) > 10
    for path in paths:
        assert_read_as_by_scipy(path)


@pytest.mark.slow
def test_read_variables_of_the_stand_in_gives_what_scipy_gives(stand_in: Path) -> None:
    for path in stand_in.rglob("*.mat"):
        assert_read_as_by_scipy(path)


@pytest.mark.parametrize(
    ("value", "what"),
    [("text", "text"), (1j, "complex numbers"), (np.array([1, "a"], object), "a cell array of 1 × 2")],
)
def test_read_variables_of_what_is_no_number_says_what_it_is(tmp_path: Path, value: Any, what: str) -> None:
    sio.savemat(tmp_path / "a.mat", {"x": value})
    assert read_variables(tmp_path / "a.mat") == {"x": Unread(what)}


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(cls: int, shape: tuple[int, ...], *parts: bytes, name: bytes = b"x") -> bytes:
    header = (
        element(6, struct.pack("<II", cls, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape)) + element(1, name)
    )
    return element(14, header + b"".join(parts))


def packed(content: bytes) -> bytes:
    data = zlib.compress(content)
    return struct.pack("<II", 15, len(data)) + data


def nested(depth: int) -> bytes:
    content = array(6, (1, 1), element(9, bytes(8)))
    for _ in range(depth):
        content = array(1, (1, 1), content, name=b"")
    return content


# A content that takes a second to make is a function: it is made in its test, not while tests are collected.
HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
DAMAGED = {
    "sparse and large": (array(5, (2**31 - 1, 9), element(5, b""), element(5, bytes(40)), element(9, b"")),
    "too large"),
    "sparse rows": (array(5, (2, 1), element(5, b"\7\0\0\0"), element(5, struct.pack("<2i", 0, 1)), element(9,
    bytes(8))),
                    "damaged sparse"),
    "sparse starts": (array(5, (2, 2), element(5, b""), element(5, struct.pack("<3i", 0, 5, 0)), element(9, b"")),
                      "damaged sparse"),
    "a bomb": (lambda: packed(array(9, (1, 1 << 27), element(2, bytes(1 << 27)))), "cut short or too large"),
    "a count": (array(6, (9, 9), element(9, bytes(8))), "1 values, its dimensions state 81"),
    "a count beyond all": (array(6, (2**31 - 1,) * 32, element(9, bytes(8))), "its dimensions state"),
    "many dimensions": (array(6, (1,) * 33, element(9, bytes(8))), "damaged array header"),
    "a negative one": (array(6, (-1, -1), element(9, bytes(8))), "damaged array header"),
    "a name": (array(6, (1, 1), element(9, bytes(8)), name=b"a\nb"), "damaged name"),
    "depth": (nested(9), "more than 8 deep"),
    "variables": (array(6, (0, 0), element(9, b""), name=b"") * 10_001, "more than 10000 variables"),
    "a name twice": (array(6, (1, 1), element(9, bytes(8))) * 2, "variable x is there twice, expected once"),
    "no values": (array(6, (1, 1)), "damaged array x"),
    "struct names": (array(2, (1, 1), element(5, b"\3\0\0\0"), element(1, b"abcd")), "damaged struct"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_read_variables_of_damage_is_refused(tmp_path: Path, kind: str) -> None:
    content, message = DAMAGED[kind]
    (tmp_path / "a.mat").write_bytes(HEAD + (content() if callable(content) else content))
    with pytest.raises(ValueError, match=message):
        read_variables(tmp_path / "a.mat")


@pytest.mark.parametrize("name", [b"s", b"path", b"table_1", b"a_longer_name"])
def test_objects_of_matlab_are_known_by_their_names_and_hide_no_array(tmp_path: Path, name: bytes) -> None:
    """Such as strings and tables, whose headers have no dimensions."""
    flags = element(6, struct.pack("<2I", 17, 0))
    ids = array(13, (2, 1), element(6, struct.pack("<2I", 0xDD000000, 2)), name=b"")
    parts = flags + element(1, name) + element(1, b"MCOS") + element(1, b"string") + ids
    data = HEAD + element(14, parts) + packed(element(14, parts.replace(name, name[::-1]))) * (len(name) > 1)
    data += array(6, (1, 2), element(9, struct.pack("<2d", 3, 4)))
    (tmp_path / "a.mat").write_bytes(data)
    names = {name.decode(), name[::-1].decode()}
    assert variable_names(tmp_path / "a.mat") == {*names, "x"}
    found = read_variables(tmp_path / "a.mat")
    assert [found[one] for one in names] == [Unread("an object")] * len(names)
    for values in (found["x"], read_numeric(data, ("x",))["x"]):
        np.testing.assert_array_equal(values, [[3, 4]])
    assert read_numeric(data, (name.decode(),)) == {name.decode(): None}


def test_read_variables_in_cells_of_eight_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(HEAD + nested(8))
    assert read_variables(tmp_path / "a.mat").keys() == {""}


def test_read_numeric_of_bytes_as_doubles_is_bounded_too() -> None:
    data = HEAD + packed(array(6, (1, 1 << 25), element(2, bytes(1 << 25))))
    with pytest.raises(ValueError, match="too large"):
        read_numeric(data, ("x",))


def test_read_numeric_leaves_a_large_variable_that_is_not_wanted_packed() -> None:
    """A workspace that was saved whole has the image as doubles, too."""
    stream = io.BytesIO()
    sio.savemat(stream, {"img": np.zeros((1 << 23) + 1), "Pose_Para": np.arange(7.0)}, do_compression=True)
    found = read_numeric(stream.getvalue(), ("Pose_Para",))["Pose_Para"]
    assert found is not None and found.tolist() == [[0, 1, 2, 3, 4, 5, 6]]
    with pytest.raises(ValueError, match="too large"):
        read_numeric(stream.getvalue(), ("img",))


def test_read_numeric_refuses_a_damaged_name() -> None:
    """A variable that is called otherwise by a flipped bit would be missing without a word."""
    stream = io.BytesIO()
    sio.savemat(stream, {"Pose_Para": np.arange(7.0), "pt2d": np.ones((2, 68))}, do_compression=True)
    whole, refused = stream.getvalue(), 0
    for bit in range(128 * 8, len(whole) * 8):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        try:
            found = read_numeric(bytes(data), ("Pose_Para", "pt2d"))
        except ValueError:
            refused += 1
        else:  # bits of the archive's that say nothing
            assert all(array is not None for array in (found.get("Pose_Para"), found.get("pt2d")))
    assert refused > 1000


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize(
    ("cls", "kind", "values"),
    [
        (9, 4, struct.pack("<2H", 300, 1)),
        (9, 9, struct.pack("<2d", 0.5, 1)),
        (8, 9, struct.pack("<2d", np.nan, 1)),
        (12, 6, struct.pack("<2I", 2**31, 1)),
        (14, 13, struct.pack("<2Q", 2**63, 1)),
        (15, 9, struct.pack("<2d", -1, 2.0**64)),
    ],
)
@pytest.mark.filterwarnings("error")
def test_read_numeric_of_values_that_their_class_does_not_have_is_refused(
    cls: int, kind: int, values: bytes, is_packed: bool
) -> None:
    content = array(cls, (1, 2), element(kind, values))
    with pytest.raises(ValueError, match=r"damaged array x: values that its class, u?int.*, does not have"):
        read_numeric(HEAD + (packed(content) if is_packed else content), ("x",))


@pytest.mark.filterwarnings("error")
def test_read_numeric_of_numbers_too_large_for_their_class_gives_infinity() -> None:
    found = read_numeric(HEAD + array(7, (1, 2), element(9, struct.pack("<2d", 1e300, 1))), ("x",))["x"]
    assert found is not None and found.dtype == np.float32 and found.tolist() == [[np.inf, 1]]


@pytest.mark.parametrize("is_packed", [False, True])
def test_read_numeric_of_a_variable_that_is_there_twice_is_refused(is_packed: bool) -> None:
    one, other = (array(6, (1, 1), element(9, struct.pack("<d", value))) for value in (1, 2))
    data = HEAD + b"".join(packed(part) if is_packed else part for part in (one, other))
    with pytest.raises(ValueError, match="variable x is there twice, expected once"):
        read_numeric(data, ("x",))
    assert read_numeric(data, ("y",)) == {}


def test_read_variables_of_a_field_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    sio.savemat(stream, {"model": {"one": np.ones(3), "two": np.zeros(3)}})
    assert stream.getvalue().count(b"two\0") == 1
    (tmp_path / "a.mat").write_bytes(stream.getvalue().replace(b"two\0", b"one\0"))
    with pytest.raises(ValueError, match="field one is there twice, expected once"):
        read_variables(tmp_path / "a.mat")


def test_read_variables_of_a_matlab_4_variable_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    sio.savemat(stream, {"UV": np.ones((3, 2)), "VU": np.zeros((3, 2))}, format="4")
    (tmp_path / "a.mat").write_bytes(stream.getvalue())
    assert set(read_variables(tmp_path / "a.mat")) == {"UV", "VU"}
    (tmp_path / "a.mat").write_bytes(stream.getvalue().replace(b"VU\0", b"UV\0"))
    for names in (None, ("UV",), ("other",)):
        with pytest.raises(ValueError, match="variable UV is there twice, expected once"):
            read_variables(tmp_path / "a.mat", names)


@pytest.mark.parametrize("compressed", [False, True])
def test_logical_values_are_no_numbers(compressed: bool) -> None:
    stream = io.BytesIO()
    sio.savemat(stream, {"a": np.ones((1, 7), bool), "b": np.ones((1, 7), np.uint8)}, do_compression=compressed)
    found = read_numeric(stream.getvalue(), ("a", "b"))
    assert found["a"] is None and found["b"] is not None


def test_two_arrays_in_one_compressed_element_are_refused() -> None:
    stream = io.BytesIO()
    sio.savemat(stream, {"a": np.ones((1, 7)), "b": np.zeros((1, 7))})
    data = stream.getvalue()
    packed = zlib.compress(data[128:])
    with pytest.raises(ValueError, match="two arrays in one compressed element, expected one in each"):
        read_numeric(data[:128] + struct.pack("<II", 15, len(packed)) + packed, ("a",))


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("kind", [0, 1, 9, 14 | 4 << 16])
def test_what_is_no_array_is_refused_and_hides_none(tmp_path: Path, kind: int, is_packed: bool) -> None:
    """Such as zeros where a disk lost the end of a file: what was there would be missing without a word."""
    one, other = (array(6, (1, 1), element(9, bytes(8)), name=name) for name in (b"x", b"y"))
    lost = struct.pack("<I", kind) + bytes(len(other) - 4)
    for parts in ((one, lost), (one, lost, other), (lost, one)):
        data = HEAD + b"".join(packed(part) if is_packed else part for part in parts)
        (tmp_path / "a.mat").write_bytes(data)
        for read in (lambda data=data: read_numeric(data, ("x", "y")), lambda: read_variables(tmp_path / "a.mat")):
            with pytest.raises(ValueError, match=r"damaged|cut short"):
                read()
