"""What importing costs: nothing that is not needed."""

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import uvgen

PACKAGE = Path(uvgen.__file__).parent
HEAVY = ("numba", "h5py", "scipy", "skimage", "joblib", "PIL", "simplejpeg", "tqdm")


@cache
def modules_after(code: str) -> frozenset[str]:
    """Top-level names of what a fresh interpreter holds after some code."""
    script = f"{code}\nimport sys\nprint(*sorted(sys.modules), file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return frozenset(name.partition(".")[0] for name in run.stderr.split())


def test_import_uvgen_is_light() -> None:
    assert not modules_after("import uvgen; uvgen.__version__; dir(uvgen)") & {*HEAVY, "numpy", "click"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["build", "--help"], ["verify", "--help"]])
def test_uvgen_help_is_light(arguments: list[str]) -> None:
    code = f"from uvgen.cli.main import main\nmain({arguments!r}, standalone_mode=False)"
    loaded = modules_after(code)
    assert "click" in loaded
    assert not loaded & {*HEAVY, "numpy"}


@pytest.mark.parametrize(
    "module",
    [
        "uvgen.geometry", "uvgen.maps.kernels", "uvgen.maps.landmarks", "uvgen.images.crop", "uvgen.errors",
        "uvgen.losses", "uvgen.metrics", "uvgen.randomness", "uvgen.rasterize",
    ],
)  # fmt: skip
def test_import_of_modules_for_training_code_needs_numpy_and_numba_alone(module: str) -> None:
    with_numba = modules_after("import numpy, numba")  # numba looks at scipy's version by itself
    assert not (modules_after(f"import {module}") - with_numba) & {*HEAVY, "click"}


def test_import_of_the_reader_needs_h5py_alone() -> None:
    loaded = modules_after("import uvgen; uvgen.open_shards")
    assert "h5py" in loaded
    assert not loaded & {"numba", "scipy", "skimage", "joblib", "click", "PIL", "simplejpeg", "tqdm"}


@pytest.mark.parametrize("module", ["uvgen.datasets.info", "uvgen.datasets.verify", "uvgen.maps.labels"])
def test_import_of_what_only_reads_shards_needs_no_numba(module: str) -> None:
    assert "numba" not in modules_after(f"import {module}")


def imported_names(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.update({node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names})
    return names


def library_files() -> list[Path]:
    """The library without the command line, which an editable install keeps elsewhere."""
    return [path for path in PACKAGE.rglob("*.py") if "cli" not in path.relative_to(PACKAGE).parts]


def test_library_never_imports_click() -> None:
    assert len(library_files()) > 10
    for path in library_files():
        if "click" in path.read_text(encoding="utf-8"):  # to parse all files takes seconds
            assert not any(name.partition(".")[0] == "click" for name in imported_names(path)), path


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        uvgen.nonsense  # noqa: B018


def test_every_command_in_the_help_has_its_module() -> None:
    from uvgen.cli.main import _COMMANDS, main

    for name in _COMMANDS:
        command = main.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None and command.name == name


@pytest.mark.parametrize("package", ["click", "lazy_loader"])
def test_uvgen_without_what_its_start_needs_names_it_in_a_line(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from uvgen.__main__ import main; main()"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout == "" and run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.startswith(f"uvgen: cannot be loaded ({package} is not installed); install it with `")


def test_import_of_names_without_lazy_loader_says_what_is_missing() -> None:
    program = "import sys; sys.modules['lazy_loader'] = None; import uvgen; uvgen.__version__; uvgen.open_shards"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stderr.rstrip().rpartition("\n")[2].startswith("ModuleNotFoundError: lazy_loader is not installed")


def test_uvgen_needs_no_writable_current_folder(tmp_path: Path) -> None:
    """Importing has no side effect: nothing appears in the folder it is done in."""
    script = "import uvgen, uvgen.datasets.build, uvgen.datasets.verify; uvgen.PositionMapper"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env=environment)
    assert not list(tmp_path.iterdir())
