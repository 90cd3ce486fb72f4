"""Dask workers that cannot take part, each provoked for real: a message, an exit status, and nothing half-written."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.builds import COMMAND
from support.clusters import BUILD, DaskCluster, same

pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
pytestmark = pytest.mark.slow

# As another machine has it: the file at this path is seen with another content by this process and its children.
_OTHER_FILE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
new_user, new_mounts, bind, private = 0x10000000, 0x00020000, 4096, 16384 | 1 << 18
user = os.getuid()
if libc.unshare(new_user | new_mounts):
    raise SystemExit("no namespaces")
open("/proc/self/uid_map", "w").write(f"{user} {user} 1")
libc.mount(b"none", b"/", None, private, None)
if libc.mount(OTHER, PATH, None, bind, None):
    raise SystemExit("no mounts")
"""


@contextmanager
def cluster(folder: Path, first: str) -> Iterator[DaskCluster]:
    folder.mkdir()
    with ExitStack() as stack:
        yield DaskCluster(folder, stack, 1, first)


def build(out: Path, dask: DaskCluster, *more: object) -> "subprocess.CompletedProcess[str]":
    arguments = [*BUILD, "--out", out, "--backend", "dask", "--address", dask.file, *more]
    return subprocess.run([*COMMAND, *map(str, arguments)], check=False, capture_output=True, text=True)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    ("first", "differs"),
    [
        ("import uvgen._version; uvgen._version.__version__ = '9.9'", "uvgen 9.9, here"),
        pytest.param(
            "import importlib.metadata as m; own = m.version; m.version = lambda p: '0.1' if p == 'h5py' else own(p)",
            "h5py 0.1, here", marks=pytest.mark.long,
        ),
    ],
)  # fmt: skip
def test_worker_with_other_versions_is_named_before_any_work(first: str, differs: str, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    with cluster(tmp_path / "dask", first) as dask:
        made = build(out, dask)
    assert made.returncode == 1 and "Traceback" not in made.stderr
    assert "other versions than here (" in made.stderr and differs in made.stderr
    assert "install the same on all machines" in made.stderr
    assert not files(out)


def test_worker_with_another_model_under_the_path_is_named_before_any_work(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    model, other, out = model_path, tmp_path / "other.h5", tmp_path / "shards"
    other.write_bytes(model.read_bytes() + b"\0")
    first = _OTHER_FILE.replace("OTHER", repr(bytes(other))).replace("PATH", repr(bytes(model)))
    if subprocess.run([sys.executable, "-c", first], check=False, capture_output=True).returncode:
        pytest.skip("this system gives no mounts of one's own")
    with cluster(tmp_path / "dask", first) as dask:
        made = build(out, dask, "--data", tree, "--model", model)
    assert made.returncode == 1 and "Traceback" not in made.stderr
    assert f"uvgen: {model}: " in made.stderr and "has another file there; copy one to all" in made.stderr
    assert not files(out)


# the job does not fit; a shard does not
@pytest.mark.parametrize("n_bytes", [pytest.param(200, marks=pytest.mark.long), 100_000])
def test_worker_whose_disk_is_full_says_so_and_leaves_nothing(
    n_bytes: int, local: Path, tmp_path: Path, uvgen: Any
) -> None:
    out = tmp_path / "shards"
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({n_bytes}, {n_bytes}))"
    with cluster(tmp_path / "dask", limit) as dask:
        full = build(out, dask)
    assert full.returncode == 1 and "Traceback" not in full.stderr, full.stderr
    assert "File too large" in full.stderr and "free space" in full.stderr
    assert f"uvgen: {socket.gethostname()}: " in full.stderr or f"uvgen: {out}" in full.stderr  # where
    assert not [name for name in files(out) if name.endswith(".h5") or "-tmp-" in name]
    made = uvgen(*BUILD, "--workers", 1, "--out", out)
    assert made.exit_code == 0, made.output
    assert same(out, local)
