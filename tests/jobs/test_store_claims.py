"""Two runs that build into one place of an S3 store at the same time, each with a cache of its own, as two machines."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest
from support.builds import start, wait_for
from support.clusters import BUILD, same
from support.stores import s3_store

from uvgen.storage.claims import CLAIM
from uvgen.storage.objects import fetch, listed
from uvgen.storage.urls import local_path
from uvgen.synth.sample_set import builtin_samples

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install '.[stores]'")
pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def samples() -> Path:
    return builtin_samples()


@pytest.fixture(scope="module")
def bucket(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_store(tmp_path_factory.mktemp("s3"), "claims") as url:
        yield url


def build_in(cache: Path, samples: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> "Popen[str]":
    shutil.copytree(samples, cache / samples.name)  # to make them takes seconds
    with monkeypatch.context() as patch:
        patch.setenv("UVGEN_CACHE", os.fspath(cache))
        return start(*BUILD, "--workers", "1", "--out", url)


def is_claimed(url: str) -> bool:
    return CLAIM in listed(local_path(url))


def fetched(url: str, folder: Path) -> Path:
    for name in listed(local_path(url)):
        fetch(local_path(f"{url}/{name}"), folder / name)
    return folder


def test_second_build_into_a_store_is_refused_while_the_first_goes_on(
    bucket: str, samples: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/two"
    first = build_in(tmp_path / "one", samples, url, monkeypatch)
    wait_for(lambda: is_claimed(url), first)
    first.send_signal(signal.SIGSTOP)  # it is not finished before the second one has begun
    second = build_in(tmp_path / "other", samples, url, monkeypatch)
    _, errors = second.communicate()
    first.send_signal(signal.SIGCONT)
    assert second.returncode != 0
    assert f"{url}: another uvgen (process {first.pid} on " in errors and "wait for it to finish" in errors
    _, errors = first.communicate()
    assert first.returncode == 0, errors
    assert same(fetched(url, tmp_path / "fetched"), local)


def test_build_into_a_store_goes_on_where_one_of_the_same_machine_was_killed(
    bucket: str, samples: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/killed"
    first = build_in(tmp_path / "one", samples, url, monkeypatch)
    wait_for(lambda: is_claimed(url), first)
    first.kill()
    first.communicate()
    assert is_claimed(url)
    second = build_in(tmp_path / "other", samples, url, monkeypatch)
    _, errors = second.communicate()
    assert second.returncode == 0, errors
    assert same(fetched(url, tmp_path / "fetched"), local)
