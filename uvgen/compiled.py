"""The decorators of all compiled code.

Kernels release the interpreter lock, allocate nothing and raise nothing: they write into buffers of their caller,
which has checked every argument. A kernel calls kernels of its own file only, because numba's cache does not notice an
edit elsewhere. Division follows NumPy (no exception, hence no branch).

Arguments are inputs, of which those that belong together come as a NamedTuple of arrays and numbers, then scratch
memory, then what is written, named ``*_out``. A kernel takes the fields of a NamedTuple before its loops. Scratch
memory comes from the caller because the first allocation in a kernel takes 0.3 s to compile, and the mean of several
crops took a fifth longer with its buffers allocated inside.
"""

import multiprocessing
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

_said = False


def kernel(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function on its first call, and keep the machine code beside its source file.

    Where numba finds no folder to keep it in (a read-only installation without a home), the function is compiled anew
    in each process, and a warning says so once.
    """
    try:
        return _forgiving(njit(cache=True, nogil=True, error_model="numpy", **options)(function))
    except RuntimeError as error:  # "cannot cache function: no locator available"
        if "cache" not in str(error):
            raise
        _warn_once()
        return njit(nogil=True, error_model="numpy", **options)(function)


def _forgiving(compiled: Any) -> Any:
    """Let a kernel whose kept code names a NamedTuple that is gone be compiled anew.

    numba's index of kept code names the classes of arguments, and is unpickled before it is compared with the source
    file's date: after a NamedTuple was renamed or moved, each call would fail until the index is deleted by hand.
    """
    index: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    load = getattr(index, "_load_index", None)
    if load is None:  # another numba, whose names are others
        return compiled

    def load_or_forget() -> Any:
        try:
            return load()
        except (AttributeError, ImportError):
            return {}

    index._load_index = load_or_forget
    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """Like `kernel`, but always inlined by LLVM into the kernels that call it."""
    return kernel(function, forceinline=True)


def are_cached() -> bool:
    """Whether uvgen's kernels were compiled and kept by an earlier process, as far as files tell."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(named) if named else Path(__file__).parent / "maps"
    return any(folder.rglob("kernels.*.nbi"))


def _warn_once() -> None:
    global _said
    if not _said and multiprocessing.current_process().name == "MainProcess":
        warnings.warn(
            "numba finds no folder to keep uvgen's compiled code in, so each process spends some seconds compiling; "
            "set NUMBA_CACHE_DIR to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
    _said = True
