"""Reading in a child process: the same values, and its death as an error."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from uvgen.errors import DatasetError, ModelError, WorkerError
from uvgen.samples.files import check_machine
from uvgen.storage import isolated
from uvgen.storage.isolated import Hdf5Process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs.update(text=np.bytes_("é".encode()), number=np.float32(0.5))
        file.create_dataset("rows", data=np.arange(24, dtype=">i2").reshape(4, 6), chunks=(1, 6), compression="gzip")
        file["flags"], file["names"] = [True, False], np.array([b"a", b"bc"])
        file["rows"].attrs["unit"] = np.bytes_("px")
        file["link"] = h5py.SoftLink("/rows")
    return tmp_path / "a.h5"


class Other(Hdf5Process):
    """Its process runs a line before it serves."""

    def __init__(self, line: str, max_seconds: float = 120) -> None:
        super().__init__(max_seconds)
        self.line = line

    def _command(self) -> list[str]:
        start = f"import sys, os; sys.path[:] = {sys.path!r}; import uvgen.storage.isolated_server as m"
        code = f"{start}; {self.line}\nm.serve()"
        return [sys.executable, "-c", code]


def test_process_open_reads_what_this_process_would(path: Path) -> None:
    process = Hdf5Process()
    with process.open(path) as file:
        assert sorted(file.names) == ["flags", "link", "names", "rows"]
        assert file.attributes == {"text": "é", "number": 0.5}
        rows = file.safe_dataset("rows")
        expected = np.arange(24, dtype=">i2").reshape(4, 6)
        assert rows.by_row and rows.attributes == {"unit": "px"}
        np.testing.assert_array_equal(rows.read(), expected, strict=True)
        np.testing.assert_array_equal(rows.map(), expected, strict=True)
        np.testing.assert_array_equal(rows.read_range(1, 3), expected[1:3], strict=True)
        np.testing.assert_array_equal(rows.read_row(2), expected[2], strict=True)
        out = np.zeros(6, ">i2")
        assert rows.read_row(3, out) is out and out.tolist() == expected[3].tolist()
        assert file.safe_dataset("flags").read().tolist() == [True, False]
        assert file.safe_dataset("names").read().tolist() == [b"a", b"bc"]
        rows.read()[:] = 0  # the caller's own
        with pytest.raises(DatasetError, match=r"a\.h5: link is a link \(soft\), expected a dataset of this file"):
            file.safe_dataset("link")
        with pytest.raises(DatasetError, match="max_bytes=10"):
            rows.read(10)
    process.close()


def test_process_open_raises_the_kind_of_error_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("text")
    with pytest.raises(ModelError, match=r"a\.h5: at all: cannot be read .*; do something"):
        Hdf5Process().open(tmp_path / "a.h5", ModelError, "; do something", "at all: ")


def test_process_that_dies_is_an_error_of_the_file_and_the_next_one_serves(path: Path) -> None:
    process = Other(
        "m.open_hdf5 = lambda path, *a, **k: os.abort() if 'bad' in path.name else m.Hdf5File(path, *a, **k)"
    )
    bad = path.with_name("bad.h5")
    for _ in range(2):
        with pytest.raises(DatasetError, match=rf"bad\.h5: the process .* status -{signal.SIGABRT}"):
            process.open(bad)
        assert process.open(path).safe_dataset("flags").read().tolist() == [True, False]


def test_file_at_which_a_process_ended_is_not_tried_again_until_it_changes(path: Path, tmp_path: Path) -> None:
    """Who asks seven times would wait for seven hangs."""
    starts = tmp_path / "starts"
    process = Other(f"open({str(starts)!r}, 'a').write('.'); m._answer = lambda *_: os._exit(5)")
    for _ in range(3):
        with pytest.raises(DatasetError, match=r"a\.h5: the process that read it ended with status 5"):
            process.open(path)
    assert starts.read_text() == "."
    os.utime(path, (1, 1))
    with pytest.raises(DatasetError, match="ended with status 5"):
        process.open(path)
    assert starts.read_text() == ".."


def test_process_that_hangs_is_ended(path: Path) -> None:
    process = Other("import time; m.open_hdf5 = lambda *a, **k: time.sleep(1000)", max_seconds=0.5)
    with pytest.raises(DatasetError, match=r"a\.h5: the process that read it took more than 0\.5 s"):
        process.open(path)


@pytest.mark.parametrize(
    "answer",
    ["b''", "b'text' * 10", "b'\\xff' * 16", "bytes([4] + [0] * 15) + b'null'", "bytes([2] + [0] * 15) + b'{}'"],
)
def test_process_that_answers_nonsense_is_an_error(path: Path, answer: str) -> None:
    process = Other(
        f"m.send(os.fdopen(os.dup(1), 'wb'), m.READY); os.read(0, 16); os.write(1, {answer} * 2); os._exit(0)"
    )
    with pytest.raises(DatasetError, match=r"a\.h5: "):
        process.open(path).safe_dataset("flags")


@pytest.mark.parametrize(
    ("answer", "ask"),
    [
        ("[1, 2]", lambda file: file.attributes),
        ("'text'", lambda file: file.members("")),
        ("{'a': 1}", lambda file: file.members("")),
        ("5", lambda file: file.safe_dataset("flags")),
    ],
)
def test_process_whose_answer_is_of_another_kind_is_an_error(path: Path, answer: str, ask: Any) -> None:
    process = Other(
        f"whole = m._answer; m._answer = lambda f, r: whole(f, r) if r['what'] == 'open' else ({answer}, None)"
    )
    file = process.open(path)
    with pytest.raises(DatasetError, match=r"a\.h5: "):
        ask(file)


@pytest.mark.slow
def test_process_that_answers_with_a_long_error_is_quoted_in_brief(path: Path) -> None:
    process = Other("m._answer = lambda *a: ({'error': '\\x1b[31m' + 'x' * 5_000_000}, None)")
    with pytest.raises(DatasetError) as caught:
        process.open(path)
    assert len(str(caught.value)) < 10_000 and "\x1b" not in str(caught.value)


def test_process_ends_with_its_owner(path: Path) -> None:
    process = Hdf5Process()
    process.open(path)
    child = process._child
    assert child is not None and child.poll() is None
    del process
    assert child.wait(60) is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no limits on this system")
def test_process_may_not_write_files(path: Path, tmp_path: Path) -> None:
    process = Other(f"m._answer = lambda *a: open({str(tmp_path / 'out')!r}, 'w').write('text')")
    with pytest.raises(DatasetError, match="ended with status"):
        process.open(path)
    assert not (tmp_path / "out").exists() or not (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("what", ["process", "thread"])
def test_process_that_cannot_be_started_is_the_machine_s_fault(
    path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise (
            BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) if what == "process" else RuntimeError("no thread")
        )

    process = Hdf5Process()
    with monkeypatch.context() as patch:
        owner, name = (subprocess, "Popen") if what == "process" else (threading.Thread, "start")
        patch.setattr(owner, name, fail)
        with pytest.raises(WorkerError, match=r"a\.h5: no process can be started to read it in \(.*ulimit -a") as found:
            process.open(path)
    with pytest.raises(WorkerError):
        check_machine(found.value)  # no sample is skipped for it
    assert process.open(path).attributes["text"] == "é"
    process.close()


def test_request_that_is_interrupted_leaves_nothing_for_the_next_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Hdf5Process()
    rows = process.open(path).safe_dataset("rows")
    for error in (KeyboardInterrupt, MemoryError):
        with monkeypatch.context() as patch:
            patch.setattr(isolated, "receive", lambda pipe, error=error: (_ for _ in ()).throw(error))
            with pytest.raises(error):
                rows.read_row(1)
        assert rows.read_row(3).tolist() == list(range(18, 24))


@pytest.mark.skipif(os.name != "posix", reason="no such signals")
@pytest.mark.parametrize("name", ["SIGALRM", "SIGXCPU"])
def test_process_that_ends_by_a_clock_is_started_again(path: Path, tmp_path: Path, name: str) -> None:
    """Its own, which goes on while all are stopped (Ctrl-Z), or a limit that counts the processor time of hours."""
    mark = tmp_path / "ended"
    line = (
        f"import signal; whole = m._answer; was = os.path.exists({str(mark)!r}); "
        f"m._answer = lambda *a: whole(*a) if was else (open({str(mark)!r}, 'w'), os.kill(os.getpid(), signal.{name}))"
    )
    assert Other(line).open(path).attributes["text"] == "é" and mark.exists()


@pytest.mark.slow
def test_process_that_is_killed_from_outside_is_started_again_once(path: Path, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    line = (
        f"import signal; n = os.path.exists({str(starts)!r}) and len(open({str(starts)!r}).read()); "
        f"open({str(starts)!r}, 'a').write('.'); whole = m._answer; "
        "m._answer = lambda *a: os.kill(os.getpid(), signal.SIGKILL) if n < LIMIT else whole(*a)"
    )
    assert Other(line.replace("LIMIT", "1")).open(path).attributes["text"] == "é"
    assert starts.read_text() == ".."
    starts.unlink()
    with pytest.raises(DatasetError, match=r"a\.h5: the process that read it ended with status -9"):
        Other(line.replace("LIMIT", "9")).open(path)
    assert starts.read_text() == ".."


def test_file_that_was_replaced_is_not_read_on_by_a_new_process(path: Path) -> None:
    """What was read before, such as the places of samples, is the old file's."""
    process = Hdf5Process()
    file = process.open(path)
    for is_replaced in (False, True):
        if is_replaced:
            copy = path.with_name("new")
            copy.write_bytes(path.read_bytes())
            copy.replace(path)
            assert file.safe_dataset("flags").read().tolist() == [True, False]  # of the file that is still open
        assert process._child is not None
        process._child.kill()
        process._child.wait()
        if not is_replaced:
            assert file.safe_dataset("flags").read().tolist() == [True, False]
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"a\.h5: is another file than the one that was opened; was it replaced"):
            file.safe_dataset("flags")
    assert process.open(path).safe_dataset("flags").read().tolist() == [True, False]


