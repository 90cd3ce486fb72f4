"""A Dask cluster on the loopback: its bytes are a local build's, whatever is lost meanwhile."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.builds import COMMAND, start, wait_for

pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
pytestmark = pytest.mark.slow

BUILD = ("build", "--subset", "IBUG", "--size", "32", "--uv-size", "32", "--shard-size", "8", "--quiet")


def same(one: Path, other: Path) -> bool:
    names = sorted(os.listdir(one))
    return names == sorted(os.listdir(other)) and all((one / n).read_bytes() == (other / n).read_bytes() for n in names)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local") / "shards"
    subprocess.run([*COMMAND, *BUILD, "--workers", "1", "--out", folder], check=True)
    return folder


class Cluster:
    """A scheduler and its workers, each a process."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack, self._folder = stack, folder
        self.file = folder / "scheduler.json"
        self.scheduler = self._start("distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard",
                                     "--host", "127.0.0.1", "--scheduler-file", str(self.file))  # fmt: skip
        end = time.monotonic() + 120
        while not self.file.exists():
            assert self.scheduler.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        self.workers = [self.add() for _ in range(3)]

    def add(self) -> "subprocess.Popen[bytes]":
        return self._start("distributed.cli.dask_worker", "--scheduler-file", str(self.file), "--nthreads", "1",
                           "--no-dashboard", "--no-nanny", "--local-directory", str(self._folder))  # fmt: skip

    def _start(self, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        program = f"from {module} import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "dask").mkdir()
    with ExitStack() as stack:
        yield Cluster(tmp_path / "dask", stack)


def test_build_on_dask_whose_worker_is_killed_has_the_bytes_of_a_local_one(
    dask: Cluster, local: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    build = start(*BUILD, "--out", out, "--backend", "dask", "--address", dask.file)
    wait_for(lambda: any(out.glob("*.h5")), build)
    dask.workers[0].kill()
    _, errors = build.communicate()
    assert build.returncode == 0, errors
    assert same(out, local)


def test_build_on_dask_that_is_interrupted_says_so_and_goes_on(dask: Cluster, local: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    arguments = (*BUILD, "--out", out, "--backend", "dask", "--address", dask.file)
    build = start(*arguments)
    wait_for(lambda: len([*out.glob("*.h5")]) > 2, build)  # the command has heard of the first
    os.killpg(build.pid, signal.SIGINT)
    _, errors = build.communicate()
    assert build.returncode == 130 and "what is finished is kept" in errors and "Traceback" not in errors
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    again = subprocess.run([*COMMAND, *map(str, arguments)], check=False, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert any(path.stat().st_mtime_ns == made for path, made in before.items())  # kept, not made again
    assert same(out, local)


def test_build_on_a_dask_cluster_of_its_own_that_is_interrupted_prints_no_traceback(tmp_path: Path) -> None:
    out = tmp_path / "shards"
    build = start(*BUILD, "--out", out, "--backend", "dask", "--workers", 2)
    wait_for(lambda: any(out.glob("*.h5")), build)
    os.killpg(build.pid, signal.SIGINT)  # as a terminal does: Dask's processes hear it too
    _, errors = build.communicate()
    assert build.returncode == 130 and "interrupted" in errors and "Traceback" not in errors, errors


def test_build_on_dask_without_its_scheduler_says_what_was_lost(dask: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    build = start(*BUILD, "--out", out, "--backend", "dask", "--address", dask.file)
    wait_for(lambda: any(out.glob("*.h5")), build)
    dask.scheduler.kill()
    _, errors = build.communicate()
    assert build.returncode == 1 and "uvgen: the Dask cluster at tcp://127.0.0.1:" in errors, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "tls://127.0.0.1:9", "a.json", "b.json", "c.json"])
def test_dask_engine_of_what_is_no_scheduler_is_an_error_at_once(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("a", "[" * 9), ("b", '{"address": 5}'), ("c", '{"address": "inproc://1:1"}')):
        Path(f"{name}.json").write_text(content)
    code = (
        f"from uvgen.parallel.dask import DaskEngine\ntry: DaskEngine({address!r}, 1)\nexcept Exception as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert f"{address}: no Dask scheduler answers (" in done.stdout and not done.stderr


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:9"])
def test_build_on_dask_that_does_not_answer_says_what_is_expected(address: str, tmp_path: Path) -> None:
    build = subprocess.run(
        [*COMMAND, *BUILD, "--out", str(tmp_path / "shards"), "--backend", "dask", "--address", address],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert build.returncode == 1
    assert f"uvgen: {address}: no Dask scheduler answers (" in build.stderr and "Traceback" not in build.stderr
    assert not (tmp_path / "shards").exists()
