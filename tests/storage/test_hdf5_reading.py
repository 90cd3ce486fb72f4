"""What an HDF5 file may declare and still be refused, each rule by a file that breaks it alone."""

import errno
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5p, h5s, h5t, h5z
from hypothesis import given
from hypothesis import strategies as st
from support.builds import PATIENCE_S

from uvgen.errors import DatasetError, ModelError
from uvgen.storage.hdf5_headers import UNFILTERED_EDGE
from uvgen.storage.hdf5_reading import open_hdf5

ROWS = np.arange(4 * 96, dtype=np.uint16).reshape(4, 8, 12)


def low_level(file: h5py.File, kind: Any, shape: tuple[int, ...] = (4,)) -> None:
    """A dataset `value` of any HDF5 type."""
    h5d.create(file.id, b"value", kind, h5s.create_simple(shape)).close()


def chunked(file: h5py.File, chunks: dict[int, bytes], mask: int = 0, **options: Any) -> None:
    """Rows whose chunks are given as they are stored; others were never written."""
    data = file.create_dataset("value", ROWS.shape, ROWS.dtype, chunks=(1, 8, 12), fillvalue=None, **options)
    for row, content in chunks.items():
        data.id.write_direct_chunk((row, 0, 0), content, mask)


def all_rows(content: Callable[[bytes], bytes] = bytes) -> dict[int, bytes]:
    return {row: content(ROWS[row].tobytes()) for row in range(4)}


def plug_in(file: h5py.File) -> None:
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(32015, h5z.FLAG_OPTIONAL, (1,))
    h5d.create(file.id, b"value", h5t.STD_U8LE, h5s.create_simple((4,)), plist).close()


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "value", (4,))
    file.create_virtual_dataset("value", layout)


def attribute(value: Any, kind: Any = None) -> Callable[[h5py.File], None]:
    def make(file: h5py.File) -> None:
        file["value"] = [1]
        file.attrs.create("odd", value(file) if callable(value) else value, dtype=kind)

    return make


def ragged() -> np.ndarray:
    array = np.empty(1, object)
    array[0] = np.arange(3, dtype=np.int32)
    return array


def low_level_attribute(file: h5py.File, kind: Any) -> None:
    """An attribute of any HDF5 type."""
    h5a.create(file.id, b"odd", kind, h5s.create(h5s.SCALAR))


def committed_text(file: h5py.File) -> None:
    """An attribute whose type is stored by itself, as a member of the file beside a dataset."""
    file["value"] = [1]
    kind = h5t.py_create(h5py.string_dtype(), logical=True)
    kind.commit(file.id, b"type")
    h5a.create(file.id, b"odd", kind, h5s.create(h5s.SCALAR))


def bytes_that_are_no_text(file: h5py.File) -> None:
    file["value"] = [1]
    file.attrs.create("odd", b"\xff\xfe", dtype=h5py.string_dtype("utf-8", 2))


def name_that_is_no_text(file: h5py.File) -> None:
    file["value"] = [1]
    h5d.create(file.id, b"\xff\xfe", h5t.STD_U8LE, h5s.create_simple((1,))).close()