def test_process_without_memory_is_the_machine_s_fault(path: Path) -> None:
    with pytest.raises(MemoryError, match=r"a\.h5: memory ran out while it was read"):
        Other("m._answer = lambda *a: (_ for _ in ()).throw(MemoryError())").open(path)


def test_process_without_files_is_the_machine_s_fault(path: Path) -> None:
    line = "import h5py; h5py.File = lambda *a, **k: (_ for _ in ()).throw(OSError(24, 'no'))"
    with pytest.raises(DatasetError, match=r"too many files are open; raise the limit \(ulimit -n\)$") as found:
        Other(line).open(path, hint="; run something")
    with pytest.raises(DatasetError, match="raise the limit"):
        check_machine(found.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")
def test_process_that_may_open_few_files_closes_the_oldest(path: Path, tmp_path: Path) -> None:
    process = Other("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (14, 14))")
    copies = [tmp_path / f"{k}.h5" for k in range(20)]
    for copy in copies:
        copy.write_bytes(path.read_bytes())
    files = [process.open(copy) for copy in copies]
    assert [file.safe_dataset("flags").read().tolist() for file in files] == [[True, False]] * 20


def test_process_that_ends_before_it_serves_is_the_machine_s_fault(path: Path) -> None:
    with pytest.raises(WorkerError, match=r"a\.h5: no process can be started to read it in \(it ended with status 3\)"):
        Other("os._exit(3)").open(path)


@pytest.mark.slow
def test_process_that_is_killed_while_it_starts_is_started_again_once(path: Path, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    line = (
        f"import signal; open({str(starts)!r}, 'a').write('.'); n = os.path.getsize({str(starts)!r}); "
        "os.kill(os.getpid(), signal.SIGKILL) if n <= LIMIT else None"
    )
    assert Other(line.replace("LIMIT", "1")).open(path).attributes["text"] == "é"
    with pytest.raises(WorkerError, match=r"no process can be started to read it in \(it ended with status -9\)"):
        Other(line.replace("LIMIT", "9")).open(path)
    assert starts.read_text() == "...."


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this system")
def test_time_that_this_process_was_stopped_does_not_count_as_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is stopped (Ctrl-Z), a wait goes on; it counts as long as it was to be."""
    child, hung, answered, waits = subprocess.Popen(["sleep", "1000"]), threading.Event(), threading.Event(), []

    def stopped_once(seconds: float) -> bool:
        waits.append(seconds)
        assert child.poll() is None
        return len(waits) == 4  # the answer comes

    monkeypatch.setattr(answered, "wait", stopped_once)
    isolated._end_hung(child, hung, answered, 3.5)
    assert waits == [1, 1, 1, 0.5] and not hung.is_set()
    isolated._end_hung(child, hung, answered, 3.5)
    assert hung.is_set() and child.wait() == -signal.SIGKILL


def test_process_that_hangs_ends_without_its_owner(path: Path) -> None:
    """The owner may have been killed, and HDF5 hears no pipe that closes."""
    process = Other("m.MAX_SECONDS = m._SPARE_SECONDS = 0.2\ndef hang(*_):\n    while True: pass\nm._answer = hang")
    with pytest.raises(DatasetError, match=rf"status -{signal.SIGALRM:d}"):
        process.open(path)
