"""The wheel: it holds `uvgen` and nothing else, and works where there is no checkout."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from uvgen import __version__

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout, built from a copy so that no build folder, old or new, plays a part."""
    for module in ("pip", "setuptools", "build"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: no wheel can be built")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for part in ("uvgen", "cli", "uv_data"):
        shutil.copytree(CHECKOUT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / part, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", source]
    run = subprocess.run(command, capture_output=True, text=True)
    if "Missing dependencies" in run.stdout + run.stderr:
        pytest.skip(f"no wheel can be built here: {(run.stdout + run.stderr).strip()[-200:]}")
    assert run.returncode == 0, run.stdout + run.stderr
    (path,) = (folder / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts' folder of a fresh environment with the wheel; it finds the dependencies in the present one."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=False)
    variables = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", variables))
    # a path in a .pth file is searched last, and .pth files in it (the editable install's) are not followed
    paths = {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
    (site / "dependencies.pth").write_text("\n".join(sorted(paths)) + "\n", encoding="utf-8")
    scripts = Path(sysconfig.get_path("scripts", "venv", variables))
    python = scripts / Path(sys.executable).name
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
               "--disable-pip-version-check", "--ignore-installed", wheel]  # fmt: skip
    run = subprocess.run(install, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return scripts


def run_in(scripts: Path, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a script of the fresh environment from another folder, without this process's paths."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "VIRTUAL_ENV"}
    program, *arguments = command
    return subprocess.run([scripts / program, *arguments], cwd=folder, env=variables, capture_output=True, text=True)


def test_wheel_holds_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"uvgen", f"uvgen-{__version__}.dist-info"}
    for name in ("uvgen/__init__.py", "uvgen/py.typed", "uvgen/cli/__init__.py", "uvgen/cli/main.py",
                 "uvgen/cli/build.py", "uvgen/uv_data/__init__.py", "uvgen/uv_data/README.md",
                 "uvgen/report/assets/report.js", "uvgen/report/assets/report.css", "uvgen/report/assets/LICENSES.txt",
                 "uvgen/report/templates/index.html.j2", "uvgen/models/formats/face3d.py",
                 "uvgen/__init__.pyi", "uvgen/augment/__init__.pyi"):  # fmt: skip
        assert name in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not any("tests/" in name or "/web/" in name or name.endswith((".h5", ".mat", ".jpg")) for name in names)


def test_wheel_holds_every_file_of_the_checkout(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
    places = {"uvgen": "uvgen", "cli": "uvgen/cli", "uv_data": "uvgen/uv_data"}
    expected = {
        f"{package}/{path.relative_to(CHECKOUT / folder).as_posix()}"
        for folder, package in places.items()
        for path in (CHECKOUT / folder).rglob("*.py")
    }
    assert packed == expected


@pytest.mark.vital
def test_wheel_in_a_fresh_environment_runs_the_command(environment: Path, tmp_path: Path) -> None:
    result = run_in(environment, tmp_path, "uvgen", "--version")
    assert (result.returncode, result.stdout) == (0, f"uvgen, version {__version__}\n"), result.stderr
    result = run_in(environment, tmp_path, "uvgen", "--help")
    assert result.returncode == 0 and "build" in result.stdout and "verify" in result.stdout
    result = run_in(environment, tmp_path, "uvgen", "build", "--help")
    assert result.returncode == 0 and "--posmap-dtype" in result.stdout


def test_wheel_in_a_fresh_environment_is_what_gets_imported(environment: Path, tmp_path: Path) -> None:
    code = "import uvgen, uvgen.cli, uvgen.uv_data, uvgen.datasets.build; print(uvgen.__file__, uvgen.cli.__file__)"
    result = run_in(environment, tmp_path, Path(sys.executable).name, "-c", code)
    assert result.returncode == 0, result.stderr
    for path in result.stdout.split():
        assert Path(path).is_relative_to(environment.parent)
        assert not Path(path).is_relative_to(CHECKOUT)
    for module in ("cli", "uv_data", "tests"):  # names that belong to everybody
        code = f"import sys; sys.path = [p for p in sys.path if p]; import {module}"
        assert run_in(environment, tmp_path, Path(sys.executable).name, "-c", code).returncode == 1


@pytest.mark.slow
def test_checkout_finds_its_own_parts_after_a_plain_install(environment: Path) -> None:
    """In the checkout, its folder shadows the installed package, and lacks two parts that the install puts into it."""
    code = "import uvgen, uvgen.uv_data, uvgen.cli; print(uvgen.__file__, uvgen.uv_data.__file__, uvgen.cli.__file__)"
    result = run_in(environment, CHECKOUT, Path(sys.executable).name, "-c", code)
    assert result.returncode == 0, result.stderr
    assert all(Path(path).is_relative_to(CHECKOUT) for path in result.stdout.split())
    result = run_in(environment, CHECKOUT, Path(sys.executable).name, "-m", "uvgen", "--version")
    assert (result.returncode, result.stdout) == (0, f"uvgen, version {__version__}\n"), result.stderr


@pytest.mark.slow
def test_installed_package_runs_as_a_module(environment: Path, tmp_path: Path) -> None:
    result = run_in(environment, tmp_path, Path(sys.executable).name, "-m", "uvgen", "--version")
    assert (result.returncode, result.stdout) == (0, f"uvgen, version {__version__}\n"), result.stderr
