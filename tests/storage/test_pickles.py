"""Pickles: plain ones are what `pickle` makes of them, hostile ones do nothing."""

import pickle
import pickletools
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.other_models import chumpy

from uvgen.storage.pickles import load_plain_pickle

KEYS = st.text(max_size=5) | st.binary(max_size=5) | st.integers(-(2**59), 2**59) | st.booleans() | st.none()
ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", ">f8", "i1", ">u2", "?", "<i8", "c16", "<U3", "S2"]),
    hnp.array_shapes(min_dims=0, min_side=0),
)
PLAIN = st.recursive(
    KEYS | st.floats(allow_nan=False) | st.complex_numbers(allow_nan=False) | st.integers() | ARRAYS | st.sets(KEYS)
    | st.frozensets(KEYS) | st.binary().map(bytearray) | st.floats(width=32, allow_nan=False).map(np.float32),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4) | st.tuples(inner, inner)
    | st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict) | st.tuples(inner),
    max_leaves=12,
)  # fmt: skip


def assert_same(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, np.ndarray):
        np.testing.assert_array_equal(left, right, strict=True)
    else:
        assert left == right


@given(PLAIN, st.integers(0, 5))
def test_load_plain_pickle_gives_what_pickle_gives(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert_same(load_plain_pickle(data), pickle.loads(data))


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 0, 1), (2, 1, 0), (0, 2, 1)])
def test_load_plain_pickle_of_arrays_with_turned_axes(axes: tuple[int, ...], protocol: int) -> None:
    turned = np.arange(24.0).reshape(2, 3, 4).transpose(axes)
    assert_same(load_plain_pickle(pickle.dumps(turned, protocol)), turned)


@pytest.mark.parametrize(
    "axes", [b"K\x00K\x00\x86", b"K\x00\x85", b"K\x01K\x02\x86", b"]", b"X\x01\x00\x00\x00aK\x00\x86"]
)
def test_load_plain_pickle_of_axes_that_an_array_does_not_have_is_refused(axes: bytes) -> None:
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00i1\x85R"
    data = b"\x80\x05cnumpy._core.numeric\n_frombuffer\n(C\x06abcdef" + dtype + b"K\x02K\x03\x86X\x01\x00\x00\x00K"
    assert load_plain_pickle(data + b"K\x01K\x00\x86tR.").tolist() == [[97, 100], [98, 101], [99, 102]]
    with pytest.raises(ValueError, match="an array of a damaged order of its axes"):
        load_plain_pickle(data + axes + b"tR.")


def test_load_plain_pickle_of_python_2_takes_latin_1() -> None:
    array = np.arange(3, dtype="<i4")
    raw = "".join(f"\\x{byte:02x}" for byte in array.tobytes())
    python_2 = (
        "(dp0\nS'w\\xe9'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
        "(I1\n(I3\ntp8\ncnumpy\ndtype\np9\n(S'i4'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
        f"S'{raw}'\np15\ntp16\nbsS'n'\np17\nL12L\ns."
    ).encode()
    found = load_plain_pickle(python_2)
    assert_same(found, pickle.loads(python_2, encoding="latin1"))
    assert list(found) == ["wé", "n"]


def test_load_plain_pickle_of_real_files_is_what_pickle_gives(reference: Path) -> None:
    paths = sorted((reference / "bfm_parts").glob("*.pkl"))
    assert len(paths) == 2
    for path in paths:
        assert_same(load_plain_pickle(path.read_bytes()), pickle.loads(path.read_bytes(), encoding="latin1"))


