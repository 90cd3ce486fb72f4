"""How values show themselves in a notebook or a debugger: in a line, whatever they hold."""

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

_LONGEST = 80  # characters of one value
_SHOWN = 3  # values of a collection


def described(one: Any) -> str:
    """The `repr` of a dataclass: large arrays by their shape and dtype, long collections by how many there are in them.

    A class takes it with ``__repr__ = described``.
    """
    values = (f"{field.name}={_brief(getattr(one, field.name))}" for field in fields(one) if field.repr)
    return f"{type(one).__name__}({', '.join(values)})"


def _brief(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if not value.shape:  # a NumPy scalar
            return str(value)
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, Path):
        return repr(str(value))
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None or isinstance(value, str | int | bytes):
        return _cut(repr(value))
    if is_dataclass(value):
        whole = repr(value)
        return whole if len(whole) <= _LONGEST else f"{type(value).__name__}(…)"
    if isinstance(value, Mapping):
        shown = [f"{_brief(key)}: {_brief(value[key])}" for key in [*value][:_SHOWN]]
        return _listed(shown, len(value), "{}")
    if isinstance(value, Collection):
        first = [_brief(item) for _, item in zip(range(_SHOWN), value, strict=False)]
        return _listed(first, len(value), "[]" if isinstance(value, list) else "()")
    return _cut(repr(value))


def _listed(shown: list[str], n: int, brackets: str) -> str:
    """The first of some values, as many as there is room for, and how many there are in all."""
    while len(shown) > 1 and sum(map(len, shown)) > _LONGEST:
        shown.pop()
    more = f", … {n} in all" if n > len(shown) else "," if brackets == "()" and n == 1 else ""
    return f"{brackets[0]}{', '.join(shown)}{more}{brackets[1]}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
