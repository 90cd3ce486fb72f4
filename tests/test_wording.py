"""Counts in messages: one thing is not "1 things"."""

import ast
import re
from pathlib import Path

import pytest

from uvgen.wording import are, count, expecting, have, none_can_be, shown_size, typed

ROOT = Path(__file__).parents[1]

_THINGS = (
    "boundaries|cameras|cells|components|copies|corners|columns|draws|edges|entries|errors|faces|files|folders|frames|"
    "groups|holes|images|inputs|items|joints|landmarks|lines|meshes|names|numbers|options|photographs|points|"
    "predictions|problems|records|rows|samples|scans|scores|shards|subsets|triangles|vertices|videos|warnings|words|"
    "workers"
)
_MEMBER = re.compile(rf" (?:[a-z]+ )?(?:{_THINGS})\b")
_VERB = re.compile(r" (has|holds|names|lines|columns|words) ")  # "{path} names …"
_COUNTS = re.compile(r"len\(.*\)|int\(.*\)|([\w.]+\.)?(n|n_\w+|missing|samples|faces|photographs|shards)")


def test_wording_count_one_is_singular() -> None:
    assert [count(n, "sample") for n in (0, 1, 2)] == ["0 samples", "1 sample", "2 samples"]
    assert count(3, "listed vertex") == "3 listed vertices"
    assert [are(1), are(2), have(1), have(0)] == ["is", "are", "has", "have"]


def test_none_can_be_says_it_of_the_only_one() -> None:
    assert none_can_be("used", 3, "scan", "empty", "a.ply") == "none of 3 scans can be used; the first, a.ply: empty"
    assert none_can_be("used", 3, "scan", "a.ply: empty") == "none of 3 scans can be used; the first, a.ply: empty"
    assert none_can_be("used", 3, "scan", "") == "none of 3 scans can be used"
    assert none_can_be("used", 1, "scan", "empty", "a.ply") == "the only scan cannot be used: a.ply: empty"
    assert none_can_be("used", 2, "scan", "in/a.ply: empty", "a.ply") == (
        "none of 2 scans can be used; the first, in/a.ply: empty"
    )
    assert none_can_be("used", 2, "scan", "ba.ply: empty", "a.ply").endswith("the first, a.ply: ba.ply: empty")
    assert none_can_be("used", 1, "scan", "a.ply: empty", "a.ply") == "the only scan cannot be used: a.ply: empty"
    assert none_can_be("written as prnet", 1, "scan", "") == "the only scan cannot be written as prnet"


@pytest.mark.parametrize(("n_bytes", "said"), [
    ((73e9,), "73000.0 MB"), ((1.2e6,), "1.2 MB"), ((50_000,), "0.1 MB"), ((49_999,), "50 kB"), ((900,), "1 kB"),
    ((120,), "0.1 kB"), ((130e6, 0), "130 MB"), ((0.26e6, 0), "0.3 MB"), ((0.04e6, 0), "40 kB"),
])  # fmt: skip
def test_shown_size_never_rounds_to_nothing(n_bytes: tuple[float, ...], said: str) -> None:
    assert shown_size(*n_bytes) == said  # type: ignore[arg-type]


def test_typed_can_be_pasted_into_a_shell() -> None:
    assert typed(Path("photos/a")) == "photos/a"
    assert typed("my photos") == "'my photos'" and typed("it's") == "'it'\"'\"'s'"


def _written_out(path: Path) -> list[str]:
    """Places of a file where an f-string has a count that varies, and a plural behind it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
                counted = ast.unparse(value.value)
                if _COUNTS.fullmatch(counted) and _MEMBER.match(str(after.value)) and not _VERB.match(str(after.value)):
                    found.append(f"{path.relative_to(ROOT)}:{value.lineno}: {{{counted}}}{str(after.value)[:30]}")
    return found


_KNOWN_TO_BE_MANY = "uvgen/synth/folder.py"  # photographs, of which there is more than one there


@pytest.mark.parametrize("room", ["cli", "uvgen"])
def test_messages_with_a_count_have_the_form_for_one(room: str) -> None:
    """Each message says "1 sample": through `uvgen.wording.count`, or without a noun."""
    files = sorted((ROOT / room).rglob("*.py"))
    found = [place for path in files for place in _written_out(path)]
    assert [place for place in found if not place.startswith(_KNOWN_TO_BE_MANY)] == []
    bare = [path.name for path in files if "none of {count(" in path.read_text(encoding="utf-8")]
    assert set(bare) <= {"wording.py", "summary.py"}, "none_can_be says it of the only one too"


def test_expecting_says_once_what_was_expected() -> None:
    assert expecting("cut short", "UV (n, 2)") == "cut short, expected UV (n, 2)"
    assert expecting(ValueError("text, expected numbers"), "UV (n, 2)") == "text, expected numbers"
    assert expecting("reading, expected 8 bytes", "UV (n, 2)") == "reading, expected 8 bytes, expected UV (n, 2)"
    assert expecting("cut short", "") == "cut short"
