"""Compiled code where numba finds no folder for its cache: slower, and said once."""

import subprocess
import sys

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
