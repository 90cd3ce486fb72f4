"""JSON from other programs. Documents that parsers would read differently, or not at all, are refused."""

import json
import math
import re
from functools import partial
from itertools import chain, pairwise
from typing import Any

from uvgen.wording import count

_MAX_DEPTH = 64
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # of a surrogate pair
_MAX_DIGITS = 30  # of a whole number


def parse_json(text: str, *, nan: float | None = math.inf) -> Any:
    """A JSON document's content.

    Parameters
    ----------
    text : str
        The whole document; it is not trusted.
    nan : float or None
        What NaN and Infinity are read as, which are no JSON, but which Python writes; they are refused by default
        (infinity).

    Returns
    -------
    dict, list, str, int, float, bool or None

    Raises
    ------
    ValueError
        If it is no JSON, names a field twice, holds NaN, infinity, a number that no float64 holds or half a surrogate
        pair, which cannot be printed or written, or is nested more than 64 deep.
    """
    try:
        content = json.loads(
            text,
            parse_constant=partial(_constant, nan),
            parse_float=_number,
            parse_int=_whole,
            object_pairs_hook=_object,
        )  # fmt: skip
    except RecursionError:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep") from None
    if not text.isascii() or _HALF.search(text):  # else no text has halves: looking at each takes longer
        _check_texts(content)
    level: list[Any] = [content] if isinstance(content, (dict, list)) else []
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for value in level
            for item in (value.values() if type(value) is dict else value)
            if type(item) is dict or type(item) is list  # quicker than `isinstance`; the parser makes no others
        ]
        if not level:
            break
    if level:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")
    return content


def are_numbers(values: Any) -> bool:
    """Whether the content of lists in lists is not true or false, which NumPy takes for 1 and 0, and no text that only
    Python takes for a number, such as ``1_0``.
    """
    if isinstance(values, list):
        kinds = set(map(type, values))
        while kinds == {list}:  # the lists in it as one, of which all are asked at once
            values = [*chain.from_iterable(values)]
            kinds = set(map(type, values))
        return kinds <= {int, float} or all(map(are_numbers, values))
    if isinstance(values, str):
        return "_" not in values and values.isascii()
    return not isinstance(values, bool)


def _check_texts(content: Any) -> None:
    """Refuse half a surrogate pair in a text or a field's name."""
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(f"half a surrogate pair in {value[:60]!r}") from None
        elif isinstance(value, (dict, list)):
            left += [*value, *value.values()] if isinstance(value, dict) else value


def _constant(nan: float | None, text: str) -> float | None:
    return _refuse(text) if nan == math.inf else nan


def _refuse(text: str) -> float:
    raise ValueError(f"{text}, expected finite numbers")


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text[:_MAX_DIGITS])


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {count(len(text), 'digit')}, expected {_MAX_DIGITS} at most")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = sorted(key for key, _ in pairs)
        twice = next(key for key, following in pairwise(keys) if key == following)
        raise ValueError(f"the field {twice[:60]!r} is there twice")
    return content
