"""What the tests of clusters compare with."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builds import COMMAND
from support.clusters import BUILD
from support.folders import shared_folder


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a build on this machine makes of the clusters' tests' samples, once for all processes of pytest."""

    def fill(folder: Path) -> None:
        subprocess.run([*COMMAND, *BUILD, "--workers", "1", "--out", folder / "shards"], check=True)

    base = tmp_path_factory.getbasetemp()
    with shared_folder((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "local-shards", fill) as out:
        yield out / "shards"
