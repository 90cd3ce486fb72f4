"""Data sets that somebody made by hand, checksums and all: every command refuses them in words or does its work."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from support.builds import SMALL, have, make, seal
from support.toy import write_tree

from uvgen import (
    SynthOptions,
    augment_shards,
    export_shards,
    find_samples,
    load_model,
    merge_shards,
    open_shards,
    render_faces,
    repair_shards,
    split_shards,
    verify_shards,
)
from uvgen.errors import DatasetError, InputError, OutputError, SettingsError
from uvgen.samples.find import unread_folders
from uvgen.shards.constants import CONSTANTS
from uvgen.storage.drafts import draft_of


@pytest.fixture(scope="module")
def built(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    have(write_tree(root / "300W_LP"), model_path, root / "shards")
    return root / "shards"


@pytest.fixture
def shards(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "shards"))


@pytest.fixture(scope="module")
def built_of_six(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("six")
    have(write_tree(root / "300W_LP", 2), model_path, root / "shards")
    return root / "shards"


@pytest.fixture
def few(built_of_six: Path, tmp_path: Path) -> Path:
    """Three shards, for what every command is run on."""
    return Path(shutil.copytree(built_of_six, tmp_path / "shards"))


COMMANDS = {
    "info": [], "doctor": [], "verify": [], "preview": ["--samples", "2", "--out", "sheet.png"],
    "report": ["--out", "report", "-j", "1"], "merge": ["--out", "merged", "-j", "1"],
    "augment": ["--out", "copies", "-j", "1"], "export": ["--to", "webdataset", "--out", "tars", "-j", "1"],
    "select": ["--subset", "IBUG", "--out", "-"], "split": ["--fractions", "a=0.5"],
}  # fmt: skip


MADE = ("sheet.png", "report", "merged", "copies", "tars")


def with_commands(kinds: Iterable[str], n: int) -> Any:
    """Each kind of damage with `n` commands, in turn, so that each command meets as many kinds; and with all of them.

    What reads is the same in many commands: CI takes the first, the long tests both.
    """
    names = [*COMMANDS]
    some = [(kind, [names[(n * k + step) % len(names)] for step in range(n)]) for k, kind in enumerate(kinds)]
    return pytest.mark.parametrize(
        ("kind", "commands"),
        [
            *(pytest.param(*case, id=case[0]) for case in some),
            *(pytest.param(kind, names, id=f"{kind}, every command", marks=pytest.mark.long) for kind, _ in some),
        ],
    )


def assert_in_words(uvgen: Any, shards: Path, commands: list[str]) -> None:
    """Commands end with a documented status, and without a traceback."""
    for name in commands:
        options = [str(shards.parent / o) if o in MADE else o for o in COMMANDS[name]]
        result = uvgen(name, shards, *options)
        assert result.exit_code in (0, 1, 3), (name, result.exit_code, result.exception)
        assert isinstance(result.exception, SystemExit | None), (name, result.exception)
        if result.exit_code == 1:
            assert result.stderr or name == "doctor", name


def set_field(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name][...] = value

    return change


def drop_field(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


def set_attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value

    return change


SHARDS = {
    "no config": set_attribute("config", None),
    "config is no JSON": set_attribute("config", np.bytes_(b"{")),
    "config is a list": set_attribute("config", np.bytes_(b"[1]")),
    "another size": set_attribute("size", 33),
    "singular similarities": set_field("image_to_crop", 0.0),
    "similarities of NaN": set_field("image_to_crop", np.nan),
    "poses of NaN": set_field("pose", np.nan),
    "crop poses of NaN": set_field("crop_pose", np.nan),
    "huge crop poses": set_field("crop_pose", 3e38),
    "huge poses": set_field("pose", 3e38),
    "infinite landmarks": set_field("landmarks", np.inf),
    "negative heights": set_field("image_height", -(2**31)),
    **{f"no {name}": drop_field(name) for name in (
        "posmap", "pose", "landmarks", "label_nme", "label_nme_jaw", "annotated_landmarks", "image_to_crop", "name",
        "image",
    )},
}  # fmt: skip


@pytest.mark.slow
@with_commands(SHARDS, 5)
def test_commands_of_a_shard_with_a_right_hash_and_wrong_content_speak(uvgen, few, kind, commands) -> None:
    for file in ("AFW-00000.h5", "IBUG-00000.h5"):
        with h5py.File(few / file, "r+") as shard:
            SHARDS[kind](shard)
    seal(few)
    assert not verify_shards(few).sound
    assert_in_words(uvgen, few, commands)


CONSTANT = {
    "texels out of range": ("landmark_texels", 10**6),
    "indices out of range": ("landmark_indices", 2**31 - 1),
    "negative indices": ("landmark_indices", -(2**31)),
    "weights of NaN": ("landmark_weights", np.nan),
    "huge weights": ("landmark_weights", 3e38),
    "weights that do not sum to 1": ("landmark_weights", 0.3),
    "no texel on the mesh": ("coverage", False),
    "texels without triangles": ("coverage", np.eye(48, dtype=bool)),
    "negative weights": ("weight_mask", -1.0),
    "a mask of infinity": ("weight_mask", np.inf),
    **{f"no {name}": (name, None) for name in (
        "weight_mask", "coverage", "landmark_texels", "landmark_indices", "landmark_weights",
    )},
}  # fmt: skip


@pytest.mark.slow
@with_commands(CONSTANT, 3)
def test_commands_of_constants_that_cannot_be_speak(uvgen, few, kind, commands) -> None:
    name, value = CONSTANT[kind]
    with np.load(few / CONSTANTS) as file:
        arrays = dict(file)
    if value is None:
        del arrays[name]
    else:
        arrays[name][...] = value
    np.savez(few / CONSTANTS, **arrays)
    seal(few)
    (problem,) = verify_shards(few).problems
    assert f"{CONSTANTS}: cannot be read" in problem and name in problem
    assert_in_words(uvgen, few, commands)


INDEXES = {
    "a hidden name": lambda content: content["shards"][0].update(file=".uvgen-tmp-0123456789ab-x-00000.h5"),
    "another ending": lambda content: content["shards"][0].update(file="AFW-00000.hdf5"),
    "a name of 300 characters": lambda content: content["shards"][0].update(file="x" * 300 + "-00000.h5"),
    "a name with escapes": lambda content: content["shards"][0].update(file="\x1b[31mred-00000.h5"),
    "half a surrogate pair in config": lambda content: content["config"].update(model="SURROGATE"),
    "half a surrogate pair in plan": lambda content: content["plan"].update(x=["SURROGATE"]),
    "deep lists": lambda content: content["plan"].update(x=json.loads("[" * 100 + "]" * 100)),
    "no constants": lambda content: content.update(constants_sha256=None),
    "a huge count": lambda content: content["plan"].update(samples=10**29),
}


@pytest.mark.slow
@with_commands(INDEXES, 3)
def test_commands_of_an_index_with_a_right_checksum_and_wrong_content_speak(uvgen, few, kind, commands) -> None:
    seal(few, INDEXES[kind])
    path = few / "dataset.json"
    body, _, _ = path.read_bytes().replace(b"SURROGATE", b"\\ud800").rpartition(b',\n  "sha256": "')
    path.write_bytes(body + b',\n  "sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n')
    assert_in_words(uvgen, few, commands)
    result = uvgen("verify", few)
    assert result.exit_code == 1


def zero(file: h5py.File) -> None:
    file["posmap"][...] = 0


def with_attribute(name: str, value: float) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        zero(file)
        file["posmap"].attrs[name] = value

    return change


def huge_shape(file: h5py.File) -> None:
    zero(file)
    file["shape"][...] = np.float32(3e38) * np.resize([1, -1, 1], file["shape"].shape)


@pytest.mark.parametrize(
    "change",
    [
        zero,
        with_attribute("rounding", 1e9),
        with_attribute("scale_factor", 1e9),
        with_attribute("add_offset", 0.0),
        huge_shape,
    ],
    ids=["zero", "rounding", "scale", "offset", "NaN"],
)
def test_verify_with_the_model_does_not_take_the_shard_s_word_for_its_tolerance(shards, model_path, change) -> None:
    with h5py.File(shards / "IBUG-00000.h5", "r+") as file:
        change(file)
    seal(shards)
    problems = verify_shards(shards, model=load_model(model_path)).problems
    assert problems and all("IBUG-00000.h5" in problem for problem in problems)


@pytest.mark.parametrize("value", [1e9, -3e38, np.inf, np.nan])
def test_preview_of_a_map_that_leads_far_away_says_so(model_path, tmp_path, uvgen, value) -> None:
    config = dataclasses.replace(SMALL, posmap_dtype="float32")
    have(write_tree(tmp_path / "tree"), model_path, tmp_path / "shards", config)
    for path in (tmp_path / "shards").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file["posmap"][:, ::3] = value
    seal(tmp_path / "shards")
    result = uvgen("preview", tmp_path / "shards", "--out", tmp_path / "sheet.png")
    assert result.exit_code == 1 and "its map" in result.stderr and not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("value", [1e9, np.nan])
def test_augment_of_a_map_that_leads_far_away_leaves_its_copies_out(model_path, tmp_path, uvgen, value) -> None:
    config = dataclasses.replace(SMALL, posmap_dtype="float32")
    have(write_tree(tmp_path / "tree"), model_path, tmp_path / "shards", config)
    with h5py.File(tmp_path / "shards/IBUG-00000.h5", "r+") as file:
        file["posmap"][0, 3] = value
    seal(tmp_path / "shards")
    result = uvgen("augment", tmp_path / "shards", "--out", tmp_path / "out", "--preset", "prnet", "-j", 1)
    assert result.exit_code == 3 and "an augmented map holds NaN, or more than 1e+06 px" in result.stderr
    assert verify_shards(tmp_path / "out").sound


def test_select_and_info_of_huge_poses_need_no_warnings(shards, uvgen) -> None:
    with h5py.File(shards / "IBUG-00000.h5", "r+") as file:
        file["crop_pose"][...] = np.float32(3e38)
    seal(shards)
    for words in (("select", shards, "--max-yaw", 30, "--out", "-"), ("info", shards)):
        result = uvgen(*words)
        assert result.exit_code == 0 and not result.stderr, words


@pytest.mark.parametrize("value", [5, "text", [1], True, "long" * 1000])
def test_build_into_a_set_of_an_augmentation_that_is_none_says_what_differs(
    shards, model_path, tmp_path, value
) -> None:
    seal(shards, lambda content: content["config"].update(augmentation=value))
    with pytest.raises(SettingsError, match=r"was made with(out)? augmentation") as error:
        make(write_tree(tmp_path / "tree"), model_path, shards)
    assert len(str(error.value)) < 700


# Folders


@pytest.mark.parametrize("work", ["build", "merge", "augment"])
def test_output_folder_with_files_of_these_names_is_refused_untouched(shards, model_path, tmp_path, work) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (CONSTANTS, "IBUG-00000.h5"):
        (out / name).write_text("the user's own")
        with pytest.raises(OutputError, match=rf"{name}: exists, but no dataset.json lists it; choose another"):
            {
                "build": lambda: make(write_tree(tmp_path / "tree"), model_path, out),
                "merge": lambda: merge_shards(shards, out),
                "augment": lambda: augment_shards(shards, out),
            }[work]()
        assert (out / name).read_text() == "the user's own"
        (out / name).unlink()


@pytest.mark.slow
def test_overwrite_takes_shards_without_an_index_and_no_other_file(shards, model_path, tmp_path) -> None:
    tree = write_tree(tmp_path / "tree")
    (shards / "dataset.json").unlink()
    (shards / "notes-00000.h5").write_text("no shard")
    with pytest.raises(OutputError, match=r"notes-00000\.h5: exists"):
        make(tree, model_path, shards, overwrite=True)
    (shards / "notes-00000.h5").unlink()
    assert make(tree, model_path, shards, overwrite=True).samples == 9


def test_overwrite_that_is_stopped_while_it_deletes_can_be_run_again(shards, model_path, tmp_path, monkeypatch) -> None:
    tree, whole = write_tree(tmp_path / "tree"), Path.unlink

    def stop(path: Path, *arguments: Any, **options: Any) -> None:
        if path.name == "IBUG-00000.h5":
            raise KeyboardInterrupt
        whole(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            make(tree, model_path, shards, overwrite=True)
    assert make(tree, model_path, shards).samples == 9  # the index is the last to go


def test_build_killed_before_its_constants_goes_on(model_path, tmp_path, monkeypatch) -> None:
    tree, out = write_tree(tmp_path / "tree"), tmp_path / "out"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("uvgen.datasets.record.write_constants", killed)
        with pytest.raises(KeyboardInterrupt):
            make(tree, model_path, out)
    assert [path.name for path in out.iterdir()] == ["dataset.json"]
    assert make(tree, model_path, out).samples == 9


def test_export_leaves_hidden_folders_and_links_of_others_alone(shards, tmp_path) -> None:
    mine = tmp_path / ".uvgen-tars"
    mine.mkdir()
    (mine / "diary.txt").write_text("mine")
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years")
    (tmp_path / ".uvgen-linked").symlink_to(home)
    for name in ("tars", "linked"):
        export_shards(shards, tmp_path / name, "webdataset")
        assert not (tmp_path / name).is_symlink() and len(list((tmp_path / name).glob("*.tar"))) == 6
    assert (mine / "diary.txt").read_text() == "mine" and [path.name for path in home.iterdir()] == ["thesis.tex"]
    (shards / "IBUG-00000.h5").unlink()
    with pytest.raises(DatasetError):
        export_shards(shards, tmp_path / "again", "npy")
    assert not (tmp_path / "again").exists() and not draft_of(tmp_path / "again").exists()


def test_draft_has_a_name_that_others_cannot_know_and_the_next_run_does(tmp_path, monkeypatch) -> None:
    from uvgen.storage import drafts

    first = draft_of(tmp_path / "out")
    assert first == draft_of(tmp_path / "out") != draft_of(tmp_path / "out2")
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "cache"))
    drafts._secret.cache_clear()
    try:
        other = draft_of(tmp_path / "out")
        assert other != first
        drafts._secret.cache_clear()
        assert draft_of(tmp_path / "out") == other  # kept in the cache
        assert (tmp_path / "cache/secret").stat().st_mode & 0o077 == 0
    finally:
        drafts._secret.cache_clear()


def test_matlab_file_whose_groups_hold_themselves_is_refused_at_once(tmp_path) -> None:
    from uvgen.errors import ModelError

    path = tmp_path / "BFM.mat"
    with h5py.File(path, "w", userblock_size=512, libver=("earliest", "v110")) as file:
        group = file.create_group("model")
        data = file.create_dataset("model/x", data=np.zeros((512, 512)), compression="gzip", chunks=(512, 512))
        for k in range(200):
            group[f"g{k}"] = group
            group[f"d{k}"] = data
    content = bytearray(path.read_bytes())
    content[:512] = (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM").ljust(512, b"\0")
    path.write_bytes(content)
    with pytest.raises(ModelError, match="has d0 and d1 for one dataset, expected a name for each"):
        load_model(path)


# Names


def rename(folder: Path, file: str, names: list[str], *, listed: bool = True) -> None:
    """Give a shard's samples other names, and say so in the index or not."""
    with h5py.File(folder / file, "r+") as shard:
        del shard["name"]
        encoded = [name.encode() for name in names]
        shard["name"] = np.array(encoded, h5py.string_dtype("utf-8", max(map(len, encoded))))

    def name(content: dict[str, Any]) -> None:
        for entry in content["shards"]:
            if listed and entry["file"] == file:
                entry["names"] = "\n".join(names)

    seal(folder, name)


