"""`examples/quickstart.ipynb` runs from its first cell to its last, without Jupyter: its cells are plain Python.

A kernel would need three more packages, sockets and a timeout; a child process with one cell after another shows the
same errors. What only Jupyter does, showing a cell's last value, is checked for being a picture.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples/quickstart.ipynb"

RUNNER = """
import ast, json, sys, types
from PIL import Image as files

class Image:  # as that of IPython.display, which belongs to Jupyter
    def __init__(self, filename, *, alt):
        self.size = files.open(filename).size
        print("picture for those who do not see it:", alt)

sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython.display"] = types.ModuleType("IPython.display")
sys.modules["IPython.display"].Image = Image
scope = {"__name__": "__main__"}
for number, cell in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))["cells"]):
    if cell["cell_type"] == "code":
        source = "".join(cell["source"]).replace(", 400)", f", {sys.argv[2]})")
        tree = ast.parse(source, f"cell {number}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), scope)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), scope)
            if value is not None:
                print(f"shown by cell {number}:", type(value).__mro__[-2].__name__, getattr(value, "size", value))
"""


def cells() -> list[dict[str, Any]]:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    return content["cells"]


@pytest.mark.slow
@pytest.mark.parametrize("place", [pytest.param("examples", marks=pytest.mark.long), "."])
def test_notebook_runs_from_its_folder_and_from_the_one_above(tmp_path: Path, place: str) -> None:
    pytest.importorskip("torch")
    ran_notebook(tmp_path, place, 4)


@pytest.mark.parametrize("place", ["examples", "."])
def test_notebook_finds_the_training_script_from_its_folder_and_from_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The only thing that depends on the folder, without the rest."""
    shutil.copytree(NOTEBOOK.parent, tmp_path / "examples", ignore=shutil.ignore_patterns("quickstart", "__pycache__"))
    (source,) = (text for cell in cells() if "sys.path" in (text := "".join(cell["source"])))
    lines = [line for line in source.splitlines() if line.startswith(("places = ", "sys.path"))]
    assert len(lines) == 2
    monkeypatch.chdir(tmp_path / place)
    monkeypatch.setattr(sys, "path", [])
    exec("\n".join(lines), {"Path": Path, "sys": sys})
    assert {Path(folder).resolve() for folder in sys.path} == {(tmp_path / "examples").resolve()}


@pytest.mark.long
@pytest.mark.slow
def test_network_of_the_notebook_beats_a_guess(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    stdout = ran_notebook(tmp_path, ".", 400)
    loss = [float(value) for value in re.findall(r"weighted loss ([\d.]+)", stdout)]
    assert loss[-1] < loss[0] / 10  # as its text says
    error, guess = map(float, re.findall(r"([\d.]+)%", stdout.split("validation NME")[1])[:2])
    assert error < 0.8 * guess


def ran_notebook(folder: Path, place: str, steps: int) -> str:
    """What the notebook prints, run from a place in a folder that it is copied into, with so many steps of training."""
    shutil.copytree(NOTEBOOK.parent, folder / "examples", ignore=shutil.ignore_patterns("quickstart", "__pycache__"))
    assert sum(", 400)" in "".join(cell["source"]) for cell in cells()) == 1  # the steps of its training
    name = os.path.relpath(folder / "examples" / NOTEBOOK.name, folder / place)
    done = subprocess.run([sys.executable, "-c", RUNNER, name, str(steps)], cwd=folder / place, capture_output=True,
                          text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"shown by cell \d+: Image \(\d+, \d+\)", done.stdout)) == 2
    texts = re.findall(r"picture for those who do not see it: (.+)", done.stdout)
    assert len(texts) == 2 and min(map(len, texts)) > 40
    assert "128 samples, 0 skipped" in done.stdout and "128 samples of 64 photographs" in done.stdout
    assert (folder / place / "quickstart/report/index.html").exists()
    made = {path.name for path in (folder / place / "quickstart").iterdir()}
    assert made == {"shards", "preview.png", "validation.png", "report"}
    return done.stdout


def test_notebook_is_committed_without_outputs() -> None:
    for cell in cells():
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


def test_notebook_says_before_each_code_cell_what_one_sees_in_two_sentences_or_more() -> None:
    content = cells()
    for text, cell in itertools.pairwise(content):
        if cell["cell_type"] == "code":
            assert text["cell_type"] == "markdown"
            assert len(re.findall(r"[.:](?:\s|$)", "".join(text["source"]))) >= 2, text["source"]


def test_notebook_links_lead_somewhere() -> None:
    for cell in cells():
        for target in re.findall(r"\]\(([^)#]+)\)", "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""):
            assert (NOTEBOOK.parent / target).exists(), target
