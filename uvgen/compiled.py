"""The decorators of all compiled code.

Kernels release the interpreter lock, allocate nothing and raise nothing: they write into buffers of their caller,
which has checked every argument. A kernel calls kernels of its own file only, because numba's cache does not notice an
edit elsewhere; an edit of a file that kernels import intrinsics from is noticed here. Division follows NumPy (no
exception, hence no branch).

Arguments are inputs, of which those that belong together come as a NamedTuple of arrays and numbers, then scratch
memory, then what is written, named ``*_out``. A kernel takes the fields of a NamedTuple before its loops. Scratch
memory comes from the caller because the first allocation in a kernel takes 0.3 s to compile, and the mean of several
crops took a fifth longer with its buffers allocated inside. To read a NamedTuple takes a call from Python about 1 µs
more than its arrays, so a kernel takes few, with fields that are used together. A kernel that imports a number from
another file of uvgen imports a class from there too, or else an edit of the number would go unnoticed.
"""

import hashlib
import logging
import multiprocessing
import os
import pickle
import sys
import uuid
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from uvgen.errors import DependencyError

try:
    import numba
    from numba import njit
    from numba.core.runtime.nrt import rtsys
    from numba.core.serialize import dumps
    from numba.extending import intrinsic
except ValueError as error:  # as of NUMBA_NUM_THREADS=0
    raise DependencyError(
        f"numba cannot be imported ({error}), expected variables NUMBA_… of the environment that it takes"
    ) from error

_log = logging.getLogger(__name__)
_said = _told = False
_DIGEST_BYTES = 32