HOSTILE: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "external link": (lambda f: f.__setitem__("value", h5py.ExternalLink("/etc/other.h5", "/x")), "link .external"),
    "soft link": (lambda f: (f.__setitem__("x", [1]), f.__setitem__("value", h5py.SoftLink("/x"))), "link .soft"),
    "dangling soft link": (lambda f: f.__setitem__("value", h5py.SoftLink("/value")), "link .soft"),
    "external storage": (
        lambda f: f.create_dataset("value", (4,), "u1", external=[("/etc/passwd", 0, 4)]), "stored in another file"
    ),
    "virtual dataset": (virtual, "virtual dataset"),
    "plug-in filter": (plug_in, "filter 32015"),
    "checksum filter": (lambda f: f.create_dataset("value", data=ROWS, fletcher32=True), "filter 3"),
    "scale-offset filter": (lambda f: f.create_dataset("value", data=ROWS, scaleoffset=4), "filter 6"),
    "group": (lambda f: f.create_group("value"), "is not a dataset"),
    "committed type": (lambda f: f.__setitem__("value", np.dtype("f4")), "is not a dataset"),
    "texts of variable length": (lambda f: f.__setitem__("value", ["a", "bc"]), "text of variable length"),
    "numbers of variable length": (
        lambda f: f.create_dataset("value", (2,), h5py.vlen_dtype(np.int32)), "values of variable length"
    ),
    "references": (lambda f: f.create_dataset("value", (2,), h5py.ref_dtype), "references"),
    "region references": (lambda f: f.create_dataset("value", (2,), h5py.regionref_dtype), "references"),
    "compound": (lambda f: f.create_dataset("value", (2,), "i4,f4"), "compounds"),
    "opaque": (lambda f: f.create_dataset("value", (2,), "V8"), "opaque bytes"),
    "bit field": (lambda f: low_level(f, h5t.STD_B8LE), "bit fields"),
    "time": (lambda f: low_level(f, h5t.UNIX_D32LE), "times"),
    "arrays": (lambda f: low_level(f, h5t.array_create(h5t.STD_U8LE, (3,))), "arrays"),
    "complex": (lambda f: f.create_dataset("value", (2,), "c8"), "expected plain numbers"),
    "long double": (lambda f: f.create_dataset("value", (2,), np.longdouble), "expected plain numbers"),
    "no shape": (lambda f: f.__setitem__("value", h5py.Empty("f4")), "no shape"),
    "never written": (lambda f: f.create_dataset("value", (1 << 40,), "f8"), "stores 0 bytes"),
    "huge and compressed": (
        lambda f: f.create_dataset("value", (1 << 40,), "f8", chunks=(1 << 20,), compression="gzip"), "declares"
    ),
    "chunk missing": (lambda f: chunked(f, {k: v for k, v in all_rows().items() if k != 2}), "declares|3 chunks"),
    "chunk too long": (lambda f: chunked(f, all_rows(lambda b: b * 100)), "chunk of 19200 bytes"),
    "chunk too short": (lambda f: chunked(f, {**all_rows(lambda b: b + b), 1: b"1"}), "chunk of 384|chunk of 1 "),
    "filter mask": (lambda f: chunked(f, all_rows(), mask=1), "filter mask 1"),
    "chunk compressed to nothing": (
        lambda f: chunked(f, all_rows(lambda b: zlib.compress(b"")), compression="gzip"), "0 bytes or more"
    ),
    "chunk that is a bomb": (
        lambda f: chunked(f, all_rows(lambda b: zlib.compress(bytes(1_000_000))), compression="gzip"), "192 bytes or"
    ),
    "chunk much larger than the dataset": (
        lambda f: f.create_dataset(
            "value", (4, 12), "u2", chunks=(1 << 22, 12), maxshape=(None, 12), compression="gzip"
        ).write_direct(ROWS[:, 0].copy()), "chunks of 100663296 bytes, its shape needs 96"
    ),
    "chunk that is cut short": (
        lambda f: chunked(f, all_rows(lambda b: zlib.compress(b)[:-3]), compression="gzip"), "bytes or more"
    ),
    "chunks of lzf": (
        lambda f: f.create_dataset("value", data=ROWS, compression="lzf"), "LZF, expected .*; h5repack -f GZIP=4"
    ),
    "chunks of lzf after shuffle": (
        lambda f: f.create_dataset("value", data=ROWS, compression="lzf", shuffle=True), "packed with LZF"
    ),
    "chunk that is not compressed": (
        lambda f: chunked(f, all_rows(lambda b: b[:50]), mask=1, compression="gzip"), "chunk of 50 bytes"
    ),
    "attribute of variable length": (attribute(ragged(), h5py.vlen_dtype(np.int32)), "variable length"),
    "attribute of text of variable length": (
        attribute("a"), "attribute odd of the file is text of variable length, .*earlier uvgen. Make the file again"
    ),
    "attribute of texts of variable length": (attribute(["a", "b"]), "text of variable length"),
    "attribute of ASCII of variable length": (attribute("a", h5py.string_dtype("ascii")), "text of variable length"),
    "attribute of a committed text of variable length": (committed_text, "text of variable length"),
    "compound attribute with a text of variable length": (
        attribute(lambda f: np.array((1, "a"), [("n", "i4"), ("t", h5py.string_dtype())])), "compounds"
    ),
    "array attribute of texts of variable length": (
        lambda f: (f.__setitem__("value", [1]), low_level_attribute(f, h5t.array_create(h5t.py_create(
            h5py.string_dtype()), (2,)))), "arrays"
    ),
    "attribute of a dataset, of variable length": (
        lambda f: (f.__setitem__("value", [1]), f["value"].attrs.__setitem__("unit", "px")), "unit of value is text"
    ),
    "attribute that refers": (attribute(lambda f: f["value"].ref, h5py.ref_dtype), "references"),
    "compound attribute": (attribute(np.zeros((), "i4,f4")), "compounds"),
    "large attribute": (attribute(np.zeros(5000, "u1")), "5000 values"),
    "empty attribute": (attribute(h5py.Empty("f4")), "is empty"),
    "attribute that is no text": (bytes_that_are_no_text, "cannot be read .*utf-8"),
    "many attributes": (
        lambda f: (f.__setitem__("value", [1]), f.attrs.update({f"a{k}": k for k in range(300)})), "300 attributes"
    ),
    "many members": (lambda f: [f.__setitem__(f"v{k}", [1]) for k in range(1100)], "1100 members"),
    "two names of one dataset": (
        lambda f: (f.__setitem__("value", [1]), f.__setitem__("again", f["value"])), "again and value for one dataset"
    ),
    "name that is no text": (name_that_is_no_text, "has a member named"),
}  # fmt: skip


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "bad.h5", "w", libver="earliest") as file:
        file["group/mean_1"], file["group/mean_2"] = [1], [2]
        file.attrs.update({"mean_1": 1, "mean_2": 2})
    content = (tmp_path / "bad.h5").read_bytes()
    (tmp_path / "bad.h5").write_bytes(content.replace(b"mean_2", b"mean_1"))
    with open_hdf5(tmp_path / "bad.h5") as opened:
        with pytest.raises(DatasetError, match=r"bad\.h5: has mean_1 twice"):
            opened.members("group")
        with pytest.raises(DatasetError, match=r"bad\.h5: the file has an attribute mean_1 twice"):
            opened.attributes  # noqa: B018


