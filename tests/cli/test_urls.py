"""URLs of object stores on the command line: what takes them, what refuses them; no folder is called ``s3:``."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Uvgen
from support.builds import have
from support.stores import FolderStore, folder_store
from support.toy import write_tree

from uvgen.storage.objects import upload
from uvgen.storage.urls import local_path

URL = "s3://bucket/shards"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("local")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture
def store(tmp_path: Path, local: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FolderStore]:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with folder_store(tmp_path) as found:
        for path in local.iterdir():
            upload(local_path(URL) / path.name, path)
        yield found
    assert not [path.name for path in (tmp_path / "here").iterdir() if ":" in path.name]


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", URL), ("verify", URL), ("preview", URL, "--out", "p.png"), ("report", URL, "--out", "r"),
        ("export", URL, "--to", "npy", "--out", "e"), ("select", URL, "--max-yaw", "90", "--out", "names.txt"),
        ("merge", URL, "--out", "s3://bucket/merged"), ("merge", URL, "--out", "m"),
        ("evaluate", "--pred", "{local}", "--truth", URL),
        ("augment", URL, "--preset", "none", "--out", "s3://bucket/augmented"),
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)  # fmt: skip
def test_commands_that_read_shards_take_a_url(
    store: FolderStore, uvgen: Uvgen, local: Path, arguments: tuple[str, ...]
) -> None:
    run = uvgen(*(argument.replace("{local}", str(local)) for argument in arguments))
    assert run.exit_code == 0, run.output
    assert "uvgen-stores" not in run.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("split", URL, "--fractions", "train=1"), f"{URL}: a URL, expected the folder of a data set on this"),
        (("verify", URL, "--repair"), "damaged files in it are made again; copy the set, `aws s3 sync`"),
        (("select", URL, "--max-yaw", "90", "--as", "x"), "splits.json is written into it; copy the set"),
        (("drop", URL, "--min-yaw", "90", "--as", "x"), "splits.json is written into it; copy the set"),
        (("export", URL, "--to", "croissant", "--out", "e"), "croissant describes the files beside it; copy the set"),
        (("export", URL, "--to", "npy", "--out", "s3://bucket/e"), "s3://bucket/e: a URL, expected a path for -o"),
        (("preview", URL, "--out", "s3://bucket/p.png"), "s3://bucket/p.png: a URL, expected a path for -o"),
        (("report", URL, "--out", "s3://bucket/r"), "s3://bucket/r: a URL, expected a path for -o"),
        (("synth", "--count", "1", "--out", "s3://bucket/s"), "s3://bucket/s: a URL, expected a path for -o"),
        (("fit", "s3://bucket/photos", "--out", "f"), "s3://bucket/photos: a URL, expected a path on this machine; c"),
        (("doctor", URL), "expected a path on this machine"),
        (("build", "--out", "s3:///x"), "names no bucket, expected s3://BUCKET/FOLDER"),
        (("build", "--out", "http://host/x"), "a URL of no store that uvgen knows"),
        (("build", "--data", "s3://bucket/none", "--model", "builtin", "--out", "o"), "nothing is there, expected a f"),
        (("build", "--data", "s3://bucket/none", "--out", "o"), "missing --model"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_commands_that_cannot_take_a_url_say_so(
    store: FolderStore, uvgen: Uvgen, arguments: tuple[str, ...], message: str
) -> None:
    run = uvgen(*arguments)
    assert run.exit_code in (1, 2) and message in run.output, run.output
    assert "uvgen-stores" not in run.output and "Traceback" not in run.output


def test_build_into_a_url_says_it_and_goes_on(store: FolderStore, uvgen: Uvgen, tmp_path: Path) -> None:
    arguments = ("build", "--subset", "IBUG", "--limit", "2", "--size", "32", "--out")
    planned = uvgen(*arguments, "s3://bucket/new", "--dry-run")
    assert "s3://bucket/new: 2 samples in 1 shard" in planned.output and "none of the shards" in planned.output
    run = uvgen(*arguments, "s3://bucket/new")
    assert run.exit_code == 0 and "s3://bucket/new: 2 samples, 0 skipped" in run.output
    assert (store.folder / "bucket/new/dataset.json").exists()
    assert "nothing was left to do" in uvgen(*arguments, "s3://bucket/new").output
    assert "1 of the shards" in uvgen(*arguments, "s3://bucket/new", "--dry-run").output
    assert uvgen(*arguments, f"file://{tmp_path}/by-url").exit_code == 0
    assert (tmp_path / "by-url/dataset.json").exists()
