"""Compiled code: where numba finds no folder for its cache (slower, and said once), and what Python may call."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import uvgen

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


def test_kernels_whose_name_begins_with_an_underscore_are_called_by_kernels_alone() -> None:
    seen = 0
    for path in Path(uvgen.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
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
