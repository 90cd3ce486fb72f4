"""The benchmarks start: what they import is there."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.builds import have
from support.toy import write_tree

from uvgen import BuildConfig

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))
HISTORY = Path(__file__).parents[2] / "benchmarks/history.py"
STARTED = [
    path
    for path in BENCHMARKS
    if path.stem not in ("timing", "history", "example_programs", "fault_bench", "usual_files")
]


@pytest.mark.long
@pytest.mark.slow
def test_read_benchmark_times_a_network_its_feed_and_both(model_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "shards", BuildConfig(size=32, uv_size=48))
    (script,) = (path for path in BENCHMARKS if path.stem == "read")
    command = [
        sys.executable,
        script,
        "--shards",
        tmp_path / "shards",
        "--headroom",
        "--samples",
        "32",
        "--repeats",
        "2",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    times = [float(value) for value in re.findall(r"([\d.]+) ms", done.stdout)]
    assert len(times) == 5 and min(times) > 0
    rows = ["network alone"] + [
        row for kind in ("compact", "float") for row in (f"feed alone, {kind}", f"both, {kind}")
    ]
    assert [row for row in rows if row in done.stdout] == rows


def test_benchmarks_hide_no_module_of_the_standard_library() -> None:
    """A script's folder comes first in `sys.path`: with a `profile.py` in it, `import cProfile` fails there."""
    assert not {path.stem for path in BENCHMARKS} & sys.stdlib_module_names


def test_history_offers_the_benchmarks_alone() -> None:
    done = subprocess.run([sys.executable, HISTORY, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith(f"benchmarks: {', '.join(path.stem for path in STARTED)}")


NEEDED = {"read": "torch", "networks": "torch", "gpu": "torch", "try_recipes": "torch", "augment": "cv2"}
IN_TURN = """
import contextlib, io, json, runpy, sys, traceback
found, path = {}, [*sys.path[1:]]
for program in sys.argv[1:]:
    sys.argv, sys.path[:] = [program, "--help"], [program.rpartition("/")[0], *path]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as ended:
            found[program] = [ended.code, out.getvalue()]
        except BaseException:
            found[program] = [1, traceback.format_exc()]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_benchmarks_start() -> None:
    """In one process: to import PyTorch takes longer than all else that they do then."""
    started = [str(path) for path in STARTED if path.stem not in NEEDED or find_spec(NEEDED[path.stem])]
    done = subprocess.run([sys.executable, "-c", IN_TURN, *started], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [*found] == started
    for path, (status, text) in found.items():
        assert status in (0, None) and "usage" in text, f"{path}: {text}"