def names_in(folder: Path, file: str) -> list[str]:
    entry = next(e for e in json.loads((folder / "dataset.json").read_text())["shards"] if e["file"] == file)
    return list(entry["names"].split("\n"))


def test_shard_with_other_names_than_the_index_says_is_refused_by_all_that_copy_it(shards, tmp_path) -> None:
    rename(shards, "IBUG-00000.h5", ["IBUG/x"] * len(names_in(shards, "IBUG-00000.h5")), listed=False)
    for work in (
        lambda: export_shards(shards, tmp_path / "npy", "npy"),
        lambda: merge_shards(shards, tmp_path / "merged"),
        lambda: augment_shards(shards, tmp_path / "copies"),
        lambda: list(open_shards(shards)),
    ):
        with pytest.raises(DatasetError, match=r"IBUG-00000\.h5: its samples have other names than dataset\.json says"):
            work()


def test_samples_that_are_in_a_set_twice_are_no_sound_set_and_no_split(shards, uvgen) -> None:
    name = names_in(shards, "IBUG-00000.h5")[0]
    rename(shards, "IBUG-00001.h5", [name, *names_in(shards, "IBUG-00001.h5")[1:]])
    (problem,) = verify_shards(shards).problems
    assert f"1 sample is in it more than once, first {name}" in problem
    result = uvgen("split", shards, "--by", "sample", "--fractions", "a=1")
    assert result.exit_code == 1 and f"{name} would be in a twice" in result.stderr
    assert not (shards / "splits.json").exists()


