"""JSON of others: one meaning, finite numbers, no depth."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvgen.storage.plain_json import parse_json

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_parse_json_gives_what_json_wrote(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ("[NaN]", "NaN, expected finite numbers"),
        ("-Infinity", "-Infinity, expected finite"),
        ("1e999", "1e999, expected finite"),
        ("9" * 5000, "a number of 5000 digits, expected 30"),
        ('{"a": 1, "b": 2, "a": 3}', "the field 'a' is there twice"),
        (r'{"a": ["\ud800"]}', "half a surrogate pair in"),
        (r'{"a": {"\udc00": 1}}', "half a surrogate pair in"),
        ("[" * 65 + "]" * 65, "nested more than 64 deep"),
        ("[" * 100_000, "nested more than 64 deep"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested more than 64 deep"),
    ],
)
def test_parse_json_of_others_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_parse_json_of_64_levels_is_read() -> None:
    assert parse_json("[" * 64 + "]" * 64)
