"""Memory that may still be used: what the machine has left, and what the limits of control groups leave.

Containers, batch systems and systemd put a process into a control group (cgroup). Each group limits its processes and
those of the groups below it, so that the limits of all groups above count too. Version 1 mounts a tree per resource,
version 2 one for all; a machine may use both at once.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_PROC = Path("/proc")


class _Files(NamedTuple):
    """Names of a group's files, and of the numbers in its statistics that are file cache, which the kernel reclaims."""

    limit: str
    used: str
    cache: tuple[str, str]


_FILES = {
    "cgroup": _Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
    "cgroup2": _Files("memory.max", "memory.current", ("inactive_file", "active_file")),
}


def available_memory(proc: Path = _PROC) -> int | None:
    """Bytes that this process may still take, or None if the system does not say.

    Parameters
    ----------
    proc : Path
        Where the process file system is mounted.
    """
    left = []
    with suppress(OSError, ValueError, StopIteration):
        lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
        left.append(int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) << 10)
    with suppress(OSError, ValueError):
        for kind, group in _groups(proc):
            left += _left_in(group, _FILES[kind])
    return min(left, default=None)


def _groups(proc: Path) -> Iterator[tuple[str, Path]]:
    """Kind and folder of each group that this process's memory counts in: its own and all above it that are seen."""
    paths = {}
    for line in (proc / "self" / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" or "memory" in controllers.split(","):
            paths["cgroup2" if number == "0" else "cgroup"] = path
    for kind, root, mount in _mounts(proc):
        if kind not in paths:
            continue
        # A container sees its group as the root of the mount, but may still read the path that the machine has for it.
        own, below = PurePosixPath(paths[kind]), PurePosixPath()
        if own.is_relative_to(root):
            below = own.relative_to(root)
        for folder in (below, *below.parents) if ".." not in below.parts else (PurePosixPath(),):
            yield kind, mount / folder


def _mounts(proc: Path) -> Iterator[tuple[str, str, Path]]:
    """Kind of each mounted tree of control groups that may hold memory's, which group is its root, and where it is."""
    text = (proc / "self" / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    for line in text.splitlines():
        place, _, source = line.partition(" - ")
        kind, _, options = source.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
            root, mount = place.split(" ")[3:5]
            yield kind, _unescaped(root), Path(_unescaped(mount))


def _unescaped(text: str) -> str:
    """A path of mountinfo, in which spaces and the like are written as ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _left_in(group: Path, names: _Files) -> list[int]:
    """Bytes that a group's limit leaves, as a list of one, or an empty list if it has no limit."""
    with suppress(OSError, ValueError):  # a root group has no such files; "max" is no number
        limit = int((group / names.limit).read_text(encoding="ascii"))
        used = int((group / names.used).read_text(encoding="ascii"))
        cache = 0
        with suppress(OSError, ValueError):
            lines = (line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
            cache = sum(int(value) for key, value in lines if key in names.cache)
        return [max(limit - max(used - cache, 0), 0)]
    return []
