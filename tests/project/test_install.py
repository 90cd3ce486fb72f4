"""`.ci/install.py` installs with uv what pip would, and with pip where it cannot."""

import runpy
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

INSTALL = runpy.run_path(str(Path(__file__).parents[2] / ".ci/install.py"))


def test_settings_of_the_environment_go_before_those_of_the_command_and_those_of_all() -> None:
    listing = "\n".join([
        ":env:.find-links='/wheels'", "freeze.timeout='1'", "global.find-links='/old'", "global.index-url='https://a/'",
        "install.index-url='https://b/simple'",
    ])  # fmt: skip
    assert INSTALL["settings"](listing) == {"find-links": "/wheels", "index-url": "https://b/simple"}


def test_uv_is_told_where_pip_looks() -> None:
    told = INSTALL["uv_environment"](
        {"find-links": "/a\n/b", "extra-index-url": "https://a/\nhttps://b/", "quiet": "1"}
    )
    assert told == {
        "UV_FIND_LINKS": "/a,/b",
        "UV_INDEX": "https://a/ https://b/",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_uv_is_left_out_where_it_cannot_be_told_a_setting_of_pip() -> None:
    assert INSTALL["uv_environment"]({"require-hashes": "true"}) is None


@pytest.mark.parametrize(
    ("settings", "uv", "status", "runs"),
    [
        ("", "/uv", 0, ["uv"]),
        ("", "/uv", 2, ["uv", "pip"]),
        ("", None, 0, ["pip"]),
        ("global.require-hashes='true'", "/uv", 0, ["pip"]),
    ],
    ids=["uv does it", "uv fails", "no uv", "a setting of pip's alone"],
)
def test_install_takes_uv_and_else_pip(
    settings: str, uv: str | None, status: int, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        if "config" in command:
            return SimpleNamespace(stdout=settings, returncode=0)
        commands.append(command)
        return SimpleNamespace(returncode=status if command[0] == "/uv" else 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setitem(INSTALL["main"].__globals__, "find_uv", lambda: uv)
    assert INSTALL["main"](["--constraint", "file", "numpy"]) == 0
    assert ["uv" if command[0] == "/uv" else "pip" for command in commands] == runs
    assert all(command[-3:] == ["--constraint", "file", "numpy"] for command in commands)
