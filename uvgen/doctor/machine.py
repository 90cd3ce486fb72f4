"""The machine: versions, cores, memory, limits, caches and free space."""

import importlib.metadata
import os
import platform
import re
import resource
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from uvgen._version import __version__
from uvgen.doctor.checks import Finding
from uvgen.doctor.memory import available_memory
from uvgen.storage.cache import cache_folder
from uvgen.wording import count

_OPTIONAL = ("torch", "trimesh", "pyarrow", "onnxruntime", "mediapipe", "dlib-bin", "av", "webdataset", "grain",
             "tensorflow", "opencv-python-headless")  # fmt: skip
_SOUND_HDF5 = [2, 2, 0]  # see SECURITY.md
_LEAST_SPACE, _LEAST_SHARED, _LEAST_MEMORY, _LEAST_FILES = 1 << 30, 1 << 30, 2 << 30, 256


def examine_machine() -> tuple[dict[str, Any], list[Finding]]:
    """Facts about this machine and process, and what is wrong with it.

    Returns
    -------
    facts : dict
        Plain values: versions, cores, memory, folders and their free space.
    findings : list of Finding
    """
    packages, findings = _packages()
    facts: dict[str, Any] = {
        "uvgen": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": packages,
        "optional": {name: version for name in _OPTIONAL if (version := _version(name)) is not None},
    }
    for check in (_hdf5, _cores, _memory, _limits, _numba, _cache, _space):
        try:
            found, problems = check()
        except ImportError as error:  # of a package that is missing, which `_packages` says, or damaged
            found, problems = {}, [Finding("UV101", f"{error.name or 'a package'} cannot be imported ({error})")]
            if any(finding.text.startswith(f"{error.name} is missing") for finding in findings):
                problems = []
        facts |= found
        findings += problems
    return facts, sorted(findings, key=lambda finding: finding.code)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages() -> tuple[dict[str, str], list[Finding]]:
    """Versions of what uvgen needs."""
    try:
        required = importlib.metadata.requires("uvgen") or []
    except importlib.metadata.PackageNotFoundError:
        return {}, [Finding("UV101", "uvgen is not installed, only imported from a folder")]
    versions, findings = {}, []
    for requirement in required:
        found = re.match(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?", requirement)
        if found is None or "extra" in requirement:
            continue
        name, least = found[1], found[2]
        version = _version(name)
        if version is None:
            findings.append(Finding("UV101", f"{name} is missing, expected {least or 'it'} or newer"))
            continue
        versions[name] = version
        if least is not None and _numbers(version) < _numbers(least):
            findings.append(Finding("UV101", f"{name} {version}, expected {least} or newer"))
    return versions, findings


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _hdf5() -> tuple[dict[str, Any], list[Finding]]:
    from uvgen.storage.hdf5 import library_version

    version = library_version()
    known = [Finding("UV103", f"HDF5 {version}")] if _numbers(version) < _SOUND_HDF5 else []
    return {"hdf5": version}, known


def _cores() -> tuple[dict[str, Any], list[Finding]]:
    from joblib import cpu_count

    there, usable = os.cpu_count() or 1, cpu_count()
    limited = [Finding("UV104", f"{usable} of {there} cores")] if usable < there else []
    return {"cores": there, "usable_cores": usable}, limited


def _memory() -> tuple[dict[str, Any], list[Finding]]:
    available, why = available_memory(), ""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and (available is None or limit < available):
        available, why = limit, " (ulimit -v)"
    if available is None:
        return {}, []
    little = [Finding("UV109", f"{available / 1e9:.1f} GB{why}")] if available < _LEAST_MEMORY else []
    return {"available_memory_bytes": available}, little


def _limits() -> tuple[dict[str, Any], list[Finding]]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = [Finding("UV108", count(files, "open file"))] if 0 <= files < _LEAST_FILES else []
    return {"open_files": files}, few


def _numba() -> tuple[dict[str, Any], list[Finding]]:
    findings = []
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        findings.append(Finding("UV105", f"NUMBA_DISABLE_JIT={os.environ['NUMBA_DISABLE_JIT']}"))
    sources = Path(__file__).parents[1] / "maps" / "__pycache__"
    named = os.environ.get("NUMBA_CACHE_DIR")
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 -- Path's raises for a user without a home
    places = [Path(named)] if named else [sources, *([home / ".cache" / "numba"] if home.is_absolute() else [])]
    place = next((place for place in places if _can_write(place)), None)
    if place is None:
        findings.append(Finding("UV102", f"none of {', '.join(map(str, places))} can be written"))
    return {"numba_cache": None if place is None else str(place)}, findings


def _cache() -> tuple[dict[str, Any], list[Finding]]:
    folder = cache_folder()
    findings = [] if _can_write(folder) else [Finding("UV112", f"{folder} cannot be written")]
    return {"uvgen_cache": str(folder)}, findings


def _can_write(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _takes_files(folder: Path) -> bool:
    """Whether a file with content can be made in a folder that is there, which Python tries too."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"blat")
    except OSError:
        return False
    return True


def _space() -> tuple[dict[str, Any], list[Finding]]:
    findings = []
    places = {"current": Path.cwd(), "shared_memory": Path("/dev/shm")}
    try:
        places["temporary"] = Path(tempfile.gettempdir())
    except OSError as error:
        findings.append(Finding("UV110", error.strerror or str(error)))
    named = os.environ.get("TMPDIR")
    if named and "temporary" in places and not _takes_files(Path(named)):
        used = f"temporary files go to {places['temporary']}"
        findings.append(Finding("UV111", f"TMPDIR={named}, which is no folder that can be written; {used}"))
    facts = {}
    for name, place in places.items():
        with suppress(OSError):
            free = shutil.disk_usage(place).free
            facts[f"{name}_folder_free_bytes"] = free
            code, least = ("UV107", _LEAST_SHARED) if name == "shared_memory" else ("UV106", _LEAST_SPACE)
            if free < least:
                findings.append(Finding(code, f"{place}: {free / 1e6:.0f} MB free"))
    return facts, findings