_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
HOSTILE = {
    "os.system": b"cos\nsystem\n(S'touch RAN'\ntR.",
    "posix.system by its name on the stack": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x09touch RAN\x85R.",
    "eval": b"cbuiltins\neval\n(S'open(\"RAN\", \"w\")'\ntR.",
    "a chain of getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'touch RAN'\ntR.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.tofile\x93.",
    "numpy.load": b"cnumpy\nload\n(S'x.npy'\ntR.",
    "numpy.fromfile": b"cnumpy\nfromfile\n(S'/dev/zero'\ntR.",
    "numpy.core.multiarray.fromstring": b"cnumpy.core.multiarray\nfromstring\n(S'x'\ntR.",
    "numpy's f2py": b"cnumpy.f2py.capi_maps\ngetinit\n(S'x'\ntR.",
    "a large array": b"cnumpy\nndarray\n(I99999999999\ntR.",
    "a large array by _reconstruct": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999\ntS'b'\ntR.",
    "a large bytearray": b"cbuiltins\nbytearray\n(I99999999999\ntR.",
    "a large bytes": b"cbuiltins\nbytes\n(I99999999999\ntR.",
    "an array of objects": _ARRAY + b"(I1\n(I1\ntcnumpy\ndtype\n(S'O8'\nI0\nI1\ntRI00\n(lNatb.",
    "a type of objects by its state": b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'|'\nNS'a'\n(dI-1\nI-1\nI63\ntb.",
    "a type with another's state": b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.",
    "an array of fewer bytes": _ARRAY + b"(I1\n(I9\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntRI00\nS'1234'\ntb.",
    "an array of a negative shape": _ARRAY + b"(I1\n(I-1\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntRI00\nS''\ntb.",
    "an array of no values and too large a shape": _ARRAY
    + b"(I1\n(I288230376151711744\nI288230376151711744\nI0\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntRI00\nS''\ntb.",
    "an array of letters without size": _ARRAY + b"(I1\n(I99999999\ntcnumpy\ndtype\n(S'S0'\nI0\nI1\ntRI00\nS''\ntb.",
    "an array without values": _ARRAY + b".",
    "an array of a class": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nmemmap\n(I0\ntS'b'\ntR.",
    "copyreg": b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
    "an extension": b"\x82\x01.",
    "a persistent id": b"Pid\n.",
    "a persistent id on the stack": b"Nq\x00Q.",
    "an instance": b"(ios\nsystem\n.",
    "an object": b"(cos\nsystem\no.",
    "a new object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "a state for a dict": b"}}b.",
    "chumpy's Ch called": b"cchumpy.ch\nCh\n(tR.",
    "chumpy's Ch with arguments": b"\x80\x02cchumpy.ch\nCh\nK\x01\x85\x81}b.",
    "chumpy's Ch with a name that is no tuple": b"\x80\x02cchumpy.ch\nCh\nN\x81}b.",
    "chumpy's Ch without content": b"\x80\x02cchumpy.ch\nCh\n)\x81.",
    "chumpy's Ch with a list for content": b"\x80\x02cchumpy.ch\nCh\n)\x81]b.",
    "chumpy's Ch with numbers for names": b"\x80\x02cchumpy.ch\nCh\n)\x81}K\x01K\x02sb.",
    "chumpy's Ch filled twice": b"\x80\x02cchumpy.ch\nCh\n)\x81}b}b.",
    "chumpy's Ch that holds itself": b"\x80\x02cchumpy.ch\nCh\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb.",
    "chumpy's Ch that runs": b"\x80\x02cchumpy.ch\nCh\n)\x81}X\x01\x00\x00\x00xcos\nsystem\n(S'touch RAN'\ntRsb.",
    "another of chumpy's": b"\x80\x02cchumpy.ch\nChLambda\n)\x81}b.",
    "a class as the result": b"cchumpy.ch\nCh\n.",
    "a class in a list": b"]cscipy.sparse._csc\ncsc_matrix\na.",
    "chumpy's Ch of another base": b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\ntuple\n(ttR}b.",
    "chumpy's Ch with a base's state": b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\n(ttR}b.",
    "object called": b"c__builtin__\nobject\n(tR.",
    "copies of one content": b"\x80\x02(" + b"".join(b"X\x03\x00\x00\x00%03dN" % k for k in range(999)) + b"dq\x000"
    + b"cchumpy.ch\nCh\nq\x010" + b"h\x01)\x81h\x00b0" * 5_000 + b"N.",
    "one long key again and again": b"\x80\x02}" + b"".join(
        b"X\x40\x42\x0f\x00" + b"a" * 1_000_000 + b"q%c" % k + b"Ns" for k in range(2)
    ) + b"h\x01Ns" * 600_000 + b".",
    "one long item again and again": b"\x80\x04\x8f(" + b"B\x40\x42\x0f\x00" + b"a" * 1_000_000 + b"q\x01\x90.",
    "a codec that packs": b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
    "a function as the result": b"cnumpy\ndtype\n.",
    "a memo place far away": b"Nr\xff\xff\xff\xffj\xfe\xff\xff\xff.",
    "bytes that are not there": b"\x80\x05\x8e" + b"\xff" * 7 + b"\x7fabc.",
    "a number of many digits": b"I" + b"9" * 100_000 + b"\n.",
    "a number of many bytes": b"\x8b\xff\xff\x00\x00" + b"\x7f" * 0xFFFF + b".",
    "a negative length": b"T\xff\xff\xff\xffab.",
    "depth": b"\x80\x02)" + b"\x85" * 500_000 + b".",
    "depth as a key": b"\x80\x02})" + b"\x85" * 500_000 + b"Ns.",
    "itself": b"\x80\x02]q\x00h\x00a.",
    "the same again and again": b"\x80\x02]q\x00K\x01a" + b"".join(
        b"](" + b"h%c" % k * 10 + b"eq%c" % (k + 1) for k in range(12)
    ) + b".",

    "one text again and again": b"\x80\x02(X" + struct.pack("<I", 10_000) + b"a" * 10_000 + b"2" * 100_000 + b"l.",
    "one number again and again": b"\x80\x02(\x8b" + struct.pack("<i", 1024) + b"\x7f" * 1024 + b"2" * 100_000 + b"t.",
    "one array again and again": b"\x80\x02(" + _ARRAY + b"(I1\n(I1\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntRI00\nS'1234'\ntb"
    + b"2" * 100_000 + b"l.",
    "one set again and again": b"\x80\x04(\x8f(" + b"".join(b"M" + struct.pack("<H", k) for k in range(1000)) + b"\x90"
    + b"2" * 100_000 + b"l.",
    "one long number as each length of an array": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"
    + b"(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(\x8a\xff" + b"\x7f" * 255 + b"2" * 30_000
    + b"tcnumpy\ndtype\n(S'f4'\nI0\nI1\ntRI00\nS'1234'\ntb.",
    "copies of one list": b"\x80\x02(" + b"K\x00" * 50_000 + b"lq\x00"
    + b"cbuiltins\nlist\nh\x00\x85R0" * 50_000 + b"h\x00.",
    "too many instructions": b"N0" * 1_100_000 + b"N.",
    "a key twice": b"\x80\x02}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u.",
    "a key again": b"(S'a'\nI1\ndS'a'\nI2\ns.",
    "a key twice in pairs": b"ccollections\nOrderedDict\n((l(lS'f'\naI1\naa(lS'f'\naI2\naatR.",
    "a key twice in pairs of a dict": b"c__builtin__\ndict\n((l(S'f'\nI1\nta(S'f'\nI2\ntatR.",
    "a key again after pairs": b"ccollections\nOrderedDict\n((l(lS'f'\naI1\naatRS'f'\nI2\ns.",
    "a later protocol": b"\x80\x06N.",
    "a number of very many digits": b"F" + b"0" * 1030 + b"5\n.",
    "text in place of a mapping": b"NNNs.",
    "no end": b"N",
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_load_plain_pickle_of_a_hostile_file_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=r"expected|damaged|more than|an array|digits|calls|itself|nested|again|copies|class"
    ):
        load_plain_pickle(HOSTILE[kind])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more", [b"\n", b"junk", bytes(100), pickle.dumps([5])])
