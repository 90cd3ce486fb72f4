"""What tests of whole data sets share: making one, comparing folders, running the command as a process."""

import atexit
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import h5py
import numpy as np

from uvgen import BuildResult, ShardReader, build_shards, find_samples, load_model, open_shards
from uvgen.datasets.config import BuildConfig
from uvgen.models.morphable import MorphableModel
from uvgen.shards.constants import CONSTANTS
from uvgen.shards.index import Index, sealed

PATIENCE_S = 300  # for what takes a second: a loaded machine is slow, and only a hang is to end here
COMMAND = (sys.executable, "-c", "from uvgen.cli.main import main; main()")
SMALL = BuildConfig(size=32, uv_size=48, shard_size=2)  # crop and map differ, so that exchanged sizes show


def make(tree: Path, model_path: Path, out: Path, config: BuildConfig = SMALL, **options: Any) -> BuildResult:
    """Build all of a tree in this process."""
    model = _model_of(model_path, model_path.stat().st_mtime_ns)
    return build_shards(find_samples(tree), out, model=model, config=config, root=tree, **options)


def have(tree: Path, model_path: Path, out: Path, config: BuildConfig = SMALL) -> None:
    """What `make` makes, for tests of what is done with it: a copy where this process has made the same before."""
    if out.exists():
        make(tree, model_path, out, config)
        return
    key = hashlib.sha256(repr((tree.name, config)).encode())
    for path in (model_path, *sorted(tree.rglob("*"))):
        if path.is_file():
            key.update(f"{path.relative_to(tree) if path != model_path else ''}\0".encode())
            key.update(hashlib.sha256(path.read_bytes()).digest())
    kept = _kept() / key.hexdigest()
    if not kept.exists():
        make(tree, model_path, out, config)
        draft = kept.with_name("draft")
        shutil.rmtree(draft, ignore_errors=True)  # of a test that let writing fail
        shutil.copytree(out, draft).rename(kept)
    else:
        shutil.copytree(kept, out)


def begun(folder: Path, out: Path) -> Path:
    """A data set that was stopped before its first shard: the index and the constants of another one, and no shards."""
    out.mkdir()
    dataclasses.replace(Index.read(folder), shards=[], skipped=[]).write(out)
    shutil.copy(folder / CONSTANTS, out)
    return out


@cache
def _kept() -> Path:
    """A folder of data sets that were made once; this process deletes it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="uvgen-tests-"))
    atexit.register(_forget, folder, os.getpid())
    return folder


def _forget(folder: Path, process: int) -> None:
    if os.getpid() == process:  # and not one that was forked
        shutil.rmtree(folder, ignore_errors=True)


@lru_cache(maxsize=4)
def _model_of(path: Path, changed: int) -> MorphableModel:
    """The same object each time, so that its atlas and masks are found once; `changed` tells a new file."""
    return load_model(path)


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, hidden ones too."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def by_name(folder: Path, *keys: str) -> dict[str, dict[str, Any]]:
    """Fields of each sample, by the sample's name."""
    return {sample["name"]: {key: sample[key] for key in keys or sample} for sample in open_shards(folder)}


def assert_equal_samples(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Two samples hold the same fields with the same bits."""
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key], err_msg=key, strict=isinstance(left[key], np.ndarray))


def edit_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of a folder's `dataset.json` in place, with the checksum that fits."""
    path = folder / "dataset.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["sha256"]
    change(content)
    path.write_bytes(sealed(content))


def seal(folder: Path, change: Callable[[dict[str, Any]], object] | None = None) -> None:
    """Give the index the hashes that its files have, as an attacker does, and a checksum that fits."""

    def fit(content: dict[str, Any]) -> None:
        for entry in content["shards"]:
            path = folder / entry["file"]
            if path.exists():
                entry.update(size_bytes=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        content["constants_sha256"] = hashlib.sha256((folder / CONSTANTS).read_bytes()).hexdigest()
        if change is not None:
            change(content)

    edit_index(folder, fit)


def set_texts(shard: Path, field: str, texts: Sequence[str]) -> None:
    """Replace a field of texts; the index is not changed."""
    with h5py.File(shard, "r+") as file:
        data = [text.encode() for text in texts]
        del file[field]
        file.create_dataset(field, data=np.array(data, h5py.string_dtype("utf-8", max(map(len, data)))))


def listed_shards(folder: Path) -> list[str]:
    """Names of the shards that `dataset.json` lists; none where there is no index yet."""
    path = folder / "dataset.json"
    return [entry["file"] for entry in json.loads(path.read_text(encoding="utf-8"))["shards"]] if path.exists() else []


def start(*arguments: object, command: Sequence[str] = COMMAND, stdout: int = PIPE, stderr: int = PIPE) -> "Popen[str]":
    """Start the command as a process that leads its own group and hears Ctrl-C, as a shell's job does."""
    return Popen(
        [*command, *map(str, arguments)],
        stdout=stdout,
        stderr=stderr,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_signals,
    )


def _hear_signals() -> None:
    """Tests in the background ignore Ctrl-C, and under `nohup` the end of their terminal."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def wait_for(condition: Callable[[], object], process: "Popen[str]") -> None:
    """Wait until something holds; fail where the process ends first, or hangs."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()}"
        assert time.monotonic() < end, f"{PATIENCE_S} s have passed"
        time.sleep(0.01)


def read_all(reader: ShardReader) -> list[str]:
    """A hash of each sample's arrays; at module level, so that worker processes find it."""
    return [hashlib.sha256(s["posmap"].tobytes() + s["image"].tobytes()).hexdigest() for s in reader]
