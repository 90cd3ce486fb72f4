"""A real S3 server on loopback: building into it, reading from it, and what is wrong with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builds import SMALL, file_hashes, have
from support.stores import s3_store
from support.toy import write_tree

from uvgen import build_shards, open_shards
from uvgen.errors import DatasetError
from uvgen.storage import transfers
from uvgen.storage.objects import fetch, listed, upload
from uvgen.storage.urls import local_path

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install '.[stores]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install '.[stores]'")
pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_store(tmp_path_factory.mktemp("s3"), "faces") as url:
        yield url


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("local")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder


@pytest.fixture(scope="module")
def stored(bucket: str, local: Path, model_path: Path) -> str:
    """A data set that was built from samples in the store."""
    for path in (local / "300W_LP").rglob("*.*"):
        name = path.relative_to(local / "300W_LP").as_posix()
        upload(local_path(f"{bucket}/300W_LP/{name}"), path)
    build_shards(f"{bucket}/300W_LP", f"{bucket}/shards", model=model_path, config=SMALL)
    return f"{bucket}/shards"


def test_build_from_s3_into_s3_has_the_bytes_of_a_local_one(stored: str, local: Path) -> None:
    hashes = file_hashes(local / "shards")
    place = local_path(stored)
    assert listed(place).keys() == hashes.keys()
    for name in sorted(hashes.keys() - {"dataset.json"}):
        fetch(place / name, local / "fetched" / name)
    assert file_hashes(local / "fetched") == {name: h for name, h in hashes.items() if name != "dataset.json"}


def test_open_shards_from_s3_reads_what_a_local_one_does(stored: str, local: Path) -> None:
    from support.builds import read_all

    assert read_all(open_shards(stored)) == read_all(open_shards(local / "shards"))


def test_s3_without_bucket_data_set_or_file_says_so(stored: str) -> None:
    with pytest.raises(
        DatasetError, match=r"s3://nobodys-bucket/x/dataset\.json: no such bucket, expected one that is"
    ):
        open_shards("s3://nobodys-bucket/x")
    with pytest.raises(DatasetError, match="s3://nobodys-bucket/x: no such bucket"):
        listed(local_path("s3://nobodys-bucket/x"))
    with pytest.raises(DatasetError, match=r"s3://faces/none: not a data set, it holds nothing; expected one that"):
        open_shards("s3://faces/none")
    with pytest.raises(DatasetError, match=r"s3://nobodys-bucket/out/dataset\.json: no such bucket"):
        build_shards(None, "s3://nobodys-bucket/out")


def test_s3_without_credentials_says_where_they_are_taken_from(
    stored: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.filesystem("s3").clear_instance_cache()
    try:
        with pytest.raises(
            DatasetError, match=r"cannot be fetched, permission is denied .*; credentials are taken only from"
        ):
            open_shards(stored)
    finally:
        fsspec.filesystem("s3").clear_instance_cache()


def test_s3_that_cannot_be_reached_says_so(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(transfers, "TRIES", 2)
    monkeypatch.setattr(transfers, "_PAUSE_S", 0.0)
    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.setattr(type(fsspec.filesystem("s3")), "retries", 1)
    try:
        with pytest.raises(
            DatasetError, match=r"cannot be fetched in 2 tries \(.*127\.0\.0\.1:1.*\); is the store reac"
        ):
            open_shards(stored)
    finally:
        fsspec.filesystem("s3").clear_instance_cache()
