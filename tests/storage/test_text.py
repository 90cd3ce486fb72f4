"""Text as editors of Windows, old programs and macOS write it, read as the same text."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvgen import RunOptions
from uvgen.errors import InputError
from uvgen.storage.text import decode_text, read_lines, read_text

NAMES = ["AFW/Zoë_1_0", "AFW/b", "HELEN/été"]  # letters that Latin-1 has
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_read_lines_of_any_encoding_gives_the_same_names(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes((end.join(NAMES) + end).encode(encoding))
    assert read_lines(path, "names") == NAMES
    path.write_bytes(end.join(NAMES).encode(encoding))
    assert read_lines(path, "names") == NAMES


@pytest.mark.parametrize("mark", ["utf-16-be", "utf-32-be", "utf-32-le"])
def test_read_text_obeys_each_byte_order_mark(tmp_path: Path, mark: str) -> None:
    (tmp_path / "a.txt").write_bytes(("\ufeff" + "人脸 a").encode(mark))
    assert read_text(tmp_path / "a.txt", "names") == "人脸 a"


def test_read_lines_keeps_what_unicode_alone_counts_as_the_end_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("a\u2028b\x0cc\n\nd".encode())
    assert read_lines(tmp_path / "a.txt", "names") == ["a\u2028b\x0cc", "", "d"]


def test_read_text_of_windows_1252_has_its_quotes_and_of_undefined_bytes_has_latin_1(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x93a\x94\x85")
    assert read_text(tmp_path / "a.txt", "text") == "\u201ca\u201d\u2026"
    (tmp_path / "a.txt").write_bytes(b"\xe9\x81\n")
    assert read_text(tmp_path / "a.txt", "text") == "é\x81\n"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_decode_text_of_utf_8_gives_it_back(text: str) -> None:
    """But for what begins like a page or another kind of file."""
    data = b"# " + text.encode()
    assert decode_text(data) == "# " + text
    assert decode_text(b"\xef\xbb\xbf" + data) == "# " + text


def test_read_text_of_ms_dos_drops_its_end_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\r\n\x1a")
    assert read_lines(tmp_path / "a.txt", "names") == ["a", "b"]


def test_read_text_of_nothing_is_empty(tmp_path: Path) -> None:
    for content in (b"", b"\xef\xbb\xbf", b"\xff\xfe"):
        (tmp_path / "a.txt").write_bytes(content)
        assert read_lines(tmp_path / "a.txt", "names") == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<i8'}\n", "a NumPy .npy array"),
        (b"<!DOCTYPE html>\n<html>", "an HTML page"),
        (b"\xef\xbb\xbf<html>", "an HTML page"),
        (b"a\nb and c\0", "a binary file"),
        (b"names" * 9 + b"\0", "a binary file"),
        (b"a\nb and so on\0c", "a binary file .byte 0x00 in line 2."),
        (b"\xef\xbb\xbfa\0", "a binary file"),
        (b"abc\x01", "a binary file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"PK\x03\x04" + b"\0" * 40, "a ZIP archive"),
        (b"\xff\xfea\0b", "text that is not whole"),
    ],
)
def test_read_text_of_no_text_says_what_it_is(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    if content.startswith(b"\xef\xbb\xbf<"):
        assert read_text(tmp_path / "a.txt", "names") == "<html>"  # a mark says that it is text
        return
    with pytest.raises(InputError, match=rf"a\.txt: {kind}.*, expected one name per line"):
        read_text(tmp_path / "a.txt", "one name per line")


def test_read_text_larger_than_allowed_names_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match=r"a\.txt: more than 10 bytes, expected names; is it the right file"):
        read_text(tmp_path / "a.txt", "names", most_bytes=10)
    assert read_text(tmp_path / "a.txt", "names", most_bytes=11) == "x" * 11


def test_read_text_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "gone.txt", "names")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_index_saved_by_an_editor_is_read(tmp_path: Path, encoding: str, tree: Path, model_path: Path) -> None:
    from uvgen import BuildConfig, build_shards, find_samples, open_shards

    build_shards(find_samples(tree)[:2], tmp_path / "out", model=model_path, config=BuildConfig(size=16, uv_size=16),
                 root=tree, run=RunOptions(1))  # fmt: skip
    index = tmp_path / "out/dataset.json"
    before = open_shards(tmp_path / "out").names
    index.write_bytes(index.read_text(encoding="utf-8").replace("\n", "\r\n").encode(encoding))
    assert open_shards(tmp_path / "out").names == before
    index.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 30)
    with pytest.raises(OSError, match=r"dataset\.json: a PNG image, expected a data set's index"):
        open_shards(tmp_path / "out")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_augmentation_saved_by_an_editor_is_read(tmp_path: Path, encoding: str) -> None:
    from uvgen import read_augmentation

    (tmp_path / "a.json").write_bytes(
        json.dumps({"rotation_deg": [-7, 9]}, indent=1).replace("\n", "\r\n").encode(encoding)
    )
    assert read_augmentation(tmp_path / "a.json", "none").rotation_deg == (-7, 9)
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"a\.npy: a NumPy .npy array, expected a JSON object of ranges"):
        read_augmentation(tmp_path / "a.npy", "none")