def test_samples_whose_names_differ_in_composed_accents_alone_are_told_apart(shards) -> None:
    n = len(names_in(shards, "IBUG-00000.h5"))
    names = ["IBUG/\u00e9", "IBUG/e\u0301", *(f"IBUG/{k}" for k in range(n))][:n]
    rename(shards, "IBUG-00000.h5", names)
    for name in names:
        assert open_shards(shards, names=[name]).names == [name]


def test_export_keeps_samples_that_are_named_like_temporary_files(shards, tmp_path, monkeypatch) -> None:
    from uvgen.datasets.export import run

    first = "AFW-00000.h5"
    rename(shards, first, [f".uvgen-tmp-0123456789ab-{k}" for k in range(len(names_in(shards, first)))])
    whole = run.ExportRecord.add

    def stopped(record: Any, part: Any) -> None:
        whole(record, part)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.ExportRecord, "add", stopped)
        with pytest.raises(KeyboardInterrupt):
            export_shards(shards, tmp_path / "npy", "npy")
    result = export_shards(shards, tmp_path / "npy", "npy")
    assert len(list((tmp_path / "npy").rglob("*.jpg"))) == result.samples


def test_list_of_names_that_no_list_can_hold_is_refused(shards, uvgen, tmp_path) -> None:
    first = "AFW-00000.h5"
    rename(shards, first, ["\x1b[31mred", *names_in(shards, first)[1:]])
    for out in ("-", tmp_path / "list.txt"):
        result = uvgen("select", shards, "--max-yaw", "180", "--out", out)
        assert result.exit_code == 1 and "a name that no list can hold" in result.stderr and "\x1b" not in result.output


