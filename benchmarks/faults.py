"""Fault injection: a Markdown table of each fault, how often it was caused, the outcome, and what was lost.

    python benchmarks/faults.py [--share 0.1] [--only kills] [--folder /tmp]

Real processes of `uvgen` are killed, stopped and asked to end at random moments, its disks fill up, are only read or
vanish, and bits of its files flip. After each fault, everything that bears a final name must be whole; in the end, all
bytes must be those of a run that nobody disturbed. In full it takes 10 to 20 minutes on two cores; `--share 0.1` does a
tenth of it. Linux only. Exit status 1 if anything was lost.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from fault_bench import JOBS, PATIENCE_S, Bench, children, hashes, is_alive

from uvgen import load_model, save_model, verify_shards
from uvgen.errors import UvgenError
from uvgen.models.morphable import hash_arrays


def kills(bench: Bench) -> None:
    for job in JOBS:
        n, lost, finished, out = bench.times(50), 0, 0, bench.folder / "out"
        for _ in range(n):
            process = bench.start(job, out)
            bench.moment(job)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            status, _ = bench.end(process)
            lost += bench.damaged(job, out)
            if status == 0 or (job == "export" and out.exists()):  # it was faster; an export appears as a whole
                finished += 1
                lost += bench.finish(job, out) if job != "export" else int(hashes(out) != bench.whole[job])
                shutil.rmtree(out, ignore_errors=True)
        lost += bench.finish(job, out)
        row = f"files with final names were complete; the next run continued; {finished} had just ended; same bytes"
        bench.row(f"{job}: all processes killed", n, row, lost)


def parents(bench: Bench) -> None:
    n, lost, longest, out = bench.times(10), 0, 0.0, bench.folder / "out"
    for _ in range(n):
        process = bench.start("build", out)
        while not (workers := children(process.pid)) and process.poll() is None:
            time.sleep(0.01)
        bench.moment("build")
        workers = children(process.pid)
        process.kill()
        bench.end(process)
        died = time.monotonic()
        while any(map(is_alive, workers)):
            time.sleep(0.005)
        longest = max(longest, time.monotonic() - died)
        lost += bench.damaged("build", out)
    lost += bench.finish("build", out)
    left = len(list(Path(tempfile.gettempdir()).glob("uvgen-run-*")))
    bench.row("build: the parent alone killed", n, f"workers ended within {longest:.2f} s; same bytes", lost + left)


def workers(bench: Bench) -> None:
    for what, number, times, more in (
        ("killed", signal.SIGKILL, 20, ()), ("crashed (SIGSEGV)", signal.SIGSEGV, 8, ()),
        ("stopped, --timeout 6", signal.SIGSTOP, 20, ("--timeout", 6, "--retries", 5)),
    ):  # fmt: skip
        n, lost, hit = bench.times(times), 0, 0
        for k in range(n):
            job = ("build", "augment", "synth", "export")[k % 4]
            out = bench.folder / "out"
            process = bench.start(job, out, *more)
            while process.poll() is None and not children(process.pid):
                time.sleep(0.01)
            time.sleep(bench.random.uniform(0.3, 1.5))
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(children(process.pid)[0], number)
                hit += 1
            status, errors = bench.end(process)
            lost += status != 0 or hashes(out) != bench.whole[job]
            if status:
                print(f"{job}: {errors}", file=sys.stderr)
            shutil.rmtree(out, ignore_errors=True)
        bench.row(f"a worker {what}", hit, "the run continued by itself; same bytes", lost)


def signals(bench: Bench) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        n, lost, longest, statuses = bench.times(12), 0, 0.0, Counter[int]()
        for k in range(n):
            job, out = JOBS[k % 4], bench.folder / "out"
            process = bench.start(job, out, before=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
            while process.poll() is None and not children(process.pid):
                time.sleep(0.01)
            time.sleep(bench.random.uniform(0, 1.5))
            asked = time.monotonic()
            for _ in range(2):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)
            status, _ = bench.end(process)
            longest = max(longest, time.monotonic() - asked)
            statuses[status] += 1
            lost += bench.damaged(job, out) + len(list(out.glob(".uvgen-tmp-*")))
            lost += bench.finish(job, out) if status else 0
            shutil.rmtree(out, ignore_errors=True)
        found = ", ".join(f"{status} ({count})" for status, count in sorted(statuses.items()))
        bench.row(f"{number.name}, twice", n, f"ended within {longest:.2f} s; status {found}; same bytes later", lost)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[str], bool] | None]:
    """A tmpfs at a folder, and a function that mounts it with other options; None if that is not allowed."""
    folder.mkdir()

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if not (shutil.which("mount") and mount("size=600k")):
        yield None
        return
    try:
        yield lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def disks(bench: Bench) -> None:
    with small_disk(bench.folder / "disk") as remount:
        if remount is None:
            bench.row("disk full, disk only read", 0, "not tried: mounting is not allowed here", 0)
            return
        out = bench.folder / "disk/out"
        status, errors = bench.end(bench.start("build", out))
        lost = int(status != 1 or "No space left" not in errors) + bench.damaged("build", out)
        remount("size=100m")
        status, errors = bench.end(bench.start("build", out))
        lost += status != 0 or hashes(out) != bench.whole["build"]
        bench.row("disk full", 1, "status 1 and a message; with more space the next run continued; same bytes", lost)
        remount("ro")
        status, errors = bench.end(bench.start("build", out))
        lost = status != 0 or not verify_shards(out).sound
        remount("rw")
        (out / "IBUG-00000.h5").unlink()
        remount("ro")
        status, errors = bench.end(bench.start("build", out))
        lost += status != 1 or "Read-only" not in errors
        bench.row("disk only read", 2, "a finished set: nothing to do, sound; an unfinished one: status 1", int(lost))
        remount("rw")


def vanishing(bench: Bench) -> None:
    n, out, lost, away = bench.times(10), bench.folder / "out", 0, bench.folder / "away"
    for what, folder in (("samples'", bench.data), ("output", out)):
        stopped, lost = 0, 0
        for _ in range(n):
            process = bench.start("build", out)
            while process.poll() is None and not list(out.glob("*.h5")):
                time.sleep(0.002)
            with contextlib.suppress(OSError):
                folder.rename(away)
            status, errors = bench.end(process)
            lost += status not in (0, 1) or "Traceback" in errors
            stopped += status == 1
            if away.exists():
                shutil.rmtree(folder, ignore_errors=True)
                away.rename(folder)
            lost += bench.finish("build", out)
        bench.row(f"{what} folder moved away", n, f"status 1 ({stopped}), or 0 if all was read; same bytes", lost)


def circumstances(bench: Bench) -> None:
    out = bench.folder / "out"
    n, lost = bench.times(10), 0
    for _ in range(n):
        both = [bench.start("build", out) for _ in range(2)]
        ended = [bench.end(process) for process in both]
        refused = [errors for status, errors in ended if status == 1]
        lost += not any(status == 0 for status, _ in ended) or any("another uvgen" not in text for text in refused)
        lost += bench.finish("build", out)
    bench.row("two builds at once", n, "one works, the other is refused; same bytes", int(lost))
    process = bench.start("build", out)
    while process.poll() is None and not list(out.glob("*.h5")):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    bench.end(process)
    for path in out.iterdir():
        os.utime(path, (4e9, 4e9))
    bench.row(
        "clock set back (files of the year 2096)", 1, "the next run continued; same bytes", bench.finish("build", out)
    )
    lost = 0
    for environment in ({"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {}):
        process = bench.start("build", out, before=None if environment else lambda: os.umask(0o77), **environment)
        lost += bench.end(process)[0] != 0 or hashes(out) != bench.whole["build"]
        shutil.rmtree(out)
    bench.row("locale C; umask 077", 2, "same bytes", int(lost))


_TRAINER = """
import sys, torch
from torch.utils.data import DataLoader
from uvgen.torch import ShardDataset
torch.multiprocessing.set_sharing_strategy(sys.argv[2])
loader = DataLoader(ShardDataset(sys.argv[1]), 2, num_workers=2, persistent_workers=True)
print("going", flush=True) if next(iter(loader)) else None
while True:
    for batch in loader:
        pass
