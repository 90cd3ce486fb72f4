"""Pickles of NumPy arrays and plain containers, read by an interpreter of uvgen's own that calls nothing else.

A pickle is a program: `pickle.load` runs whatever function its bytes name. Here the instructions of protocols 0 to 5
are carried out on plain values alone; names stand for the few functions of `FUNCTIONS`, each of which checks its
arguments before memory is taken. Objects of the few classes of `RECORDED` become dicts of what they hold. Those of
other classes, arrays of objects, persistent ids, extension codes and buffers from outside are refused, and so is a
result that is nested deeply, holds itself, or is large only because parts are in it many times.

Text of Python 2 is taken as Latin-1, as ``pickle.load(..., encoding="latin1")`` does.
"""

import codecs
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.storage.names import brief
from uvgen.storage.pickle_values import (
    CLASS,
    FUNCTIONS,
    RECORDED,
    PickledClass,
    PickledFunction,
    PickledType,
    check_objects,
    key_of,
    new_array,
    new_object,
    reconstructed,
    set_item,
    values_of,
)
from uvgen.wording import count

_MOST_INSTRUCTIONS = 2_000_000
_MOST_DEPTH = 64
_MOST_ITEMS = 20_000_000  # of the result, counted as often as they are in it
_ARRAY = 500  # items that an array counts as: to show it takes as long
_MOST_DIGITS = 1024  # bytes of a whole number
_MARK = object()


def load_plain_pickle(data: bytes, *, object_arrays: bool = False) -> Any:
    """The content of a pickle of arrays and plain containers.

    Parameters
    ----------
    data : bytes
        The whole file; it is not trusted.
    object_arrays : bool
        Let arrays hold such values too, 1024 at most, as ``np.save`` writes a dict.

    Returns
    -------
    object
        dict, OrderedDict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, complex, bool, None, and
        arrays and scalars of numbers, bool or text. An object of a class of `uvgen.storage.pickle_values.RECORDED` is
        a dict of what it holds, by name, with its class under ``"__class__"``; of a PyTorch tensor this is all.

    Raises
    ------
    ValueError
        If it is damaged, followed by more, or holds something else; the message names it.
    """
    try:
        result = _Machine(data, object_arrays).run()
    except (IndexError, struct.error, UnicodeError, TypeError, OverflowError, SyntaxError, KeyError) as error:
        raise ValueError(f"damaged pickle ({type(error).__name__})") from error
    _check_result(result, max(_MOST_ITEMS, len(data)))
    return result


