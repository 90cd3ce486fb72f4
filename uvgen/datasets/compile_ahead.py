"""Compiling what the first build on a machine needs, in several processes at once.

numba compiles on one thread of a process, and two processes that need the same kernel both compile it. A command that
finds no compiled code therefore starts processes that compile one share each, and waits before it calls a kernel: first
for those that make the built-in samples, while the others are still compiled. What they leave in numba's cache is what
every other process finds. Without them, all goes on as usual, only later.
"""

import gc
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from multiprocessing.spawn import get_executable
from pathlib import Path
from typing import Any, NamedTuple

from uvgen.progress import begin

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from uvgen.datasets.compile_ahead import compile_share; compile_share(*sys.argv[2:])"
)
_LONGEST_S = 300.0
_POLL_S = 0.05


class _Unit(NamedTuple):
    """Kernels that share parts, which one process compiles once."""

    cost: int  # its part of the whole, in percent: how units are shared out
    use: str  # what needs it: making the built-in "samples", a "build", or "both"
    kernels: tuple[str, ...]

    def serves(self, use: str) -> bool:
        return self.use in (use, "both")


UNITS = (
    _Unit(35, "both", ("uvgen.rasterize.coverage_kernels:rasterize_mesh",)),
    _Unit(18, "build", ("uvgen.images.kernels:warp_rgb",)),
    _Unit(18, "samples", ("uvgen.rasterize.surface_kernels:sum_shown_normals",
                          "uvgen.rasterize.surface_kernels:see_points")),
    _Unit(16, "samples", ("uvgen.synth.kernels:add_offsets", "uvgen.synth.kernels:paint_backdrop",
                          "uvgen.synth.kernels:find_facing", "uvgen.synth.kernels:list_shown",
                          "uvgen.synth.kernels:draw_fragments", "uvgen.synth.kernels:expose")),
    _Unit(13, "build", ("uvgen.maps.kernels:smallest_depths", "uvgen.maps.kernels:interpolate_texels_fixed")),
)  # fmt: skip

TYPES = {
    "uvgen.rasterize.coverage_kernels:rasterize_mesh":
        "MeshArrays( int64:A- float32:C- uint32:C- ) int64 bool bool BlockMemory( uint32:C int64:C float32:C float32:C "
        "int32:C int32::C int64:C float32:C float32:C int32:C int32:C ) FragmentArrays( int32:C float32:C float32:C )",
    "uvgen.rasterize.surface_kernels:see_points":
        "float32:C- float32::C- float32 bool:C",
    "uvgen.synth.kernels:add_offsets":
        "float32::C float32:C- int64 float32::C",
    "uvgen.synth.kernels:paint_backdrop":
        "float32:::C Texture( float32::C int64 int64 float32 ) bool float32:::C",
    "uvgen.synth.kernels:find_facing":
        "float32::C int32::C int32:C int32::C float32:C",
    "uvgen.synth.kernels:list_shown":
        "int32:C int32:C int32::C uint8:C uint8:C int32:C",
    "uvgen.rasterize.surface_kernels:sum_shown_normals":
        "int32:C MeshArrays( int64:A- float32:C- uint32:C- ) uint8:C "
        "FaceMemory( uint32:C int64:C float32:C float32:C float32:C float32:C ) float32:C",
    "uvgen.synth.kernels:draw_fragments":
        "PixelSamples( int32:::C float32::::C float32:::C ) int32::C float32::C float32 int64 int64 float32:::C "
        "bool::C",
    "uvgen.synth.kernels:expose":
        "float32::C bool::C float32 Grain( float32:C int64 float32 ) float32::C uint8::C",
    "uvgen.images.kernels:warp_rgb":
        "uint8:::C float64::C uint64::C uint8:::C",
    "uvgen.maps.kernels:smallest_depths":
        "float32:::C float32::C- float32::C float32:C",
    "uvgen.maps.kernels:interpolate_texels_fixed":
        "float32:::C TexelPlaces( float32::C int32::C- float32::C- ) float32::C int64 float32:::C int32:C uint16:::C",
}  # fmt: skip
"""Arguments of each kernel as a default build calls it: NumPy's name of a type, a colon for each dimension, C or A for
contiguous or not, - for read-only; a NamedTuple's fields in parentheses. A test compares with what a build calls."""