def test_load_plain_pickle_of_a_pickle_and_more_is_refused(more: bytes) -> None:
    what = f"a pickle followed by {len(more)} bytes?, expected one alone"
    with pytest.raises(ValueError, match=what):
        load_plain_pickle(pickle.dumps({"a": 1}) + more)


def test_load_plain_pickle_records_objects_of_few_classes() -> None:
    matrix = scipy.sparse.csc_matrix(np.array([[0, 1.5, 0], [2, 0, 0]]))
    for protocol in range(6):
        with chumpy() as kind:
            value = kind(np.arange(3.0))
            data = pickle.dumps([value, matrix, value, matrix.tocsr()], protocol)
        one, sparse, again, rows = load_plain_pickle(data)
        assert one is again and one["__class__"] == "chumpy.ch.Ch" and one["_dirty_vars"] == {"x"}
        np.testing.assert_array_equal(one["x"], np.arange(3.0), strict=True)
        assert sparse["__class__"] == "scipy.sparse.csc_matrix" and sparse["_shape"] == (2, 3)
        assert rows["__class__"] == "scipy.sparse.csr_matrix"
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(sparse[name], getattr(matrix, name), strict=True)


def test_load_plain_pickle_of_an_object_keeps_the_true_class() -> None:
    with chumpy() as kind:
        value = kind(np.arange(3.0))
        value.__dict__["__class__"] = "scipy.sparse.csc_matrix"
        data = pickle.dumps(value)
    assert load_plain_pickle(data)["__class__"] == "chumpy.ch.Ch"


