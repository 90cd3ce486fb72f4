"""`--untrusted`, on every command that reads shards or a model: a file that breaks HDF5 is an error like others."""

from pathlib import Path
from typing import Any

import click
import pytest
from support.builds import have
from support.hostile import CRASHES, HANGS, as_shard, break_readers
from support.toy import write_tree

from uvgen.cli.main import main
from uvgen.storage import isolated

OF_SHARDS = {
    "verify": ("verify", "{shards}"),
    "evaluate": ("evaluate", "--pred", "{shards}", "--truth", "{shards}"),
    "preview": ("preview", "{shards}", "--out", "{out}.png"),
    "export": ("export", "{shards}", "--to", "npy", "--out", "{out}", "--workers", "1"),
    "augment": ("augment", "{shards}", "--preset", "none", "--out", "{out}", "--workers", "1"),
}
OF_MODELS = {
    "build": ("build", "--data", "{tree}", "--model", "{model}", "--out", "{out}", "--workers", "1"),
    "synth": ("synth", "--count", "1", "--model", "{model}", "--out", "{out}", "--workers", "1"),
    "model info": ("model", "info", "{model}"),
    "model export": ("model", "export", "{model}", "--out", "{out}.h5"),
    "model parameterize": ("model", "parameterize", "{model}", "--out", "{out}.h5"),
    "model convert": ("model", "convert", "--face3d", "{model}", "--out", "{out}.h5"),
}


def commands(group: click.Group, *names: str) -> dict[str, click.Command]:
    """All commands by their names, those of groups included; some are loaded on demand."""
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        below = commands(command, *names, name) if isinstance(command, click.Group) else {}
        found |= below or {" ".join((*names, name)): command}
    return found


def test_every_command_that_reads_shards_or_a_model_has_the_option() -> None:
    loaded = commands(main)
    reading = {
        name for name, command in loaded.items()
        if any(param.name in ("shards", "model_path", "face3d_path", "file", "source") for param in command.params)
    }  # fmt: skip
    reading.remove("split")  # which reads the index alone
    assert reading >= OF_SHARDS.keys() | OF_MODELS.keys()
    helps = set()
    for name in reading:
        (option,) = [param for param in loaded[name].params if param.name == "untrusted"]
        helps.add(option.help)  # type: ignore[attr-defined]
    assert len(helps) == 1


@pytest.fixture
def places(model_path: Path, tmp_path: Path, tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    break_readers(tmp_path_factory.mktemp("site"), monkeypatch.setenv)
    return {"tree": write_tree(tmp_path / "300W_LP", 1), "out": tmp_path / "out", "model": tmp_path / "m.h5"}


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (CRASHES, "the process that read it ended with status -6"),
        pytest.param(HANGS, "took more than 1 s", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", OF_SHARDS)
def test_command_of_a_shard_that_breaks_hdf5_fails_with_status_1(
    uvgen: Any, places: Any, model_path: Path, tmp_path: Path, monkeypatch: Any, name: str, mark: bytes, message: str
) -> None:
    if mark == HANGS:
        monkeypatch.setattr(isolated, "MAX_SECONDS", 1.0)
    have(places["tree"], model_path, tmp_path / "whole")
    file = sorted((tmp_path / "whole").glob("*.h5"))[0]
    as_shard(file.read_bytes() + mark, tmp_path / "whole", tmp_path / "shards")
    arguments = [part.format(**places, shards=tmp_path / "shards") for part in OF_SHARDS[name]]
    result = uvgen(*arguments, "--untrusted")
    assert result.exit_code == 1 and f"{file.name}: the process" in result.stderr and message in result.stderr
    if mark == CRASHES:
        assert uvgen(*arguments).exit_code == 0  # this process, whose HDF5 is whole, reads it


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (CRASHES, "the process that read it ended with status -6"),
        pytest.param(HANGS, "took more than 1 s", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", OF_MODELS)
def test_command_of_a_model_that_breaks_hdf5_fails_with_status_1(
    uvgen: Any, places: Any, model_path: Path, monkeypatch: Any, name: str, mark: bytes, message: str
) -> None:
    if mark == HANGS:
        monkeypatch.setattr(isolated, "MAX_SECONDS", 1.0)
    places["model"].write_bytes(model_path.read_bytes() + mark)
    result = uvgen(*(part.format(**places) for part in OF_MODELS[name]), "--untrusted")
    assert result.exit_code == 1 and "m.h5: " in result.stderr and message in result.stderr
    assert not places["out"].exists() or not any(places["out"].glob("*.h5"))
