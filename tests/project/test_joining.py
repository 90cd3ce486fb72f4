"""What people who join the project start from: the files that CONTRIBUTING.md names, and versions that must agree."""

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from uvgen import __version__
from uvgen.cli.main import main

ROOT = Path(__file__).parents[2]
KINDS = ["a model format", "a data set of images", "a face detector", "an augmentation", "a per-pixel target",
         "an export target", "a command", "a check of `uvgen doctor`", "a camera convention"]  # fmt: skip


def rows() -> dict[str, list[str]]:
    """What to add → its other cells, of the table "Where the next thing goes"."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("**Where the next thing goes**")[2].partition("\n\n**")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {first: rest for first, *rest in cells[2:]}


@pytest.mark.parametrize("kind", KINDS)
def test_contributing_says_where_each_kind_of_thing_goes_and_what_to_copy(kind: str) -> None:
    where, like = rows()[kind]
    assert where and like


def test_files_that_the_table_names_exist() -> None:
    assert len(rows()) >= len(KINDS)
    missing, found = [], 0
    for kind, (where, like) in rows().items():
        places = re.findall(r"`((?:uvgen|cli|tests|docs)/[\w./]*[\w/])`", where)
        folders = {(ROOT / place).parent for place in places} | {ROOT}
        for place in places:
            found += 1
            if "NAME" not in place and not (ROOT / place).exists():
                missing.append((kind, place))
        for copied in re.findall(r"`([\w./]+\.py)`", like):
            found += 1
            if not any((folder / copied).exists() for folder in folders):
                missing.append((kind, copied))
    assert found > 20 and missing == []


def test_versions_of_the_same_thing_agree() -> None:
    pins = dict(line.split("==") for line in (ROOT / "requirements-ci.txt").read_text().split() if "==" in line)
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.search(r"rev: v(\S+)", hooks).group(1) == pins["ruff"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE).group(1) == __version__
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert f'python: ["{lowest}", ' in workflow
    assert f"FROM python:{lowest}-slim" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_image_is_given_what_the_wheel_is_built_of() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert all((ROOT / name).exists() for name in kept)
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(packaged["tool"]["setuptools"]["package-dir"].values()) <= kept
    assert {packaged["project"]["readme"], *packaged["project"]["license-files"], "requirements-ci.txt"} <= kept
    extras = re.search(r'"\.\[([\w,]+)\]"', (ROOT / "Dockerfile").read_text()).group(1).split(",")
    assert set(extras) <= set(packaged["project"]["optional-dependencies"])


def test_command_on_windows_says_what_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("sys.platform", "win32")
        run = CliRunner().invoke(main, ["info", "shards/"])
    assert run.exit_code == 1
    assert run.stderr == "uvgen: Windows, expected Linux or macOS; use the Windows Subsystem for Linux (WSL)\n"
