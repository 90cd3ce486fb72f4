"""Downloads from a real S3 server on loopback: whole, in parts, verified as they arrive."""

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest
from support.stores import s3_store

from uvgen.errors import DatasetError
from uvgen.storage import objects, s3, transfers
from uvgen.storage.objects import fetch, upload
from uvgen.storage.transfers import MissingError
from uvgen.storage.urls import local_path

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install '.[stores]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install '.[stores]'")
pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")

CONTENT = bytes(range(251)) * 4000
DIGEST = sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("s3")
    with s3_store(folder, "downloads") as url:
        (folder / "content").write_bytes(CONTENT)
        upload(local_path(f"{url}/a.h5"), folder / "content")
        yield local_path(f"{url}/a.h5")


@pytest.mark.parametrize("part", [1 << 30, 100_000, SIZE // 3, SIZE // 4 + 1])
def test_fetch_from_s3_whole_and_in_parts_gives_the_same_bytes(
    place: Path, part: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(s3, "PART", part)
    for number, digest in enumerate((DIGEST, None)):
        fetch(place, tmp_path / f"{number}", size=SIZE, sha256=digest)
        assert (tmp_path / f"{number}").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [1 << 30, 100_000])
@pytest.mark.parametrize(
    ("size", "digest", "message"),
    [
        (SIZE + 1, DIGEST, rf"a\.h5: {SIZE} bytes came, expected {SIZE + 1}, in 2 tries"),
        (SIZE, DIGEST[::-1], r"a\.h5: its SHA-256 is not the one in the index, in 2 tries"),
    ],
)
def test_fetch_from_s3_of_another_content_is_refused_and_leaves_nothing(
    place: Path, part: int, size: int, digest: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(s3, "PART", part)
    monkeypatch.setattr(transfers, "TRIES", 2)
    monkeypatch.setattr(transfers, "_PAUSE_S", 0.0)
    with pytest.raises(DatasetError, match=message):
        fetch(place, tmp_path / "found", size=size, sha256=digest)
    assert not list(tmp_path.iterdir())


def test_fetch_from_s3_of_what_is_not_there_says_so(place: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"s3://downloads/b\.h5: no such file in the store"):
        fetch(place.with_name("b.h5"), tmp_path / "found")


def test_fetch_from_an_access_point_names_it_and_not_a_part_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def note(client: object, bucket: str, key: str, handle: int, size: int, *, hashed: bool) -> str:
        asked.append((bucket, key))
        return DIGEST

    monkeypatch.setattr(objects, "download", note)
    monkeypatch.setattr(objects, "client_of", lambda *_: object())
    point = "arn:aws:s3:us-west-2:123456789012:accesspoint/faces"
    fetch(local_path(f"s3://{point}/shards/a.h5"), tmp_path / "found", sha256=DIGEST)
    assert asked == [(point, "shards/a.h5")]


def test_a_file_system_that_is_configured_otherwise_is_left_to_fsspec(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = "s3://downloads/a.h5"
    assert s3.client_of(objects._filesystem(url), objects._options(url)) is not None
    monkeypatch.setitem(fsspec.config.conf, "s3", {"requester_pays": True})
    assert s3.client_of(objects._filesystem(url), objects._options(url)) is None
    fetch(place, tmp_path / "found", size=SIZE, sha256=DIGEST)
    assert (tmp_path / "found").read_bytes() == CONTENT


def test_a_file_system_is_none_of_s3_while_another_thread_imports_s3fs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", ModuleType("s3fs"))  # as long as its own code has not run
    assert s3.client_of(object(), {}) is None


class TooMuch:
    """What a server answers that does not say how much it sends, and sends 20 MB."""

    def __init__(self) -> None:
        self.left = 20 << 20

    def get_object(self, **asked: object) -> dict[str, "TooMuch"]:
        return {"Body": TooMuch()}

    def read(self, n: int) -> bytes:
        n = min(n, self.left)
        self.left -= n
        return bytes(n)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("size", [None, 1000, 5000])
def test_answer_that_does_not_end_is_taken_no_further_than_what_is_expected(
    size: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(s3, "PART", 1000)
    monkeypatch.setenv("UVGEN_MAX_BYTES", "3000")
    with (tmp_path / "found").open("wb") as file, pytest.raises(s3.WrongSizeError):
        s3.download(TooMuch(), "bucket", "key", file.fileno(), size, hashed=True)
    assert (tmp_path / "found").stat().st_size == 0
