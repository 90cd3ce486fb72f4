"""Builds that were broken off, are run again, or meet another one in the same folder."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image
from support import faults
from support.builds import (
    PATIENCE_S,
    SMALL,
    edit_index,
    file_hashes,
    have,
    listed_shards,
    make,
    start,
    wait_for,
)  # fmt: skip
from support.faults import faulty_environment
from support.toy import annotation, parameters, toy_model, write_sample, write_tree

from uvgen import (
    Augmentation,
    BuildConfig,
    RunOptions,
    SampleSelection,
    augment_shards,
    build_shards,
    load_model,
    open_shards,
    repair_shards,
    verify_shards,
)
from uvgen.datasets import same_samples
from uvgen.datasets.record import ShardRecord
from uvgen.errors import DatasetError, OutputError, SampleError, SettingsError
from uvgen.models.model_file import save_model
from uvgen.models.morphable import make_model
from uvgen.samples.find import find_samples
from uvgen.samples.read import read_annotation
from uvgen.shards.index import Index
from uvgen.storage import files
from uvgen.storage.files import temporary_name
from uvgen.storage.journal import Journal

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and file locks of POSIX systems")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> dict[str, str]:
    """Hashes of what one uninterrupted run makes of the toy tree."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    make(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return file_hashes(folder / "shards")


def arguments(tree: Path, model_path: Path, out: Path, *more: object) -> tuple[object, ...]:
    """What `builds.make` does, as a command line."""
    return ("build", "--data", tree, "--model", model_path, "--out", out, "--size", SMALL.size,
            "--uv-size", SMALL.uv_size, "--shard-size", SMALL.shard_size, *more)  # fmt: skip


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.h5")}


