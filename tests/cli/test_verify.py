"""The command `uvgen verify`."""

import dataclasses
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import PATIENCE_S, SMALL, edit_index, have, start
from support.toy import toy_model, write_tree

from uvgen.models.model_file import save_model
from uvgen.models.morphable import make_model
from uvgen.shards.constants import constants_bytes, write_constants


@pytest.fixture(scope="module")
def untouched(request: pytest.FixtureRequest, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    config = dataclasses.replace(SMALL, posmap_dtype=getattr(request, "param", "uint16"))
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", config)
    return folder / "shards"


@pytest.fixture
def built(untouched: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(untouched, tmp_path / "shards"))


def fix_hash(shard: Path) -> None:
    """List a shard as it is now, as somebody who tampers would."""

    def change(content: dict[str, Any]) -> None:
        entry = next(e for e in content["shards"] if e["file"] == shard.name)
        entry["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
        entry["size_bytes"] = shard.stat().st_size

    edit_index(shard.parent, change)


def change_field(shard: Path, change: Callable[[h5py.File], object]) -> None:
    """Change a shard's content and fix up its hash."""
    with h5py.File(shard, "r+") as file:
        change(file)
    fix_hash(shard)


def assert_problem(result: Any, *pattern: str) -> None:
    """Status 1, and just one problem, reported in a line that names the file, before the closing one."""
    assert result.exit_code == 1, result.exception
    lines = result.stderr.splitlines()
    assert len(lines) == 2 and "1 problem" in lines[1], result.stderr
    for part in pattern:
        assert re.search(part, lines[0]), result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("untouched", ["uint16", "float32"], indirect=True)
def test_verify_of_sound_data_set_says_so(uvgen: Any, untouched: Path, model_path: Path) -> None:
    result = uvgen("verify", untouched, "--model", model_path)
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first == f"{untouched}: 9 samples in 6 shards are sound; maps agree with their parameters"
    assert second.startswith("label NME: median 1.02%, 95% below 1.27%; worst IBUG_Flip/IBUG_001_1_0 1.29%, AFW/")
    assert "maps were not compared with their parameters (--model does)" in uvgen("verify", untouched).stdout
    result = uvgen("verify", untouched, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_verify_changes_nothing(uvgen: Any, built: Path, model_path: Path) -> None:
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in built.iterdir()}
    assert uvgen("verify", built, "--model", model_path).exit_code == 0
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in built.iterdir()} == before


def test_verify_help_explains_with_an_example(uvgen: Any) -> None:
    result = uvgen("verify", "--help")
    assert result.exit_code == 0
    assert "uvgen verify shards/ --model bfm.h5" in result.stdout and "Exit status: 0 sound (warnings" in result.stdout


# Damage


@pytest.mark.parametrize("at", [0, 0.3, 0.6, 1])
def test_verify_finds_a_flipped_bit_anywhere(uvgen: Any, built: Path, at: float) -> None:
    path = built / "IBUG-00000.h5"
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    path.write_bytes(content)
    assert_problem(uvgen("verify", built), r"IBUG-00000\.h5: its SHA-256 is not the one in the index")


def test_verify_finds_a_truncated_shard(uvgen: Any, built: Path) -> None:
    path = built / "IBUG-00000.h5"
    path.write_bytes(path.read_bytes()[:-1])
    assert_problem(uvgen("verify", built), r"IBUG-00000\.h5: \d+ bytes, expected \d+")


def test_verify_finds_a_missing_shard(uvgen: Any, built: Path) -> None:
    (built / "AFW-00001.h5").unlink()
    assert_problem(uvgen("verify", built), r"AFW-00001\.h5: missing")


def test_verify_finds_a_stray_shard(uvgen: Any, built: Path) -> None:
    shutil.copy(built / "AFW-00001.h5", built / "AFW-00002.h5")
    assert_problem(uvgen("verify", built), r"AFW-00002\.h5: not listed in dataset\.json")


def test_verify_finds_all_problems_at_once(uvgen: Any, built: Path) -> None:
    (built / "AFW-00001.h5").unlink()
    (built / "IBUG-00001.h5").write_bytes(b"text")
    (built / "stray.h5").write_bytes(b"text")
    result = uvgen("verify", built, "--quiet")
    assert result.exit_code == 1
    for name in ("AFW-00001.h5", "IBUG-00001.h5", "stray.h5", "3 problems"):
        assert name in result.stderr


def test_verify_finds_a_shard_in_anothers_place(uvgen: Any, built: Path) -> None:
    shutil.copy(built / "AFW-00000.h5", built / "IBUG-00000.h5")
    assert_problem(uvgen("verify", built), r"IBUG-00000\.h5: ")


@pytest.mark.parametrize("content", [b"text" * 20, b"\x89HDF\r\n\x1a\n" + b"\0" * 500, b"\0" * 100])
def test_verify_finds_a_file_that_is_no_hdf5(uvgen: Any, built: Path, content: bytes) -> None:
    (built / "IBUG-00000.h5").write_bytes(content)
    fix_hash(built / "IBUG-00000.h5")
    assert_problem(uvgen("verify", built), r"IBUG-00000\.h5: cannot be read")


# Tampering


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "count": lambda c: c["shards"][2].update(samples=1, names=c["shards"][2]["names"].partition("\n")[0]),
    "hash": lambda c: c["shards"][2].update(sha256="0" * 64),
    "size": lambda c: c["shards"][2].update(size_bytes=700),
    "removed": lambda c: c["shards"].pop(2),
    "added": lambda c: c["shards"].append(
        {**c["shards"][2], "file": "IBUG-00007.h5", "names": c["shards"][2]["names"].replace("IBUG", "other")}
    ),
    "twice": lambda c: c["shards"].append(dict(c["shards"][2])),
    "total": lambda c: c.update(n_samples=1000),
}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("hash", r"IBUG-00000\.h5: its SHA-256"),
        ("size", r"IBUG-00000\.h5: \d+ bytes, expected 700"),
        ("removed", r"IBUG-00000\.h5: not listed"),
        ("added", r"IBUG-00007\.h5: missing"),
    ],
)
def test_verify_finds_a_tampered_index_whose_totals_were_fixed_up(
    uvgen: Any, built: Path, kind: str, message: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        CHANGES[kind](content)
        content["n_samples"] = content["plan"]["samples"] = sum(entry["samples"] for entry in content["shards"])

    edit_index(built, change)
    assert_problem(uvgen("verify", built), message)


def test_verify_finds_a_shard_of_more_samples_than_listed(uvgen: Any, built: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        CHANGES["count"](content)
        content["n_samples"] = 8

    edit_index(built, change)
    result = uvgen("verify", built)
    assert result.exit_code == 1
    assert re.search(r"IBUG-00000\.h5: \w+ has 2 rows, dataset\.json says 1", result.stderr)
    assert "unfinished, 1 sample is missing" in result.stderr


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("count", "9 samples in all, its shards have 8"),
        ("removed", "9 samples in all, its shards have 7"),
        ("added", "11 samples and 0 skipped, more than its plan's"),
        ("twice", "a shard is listed twice"),
        ("total", "1000 samples in all, its shards have 9"),
    ],
)
def test_verify_of_an_index_that_contradicts_itself_is_refused(
    uvgen: Any, built: Path, kind: str, message: str
) -> None:
    edit_index(built, CHANGES[kind])
    result = uvgen("verify", built)
    assert result.exit_code == 1
    assert re.fullmatch(rf"uvgen: .*dataset\.json: not a data set's index \({message}\); .*\n", result.stderr)