# What is asked of a source


def test_shard_of_another_model_is_not_copied_into_a_set_that_passes_for_sound(shards, tmp_path) -> None:
    with h5py.File(shards / "IBUG-00001.h5", "r+") as file:
        file.attrs["model_sha256"] = np.bytes_(b"f" * 64)
    seal(shards)
    for work in (
        lambda: merge_shards(shards, tmp_path / "merged"),
        lambda: augment_shards(shards, tmp_path / "copies"),
    ):
        with pytest.raises(DatasetError, match=r"IBUG-00001\.h5: made with model_sha256 = ffff"):
            work()


@pytest.mark.parametrize("name", ["image", "image_height"])
def test_commands_of_codes_where_there_are_none_speak(shards, uvgen, name) -> None:
    for path in shards.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file[name].attrs["scale_factor"], file[name].attrs["add_offset"] = 2.0, 0.5
    seal(shards)
    assert f"{name} holds codes" in verify_shards(shards).problems[0]
    for command in ("preview", "report"):
        result = uvgen(command, shards, "--out", shards.parent / "out.png")
        assert result.exit_code == 1 and f"{name} holds codes" in result.stderr, command


# Texts that take long, and numbers that cannot be read again


def test_info_of_a_reason_of_slashes_and_doctor_of_many_splits_end(shards, uvgen) -> None:
    from uvgen.datasets.info import by_reason
    from uvgen.doctor.shards import _N_PAIRS, _overlapping

    reasons = ["a/b.mat: 3 shape parameters", "/" * 20_000, "c/d.mat: 4 shape parameters"]
    assert by_reason(reasons) == {"N shape parameters": 2, "/" * 20_000: 1}
    assert len(_overlapping({f"s{k}": {"x", f"{k}"} for k in range(20_000)})) == _N_PAIRS
    assert _overlapping({"a": {"x"}, "b": {"y"}, "c": {"y", "x"}}) == [("a", "c"), ("b", "c")]


