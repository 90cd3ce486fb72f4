"""Training loops that are killed: their data loader's workers end, and no shared memory stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.builds import have
from support.faults import children, is_alive, wait_until
from support.toy import write_tree

from uvgen import BuildConfig

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.torch,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]
TRAINER = """
import sys, torch
from torch.utils.data import DataLoader
from uvgen.torch import ShardDataset

path, strategy, n, method = sys.argv[1:]
if __name__ == "__main__":
    torch.multiprocessing.set_sharing_strategy(strategy)
    loader = DataLoader(ShardDataset(path), 2, num_workers=2, persistent_workers=True, multiprocessing_context=method)
    k = 0
    while k != int(n):
        for batch in loader:
            k += 1
            if k in (4, int(n)):
                print("going", flush=True)
            if k == int(n):
                break
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("trainers")
    have(write_tree(folder / "data"), model_path, folder / "shards", BuildConfig(size=32, uv_size=48, shard_size=2))
    (folder / "trainer.py").write_text(TRAINER)
    return folder / "shards"


def train(shards: Path, strategy: str, n: int, method: str = "fork") -> "subprocess.Popen[str]":
    command = [sys.executable, str(shards.parent / "trainer.py"), str(shards), strategy, str(n), method]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def offspring(pid: int) -> list[int]:
    """Processes that a process, or one of its own, has started."""
    own = children(pid)
    return own + [further for one in own for further in offspring(one)]


def shared_files(pids: list[int]) -> set[str]:
    """Files of PyTorch's that these processes have made."""
    wanted = [["torch", str(pid)] for pid in pids]
    return {name for name in os.listdir("/dev/shm") if name.split("_")[:2] in wanted}


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["file_descriptor", "file_system"])
@pytest.mark.parametrize(("whom", "method"), [("parent", "fork"), ("parent", "forkserver"), ("all", "fork")])
def test_trainer_that_is_killed_leaves_no_worker_and_no_shared_memory(
    shards: Path, whom: str, method: str, strategy: str
) -> None:
    """Each round lets it go on for some batches more."""
    for number in range(2):
        process = train(shards, strategy, -1, method)
        assert process.stdout is not None and process.stdout.readline() == "going\n"
        time.sleep(number / 20)
        workers = offspring(process.pid)
        assert len(workers) >= 2
        (os.kill if whom == "parent" else os.killpg)(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        wait_until(lambda: not any(map(is_alive, workers)))  # noqa: B023
        wait_until(lambda: not shared_files([process.pid, *workers]))  # noqa: B023
    again = train(shards, strategy, 9)
    assert again.communicate()[0].endswith("going\n") and again.returncode == 0
