"""Object stores for tests: a folder that stands for one and fails as it is told, and a real S3 server on loopback."""

import logging
import os
import shutil
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from uvgen.storage import objects, transfers

Fault = Callable[["FolderStore", str, str], None]


class FolderStore:
    """What uvgen asks of an fsspec file system, over a folder in which each folder is a bucket.

    `faults` are called before each transfer with its kind ("get", "put") and path; what they return, where it is a
    function, changes the file that arrived.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls, self.conditions = folder, Counter[str](), True
        self.faults: list[Callable[[str, str], Callable[[Path], object] | None]] = []

    def _strip_protocol(self, url: str) -> str:
        return url.partition("://")[2]

    def _place(self, path: str) -> Path:
        if not (self.folder / path.partition("/")[0]).is_dir():
            raise FileNotFoundError("The specified bucket does not exist")
        return self.folder / path

    def _copy(self, kind: str, path: str, source: Path, target: Path) -> None:
        self.calls[kind] += 1
        changes = [fault(kind, path) for fault in self.faults]
        if not source.is_file():
            raise FileNotFoundError(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        for change in changes:
            if change is not None:
                change(target)

    def get_file(self, path: str, local: str, callback: object = None) -> None:
        self._copy("get", path, self._place(path), Path(local))

    def put_file(self, local: str, path: str) -> None:
        self._copy("put", path, Path(local), self._place(path))

    def info(self, path: str) -> dict[str, Any]:
        return {"size": self._place(path).stat().st_size}

    def find(self, path: str, *, withdirs: bool, detail: bool) -> dict[str, dict[str, Any]]:
        self.calls["find"] += 1
        place = self._place(path)
        found = sorted(file for file in place.rglob("*") if file.is_file())
        return {file.relative_to(self.folder).as_posix(): {"size": file.stat().st_size} for file in found}

    def ls(self, path: str, *, detail: bool) -> list[str]:
        return [str(inner) for inner in self._place(path).iterdir()]

    def rm_file(self, path: str) -> None:
        place = self._place(path)
        place.unlink()
        for folder in place.relative_to(self.folder).parents[:-2]:  # a store has no empty folders
            if not any((self.folder / folder).iterdir()):
                (self.folder / folder).rmdir()

    def cat_file(self, path: str) -> bytes:
        return self._place(path).read_bytes()

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".draft-{token_hex(8)}"  # as in a store, no one reads half of a write
        draft.write_bytes(data)
        if mode == "create" and self.conditions:
            try:
                os.link(draft, place)
            finally:
                draft.unlink()
        else:
            draft.replace(place)


def failing(times: int, error: BaseException, kind: str = "get", name: str = "") -> Any:
    """A fault that raises so many times, of transfers whose path holds `name`."""
    left = [times]

    def fault(this: str, path: str) -> None:
        if this == kind and name in path and left[0]:
            left[0] -= 1
            raise error

    return fault


def changing(times: int, change: Callable[[Path], object], kind: str = "get", name: str = "") -> Any:
    """A fault that changes what arrived."""
    left = [times]

    def fault(this: str, path: str) -> Callable[[Path], object] | None:
        if this == kind and name in path and left[0]:
            left[0] -= 1
            return change
        return None

    return fault


def stalling(times: int, kind: str = "get", seconds: float = 5.0) -> Any:
    """A fault that lets transfers hang."""
    left = [times]

    def fault(this: str, path: str) -> None:
        if this == kind and left[0]:
            left[0] -= 1
            time.sleep(seconds)

    return fault


@contextmanager
def folder_store(folder: Path) -> Iterator[FolderStore]:
    """A store with a bucket named ``bucket``, and an empty cache; no pauses between tries."""
    store = FolderStore(folder / "store")
    (store.folder / "bucket").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "_filesystem", lambda url: store)
        patch.setattr(transfers, "_PAUSE_S", 0.0)
        patch.setenv("UVGEN_CACHE", str(folder / "cache"))
        yield store


_server: list[str] = []


def s3_server() -> str:
    """The address of an S3 server on loopback, one for this process."""
    if not _server:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        _server.append(f"http://{host}:{port}")
    return _server[0]


@contextmanager
def s3_store(folder: Path, bucket: str) -> Iterator[str]:
    """The URL of a new bucket in the S3 server, with what a user's environment says of it, and an empty cache."""
    address = s3_server()
    with urllib.request.urlopen(urllib.request.Request(f"{address}/{bucket}", method="PUT"), timeout=60):
        pass
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_environment(address, folder).items():
            patch.setenv(name, value)
        forget_clients()
        yield f"s3://{bucket}"
    forget_clients()


def forget_clients() -> None:
    """End fsspec's clients of S3, which keep the address and the credentials that they were made with."""
    import fsspec

    fsspec.get_filesystem_class("s3").clear_instance_cache()


def s3_environment(address: str, folder: Path) -> dict[str, str]:
    """Variables of a user of an S3 server that is not Amazon's."""
    return {
        "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "UVGEN_CACHE": os.fspath(folder / "cache"),
    }  # fmt: skip
