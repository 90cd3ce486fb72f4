"""The functions that a pickle may call: the few that make arrays and plain containers, with checked arguments."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.storage.npy import are_characters, is_shape

_MOST_OBJECTS = 1024  # of an array of objects
_LONGEST_KEY = 1 << 12  # of a dict or set; two equal texts are compared to their ends each time that one is set


class PickledFunction:
    """A name that a pickle may call."""

    def __init__(self, name: str, call: Callable[..., Any] | None) -> None:
        self.name, self.call = name, call


class PickledClass:
    """The name of a class of `RECORDED`, which is not imported."""

    def __init__(self, name: str) -> None:
        self.name = name


class PickledType:
    """A NumPy number type, whose byte order comes with BUILD."""

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)


def check_objects(items: Any, shape: Any) -> None:
    """Raise ValueError if a list is not what an array of a few objects holds."""
    if not isinstance(shape, tuple) or any(type(n) is not int or not 0 <= n <= _MOST_OBJECTS for n in shape):
        raise ValueError("an array of objects of a damaged shape, or of very many")
    if type(items) is not list or not is_shape(shape, np.dtype("O")) or len(items) != math.prod(shape):
        raise ValueError("an array of objects of a damaged shape, or of very many")


def new_array(subtype: Any, shape: Any, kind: Any) -> NDArray[Any]:
    """``_reconstruct(ndarray, (0,), b"b")``, to which BUILD gives its values."""
    if getattr(subtype, "name", "") != "ndarray" or shape != (0,):
        raise ValueError("an array of another class")
    return np.ndarray((0,), np.int8)


def _named(value: Any) -> str:
    """Text for a message; of other values their type, since a container may be as deep as it likes."""
    return repr(value[:20]) if isinstance(value, str) else f"a {type(value).__name__}"


def _dtype(code: Any, align: Any = False, copy: Any = False) -> PickledType:
    code = code.decode("ascii") if isinstance(code, bytes) else code
    letter, digits = (code[:1], code[1:]) if isinstance(code, str) else ("", "")
    sizes = {"f": "2 4 8 16", "i": "1 2 4 8", "u": "1 2 4 8", "b": "1", "c": "8 16 32"}.get(letter, "").split()
    if code in ("O", "O4", "O8"):  # for arrays that `check_objects` allows if the caller does
        return PickledType("O")
    is_text = letter in ("S", "U") and digits.isascii() and digits.isdecimal() and len(digits) <= 6
    if digits not in sizes and not is_text:
        raise ValueError(f"an array of {_named(code)}, expected numbers or text")
    return PickledType(code)


def values_of(raw: Any, dtype: Any, shape: Any) -> bytes | bytearray:
    """The bytes of an array after checking that they are those of its type and shape."""
    raw = raw.encode("latin-1") if isinstance(raw, str) else raw  # of Python 2
    if not isinstance(dtype, PickledType) or dtype.dtype.hasobject or not isinstance(raw, (bytes, bytearray)):
        raise ValueError("an array of objects, expected numbers or text")
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("an array of a damaged shape")
    n = math.prod(shape) if is_shape(shape, dtype.dtype) else -1
    if n * dtype.dtype.itemsize != len(raw) or (n and not raw):
        raise ValueError(f"an array of {len(raw)} bytes, its shape and type need others")
    if not are_characters(raw, dtype.dtype):
        raise ValueError("an array of texts of damaged characters")
    return raw


def _scalar(dtype: Any, raw: Any) -> np.generic:
    values = np.frombuffer(values_of(raw, dtype, ()), dtype.dtype)
    result: np.generic = values.astype(dtype.dtype.newbyteorder("="))[0]  # a native copy
    return result


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> NDArray[Any]:
    """An array of protocol 5; since NumPy 2.3 also with its axes in another order than they have in memory."""
    if order not in ("C", "F", "K") or (order == "K") != (axes is not None):
        raise ValueError("an array of a damaged order")
    values = np.frombuffer(values_of(raw, dtype, shape), dtype.dtype)
    if axes is None:
        return values.reshape(shape, order=order)
    if not isinstance(axes, tuple) or any(type(k) is not int for k in axes) or sorted(axes) != list(range(len(shape))):
        raise ValueError("an array of a damaged order of its axes")
    return values.reshape(shape).transpose(axes)


def _encode(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes in protocols 0 to 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"a text in the encoding {_named(encoding)}, expected latin1")
    return text.encode("latin-1")


def _bytes(content: Any = b"", encoding: Any = None) -> bytes:
    if encoding is not None:
        return _encode(content, encoding)
    if isinstance(content, list):
        return bytes(content)
    if not isinstance(content, (bytes, bytearray)):
        raise ValueError(f"bytes made of {_named(content)}, expected bytes")
    return bytes(content)


def _complex(real: Any, imaginary: Any) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise ValueError("a complex number made of something else than two floats, expected those")
    return complex(real, imaginary)


def _items(make: Callable[..., Any]) -> Callable[..., Any]:
    """A set or list of the items of a list."""

    def made(items: Any = ()) -> Any:
        if not isinstance(items, (list, tuple)):
            raise ValueError(f"a container made of {_named(items)}, expected a list")
        return make(items) if make in (list, tuple) else make(key_of(item) for item in items)

    return made


def _mapping(make: Callable[..., Any]) -> Callable[..., Any]:
    def made(pairs: Any = ()) -> Any:
        if not isinstance(pairs, (list, tuple)) or any(not isinstance(p, (list, tuple)) or len(p) != 2 for p in pairs):
            raise ValueError("a dict made of something else, expected pairs")
        filled = make()
        for key, value in pairs:
            set_item(filled, key, value)
        return filled

    return made


CLASS = "__class__"
"""Key of a recorded object under which the name of its class stands."""


def new_object(kind: Any, *arguments: Any) -> dict[str, Any]:
    """What stands for an object of a class of `RECORDED`: a dict, which BUILD fills with what the object holds."""
    if not isinstance(kind, PickledClass) or arguments:
        raise ValueError("an object of a class, expected arrays and plain containers")
    return {CLASS: kind.name}


def reconstructed(kind: Any, base: Any, state: Any) -> dict[str, Any]:
    """``copyreg._reconstructor(kind, object, None)``, with which protocols 0 and 1 begin an object."""
    if getattr(base, "name", "") != "object" or state is not None:
        raise ValueError("an object of a class, expected arrays and plain containers")
    return new_object(kind)


def _recorded_call(name: str) -> Callable[..., Any]:
    """What stands for a value that only another package could make: its name alone."""
    return lambda *_: {CLASS: name}


_SPARSE = ("csc", "csr")
RECORDED = {
    ("chumpy.ch", "Ch"): "chumpy.ch.Ch",
    ("chumpy", "Ch"): "chumpy.ch.Ch",
    **{
        (f"scipy.sparse.{module}", f"{kind}_matrix"): f"scipy.sparse.{kind}_matrix"
        for kind in _SPARSE
        for module in (kind, f"_{kind}")
    },
}
"""Classes whose objects are read as dicts of what they hold: (module, name), and what `CLASS` says.

