"""Names: shown on a line, and as paths never outside of their folder."""

import errno
import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvgen.storage.names import (
    brief,
    in_markdown,
    inside,
    os_reason,
    printable,
    safe_name,
    same_name,
    shortened,
    unencodable,
    without_ending,
)

ANY_TEXT = st.text(st.characters(), max_size=400) | st.lists(
    st.sampled_from(
        ["..", ".", "", "a", "con", "NUL.txt", "a ", "b.", "\0", "\n", "\\", "C:", "s3:", "é" * 200, "\ud800", "\udce9"]
    )
).map("/".join)


@given(ANY_TEXT)
def test_safe_name_of_any_text_stays_inside(text: str) -> None:
    folder = Path("/base/folder")
    path = inside(folder, text)
    assert path.is_relative_to(folder) and path != folder
    assert Path(str(path)).parts[: len(folder.parts)] == folder.parts
    parts = path.relative_to(folder).parts
    for part in parts:
        assert part not in ("", ".", "..") and not re.search(r"[\0-\x1f\x7f-\x9f\\\u2028\ud800-\udfff]", part)
        assert len(part.encode()) <= 230 and part[-1] not in ". :"
    assert len("/".join(parts).encode()) <= 1000
    assert safe_name(safe_name(text)) == safe_name(text)


def test_same_name_of_any_spelling_of_a_file_s_name_is_one() -> None:
    name = "é" * 255 + "/" + "é" * 255
    assert same_name(unicodedata.normalize("NFD", name)) == same_name(name) == name


def test_same_name_leaves_texts_alone_that_no_file_has() -> None:
    """Each accent is sorted among all others: a million of them would take minutes."""
    text = "\u0345\u0301" * 10_000
    assert unicodedata.normalize("NFC", text) != text and same_name(text) == text


@given(ANY_TEXT)
def test_printable_of_any_text_is_on_one_line_and_can_be_encoded(text: str) -> None:
    for shown in (printable(text), brief(text)):
        assert shown.encode() is not None and not any(ord(c) < 32 for c in shown) and "\u2028" not in shown
    assert len(brief(text)) <= 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IBUG_Flip/IBUG_image_008_1_0 (a-b, c.d)", "IBUG_Flip/IBUG_image_008_1_0 (a-b, c.d)"),
        ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"), ("&lt;", r"\&lt;"), ("a\n# b", r"a\\n\# b"),
        ("__proto__ _x_ a_", r"\_\_proto\_\_ \_x\_ a\_"), ("[a](javascript:b)", r"\[a\](javascript:b)"),
        ("`a` *b* |", r"\`a\` \*b\* \|"),
    ],
)  # fmt: skip
def test_text_in_markdown_is_no_markup(text: str, expected: str) -> None:
    assert in_markdown(text) == expected


@pytest.mark.parametrize(
    "name", ["IBUG/IBUG_image_008_1_0", "a b/c.d", "人脸/é", ".hidden", "a...b", "x" * 230, "console"]
)
def test_safe_name_of_a_sound_name_is_itself(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../away", "__/away"), ("/etc/x", "_/etc/x"), ("a/../../b", "a/__/__/b"), ("", "_"), (".", "_"),
        ("a//b", "a/_/b"),
        ("a. ", "a_"), ("con", "_con"), ("Nul.txt", "_Nul.txt"), ("a\0b\nc", "a_b_c"), ("a\\..\\b", "a_.._b"),
        ("C:/x", "C_/x"), ("\udce9", "_"), ("file:///etc/x", "file_/_/_/etc/x"), ("s3:", "s3_"), (":", "_"),
    ],
)  # fmt: skip
def test_safe_name_of_others_has_marks_in_their_place(name: str, expected: str) -> None:
    assert safe_name(name) == expected


def test_long_names_are_cut_and_told_apart_by_their_hash() -> None:
    first, second = "x" * 300, "x" * 299 + "y"
    assert safe_name(first) != safe_name(second) and safe_name(first).startswith("x" * 221 + "~")
    assert safe_name("a/" * 1000 + "b") != safe_name("a/" * 1000 + "c")
    assert shortened("short") == "short" and len(shortened(first)) == 230


def test_printable_of_bytes_that_are_no_text_escapes_them() -> None:
    assert printable("\udce9a\n\u2028é") == "\\xe9a\\n\\u2028é"
    assert printable("\ud800") == "\\xed\\xa0\\x80"


def test_brief_says_the_same_in_every_process() -> None:
    """Messages are stored in dataset.json, whose bytes are the same for the same input."""
    assert brief(object()) == "<object object>"
    assert brief("malformed node <ast.Call object at 0x7f2bb1612950>") == "malformed node <ast.Call object>"
    assert brief("at 0x10 of the object") == "at 0x10 of the object"


def test_unencodable_says_which_character_an_encoding_of_file_names_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unencodable("Žižkov") == unencodable("\ud800") == ""  # Python has words of its own for the latter
    monkeypatch.setattr("os.fsencode", lambda name: name.encode("iso8859-1", "surrogateescape"))
    assert unencodable("é\udce9") == ""
    assert unencodable("éŽ").startswith("'Ž' is no character of latin-1, this locale's encoding of file names; set ")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a.mat"), "No such file or directory"),
        (OSError("Can't open\nfile"), "Can't open file"),  # as of h5py and fsspec, without a number
    ],
    ids=["of the system", "of a library"],
)
def test_os_reason_is_never_none(error: OSError, expected: str) -> None:
    assert os_reason(error) == expected


@pytest.mark.parametrize(
    ("path", "expected"), [("a/b.obj", "a/b"), ("b.OBJ.gz", "b"), ("b.obj.gz.gz", "b.obj.gz"), ("b.txt", "b.txt")]
)
def test_without_ending_takes_the_longest_that_is_named(path: str, expected: str) -> None:
    assert without_ending(path, (".obj", ".gz", ".obj.gz")) == expected
