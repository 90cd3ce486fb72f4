"""The cache folder of users with and without a home."""

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import Result
from support.builds import have
from support.toy import write_tree

from uvgen.storage.cache import cache_folder
from uvgen.storage.drafts import _secret


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``docker run --user 12345`` has it where no ``HOME`` is set."""

    def unknown(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CACHE_HOME", "UVGEN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_user_without_a_home_has_a_cache_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = cache_folder()
    assert folder.is_absolute()
    with pytest.raises(OSError, match="Not a directory"):
        folder.mkdir(parents=True)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: "~/.cache/uvgen")  # as of older releases
    assert cache_folder() == folder


@pytest.mark.usefixtures("homeless")
def test_commands_of_a_user_without_a_home_work(uvgen: Callable[..., Result], model_path: Path, tmp_path: Path) -> None:
    have(write_tree(tmp_path / "data", 1), model_path, tmp_path / "shards")
    _secret.cache_clear()  # is in the cache folder
    exported = uvgen("export", tmp_path / "shards", "--to", "npy", "--out", tmp_path / "out", "--workers", 1)
    _secret.cache_clear()
    assert exported.exit_code == 0, exported.stderr
    assert f"{os.devnull}/uvgen cannot be written" in uvgen("doctor").stdout