@pytest.mark.parametrize("seed", [10**35, -(2**63) - 1])
def test_seed_that_could_not_be_read_again_is_refused(shards, model_path, tmp_path, seed) -> None:
    for work in (
        lambda: make(write_tree(tmp_path / "tree"), model_path, tmp_path / "a", dataclasses.replace(SMALL, seed=seed)),
        lambda: augment_shards(shards, tmp_path / "b", seed=seed),
        lambda: split_shards(shards, {"a": 1.0}, seed=seed),
        lambda: render_faces(tmp_path / "c", 1, options=SynthOptions(seed=seed)),
    ):
        with pytest.raises(InputError, match="seed: "):
            work()
    assert not any((tmp_path / name).exists() for name in "abc") and not (shards / "splits.json").exists()


def test_expression_that_cannot_be_compiled_is_refused_in_words(shards) -> None:
    for by in ("a{99999999999999}", "(" * 3000 + ")" * 3000, "("):
        with pytest.raises(InputError, match=r"by: .*regular expression"):
            split_shards(shards, {"a": 1.0}, by=by)


# The machine


def test_commands_of_paths_that_no_system_takes_speak(shards, uvgen, tmp_path, monkeypatch) -> None:
    long = "x" * 300
    for command in (["info", long], ["doctor", long], ["split", shards, "--fractions", "a=1", "--out", long],
                    ["merge", shards, "--out", long], ["report", shards, "--out", long]):  # fmt: skip
        result = uvgen(*command)
        assert result.exit_code == 1 and isinstance(result.exception, SystemExit), command
        assert "File name too long" in result.stderr and result.stderr.count("\n") == 1
    result = uvgen("merge", shards, "--out", tmp_path / "out", "--timeout", "inf")
    assert result.exit_code == 2 and "--timeout: inf, expected a finite number" in result.stderr
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UVGEN_CACHE", "~nobody-of-this-name/cache")
    assert uvgen("report", shards, "--out", tmp_path / "report", "-j", "1").exit_code == 0