@pytest.mark.parametrize(
    ("key", "value"), [("seed", 5), ("jitter", 0.0), ("convention", "face3d"), ("size", 64), ("model_sha256", "0" * 64)]
)
def test_verify_finds_a_configuration_that_is_not_the_shards(uvgen: Any, built: Path, key: str, value: Any) -> None:
    edit_index(built, lambda content: content["config"].update({key: value}))
    result = uvgen("verify", built)
    assert result.exit_code == 1
    assert key in result.stderr


def test_verify_unreadable_index_is_refused(uvgen: Any, built: Path) -> None:
    (built / "dataset.json").write_text("{half")
    result = uvgen("verify", built)
    assert result.exit_code == 1 and "dataset.json: not a data set's index" in result.stderr
    (built / "dataset.json").unlink()
    result = uvgen("verify", built)
    assert result.exit_code == 1 and "shards without their dataset.json, expected" in result.stderr
    assert "; build the data set again" in result.stderr


def test_verify_finds_a_dataset_that_is_gone(uvgen: Any, built: Path) -> None:
    def drop(file: h5py.File) -> None:
        del file["landmarks"]

    change_field(built / "IBUG-00000.h5", drop)
    assert_problem(uvgen("verify", built), r"IBUG-00000\.h5: no dataset landmarks")


@pytest.mark.parametrize("field", ["shape", "expression", "pose", "image_to_crop", "landmarks"])
def test_verify_finds_values_that_are_not_finite(uvgen: Any, built: Path, field: str) -> None:
    def spoil(file: h5py.File) -> None:
        values = file[field][()]
        values.flat[-1] = np.nan
        file[field][()] = values

    change_field(built / "IBUG-00000.h5", spoil)
    assert_problem(uvgen("verify", built), rf"IBUG-00000\.h5: {field} holds NaN")


