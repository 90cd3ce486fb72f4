"""What `faults.py` injects faults into: the folders, the commands, and what undisturbed runs of them make."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from uvgen.randomness import keyed_generator
from uvgen.storage.drafts import draft_of
from uvgen.storage.folders import EXPORT_MARK
from uvgen.synth import builtin_samples

PATIENCE_S = 300
JOBS = ("build", "augment", "synth", "export")
Hashes = dict[str, str]


def hashes(folder: Path) -> Hashes:
    """SHA-256 of each file in a folder that has a final name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".uvgen-" not in str(path.relative_to(folder))
    }


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


class Bench:
    """The folders, the commands, what undisturbed runs make, and the rows of the table."""

    def __init__(self, folder: Path, share: float) -> None:
        self.folder, self.share, self.lost = folder, share, 0
        self.random = keyed_generator(0, "faults")
        self.data = folder / "data"
        shutil.copytree(builtin_samples(), self.data)
        self.whole: dict[str, Hashes] = {}
        self.seconds: dict[str, float] = {}
        for job in JOBS:
            started = time.monotonic()
            status, errors = self.end(self.start(job, folder / job))
            assert status == 0, errors
            self.seconds[job] = time.monotonic() - started
            self.whole[job] = hashes(folder / job)
        print("| fault | times | outcome | lost |\n| --- | ---: | --- | --- |", flush=True)

    def times(self, n: int) -> int:
        return max(1, round(n * self.share))

    def row(self, what: str, n: int, came: str, lost: int) -> None:
        self.lost += lost
        print(f"| {what} | {n} | {came} | {lost if lost else 'nothing'} |", flush=True)

    def command(self, job: str, out: Path) -> list[object]:
        return {
            "build": ["build", "--data", self.data, "--model", "builtin", "--size", 64, "--shard-size", 8],
            "augment": ["augment", self.folder / "build", "--copies", 2],
            "synth": ["synth", "--count", 48, "--size", 128],
            "export": ["export", self.folder / "build", "--to", "webdataset"],
        }[job] + ["--out", out, "--workers", 2, "--quiet"]

    def start(self, job: str, out: Path, *more: object, before: Callable[[], object] | None = None,
              **environment: str) -> "subprocess.Popen[str]":  # fmt: skip
        words = [*map(str, [*self.command(job, out), *more])]
        return subprocess.Popen(
            [sys.executable, "-m", "uvgen", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, **environment}, preexec_fn=before,
        )  # fmt: skip

    def end(self, process: "subprocess.Popen[str]") -> tuple[int, str]:
        _, errors = process.communicate(timeout=PATIENCE_S)
        return process.returncode, errors

    def damaged(self, job: str, out: Path) -> int:
        """How many files with final names are not what an undisturbed run makes; dataset.json must be readable."""
        found = hashes(out) if out.is_dir() else {}
        index = found.pop("dataset.json", None)
        if index is not None and index != self.whole[job]["dataset.json"]:
            json.loads((out / "dataset.json").read_text(encoding="utf-8"))
        return sum(self.whole[job].get(name) != digest for name, digest in found.items())

    def finish(self, job: str, out: Path, *more: object) -> int:
        """Run a command to its end and compare all bytes, hidden files too; remove the folder."""
        status, errors = self.end(self.start(job, out, *more))
        hidden = [path for path in out.rglob(".*") if path.name != EXPORT_MARK]  # which a finished export has
        left = [path for path in [*hidden, draft_of(out)] if path.exists()]
        wrong = status != 0 or hashes(out) != self.whole[job] or bool(left)
        if wrong:
            print(f"{job}: status {status} {errors} left {left}", file=sys.stderr)
        shutil.rmtree(out, ignore_errors=True)
        return int(wrong)

    def moment(self, job: str) -> None:
        """Wait for a random while, about as long as the command takes."""
        time.sleep(self.random.uniform(0.05, 1.1 * self.seconds[job]))
