"""Processes that die or hang: nothing is lost but the sample that kills them, and its name is told."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.builds import file_hashes, listed_shards
from support.faults import (
    children,
    faulty_environment,
    finish,
    is_alive,
    start,
    wait_until,
    write_samples,
)  # fmt: skip
from support.folders import contents_below
from support.photographs import write_photographs

from uvgen import BuildConfig, build_shards, fit_photographs, verify_shards
from uvgen.datasets.augmented import augment_shards

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]
CONFIG = BuildConfig(size=32, uv_size=32, shard_size=8)
SURVEYED, PASSED_OVER = "AFW_000", "AFW_011"  # by the survey of 40 samples before the build


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data: Path, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of what one undisturbed run makes."""
    out = tmp_path_factory.mktemp("whole")
    build_shards(data, out, model=model_path, config=CONFIG)
    return file_hashes(out)


def build(data: Path, model_path: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("build", "--data", data, "--model", model_path, "--out", out, "--size", 32, "--shard-size", 8,
            "--workers", 2, "--quiet", *more)  # fmt: skip


def skipped(out: Path) -> dict[str, str]:
    content = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    return {skip["name"]: skip["reason"] for skip in content["skipped"]}


@pytest.mark.vital
def test_build_whose_worker_dies_now_and_then_gives_the_same_bytes(
    data: Path, model_path: Path, tmp_path: Path, whole: dict[str, str]
) -> None:
    environment = faulty_environment(tmp_path, **{PASSED_OVER: "kill 1", "AFW_025": "crash 2"})
    status, _, errors = finish(start(*build(data, model_path, tmp_path / "out"), environment=environment))
    assert (status, errors) == (0, "")
    assert file_hashes(tmp_path / "out") == whole
    assert len(list((tmp_path / "orders").glob("AFW_*-*"))) == 3  # so often did a process die


_DIE_ONCE = '''
import os, signal
from pathlib import Path

_link, _mark = os.link, Path(os.environ["UVGEN_DIES_ONCE"])


def link_and_die(old, new, **options):
    """A process dies when the third file of the run has its name."""
    _link(old, new, **options)
    with open(_mark, "a") as file:
        file.write("x")
    if _mark.stat().st_size == 3:
        _mark.with_name("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)


os.link = link_and_die
'''


def test_fit_whose_worker_dies_when_some_files_of_its_task_are_written_gives_the_same_bytes(tmp_path: Path) -> None:
    """Another worker takes these for what they are, though nothing lists them."""
    photos, out, mark = write_photographs(tmp_path / "photos"), tmp_path / "out", tmp_path / "mark"
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(_DIE_ONCE)
    path = os.pathsep.join([str(tmp_path / "hook"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "UVGEN_DIES_ONCE": str(mark)}
    command = ("fit", photos, "--out", out, "--detector", "none", "-j", 2, "-q")
    status, _, errors = finish(start(*command, environment=environment))
    assert (status, errors, (tmp_path / "died").exists()) == (0, "", True)
    assert mark.stat().st_size == 12  # two files of each photograph: none of them twice
    fit_photographs(photos, tmp_path / "whole", detector=None)
    assert contents_below(out) == contents_below(tmp_path / "whole")


@pytest.mark.vital
def test_build_with_samples_that_kill_skips_them_alone(data: Path, model_path: Path, tmp_path: Path) -> None:
    """One that the survey meets first, and one of another shard; elsewhere all is as without them."""
    environment = faulty_environment(tmp_path, **{SURVEYED: "kill", PASSED_OVER: "exit"})
    out = tmp_path / "out"
    status, _, errors = finish(start(*build(data, model_path, out, "--retries", 1), environment=environment))
    assert status == 3, errors
    assert "Traceback" not in errors
    folder = data / "AFW"
    assert skipped(out) == {
        "AFW/AFW_000": f"{folder}/AFW_000.jpg: its process was killed by signal 9 (SIGKILL), 2 times",
        "AFW/AFW_011": f"{folder}/AFW_011.jpg: its process ended with status 7, 2 times",
    }
    assert verify_shards(out).sound
    bad = tmp_path / "as any bad one"
    (bad / "AFW").mkdir(parents=True)
    for path in folder.iterdir():
        os.link(path, bad / "AFW" / path.name)
    for name in ("AFW_000", "AFW_011"):
        (bad / f"AFW/{name}.jpg").unlink()
        (bad / f"AFW/{name}.jpg").write_bytes(b"no image")
    build_shards(bad, tmp_path / "expected", model=model_path, config=CONFIG)
    left, right = file_hashes(out), file_hashes(tmp_path / "expected")
    assert {k: v for k, v in left.items() if k != "dataset.json"} == {
        k: v for k, v in right.items() if k != "dataset.json"
    }


def test_build_with_a_sample_that_kills_whatever_opens_its_image_skips_it_alone(
    data: Path, model_path: Path, tmp_path: Path
) -> None:
    """Also what hashes it, so that no hash of it is stated, and the next run does not look at it."""
    environment, out = faulty_environment(tmp_path, **{PASSED_OVER: "open"}), tmp_path / "out"
    for retries in (1, 0):
        status, _, errors = finish(start(*build(data, model_path, out, "--retries", retries), environment=environment))
        assert status == 3 and "Traceback" not in errors, errors
        (name,) = skipped(out)
        assert name == f"AFW/{PASSED_OVER}" and verify_shards(out).sound
        assert "files_sha256" not in json.loads((out / "dataset.json").read_text())["skipped"][0]


@pytest.mark.parametrize("sample", [pytest.param(SURVEYED, marks=pytest.mark.long), PASSED_OVER])
def test_build_whose_worker_has_no_processor_time_left_skips_nothing(
    data: Path, model_path: Path, tmp_path: Path, whole: dict[str, str], sample: str
) -> None:
    environment, out = faulty_environment(tmp_path, **{sample: "limit"}), tmp_path / "out"
    status, _, errors = finish(start(*build(data, model_path, out), environment=environment))
    assert status == 1 and "Traceback" not in errors
    assert "a worker process has used up its processor time; raise the limit (ulimit -t)" in errors
    assert not (out / "dataset.json").exists() or not skipped(out)
    (tmp_path / "orders" / sample).unlink()
    assert finish(start(*build(data, model_path, out), environment=environment))[0] == 0
    assert file_hashes(out) == whole


@pytest.mark.long
def test_build_with_a_sample_that_hangs_skips_it_alone(data: Path, model_path: Path, tmp_path: Path) -> None:
    """The limit is many times what a shard takes, even on a loaded machine."""
    environment = faulty_environment(tmp_path, **{PASSED_OVER: "hang"})
    command = build(data, model_path, tmp_path / "out", "--retries", 0, "--timeout", 20)
    status, _, errors = finish(start(*command, environment=environment))
    assert status == 3, errors
    assert skipped(tmp_path / "out") == {"AFW/AFW_011": f"{data}/AFW/AFW_011.jpg: its process took longer than 20 s"}


@pytest.mark.long
def test_build_whose_worker_is_stopped_goes_on(
    data: Path, model_path: Path, tmp_path: Path, whole: dict[str, str]
) -> None:
    environment = faulty_environment(tmp_path, **{PASSED_OVER: "wait"})
    command = build(data, model_path, tmp_path / "out", "--timeout", 20)
    process = start(*command, environment=environment)
    mark = lambda: list((tmp_path / "orders").glob(f"{PASSED_OVER}-*"))  # noqa: E731
    wait_until(mark)
    os.kill(int(mark()[0].name.split("-")[1]), signal.SIGSTOP)
    (tmp_path / "orders" / PASSED_OVER).unlink()
    status, _, errors = finish(process)
    assert status == 0, errors
    assert file_hashes(tmp_path / "out") == whole


@pytest.mark.long
def test_augment_whose_worker_dies_gives_the_same_bytes(data: Path, model_path: Path, tmp_path: Path) -> None:
    build_shards(data, tmp_path / "shards", model=model_path, config=CONFIG)
    augment_shards(tmp_path / "shards", tmp_path / "whole", copies=2)
    command = ("augment", tmp_path / "shards", "--out", tmp_path / "out", "--copies", 2, "--workers", 2, "--quiet")
    process = start(*command)
    wait_until(lambda: len(children(process.pid)) == 2 or process.poll() is not None)
    for pid in children(process.pid):
        os.kill(pid, signal.SIGKILL)
    assert finish(process)[0] == 0
    assert file_hashes(tmp_path / "out") == file_hashes(tmp_path / "whole")


@pytest.mark.vital
def test_workers_of_a_dead_command_end_and_the_next_run_removes_what_it_left(
    data: Path, model_path: Path, tmp_path: Path, whole: dict[str, str]
) -> None:
    out = tmp_path / "out"
    environment = faulty_environment(tmp_path, **{PASSED_OVER: "wait"})
    process = start(*build(data, model_path, out), environment=environment)
    wait_until(lambda: listed_shards(out) and list(out.glob(".uvgen-tmp-*")))
    workers = children(process.pid)
    assert len(workers) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not any(map(is_alive, workers)))
    assert list((tmp_path / "tmp").iterdir()) and list(out.glob(".uvgen-tmp-*"))
    mine = out / ".uvgen-notes"
    mine.write_text("mine")
    (tmp_path / "orders" / PASSED_OVER).unlink()
    assert finish(start(*build(data, model_path, out), environment=environment))[0] == 0
    assert mine.read_text() == "mine"
    mine.unlink()
    assert file_hashes(out) == whole
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("number", "whom"),
    [
        (signal.SIGTERM, "parent"),
        pytest.param(signal.SIGHUP, "group", marks=pytest.mark.long),  # SIGINT of a group is in CI
        pytest.param(signal.SIGXCPU, "parent", marks=pytest.mark.long),
    ],
)
def test_command_that_is_asked_to_end_cleans_up(
    data: Path, model_path: Path, tmp_path: Path, whole: dict[str, str], number: signal.Signals, whom: str
) -> None:
    out = tmp_path / "out"
    environment = faulty_environment(tmp_path, **{PASSED_OVER: "wait"})
    process = start(*build(data, model_path, out), environment=environment)
    wait_until(lambda: listed_shards(out) and list(out.glob(".uvgen-tmp-*")))
    workers = children(process.pid)
    for _ in range(3):  # more of them change nothing
        (os.killpg if whom == "group" else os.kill)(process.pid, number)
    status, _, errors = finish(process)
    assert status == 128 + number
    assert errors.splitlines()[-1].startswith("uvgen: interrupted; what is finished is kept")
    assert "Traceback" not in errors
    assert not any(map(is_alive, workers))
    assert not list(out.glob(".uvgen*")) and not list((tmp_path / "tmp").iterdir())
    assert listed_shards(out) == sorted(path.name for path in out.glob("*.h5"))
    build_shards(data, out, model=model_path, config=CONFIG)
    assert file_hashes(out) == whole


def test_command_that_ignores_hangups_goes_on(data: Path, model_path: Path, tmp_path: Path) -> None:
    environment = faulty_environment(tmp_path, **{PASSED_OVER: "wait"})
    ignore: Any = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731 - what nohup does
    process = start(*build(data, model_path, tmp_path / "out"), environment=environment, before=ignore)
    wait_until(lambda: list((tmp_path / "out").glob(".uvgen-tmp-*")))
    os.kill(process.pid, signal.SIGHUP)
    (tmp_path / "orders" / PASSED_OVER).unlink()
    assert finish(process)[0] == 0


@pytest.mark.parametrize("killed_by_kernel", [True, False])
@pytest.mark.vital
def test_process_ends_with_its_parent(tmp_path: Path, killed_by_kernel: bool) -> None:
    """As Linux does it, and as a thread does it elsewhere."""
    child = (
        "import os, time; from uvgen.parallel import child\n"
        f"if not {killed_by_kernel}: child._killed_by_kernel = lambda: False\n"
        "child.end_with(os.getppid()); print(os.getpid(), flush=True); time.sleep(3600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])", child],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(pid))