def test_verify_finds_a_negative_weight(uvgen: Any, built: Path) -> None:
    constants = dict(np.load(built / "constants.npz"))
    constants["weight_mask"][3, 5] = -1
    data = constants_bytes(constants)
    write_constants(built, data)
    digest = hashlib.sha256(data).hexdigest()
    assert_problem(uvgen("verify", built), r"constants\.npz: its SHA-256 is not the one in the index")
    edit_index(built, lambda content: content.update(constants_sha256=digest))
    assert_problem(uvgen("verify", built), r"constants\.npz: .*weight_mask holds negative")
    (built / "constants.npz").unlink()
    assert_problem(uvgen("verify", built), r"constants\.npz: missing")


# Labels


def test_verify_with_another_model_is_refused(uvgen: Any, built: Path, tmp_path: Path) -> None:
    model = toy_model()
    arrays = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    other = make_model(source="toy", **arrays | {"mean": model.mean * 1.01})
    save_model(other, tmp_path / "other.h5")
    result = uvgen("verify", built, "--model", tmp_path / "other.h5")
    assert result.exit_code == 1
    assert re.fullmatch(r"uvgen: .*other\.h5: not the model of .*\n", result.stderr)


@pytest.mark.parametrize("untouched", ["uint16", "float32"], indirect=True)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_verify_finds_a_map_that_is_not_that_of_its_parameters(
    uvgen: Any, built: Path, model_path: Path, axis: int
) -> None:
    """A tenth of a pixel along one axis, with the hash fixed up: only the model can tell."""

    def shift(file: h5py.File) -> None:
        codes = file["posmap"][1]
        codes[..., axis] += np.array(0.1 / file["posmap"].attrs.get("scale_factor", 1)).astype(codes.dtype)
        file["posmap"][1] = codes

    change_field(built / "IBUG-00000.h5", shift)
    assert uvgen("verify", built).exit_code == 0
    message = r"IBUG-00000\.h5: IBUG/IBUG_001_1_0: map is off by 0\.\d+ px from its parameters"
    assert_problem(uvgen("verify", built, "--model", model_path), message)


@pytest.mark.parametrize(("field", "index", "step"), [("pose", (1, 3), 0.5), ("image_to_crop", (1, 0, 2), 0.5)])
def test_verify_finds_parameters_that_are_not_those_of_the_map(
    uvgen: Any, built: Path, model_path: Path, field: str, index: tuple[int, ...], step: float
) -> None:
    def shift(file: h5py.File) -> None:
        file[field][index] += step

    change_field(built / "IBUG-00000.h5", shift)
    result = uvgen("verify", built, "--model", model_path)
    assert result.exit_code == 1
    assert "IBUG_001_1_0: map is off" in result.stderr and "IBUG_001_1_0: landmarks are off" in result.stderr
    assert "IBUG_000_1_0" not in result.stderr


@pytest.mark.parametrize(("column", "change"), [(1, 1e-3), (3, 0.05), (6, 1e-8)])
def test_verify_finds_a_crop_pose_that_is_not_that_of_its_pose(
    uvgen: Any, built: Path, model_path: Path, column: int, change: float
) -> None:
    def turn(file: h5py.File) -> None:
        file["crop_pose"][1, column] += change

    change_field(built / "IBUG-00000.h5", turn)
    message = r"IBUG-00000\.h5: IBUG/IBUG_001_1_0: crop_pose is not that of its pose"
    assert_problem(uvgen("verify", built, "--model", model_path), message)


def test_verify_finds_landmarks_that_moved(uvgen: Any, built: Path, model_path: Path) -> None:
    def shift(file: h5py.File) -> None:
        file["landmarks"][0, 30, 1] += 0.05

    change_field(built / "IBUG-00000.h5", shift)
    message = r"IBUG-00000\.h5: IBUG/IBUG_000_1_0: landmarks are off by 0\.05"
    assert_problem(uvgen("verify", built, "--model", model_path), message)


def test_verify_of_an_index_that_was_only_written_again_says_sound(uvgen: Any, built: Path) -> None:
    edit_index(built, lambda content: None)  # as the tests above do: the damage is what they change, not the writing
    assert uvgen("verify", built).exit_code == 0


@pytest.mark.parametrize("name", ["HDF5_DRIVER", "HDF5_VOL_CONNECTOR"])
def test_command_ignores_drivers_of_hdf5_that_its_environment_names(
    untouched: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "nonsense")  # HDF5 crashes at it
    process = start("verify", untouched)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert "sound" in output + errors
