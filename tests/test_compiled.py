"""Compiled code where numba finds no folder for its cache, and where what is in the folder is not what it seems."""

import ast
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit
from support.forks import Forks

import uvgen
from uvgen import compiled
from uvgen.compiled import larger, smaller

WITHOUT_CACHE = """
import numba.core.caching as caching

def refuse(self):
    raise OSError(30, "Read-only file system")

locators = [getattr(caching, name) for name in dir(caching) if name.endswith("CacheLocator")]
assert len(locators) > 1
for locator in locators:
    locator.ensure_cache_path = refuse

import numpy as np
from uvgen import rasterize

triangle = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0.0]])
print(rasterize.vertex_normals(triangle, np.array([[0, 1, 2]])).tolist())
"""


def test_variables_that_numba_does_not_take_are_named() -> None:
    environment = {**os.environ, "NUMBA_NUM_THREADS": "0"}
    run = subprocess.run(
        [sys.executable, "-c", "import uvgen.compiled"], capture_output=True, text=True, env=environment
    )
    assert "DependencyError: numba cannot be imported (Number of threads specified must be > 0.)" in run.stderr


@pytest.mark.slow
@pytest.mark.vital
def test_kernels_without_a_folder_for_numbas_cache_run_and_warn_once() -> None:
    run = subprocess.run([sys.executable, "-W", "always", "-c", WITHOUT_CACHE], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{[[0.0, 0.0, 1.0]] * 3}\n"
    warnings = [line for line in run.stderr.splitlines() if "Warning: " in line]
    assert len(warnings) == 1, run.stderr
    assert "RuntimeWarning" in warnings[0] and "NUMBA_CACHE_DIR" in warnings[0]


AS_KEPT = """
import sys
import numpy as np
from uvgen import rasterize

triangle = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0.0]])
print(rasterize.vertex_normals(triangle, np.array([[0, 1, 2]])).tolist())
print([name for name in ("numba.np.npyimpl", "numba.cpython.mathimpl") if name in sys.modules])
"""


@pytest.mark.slow
def test_kernel_that_was_kept_runs_without_what_only_compiling_needs() -> None:
    command = [sys.executable, "-c", AS_KEPT]
    subprocess.run(command, check=True, capture_output=True)  # now it is kept
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr, run.stderr
    assert run.stdout == f"{[[0.0, 0.0, 1.0]] * 3}\n[]\n"


MODULE = """
import numpy as np
from uvgen.compiled import kernel

@kernel
def scaled(values, out):
    for i in range(values.shape[0]):
        out[i] = values[i] * FACTOR

def call(dtype):
    out = np.zeros(3, dtype)
    scaled(np.arange(3, dtype=dtype), out)
    return out.tolist()

print(call(np.float32), call(np.int32))
"""
TWOFOLD, THREEFOLD = "[0.0, 2.0, 4.0] [0, 2, 4]\n", "[0.0, 3.0, 6.0] [0, 3, 6]\n"
FAULTS = {"the disk is full": "raise OSError(28, 'No space left on device')", "the process is killed": "os._exit(9)"}
AT_REPLACING = """
import os
whole = os.replace

def replace(source, target):
    if str(target).endswith(".nbc"):
        {fault}
    whole(source, target)

os.replace = replace
import module
"""


Run = Callable[[Path, str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs Python code in a process of its own and in a folder, in which compiled code is kept too."""
    forks = Forks()

    def run_in(folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
        kept = {"NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        return forks.run(code, folder, {**os.environ, **kept})

    yield run_in
    forks.close()


@pytest.fixture
def run_module(run: Run, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a module whose kernel multiplies by a factor."""

    def run_it(factor: int, code: str = "import module") -> "subprocess.CompletedProcess[str]":
        content = MODULE.replace("FACTOR", str(factor)) + "# changed\n" * factor  # another size
        (tmp_path / "module.py").write_text(content)
        return run(tmp_path, code)

    return run_it


@pytest.mark.parametrize("fault", FAULTS)
def test_kernel_whose_code_could_not_be_kept_does_not_run_that_of_an_older_source(run_module, fault) -> None:
    assert run_module(2).stdout == TWOFOLD
    done = run_module(3, AT_REPLACING.format(fault=FAULTS[fault]))
    if "disk" in fault:
        assert done.stdout == THREEFOLD and done.returncode == 0
        assert done.stderr.count("Warning: ") == 1 and "(No space left on device)" in done.stderr
    else:
        assert done.returncode == 9
    assert run_module(3).stdout == THREEFOLD
    assert run_module(2).stdout == TWOFOLD


DAMAGED = """
import importlib, pathlib, module
floats, integers = sorted(pathlib.Path("cache").rglob("*.nbc"))
whole = floats.read_bytes()
flipped = bytearray(whole)
flipped[len(whole) // 2] ^= 1
for damaged in (b"", whole[:20], whole[:-1], bytes(flipped), integers.read_bytes()):  # the last: of other types
    floats.write_bytes(damaged)
    importlib.reload(module)  # as a new process does
    assert floats.read_bytes() != damaged, "the file is made again"
"""


def test_kernel_whose_files_are_damaged_or_exchanged_is_compiled_again(run_module) -> None:
    done = run_module(2, DAMAGED)
    assert done.stdout == TWOFOLD * 6 and not done.stderr


def test_kernel_is_read_from_its_file_by_the_next_process(run_module) -> None:
    run_module(2)
    code = "import module; print(sum(module.scaled.stats.cache_hits.values()), module.scaled.stats.cache_misses)"
    assert run_module(2, code).stdout.endswith("2 Counter()\n")


PARTS = """
from numba.extending import register_jitable

@register_jitable
def factor():
    return FACTOR
"""
WITH_PARTS = """
from pack.parts import factor
from uvgen.compiled import kernel

@kernel
def times(number):
    return factor() * number

print(times(7), sum(times.stats.cache_hits.values()))
"""


def test_kernel_whose_intrinsics_in_another_file_have_changed_is_compiled_anew(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "kernels.py").write_text(WITH_PARTS)
    found = []
    for factor in ("3", "3", "5"):
        (tmp_path / "pack" / "parts.py").write_text(PARTS.replace("FACTOR", factor))
        done = run(tmp_path, "import pack.kernels")
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert found == [["21", "0"], ["21", "1"], ["35", "0"]]


WITH_A_BUNDLE = """
from typing import NamedTuple

from uvgen.compiled import kernel


class NAME(NamedTuple):
    factor: int


@kernel
def times(bundle, number):
    return bundle.factor * number


print(times(NAME(FACTOR), 7), sum(times.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_kernel_whose_kept_code_names_a_class_that_is_gone_is_compiled_anew(run: Run, tmp_path: Path) -> None:
    found = []
    for name, factor in (("First", "3"), ("First", "3"), ("Other", "5"), ("Other", "5")):
        content = WITH_A_BUNDLE.replace("NAME", name).replace("FACTOR", factor)
        if not found or len(found) == 2:
            (tmp_path / "bundled.py").write_text(content)
        done = run(tmp_path, "import bundled")
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert found == [["21", "0"], ["21", "1"], ["35", "0"], ["35", "1"]]


def test_kernels_whose_name_begins_with_an_underscore_are_called_by_kernels_alone() -> None:
    seen = 0
    for path in Path(uvgen.__file__).parent.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if not re.search("kernel|inlined", source):  # neither defines one nor imports any
            continue
        tree = ast.parse(source)
        kernels = {node: node.name for node in tree.body if isinstance(node, ast.FunctionDef) and _is_kernel(node)}
        private = {name for name in kernels.values() if name.startswith("_")}
        seen += len(private)
        for node in tree.body:
            if node not in kernels:  # what else a file defines runs in Python, where calling one would crash
                used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} & private
                assert not used, f"{path}:{node.lineno}: {sorted(used)}"
            if isinstance(node, ast.ImportFrom) and str(node.module).endswith("kernels"):
                assert not [name.name for name in node.names if name.name.startswith("_")], f"{path}:{node.lineno}"
    assert seen > 20


def _is_kernel(function: ast.FunctionDef) -> bool:
    names = [getattr(each, "id", None) for each in function.decorator_list]
    return "kernel" in names or "inlined" in names


AT_A_PROMPT = """
import sys
import numpy as np
from uvgen import rasterize

if len(sys.argv) > 1:
    sys.ps1 = "In : "
triangle = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0.0]])
for triangles in ([[0, 1, 2]], [[0, 1, 2], [0, 2, 1]]):
    rasterize.vertex_normals(triangle, np.array(triangles))
