"""A Ray cluster of this machine: its bytes are a local build's, also where a worker is killed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.builds import COMMAND, PATIENCE_S, start, wait_for
from support.clusters import BUILD, same

pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
pytestmark = pytest.mark.slow


def actors_of(ancestor: int) -> list[int]:
    """Ray's workers below a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            title, pid = (path / "cmdline").read_bytes(), int(path.name)
            while title.startswith(b"ray::_Actor") and pid > 1:
                pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
                if pid == ancestor:
                    found.append(int(path.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def all_end(pids: list[int]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.long
def test_build_on_ray_whose_worker_is_killed_has_the_bytes_of_a_local_one(local: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    build = start(*BUILD, "--out", out, "--backend", "ray", "--workers", 2)
    wait_for(lambda: any(out.glob("*.h5")), build)
    actors = actors_of(build.pid)
    assert len(actors) == 2
    os.kill(actors[0], signal.SIGKILL)
    _, errors = build.communicate()
    assert build.returncode == 0, errors
    assert same(out, local)
    assert all_end(actors)


@pytest.mark.long
def test_build_on_ray_that_is_interrupted_says_so_and_goes_on(local: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    arguments = (*BUILD, "--out", out, "--backend", "ray", "--workers", 2)
    build = start(*arguments)
    wait_for(lambda: len([*out.glob("*.h5")]) > 1, build)
    os.killpg(build.pid, signal.SIGINT)
    _, errors = build.communicate()
    assert build.returncode == 130 and "what is finished is kept" in errors and "Traceback" not in errors, errors
    again = subprocess.run([*COMMAND, *map(str, arguments)], check=False, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert same(out, local)


def test_build_on_ray_that_does_not_answer_says_what_is_expected(tmp_path: Path) -> None:
    arguments = [*BUILD, "--out", str(tmp_path / "shards"), "--backend", "ray", "--address", "127.0.0.1:9"]
    build = subprocess.run([*COMMAND, *arguments], check=False, capture_output=True, text=True)
    assert build.returncode == 1
    assert "uvgen: 127.0.0.1:9: no Ray cluster answers (" in build.stderr and "Traceback" not in build.stderr
    assert not (tmp_path / "shards").exists()
