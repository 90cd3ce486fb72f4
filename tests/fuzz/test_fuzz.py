"""A few damaged files for every reader, and those that were once read wrongly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.readers import READERS, Reader
from fuzz.run import complaint, damaged, prepare

CORPUS = Path(__file__).parent / "corpus"
BY_NAME = {reader.name: reader for reader in READERS}


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, pytest.param(30, marks=pytest.mark.long)])  # `make fuzz` gives each reader more
def test_readers_of_damaged_files_read_or_refuse_them(n: int) -> None:
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(tests)}
    command = [sys.executable, "-m", "fuzz.run", "--n", str(n), "--any-time"]  # a loaded machine takes any time
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tests)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [line.split()[:2] for line in done.stdout.splitlines()[1:] if not line.startswith(" ")]
    assert found == [[reader.name, str(n)] for reader in READERS]


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_reader_of_a_file_that_was_read_wrongly_reads_or_refuses_it(path: Path, tmp_path: Path) -> None:
    reader = BY_NAME[path.parent.name]
    prepare(reader, tmp_path / "r")
    target = tmp_path / "r/in" / reader.file
    target.write_bytes(path.read_bytes())
    assert not complaint(reader, target)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_readers_read_what_is_not_damaged(reader: Reader, tmp_path: Path) -> None:
    prepare(reader, tmp_path / "r")
    seeds = sorted((tmp_path / "r").glob("seed-*"))
    target = tmp_path / "r/in" / reader.file
    found = []
    for seed in seeds:  # some are old or odd on purpose
        target.write_bytes(seed.read_bytes())
        found.append(complaint(reader, target))
    assert "" in found


def test_damaged_of_one_number_is_the_same_each_time(tmp_path: Path) -> None:
    reader = BY_NAME["image"]
    prepare(reader, tmp_path / "r")
    inputs = [damaged(reader, tmp_path / "r", number) for number in range(20)]
    assert inputs == [damaged(reader, tmp_path / "r", number) for number in range(20)]
    assert len(set(inputs)) > 15


def fault(path: Path) -> None:
    """A reader with every fault."""
    kind = path.read_bytes()[0]
    if kind == 1:
        content = bytearray(300 << 20)
        content[::4096] = b"x" * len(content[::4096])
    if kind == 2:
        raise KeyError("x")
    if kind == 3:
        raise ValueError("x" * 9999)
    if kind == 4:
        raise ValueError("a\nb")
    if kind == 5:
        raise ValueError from MemoryError()
    if kind == 6:
        raise ValueError("documented")


def test_complaint_tells_faults_from_refusals(tmp_path: Path) -> None:
    reader = Reader("faulty", "a", lambda _: [b"x"], fault, lambda data, _: data, errors=(ValueError,))
    found = []
    for kind in range(7):
        (tmp_path / "a").write_bytes(bytes([kind]))
        found.append(complaint(reader, tmp_path / "a"))
    assert found[0] == "" and found[6] is None
    words = ("MiB", "KeyError", "9999 characters", "cannot be printed", "MemoryError")
    for wrong, word in zip(found[1:6], words, strict=True):
        assert wrong and word in wrong