def argument_types(name: str) -> tuple[Any, ...]:
    """numba's types for the arguments of a kernel in `TYPES`."""
    return _types(TYPES[name].split(), import_module(name.partition(":")[0]))


def _types(words: list[str], module: Any) -> tuple[Any, ...]:
    """Of words, which are used up, to the end or to a closing parenthesis; NamedTuples are the module's."""
    import numpy as np
    from numba import from_dtype, types

    found: list[Any] = []
    while words and (word := words.pop(0)) != ")":
        if word.endswith("("):
            bundle: Any = types.BaseTuple
            found.append(bundle.from_types(_types(words, module), getattr(module, word[:-1])))
            continue
        scalar = from_dtype(np.dtype(word.rstrip("-CA").rstrip(":")))
        layout: Any = word.rstrip("-")[-1]
        dimensions = word.count(":")
        found.append(types.Array(scalar, dimensions, layout, readonly=word[-1] == "-") if dimensions else scalar)
    return tuple(found)


class Compiling:
    """Processes that compile one share each; see `compile_ahead`."""

    def __init__(self, shares: list[list[_Unit]]) -> None:
        self._running: list[tuple[subprocess.Popen[bytes], list[_Unit]]] = []
        where = json.dumps([os.path.abspath(path) for path in sys.path])
        with suppress(OSError):
            for share in shares:
                names = [name for unit in share for name in unit.kernels]
                process = subprocess.Popen(
                    [get_executable(), "-c", _PROGRAM, where, str(os.getpid()), *names],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                self._running.append((process, share))

    def wait(self, use: str) -> None:
        """Wait until what the built-in "samples" or a "build" need is compiled, or no process compiles it."""
        if self._running:
            begin("compiling kernels, once")
        stop = time.monotonic() + _LONGEST_S
        others = []
        for process, share in self._running:
            while process.poll() is None and any(unit.serves(use) and _is_missing(unit) for unit in share):
                if time.monotonic() > stop:
                    process.kill()
                    process.wait()
                time.sleep(_POLL_S)
            if any(not unit.serves(use) for unit in share):
                others.append((process, share))
            else:
                process.wait()
        self._running = others


def compile_ahead(workers: int, *, for_samples: bool) -> Compiling:
    """Start compiling in up to `workers` processes what is not compiled yet; returns what waits for them.

    `for_samples`: whether the built-in samples are going to be made too. Does nothing with one worker, or if numba
    finds no folder to keep compiled code in; errors are not reported, since kernels are compiled on their first call.
    """
    if workers == 1:
        return Compiling([])
    missing = [unit for unit in UNITS if (for_samples or unit.serves("build")) and _is_missing(unit)]
    shares: list[list[_Unit]] = [[] for _ in range(min(workers, len(missing)))]
    # what makes samples first, the costliest first, each to the share that costs least so far
    for unit in sorted(missing, key=lambda unit: (for_samples and not unit.serves("samples"), -unit.cost)):
        min(shares, key=lambda share: sum(each.cost for each in share)).append(unit)
    return Compiling(shares)


def compile_share(parent: str, *names: str) -> None:
    """Compile kernels, which numba keeps, in a process that ends with its parent."""
    from uvgen.parallel.child import end_with

    end_with(int(parent))
    gc.disable()  # looking for garbage takes a tenth of the time, and this process ends soon
    # numba imports it, if it can, for matrix products: no kernel makes any, and the import takes 0.2 s
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    for name in names:
        _kernel(name).compile(argument_types(name))


def _kernel(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def _is_missing(unit: _Unit) -> bool:
    """Whether numba would keep the unit's code, and has kept none so far, as far as files tell."""
    for name in unit.kernels:
        kernel = _kernel(name)
        folder = kernel.stats.cache_path if hasattr(kernel, "stats") else None  # NUMBA_DISABLE_JIT: a plain function
        if folder is None:
            return False
        stem = f"{kernel.py_func.__module__.rpartition('.')[2]}.{kernel.py_func.__name__}-"
        if not any(path.name.startswith(stem) for path in Path(folder).glob("*.nbc")):
            return True
    return False
