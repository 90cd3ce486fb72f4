"""Data sets whose parts contradict each other, with right checksums: what one file says of another is compared."""

import dataclasses
import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import SMALL, edit_index, file_hashes, have, make, seal, set_texts
from support.stores import FolderStore, folder_store
from support.toy import annotation, parameters, write_sample, write_tree

from uvgen import (
    ReportOptions,
    augment_shards,
    build_shards,
    describe_shards,
    export_shards,
    load_model,
    merge_shards,
    open_shards,
    render_preview,
    split_shards,
    verify_shards,
    write_report,
)
from uvgen.datasets import record
from uvgen.datasets.made_with import about_another_model, about_unfinished, model_of_samples, says_its_model
from uvgen.errors import DatasetError, InputError, SampleError, SettingsError
from uvgen.models.model_file import save_model
from uvgen.shards.constants import CONSTANTS
from uvgen.storage.journal import Journal


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree") / "300W_LP")


@pytest.fixture
def shards(tree: Path, model_path: Path, tmp_path: Path) -> Path:
    have(tree, model_path, tmp_path / "shards")
    return tmp_path / "shards"


def exchange(folder: Path, left: int, right: int) -> None:
    """Exchange two shards of a set, in its index too."""
    entries = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["shards"]
    one, other = (folder / entries[k]["file"] for k in (left, right))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)

    def change(content: dict[str, Any]) -> None:
        a, b = content["shards"][left], content["shards"][right]
        a["names"], b["names"], a["samples"], b["samples"] = b["names"], a["names"], b["samples"], a["samples"]

    seal(folder, change)