Models of the FLAME family have such objects in them. Nothing of these classes is imported or called.
"""

_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUILTINS: dict[str, Callable[..., Any]] = {
    "set": _items(set),
    "frozenset": _items(frozenset),
    "list": _items(list),
    "tuple": _items(tuple),
    "dict": _mapping(dict),
    "bytes": _bytes,
    "bytearray": lambda *given: bytearray(_bytes(*given)),
    "complex": _complex,
}
FUNCTIONS: dict[tuple[str, str], Callable[..., Any] | None] = {
    **{(module, "_reconstruct"): new_array for module in _NUMPY},
    **{(module, "scalar"): _scalar for module in _NUMPY},
    **{(module, "_frombuffer"): _from_buffer for module in ("numpy.core.numeric", "numpy._core.numeric")},
    ("numpy", "ndarray"): None,  # a name alone, the first argument of _reconstruct
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _mapping(OrderedDict),
    **{(module, "_reconstructor"): reconstructed for module in ("copyreg", "copy_reg")},
    ("torch._utils", "_rebuild_tensor_v2"): _recorded_call("torch.Tensor"),
    ("torch.storage", "_load_from_bytes"): _recorded_call("torch.Storage"),
    **{(module, "object"): None for module in ("builtins", "__builtin__")},  # a name alone, of _reconstructor
    **{(module, name): call for module in ("builtins", "__builtin__") for name, call in _BUILTINS.items()},
}
"""What a pickle may name: (module, name), and what is called in its place."""


def key_of(value: Any) -> Any:
    """A key of a dict or item of a set. Others could be made to clash, or be nested so deeply that hashing fails."""
    if not isinstance(value, (str, bytes, bool, type(None))) and (type(value) is not int or abs(value) >= 1 << 60):
        raise ValueError(f"a key of type {type(value).__name__}, expected text or a whole number")
    if isinstance(value, (str, bytes)) and len(value) > _LONGEST_KEY:
        raise ValueError(f"a key of {len(value)} characters, expected {_LONGEST_KEY} at most")
    return value


def set_item(target: dict[Any, Any], key: Any, value: Any) -> None:
    """Add an item to a dict. Of two with the same key, Python would keep the later one."""
    known = key_of(key)
    if known in target:
        raise ValueError(f"the key {str(known)[:60]!r} is there twice, expected once")
    target[known] = value
