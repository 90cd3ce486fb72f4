"""Installs packages into the environment of the Python that runs it: `install.py [pip's options] PACKAGE...`.

uv does it, in a fraction of pip's time: it downloads several packages at once and compiles no bytecode that nobody asks
for. If uv cannot be had or fails, pip does. Both take the same options; uv does not read pip's settings, so that it
is given those of indexes and files, and is left out if pip has settings that it could not be given.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

# pip's settings, and the variables by which uv is told the same.
VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "no-index": "UV_NO_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
# What changes nothing in which packages are installed.
HARMLESS = {"disable-pip-version-check", "quiet", "verbose", "progress-bar", "no-color", "no-input", "cache-dir",
            "no-cache-dir", "retries", "no-warn-script-location", "root-user-action", "log", "debug"}  # fmt: skip
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def settings(listing: str) -> dict[str, str]:
    """What `pip config list` says of installing: variables before the command's settings before those of all."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in found:
            found[section][key.replace("_", "-").lower()] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def uv_environment(of_pip: dict[str, str]) -> dict[str, str] | None:
    """Variables that tell uv pip's settings, or None if it cannot be told all."""
    if not of_pip.keys() <= VARIABLES.keys() | HARMLESS:
        return None
    told = {VARIABLES[key]: value for key, value in of_pip.items() if key in VARIABLES}
    for name, between in (("UV_FIND_LINKS", ","), ("UV_INDEX", " "), ("UV_CONSTRAINT", " "), ("UV_INSECURE_HOST", " ")):
        if name in told:
            told[name] = between.join(told[name].split())
    return told | {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # the best version of all indexes, as pip does


def find_uv() -> str | None:
    """uv's path: beside this Python, else one that is on the path, else installed with pip."""
    beside = Path(sys.executable).parent / "uv"
    if found := shutil.which(beside) or shutil.which("uv"):
        return found
    constraint = Path(__file__).parents[1] / "requirements-ci.txt"
    done = subprocess.run([*PIP, "install", "--quiet", "--constraint", str(constraint), "uv"], capture_output=True)
    return shutil.which(beside) if done.returncode == 0 else None


def main(arguments: list[str]) -> int:
    listing = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True).stdout
    told = uv_environment(settings(listing))
    if told is not None and (uv := find_uv()):
        command = [uv, "pip", "install", "--quiet", "--python", sys.executable, *arguments]
        if subprocess.run(command, env=told | dict(os.environ)).returncode == 0:
            return 0
        print("uv could not install them: pip tries", flush=True)  # noqa: T201 -- a program
    return subprocess.run([*PIP, "install", "--quiet", *arguments]).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
