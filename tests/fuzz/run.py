"""Runs readers over damaged files, each batch in a child process that may crash, hang or run out of memory.

    python -m fuzz.run --n 100000                       all readers, inputs 0 to 99999 of each
    python -m fuzz.run --reader image --first 5000      goes on where a run ended
    python -m fuzz.run --reader image --show 5017       one input: written to `input-5017.jpg`, read with a traceback

An input's number is its seed: the same number gives the same bytes. A failure is a signal, an error that the reader
does not document, more than `MOST_SECONDS` of processor time, or more memory than the table says.
"""

import argparse
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzz.readers import READERS, Reader

MOST_SECONDS = 2.0
KILLED_AFTER = 20.0  # seconds of processor time, where it hangs
_STALLED = 300.0  # seconds without progress: it waits for something
_ADDRESS_SPACE = 3 << 30
_MEMORY = Path("/dev/shm")
_STATUS = struct.Struct("<4q")  # next input, accepted, refused, failures


@dataclass
class Tally:
    """What became of a reader's inputs."""

    reader: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    failures: list[tuple[int, str]] = field(default_factory=list)


def prepare(reader: Reader, folder: Path) -> None:
    """Write the seeds of a reader, and what its files need beside them."""
    work = folder / "work"
    work.mkdir(parents=True)
    for number, seed in enumerate(reader.seeds(work)):
        (folder / f"seed-{number:03d}").write_bytes(seed)
    shutil.rmtree(work)
    (folder / "in").mkdir()
    if reader.beside is not None:
        reader.beside(folder / "in")


def damaged(reader: Reader, folder: Path, number: int) -> bytes:
    """The input of a number."""
    rng = Random(f"{reader.name} {number}")
    seeds = sorted(folder.glob("seed-*"))
    return reader.mutate(rng.choice(seeds).read_bytes(), rng)


def complaint(reader: Reader, path: Path) -> str | None:
    """Read a file: "" where it is read, None where it is refused as documented, else what is wrong."""
    before = _reset_peak()
    started = time.process_time()
    try:
        result: str | None = ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except reader.errors as error:
        result = None
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError):
                result = "MemoryError"
            cause = cause.__cause__ or cause.__context__
        if len(str(error)) > 4000:
            result = f"a message of {len(str(error))} characters"
        elif any("\ud800" <= c <= "\udfff" or ord(c) < 32 for c in str(error)):
            result = f"a message that cannot be printed on a line: {error!r}"[:200]
    except BaseException as error:
        result = f"{type(error).__name__}: {error}"[:200]
    seconds, taken = time.process_time() - started, _peak() - before
    if seconds > MOST_SECONDS:
        return f"{seconds:.1f} s"
    if taken > reader.most_bytes:
        return f"{taken >> 20} MiB"
    return result


def _reset_peak() -> int:
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _peak()
    except OSError:
        return 1 << 62


def _peak() -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def child(reader: Reader, folder: Path, first: int, last: int) -> None:
    """Read inputs until `last`; the status file says which is being read."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + _ADDRESS_SPACE, used + _ADDRESS_SPACE))
    seeds = [path.read_bytes() for path in sorted(folder.glob("seed-*"))]
    path = folder / "in" / reader.file
    with open(folder / "status", "r+b") as file, mmap.mmap(file.fileno(), _STATUS.size) as status:
        accepted = refused = failures = 0
        for number in range(first, last):
            status[:] = _STATUS.pack(number, accepted, refused, failures)
            rng = Random(f"{reader.name} {number}")
            data = reader.mutate(rng.choice(seeds), rng)
            path.write_bytes(data)
            signal.setitimer(signal.ITIMER_PROF, KILLED_AFTER)
            wrong = complaint(reader, path)
            signal.setitimer(signal.ITIMER_PROF, 0)
            accepted, refused = accepted + (wrong == ""), refused + (wrong is None)
            if wrong:
                failures += 1
                with open(folder / "failures", "a", encoding="utf-8") as log:
                    log.write(json.dumps([number, wrong]) + "\n")
        status[:] = _STATUS.pack(last, accepted, refused, failures)


def run(reader: Reader, first: int, n: int, folder: Path, *, batch: int = 20_000) -> Tally:
    """Read inputs `first` to `first + n - 1` of a reader in child processes."""
    prepare(reader, folder)
    tally = Tally(reader.name)
    started, number = time.perf_counter(), first
    while number < first + n:
        last = min(number + batch, first + n)
        (folder / "failures").write_text("")
        (folder / "status").write_bytes(_STATUS.pack(number, 0, 0, 0))
        code = _forked(reader, folder, number, last)
        if code == 1:
            raise RuntimeError(f"the mutator of {reader.name} fails, or the harness; try --show {number}")
        reached, accepted, refused, _ = _STATUS.unpack((folder / "status").read_bytes())
        tally.accepted, tally.refused = tally.accepted + accepted, tally.refused + refused
        tally.failures += [tuple(json.loads(line)) for line in (folder / "failures").read_text().splitlines()]
        if reached < last:  # it died on this one
            tally.failures.append(
                (reached, "hangs" if code in (-signal.SIGPROF, None) else f"ends the process ({code})")
            )
            reached += 1
        number = reached
    tally.inputs, tally.seconds = n, time.perf_counter() - started
    return tally


def _forked(reader: Reader, folder: Path, first: int, last: int) -> int | None:
    """Run `child` in a process of its own; its exit status, or None where it made no progress and was killed."""
    process = os.fork()
    if process == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        code = 1
        try:
            child(reader, folder, first, last)
            code = 0
        finally:
            os._exit(code)
    before, since = b"", time.monotonic()
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
        now = (folder / "status").read_bytes()
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > _STALLED:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None


def show(reader: Reader, number: int, folder: Path) -> None:
    """Write one input beside, read it, and print what happens."""
    prepare(reader, folder)
    data = damaged(reader, folder, number)
    path = folder / "in" / reader.file
    path.write_bytes(data)
    kept = Path(f"input-{number}{path.suffix}")
    kept.write_bytes(data)
    print(f"{kept}: {len(data)} bytes")
    try:
        print("accepted:", reader.read(path))
    except BaseException:
        traceback.print_exc()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="inputs per reader")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--reader", action="append", default=[], help="one reader, several times; all by default")
    parser.add_argument("--show", type=int, help="one input, of one reader")
    parser.add_argument("--any-time", action="store_true", help="do not count how long an input takes")
    given = parser.parse_args()
    global MOST_SECONDS
    MOST_SECONDS = float("inf") if given.any_time else MOST_SECONDS
    table = {reader.name: reader for reader in READERS}
    failed = False
    heads = f"{'reader':18} {'inputs':>8} {'refused':>8} {'accepted':>8} {'failures':>8} {'per s':>7}"
    print(heads, flush=True)
    for name in given.reader or table:
        reader = table[name]
        with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as place:
            if given.show is not None:
                show(reader, given.show, Path(place))
                continue
            tally = run(reader, given.first, given.n, Path(place) / "r")
        counts = f"{tally.inputs:8} {tally.refused:8} {tally.accepted:8} {len(tally.failures):8}"
        why = f"  ({reader.known})" if reader.known and tally.failures else ""
        print(f"{name:18} {counts} {tally.inputs / tally.seconds:7.0f}{why}", flush=True)
        for number, wrong in tally.failures[:20]:
            print(f"    {number}: {wrong}", flush=True)
        failed = failed or bool(tally.failures and not reader.known)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
