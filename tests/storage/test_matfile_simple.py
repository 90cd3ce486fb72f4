"""The short reader of samples' files gives what the general one gives, or leaves the file to it."""

import io
import struct
import zlib
from pathlib import Path
from random import Random  # noqa: TID251 (what the mutators draw from)
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from fuzz import mutators
from support.toy import parameters

from uvgen.storage.matfile import read_any_numeric, read_numeric
from uvgen.storage.matfile_simple import read_simple

NAMES = ("Pose_Para", "Shape_Para", "Exp_Para", "pt2d", "pt3d_68", "Illum_Para", "a")


def stored(content: dict[str, Any], *, packed: bool) -> bytes:
    stream = io.BytesIO()
    sio.savemat(stream, content, do_compression=packed)
    return stream.getvalue()


def made() -> list[bytes]:
    """Files as 300W-LP has them, and such with short names and every type."""
    types = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
    short = {name: np.arange(2, 14).reshape(3, 4).astype(kind) for name, kind in zip("abcdefghij", types, strict=True)}
    sample = parameters() | {"pt3d_68": np.ones((3, 68), np.float32), "Exp_Para": np.zeros((29, 1))}
    return [stored(content, packed=packed) for content in (sample, short) for packed in (False, True)]


def assert_agree(data: bytes, names: tuple[str, ...] = NAMES) -> bool:
    """Whether the short reader reads a file; where it does, the general one gives the same."""
    found = read_simple(data, names)
    if found is None:
        return False
    expected = read_any_numeric(data, "<", names)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        other = expected[name]
        assert other is not None
        assert (array.dtype, array.shape, array.flags.f_contiguous) == (other.dtype, other.shape, True), name
        assert array.tobytes() == other.tobytes(), name
        assert array.flags.writeable
    return True


def assert_agree_on_damage(seeds: list[bytes], n: int) -> None:
    """Both readers over damage to the bytes of files, and to the words of what is packed in them."""
    read = refused = 0
    for number in range(n):
        rng = Random(number)
        data = mutators.mat(rng.choice(seeds), rng)
        if rng.random() < 0.2:
            data = mutators.any_bytes(data, rng)
        if data[126:128] != b"IM":
            continue
        try:
            expected: Any = read_any_numeric(data, "<", NAMES)
        except ValueError:
            assert read_simple(data, NAMES) is None, number
            refused += 1
            continue
        read += assert_agree(data)
        assert read_numeric(data, NAMES).keys() == expected.keys()
    assert min(read, refused) > n // 20  # both happen


def test_read_simple_reads_files_as_300w_lp_has_them() -> None:
    for data in made():
        assert assert_agree(data)
        assert assert_agree(data, ("Pose_Para", "none"))


def test_read_simple_reads_every_sample_of_the_reference(reference: Path) -> None:
    paths = [path for folder in ("w300lp", "aflw2000", "minimal_mat") for path in (reference / folder).rglob("*.mat")]
    assert len(paths) > 20
    for path in paths:
        assert assert_agree(path.read_bytes()), path


@pytest.mark.slow
def test_read_simple_of_damage_agrees_with_the_general_reader() -> None:
    assert_agree_on_damage(made(), 2000)


@pytest.mark.slow
def test_read_simple_of_damaged_samples_agrees_with_the_general_reader(reference: Path) -> None:
    folders = ("w300lp", "aflw2000", "minimal_mat")
    seeds = [path.read_bytes() for folder in folders for path in sorted((reference / folder).rglob("*.mat"))[:4]]
    assert_agree_on_damage(seeds, 2000)


def test_read_simple_of_each_word_of_an_array_changed_agrees_with_the_general_reader() -> None:
    for data in made()[::2]:
        for place in range(128, min(len(data), 700), 4):
            (word,) = struct.unpack_from("<I", data, place)
            for value in (word + 1, word - 1, word ^ 0x80000000, word << 16, word | 0x20000, 0, 5, 0xFFFFFFFF):
                content = bytearray(data)
                struct.pack_into("<I", content, place, value & 0xFFFFFFFF)
                try:
                    read_any_numeric(bytes(content), "<", NAMES)
                except ValueError:
                    assert read_simple(bytes(content), NAMES) is None, place
                else:
                    assert_agree(bytes(content))


@pytest.mark.parametrize(
    "content",
    [
        {"a": "text"},
        {"a": 1j},
        {"a": {"b": 1.0}},
        {"a": np.zeros((0, 3))},
        {"a": np.ones((2, 3, 4))},
        {"a": np.zeros((1, 1 << 14))},
        {f"a{k}": 1.0 for k in range(65)},
    ],
    ids=("text", "complex", "struct", "empty", "dimensions", "large", "many"),
)
@pytest.mark.parametrize("packed", [False, True])
def test_read_simple_of_other_variables_leaves_the_file_to_the_general_reader(
    content: dict[str, Any], packed: bool
) -> None:
    assert read_simple(stored(content, packed=packed), NAMES) is None


def test_read_simple_of_a_bomb_unpacks_no_more_than_a_sample_has() -> None:
    bomb = zlib.compress(bytes(1 << 24))
    assert read_simple(bytes(128) + struct.pack("<II", 15, len(bomb)) + bomb, NAMES) is None
