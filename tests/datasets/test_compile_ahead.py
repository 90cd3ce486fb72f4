"""Compiling in several processes: the table of kernels is what a first build calls, and nothing depends on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from uvgen.datasets import compile_ahead as ahead

COMPILED = """
import json, sys
from uvgen.cli.main import main
from uvgen.synth.sample_set import builtin_samples
try:
    main(sys.argv[2:]) if sys.argv[1] == "build" else builtin_samples()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
from numba.core.dispatcher import Dispatcher
found = {}
for name, module in [*sys.modules.items()]:
    if name.startswith("uvgen."):
        for kernel in vars(module).values():
            if isinstance(kernel, Dispatcher) and not kernel.targetoptions["no_cpython_wrapper"] and kernel.signatures:
                name = f"{kernel.py_func.__module__}:{kernel.py_func.__name__}"
                found[name] = [list(map(repr, types)) for types in kernel.signatures]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_table_holds_the_kernels_that_the_builtin_samples_and_a_build_of_them_call(tmp_path: Path) -> None:
    command = ["build", "--subset", "IBUG", "--workers", "1", "--quiet", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "UVGEN_CACHE": str(tmp_path / "cache")}
    for use in ("samples", "build"):  # which finds the samples
        run = subprocess.run(
            [sys.executable, "-c", COMPILED, use, *command], capture_output=True, text=True, env=environment
        )
        assert run.returncode == 0, run.stderr
        called = json.loads(run.stdout.splitlines()[-1])
        kernels = [name for unit in ahead.UNITS if unit.serves(use) for name in unit.kernels]
        assert called == {name: [[repr(each) for each in ahead.argument_types(name)]] for name in kernels}


def test_units_name_each_kernel_of_the_table_once() -> None:
    assert sorted(name for unit in ahead.UNITS for name in unit.kernels) == sorted(ahead.TYPES)
    assert [unit.cost for unit in ahead.UNITS] == sorted((unit.cost for unit in ahead.UNITS), reverse=True)


def test_argument_types_of_scalars_arrays_and_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba import types

    from uvgen.synth.kernels import Grain

    name = "uvgen.synth.kernels:expose"
    monkeypatch.setitem(ahead.TYPES, name, "int64 bool uint8::C Grain( float32:A- int64 float32 ) float64")
    fields = [types.Array(types.float32, 1, "A", readonly=True), types.int64, types.float32]
    assert ahead.argument_types(name) == (
        types.int64,
        types.boolean,
        types.Array(types.uint8, 2, "C"),
        types.NamedTuple(fields, Grain),
        types.float64,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What processes were asked for: none can be started."""
    found: list[object] = []

    def no_more(command: object, **_: object) -> None:
        found.append(command)
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", no_more)
    return found


@pytest.mark.parametrize(("workers", "is_missing"), [(1, True), (8, False)])
def test_compile_ahead_with_one_worker_or_where_all_is_compiled_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, asked: list[object], workers: int, is_missing: bool
) -> None:
    monkeypatch.setattr(ahead, "_is_missing", lambda unit: is_missing)
    ahead.compile_ahead(workers, for_samples=True).wait("samples")
    assert asked == []


def test_compile_ahead_where_no_process_can_be_started_goes_on(
    monkeypatch: pytest.MonkeyPatch, asked: list[object]
) -> None:
    monkeypatch.setattr(ahead, "_is_missing", lambda unit: True)
    ahead.compile_ahead(8, for_samples=True).wait("samples")
    assert asked


def test_compile_ahead_where_numba_compiles_nothing_starts_nothing() -> None:
    program = (
        "import subprocess; from uvgen.datasets.compile_ahead import compile_ahead; "
        "subprocess.Popen = None; compile_ahead(2, for_samples=True).wait('build')"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_compile_ahead_shares_units_out_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_is_missing", lambda unit: True)
    monkeypatch.setattr(ahead, "_PROGRAM", "import sys; sys.exit(3)")  # whatever becomes of them
    started = []
    popen = subprocess.Popen

    def noted(command: list[str], **options: object) -> object:
        started.append(command[5:])
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", noted)
    ahead.compile_ahead(2, for_samples=False).wait("build")
    assert len(started) == 2
    assert started[0] == ["uvgen.rasterize.coverage_kernels:rasterize_mesh"]
    assert sorted(started[0] + started[1]) == sorted(
        name for unit in ahead.UNITS if unit.serves("build") for name in unit.kernels
    )


def test_compile_ahead_waits_for_what_samples_need_while_the_rest_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each process says that it has compiled a kernel by a file, and goes on when the test says so by another."""
    monkeypatch.setattr(
        ahead,
        "_is_missing",
        lambda unit: not all((tmp_path / name.replace(":", ".")).exists() for name in unit.kernels),
    )
    program = f"""
import pathlib, sys, time
folder = pathlib.Path({str(tmp_path)!r})
rest = {[name for unit in ahead.UNITS if unit.use == "build" for name in unit.kernels]!r}
for name in sys.argv[3:]:
    while name in rest and not (folder / "go on").exists():
        time.sleep(0.01)
    (folder / name.replace(":", ".")).touch()
"""
    monkeypatch.setattr(ahead, "_PROGRAM", program)
    compiling = ahead.compile_ahead(2, for_samples=True)
    compiling.wait("samples")
    assert [unit.use for unit in ahead.UNITS if ahead._is_missing(unit)] == ["build", "build"]
    (tmp_path / "go on").touch()
    compiling.wait("build")
    assert not any(ahead._is_missing(unit) for unit in ahead.UNITS)
    compiling.wait("build")


def test_compile_ahead_ends_a_process_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_is_missing", lambda unit: True)
    monkeypatch.setattr(ahead, "_PROGRAM", "import time; time.sleep(600)")
    monkeypatch.setattr(ahead, "_LONGEST_S", 0.1)
    compiling = ahead.compile_ahead(2, for_samples=False)
    processes = [process for process, _ in compiling._running]
    compiling.wait("build")
    assert len(processes) == 2 and all(process.poll() is not None for process in processes)


@pytest.mark.slow
def test_compile_share_leaves_what_another_process_then_finds(tmp_path: Path) -> None:
    name = "uvgen.synth.kernels:add_offsets"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    program = (
        f"import os, sys; from uvgen.datasets import compile_ahead as a; a.compile_share(str(os.getppid()), {name!r}); "
        "assert 'scipy.linalg.blas' not in sys.modules"  # which numba imports where it finds it
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    program = (
        f"from uvgen.datasets import compile_ahead as a; k = a._kernel({name!r}); "
        f"k.compile(a.argument_types({name!r})); print(sum(k.stats.cache_hits.values()), "
        f"a._is_missing(a._Unit(1, 'build', ({name!r},))))"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, env=environment, capture_output=True, text=True)
    assert run.stdout == "1 False\n"
