"""Compiled code where numba finds no folder for its cache, and where the cache is of another version."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
print(rasterize.rasterize(triangle, np.array([[0, 1, 2]]), (5, 5)).covered.sum(axis=1).tolist())
"""


@pytest.mark.slow
def test_rasterize_without_a_folder_for_numbas_cache_draws_and_warns_once() -> None:
    run = subprocess.run([sys.executable, "-W", "always", "-c", WITHOUT_CACHE], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "[4, 3, 2, 1, 0]\n"
    warnings = [line for line in run.stderr.splitlines() if "Warning: " in line]
    assert len(warnings) == 1, run.stderr
    assert "RuntimeWarning" in warnings[0] and "NUMBA_CACHE_DIR" in warnings[0]


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
def test_kernel_whose_kept_code_names_a_class_that_is_gone_is_compiled_anew(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    found = []
    for name, factor in (("First", "3"), ("First", "3"), ("Other", "5"), ("Other", "5")):
        content = WITH_A_BUNDLE.replace("NAME", name).replace("FACTOR", factor)
        if not found or len(found) == 2:
            (tmp_path / "bundled.py").write_text(content)
        run = subprocess.run(
            [sys.executable, "-c", "import bundled"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        found.append(run.stdout.split())
    assert found == [["21", "0"], ["21", "1"], ["35", "0"], ["35", "1"]]
