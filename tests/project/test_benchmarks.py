"""The benchmarks start: what they import is there."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in BENCHMARKS if path.stem != "timing"], ids=lambda path: path.stem)
def test_benchmark_starts(path: Path) -> None:
    for name in {"read": ["torch"], "augment": ["cv2"]}.get(path.stem, []):
        pytest.importorskip(name)
    done = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
