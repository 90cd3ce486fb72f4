"""What the tests of clusters compare with."""

import subprocess
from pathlib import Path

import pytest
from support.builds import COMMAND
from support.clusters import BUILD


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set that a build on this machine makes of the clusters' tests' samples."""
    folder = tmp_path_factory.mktemp("local") / "shards"
    subprocess.run([*COMMAND, *BUILD, "--workers", "1", "--out", folder], check=True)
    return folder