def read(path: Path) -> dict[str, Any]:
    """All that a file has."""
    with open_hdf5(path) as file:
        file.attributes  # noqa: B018
        data = {name: file.safe_dataset(name) for name in file.names}
        for dataset in data.values():
            dataset.attributes  # noqa: B018
        return {name: dataset.read() for name, dataset in data.items()}


@pytest.mark.parametrize("kind", HOSTILE)
def test_open_hdf5_of_a_hostile_file_is_refused(tmp_path: Path, kind: str) -> None:
    make, message = HOSTILE[kind]
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        make(file)
    with pytest.raises(DatasetError, match=rf"bad\.h5: .*({message})"):
        read(tmp_path / "bad.h5")


# HDF5 2.0.0 looks for ever through a global heap whose free space says that it has no bytes. All of these lie there.


def fill_value(file: h5py.File) -> None:
    """A dataset without elements, whose fill value is a text: HDF5 looks for it when asked about the dataset."""
    file.create_dataset("value", (4,), h5py.string_dtype(), fillvalue="hello", chunks=(4,))


IN_THE_HEAP: dict[str, Callable[[h5py.File], object]] = {
    "attribute of the file": attribute("hello"),
    "attribute of texts": attribute(["hello", "you"]),
    "attribute of numbers": attribute(ragged(), h5py.vlen_dtype(np.int32)),
    "attribute of regions": attribute(lambda f: f["value"].regionref[:], h5py.regionref_dtype),
    "attribute that is a compound": attribute(lambda f: np.array((1, "a"), [("n", "i4"), ("t", h5py.string_dtype())])),
    "attribute of a dataset": lambda f: (f.__setitem__("value", [1]), f["value"].attrs.__setitem__("unit", "px")),
    "dataset of texts": lambda f: f.__setitem__("value", ["hello", "you"]),
    "dataset of numbers": lambda f: f.create_dataset("value", data=ragged(), dtype=h5py.vlen_dtype(np.int32)),
    "dataset of regions": lambda f: (
        f.__setitem__("x", [1]), f.create_dataset("value", data=f["x"].regionref[:], dtype=h5py.regionref_dtype)
    ),
    "dataset of compounds": lambda f: f.__setitem__(
        "value", np.array([(1, "a")], [("n", "i4"), ("t", h5py.string_dtype())])
    ),
    "fill value": fill_value,
    "sources of a virtual dataset": virtual,
}  # fmt: skip