@pytest.mark.parametrize("protocol", range(6))
def test_load_plain_pickle_takes_arrays_of_objects_where_they_are_allowed(protocol: int) -> None:
    content = {"a": np.arange(3), "b": [1, None]}
    for array in (np.array(content, object), np.array([content, "x"], object)):
        data = pickle.dumps(array, protocol)
        found = load_plain_pickle(data, object_arrays=True)
        for one, other in zip(np.ravel(found).tolist(), array.ravel().tolist(), strict=True):
            assert_same(one, other)
        with pytest.raises(ValueError, match="an array of objects, expected numbers"):
            load_plain_pickle(data)


OBJECTS = _ARRAY + b"(I1\n%scnumpy\ndtype\n(S'O8'\nI0\nI1\ntRI00\n%stb."


@pytest.mark.parametrize(
    ("shape", "items", "message"),
    [
        (b"(I2\nt", b"(lNa", "damaged shape"),
        (b"(I-1\nt", b"(l", "damaged shape"),
        (b"(I9999\nt", b"(l", "damaged shape, or of very many"),
        (b"(" + b"I1024\n" * 7 + b"I0\nt", b"(l", "damaged shape, or of very many"),
        (b"(t", b"S'x'\n", "damaged shape"),
        (b"(t", b"(lcnumpy\nndarray\na", "holds a function"),
        (b"(t", b"(lcos\nsystem\na", "it needs os.system"),
    ],
)
def test_load_plain_pickle_of_a_hostile_array_of_objects_is_refused(shape: bytes, items: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_plain_pickle(OBJECTS % (shape, items), object_arrays=True)


def test_hostile_pickles_do_what_they_are_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE["a chain of getattr"])  # the reader of the standard library: so that the test means something
    assert [path.name for path in tmp_path.iterdir()] == ["RAN"]


def test_load_plain_pickle_knows_every_instruction() -> None:
    from uvgen.storage.pickles import _REFUSED, _STEPS

    assert {opcode.code.encode("latin-1") for opcode in pickletools.opcodes} == {*_STEPS, *_REFUSED, b"."}


@pytest.mark.parametrize("code", [0x110000, 0xFFFFFFFF, 0xD800])
def test_texts_of_no_characters_are_refused(code: int) -> None:
    array = np.array([65, code], "u4").view("U1")
    one = pickle.dumps(np.array(["A"])[0]).replace(b"A\0\0\0", code.to_bytes(4, "little"))
    for data in (pickle.dumps(array), pickle.dumps({"a": array}, 2), one):
        with pytest.raises(ValueError, match="texts of damaged characters"):
            load_plain_pickle(data)


def test_load_plain_pickle_keeps_a_long_text_and_bytes_that_are_there_once() -> None:
    content = {"a": "x" * 3_000_000, "b": bytes(200_000_000), "c": [2**200, {1, 2}]}
    assert load_plain_pickle(pickle.dumps(content)) == content
