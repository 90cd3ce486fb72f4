"""Reading files that may break HDF5, in processes of their own: a crash of theirs is a test's failure, not its end."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from uvgen.shards.index import Index, ShardEntry

MEMORY = 6 << 30
SECONDS = 900  # of a process that reads many files, on a loaded machine: only a hang is to end here

_CHILD = """
import faulthandler, json, os, resource, sys, traceback
faulthandler.enable()
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import numpy as np
import uvgen
from uvgen.cli.main import main
from click.testing import CliRunner

def read_set(folder):
    reader = uvgen.open_shards(folder)
    reader.names
    fields = reader.fields
    for k in range(len(reader)):
        reader[k]
    reader.gather(range(len(reader)), [n for n in fields if n not in ("image", "posmap")])
    for name in fields:
        if not (name == "image" and "image_end" in str(reader._pool[0]._datasets)):
            reader.column(name)
    reader.constants

def command(*arguments):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception

def read_checked(folder):
    reader = uvgen.open_shards(folder, check=True)
    len(reader) and reader[0]

def train(folder):
    from uvgen.torch import ShardDataset
    data = ShardDataset(folder)
    data.batch(range(len(data)))

def export(folder):
    import tempfile
    with tempfile.TemporaryDirectory() as out:
        uvgen.export_shards(folder, out + "/out", "npy")

def augment(folder):
    import tempfile
    with tempfile.TemporaryDirectory() as out:
        uvgen.augment_shards(folder, out + "/out", "none")

def load(path):
    model = uvgen.load_model(path)
    float(model.basis.sum()), model.content_sha256

WAYS = dict(
    set=read_set, checked=read_checked, verify=uvgen.verify_shards, model=load,
    untrusted=lambda folder: uvgen.open_shards(folder, untrusted=True)[0], train=train, export=export, augment=augment,
    info=lambda path: command("model", "info", path), command=lambda folder: command("verify", folder),
)
for line in sys.stdin:
    way, path = json.loads(line)
    try:
        WAYS[way](path)
        found = ""
    except uvgen.UvgenError as error:
        found = f"refused: {{error}}"
    except BaseException:
        found = "traceback: " + traceback.format_exc()
    print(json.dumps(found), flush=True)
"""


def outcomes(tasks: Sequence[tuple[str, Path]], *, seconds: float = SECONDS) -> list[str]:
    """What came of each way of reading each file: "" (read), "refused: …", "traceback: …" or "died: …".

    Ways: "set" (every sample, name and column), "checked", "verify", "command" (`uvgen verify`) of a data set's folder;
    "train" (`ShardDataset`), "export" and "augment" of the same;
    "model" (`load_model`) and "info" (`uvgen model info`) of a model's file. A process that dies or hangs is followed
    by another one.
    """
    found: list[str] = []
    while len(found) < len(tasks):
        rest = tasks[len(found) :]
        lines = "".join(json.dumps((way, str(path))) + "\n" for way, path in rest)
        try:
            child = subprocess.run(
                [sys.executable, "-c", _CHILD.format(memory=MEMORY)],
                input=lines,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
            output, end = child.stdout, f"died: status {child.returncode} {child.stderr[-2000:]}"
        except subprocess.TimeoutExpired as error:
            output, end = (error.stdout or b"").decode(), f"died: nothing after {seconds} s"
        found += [json.loads(line) for line in output.splitlines()]
        if len(found) < len(tasks):
            found.append(end)
    return found


def as_shard(content: bytes | Path, like: Path, folder: Path) -> Path:
    """A data set of one shard, whose file is replaced: size and hash in the index are those of the new file.

    Parameters
    ----------
    content : bytes or Path
        Of the file.
    like : Path
        A sound data set; its first shard is replaced, the others are left out.
    folder : Path
        To be made.

    Returns
    -------
    Path
        `folder`.
    """
    import hashlib

    data = content if isinstance(content, bytes) else content.read_bytes()
    folder.mkdir(parents=True)
    index = Index.read(like)
    entry = next(entry for entry in index.shards if entry.samples)
    (folder / entry.file).write_bytes(data)
    (folder / "constants.npz").write_bytes((like / "constants.npz").read_bytes())
    index.shards = [ShardEntry(entry.file, entry.samples, len(data), hashlib.sha256(data).hexdigest())]
    index.skipped, index.plan = [], {**index.plan, "samples": entry.samples}
    index.write(folder)
    return folder


CRASHES, HANGS = b"makes HDF5 crash", b"makes HDF5 hang."
"""What the end of a file says to a process that `break_readers` broke; to HDF5 it is no part of the file."""

_BROKEN = f"""
import sys
if "uvgen.storage.isolated_server import serve" in sys.orig_argv[-1]:
    import os, time
    import h5py
    whole = h5py.File
    def opened(path, *arguments, **options):
        with open(path, "rb") as file:
            end = file.read()[-{len(CRASHES)}:]
        if end == {CRASHES!r}:
            os.abort()
        if end == {HANGS!r}:
            time.sleep(100_000)
        return whole(path, *arguments, **options)
    h5py.File = opened
"""


def break_readers(folder: Path, set_variable: Callable[[str, str], object]) -> None:
    """Let processes that read for others, whoever starts them, crash or hang at files that end in `CRASHES` or `HANGS`.

    Parameters
    ----------
    folder : Path
        Empty; a module that Python imports as it starts is put there.
    set_variable : callable
        Sets an environment variable, such as `monkeypatch.setenv`.
    """
    (folder / "sitecustomize.py").write_text(_BROKEN)
    set_variable("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))


def readers_alive(folder: Path) -> int:
    """How many processes read for others that `break_readers` broke in this folder; Linux alone."""
    alive = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = str(folder).encode() in (process / "environ").read_bytes()
            alive += ours and b"uvgen.storage.isolated_server import serve" in (process / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return alive


def mutated(data: bytes, rng: Any) -> bytes:
    """Bytes after one damage: bits flipped, the end cut off, or a run of random bytes; most in the first 20 kB."""
    kind = rng.integers(4)
    changed = bytearray(data)
    reach = len(data) if rng.random() < 0.3 else min(len(data), 20_000)
    if kind == 0:
        return data[: rng.integers(len(data))]
    if kind == 1:
        start = rng.integers(reach)
        changed[start : start + 16] = rng.bytes(min(16, len(data) - start))
        return bytes(changed)
    for at in rng.integers(0, reach, 1 if kind == 2 else 8):
        changed[at] ^= 1 << rng.integers(8)
    return bytes(changed)