def without_end(path: Path) -> None:
    """Let the free space at the end of each global heap say that it has no bytes."""
    data = bytearray(path.read_bytes())
    heaps = [found.start() for found in re.finditer(b"GCOL", data)]
    assert heaps
    for heap in heaps:
        at = heap + 16
        while struct.unpack_from("<H", data, at)[0] != 0:
            at += 16 + (struct.unpack_from("<Q", data, at + 8)[0] + 7) // 8 * 8
        struct.pack_into("<Q", data, at + 8, 0)
    path.write_bytes(data)


READ_ALL = """
import sys
from pathlib import Path
from uvgen.errors import DatasetError
from uvgen.storage.hdf5_reading import open_hdf5
for path in sys.argv[1:]:
    with open_hdf5(Path(path)) as file:
        found = 0
        for read in (lambda: file.attributes, lambda: file.safe_dataset("value").attributes,
                     lambda: file.safe_dataset("value").read(), lambda: file.safe_dataset("value").map()):
            try:
                read()
            except DatasetError as error:
                found += 1
    print("refused" if found else "read", flush=True)
"""


def test_nothing_that_lies_in_a_global_heap_is_looked_for(tmp_path: Path) -> None:
    paths = []
    for name, make in IN_THE_HEAP.items():
        paths.append(tmp_path / f"{name}.h5")
        with h5py.File(paths[-1], "w") as file:
            make(file)
        without_end(paths[-1])
    try:
        output = subprocess.run(
            [sys.executable, "-c", READ_ALL, *map(str, paths)], stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S
        ).stdout
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode() + "hangs"
    assert dict(zip(IN_THE_HEAP, output.split(), strict=False)) == dict.fromkeys(IN_THE_HEAP, "refused")