def kernel(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function on its first call, and keep the machine code beside its source file.

    A kernel whose name begins with an underscore is called by kernels of its file alone: numba then makes no entry for
    Python, which takes a tenth of all time spent compiling. Calling one from Python would crash; a test forbids it.

    If numba finds no folder to keep it in (a read-only installation without a home), or it cannot be written there
    (a full disk), the function is compiled anew in each process, and a warning says so once.
    """
    options = {
        "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True,
        "no_cpython_wrapper": function.__name__.startswith("_"), **options,
    }  # fmt: skip
    compiled: Any = njit(**options)(function)
    if not hasattr(compiled, "enable_caching"):  # NUMBA_DISABLE_JIT leaves the function itself
        return compiled
    try:
        compiled.enable_caching()
    except RuntimeError as error:  # "cannot cache function: no locator available"
        if "cache" not in str(error):
            raise
        _warn_once("numba finds no folder to keep uvgen's compiled code in")
    else:
        compiled._cache = _KernelCache(compiled._cache)
    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """Like `kernel`, but always inlined by LLVM into the kernels that call it."""
    return kernel(function, forceinline=True)


def _chosen(comparison: str, builtin: Callable[..., Any]) -> Any:
    """Python's min or max of two numbers, as numba compiles it, but sooner.

    numba compiles its own anew for each pair of types, and takes twice as long for each call.
    """
    if njit(_chosen) is _chosen:  # NUMBA_DISABLE_JIT
        return builtin

    def choose(context: Any, a: Any, b: Any) -> Any:
        common = context.unify_types(a, b)
        if common is None:
            return None

        def body(context: Any, builder: Any, types: Any, values: Any) -> Any:
            first, second = (context.cast(builder, *each, common) for each in zip(values, types.args, strict=True))
            if hasattr(common, "signed"):
                compare = builder.icmp_signed if common.signed else builder.icmp_unsigned
            else:
                compare = builder.fcmp_ordered  # the first, if one is NaN
            return builder.select(compare(comparison, second, first), second, first)

        return common(a, b), body

    return intrinsic(choose)


smaller, larger = _chosen("<", min), _chosen(">", max)


def are_cached() -> bool:
    """Whether uvgen's kernels were compiled and kept by an earlier process, as far as files tell.

    Kernels of any room count, because no job needs those of all rooms.
    """
    named = os.environ.get("NUMBA_CACHE_DIR")
    kept = "*kernels.*.nbc"
    return any(Path(named).rglob(kept) if named else Path(__file__).parent.glob(f"**/__pycache__/{kept}"))


class _KernelFiles:
    """One file for each function and signature, which is whole and of that source, or counts as missing.

    Numba's own cache writes an index first, and then the code to a numbered file that the index names. A process that
    ends between the two, a disk that fills up, or two processes that compile for different types at once, leave an
    index that leads to the code of an older source or of other types, which then runs forever. A file that was cut
    short ends each process with an exception.
    """

    def __init__(self, of_numba: Any) -> None:
        self._base = Path(of_numba.cache_path) / of_numba._impl.filename_base
        self._origin = numba.__version__, of_numba._impl.locator.get_source_stamp(), _sources_beside(of_numba._py_func)

    def load(self, key: Any) -> Any:
        try:
            content = self._file(key).read_bytes()
        except OSError:
            return None
        digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if digest != self._digest(key, code):
            return None
        try:
            return pickle.loads(code)
        except (AttributeError, ImportError):  # it names the NamedTuple of an argument, which was moved or renamed
            return None

    def save(self, key: Any, data: Any) -> None:
        code: bytes = dumps(data)  # type: ignore[no-untyped-call]
        path = self._file(key)
        temporary = path.with_name(f"{path.name}.tmp.{uuid.uuid4().hex[:16]}")
        try:
            temporary.write_bytes(self._digest(key, code) + code)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def flush(self) -> None:
        for path in self._base.parent.glob(f"{self._base.name}.*.nbc"):
            path.unlink(missing_ok=True)

    def _file(self, key: Any) -> Path:
        return Path(f"{self._base}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc")

    def _digest(self, key: Any, code: bytes) -> bytes:
        """SHA-256 of the code and of all that it was made of."""
        return hashlib.sha256(repr((self._origin, key)).encode() + b"\0" + code).digest()


def _sources_beside(function: Any) -> tuple[str, ...]:
    """Digests of the other files of its package, and of uvgen, that a kernel's file imports functions or classes from.

    Intrinsics and decorators are part of the code that is kept, and numba looks at the kernel's own file alone.
    """
    own = function.__module__
    named = {getattr(value, "__module__", None) for value in function.__globals__.values()}
    packages = {"uvgen", own.partition(".")[0]}
    return tuple(
        _source_digest(name)
        for name in sorted(name for name in named if isinstance(name, str) and name != own)
        if name.partition(".")[0] in packages
    )


@cache
def _source_digest(module: str) -> str:
    try:
        return hashlib.sha256(Path(str(sys.modules[module].__file__)).read_bytes()).hexdigest()
    except (OSError, KeyError, AttributeError):  # of no file, or in an archive
        return ""


class _KernelCache:
    """Numba's cache of a function, in `_KernelFiles`; if it cannot be written, the work goes on without it."""

    def __init__(self, of_numba: Any) -> None:
        self._cache = of_numba
        of_numba._cache_file = _KernelFiles(of_numba)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """As numba's, but without all that only compiling needs: to import it takes a third of a second.

        numba does it before it looks into the cache, and again before it compiles.
        """
        rtsys.initialize(target)  # counts references to arrays
        found = self._cache._load_overload(signature, target)
        if found is None:
            _say_compiling()
        return found

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            self._cache.save_overload(signature, data)
        except OSError as error:
            why = error.strerror or type(error).__name__
            _warn_once(f"{self._cache.cache_path}: numba cannot keep uvgen's compiled code there ({why})")


def _say_compiling() -> None:
    """Log, once a process, that kernels are compiled: as a warning where a person waits at a prompt or in a notebook.

    Scripts see it only if they show messages of level INFO. Commands are scripts, and name this phase themselves.
    """
    global _told
    if not _told and multiprocessing.current_process().name == "MainProcess":
        _log.log(
            logging.WARNING if hasattr(sys, "ps1") else logging.INFO,
            "uvgen: compiling kernels, once; this takes some seconds, or a minute on a busy machine",
        )
    _told = True


def _warn_once(what: str) -> None:
    global _said
    if not _said and multiprocessing.current_process().name == "MainProcess":
        warnings.warn(
            f"{what}, so each process spends some seconds compiling; set NUMBA_CACHE_DIR to a folder that can be "
            "written",
            RuntimeWarning,
            stacklevel=2,
        )
    _said = True
