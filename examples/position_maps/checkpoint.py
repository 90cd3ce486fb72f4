"""What a run needs to go on where it was stopped, in one file that is whole or not there."""

import errno
import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

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
    """Replace the file at once, so that a kill or a full disk leaves the old or the new one. OSError if it fails."""
    temporary = path.with_name(f".{path.name}")
    try:
        torch.save(content, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # PyTorch says of a full disk that it "unexpectedly" wrote fewer bytes
        temporary.unlink(missing_ok=True)
        if path.is_dir():
            raise OSError(f"{path}: is a folder, expected a file to write; move it away") from error
        raise OSError(f"{path}: cannot be written; is the disk full? What was saved before is kept") from error


def settings_of(options: Any) -> dict[str, Any]:
    """The options that weights depend on, as plain values."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items() if k not in FREE}


def read(path: Path, what: str, **fields: type) -> dict[str, Any]:
    """What `torch.save` wrote; nothing in the file is run. UvgenError if it is no dict of such fields."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "no regular file")  # a pipe would be waited for
        with path.open("rb") as file:
            check_stored(file)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of damaged files: of any type; PyTorch advises to run what is in the file
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise uvgen.UvgenError(f"{path}: cannot be read ({why}), expected {what}") from error
    if not isinstance(content, dict):
        raise uvgen.UvgenError(f"{path}: holds a {type(content).__name__}, expected {what}")
    for name, kind in fields.items():
        if not isinstance(content.get(name), kind):
            raise uvgen.UvgenError(f"{path}: {name} is {brief(content.get(name))}, expected {what}")
    return content


def keep_lines_to(path: Path, step: int) -> None:
    """Drop what a run that was killed wrote after its checkpoint, a torn line too: it is written again."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = list[str]()
    for line in lines:
        with suppress(ValueError, TypeError, KeyError):
            if json.loads(line)["step"] <= step:
                kept.append(line)
    if kept != lines:
        temporary = path.with_name(f".{path.name}")
        temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        temporary.replace(path)


def check_stored(file: BinaryIO) -> None:
    """Raise ValueError if what `torch.save` stores as it is was compressed: a megabyte could unpack to gigabytes."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
                raise ValueError("compressed")
    file.seek(0)


def brief(value: Any) -> str:
    """A value that a file gave, for a message: lists in lists, long numbers and large texts have no cheap `repr`."""
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return repr(value) if value is None or isinstance(value, int | float) else f"a {type(value).__name__}"


def take_up(owner: Any, state: dict[str, Any], path: Path) -> None:
    """Let a module or Adam load its state; UvgenError if that is of another one, or holds NaN or infinity."""
    try:
        (_check_adam if isinstance(owner, torch.optim.Optimizer) else _check_module)(owner, state)
        owner.load_state_dict(state)
    except Exception as error:  # of any type
        why = "".join(c if c.isprintable() else " " for c in str(error))  # it names keys of the file
        raise uvgen.UvgenError(f"{path}: does not fit {type(owner).__name__} ({why:.120}), expected its own") from error


def _check_module(module: torch.nn.Module, state: dict[str, Any]) -> None:
    """What PyTorch does not compare: types, which it converts, and values."""
    for name, own in module.state_dict().items():
        if name in state:
            _check(name, state[name], own.shape, own.dtype)


def _check_adam(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """PyTorch takes any settings and moments, and fails at the next step. The rate is set before each one.

    Releases of PyTorch add settings, for which older checkpoints get the defaults.
    """
    for own, other in zip(optimizer.state_dict()["param_groups"], state["param_groups"], strict=True):
        if not {"params", "betas", "eps"} <= other.keys() or {**own, **other, "lr": own["lr"]} != own:
            raise ValueError("other settings")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, values in state["state"].items():
        if values.keys() != {"step", "exp_avg", "exp_avg_sq"}:
            raise ValueError(f"state of {number}: not Adam's")
        for name, value in values.items():
            shape, dtype = parameters[number].shape, parameters[number].dtype
            _check(name, value, *((), torch.float32) if name == "step" else (shape, dtype))
        if min(values["step"].item(), values["exp_avg_sq"].min().item()) < 0:
            raise ValueError(f"state of {number}: less than 0")


def _check(name: str, value: torch.Tensor, shape: Any, dtype: torch.dtype) -> None:
    if value.shape != shape or value.dtype != dtype:
        raise ValueError(f"{name}: {value.dtype} {tuple(value.shape)}")
    if not torch.isfinite(value).all():
        raise ValueError(f"{name}: NaN or infinity")


def load(path: Path, options: Any) -> dict[str, Any]:
    """A checkpoint that was made with the same settings; UvgenError if there is none, or another setting differs."""
    if not path.is_file():
        raise uvgen.UvgenError(f"{path}: not there, expected the checkpoint of a run; start one without --resume")
    kinds = {"network": dict, "optimizer": dict, "settings": dict, "sampler": dict, "step": int, "n_ranks": int}
    content = read(path, "the checkpoint of a run", **kinds, best=float, first=float)
    for name in ("step", "best", "first"):
        if not content[name] >= 0:  # nothing is better than a best of NaN: no network would be kept
            raise uvgen.UvgenError(f"{path}: {name} is {brief(content[name])}, expected 0 or more")
    for name, value in settings_of(options).items():
        stored = content["settings"].get(name)
        if type(stored) is not type(value) or stored != value:  # tensors compare to tensors
            option = f"--{name.replace('_', '-')}"
            raise uvgen.UvgenError(f"{option}: {value}, the run in {path.parent} has {brief(stored)}; give the same")
    return content
