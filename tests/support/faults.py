"""Faults on purpose: processes that run the command, in which certain work kills, hangs or waits.

A hook replaces `os.open`, through which `uvgen.storage.reading` opens every file that it reads, by a function that
looks at the file's name. Hashing a file, which decodes nothing, is mostly left alone. It reaches workers too: it is a
`sitecustomize` on their path.
"""

import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from support.builds import PATIENCE_S
from support.toy import write_sample

from uvgen.storage.journal import Journal

_HOOK = '''
import os, signal, sys, time
from pathlib import Path

_open = os.open


def _is_hashing():
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_name != "sha256_file":
        frame = frame.f_back
    return frame is not None


def _open_or_fail(path, *arguments, **options):
    """Opening a file whose name says so does something else first."""
    folder = os.environ.get("UVGEN_FAULTS")
    name = Path(os.fsdecode(path))
    order = Path(folder or "", name.stem)
    text = order.read_text() if folder and name.suffix == ".jpg" and order.exists() else ""
    if text and (text == "open" or not _is_hashing()):
        kind, _, times = text.partition(" ")
        mark = Path(folder, f"{name.stem}-{os.getpid()}")
        done = [other for other in os.listdir(folder) if other.startswith(name.stem + "-")]
        if not times or len(done) < int(times):
            mark.write_text("")
            if kind in ("kill", "open"):
                os.kill(os.getpid(), signal.SIGKILL)
            elif kind == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            elif kind == "limit":  # as when `ulimit -S -t` is reached
                signal.signal(signal.SIGXCPU, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGXCPU)
            elif kind == "exit":
                os._exit(7)
            elif kind == "hang":
                time.sleep(3600)
            elif kind == "wait":
                while order.exists():
                    time.sleep(0.02)
    return _open(path, *arguments, **options)


os.open = _open_or_fail
os.supports_dir_fd.add(_open_or_fail)
'''


def faulty_environment(folder: Path, **orders: str) -> dict[str, str]:
    """Environment of a command in which reading the images of these names does what the orders say.

    ``kill``, ``crash``, ``limit`` and ``exit`` end the process, ``hang`` sleeps, ``wait`` waits until the order is
    gone; a number behind it, ``kill 2``, says how often. ``open`` kills also where the file is only hashed.
    """
    (folder / "orders").mkdir(parents=True, exist_ok=True)
    (folder / "hook").mkdir(exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "hook/sitecustomize.py").write_text(_HOOK)
    for name, order in orders.items():
        (folder / "orders" / name).write_text(order)
    path = [str(folder / "hook"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ, "PYTHONPATH": os.pathsep.join(path), "UVGEN_FAULTS": str(folder / "orders"),
        "TMPDIR": str(folder / "tmp"),
    }  # fmt: skip


def fail_reads(monkeypatch: pytest.MonkeyPatch, suffix: str, number: int) -> None:
    """Let reading files of this suffix fail, in this process, as `number` says."""
    opened = os.open

    def fail(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if os.fspath(path).endswith(suffix) and not flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(number, os.strerror(number), path)
        return opened(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", fail)


def fail_closes(monkeypatch: pytest.MonkeyPatch, suffix: str, number: int) -> None:
    """Let closing files of this suffix that are opened from now on fail, in this process, as a network disk does."""
    opened, closed, handles = os.open, os.close, set[int]()

    def remember(path: Any, *arguments: Any, **options: Any) -> int:
        handle = opened(path, *arguments, **options)
        if os.fspath(path).endswith(suffix) and stat.S_ISREG(os.fstat(handle).st_mode):
            handles.add(handle)
        return handle

    def close(handle: int) -> None:
        closed(handle)
        if handle in handles:
            handles.remove(handle)
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", remember)
    monkeypatch.setattr(os, "close", close)


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, key: str, *, unlisted: bool) -> Iterator[None]:
    """End the block's run, of one worker, when its journal is to list what was made; `unlisted`: before it does."""
    append = Journal.append

    def stop(journal: Journal, value: Any) -> None:
        is_result = isinstance(value, dict) and key in value
        if not (is_result and unlisted):
            append(journal, value)
        if is_result:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Journal, "append", stop)
        yield


def write_samples(root: Path, n: int = 40, subset: str = "AFW") -> Path:
    """A tree of n small samples, of which the survey before a build reads each third or so."""
    write_sample(root / subset, f"{subset}_000")
    for k in range(1, n):
        for suffix in (".jpg", ".mat"):
            os.link(root / subset / f"{subset}_000{suffix}", root / subset / f"{subset}_{k:03d}{suffix}")
    return root


def start(*arguments: object, environment: dict[str, str] | None = None, before: Callable[[], object] | None = None,
          program: Iterable[str] = ()) -> "Popen[str]":  # fmt: skip
    """Start the command as the leader of its own group; `before` runs in the child before it."""

    def prepare() -> None:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # tests in the background ignore some
            signal.signal(number, signal.SIG_DFL)
        if before is not None:
            before()

    command = [sys.executable, "-c", "from uvgen.cli.main import main; main()"]
    return Popen(
        [*program, *command, *map(str, arguments)], stdout=PIPE, stderr=PIPE, text=True, start_new_session=True,
        preexec_fn=prepare, env=environment,
    )  # fmt: skip


def finish(process: "Popen[str]") -> tuple[int, str, str]:
    """Status, output and errors of a process that is to end by itself."""
    try:
        output, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return process.returncode, output, errors


def children(pid: int) -> list[int]:
    """Processes that a process has started and that have not ended (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor a zombie that waits for its parent (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until something holds, for as long as a loaded machine may need."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"{PATIENCE_S} s have passed: {what}"
        time.sleep(0.01)
