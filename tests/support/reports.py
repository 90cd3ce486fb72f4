"""What tests of reports share: reading the scripts back, and a browser that opens them from disk."""

import base64
import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.builds import SMALL

BIGGER = dataclasses.replace(SMALL, size=64)
"""A crop in which a face has pixels enough to be looked at."""

WEIRD = ('it\'s a "face"', "</script><b>", "Zoë 顔 &amp;", "#hash %41", "back`tick ${x}", "a=b?c")
"""Names that mean something to HTML, scripts, addresses or paths; a slash cannot be in a file's."""

CHROMIUM = "/usr/bin/chromium"
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_WITH_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
_TYPES = {"subset": "<u2", "flags": "<u2", "picture": "<i4"}


def script_arguments(path: Path) -> list[Any]:
    """What a script of a report's data hands over."""
    found = re.fullmatch(r"uvgenReport\.\w+\((.*)\);\n", path.read_text(encoding="ascii"), re.DOTALL)
    assert found, path
    arguments: list[Any] = json.loads(f"[{found[1]}]")
    return arguments


def rows(report: Path) -> dict[str, Any]:
    """The gallery's columns."""
    (columns,) = script_arguments(report / "data/rows.js")
    return {
        key: value if key == "names" else np.frombuffer(base64.b64decode(value), _TYPES.get(key, "<f4"))
        for key, value in columns.items()
    }


def picture(text: str) -> NDArray[np.uint8]:
    """The picture that is in a script."""
    from uvgen.images.codecs import decode_image

    return decode_image(base64.b64decode(text))


Browsers = Callable[[bool], Any]
"""Gives a browser of Playwright's: with WebGL, or without."""


@contextmanager
def started_browsers() -> Iterator[Browsers]:
    """Chromium, started at its first use: each test has a context of its own in it, as in another profile."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists() and shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed (Debian's package chromium)")
    with playwright.sync_playwright() as started:
        running: dict[bool, Any] = {}

        def browser(webgl: bool) -> Any:
            if webgl not in running:
                flags = [*_FLAGS, *(_WITH_WEBGL if webgl else ("--disable-3d-apis",))]
                where = shutil.which("chromium") or CHROMIUM
                running[webgl] = started.chromium.launch(executable_path=where, headless=True, args=flags)
            return running[webgl]

        yield browser
        for one in running.values():
            one.close()


@contextmanager
def browser_page(browsers: Browsers, *, webgl: bool = True, **options: Any) -> Iterator[Any]:
    """A page of Chromium that collects what goes wrong in its `failures`, at the end of which there are none."""
    failures: list[str] = []
    context = browsers(webgl).new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.on("console", lambda line: failures.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("requestfailed", lambda request: failures.append(f"failed {request.url}"))
    page.on("request", lambda request: failures.append(request.url) if not _local(request.url) else None)
    try:
        yield page
    finally:
        context.close()
    assert not failures


def _local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


def open_report(page: Any, report: Path, where: str = "") -> None:
    """Go to a view, and wait until all samples are there."""
    page.goto(f"{(report / 'index.html').resolve().as_uri()}{where}")
    page.wait_for_selector("body[data-state=ready]")


def shown_names(page: Any) -> list[str]:
    """Names of the gallery's tiles that exist, in their order."""
    tiles = page.evaluate(
        "[...document.querySelectorAll('.tile')].map((t) => [Number(t.dataset.place), t.querySelector('a').title])"
    )
    return [name for _, name in sorted(tiles)]


def wait_for_count(page: Any, n: int) -> None:
    """Until the gallery says that so many of 60 are left: filters wait while somebody types."""
    page.wait_for_function(f"document.getElementById('count').textContent === '{n} of 60 samples'")
