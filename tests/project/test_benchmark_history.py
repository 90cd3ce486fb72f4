"""The history of benchmarks: figures are recognized in what is printed, kept, and compared."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HISTORY = Path(__file__).parents[2] / "benchmarks/history.py"


@pytest.fixture(scope="module")
def history():
    namespace: dict = {"__name__": "history", "__file__": str(HISTORY)}
    exec(compile(HISTORY.read_text(encoding="utf-8"), HISTORY, "exec"), namespace)
    return namespace


def test_figures_are_named_by_the_words_beside_them(history) -> None:
    text = "one core: 1.25 ms = 2.0 × the floor\n  warp   0.14\n  warp   0.50\n"
    text += "128² of 3 samples, v5.0.0.93\n256 0.50 (3.30x)\n"
    assert history["figures"](text) == {
        "one core: # ms = # × the floor (1)": 1.25,
        "one core: # ms = # × the floor (2)": 2.0,
        "warp # (1)": 0.14,
        "warp # [2] (1)": 0.5,
        "# # (#x) (2)": 0.5,
        "# # (#x) (3)": 3.3,
    }


def test_changes_are_those_beyond_five_percent_of_the_median_of_the_last_runs(history) -> None:
    before = [{"a": 100.0, "b": 1.0, "old": 1.0}, *({"a": value, "b": 1.0} for value in (1.0, 1.0, 9.0, 1.0, 1.0))]
    now = {"a": 1.04, "b": 1.06, "new": 3.0}
    assert history["changes"](now, before) == [("b", 1.0, 1.06)]
    assert history["changes"](now, []) == []


def test_run_is_printed_kept_and_compared_with_those_of_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "history.py").write_text(HISTORY.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "toy.py").write_text("import sys\nprint('whole build:', sys.argv[1] and open('ms').read(), 'ms')\n")

    def run(milliseconds: str, *arguments: str) -> subprocess.CompletedProcess:
        (tmp_path / "ms").write_text(milliseconds)
        command = [sys.executable, "history.py", "toy", *arguments, "--keep", "kept"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    first = run("2.00", "a").stdout
    assert first.startswith("whole build: 2.00 ms\n") and "1 figures, compared with 0 earlier runs" in first
    assert "none differs by more than 5%" in run("2.05", "a").stdout
    assert "2.025 -> 3 (+48 %): whole build: # ms (1)" in run("3.00", "a").stdout
    assert "compared with 0 earlier runs" in run("9.00", "b").stdout
    kept = [json.loads(line) for line in (tmp_path / "kept/toy.jsonl").read_text().splitlines()]
    assert [one["arguments"] for one in kept] == [["a"]] * 3 + [["b"]] and kept[0]["processor"]


def test_unknown_benchmark_is_wrong_usage_and_names_those_that_exist() -> None:
    run = subprocess.run([sys.executable, HISTORY, "biuld"], capture_output=True, text=True)
    assert run.returncode == 2 and "rasterize" in run.stdout and "timing" not in run.stdout.splitlines()[-1]
