"""Memory that is left: the machine's, and what control groups of both versions leave."""

import os
from pathlib import Path

import pytest

from uvgen.doctor.memory import available_memory

GB = 1 << 30
UNLIMITED_V1 = 0x7FFFFFFFFFFFF000


def machine(folder: Path, groups: str, mounts: str) -> Path:
    """A process file system of a machine with 16 GB left."""
    proc = folder / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: {1 << 25} kB\nMemAvailable: {16 << 20} kB\n")
    (proc / "self" / "cgroup").write_text(groups)
    (proc / "self" / "mountinfo").write_text(mounts)
    return proc


def group(folder: Path, limit: object, used: int, *, cache: int = 0, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    total = "total_" if version == 1 else ""
    lines = [f"{total}inactive_file {cache // 2}", f"{total}active_file {cache - cache // 2}", f"{total}anon 7"]
    (folder / "memory.stat").write_text("\n".join([*lines, ""]))


def mounted(folder: Path, *, root: str = "/", version: int = 2) -> str:
    kind = "cgroup2 cgroup2 rw,nsdelegate" if version == 2 else "cgroup cgroup rw,memory"
    where = os.fspath(folder).replace(" ", "\\040")
    return f"30 23 0:26 {root} {where} rw,nosuid shared:9 - {kind}\n"


def test_memory_of_a_machine_without_groups_is_the_machine_s(tmp_path: Path) -> None:
    assert available_memory(machine(tmp_path, "", "")) == 16 * GB
    assert available_memory(tmp_path / "none") is None


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("limited", ["user.slice/job.scope", "user.slice", ""])
def test_memory_is_limited_by_the_own_group_and_by_each_above(tmp_path: Path, version: int, limited: str) -> None:
    tree = tmp_path / "a tree"
    for place in ("user.slice/job.scope", "user.slice", ""):
        limit: object = 3 * GB if place == limited else UNLIMITED_V1 if version == 1 else "max"
        group(tree / place, limit, GB, version=version)
    number = "0:" if version == 2 else "4:memory"
    proc = machine(tmp_path, f"{number}:/user.slice/job.scope\n", mounted(tree, version=version))
    assert available_memory(proc) == 2 * GB


@pytest.mark.parametrize("version", [1, 2])
def test_memory_in_a_container_that_sees_its_group_as_the_root(tmp_path: Path, version: int) -> None:
    tree = tmp_path / "tree"
    group(tree, 2 * GB, GB // 2, version=version)
    number = "0:" if version == 2 else "4:cpu,memory"
    root = "/docker/0a1b"
    for path, seen_as in ((root, root), ("/", "/"), (root, "/"), ("/", "/../..")):
        folder = tmp_path / path.replace("/", "_") / seen_as.replace("/", "_")
        proc = machine(folder, f"{number}:{path}\n", mounted(tree, root=seen_as, version=version))
        assert available_memory(proc) == 3 * GB // 2, (path, seen_as)


def test_memory_used_for_the_file_cache_counts_as_available(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    group(tree / "job", 4 * GB, 4 * GB, cache=3 * GB)
    assert available_memory(machine(tmp_path, "0::/job\n", mounted(tree))) == 3 * GB


def test_memory_of_a_group_over_its_limit_is_none(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    group(tree / "job", GB, 2 * GB)
    assert available_memory(machine(tmp_path, "0::/job\n", mounted(tree))) == 0


def test_memory_with_both_versions_takes_the_one_that_holds_memory(tmp_path: Path) -> None:
    (tmp_path / "unified").mkdir()
    group(tmp_path / "memory" / "job", 2 * GB, GB, version=1)
    mounts = mounted(tmp_path / "unified") + mounted(tmp_path / "memory", version=1)
    assert available_memory(machine(tmp_path, "9:name=systemd:/\n4:memory:/job\n0::/\n", mounts)) == GB