"""


@pytest.mark.slow
def test_compiling_is_said_once_at_a_prompt_and_not_in_scripts(tmp_path) -> None:
    def said(cache: str, *arguments: str) -> str:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / cache)}
        run = subprocess.run(
            [sys.executable, "-c", AT_A_PROMPT, *arguments], capture_output=True, text=True, env=environment
        )
        assert run.returncode == 0, run.stderr
        return run.stderr

    assert said("script") == ""
    assert said("prompt", "prompt").startswith("uvgen: compiling kernels, once; ")
    assert said("prompt", "prompt") == ""


@pytest.mark.parametrize("room", ["fitting/__pycache__/kernels", "rasterize/__pycache__/surface_kernels"])
def test_kernels_of_any_room_are_kept_kernels(room: str, tmp_path: Path, monkeypatch) -> None:
    """Somebody who only fits photographs would read that kernels are compiled, once, in each run."""
    (tmp_path / room).parent.mkdir(parents=True)
    for where in ("NUMBA_CACHE_DIR", "beside the files"):
        if where == "NUMBA_CACHE_DIR":
            monkeypatch.setenv(where, str(tmp_path))
        else:
            monkeypatch.delenv("NUMBA_CACHE_DIR")
            monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
        kept = Path(f"{tmp_path / room}._add-18.py311.0123456789abcdef.nbc")
        assert not compiled.are_cached()
        kept.touch()
        assert compiled.are_cached()
        kept.unlink()


def test_smaller_and_larger_are_min_and_max_as_numba_compiles_them() -> None:
    @njit
    def both(a: Any, b: Any) -> Any:
        return (smaller(a, b), larger(a, b), smaller(a, 3), larger(a, 3)), (min(a, b), max(a, b), min(a, 3), max(a, 3))

    floats = [np.float32(1.5), np.float64(np.nan), np.float64(-0.0)]
    numbers = [*floats, np.int32(-3), np.int64(7), np.uint32(5)]
    # types in one order, as each pair of them is compiled, and values that have none in both
    for a, b in [*itertools.combinations_with_replacement(numbers, 2), *itertools.permutations(floats, 2)]:
        found, expected = both(a, b)
        assert repr(found) == repr(expected), (a, b)