def test_open_hdf5_never_opens_the_file_that_a_link_or_a_virtual_dataset_names(tmp_path: Path) -> None:
    """The other file exists, and would be read: HDF5 itself follows both."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["value"] = np.ones(4, np.float32)
    for make in (virtual, lambda f: f.__setitem__("value", h5py.ExternalLink("other.h5", "value"))):
        with h5py.File(tmp_path / "bad.h5", "w") as file:
            make(file)
        with h5py.File(tmp_path / "bad.h5") as file:
            assert file["value"][0] == 1  # so it does
        with pytest.raises(DatasetError, match=r"link|virtual"):
            read(tmp_path / "bad.h5")


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "/value", "value/", "group//value", "../value", "none"])
def test_dataset_of_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["value"] = file["group/value"] = [1]
    with open_hdf5(tmp_path / "a.h5") as file, pytest.raises(DatasetError, match=r"a\.h5: "):
        file.safe_dataset(name)


def test_dataset_goes_through_groups_and_checks_each_link(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/value"] = [1, 2]
        file["group/loop"] = file["group"]  # a circle of hard links is a group like others
        file["soft"] = h5py.SoftLink("/group")
    with open_hdf5(tmp_path / "a.h5") as file:
        assert file.safe_dataset("group/loop/loop/value").read().tolist() == [1, 2]
        for name in ("soft/value", "group/value/value"):
            with pytest.raises(DatasetError, match=r"link|not a group"):
                file.safe_dataset(name)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(200), None])
def test_open_hdf5_of_another_file_is_refused_as_asked(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.h5: at all: (cannot be read|no such file).*; do something"):
        open_hdf5(tmp_path / "a.h5", ModelError, "; do something", "at all: ")
    with pytest.raises(DatasetError, match="no regular file"):
        open_hdf5(tmp_path)


@pytest.mark.parametrize("n_attributes", [0, 3, 6])
def test_safe_dataset_reads_long_headers_behind_a_user_block(tmp_path: Path, n_attributes: int) -> None:
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512, libver=("v108", "v110")) as file:
        file["before"] = np.arange(5000.0)
        file["value"] = np.arange(5.0)
        for k in range(n_attributes):  # more than the header's first block holds
            file["value"].attrs[f"a{k}"] = np.bytes_("x" * 200)
    with open_hdf5(tmp_path / "a.mat", user_block=512) as file:
        np.testing.assert_array_equal(file.safe_dataset("value").read(), np.arange(5.0))


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True}])
def test_chunks_behind_a_user_block_are_read_and_bombs_among_them_refused(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("value", data=ROWS, chunks=(1, 5, 12), **options)
        bomb = file.create_dataset("bomb", (4,), "u1", chunks=(4,), **options)
        bomb.id.write_direct_chunk((0,), zlib.compress(bytes(100_000_000)) if options else bytes(5))
    with open_hdf5(tmp_path / "a.mat", user_block=512) as opened:
        np.testing.assert_array_equal(opened.safe_dataset("value").read(), ROWS)
        with pytest.raises(
            DatasetError, match=r"bomb has a chunk of|bomb cannot be read \(4 bytes or more, expected 4"
        ):
            opened.safe_dataset("bomb").read()


def test_open_hdf5_of_a_file_with_a_user_block_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["value"] = [1]
    with pytest.raises(DatasetError, match="user block"):
        open_hdf5(tmp_path / "a.h5")


def test_open_hdf5_of_a_file_cut_short_while_open_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["value"] = np.zeros(10_000)
        chunked_rows = file.create_dataset("rows", data=ROWS, chunks=(1, 8, 12))
        assert chunked_rows.chunks
    with open_hdf5(tmp_path / "a.h5") as file:
        value = file.safe_dataset("value")
        with open(tmp_path / "a.h5", "r+b") as raw:
            raw.truncate(3000)
        with pytest.raises(DatasetError, match=r"value cannot be read .*shorter than it was"):
            value.read()


@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    chunk=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    dtype=st.sampled_from(["u1", "<u2", ">u2", "<f4", "<f8", ">i8", "?", "S5"]),
    how=st.sampled_from([
        {}, {"compact": True}, {"chunks": True}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True},
        {"shuffle": True},
    ]),
    version=st.sampled_from([("earliest", "v110"), "latest"]),
)  # fmt: skip
def test_dataset_read_equals_what_h5py_reads(
    tmp_path_factory: Any, shape: list[int], chunk: list[int], dtype: str, how: dict[str, Any], version: Any
) -> None:
    """By another way than HDF5's: whatever the shape of the chunks, the filters and the format's version are."""
    path = tmp_path_factory.mktemp("read") / "a.h5"
    values = np.random.default_rng(0).integers(0, 3, shape)
    array = values.astype(bool) if dtype == "?" else values.astype(dtype)
    options = dict(how)
    if options and not options.get("compact"):
        options["chunks"] = tuple(min(c, n) for c, n in zip(chunk, shape, strict=False))
    if options.pop("compact", False):
        plist = h5p.create(h5p.DATASET_CREATE)
        plist.set_layout(h5d.COMPACT)
        options = {"dcpl": plist}
    with h5py.File(path, "w", libver=version) as file:
        if "dcpl" in options:
            kind = h5t.py_create(array.dtype)
            h5d.create(file.id, b"value", kind, h5s.create_simple(tuple(shape)), options["dcpl"])
            file["value"][...] = array
        else:
            file.create_dataset("value", data=array, **options)
    with h5py.File(path) as file:
        expected = file["value"][()]
    with open_hdf5(path) as opened:
        data = opened.safe_dataset("value")
        np.testing.assert_array_equal(data.read(), expected, strict=True)
        np.testing.assert_array_equal(data.map(), expected, strict=True)
        np.testing.assert_array_equal(data.read_range(1, shape[0]), expected[1:], strict=True)
        if data.by_row:
            for row in range(shape[0]):
                np.testing.assert_array_equal(data.read_row(row), expected[row])


@pytest.mark.parametrize(
    ("padding", "fill", "behind"),
    [(h5t.STR_NULLPAD, b"\0", b""), (h5t.STR_SPACEPAD, b" ", b""), (h5t.STR_NULLTERM, b"\0", b"\0rest")],
)
@pytest.mark.parametrize("rows", [None, (1,), (3,)])
def test_texts_are_read_without_what_fills_them_up(
    tmp_path: Path, padding: int, fill: bytes, behind: bytes, rows: tuple[int, ...] | None
) -> None:
    """Fortran fills with blanks, C ends with a zero; NumPy knows zeros alone."""
    texts, kind = [b"a", b" b c", b"", b"0123456789ab"], h5t.C_S1.copy()
    kind.set_size(12)
    kind.set_strpad(padding)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plist = h5p.create(h5p.DATASET_CREATE)
        if rows is not None:
            plist.set_chunk(rows)
        data = h5d.create(file.id, b"value", kind, h5s.create_simple((4,)), plist)
        padded = [text if len(text) == 12 else (text + behind).ljust(12, fill) for text in texts]
        data.write(h5s.ALL, h5s.ALL, np.frombuffer(b"".join(padded), "S12"), kind)
    with open_hdf5(tmp_path / "a.h5") as opened:
        value = opened.safe_dataset("value")
        assert value.read().tolist() == texts
        assert not value.by_row or [value.read_row(row).item() for row in range(4)] == texts


def test_enumeration_of_numbers_that_numpy_does_not_have_is_refused(tmp_path: Path) -> None:
    """As such numbers are: of 12 bits from the fifth on, 1 would be read as 16."""
    odd = h5t.STD_I32LE.copy()
    odd.set_precision(12)
    odd.set_offset(4)
    for name, number in (("plain", h5t.STD_I32LE), ("odd", odd)):
        kind = h5t.enum_create(number)
        kind.enum_insert(b"one", 1)
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            data = h5d.create(file.id, b"value", kind, h5s.create_simple((4,)))
            data.write(h5s.ALL, h5s.ALL, np.full(4, 1, np.int32), kind)
    with open_hdf5(tmp_path / "plain.h5") as opened:
        assert opened.safe_dataset("value").read().tolist() == [1] * 4
    with open_hdf5(tmp_path / "odd.h5") as opened, pytest.raises(DatasetError, match="value holds numbers that NumPy"):
        opened.safe_dataset("value")


def test_dataset_of_an_incompressible_chunk_is_read(tmp_path: Path) -> None:
    """HDF5 stores a chunk as it is where a filter does not make it smaller, and says so in the filter mask."""
    noise = np.random.default_rng(0).integers(0, 2**16, (3, 64, 64)).astype(np.uint16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("value", data=noise, chunks=(1, 64, 64), compression="gzip", shuffle=True)
    with open_hdf5(tmp_path / "a.h5") as opened:
        np.testing.assert_array_equal(opened.safe_dataset("value").read(), noise)


def test_dataset_read_of_more_than_is_allowed_names_the_argument(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("value", data=np.zeros((100, 100)), compression="gzip")
    with open_hdf5(tmp_path / "a.h5") as opened:
        data = opened.safe_dataset("value")
        with pytest.raises(DatasetError, match="takes 80000 bytes, more than max_bytes=79999"):
            data.read(79_999)
        assert data.read(80_000).shape == (100, 100)


_READ_BY_DRIVER = """
import sys
from pathlib import Path
from uvgen.storage.hdf5_reading import open_hdf5
with open_hdf5(Path(sys.argv[1])) as file:
    print(file.safe_dataset("value").read_row(1).tolist())
