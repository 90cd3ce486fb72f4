"""Whole files are read if they are files, and not larger than allowed."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from uvgen.storage.kinds import describe_file
from uvgen.storage.reading import check_picture_size, max_bytes, max_pixels, open_regular, read_file
from uvgen.storage.text import read_text


def special(folder: Path, kind: str) -> Path:
    """A file that is none."""
    path = folder / "special"
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(path))
    elif kind == "a device":
        path = Path("/dev/zero")
    else:
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device", "a folder"])
def test_read_file_of_what_is_no_file_is_an_os_error_at_once(tmp_path: Path, kind: str) -> None:
    path = special(tmp_path, kind)
    for read in (read_file, lambda path: read_text(path, "text")):
        with pytest.raises(OSError, match=r"expected a file|[Dd]irectory") as raised:
            read(path)
        assert raised.value.strerror and raised.value.filename == str(path)
    assert describe_file(path) == kind


def test_read_file_of_a_size_up_to_the_limit_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert read_file(tmp_path / "a") == read_file(tmp_path / "a", 10) == b"x" * 10
    with pytest.raises(OSError, match="more than the 9 bytes that are read"):
        read_file(tmp_path / "a", 9)


def test_read_file_of_a_size_that_is_not_stated_stops_at_the_limit() -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc here")
    assert os.stat("/proc/self/maps").st_size == 0
    assert read_file("/proc/self/maps").count(b"\n") > 5
    with pytest.raises(OSError, match="more than the 50 bytes that are read"):
        read_file("/proc/self/maps", 50)


def test_read_file_of_a_file_whose_next_bytes_are_still_to_come_is_an_os_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of the kernel's log, /proc/kmsg, to which a stranger's link may lead: the machine is short of nothing."""
    (tmp_path / "log").touch()
    assert read_file(tmp_path / "log") == b""

    def nothing_yet(*_: object) -> bytes:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "read", nothing_yet)
    with pytest.raises(OSError, match="a file without an end") as raised:
        read_file(tmp_path / "log")
    assert raised.value.errno == errno.EINVAL and raised.value.filename == str(tmp_path / "log")
    assert raised.value.__cause__ is None
    assert describe_file(tmp_path / "log") == "a file that cannot be read"


def test_read_file_that_a_server_has_leased_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Samba does for its clients: to be opened without waiting is refused, and says nothing of a shortage."""
    (tmp_path / "a").write_bytes(b"1")
    opened = os.open

    def leased(path: Any, flags: int, *arguments: Any) -> int:
        if flags & os.O_NONBLOCK:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
        return opened(path, flags, *arguments)

    monkeypatch.setattr(os, "open", leased)
    assert read_file(tmp_path / "a") == b"1"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BlockingIOError):
        read_file(tmp_path / "pipe")


def test_read_file_of_a_huge_sparse_file_takes_no_memory(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="more than the 4294967296 bytes"):
        read_file(tmp_path / "a")


def test_open_regular_of_a_name_with_a_zero_byte_is_an_os_error() -> None:
    with pytest.raises(OSError, match="null byte"), open_regular("a\0b"):
        pass


@pytest.mark.parametrize(("text", "expected"), [("5000000000", 5_000_000_000), ("", None), ("-1", None), ("ten", None)])
def test_bounds_are_raised_by_variables(monkeypatch: pytest.MonkeyPatch, text: str, expected: int | None) -> None:
    pixels, n_bytes = max_pixels(), max_bytes()
    monkeypatch.setenv("UVGEN_MAX_PIXELS", text)
    monkeypatch.setenv("UVGEN_MAX_BYTES", text)
    assert (max_pixels(), max_bytes()) == ((expected, expected) if expected else (pixels, n_bytes))


def test_check_picture_size_names_size_limit_and_variable() -> None:
    check_picture_size(16384, 8192)
    with pytest.raises(ValueError, match=r"16384 × 8193 pixels, more than the 134217728 .* set UVGEN_MAX_PIXELS"):
        check_picture_size(16384, 8193)