@pytest.mark.slow
@pytest.mark.vital
def test_build_killed_and_run_again_writes_the_same_bytes(model_path: Path, tmp_path: Path) -> None:
    """Reading an image, which the survey passes over, stops the first run within the third shard; it is killed."""
    tree = write_tree(tmp_path / "data", 9)
    make(tree, model_path, tmp_path / "whole")
    expected = file_hashes(tmp_path / "whole")
    out, environment = tmp_path / "out", faulty_environment(tmp_path / "faults", AFW_004_1_0="wait")
    process = faults.start(*arguments(tree, model_path, out, "--workers", 1), environment=environment)
    wait_for(lambda: len(listed_shards(out)) == 2 and any(out.glob(".*AFW-00002.h5")), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    finished = listed_shards(out)
    assert finished == ["AFW-00000.h5", "AFW-00001.h5"]
    before = times(out)

    result = make(tree, model_path, out, run=RunOptions(2))
    assert file_hashes(out) == expected  # and with it: no leftover of the killed run
    assert (result.samples, result.new_samples) == (27, 23)
    after = times(out)
    assert [after[name] for name in finished] == [before[name] for name in finished]


@pytest.mark.parametrize(
    ("workers", "whom"),  # one worker is the parent itself
    [(1, "group"), (2, "group"), pytest.param(2, "parent alone", marks=pytest.mark.long)],  # and SIGTERM in CI
)
@pytest.mark.slow
def test_build_interrupted_exits_130_and_keeps_finished_shards(
    model_path: Path, tmp_path: Path, workers: int, whom: str
) -> None:
    tree, out = tmp_path / "data", tmp_path / "out"
    write_sample(tree / "AFW", "AFW")
    for k in range(1000):  # more than any machine finishes before the signal arrives
        for suffix in (".jpg", ".mat"):
            (tree / f"AFW/AFW_{k:04d}{suffix}").symlink_to(tree / f"AFW/AFW{suffix}")
    options = ("build", "--data", tree, "--model", model_path, "--out", out, "--size", 32, "--shard-size", 1)
    process = start(*options, "--workers", workers, "--quiet")
    wait_for(lambda: listed_shards(out), process)
    (os.killpg if whom == "group" else os.kill)(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("uvgen: interrupted; what is finished is kept")
    assert "Traceback" not in errors
    kept = listed_shards(out)
    assert 0 < len(kept) < 1001
    *stray, unfinished = sorted(verify_shards(out).problems, key=lambda problem: "unfinished" in problem)
    assert f"out: unfinished, {1001 - len(kept)} samples are missing; run what made it again" in unfinished
    # shards of killed workers may lie there, half written or not listed yet
    assert all(problem.endswith("not listed in dataset.json") for problem in stray)
    assert set(kept) <= {path.name for path in out.glob("*.h5")}


def test_build_run_again_changes_nothing(
    tree: Path, model_path: Path, tmp_path: Path, expected: dict[str, str]
) -> None:
    out = tmp_path / "out"
    have(tree, model_path, out)
    before = times(out)
    result = make(tree, model_path, out, run=RunOptions(2))
    assert (result.samples, result.new_samples) == (9, 0)
    assert times(out) == before
    assert file_hashes(out) == expected


@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_build_run_again_makes_damaged_shards_alone(
    tree: Path, model_path: Path, tmp_path: Path, expected: dict[str, str], damage: str
) -> None:
    out = tmp_path / "out"
    have(tree, model_path, out)
    before = times(out)
    bad = out / "IBUG-00000.h5"
    if damage == "missing":
        bad.unlink()
    else:
        os.truncate(bad, 1000)
    result = make(tree, model_path, out)
    assert (result.samples, result.new_samples) == (9, 2)
    assert file_hashes(out) == expected
    assert {name for name, at in times(out).items() if at != before[name]} == {bad.name}


def test_build_run_again_reports_the_samples_skipped_before(tree: Path, model_path: Path, tmp_path: Path) -> None:
    (tree / "AFW/AFW_000_1_0.mat").unlink()
    first = make(tree, model_path, tmp_path / "out")
    again = make(tree, model_path, tmp_path / "out")
    assert [skip.name for skip in first.skipped] == ["AFW/AFW_000_1_0"]
    assert again.skipped == first.skipped and again.samples == first.samples == 8


def test_build_removes_leftovers_of_killed_runs_and_nothing_else(tree: Path, model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / temporary_name("IBUG-00000.h5")).write_bytes(b"half a shard")
    (out / temporary_name("dataset.json")).write_bytes(b"half an index")
    mine = {"notes.txt", ".hidden", ".uvgen-notes", ".uvgen-12345-notes", ".uvgen-tmp-notes"}
    for name in mine:
        (out / name).write_text("mine")
    make(tree, model_path, out)
    assert {name for name in file_hashes(out) if not name.endswith(".h5")} == {
        "constants.npz", "dataset.json", *mine
    }  # fmt: skip


def test_build_of_a_flat_folder_that_was_renamed_leaves_no_shard_of_the_old_name(
    model_path: Path, tmp_path: Path
) -> None:
    for number in range(2):
        write_sample(tmp_path / "old name", f"face_{number}", number)
    out = tmp_path / "shards"
    make(tmp_path / "old name", model_path, out)
    assert (out / "old name-00000.h5").exists()
    (tmp_path / "old name").rename(tmp_path / "new name")
    (out / "mine.h5").write_bytes(b"not a shard")
    result = make(tmp_path / "new name", model_path, out)
    assert result.samples == 2
    assert sorted(path.name for path in out.glob("*.h5")) == ["mine.h5", "new name-00000.h5"]
    (out / "mine.h5").unlink()
    assert verify_shards(out).problems == ()


def test_build_of_a_renamed_folder_names_old_shards_that_nothing_replaces(model_path: Path, tmp_path: Path) -> None:
    """Of other content, since a sample was mended meanwhile; they might be of another folder."""
    for number in range(2):
        write_sample(tmp_path / "old", f"face_{number}", number)
    image = (tmp_path / "old/face_0.jpg").read_bytes()
    (tmp_path / "old/face_0.jpg").write_bytes(b"damaged")
    out = tmp_path / "shards"
    make(tmp_path / "old", model_path, out)
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "new/face_0.jpg").write_bytes(image)
    said = [text for text in make(tmp_path / "new", model_path, out).warnings if "old-00000.h5" in text]
    assert len(said) == 1 and "a shard of an earlier run" in said[0] and "delete it" in said[0]
    assert sorted(path.name for path in out.glob("*.h5")) == ["new-00000.h5", "old-00000.h5"]


def test_build_of_a_renamed_folder_that_is_interrupted_leaves_no_shard_of_the_old_name(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        write_sample(tmp_path / "old", f"face_{number}", number)
    out = tmp_path / "shards"
    make(tmp_path / "old", model_path, out)
    (tmp_path / "old").rename(tmp_path / "new")

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    for progress in (stop, stop, None):  # after one shard, after another, and when all are made
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            if progress is None:
                patch.setattr(ShardRecord, "finish", stop)
            make(tmp_path / "new", model_path, out, progress=progress)
        assert len([*out.glob("old-*.h5")]) == 3
    make(tmp_path / "new", model_path, out)
    make(tmp_path / "new", model_path, tmp_path / "undisturbed")
    assert file_hashes(out) == file_hashes(tmp_path / "undisturbed")


@pytest.mark.parametrize("name", ["../mine.h5", ".mine.h5", "mine.txt", 3, ""])
def test_index_with_outdated_files_that_are_no_shards_is_refused(
    built: tuple[Path, Path], model_path: Path, tmp_path: Path, name: Any
) -> None:
    out = Path(shutil.copytree(built[1], tmp_path / "out"))
    digest = next(entry["sha256"] for entry in json.loads((out / "dataset.json").read_text())["shards"])
    outdated = [name] if name == 3 else {name: digest}
    edit_index(out, lambda content: content.update(outdated=outdated))
    with pytest.raises(SettingsError, match=r"not a data set's index .*outdated"):
        make(built[0], model_path, out)


def test_build_of_another_folder_is_refused_where_few_shards_are_left(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of shards that were deleted are not the ones to compare."""
    monkeypatch.setattr("uvgen.datasets.same_samples._N_COMPARED", 1)
    for number in range(6):
        write_sample(tmp_path / "one", f"frame_{number}", number)
        write_sample(tmp_path / "two", f"frame_{number}", number + 9)
    make(tmp_path / "one", model_path, tmp_path / "out")
    for path in sorted((tmp_path / "out").glob("*.h5"))[:-1]:
        path.unlink()
    with pytest.raises(SettingsError, match=r"holds frame_4 with other values of shape than .*frame_4\.mat: it is"):
        make(tmp_path / "two", model_path, tmp_path / "out")
    assert make(tmp_path / "one", model_path, tmp_path / "out").new_samples == 4


@pytest.mark.parametrize("other", ["two", "elsewhere/one"])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"augmentation": Augmentation(), "copies": 2}, {"augmentation": Augmentation(unseen="mark")},
        {"targets": ("depth", "uv")},  # in another order than is stored
    ],
)  # fmt: skip
def test_build_of_another_folder_whose_samples_are_called_alike_is_refused(
    model_path: Path, tmp_path: Path, other: str, options: dict[str, Any]
) -> None:
    """A finished set would be taken for that of the other folder, or its index be replaced."""
    for folder, first in (("one", 0), (other, 7)):
        for number in range(2):
            write_sample(tmp_path / folder, f"frame_{number}", first + number)
    out, config = tmp_path / "shards", dataclasses.replace(SMALL, **options)
    make(tmp_path / "one", model_path, out, config)
    before = file_hashes(out)
    with pytest.raises(SettingsError, match=r"holds frame_0 with other values of shape than .*frame_0\.mat: it is"):
        make(tmp_path / other, model_path, out, config)
    assert file_hashes(out) == before
    assert make(tmp_path / "one", model_path, out, config).new_samples == 0
    assert build_shards(
        tmp_path / other, out, model=model_path, config=config, overwrite=True
    ).new_samples == 2 * config.copies  # fmt: skip


def test_build_of_samples_that_were_fitted_again_is_refused(tree: Path, model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    have(tree, model_path, out)
    for k, path in enumerate(sorted(tree.rglob("*.mat"))):
        write_sample(path.parent, path.stem, k + 50)
    with pytest.raises(SettingsError, match="or was changed since; choose another output folder, or overwrite"):
        make(tree, model_path, out)


def test_build_of_a_renamed_folder_where_both_names_are_one_file_keeps_it(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        write_sample(tmp_path / "faces", f"face_{number}", number)
    out = tmp_path / "shards"
    make(tmp_path / "faces", model_path, out)
    finish, old, new = ShardRecord.finish, out / "faces-00000.h5", out / "Faces-00000.h5"

    def finish_ignoring_case(record: ShardRecord) -> None:
        old.unlink()
        os.link(new, old)
        finish(record)

    monkeypatch.setattr(ShardRecord, "finish", finish_ignoring_case)
    (tmp_path / "faces").rename(tmp_path / "Faces")
    make(tmp_path / "Faces", model_path, out)
    assert old.exists()  # where case is ignored, the new one would be gone with it


# Another configuration


CHANGES = {
    "size": 16, "uv_size": 16, "shard_size": 3, "seed": 1, "jitter": 0.0, "posmap_dtype": "float32",
    "compression": "gzip", "convention": "face3d", "maps": "none", "image_codec": "jpeg", "jpeg_quality": 80,
    "keep": ("tex",), "max_nme": 0.5, "implausible": "keep", "exif": "apply",
    "filter": "bilinear", "decode": "full",
}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("built")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "300W_LP", folder / "shards"


@pytest.mark.parametrize("key", CHANGES)
def test_build_with_other_configuration_is_refused_with_the_difference(
    built: tuple[Path, Path], model_path: Path, key: str
) -> None:
    tree, out = built
    before = file_hashes(out)
    old, new = (
        re.escape(str(list(value) if key == "keep" else value)) for value in (getattr(SMALL, key), CHANGES[key])
    )
    with pytest.raises(DatasetError, match=rf"{out}: .*{key} = {old}, now it is {new}; .* overwrite"):
        make(tree, model_path, out, dataclasses.replace(SMALL, **{key: CHANGES[key]}))
    assert file_hashes(out) == before


def test_build_with_every_configuration_field_compared() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(SMALL)} - {
        "augmentation", "copies", "maps_from", "maps_scale", "maps_offset", "targets", "meshes"  # of their own jobs
    }  # fmt: skip


def test_build_with_other_model_or_weights_is_refused(
    built: tuple[Path, Path], model_path: Path, tmp_path: Path
) -> None:
    tree, out = built
    model = toy_model()
    arrays = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    other = make_model(source="toy", **arrays | {"mean": model.mean * 1.01})
    save_model(other, tmp_path / "other.h5")
    with pytest.raises(DatasetError, match="model"):
        make(tree, tmp_path / "other.h5", out)
    with pytest.raises(DatasetError, match="weight"):
        make(tree, model_path, out, weights=np.ones((SMALL.uv_size, SMALL.uv_size), np.float32))


@pytest.mark.parametrize("change", ["fewer", "another name"])
def test_build_with_other_samples_is_refused(built: tuple[Path, Path], model_path: Path, change: str) -> None:
    tree, out = built
    samples = find_samples(tree)
    if change == "fewer":
        samples, message = samples[:-1], "made with 9 samples, now they are 8"
    else:
        samples[-1] = dataclasses.replace(samples[-1], name="IBUG_Flip/somebody else")
        message = "other samples of the same number"
    before = file_hashes(out)
    with pytest.raises(DatasetError, match=message):
        build_shards(samples, out, model=load_model(model_path), config=SMALL, root=tree)
    assert file_hashes(out) == before


@pytest.mark.parametrize("index", ["sound", "damaged", "missing"])
def test_build_overwrite_starts_anew(tree: Path, model_path: Path, tmp_path: Path, index: str) -> None:
    """Whatever state the folder is in: afterwards it is as if it had been empty, but for the user's own files."""
    out, config = tmp_path / "out", dataclasses.replace(SMALL, shard_size=100, seed=1)
    have(tree, model_path, out)
    if index == "damaged":
        (out / "dataset.json").write_text("{half")
        with pytest.raises(DatasetError, match=r"dataset\.json"):
            make(tree, model_path, out, config)
    elif index == "missing":
        (out / "dataset.json").unlink()
    shutil.copy(model_path, out / "bfm.h5")
    make(tree, model_path, out, config, overwrite=True)
    (out / "bfm.h5").unlink()  # it is no shard: it must still be there
    make(tree, model_path, tmp_path / "new", config)
    assert file_hashes(out) == file_hashes(tmp_path / "new")


@pytest.mark.parametrize(("problem", "refused"), [("EROFS", True), ("ENOSPC", False)])
def test_build_overwrite_on_a_disk_that_is_only_read_is_refused_before_any_work(
    tree: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str, refused: bool
) -> None:
    """A full disk has room once the old shards are deleted."""
    out = tmp_path / "out"
    have(tree, model_path, out)
    before = file_hashes(out)
    monkeypatch.setattr(files, "_refusal", lambda folder: getattr(errno, problem))
    if refused:
        monkeypatch.setattr(ShardRecord, "resume", None)
        with pytest.raises(OutputError, match=r"out: cannot be written \(Read-only file system\); choose"):
            make(tree, model_path, out, overwrite=True)
    else:
        make(tree, model_path, out, overwrite=True)
    assert file_hashes(out) == before


def test_index_is_not_written_to_where_a_link_leads_that_took_the_folder_s_place(
    tree: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it did so while the journal was flushed, after the run looked whether its folder is there."""
    (tmp_path / "others").mkdir()
    (tmp_path / "others/dataset.json").write_text("theirs")
    append, out = Journal.append, tmp_path / "out"

    def append_and_replace(self: Journal, value: Any) -> None:
        append(self, value)
        out.rename(tmp_path / "away")
        out.symlink_to(tmp_path / "others")

    monkeypatch.setattr(Journal, "append", append_and_replace)
    with pytest.raises(DatasetError, match="out: was deleted, moved or replaced while it was written"):
        make(tree, model_path, out)
    assert file_hashes(tmp_path / "others") == {"dataset.json": hashlib.sha256(b"theirs").hexdigest()}


def test_build_overwrite_deletes_nothing_outside_the_folder(tree: Path, model_path: Path, tmp_path: Path) -> None:
    have(tree, model_path, tmp_path / "out")
    (tmp_path / "mine.h5").write_text("mine")
    edit_index(tmp_path / "out", lambda content: content["shards"][0].update(file="../mine.h5"))
    with contextlib.suppress(DatasetError):
        make(tree, model_path, tmp_path / "out", overwrite=True)
    assert (tmp_path / "mine.h5").exists()


# Journals and indexes of strangers


def journal_line(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode() + b"\n"
    return hashlib.sha256(text).hexdigest()[:16].encode() + b" " + text


ENTRY = {"file": "AFW-00000.h5", "samples": 0, "size_bytes": 0, "sha256": None}
SKIP = {"name": "AFW/a", "shard": "AFW-00000.h5", "reason": "bad"}
JOURNALS: dict[str, list[Any]] = {
    "a list": [[]],
    "no JSON": [b"x\n"],
    "no fields": [{"entry": {}, "skipped": []}],
    "another folder's file": [{"entry": {**ENTRY, "file": "../x.h5", "samples": 1, "sha256": "0"}, "skipped": []}],
    "a file that is not planned": [{"entry": {**ENTRY, "file": "X-00000.h5"}, "skipped": []}],
    "no samples, for no reason": [{"entry": ENTRY, "skipped": []}],
    "a reason that is no text": [{"entry": ENTRY, "skipped": [{**SKIP, "reason": 5}, {**SKIP, "name": "AFW/b"}]}],
    "samples of other names": [{"entry": ENTRY, "skipped": [SKIP, {**SKIP, "name": "AFW/nobody"}]}],
    "one sample twice": [{"entry": ENTRY, "skipped": [SKIP, SKIP]}],
    "half a surrogate pair": [{"entry": ENTRY, "skipped": [{**SKIP, "name": "\ud800"}, SKIP]}],
    "a count that is text": [{"entry": {**ENTRY, "samples": "0"}, "skipped": []}],
    "more samples than planned": [{"entry": ENTRY, "skipped": [{**SKIP, "name": str(k)} for k in range(99)]}],
}


@pytest.mark.parametrize("kind", JOURNALS)
def test_build_beside_a_journal_that_uvgen_did_not_write_ignores_it(
    built: tuple[Path, Path], model_path: Path, tmp_path: Path, kind: str
) -> None:
    tree, out = built[0], Path(shutil.copytree(built[1], tmp_path / "out"))
    expected, index = file_hashes(out), json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    edit_index(out, lambda content: content.update(shards=[], n_samples=0))
    about = [index["uvgen"], index["config"], index["plan"]]
    (out / ".uvgen-journal").write_bytes(b"".join(map(journal_line, [about, *JOURNALS[kind]])))
    have(tree, model_path, out)
    assert file_hashes(out) == expected


def test_build_where_the_index_says_that_samples_are_missing_makes_their_shards(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    have(tree, model_path, out)
    expected = file_hashes(out)

    def change(content: dict[str, Any]) -> None:
        for entry in content["shards"]:
            entry.update(samples=0, size_bytes=0, sha256=None)
            entry.pop("names", None)
        content["shards"].append({**ENTRY, "file": "X-00000.h5"})
        content["n_samples"] = 0

    edit_index(out, change)
    make(tree, model_path, out)
    assert file_hashes(out) == expected


def test_build_run_again_does_not_replace_a_file_that_no_run_made(tree: Path, model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    have(tree, model_path, out)
    expected = file_hashes(out)

    def change(content: dict[str, Any]) -> None:
        (entry,) = [entry for entry in content["shards"] if entry["file"] == "IBUG-00001.h5"]
        content["shards"].remove(entry)
        content["n_samples"] -= entry["samples"]

    edit_index(out, change)
    (out / "IBUG-00001.h5").write_text("mine")
    with pytest.raises(OutputError, match=r"IBUG-00001.h5: is not a shard of uvgen, but the name of"):
        make(tree, model_path, out)
    assert (out / "IBUG-00001.h5").read_text() == "mine"
    (out / "IBUG-00001.h5").unlink()
    make(tree, model_path, out)
    assert file_hashes(out) == expected


# Two at once


@pytest.mark.slow
def test_build_in_a_folder_in_use_is_refused(model_path: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "data", 9)
    out, name = tmp_path / "out", "AFW_002_1_0"  # which the survey passes over
    environment = faulty_environment(tmp_path / "faults", **{name: "wait"})
    process = faults.start(*arguments(tree, model_path, out, "--workers", 1), environment=environment)
    try:
        wait_for(lambda: listed_shards(out), process)
        leftover = out / temporary_name("AFW-00001.h5")
        leftover.write_bytes(b"of the process at work, for all the second one knows")
        for overwrite in (False, True):
            with pytest.raises(DatasetError, match=rf"{out}: another uvgen is writing into it; wait"):
                make(tree, model_path, out, overwrite=overwrite)
        assert leftover.exists()
        (tmp_path / "faults/orders" / name).unlink()  # the first run goes on
        output, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "27 samples" in output
    assert len(open_shards(out)) == 27


@pytest.mark.parametrize(("first", "second"), [("jpg", "png"), ("mat", "MAT")])
def test_build_run_again_takes_a_sample_whose_second_file_was_removed(
    model_path: Path, tmp_path: Path, first: str, second: str
) -> None:
    """Whichever of the two: the one that is left was the sample's before, or was not."""
    tree = write_tree(tmp_path / "tree", 2)
    for k, left in enumerate((first, second)):
        sample = tree / "AFW/AFW_000_1_0"
        shutil.copy(sample.with_suffix(f".{first}"), sample.with_suffix(f".{second}"))
        out = tmp_path / f"out{k}"
        (skip,) = make(tree, model_path, out).skipped
        assert skip.name == "AFW/AFW_000_1_0" and "has the same name" in skip.reason
        assert make(tree, model_path, out).new_samples == 0
        removed = sample.with_suffix(f".{second if left == first else first}")
        kept = removed.read_bytes()
        removed.unlink()
        result = make(tree, model_path, out)
        assert (result.samples, result.new_samples, result.skipped) == (6, 2, ())
        removed.write_bytes(kept)
        sample.with_suffix(f".{second}").unlink()


def _one_of_three_dimensions(folder: Path) -> BuildConfig:
    for k in range(3):
        write_sample(folder, f"a{k}", k)
    points = annotation(parameters(3))
    write_sample(folder, "z", 3, pt3d_68=np.concatenate([points, np.zeros((1, 68))]))
    return SMALL


def _as_many_of_each_length(folder: Path) -> BuildConfig:
    for k in range(6):
        name = "z" if k == 5 else f"a{k}"
        write_sample(folder, name, k, Tex_Para=np.linspace(-1, 1, 6 if k < 3 else 8)[:, None])
    return dataclasses.replace(SMALL, keep=("tex",))


def _half_of_another_model(folder: Path) -> BuildConfig:
    for k in range(6):
        shape = parameters(k)["Shape_Para"] * (40 if k % 2 else 1)
        write_sample(folder, "z" if k == 5 else f"a{k}", k, Shape_Para=shape)
    return SMALL


def _versions_with_one_annotation(folder: Path) -> BuildConfig:
    points = annotation(parameters(0, yaw=-1.2))
    for k in range(4):
        pose = parameters(0, yaw=-1.2 + 0.3 * k)["Pose_Para"]
        write_sample(folder, f"z_1_{k}", 0, Pose_Para=pose, pt2d=points)
    return dataclasses.replace(SMALL, max_nme=0.08)


@pytest.mark.parametrize(
    "write",
    [_one_of_three_dimensions, _as_many_of_each_length, _half_of_another_model, _versions_with_one_annotation],
)
def test_build_run_again_after_a_sample_was_repaired_that_says_something_of_all_is_as_one_of_the_repaired(
    write: Callable[[Path], BuildConfig], model_path: Path, tmp_path: Path
) -> None:
    """What the first samples that are read say decides how every shard is made."""
    tree, out, whole = tmp_path / "tree", tmp_path / "out", tmp_path / "whole"
    config = write(tree / "A")
    last = max((tree / "A").glob("*.mat"))
    kept = last.read_bytes()
    last.write_bytes(b"damaged")
    assert make(tree, model_path, out, config).skipped
    last.write_bytes(kept)
    for file in list(json.loads((out / "dataset.json").read_text())["shards"])[:1]:
        before = file_hashes(out)
        (out / file["file"]).unlink(missing_ok=True)
        repair_shards(out, data=tree, model=model_path)
        assert file_hashes(out) == before  # without the sample, as the others were made
    make(tree, model_path, out, config)
    make(tree, model_path, whole, config)
    assert file_hashes(out) == file_hashes(whole)


@pytest.mark.parametrize("write", [_one_of_three_dimensions, _half_of_another_model])
def test_build_that_stopped_at_such_a_sample_goes_on_when_it_is_repaired(
    write: Callable[[Path], BuildConfig], model_path: Path, tmp_path: Path
) -> None:
    """No shard says that the sample was damaged: the run ended before."""
    tree, out, whole = tmp_path / "tree", tmp_path / "out", tmp_path / "whole"
    config = dataclasses.replace(write(tree / "A"), shard_size=1)
    last = max((tree / "A").glob("*.mat"))
    kept = last.read_bytes()
    last.write_bytes(b"damaged")
    with pytest.raises(SampleError):
        make(tree, model_path, out, config, on_error="fail")
    last.write_bytes(kept)
    make(tree, model_path, out, config)
    make(tree, model_path, whole, config)
    assert file_hashes(out) == file_hashes(whole)


@pytest.mark.parametrize("write", [_one_of_three_dimensions, _half_of_another_model, _versions_with_one_annotation])
def test_build_that_stopped_goes_on_if_a_sample_that_says_something_of_all_is_damaged(
    write: Callable[[Path], BuildConfig], model_path: Path, tmp_path: Path
) -> None:
    """As where a network's disk answers once that it cannot be read; another one was damaged from the beginning."""
    tree, out, whole = tmp_path / "tree", tmp_path / "out", tmp_path / "whole"
    config = dataclasses.replace(write(tree / "A"), shard_size=1)
    write_sample(tree / "A", "zz", 9)
    files = {name: tree / "A" / f"{name}.mat" for name in ("z", "zz") if (tree / "A" / f"{name}.mat").exists()}
    last = files.get("z", tree / "A/z_1_3.mat")
    sound = {path: path.read_bytes() for path in (last, files["zz"])}
    files["zz"].write_bytes(b"damaged")
    with pytest.raises(SampleError):
        make(tree, model_path, out, config, on_error="fail")
    made = listed_shards(out)
    last.write_bytes(b"damaged")
    result = make(tree, model_path, out, config)
    assert result.new_samples == result.samples - len(made) and len(made) > 1
    assert make(tree, model_path, out, config).new_samples == 0
    for path, content in sound.items():  # the first one said what holds for all
        path.write_bytes(content)
        make(tree, model_path, out, config)
    make(tree, model_path, whole, config)
    assert file_hashes(out) == file_hashes(whole)


def test_build_run_again_after_a_sample_was_damaged_that_says_something_of_all_does_nothing(
    model_path: Path, tmp_path: Path
) -> None:
    tree, out = tmp_path / "tree", tmp_path / "out"
    config = _one_of_three_dimensions(tree / "A")
    make(tree, model_path, out, config)
    before = file_hashes(out)
    (tree / "A/z.mat").write_bytes(b"damaged")
    assert make(tree, model_path, out, config).new_samples == 0 and file_hashes(out) == before


def test_build_run_again_after_a_sample_was_changed_that_says_something_of_all_is_refused(
    model_path: Path, tmp_path: Path
) -> None:
    tree, out = tmp_path / "tree", tmp_path / "out"
    config = _one_of_three_dimensions(tree / "A")
    make(tree, model_path, out, config)
    write_sample(tree / "A", "z", 3)
    with pytest.raises(SettingsError, match="annotated landmarks of 3 coordinates, now they have 2: other files, or"):
        make(tree, model_path, out, config)


def test_build_overwrite_takes_the_place_of_a_shard_that_was_cut_short(
    tree: Path, model_path: Path, tmp_path: Path, expected: dict[str, str]
) -> None:
    out = tmp_path / "shards"
    make(tree, model_path, out)
    shard = out / listed_shards(out)[1]
    shard.write_bytes(shard.read_bytes()[:-7])
    make(tree, model_path, out, overwrite=True)
    assert file_hashes(out) == expected


def test_build_overwrite_refuses_another_program_s_file_before_it_deletes_anything(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    make(tree, model_path, out)
    (out / listed_shards(out)[1]).write_bytes(b"notes")
    before = file_hashes(out)
    with pytest.raises(OutputError, match="is not a shard of uvgen, but the name of one to write"):
        make(tree, model_path, out, overwrite=True)
    assert file_hashes(out) == before


def two_faces(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A list of three images, the second with two faces, as rows."""
    rows = []
    for number in range(3):
        write_sample(tmp_path / "list/AFW", f"face_{number}", number)
        path = tmp_path / f"list/AFW/face_{number}.mat"
        said = scipy.io.loadmat(path)
        rows.append(
            {
                "image": f"AFW/face_{number}.jpg",
                "pose": said["Pose_Para"].ravel().tolist(),
                "shape": said["Shape_Para"].ravel().tolist(),
                "expression": said["Exp_Para"].ravel().tolist(),
            }
        )
        path.unlink()
    rows.insert(2, {**rows[1], "shape": rows[0]["shape"]})  # somebody else beside the same face
    (tmp_path / "list/list.json").write_text(json.dumps(rows))
    return tmp_path / "list/list.json", rows


@pytest.mark.parametrize("of", ["an image", "images of one name", "versions of an image"])
def test_build_of_a_list_whose_faces_of_one_name_have_changed_places_is_refused(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    """Their names say which row comes first; a finished shard has one of them."""
    monkeypatch.setattr("uvgen.datasets.same_samples._N_COMPARED", 1)  # of larger sets, few are compared
    path, rows = two_faces(tmp_path)
    if of != "an image":
        rows[2]["image"] = "AFW/face_1.png"
        Image.open(path.parent / "AFW/face_1.jpg").save(path.parent / "AFW/face_1.png")
        rows[2]["shape"] = rows[1]["shape"] if of == "versions of an image" else rows[2]["shape"]
        path.write_text(json.dumps(rows))
    make(path, model_path, tmp_path / "out")
    (tmp_path / "out/AFW-00001.h5").unlink()
    rows[1], rows[2] = rows[2], rows[1]
    path.write_text(json.dumps(rows))
    what = "source" if of == "versions of an image" else "shape"
    with pytest.raises(SettingsError, match=rf"holds AFW/face_1 with other values of {what} than .*list\.json, row 2"):
        make(path, model_path, tmp_path / "out")


def test_build_of_a_part_of_a_list_whose_faces_of_one_name_have_changed_places_is_refused(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvgen.datasets.same_samples._N_COMPARED", 1)
    path, rows = two_faces(tmp_path)

    def part() -> Any:
        samples = [sample for sample in find_samples(path) if sample.name != "AFW/face_1_face2"]
        return build_shards(samples, tmp_path / "out", model=model_path, config=SMALL, root=path.parent)

    assert part().samples == 3
    rows[1], rows[2] = rows[2], rows[1]
    path.write_text(json.dumps(rows))
    with pytest.raises(SettingsError, match=r"holds AFW/face_1 with other values of shape"):
        part()


def test_a_further_face_in_a_folder_that_was_fitted_again_is_no_other_set(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file says which it is, not its place in a list."""
    monkeypatch.setattr("uvgen.datasets.same_samples._N_COMPARED", 1)
    for number, name in enumerate(("a", "b", "b_face2")):
        write_sample(tmp_path / "data", name, number)
    make(tmp_path / "data", model_path, tmp_path / "out")
    write_sample(tmp_path / "data", "b_face2", 7)
    assert make(tmp_path / "data", model_path, tmp_path / "out").new_samples == 0


@pytest.mark.parametrize("name", ["face_1", "crop_face1"])
def test_build_of_a_list_whose_row_of_a_name_cannot_be_read_any_more_is_refused(
    model_path: Path, tmp_path: Path, name: str
) -> None:
    """Of two rows of one name, the sound one may have been the second, and be the first now."""
    path, rows = two_faces(tmp_path)
    (path.parent / "AFW/face_1.jpg").rename(path.parent / f"AFW/{name}.jpg")
    rows = [{**row, "image": row["image"].replace("face_1", name)} for row in rows]
    good = rows[1]
    rows[1] = {**good, "pose": good["pose"][:3]}
    path.write_text(json.dumps(rows))
    result = make(path, model_path, tmp_path / "out")
    assert [skip.name for skip in result.skipped] == [f"AFW/{name}"]
    before = file_hashes(tmp_path / "out")
    assert make(path, model_path, tmp_path / "out").new_samples == 0
    rows[1], rows[2] = rows[2], rows[1]
    path.write_text(json.dumps(rows))
    with pytest.raises(SettingsError, match=rf"holds AFW/{name}_face2 with the values of another row of .*row 3: pose"):
        make(path, model_path, tmp_path / "out")
    assert file_hashes(tmp_path / "out") == before


def test_a_row_of_a_name_that_cannot_be_read_any_more_stops_no_run_while_the_others_keep_their_places(
    model_path: Path, tmp_path: Path
) -> None:
    path, rows = two_faces(tmp_path)
    make(path, model_path, tmp_path / "out")
    before = file_hashes(tmp_path / "out")
    path.write_text(json.dumps([*rows[:2], {**rows[2], "pose": []}, *rows[3:]]))
    assert make(path, model_path, tmp_path / "out").new_samples == 0
    assert file_hashes(tmp_path / "out") == before


def test_build_of_a_list_whose_row_of_a_name_cannot_be_read_and_whose_other_is_left_out_is_refused(
    model_path: Path, tmp_path: Path
) -> None:
    path, rows = two_faces(tmp_path)
    bad = {**rows[2], "pose": []}
    left_out = SampleSelection(exclude=["AFW/face_1_face2"])
    path.write_text(json.dumps([*rows[:2], bad, *rows[3:]]))
    make(path, model_path, tmp_path / "out", select=left_out)
    path.write_text(json.dumps([rows[0], bad, rows[1], *rows[3:]]))
    with pytest.raises(SettingsError, match=r"holds AFW/face_1 with the values of another row of its name"):
        make(path, model_path, tmp_path / "out", select=left_out)
    some = [sample for sample in find_samples(path) if sample.name != "AFW/face_1_face2"]
    with pytest.raises(SettingsError, match=r"holds AFW/face_1 with the values of another row of its name"):
        build_shards(some, tmp_path / "out", model=model_path, config=SMALL, root=path.parent)


def test_a_row_that_is_there_twice_stops_no_run_when_one_cannot_be_read(model_path: Path, tmp_path: Path) -> None:
    path, rows = two_faces(tmp_path)
    rows[2] = rows[1]
    path.write_text(json.dumps(rows))
    make(path, model_path, tmp_path / "out")
    path.write_text(json.dumps([*rows[:2], {**rows[2], "pose": []}, *rows[3:]]))
    assert make(path, model_path, tmp_path / "out").new_samples == 0


def test_rows_of_one_name_are_read_a_few_times_where_many_cannot_be(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rows = two_faces(tmp_path)
    rows = [{**rows[1], "shape": (np.array(rows[1]["shape"]) + k).tolist()} for k in range(20)]
    path.write_text(json.dumps(rows))
    make(path, model_path, tmp_path / "out")
    path.write_text(json.dumps([{**row, "pose": []} if k % 2 else row for k, row in enumerate(rows)]))
    read = []
    monkeypatch.setattr(same_samples, "read_annotation", lambda one: read.append(one) or read_annotation(one))
    make(path, model_path, tmp_path / "out")
    assert 20 <= len(read) <= 40


def test_a_version_of_an_image_that_is_gone_stops_no_run(model_path: Path, tmp_path: Path) -> None:
    """The other has the same parameters, but is another image."""
    path, rows = two_faces(tmp_path)
    rows[2] = {**rows[1], "image": "AFW/face_1.png"}
    Image.open(path.parent / "AFW/face_1.jpg").save(path.parent / "AFW/face_1.png")
    path.write_text(json.dumps(rows))
    make(path, model_path, tmp_path / "out")
    (path.parent / "AFW/face_1.jpg").unlink()
    assert make(path, model_path, tmp_path / "out").new_samples == 0


def test_build_of_a_list_compares_what_a_run_that_was_killed_had_only_noted(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dataset.json` lists the third shard together with the fourth; the journal does at once."""
    monkeypatch.setattr("uvgen.datasets.same_samples._N_COMPARED", 1)
    path, rows = two_faces(tmp_path)
    first, *faces = rows[0], rows[1], rows[2]
    rows = [{**first, "image": f"AFW/face_0{number}.jpg"} for number in range(5)] + faces
    for row in rows[:5]:
        shutil.copy(path.parent / "AFW/face_0.jpg", path.parent / str(row["image"]))
    path.write_text(json.dumps(rows))
    listed = list[int]()

    def killed(_: object) -> None:
        listed.append(len(Index.read(tmp_path / "out").shards))
        if len(listed) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(ShardRecord, "pause", lambda self: None)
    with pytest.raises(KeyboardInterrupt):
        make(path, model_path, tmp_path / "out", progress=killed)
    assert listed == [1, 2, 2]
    path.write_text(json.dumps([*rows[:5], rows[6], rows[5]]))
    with pytest.raises(SettingsError, match=r"holds AFW/face_1 with other values of shape than .*list\.json, row 6"):
        make(path, model_path, tmp_path / "out")
    path.write_text(json.dumps(rows))
    assert make(path, model_path, tmp_path / "out").samples == 7


@pytest.mark.parametrize("change", ["another order", "other numbers", "empty", "gone"])
def test_build_of_a_list_that_is_changed_meanwhile_ends_and_goes_on_later(
    model_path: Path, tmp_path: Path, change: str
) -> None:
    path, rows = two_faces(tmp_path)

    def changed(_: object) -> None:
        if change == "gone":
            path.unlink(missing_ok=True)
        else:
            moved = [{**row, "pose": row["pose"][1::-1] + row["pose"][2:]} for row in rows]
            changes = {"another order": json.dumps(rows[::-1]), "other numbers": json.dumps(moved), "empty": ""}
            path.write_text(changes[change])

    with pytest.raises(DatasetError, match="run the command again"):
        make(path, model_path, tmp_path / "out", progress=changed)
    path.write_text(json.dumps(rows))
    result = make(path, model_path, tmp_path / "out")
    assert (result.samples, result.skipped) == (4, ())


def test_sets_are_finished_with_their_own_form_of_numbers_that_are_equal(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    """JSON has 45 and 45.0, the command line only the latter; shards state what they were made with."""
    whole, zero, numbers = (
        dataclasses.replace(SMALL, jitter=jitter, augmentation=Augmentation(rotation_deg=degrees, scale=scale))
        for jitter, degrees, scale in ((0, (-45, 45), (1, 1)), (0.0, (-45.0, 45), (1.0, 1)), (0, (-44, 45), (1, 1)))
    )
    make(tree, model_path, tmp_path / "whole", whole)
    make(tree, model_path, tmp_path / "out", whole)
    have(tree, model_path, tmp_path / "plain")
    for folder in ("copies", "begun"):
        augment_shards(tmp_path / "plain", tmp_path / folder, Augmentation(rotation_deg=(-5, 5)))
    for folder in ("out", "begun"):
        sorted((tmp_path / folder).glob("*.h5"))[0].unlink()
    make(tree, model_path, tmp_path / "out", zero)
    augment_shards(tmp_path / "plain", tmp_path / "begun", Augmentation(rotation_deg=(-5.0, 5.0)))
    assert file_hashes(tmp_path / "out") == file_hashes(tmp_path / "whole")
    assert file_hashes(tmp_path / "begun") == file_hashes(tmp_path / "copies")
    with pytest.raises(SettingsError, match="rotation_deg"):
        make(tree, model_path, tmp_path / "out", numbers)