"""


@pytest.mark.parametrize("driver", ["core", "stdio", "family", "log"])
def test_open_hdf5_reads_a_plain_file_whatever_driver_the_environment_names(tmp_path: Path, driver: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        chunked(file, all_rows())
    words = [sys.executable, "-c", _READ_BY_DRIVER, tmp_path / "a.h5"]
    environment = {**os.environ, "HDF5_DRIVER": driver}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=PATIENCE_S, check=False)
    assert (done.stdout, done.stderr) == (f"{ROWS[1].tolist()}\n", "")


_READ_BEFORE_THE_CLOSE_FAILS = """
import os, sys
from pathlib import Path
from uvgen.storage.hdf5_reading import open_hdf5
lower = os.open(os.devnull, os.O_RDONLY)
files = [open_hdf5(Path(sys.argv[1])) for _ in range(int(sys.argv[2]))]
os.close(lower)  # the next file has this number, and not HDF5's
print([file.safe_dataset("value").read_row(1).tolist() for file in files])
os.close(files[0].id.get_vfd_handle())
for file in files[: int(sys.argv[3])]:
    file.close()
"""


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="there HDF5's own descriptor is not asked for")
@pytest.mark.parametrize(("n_opened", "n_closed"), [(1, 1), (1, 0), (2, 2), (2, 1), (2, 0)])
def test_error_of_closing_a_file_that_was_read_counts_for_nothing(tmp_path: Path, n_opened: int, n_closed: int) -> None:
    """HDF5 would raise, and break down on exit; a disk that does not answer is played by a descriptor that is gone."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        chunked(file, all_rows())
    words = [sys.executable, "-c", _READ_BEFORE_THE_CLOSE_FAILS, str(tmp_path / "a.h5"), str(n_opened), str(n_closed)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{[ROWS[1].tolist()] * n_opened}\n"


def test_file_opened_twice_is_read_after_one_of_the_two_was_closed(tmp_path: Path) -> None:
    """HDF5 has one descriptor for both."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        chunked(file, all_rows())
    with open_hdf5(tmp_path / "a.h5") as first, h5py.File(tmp_path / "a.h5") as of_the_user:
        open_hdf5(tmp_path / "a.h5").close()
        np.testing.assert_array_equal(first.safe_dataset("value").read_row(1), ROWS[1])
        first.close()
        np.testing.assert_array_equal(of_the_user["value"][2], ROWS[2])


@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP"])
def test_file_on_a_file_system_without_locks_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As NFS without its lock daemon says; HDF5 goes on by itself only after ENOSYS."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["value"] = ROWS
    opened = h5py.File

    def without_locks(*arguments: Any, locking: Any = None, **options: Any) -> Any:
        if locking is not False and not is_open:  # HDF5 locks no file that this process has open
            raise OSError(getattr(errno, name), "Unable to synchronously open file (unable to lock file)")
        return opened(*arguments, locking=locking, **options)

    monkeypatch.setattr(h5py, "File", without_locks)
    is_open = False
    with open_hdf5(tmp_path / "a.h5", DatasetError) as file:
        np.testing.assert_array_equal(file.safe_dataset("value").read(), ROWS)
        is_open = True
        with open_hdf5(tmp_path / "a.h5", DatasetError) as again:
            np.testing.assert_array_equal(again.safe_dataset("value").read(), ROWS)


def test_chunks_at_the_edge_that_are_stored_without_filters_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their filter masks say otherwise."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("value", data=np.zeros(5), chunks=(2,), shuffle=True)
    monkeypatch.setattr("uvgen.storage.hdf5_reading.layout_classes", lambda *_: {UNFILTERED_EDGE})
    with open_hdf5(tmp_path / "a.h5") as file, pytest.raises(DatasetError, match="value leaves chunks at its edge unf"):
        file.safe_dataset("value")


def test_attributes_of_more_bytes_than_the_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 may store one of them once for any number of datasets."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "abc":
            file[name] = [1]
            file[name].attrs["text"] = np.bytes_(b"x" * 400)
    with open_hdf5(tmp_path / "a.h5") as file:
        assert all(len(file.safe_dataset(name).attributes["text"]) == 400 for name in "abc" * 9)
    monkeypatch.setattr("uvgen.storage.hdf5_reading._MAX_TEXT", 400)
    with open_hdf5(tmp_path / "a.h5") as file:
        file._attribute_bytes = (size := file.size) - 2 * (400 + len("text"))
        assert all(file.safe_dataset(name).attributes for name in "ab")
        with pytest.raises(DatasetError, match=f"its attributes have more than {size} bytes, expected the file's size"):
            file.safe_dataset("c").attributes  # noqa: B018


def test_chunks_of_a_byte_are_refused_where_there_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvgen.storage.hdf5_reading._FREE_CHUNKS", 50)
    monkeypatch.setattr("uvgen.storage.hdf5_reading._LEAST_CHUNK", 1 << 12)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("few", data=np.zeros(50, np.uint8), chunks=(1,))
        file.create_dataset("many", data=np.zeros(51, np.uint8), chunks=(1,))
    with open_hdf5(tmp_path / "a.h5") as file:
        assert file.safe_dataset("few").read().shape == (50,)
        with pytest.raises(DatasetError, match=r"many has 51 chunks for 51 bytes.*, expected 4096 bytes or more in"):
            file.safe_dataset("many").read()


def test_chunks_of_a_byte_are_counted_over_all_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvgen.storage.hdf5_reading._FREE_CHUNKS", 50)
    monkeypatch.setattr("uvgen.storage.hdf5_reading._LEAST_CHUNK", 1 << 12)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "abc":
            file.create_dataset(name, data=np.zeros(20, np.uint8), chunks=(1,))
    with open_hdf5(tmp_path / "a.h5") as file:
        for name in "aabb":
            assert file.safe_dataset(name).read().shape == (20,)
        with pytest.raises(DatasetError, match="c has 20 chunks for 20 bytes, after others of 40, expected 4096"):
            file.safe_dataset("c").read()


def test_headers_of_more_bytes_than_the_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may go on in a block that is another's, too."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "abc":
            file[name] = [1]
    monkeypatch.setattr("uvgen.storage.hdf5_reading._MAX_TEXT", 0)
    with open_hdf5(tmp_path / "a.h5") as file:
        assert all(file.safe_dataset(name).read().size == 1 for name in "abc" * 9)  # each header is read once
        file._layouts.clear()
        file._header_bytes = file.size - 200
        with pytest.raises(DatasetError, match=f"headers of more than {file.size} bytes, expected the file's size"):
            [file.safe_dataset(name) for name in "abc"]


def test_datasets_that_lie_at_one_place_are_refused(tmp_path: Path) -> None:
    """Each would be unpacked anew."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        places = [
            file.create_dataset(name, data=np.full(5000, k, np.uint8)).id.get_offset() for k, name in enumerate("abc")
        ]
    data = bytearray((tmp_path / "a.h5").read_bytes())
    for place in places[1:]:
        data = data.replace(struct.pack("<Q", place), struct.pack("<Q", places[0]))
    end = places[0] + 5000
    (tmp_path / "a.h5").write_bytes(data.replace(struct.pack("<Q", len(data)), struct.pack("<Q", end))[:end])
    with h5py.File(tmp_path / "a.h5") as file:
        assert all(file[name][0] == 0 for name in "abc")
    with open_hdf5(tmp_path / "a.h5") as file:
        assert all(file.safe_dataset("a").read().shape == (5000,) for _ in range(3))
        with pytest.raises(DatasetError, match="b stores 5000 bytes, after others of 5000, the file has"):
            file.safe_dataset("b")


