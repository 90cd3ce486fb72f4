"""Data as scripts: a page opened from disk may load scripts, but nothing with `fetch`, and pictures only to look at."""

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def write_script(path: Path, function: str, *arguments: Any) -> int:
    """Write a script that hands data to a function of the page's.

    Parameters
    ----------
    path : Path
        The script; its folder is made if it is missing.
    function : str
        Of the object `uvgenReport`, which the pages' own script makes.
    *arguments
        What JSON can hold; numbers that are not finite become null.

    Returns
    -------
    int
        Bytes written.
    """
    text = ",\n".join(as_json(argument) for argument in arguments)
    data = f"uvgenReport.{function}({text});\n".encode("ascii")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return len(data)


def as_json(value: Any) -> str:
    """JSON in ASCII that a script in a page can hold too, whatever its texts are."""
    text = json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def packed(array: NDArray[Any]) -> str:
    """An array's bytes, little-endian, in base64: a typed array's."""
    array = np.ascontiguousarray(array)
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()).decode("ascii")


def numbers(array: NDArray[np.floating[Any]], decimals: int) -> list[Any]:
    """Rounded numbers as lists, shorter than all their digits."""
    rounded: list[Any] = np.round(np.asarray(array, np.float64), decimals).tolist()
    return rounded
