"""A Dask cluster on the loopback: its bytes are a local build's, whatever is lost meanwhile."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.builds import COMMAND, start, wait_for
from support.clusters import BUILD, DaskCluster, same

pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
pytestmark = pytest.mark.slow


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[DaskCluster]:
    (tmp_path / "dask").mkdir()
    with ExitStack() as stack:
        yield DaskCluster(tmp_path / "dask", stack)


@pytest.mark.long  # into S3, with an upload lost besides, it is in CI
def test_build_on_dask_whose_worker_is_killed_has_the_bytes_of_a_local_one(
    dask: DaskCluster, local: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    build = start(*BUILD, "--out", out, "--backend", "dask", "--address", dask.file)
    wait_for(lambda: any(out.glob("[!.]*.h5")), build)
    dask.workers[0].kill()
    _, errors = build.communicate()
    assert build.returncode == 0, errors
    assert same(out, local)


@pytest.mark.long  # on a cluster of its own it is interrupted in CI; what goes on is the same for each backend
def test_build_on_dask_that_is_interrupted_says_so_and_goes_on(dask: DaskCluster, local: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    arguments = (*BUILD, "--out", out, "--backend", "dask", "--address", dask.file)
    build = start(*arguments)
    wait_for(lambda: len([*out.glob("[!.]*.h5")]) > 2, build)  # the command has heard of the first
    os.killpg(build.pid, signal.SIGINT)
    _, errors = build.communicate()
    assert build.returncode == 130 and "what is finished is kept" in errors and "Traceback" not in errors
    before = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*.h5")}
    again = subprocess.run([*COMMAND, *map(str, arguments)], check=False, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert any(path.stat().st_mtime_ns == made for path, made in before.items())  # kept, not made again
    assert same(out, local)


def test_build_on_a_dask_cluster_of_its_own_that_is_interrupted_prints_no_traceback(tmp_path: Path) -> None:
    out = tmp_path / "shards"
    build = start(*BUILD, "--out", out, "--backend", "dask", "--workers", 2)
    wait_for(lambda: any(out.glob("[!.]*.h5")), build)
    os.killpg(build.pid, signal.SIGINT)  # as a terminal does: Dask's processes hear it too
    _, errors = build.communicate()
    assert build.returncode == 130 and "interrupted" in errors and "Traceback" not in errors, errors


def test_cluster_of_its_own_takes_a_free_port_where_another_one_runs() -> None:
    from uvgen.parallel.dask import _own_cluster

    with socket.socket() as other, warnings.catch_warnings(record=True) as heard:
        with contextlib.suppress(OSError):  # somebody else's Dask has the port, which is as good
            other.bind(("", 8787))
            other.listen()
        warnings.simplefilter("always")
        _own_cluster(1).close()
        assert not [str(each.message) for each in heard if "already in use" in str(each.message)]


def test_build_on_dask_without_its_scheduler_says_what_was_lost(dask: DaskCluster, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    build = start(*BUILD, "--out", out, "--backend", "dask", "--address", dask.file)
    wait_for(lambda: any(out.glob("[!.]*.h5")), build)
    dask.scheduler.kill()
    _, errors = build.communicate()
    assert build.returncode == 1 and "uvgen: the Dask cluster at tcp://127.0.0.1:" in errors, errors
    assert "Traceback" not in errors


def test_dask_engine_of_what_is_no_scheduler_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    addresses = ["http://127.0.0.1:9", "tls://127.0.0.1:9", "a.json", "b.json", "c.json"]
    for name, content in (("a", "[" * 9), ("b", '{"address": 5}'), ("c", '{"address": "inproc://1:1"}')):
        Path(f"{name}.json").write_text(content)
    code = f"""
from uvgen.parallel.dask import DaskEngine
for address in {addresses}:
    try:
        DaskEngine(address, 1)
    except Exception as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert len(said) == len(addresses) and not done.stderr
    for address, text in zip(addresses, said, strict=True):
        assert f"{address}: no Dask scheduler answers (" in text


@pytest.mark.slow
def test_dask_engine_is_opened_where_a_loop_runs_as_in_notebooks(dask: DaskCluster) -> None:
    code = f"""
import asyncio
from uvgen.parallel.dask import DaskEngine
async def cell():
    engine = DaskEngine("{dask.file}", 1)
    print(engine.slots())
    engine.close()
asyncio.run(cell())
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0 and int(done.stdout) >= 1, done.stderr


def test_dask_engine_of_a_port_that_takes_connections_and_says_nothing_is_an_error(tmp_path: Path) -> None:
    """As a scheduler's that is stopped, or the one of its web page."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "file.json").write_text(json.dumps({"address": address}))
        code = f"""
from uvgen.parallel import dask
dask._CONNECT_S = 1
for address in ("{address}", "{tmp_path}/file.json"):
    try:
        dask.DaskEngine(address, 1)
    except Exception as error:
        print(type(error).__name__, error)
"""
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert f"WorkerError {address}: no Dask scheduler answers (" in first and not done.stderr
    assert "file.json: no Dask scheduler answers (" in second


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:9"])
def test_build_on_dask_that_does_not_answer_says_what_is_expected(address: str, tmp_path: Path) -> None:
    hurried = "from uvgen.parallel import dask; dask._CONNECT_S = 1; from uvgen.cli.main import main; main()"
    arguments = [*BUILD, "--out", str(tmp_path / "shards"), "--backend", "dask", "--address", address]
    build = subprocess.run([sys.executable, "-c", hurried, *arguments], check=False, capture_output=True, text=True)
    assert build.returncode == 1
    assert f"uvgen: {address}: no Dask scheduler answers (" in build.stderr and "Traceback" not in build.stderr
    assert not (tmp_path / "shards").exists()