def test_many_names_of_one_dataset_are_refused(tmp_path: Path) -> None:
    """Each would be unpacked anew; a few groups may share one."""
    names = [f"group{k}/a" for k in range(9)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/a"] = np.arange(5)
        file["group/b"] = file["group/a"]
        for name in names:
            file[name] = file["group/a"]
    with open_hdf5(tmp_path / "a.h5") as file:
        assert all(file.safe_dataset(name).read().size == 5 for name in names[:8] * 2)
        with pytest.raises(DatasetError, match=r"has group0/a, group1/a … for one dataset, expected a name for each"):
            file.safe_dataset(names[8])
        with pytest.raises(DatasetError, match="has a and b for one dataset"):
            file.members("group")


def test_chunks_that_unpack_to_far_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    large = {"chunks": (1, 1 << 22), "maxshape": (None, None), "compression": "gzip"}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for n in (1, 3):
            file.create_dataset(f"rows{n}", data=np.zeros((n, 9)), **large)
    with open_hdf5(tmp_path / "a.h5") as file:
        assert file.safe_dataset("rows1").read().shape == (1, 9)
        with pytest.raises(DatasetError, match="rows3 has 3 chunks of 33554432 bytes for 216"):
            file.safe_dataset("rows3")


def test_enumerations_of_many_members_are_numbers_and_their_names_are_not_read(tmp_path: Path) -> None:
    kinds = {
        "value": h5py.enum_dtype({f"m{k}": k for k in range(3000)}, basetype="i2"),
        "two": h5py.enum_dtype({"no": 0, "yes": 1}, basetype="u1"),
        "flag": np.bool_,
    }
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, kind in kinds.items():
            file.create_dataset(name, data=np.array([0, 1], kind))
    with open_hdf5(tmp_path / "a.h5") as file:
        found = {name: file.safe_dataset(name).read() for name in kinds}
    assert {name: values.dtype for name, values in found.items()} == {"value": np.int16, "two": np.uint8, "flag": bool}
    assert all(values.tolist() == [0, 1] for values in found.values())


def test_names_of_thousands_of_characters_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a" * 1024] = [1]
        file["group/" + "b" * 1025] = [1]
    with open_hdf5(tmp_path / "a.h5") as file:
        assert len(file.names) == 2
        with pytest.raises(DatasetError, match="has a name of 1025 bytes, expected 1024 at most"):
            file.members("group")


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_file_whose_disk_does_not_answer_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(path: Path, **_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(DatasetError, match=r"a\.h5: cannot be read \("):
        open_hdf5(tmp_path / "a.h5")