"""


def trainers(bench: Bench) -> None:
    """Each start is the next one after a kill: it must give a batch."""
    for strategy in ("file_descriptor", "file_system"):
        n, lost, longest = bench.times(25), 0, 0.0
        for number in range(n):
            command = [sys.executable, "-c", _TRAINER, str(bench.folder / "build"), strategy]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
            assert process.stdout is not None
            lost += process.stdout.readline() != "going\n"
            time.sleep(bench.random.uniform(0, 0.5))
            loaders = children(process.pid)
            (os.killpg if number % 2 else os.kill)(process.pid, signal.SIGKILL)
            died = time.monotonic()
            process.wait()
            while any(map(is_alive, loaders)) and time.monotonic() - died < PATIENCE_S:
                time.sleep(0.01)
            longest = max(longest, time.monotonic() - died)
            process.stdout.close()
            pids = {str(pid) for pid in (process.pid, *loaders)}
            while left := [
                name for name in os.listdir("/dev/shm") if name.split("_")[1:2] and name.split("_")[1] in pids
            ]:
                if time.monotonic() - died > 10:  # PyTorch's own manager removes the data set's number, 8 bytes
                    break
                time.sleep(0.01)
            lost += bool(left)
        came = f"workers ended within {longest:.2f} s; nothing in /dev/shm; the next start worked"
        bench.row(f"a trainer killed, {strategy}", n, came, lost)


def flip_bit(path: Path, random: np.random.Generator) -> bytes:
    data = path.read_bytes()
    changed = bytearray(data)
    changed[random.integers(len(data))] ^= 1 << int(random.integers(8))
    path.write_bytes(changed)
    return data


def flips(bench: Bench) -> None:
    out = bench.folder / "flipped"
    more = ("--limit", 16, "--size", 32)
    assert bench.end(bench.start("build", out, *more))[0] == 0
    for pattern, n in (("*.h5", 400), ("constants.npz", 100), ("dataset.json", 400)):
        paths, seen = sorted(out.glob(pattern)), Counter[str]()
        before = json.loads((out / "dataset.json").read_text())
        for _ in range(bench.times(n)):
            path = paths[bench.random.integers(len(paths))]
            data = flip_bit(path, bench.random)
            try:
                found = bool(verify_shards(out).problems)
            except UvgenError:
                found = True
            seen["found" if found else "missed"] += 1
            if not found and path.suffix == ".json":
                after = json.loads(path.read_text())
                same = {k: v for k, v in after.items() if k in before} == {k: before[k] for k in after if k in before}
                seen["missed"] -= same
                seen["harmless"] += same
            path.write_bytes(data)
        came = f"{seen['found']} found by verify" + (f", {seen['harmless']} change nothing" * bool(seen["harmless"]))
        bench.row(f"a bit flipped in {pattern}", bench.times(n), came, seen["missed"])


def model_flips(bench: Bench) -> None:
    """In a process of its own each, since HDF5 may crash on what it reads."""
    path, seen = bench.folder / "model.h5", Counter[str]()
    model = load_model("builtin")
    save_model(model, path)
    for _ in range(bench.times(100)):
        data = flip_bit(path, bench.random)
        pid = os.fork()
        if pid == 0:
            os._exit(_read_again(path, model))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        seen[{0: "missed", 1: "refused", 2: "other hash", 3: "change nothing"}.get(code, "crashed")] += 1
        path.write_bytes(data)
    came = ", ".join(f"{count} {what}" for what, count in sorted(seen.items()))
    bench.row("a bit flipped in a model", bench.times(100), came, seen["missed"] + seen["crashed"])


def _read_again(path: Path, model: Any) -> int:
    try:
        other = load_model(path)
        if hash_arrays(other) != other.content_sha256 or other.content_sha256 != model.content_sha256:
            return 2
        pairs = [(getattr(model, f.name), getattr(other, f.name)) for f in fields(model)]
        return 3 if all(np.array_equal(a, b) for a, b in pairs if isinstance(a, np.ndarray)) else 0
    except UvgenError:
        return 1


FAULTS = {
    "kills": kills, "parents": parents, "workers": workers, "signals": signals, "disks": disks,
    "vanishing": vanishing, "circumstances": circumstances, "trainers": trainers, "flips": flips, "models": model_flips,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="how much of it")
    parser.add_argument("--only", choices=FAULTS, action="append", help="kind of fault, repeatable")
    parser.add_argument("--folder", type=Path, help="where to work; the system's temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-", dir=options.folder) as folder:
        (Path(folder) / "tmp").mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(Path(folder) / "tmp")
        bench = Bench(Path(folder), options.share)
        for name in options.only or FAULTS:
            FAULTS[name](bench)
    sys.exit(1 if bench.lost else 0)


if __name__ == "__main__":
    main()