def stopped(n_lines: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the process be killed after so many lines of the journal: nothing is written after that."""

    class KilledError(BaseException):
        pass

    append, lines = Journal.append, list[Any]()

    def killing(self: Journal, value: Any) -> None:
        append(self, value)
        lines.append(value)
        if len(lines) == n_lines:
            raise KilledError

    monkeypatch.setattr(Journal, "append", killing)
    monkeypatch.setattr(record.ShardRecord, "pause", lambda self: None)
    return pytest.raises(KilledError)


def test_open_shards_refuses_constants_of_another_set(shards: Path, tree: Path, model_path: Path) -> None:
    weights = np.ones((SMALL.uv_size, SMALL.uv_size), np.float32)
    make(tree, model_path, shards.with_name("other"), dataclasses.replace(SMALL, shard_size=64), weights=weights)
    shutil.copy(shards.with_name("other") / CONSTANTS, shards)
    with pytest.raises(DatasetError, match=f"{CONSTANTS}: its SHA-256 is not the one in the index"):
        open_shards(shards).constants  # noqa: B018
    with pytest.raises(DatasetError, match="its SHA-256"):
        export_shards(shards, shards.with_name("out"), "npy")


@pytest.mark.parametrize("key", ["convention", "filter", "keep"])
def test_open_shards_compares_a_setting_that_the_index_leaves_out(
    tree: Path, model_path: Path, tmp_path: Path, key: str
) -> None:
    config = dataclasses.replace(SMALL, convention="face3d", filter="area", keep=("tex",))
    have(tree, model_path, tmp_path / "shards", config)
    assert len(open_shards(tmp_path / "shards")[0]["name"])
    edit_index(tmp_path / "shards", lambda content: content["config"].pop(key))
    with pytest.raises(DatasetError, match=rf"made with {key} = .*, dataset.json says|no dataset"):
        open_shards(tmp_path / "shards")[0]


def test_open_shards_refuses_a_shard_that_states_two_conventions(shards: Path) -> None:
    with h5py.File(shards / "AFW-00000.h5", "r+") as file:
        file.attrs["convention"] = np.bytes_("face3d")
    seal(shards)
    with pytest.raises(DatasetError, match=r"made with convention = face3d, dataset\.json says exact"):
        open_shards(shards)[0]
    assert any("convention = face3d" in problem for problem in verify_shards(shards).problems)


@pytest.mark.parametrize("name", ["posmap", "depth"])
@pytest.mark.parametrize("attribute", ["scale_factor", "add_offset"])
def test_open_shards_refuses_codes_that_mean_other_values(
    tree: Path, model_path: Path, tmp_path: Path, name: str, attribute: str
) -> None:
    have(tree, model_path, tmp_path / "shards", dataclasses.replace(SMALL, targets=("depth",)))
    with h5py.File(tmp_path / "shards/IBUG-00000.h5", "r+") as file:
        file[name].attrs[attribute] = file[name].attrs[attribute] / 2 + 1
    seal(tmp_path / "shards")
    reader = open_shards(tmp_path / "shards")
    with pytest.raises(DatasetError, match=rf"IBUG-00000.h5.*{name} holds codes with another scale or offset"):
        reader["IBUG/IBUG_000_1_0"]


@pytest.mark.parametrize("plan", ["size", "jitter", "uvgen", "samples"])
def test_build_into_a_set_one_part_of_whose_index_hides_another_is_refused(
    shards: Path, tree: Path, model_path: Path, plan: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        if plan == "uvgen":
            content["config"]["uvgen"], content["uvgen"] = content["uvgen"], "0.0.9"
        elif plan == "samples":
            content["config"]["samples"] = content["plan"]["samples"]
        else:
            content["plan"][plan] = content["config"][plan]
            content["config"][plan] = 48 if plan == "size" else 0.3

    edit_index(shards, change)
    with pytest.raises(SettingsError, match="was made with"):
        make(tree, model_path, shards)


def test_build_makes_shards_again_that_hold_other_samples_than_they_should(
    shards: Path, tree: Path, model_path: Path
) -> None:
    before = file_hashes(shards)
    exchange(shards, 0, 2)
    assert make(tree, model_path, shards).new_samples == 4
    assert file_hashes(shards) == before


def test_merge_makes_shards_again_that_hold_other_samples_than_they_should(shards: Path, tmp_path: Path) -> None:
    merge_shards(shards, tmp_path / "out")
    before = file_hashes(tmp_path / "out")
    exchange(tmp_path / "out", 0, 2)
    assert merge_shards(shards, tmp_path / "out").new_samples == 4
    assert file_hashes(tmp_path / "out") == before


@pytest.mark.parametrize("n_lines", [1, 3])
def test_journal_does_not_add_to_an_index_that_came_from_elsewhere(
    shards: Path, tree: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_lines: int
) -> None:
    other = shutil.copytree(tree, tmp_path / "other/300W_LP")
    for path in other.glob("*/*.jpg"):  # of the same size, as other last bits of another machine's floats
        path.write_bytes((tree / "IBUG/IBUG_002_1_0.jpg").read_bytes())
    out = tmp_path / "out"
    with monkeypatch.context() as patch, stopped(n_lines, patch):
        make(other, model_path, out)
    assert (out / ".uvgen-journal").exists()
    for path in shards.iterdir():
        shutil.copy(path, out)
    make(tree, model_path, out)
    assert file_hashes(out) == file_hashes(shards)


def test_journal_of_one_machine_does_not_undo_what_another_did_in_a_store(
    tree: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(tree, tmp_path / "other/300W_LP")
    for path in other.glob("*/*.jpg"):
        path.write_bytes((tree / "IBUG/IBUG_002_1_0.jpg").read_bytes())
    with folder_store(tmp_path) as store:
        folder = store.folder / "bucket/one"
        with monkeypatch.context() as patch, stopped(3, patch):
            make(other, model_path, "s3://bucket/one")  # type: ignore[arg-type]
        monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "cache of the other machine"))
        make(tree, model_path, "s3://bucket/one")  # type: ignore[arg-type]
        done = file_hashes(folder)
        monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "cache"))
        make(tree, model_path, "s3://bucket/one")  # type: ignore[arg-type]
        assert file_hashes(folder) == done and verify_shards("s3://bucket/one").sound


def test_verify_counts_samples_that_the_index_does_not_name(shards: Path) -> None:
    (shards / "AFW-00001.h5").unlink()
    with h5py.File(shards / "IBUG-00001.h5") as file:
        names = [name.decode() for name in file["name"][...]]
    set_texts(shards / "IBUG_Flip-00001.h5", "name", names)

    def change(content: dict[str, Any]) -> None:
        content["shards"] = [entry for entry in content["shards"] if entry["file"] != "AFW-00001.h5"]
        content["n_samples"] -= 1
        content["plan"]["samples"] -= 1
        for entry in content["shards"]:
            del entry["names"]

    seal(shards, change)
    (problem,) = verify_shards(shards).problems
    assert "1 sample is in it more than once, first IBUG/IBUG_002_1_0" in problem


@pytest.mark.parametrize("order", ["reversed", "by photograph", "subsets reversed", "shuffled"])
def test_verify_takes_samples_in_any_order(tree: Path, model_path: Path, tmp_path: Path, order: str) -> None:
    from uvgen import build_shards, find_samples, load_model

    samples = find_samples(tree)
    keys: dict[str, Any] = {
        "reversed": lambda k: -k,
        "by photograph": lambda k: (samples[k].name.rpartition("/")[2], k),
        "subsets reversed": lambda k: (-ord(samples[k].subset[0]), -len(samples[k].subset), k),
        "shuffled": lambda k: 7 * k % len(samples),
    }
    chosen = [samples[k] for k in sorted(range(len(samples)), key=keys[order])]
    build_shards(chosen, tmp_path / "out", model=load_model(model_path), config=SMALL, root=tree)
    assert verify_shards(tmp_path / "out").sound


def test_readers_of_an_index_that_states_any_number_of_samples_take_no_memory_for_it(shards: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        entry, more = content["shards"][1], 1 << 40
        content["n_samples"] += more
        content["plan"]["samples"] += more
        entry.update(samples=entry["samples"] + more, size_bytes=1 << 45)
        del entry["names"]

    edit_index(shards, change)
    with pytest.raises(DatasetError, match=r"AFW-00001.h5: has \d+ bytes, too few for 1099511627777 samples"):
        open_shards(shards)


def test_merge_of_sets_with_other_fields_is_refused_before_any_work(
    shards: Path, model_path: Path, tmp_path: Path
) -> None:
    for k in range(2):
        points = annotation(parameters(40 + k, yaw=0.2))
        write_sample(tmp_path / "tree/AFLW", f"image{k:05d}", 40 + k, pt3d_68=np.vstack([points, np.zeros(68)]))
    have(tmp_path / "tree", model_path, tmp_path / "three")
    with pytest.raises(
        InputError, match=r"its annotated_landmarks is float32 \(68, 3\) a sample, that of .* \(68, 2\)"
    ):
        merge_shards([shards, tmp_path / "three"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_export_of_an_unfinished_set_is_refused_but_for_samples_that_are_there(shards: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        (shards / content["shards"][-1]["file"]).unlink()
        content["n_samples"] -= content["shards"].pop()["samples"]

    edit_index(shards, change)
    with pytest.raises(DatasetError, match="unfinished, 1 sample is missing"):
        export_shards(shards, tmp_path / "out", "npy")
    assert export_shards(shards, tmp_path / "out", "npy", names=["AFW/AFW_000_1_0"]).samples == 1


def test_export_to_the_folder_of_the_set_is_refused(shards: Path) -> None:
    count = len([*shards.iterdir()]) + 1
    (shards / ".uvgen-export.json").write_text(json.dumps({"files": count}))
    before = file_hashes(shards)
    with pytest.raises(InputError, match="holds the data set"):
        export_shards(shards, shards, "npy", overwrite=True)
    assert file_hashes(shards) == before


@pytest.mark.parametrize("to", ["deep3d", "stn"])
def test_export_of_parts_for_training_refuses_splits_of_other_samples(
    shards: Path, tree: Path, model_path: Path, tmp_path: Path, to: str
) -> None:
    split_shards(shards, {"train": 0.5, "val": 0.5})
    text = (shards / "splits.json").read_text(encoding="utf-8")
    (shards / "splits.json").write_text(text.replace("_1_0", "_1_9"), encoding="utf-8")
    given: dict[str, Any] = {"data": tree} if to == "deep3d" else {"model": model_path}
    with pytest.raises(InputError, match=r"split train: .* not there"):
        export_shards(shards, tmp_path / "out", to, **given)


def test_overwriting_a_set_in_a_store_deletes_no_file_of_another_name_or_size(
    shards: Path, tree: Path, model_path: Path, tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["shards"][0]["file"] = "notes.h5"
        content["shards"][1]["file"] = "OTHER-00000.h5"

    with folder_store(tmp_path) as store:
        assert isinstance(store, FolderStore)
        folder = shutil.copytree(shards, store.folder / "bucket/one")
        edit_index(folder, change)
        for name in ("notes.h5", "OTHER-00000.h5"):
            (folder / name).write_bytes(b"somebody's")
        make(tree, model_path, "s3://bucket/one", overwrite=True)  # type: ignore[arg-type]
        there = file_hashes(folder)
    assert there.keys() == {*file_hashes(shards), "notes.h5", "OTHER-00000.h5"}


@pytest.mark.parametrize(("field", "value"), [("image_to_crop", np.nan), ("pose", 1e38), ("shape", np.nan)])
def test_error_about_values_of_a_sample_names_the_set(
    tree: Path, model_path: Path, tmp_path: Path, field: str, value: float
) -> None:
    have(tree, model_path, tmp_path / "shards", dataclasses.replace(SMALL, maps="none"))
    with h5py.File(tmp_path / "shards/AFW-00000.h5", "r+") as file:
        file[field][...] = value
    seal(tmp_path / "shards")
    reader = open_shards(tmp_path / "shards", model_path)
    for read in (lambda: reader[0], lambda: reader[:2]):
        with pytest.raises(DatasetError, match=r"shards: .*; run `uvgen verify .*shards`"):
            read()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("image_to_crop", 0, "image_to_crop cannot be used"),
        ("image_to_crop", np.nan, "image_to_crop holds NaN"),
        ("pose", 0, "pose has a scale of 0 px/µm"),
        ("landmarks", np.inf, "landmarks holds NaN or infinity"),
    ],
)
def test_augment_leaves_out_a_sample_whose_numbers_cannot_be_and_no_other(
    shards: Path, tmp_path: Path, field: str, value: float, reason: str
) -> None:
    with h5py.File(shards / "AFW-00000.h5", "r+") as file:
        name = file["name"].asstr()[0]
        values = file[field][()]
        values[0] = value
        file[field][...] = values
    seal(shards)
    n = len(open_shards(shards))
    result = augment_shards(shards, tmp_path / "copies", "none", copies=2)
    assert [skip.name for skip in result.skipped] == [f"{name}-0", f"{name}-1"]
    assert all(skip.reason.startswith(f"{name}: {reason}") for skip in result.skipped)
    assert result.samples == 2 * n - 2 and verify_shards(tmp_path / "copies").sound
    with pytest.raises(SampleError, match=reason):
        augment_shards(shards, tmp_path / "none", "none", on_error="fail")


def add_field(shards: Path, name: str, value: np.ndarray[Any, Any], **options: Any) -> None:
    """The same value of a new field in each sample."""
    for path in shards.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            data = np.repeat(value[None], len(file["name"]), axis=0)
            file.create_dataset(name, data=data, **options)
    seal(shards)


@pytest.mark.parametrize("field", ["parts", "covered", "flipped", "augmentation", "unseen", "camera"])
def test_set_with_a_field_that_its_settings_exclude_is_refused(shards: Path, tmp_path: Path, field: str) -> None:
    """Per-pixel targets that the settings do not name would stay where they are while the crop moves."""
    side, texels = SMALL.size, SMALL.uv_size
    values = {
        "parts": np.zeros((side, side), np.uint8), "covered": np.zeros((side, side), bool), "flipped": np.array(True),
        "augmentation": np.array(b"{}", h5py.string_dtype("utf-8", 2)), "unseen": np.zeros((texels, texels), bool),
        "camera": np.eye(4),
    }  # fmt: skip
    value = values[field]
    chunks = (1, *value.shape) if value.ndim == 2 and field != "camera" else None
    add_field(shards, field, value, chunks=chunks)
    assert_all_refuse(shards, tmp_path / "out", f"has a dataset {field}, expected none in a set with the settings of")


def assert_all_refuse(shards: Path, out: Path, problem: str) -> None:
    for use in (
        lambda: open_shards(shards)[0],
        lambda: augment_shards(shards, out, "none"),
        lambda: merge_shards(shards, out),
    ):
        with pytest.raises(DatasetError, match=re.escape(problem)):
            use()
    assert all(problem in found for found in verify_shards(shards).problems)
    assert not verify_shards(shards).sound


def test_set_whose_annotated_landmarks_are_no_points_is_refused(shards: Path, tmp_path: Path) -> None:
    for path in shards.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            del file["annotated_landmarks"]
    add_field(shards, "annotated_landmarks", np.zeros((68, 5), np.float32))
    problem = r"annotated_landmarks holds float32 (68, 5) a sample, expected float32 (68, (2, 3))"
    assert_all_refuse(shards, tmp_path / "out", problem)


def test_set_with_maps_where_its_settings_say_none_is_refused(tree: Path, model_path: Path, tmp_path: Path) -> None:
    """Mirrored copies of them could not be made: nothing asks for the model."""
    shards = tmp_path / "shards"
    have(tree, model_path, shards, dataclasses.replace(SMALL, maps="none", posmap_dtype="float32"))
    texels = SMALL.uv_size
    add_field(shards, "posmap", np.zeros((texels, texels, 3), np.float32), chunks=(1, texels, texels, 3))
    assert_all_refuse(shards, tmp_path / "out", "has a dataset posmap, expected none in a set with the settings of")


@pytest.mark.parametrize(
    ("stored", "stated", "problem"),
    [("jpeg", "raw", "has a dataset image_end, expected none"), ("raw", "jpeg", "no dataset image_end")],
)
def test_set_whose_images_are_stored_otherwise_than_its_settings_say_is_refused(
    tree: Path, model_path: Path, tmp_path: Path, stored: str, stated: str, problem: str
) -> None:
    """A description for other programs, Croissant's, goes by the settings."""
    shards = tmp_path / "shards"
    have(tree, model_path, shards, dataclasses.replace(SMALL, image_codec=stored))
    for path in shards.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            text = json.dumps({**json.loads(file.attrs["config"]), "image_codec": stated})
            file.attrs["config"] = np.array(text.encode(), h5py.string_dtype("utf-8", len(text)))
    seal(shards, lambda content: content["config"].update(image_codec=stated))
    assert_all_refuse(shards, tmp_path / "out", problem)


def test_set_with_a_field_that_another_program_added_is_used(shards: Path, tmp_path: Path) -> None:
    add_field(shards, "gaze", np.ones(3, np.float32))
    assert verify_shards(shards).sound
    augment_shards(shards, tmp_path / "copies", "none")
    np.testing.assert_array_equal(open_shards(tmp_path / "copies")[0]["gaze"], 1)


def test_copies_of_a_set_with_a_setting_of_a_later_version_are_refused(shards: Path, tmp_path: Path) -> None:
    """They could not state it, though their shards do."""
    for path in shards.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            text = json.dumps({**json.loads(file.attrs["config"]), "later": 5})
            file.attrs["config"] = np.array(text.encode(), h5py.string_dtype("utf-8", len(text)))
    seal(shards, lambda content: content["config"].update(later=5))
    assert verify_shards(shards).sound and open_shards(shards)[0]
    for use in (
        lambda: augment_shards(shards, tmp_path / "out", "none"),
        lambda: merge_shards(shards, tmp_path / "out"),
    ):
        with pytest.raises(DatasetError, match="shards: was made with later = 5, which this uvgen does not know"):
            use()
    assert not (tmp_path / "out").exists()


def test_copies_of_a_set_whose_weight_mask_is_another_are_refused(shards: Path, tmp_path: Path) -> None:
    edit_index(shards, lambda content: content["config"].update(weight_mask_sha256="0" * 64))
    for path in shards.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            assert "weight_mask_sha256" not in json.loads(file.attrs["config"])
    for use in (augment_shards, merge_shards):
        with pytest.raises(DatasetError, match=f"{CONSTANTS}: its weight_mask is not the one whose SHA-256"):
            use(shards, tmp_path / "out")


def test_samples_of_another_model_than_the_one_given_are_said(tree: Path, model_path: Path, tmp_path: Path) -> None:
    """Landmarks may agree where the rest of the face does not, so that no distance from annotations shows it."""
    model = load_model(model_path)
    data = shutil.copytree(tree, tmp_path / "data")
    stated = {"model": model.name, "model_file": str(model_path), "model_sha256": model.content_sha256}
    (data / "synth.json").write_text(json.dumps(stated))
    basis = np.array(model.basis)
    inner = np.setdiff1d(np.arange(model.n_vertices), model.landmarks)
    basis[inner] *= 1.05
    other, other_uv = (
        dataclasses.replace(model, basis=basis, name="other"),
        dataclasses.replace(model, uv=model.uv**1.1),
    )
    result = build_shards(data, tmp_path / "other", model=other, config=SMALL)
    (said,) = [text for text in result.warnings if "synth.json" in text]
    assert f"{data / 'synth.json'}: its parameters belong to {model.name}, but other has another mean face or" in said
    assert about_another_model(data.parent, other) == []  # of subsets, those that were fitted are asked
    (data / "synth.json").rename(data / "fit.json")
    assert about_another_model(data.parent, other)[0].startswith(f"{data / 'fit.json'}: its parameters belong to")
    (data / "fit.json").rename(data / "synth.json")
    for alike in (model, other_uv):
        assert about_another_model(data, alike) == []
    assert about_another_model(tree, other) == []
    for unreadable in (str(tmp_path / "gone.h5"), "x" * 300):
        (data / "synth.json").write_text(json.dumps(stated | {"model_file": unreadable}))
        assert about_another_model(data, other) == []
    (data / "synth.json").write_text(json.dumps(stated))
    weak = np.array(model.basis)
    weak[..., 0] *= 1e-9
    weak_model = dataclasses.replace(model, basis=weak, path=None, name="weak")
    save_model(weak_model, tmp_path / "weak.h5")
    turned_over = dataclasses.replace(weak_model, basis=weak * np.where(np.arange(weak.shape[2]) == 0, -1, 1))
    weak_stated = {
        "model_file": str(tmp_path / "weak.h5"),
        "model_sha256": load_model(tmp_path / "weak.h5").content_sha256,
    }
    (data / "synth.json").write_text(json.dumps(stated | weak_stated))
    assert about_another_model(data, turned_over), "a component counts by its own size"
    (data / "synth.json").unlink()
    (data / "register.json").write_text(json.dumps(stated))
    assert about_another_model(data, other) == []
    turned = dataclasses.replace(model, triangles=np.roll(model.triangles, 1, axis=0))
    assert about_another_model(data, turned) == []
    joined = dataclasses.replace(model, triangles=(model.triangles + 1) % model.n_vertices)
    assert "register.json: its meshes have the vertices of" in about_another_model(data, joined)[0]


def test_errors_about_values_of_a_set_that_is_looked_at_name_it(shards: Path, tmp_path: Path) -> None:
    """Both find them where nothing says which set they are of."""
    augment_shards(shards, tmp_path / "copies", "none")
    for path in (tmp_path / "copies").glob("*.h5"):
        with h5py.File(path) as file:
            n = len(file["name"])
        set_texts(path, "augmentation", ["{}"] * n)
    seal(tmp_path / "copies")
    with h5py.File(shards / "AFW-00000.h5", "r+") as file:
        file["image_to_crop"][...] = 0
    seal(shards)
    for use, folder in (
        (lambda folder: describe_shards(folder), shards),
        (lambda folder: write_report(folder, tmp_path / "out", options=ReportOptions(verify=False)), "copies"),
        (lambda folder: render_preview(folder, tmp_path / "out.png", 1), "copies"),
    ):
        with pytest.raises(DatasetError, match=rf"{tmp_path / folder}: .*; run `uvgen verify {tmp_path / folder}`"):
            use(tmp_path / folder)


@pytest.mark.parametrize(
    ("content", "damaged"),
    [
        ("{", True), ("", True), ('{"format": "uvgen-fit", "model": "bfm"}', True), ('{"settings": 1}', False),
        ("[]", False),
    ],
)  # fmt: skip
def test_index_that_does_not_say_its_model_any_more_is_told(tmp_path: Path, content: str, damaged: bool) -> None:
    (tmp_path / "fit.json").write_text(content)
    told = about_another_model(tmp_path, load_model("builtin"))
    expected = f"{tmp_path / 'fit.json'}: is damaged, and does not say which model the folder was made with; was it"
    assert [why[: len(expected)] for why in told] == [expected] * damaged
    assert says_its_model(tmp_path) is damaged
    if damaged:
        with pytest.raises(InputError, match=r"model: none, and .*fit\.json, which should name it, is damaged"):
            model_of_samples(tmp_path)
    else:
        assert model_of_samples(tmp_path) is None


def test_folders_that_a_command_has_not_finished_are_told(tmp_path: Path) -> None:
    assert about_unfinished(tmp_path) == []
    (tmp_path / ".uvgen-journal").write_text("")
    (tmp_path / "fit.json").write_text('{"settings": 1}')  # another program's
    assert about_unfinished(tmp_path) == []
    for command in ("register", "fit"):
        (tmp_path / f"{command}.json").write_text(json.dumps({"format": f"uvgen-{command}"}))
        assert about_unfinished(tmp_path)[0].startswith(f"{tmp_path}: `uvgen {command}` has not finished; run it again")
    tmp_path.rename(inner := tmp_path.with_name(f"{tmp_path.name}-subset"))
    tmp_path.mkdir()
    inner.rename(tmp_path / "subset")
    assert about_unfinished(tmp_path)[0].startswith(f"{tmp_path / 'subset'}: `uvgen fit` has not finished")


def test_folders_beside_subsets_that_may_not_be_looked_into_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk's own lost+found."""
    (tmp_path / "lost+found").mkdir()
    stat = os.stat

    def refused(path: Any, *arguments: Any, **options: Any) -> Any:
        if "lost+found/" in os.fspath(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refused)
    assert about_unfinished(tmp_path) == about_another_model(tmp_path, load_model("builtin")) == []
