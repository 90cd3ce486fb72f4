"""The decorators of all compiled code.

Kernels release the interpreter lock, allocate nothing and raise nothing: they write into buffers of their caller,
which has checked every argument. A kernel calls kernels of its own file only, because numba's cache does not notice an
edit elsewhere. Division follows NumPy (no exception, hence no branch).
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

    A kernel whose name begins with an underscore is called by kernels of its file alone: numba then makes no entry for
    Python, which takes a tenth of all time spent compiling. Calling one from Python would crash; a test forbids it.

    Where numba finds no folder to keep it in (a read-only installation without a home), the function is compiled anew
    in each process, and a warning says so once.
    """
    options = {
        "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True,
        "no_cpython_wrapper": function.__name__.startswith("_"), **options,
    }  # fmt: skip
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError as error:  # "cannot cache function: no locator available"
        if "cache" not in str(error):
            raise
        _warn_once()
        return njit(**options)(function)


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
