"""A report of 60 samples, 40 of them with pages, and a browser's page for each test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.builds import have
from support.reports import BIGGER, Browsers, browser_page, started_browsers
from support.toy import write_tree

from uvgen import ReportOptions, write_report


@pytest.fixture(scope="session")
def report(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    have(write_tree(folder / "300W_LP", 20), model_path, folder / "shards", BIGGER)
    write_report(folder / "shards", folder / "report", options=ReportOptions(worst=40))
    return folder / "report"


@pytest.fixture(scope="module")
def browsers() -> Iterator[Browsers]:
    with started_browsers() as browsers:
        yield browsers


@pytest.fixture
def page(browsers: Browsers) -> Iterator[Any]:
    with browser_page(browsers) as page:
        yield page
