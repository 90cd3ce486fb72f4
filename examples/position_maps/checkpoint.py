"""What a run needs to go on where it was stopped, in one file that is whole or not there."""

from pathlib import Path
from typing import Any

import torch

import uvgen

FREE = (
    "shards",
    "out",
    "workers",
    "resume",
    "stop_after",
    "checkpoint_every",
    "device",
    "threads",
    "gif",
    "profile",
    "compile",
)
"""Options that may be others when a run goes on: they change no weight beyond rounding."""


def save(content: dict[str, Any], path: Path) -> None:
    """Replace the file at once, so that a kill leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}")
    torch.save(content, temporary)
    temporary.replace(path)


def settings_of(options: Any) -> dict[str, Any]:
    """The options that weights depend on, as plain values."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items() if k not in FREE}


def load(path: Path, options: Any) -> dict[str, Any]:
    """A checkpoint that was made with the same settings; UvgenError where there is none, or another setting differs."""
    if not path.is_file():
        raise uvgen.UvgenError(f"{path}: not there, expected the checkpoint of a run; start one without --resume")
    content = torch.load(path, map_location="cpu", weights_only=True)
    for name, value in settings_of(options).items():
        if (stored := content["settings"].get(name)) != value:
            option = f"--{name.replace('_', '-')}"
            raise uvgen.UvgenError(f"{option}: {value}, the run in {path.parent} has {stored}; give the same")
    return content
