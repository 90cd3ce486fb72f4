"""Checking shards on several processes; what is checked is tested where it can be wrong."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import SMALL, edit_index, have, make, seal
from support.toy import parameters, write_sample, write_tree

from uvgen import RunOptions, verify_shards
from uvgen.datasets import shard_checks, verify
from uvgen.datasets.config import DatasetConfig
from uvgen.shards.index import Index
from uvgen.shards.shard import OpenShard


@pytest.fixture
def shards(tmp_path: Path, model_path: Path) -> Path:
    have(write_tree(tmp_path / "tree"), model_path, tmp_path / "shards")
    return tmp_path / "shards"


@pytest.mark.slow
def test_verify_on_two_processes_finds_the_same(
    shards: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("IBUG-00001.h5", "IBUG-00000.h5"):
        data = bytearray((shards / file).read_bytes())
        data[-9] ^= 1
        (shards / file).write_bytes(data)
    alone = verify_shards(shards, model=model_path)
    monkeypatch.setattr(verify, "_SAMPLES_PER_PROCESS", 1)
    seen: list[int] = []
    both = verify_shards(shards, model=model_path, run=RunOptions(2), progress=seen.append)
    assert len(alone.problems) == 2 and both.problems == alone.problems
    assert sum(seen) == both.samples


def test_verify_of_a_few_samples_starts_no_processes(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvgen.jobs.run.Workers", lambda *_: pytest.fail("a process was started"))
    assert verify_shards(shards, run=RunOptions(8)).sound


def test_a_shard_at_which_processes_die_is_a_problem(shards: Path) -> None:
    index = Index.read(shards)
    job = verify.VerifyJob(shards, index, None, False)
    (task,) = job.parts(verify.CheckTask(index.shards[0]))
    checked = job.open()(job.without(task, {0: "its process was killed (signal 9), 3 times"}))
    assert checked.found.problems == ("cannot be checked: its process was killed (signal 9), 3 times",)


def test_verify_names_a_field_that_is_stored_in_other_chunks_than_the_format_s(shards: Path) -> None:
    path = shards / "IBUG-00000.h5"
    with h5py.File(path, "r+") as file:
        old, attributes = file["posmap"][:], dict(file["posmap"].attrs)
        del file["posmap"]
        file.create_dataset("posmap", data=old).attrs.update(attributes)

    def restated(content: dict) -> None:
        (entry,) = (shard for shard in content["shards"] if shard["file"] == path.name)
        entry["size_bytes"] = path.stat().st_size
        entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()

    edit_index(shards, restated)
    result = verify_shards(shards)
    (problem,) = result.problems
    assert "posmap is not stored as one sample a chunk" in problem
    assert result.damaged == ()  # its bytes are those of the index, so that no repair would change them


@pytest.mark.parametrize("name", ["", "IBUG/a\x1b[31m", "IBUG/a\u202eb"])
def test_verify_names_a_sample_whose_name_cannot_be_printed(shards: Path, name: str) -> None:
    path = shards / "IBUG-00000.h5"
    with h5py.File(path, "r+") as file:
        names = [file["name"][0].decode(), name]
        del file["name"]
        file["name"] = np.array([text.encode() for text in names], h5py.string_dtype("utf-8", 60))
    data = path.read_bytes()

    def fit(content: dict[str, Any]) -> None:
        (entry,) = (entry for entry in content["shards"] if entry["file"] == path.name)
        entry.update(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), names="\n".join(names))

    edit_index(shards, fit)
    (problem,) = verify_shards(shards).problems
    assert "IBUG-00000.h5: a sample is called" in problem and problem.isprintable()


def test_verify_asks_whether_a_shard_is_cut_short_only_if_it_is_shorter(shards: Path) -> None:
    path = shards / "IBUG-00000.h5"
    data = path.read_bytes()
    for content, ending in ((data + b"x", f"{len(data) + 1} bytes, expected {len(data)}"), (data[:-1], "; cut short?")):
        path.write_bytes(content)
        (problem,) = verify_shards(shards).problems
        assert problem.endswith(ending)


def _skipped(name: str, shard: str) -> dict[str, Any]:
    return {"name": name, "shard": shard, "reason": "no image beside it"}


def test_verify_takes_shards_of_more_bytes_than_files_are_read_at_once(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smallest = min(path.stat().st_size for path in shards.glob("*.h5"))
    monkeypatch.setenv("UVGEN_MAX_BYTES", str(smallest - 1))
    result = verify_shards(shards)
    assert result.sound and result.damaged == ()


@pytest.mark.parametrize(
    ("skipped", "problem"),
    [
        ([_skipped("IBUG/gone", "IBUG-00000.h5")], None),
        ([_skipped("IBUG/gone", "HELEN-00000.h5")], "IBUG/gone of HELEN-00000.h5, a shard that it does not list"),
        ([_skipped("IBUG/gone", "IBUG-00000.h5")] * 2, "IBUG/gone twice"),
        ([_skipped("IBUG/IBUG_000_1_0", "IBUG-00000.h5")], "IBUG/IBUG_000_1_0, which is one of its samples"),
    ],
)
def test_verify_names_a_skipped_sample_that_cannot_be(
    shards: Path, uvgen: Any, skipped: list[dict[str, Any]], problem: str | None
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["skipped"] = skipped
        content["plan"]["samples"] += len(skipped)

    edit_index(shards, change)
    wanted = f"{shards / 'dataset.json'}: lists as skipped {problem}; make the data set again"
    assert verify_shards(shards).problems == (() if problem is None else (wanted,))
    if problem is not None:  # which no repair mends
        assert uvgen("verify", shards).stderr.endswith(f"{shards}: 1 problem; see above\n")


def test_verify_names_a_weight_mask_that_the_index_does_not_state(shards: Path) -> None:
    edit_index(shards, lambda content: content["config"].update(weight_mask_sha256="0" * 64))
    (problem,) = verify_shards(shards).problems
    assert problem.endswith("constants.npz: its weight_mask is not the one whose SHA-256 dataset.json states")


def test_verify_reads_fields_that_other_programs_added_and_all_texts(shards: Path) -> None:
    files = sorted(shards.glob("*.h5"))
    for path in files:
        with h5py.File(path, "r+") as file:
            n = len(file["name"])
            file.create_dataset("depths", data=np.ones((n, 64, 3)), chunks=(1, 64, 3), compression="gzip")
            file.create_dataset("ages", data=np.ones((n, 200)), chunks=(n, 200), compression="gzip")
    for path, field in zip(files, ("depths", "ages"), strict=False):
        with h5py.File(path) as file:
            chunk = file[field].id.get_chunk_info(0)
        data = bytearray(path.read_bytes())
        data[chunk.byte_offset + 4 : chunk.byte_offset + 8] = b"\xff" * 4
        path.write_bytes(data)
    with h5py.File(files[2], "r+") as file:
        texts = file["source"][()]
        texts[0] = b"\xff.jpg"
        file["source"][...] = texts
    seal(shards)
    found = verify_shards(shards).problems
    assert [problem.split(": ")[1].split()[0] for problem in found] == ["depths", "ages", "source"], found


def test_verify_reads_the_names_of_many_samples_with_another_pose_once(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, path = Index.read(shards), shards / "AFW-00000.h5"
    config = DatasetConfig.of_index(index, shards)
    with h5py.File(path, "r+") as file:
        file["crop_pose"][...] += 1
        n = len(file["name"])
    calls, texts = list[str](), OpenShard.texts
    monkeypatch.setattr(OpenShard, "texts", lambda shard, name: calls.append(name) or texts(shard, name))
    with OpenShard(path, n) as shard:
        found = shard_checks._check_crop_pose(shard, config)
    assert n > 1 and len(found) == n and calls == ["name"]


def test_verify_names_a_map_that_leads_where_no_image_is(tmp_path: Path, model_path: Path) -> None:
    floats = dataclasses.replace(SMALL, posmap_dtype="float32")
    have(write_tree(tmp_path / "tree", 1), model_path, tmp_path / "shards", floats)
    path = sorted((tmp_path / "shards").glob("*.h5"))[0]
    with h5py.File(path, "r+") as file:
        name = file["name"].asstr()[0]
        values = file["posmap"][0]
        values[3, 3] = 3e38
        file["posmap"][0] = values
    seal(tmp_path / "shards")
    (problem,) = verify_shards(tmp_path / "shards").problems
    assert problem == f"{path}: posmap of {name} holds 3e+38, which no image has"


@pytest.mark.parametrize("changes", [{"maps": "none"}, {"posmap_dtype": "float32"}])
def test_verify_of_a_face_that_its_crop_enlarges_thousands_of_times_allows_for_its_last_bits(
    tmp_path: Path, model_path: Path, changes: dict[str, Any]
) -> None:
    (tmp_path / "tree/AFW").mkdir(parents=True)
    for k in range(4):
        pose = parameters(k)["Pose_Para"].copy()
        pose.flat[5:7] = -73.21 - k, 4e-8
        write_sample(tmp_path / "tree/AFW", f"{k}", k, Pose_Para=pose)
    tiny = dataclasses.replace(SMALL, implausible="keep", **changes)
    assert make(tmp_path / "tree", model_path, tmp_path / "shards", tiny).samples == 4
    assert verify_shards(tmp_path / "shards", model=model_path).problems == ()
    path = tmp_path / "shards/AFW-00000.h5"
    with h5py.File(path, "r+") as file:
        file["landmarks"][0, 0, 2] += 1
    seal(tmp_path / "shards")
    (problem,) = verify_shards(tmp_path / "shards", model=model_path).problems
    assert "landmarks are off by" in problem