def test_link_to_itself_among_samples_is_passed_over(tmp_path) -> None:
    tree = write_tree(tmp_path / "tree")
    n = len(find_samples(tree))
    for folder in (tree, tree / "IBUG"):
        (folder / "loop").symlink_to("loop")
    assert len(find_samples(tree)) == n and unread_folders(tree).deeper == []


def test_error_shows_no_escapes_of_a_file_s_texts(shards, uvgen, model_path, tmp_path) -> None:
    seal(shards, lambda content: content["config"].update(model="\x1b[31mred\u202e", model_sha256="0" * 64))
    result = uvgen("verify", shards, "--model", model_path)
    assert result.exit_code == 1 and "not the model of" in result.stderr
    assert not {"\x1b", "\u202e"} & set(result.stderr)


def test_damaged_shard_of_a_merged_set_is_named_as_such(shards, model_path, tmp_path) -> None:
    merge_shards(shards, tmp_path / "merged")
    path = tmp_path / "merged/IBUG-00000.h5"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DatasetError, match=r"put together by `uvgen merge`.*IBUG-00000\.h5 again"):
        repair_shards(tmp_path / "merged", data=tmp_path, model=model_path)
    augment_shards(shards, tmp_path / "copies")
    merge_shards(tmp_path / "copies", tmp_path / "merged copies")
    (tmp_path / "merged copies/IBUG-00000.h5").unlink()
    with pytest.raises(DatasetError, match=r"put together by `uvgen merge`.*IBUG-00000\.h5 again"):
        repair_shards(tmp_path / "merged copies", source=shards)


def test_overwriting_takes_shards_of_every_number_and_subset(shards, model_path, tmp_path) -> None:
    for name in ("-00000.h5", "IBUG-100000.h5"):
        shutil.copy(shards / "IBUG-00000.h5", shards / name)
    make(write_tree(tmp_path / "tree"), model_path, shards, overwrite=True)
    assert verify_shards(shards).sound


def test_synthetic_samples_in_whose_place_other_things_lie_are_named(tmp_path, uvgen) -> None:
    how = ("synth", "--count", "1", "--size", "64", "--no-flip", "--subset", "IBUG", "-j", "1", "--out", tmp_path / "f")
    assert uvgen(*how).exit_code == 0
    picture = next((tmp_path / "f").rglob("*.jpg"))
    picture.unlink()
    os.mkfifo(picture)
    assert uvgen(*how).exit_code == 0 and picture.is_file()  # not waited for, but made
    picture.unlink()
    picture.mkdir()
    result = uvgen(*how, "--overwrite")
    assert result.exit_code == 1 and f"{picture}: cannot be removed" in result.stderr


@pytest.mark.parametrize("implausible", ["skip", "keep"])
@pytest.mark.parametrize("value", [3e38, 1e15])
def test_build_makes_no_labels_that_verify_refuses(model_path, tmp_path, implausible, value) -> None:
    tree = write_tree(tmp_path / "tree")
    first, second, *_ = (sample.parameters for sample in find_samples(tree, ["IBUG"], flip=False))
    for path, change in ((first, {"Pose_Para": (0, 5)}), (second, {"Shape_Para": (0, 0)})):
        content = {key: array for key, array in scipy.io.loadmat(path).items() if not key.startswith("__")}
        for key, place in change.items():
            content[key] = content[key].astype(np.float64)
            content[key][place] = value
        scipy.io.savemat(path, content)
    config = dataclasses.replace(SMALL, implausible=implausible, posmap_dtype="float32")
    result = make(tree, model_path, tmp_path / "shards", config)
    assert {skip.name for skip in result.skipped} >= {f"IBUG/{path.stem}" for path in (first, second)}
    assert verify_shards(tmp_path / "shards").sound