def _check_result(result: Any, most: int) -> None:
    """Raise ValueError if a result holds what is no plain value, itself, or too many items."""
    counts: dict[int, int] = {}  # of what is finished; 0 for what is being looked at
    work: list[tuple[Any, int, bool]] = [(result, 0, False)]
    while work:
        value, depth, finished = work.pop()
        if isinstance(value, dict):
            parts: Any = [*value, *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            parts = value
        elif isinstance(value, np.ndarray) and value.dtype.hasobject:
            parts = value.ravel().tolist()
        elif isinstance(value, (PickledFunction, PickledType, PickledClass)) or value is _MARK:
            raise ValueError("holds a function or a type, expected arrays and plain containers")
        else:
            continue
        if finished:
            counts[id(value)] = 1 + sum(counts.get(id(part)) or _weight(part) for part in parts)
            if counts[id(value)] > most:
                raise ValueError(f"more than {most} items, most of them the same")
            continue
        known = counts.get(id(value))
        if known == 0:
            raise ValueError("a container that holds itself")
        if known:
            continue
        if depth > _MOST_DEPTH:
            raise ValueError(f"containers nested more than {_MOST_DEPTH} deep")
        counts[id(value)] = 0
        work.append((value, depth, True))
        work += [(part, depth + 1, False) for part in parts]


def _weight(value: Any) -> int:
    """As how many items a value counts that is no container: about a tenth of the characters that show it."""
    if isinstance(value, (str, bytes, bytearray)):
        return 1 + len(value) // 8
    if isinstance(value, int):
        return 1 + value.bit_length() // 24
    return _ARRAY if isinstance(value, np.ndarray) else 1


class _Machine:
    """The stack, the memo and the instructions of one pickle."""

    def __init__(self, data: bytes, object_arrays: bool = False) -> None:
        self._data, self._place, self._object_arrays = data, 0, object_arrays
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._waiting: dict[int, NDArray[Any]] = {}  # arrays without values, by their ids
        self._objects: dict[int, dict[str, Any]] = {}  # recorded objects without content, likewise
        self._left = 4 * len(data) + (1 << 20)  # items and bytes that functions may copy

    def run(self) -> Any:
        for _ in range(_MOST_INSTRUCTIONS):
            code = self._take(1)
            if code == b".":
                if len(self._stack) != 1 or self._waiting or self._objects:
                    raise ValueError("damaged pickle (it ends too early)")
                if more := len(self._data) - self._place:  # Python would pass over it, also over another object
                    raise ValueError(f"a pickle followed by {count(more, 'byte')}, expected one alone; it is damaged")
                return self._stack[0]
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(_REFUSED.get(code, f"damaged pickle (instruction {code!r})"))
            step(self)
        raise ValueError(f"more than {_MOST_INSTRUCTIONS} instructions; save its lists of numbers as arrays")

    def _take(self, n: int) -> bytes:
        start = self._place
        if n < 0 or start + n > len(self._data):
            raise ValueError("damaged pickle (cut short)")
        self._place = start + n
        return self._data[start : start + n]

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self._place)
        if end < 0:
            raise ValueError("damaged pickle (cut short)")
        line, self._place = self._data[self._place : end], end + 1
        return line

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _counted(self, form: str) -> bytes:
        return self._take(self._number(form))

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("damaged pickle (a mark in the wrong place)")
        return value

    def _pop_to_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                items = self._stack[place + 1 :]
                del self._stack[place:]
                return items
        raise ValueError("damaged pickle (a mark is missing)")

    def _whole(self, data: bytes) -> int:
        if len(data) > _MOST_DIGITS:
            raise ValueError("a whole number of too many digits")
        return int.from_bytes(data, "little", signed=True)

    def _decimal(self, text: bytes) -> int:
        if len(text) > _MOST_DIGITS:
            raise ValueError("a whole number of too many digits")
        return int(text)

    def _real(self, text: bytes) -> float:
        if len(text) > _MOST_DIGITS:
            raise ValueError("a number of too many digits")
        return float(text)

    def _integer_line(self) -> int | bool:
        line = self._line()
        return line == b"01" if line in (b"00", b"01") else self._decimal(line)

    def _string_line(self) -> str:
        line = self._line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise ValueError("damaged pickle (a text without quotation marks)")
        return codecs.escape_decode(line[1:-1])[0].decode("latin-1")

    def _name(self, module: str, name: str) -> None:
        if (module, name) in RECORDED:
            self._push(PickledClass(RECORDED[module, name]))
            return
        if (module, name) not in FUNCTIONS:
            raise ValueError(
                f"it needs {brief(module)[:60]}.{brief(name)[:60]}, expected only arrays and plain containers"
            )
        self._push(PickledFunction(name, FUNCTIONS[module, name]))

    def _reduce(self) -> None:
        """Call a function of `FUNCTIONS` on a tuple."""
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, PickledFunction) or function.call is None or not isinstance(arguments, tuple):
            raise ValueError("it calls something that is not a function")
        self._pay(*arguments)
        value = function.call(*arguments)
        if function.call is new_array:
            self._waiting[id(value)] = value
        if function.call is reconstructed:
            self._objects[id(value)] = value
        self._push(value)

    def _new_object(self) -> None:
        """Record an object; Python would call its class's ``__new__``."""
        arguments, kind = self._pop(), self._pop()
        if not isinstance(arguments, tuple):
            raise ValueError("damaged pickle (a tuple is missing)")
        value = new_object(kind, *arguments)
        self._objects[id(value)] = value
        self._push(value)

    def _pay(self, *values: Any) -> None:
        self._left -= sum(len(v) for v in values if isinstance(v, (str, bytes, bytearray, list, tuple)))
        if self._left < 0:
            raise ValueError("it copies one value again and again")

    def _build(self) -> None:
        """Give an array its values, a type its byte order, or a recorded object its content."""
        state, target = self._pop(), self._stack[-1]
        if self._objects.pop(id(target), None) is not None:
            if type(state) is not dict or not all(isinstance(name, str) for name in state):
                raise ValueError("an object whose content is not a dict of names, expected one")
            self._pay(list(state))
            target.update(state | {CLASS: target[CLASS]})
            return
        if not isinstance(state, tuple) or len(state) < 5:
            raise ValueError("an object with a state of its own, expected arrays and plain containers")
        if isinstance(target, PickledType):
            version, order, *parts = state[:5]
            size = state[5] if len(state) > 5 else -1
            if version not in (3, 4) or order not in ("<", ">", "|", "=") or parts != [None] * 3:
                raise ValueError("an array of records, expected numbers or text")
            if size not in (-1, target.dtype.itemsize):
                raise ValueError("an array type of a damaged size")
            target.dtype = target.dtype.newbyteorder(order)
        elif self._waiting.pop(id(target), None) is not None:
            _, shape, dtype, columns_first, raw = state
            self._pay(raw)
            if self._object_arrays and isinstance(dtype, PickledType) and dtype.dtype.hasobject:
                check_objects(raw, shape)
                target.__setstate__((1, shape, dtype.dtype, bool(columns_first), list(raw)))
                return
            values = bytes(values_of(raw, dtype, shape))
            target.__setstate__((1, shape, dtype.dtype, bool(columns_first), values))
        else:
            raise ValueError("an object with a state of its own, expected arrays and plain containers")

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise ValueError("damaged pickle (a list is missing)")
        target += items

    def _new_dict(self, items: list[Any]) -> None:
        self._push({})
        self._set_items(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("damaged pickle (a dict is missing)")
        for key, value in zip(items[::2], items[1::2], strict=True):
            set_item(target, key, value)

    def _add_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not set:
            raise ValueError("damaged pickle (a set is missing)")
        target.update(key_of(item) for item in items)

    def _tuple(self, n: int) -> None:
        items = [self._pop() for _ in range(n)]
        self._push(tuple(items[::-1]))

    def _put(self, number: int) -> None:
        if self._stack[-1] is _MARK:
            raise ValueError("damaged pickle (a mark in the wrong place)")
        self._memo[number] = self._stack[-1]

    def _protocol(self) -> None:
        if (version := self._take(1)[0]) > 5:
            raise ValueError(f"protocol {version}, expected 0 to 5")

    def _stack_name(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("damaged pickle (a name that is not text)")
        self._name(module, name)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    b"(": lambda m: m._push(_MARK),
    b"0": lambda m: m._stack.pop(),
    b"1": lambda m: m._pop_to_mark(),
    b"2": lambda m: m._push(m._stack[-1]),
    b"F": lambda m: m._push(m._real(m._line())),
    b"G": lambda m: m._push(m._number(">d")),
    b"I": lambda m: m._push(m._integer_line()),
    b"J": lambda m: m._push(m._number("<i")),
    b"K": lambda m: m._push(m._number("<B")),
    b"M": lambda m: m._push(m._number("<H")),
    b"L": lambda m: m._push(m._decimal(m._line().rstrip(b"L"))),
    b"\x8a": lambda m: m._push(m._whole(m._counted("<B"))),
    b"\x8b": lambda m: m._push(m._whole(m._counted("<i"))),
    b"N": lambda m: m._push(None),
    b"\x88": lambda m: m._push(True),
    b"\x89": lambda m: m._push(False),
    b"S": lambda m: m._push(m._string_line()),
    b"T": lambda m: m._push(m._counted("<i").decode("latin-1")),
    b"U": lambda m: m._push(m._counted("<B").decode("latin-1")),
    b"V": lambda m: m._push(m._line().decode("raw-unicode-escape")),
    b"X": lambda m: m._push(_text(m._counted("<I"))),
    b"\x8c": lambda m: m._push(_text(m._counted("<B"))),
    b"\x8d": lambda m: m._push(_text(m._counted("<Q"))),
    b"B": lambda m: m._push(m._counted("<I")),
    b"C": lambda m: m._push(m._counted("<B")),
    b"\x8e": lambda m: m._push(m._counted("<Q")),
    b"\x96": lambda m: m._push(bytearray(m._counted("<Q"))),
    b"]": lambda m: m._push([]),
    b"l": lambda m: m._push(m._pop_to_mark()),
    b"a": lambda m: m._append([m._pop()]),
    b"e": lambda m: m._append(m._pop_to_mark()),
    b"}": lambda m: m._push({}),
    b"d": lambda m: m._new_dict(m._pop_to_mark()),
    b"s": lambda m: m._set_items([m._pop(), m._pop()][::-1]),
    b"u": lambda m: m._set_items(m._pop_to_mark()),
    b"\x8f": lambda m: m._push(set()),
    b"\x90": lambda m: m._add_items(m._pop_to_mark()),
    b"\x91": lambda m: m._push(frozenset(key_of(item) for item in m._pop_to_mark())),
    b")": lambda m: m._push(()),
    b"t": lambda m: m._push(tuple(m._pop_to_mark())),
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"p": lambda m: m._put(m._decimal(m._line())),
    b"q": lambda m: m._put(m._number("<B")),
    b"r": lambda m: m._put(m._number("<I")),
    b"\x94": lambda m: m._put(len(m._memo)),
    b"g": lambda m: m._push(m._memo[m._decimal(m._line())]),
    b"h": lambda m: m._push(m._memo[m._number("<B")]),
    b"j": lambda m: m._push(m._memo[m._number("<I")]),
    b"c": lambda m: m._name(_text(m._line()), _text(m._line())),
    b"\x93": lambda m: m._stack_name(),
    b"R": lambda m: m._reduce(),
    b"b": lambda m: m._build(),
    b"\x81": lambda m: m._new_object(),
    b"\x80": lambda m: m._protocol(),
    b"\x95": lambda m: m._take(8),  # a frame, of which only the size is said
}

_CLASS = "an object of a class, expected arrays and plain containers"
_REFUSED = {
    **dict.fromkeys((b"i", b"o", b"\x92"), _CLASS),
    **dict.fromkeys((b"P", b"Q"), "an id of something outside, expected arrays and plain containers"),
    **dict.fromkeys((b"\x82", b"\x83", b"\x84"), "an extension code, expected arrays and plain containers"),
    **dict.fromkeys((b"\x97", b"\x98"), "a buffer outside of the file, expected all values in it"),
}
