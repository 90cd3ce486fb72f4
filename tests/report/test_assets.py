"""What browsers load: made from the sources beside it, with its licenses, and without an address of a server."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "uvgen/report"
ASSETS = ("report.js", "report.css", "LICENSES.txt")


def test_assets_hold_no_network_address() -> None:
    for path in [*(ROOM / "assets").iterdir(), *(ROOM / "templates").iterdir()]:
        if path.suffix != ".txt":
            assert not re.search(r"\w+://|url\(", path.read_text(encoding="utf-8")), path


def test_assets_state_the_licenses_of_the_packages_in_them() -> None:
    text = (ROOM / "assets/LICENSES.txt").read_text(encoding="utf-8")
    for part in ("ogl 1.0.11 (Unlicense)", "released into the public domain"):
        assert part in text


@pytest.mark.slow
def test_assets_are_what_the_sources_give(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    web = tmp_path / "web"
    shutil.copytree(ROOM / "web", web, ignore=shutil.ignore_patterns("node_modules"))
    install = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=web, capture_output=True, text=True
    )
    if install.returncode:
        pytest.skip(f"npm installs nothing here: {install.stderr[-200:]}")
    for command in (["node", "build.js", "../made"], ["npm", "run", "lint"]):
        done = subprocess.run(command, cwd=web, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in ASSETS:
        assert (tmp_path / "made" / name).read_bytes() == (ROOM / "assets" / name).read_bytes(), (
            f"{name}: npm run build"
        )
