"""`uvgen doctor`: each check is made to find what it is for, and finds nothing in what is sound."""

import importlib.metadata
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from support.builds import SMALL, edit_index, have, make
from support.toy import annotation, face3d_files, parameters, picture, toy_model, write_bfm_files, write_sample

from uvgen import augment_shards, diagnose, open_shards, save_model, split_shards
from uvgen.datasets.split_files import SPLITS, Split, write_splits
from uvgen.doctor import machine
from uvgen.doctor.checks import CHECKS
from uvgen.doctor.machine import examine_machine
from uvgen.errors import InputError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.models.morphable import make_model

ROOT = Path(__file__).parents[2]
FIELDS = ("mean", "basis", "triangles", "mouth_triangles", "uv", "landmarks")


def codes(path, **options) -> set[str]:
    return {finding.code for finding in diagnose(path, **options).findings}


@pytest.fixture(scope="module")
def built(model_path, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("built")
    for k in range(4):
        for version in range(2):
            write_sample(root / "300W_LP/IBUG", f"IBUG_image_{k:03d}_1_{version}", seed=10 * k + version)
    have(root / "300W_LP", model_path, root / "shards")
    return root / "shards"


@pytest.fixture
def shards(built, tmp_path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "shards"))


@pytest.mark.slow
def test_sound_things_have_no_errors_and_no_warnings(shards, tree, model_path) -> None:
    split_shards(shards, {"train": 0.5, "val": 0.5})
    for path, model in ((shards, None), (shards, model_path), (tree, None), (tree, model_path), ("builtin", None)):
        for deep in (False, True):
            found = diagnose(path, model=model, deep=deep)
            assert found.findings == (), path
            assert found.sound and found.verdict == f"{path}: sound" and found.checked["deep"] is deep


def test_machine_facts_name_versions_and_sizes() -> None:
    found = diagnose()
    assert found.kind == "machine" and found.facts["packages"]["numpy"] == np.__version__
    assert found.facts["usable_cores"] >= 1 and found.facts["temporary_folder_free_bytes"] > 0
    assert json.loads(json.dumps(found.to_plain()))["path"] is None


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("code", sorted(code for code in CHECKS if code < "UV2"))
def test_machine_with_a_fault_is_told_its_code(monkeypatch, tmp_path, code) -> None:
    if code == "UV101":
        monkeypatch.setattr(
            importlib.metadata, "requires", lambda _: ["numpy>=99", "no-such-package>=1", 'x; extra == "a"']
        )
    elif code == "UV102":
        monkeypatch.setattr(machine, "_can_write", lambda _: False)
    elif code == "UV103":
        monkeypatch.setattr("uvgen.storage.hdf5.library_version", lambda: "2.0.0")
    elif code == "UV104":
        monkeypatch.setattr("os.cpu_count", lambda: 10_000)
    elif code == "UV105":
        monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    elif code in ("UV106", "UV107"):
        small = "/dev/shm" if code == "UV107" else str(Path.cwd())
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 1000 if str(path) == small else 1 << 40))
    elif code == "UV108":
        monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))
    elif code == "UV109":
        monkeypatch.setattr(machine, "_LEAST_MEMORY", 1 << 60)
    elif code == "UV110":
        monkeypatch.setattr(tempfile, "gettempdir", _no_folder)
    elif code == "UV111":
        monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    elif code == "UV112":
        (tmp_path / "file").write_bytes(b"")
        monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "file/cache"))
    _, findings = examine_machine()
    assert code in {finding.code for finding in findings}
    if code == "UV101":
        texts = [finding.text for finding in findings if finding.code == code]
        assert texts == [
            f"numpy {np.__version__}, expected 99 or newer",
            "no-such-package is missing, expected 1 or newer",
        ]


def test_memory_is_limited_by_the_shell_too(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_AS: 900 << 20}
    monkeypatch.setattr("resource.getrlimit", lambda what: (limits.get(what, 4096),) * 2)
    facts, findings = examine_machine()
    assert facts["available_memory_bytes"] == 900 << 20
    assert [finding.text for finding in findings if finding.code == "UV109"] == ["0.9 GB (ulimit -v)"]


def _no_folder() -> str:
    raise FileNotFoundError(2, "No usable temporary directory found")


def test_machine_without_faults_is_told_none_of_those_codes() -> None:
    assert {finding.code for finding in examine_machine()[1]} <= {"UV103", "UV104", "UV106", "UV107", "UV109"}


def remove_shard(shards: Path) -> None:
    (shards / "IBUG-00001.h5").unlink()


def cut_shard(shards: Path) -> None:
    path = shards / "IBUG-00001.h5"
    path.write_bytes(path.read_bytes()[:-1])


def change_index(shards: Path) -> None:
    path = shards / "dataset.json"
    path.write_bytes(path.read_bytes().replace(b"IBUG_image_000", b"IBUG_image_009", 1))


def forget_shard(shards: Path) -> None:
    def change(content) -> None:
        content["shards"].pop()
        content["n_samples"] -= 2

    edit_index(shards, change)
    (shards / "IBUG-00003.h5").unlink()


def make_splits(shards: Path) -> None:
    split_shards(shards, {"train": 0.5, "val": 0.5}, by="sample", seed=1)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("UV201", lambda shards: (shards / "dataset.json").unlink()),
        ("UV201", change_index),
        ("UV202", forget_shard),
        ("UV203", remove_shard),
        ("UV203", cut_shard),
        ("UV204", lambda shards: shutil.copy(shards / "IBUG-00000.h5", shards / "copy.h5")),
        ("UV204", lambda shards: (shards / ".uvgen-tmp-0123456789ab-x").write_bytes(b"")),
        ("UV205", lambda shards: (shards / "constants.npz").unlink()),
        ("UV205", lambda shards: (shards / "constants.npz").write_bytes(b"PK")),
        ("UV207", lambda shards: (shards / "splits.json").write_text("{}")),
        ("UV208", make_splits),
        ("UV213", lambda shards: edit_index(shards, lambda content: content.update(uvgen="0.0.9"))),
    ],
)
def test_data_set_with_a_fault_is_told_its_code(shards, code, change) -> None:
    change(shards)
    found = diagnose(shards)
    assert {finding.code for finding in found.findings} == {code}
    assert found.sound is (CHECKS[code].level != "error")
    assert all(str(shards) in finding.text for finding in found.findings)


def test_data_set_whose_samples_were_skipped_is_told_the_share_and_the_first_reason(tree, model_path, tmp_path) -> None:
    (tree / "IBUG/IBUG_001_1_0.jpg").write_bytes(b"none")
    have(tree, model_path, tmp_path / "shards")
    (finding,) = diagnose(tmp_path / "shards").findings
    assert finding.code == "UV206" and re.search(r"1 of 9, first IBUG/IBUG_001_1_0: .*IBUG_001_1_0.jpg", finding.text)


def test_data_set_with_damage_inside_is_found_deeply_alone(shards) -> None:
    path = shards / "IBUG-00002.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert codes(shards) == set()
    found = diagnose(shards, deep=True)
    assert [finding.code for finding in found.findings] == ["UV211"] and "IBUG-00002.h5" in found.findings[0].text


def test_data_set_of_many_small_compressed_shards_is_told_so(tree, model_path, tmp_path, monkeypatch) -> None:
    import dataclasses

    monkeypatch.setattr("uvgen.doctor.shards._MANY_SHARDS", 4)
    have(tree, model_path, tmp_path / "shards", dataclasses.replace(SMALL, compression="gzip"))
    assert codes(tmp_path / "shards") == {"UV209", "UV212"}


def test_data_set_with_labels_far_from_annotations_is_told_so(model_path, tmp_path) -> None:
    for k in range(6):
        write_sample(tmp_path / "tree/AFW", f"AFW_{k:03d}_1_0", seed=k, pt2d=np.full((2, 68), 60.0) + np.arange(68) % 9)
    have(tmp_path / "tree", model_path, tmp_path / "shards")
    assert codes(tmp_path / "shards") == {"UV210"}


def test_augmented_copies_of_one_photograph_in_two_splits_are_found(shards, tmp_path) -> None:
    from uvgen.datasets.split_files import SPLITS, Split, write_splits

    augment_shards(shards, tmp_path / "copies", copies=2)
    names = open_shards(tmp_path / "copies").names
    halves = [Split(f"part{end}", tuple(name for name in names if name.endswith(f"-{end}")), {}) for end in (0, 1)]
    write_splits(tmp_path / "copies" / SPLITS, halves)
    (finding,) = diagnose(tmp_path / "copies").findings
    assert finding.code == "UV208" and "part0 and part1 share 4 photographs, first IBUG/IBUG_image_000" in finding.text


def spoil(tree: Path, code: str) -> None:
    if code == "UV301":
        shutil.rmtree(tree)
        tree.mkdir()
    elif code == "UV302":
        (tree / "AFW/AFW_000_1_0.mat").unlink()
    elif code == "UV303":
        (tree / "AFW/AFW_000_1_0.jpg").unlink()
    elif code == "UV304":
        from PIL import Image

        Image.fromarray(picture()).save(tree / "AFW/AFW_000_1_0.png")
    elif code == "UV305":
        shutil.copytree(tree / "AFW", tree / "AFW/more")
    elif code == "UV306":
        (tree / "AFW/AFW_000_1_0.mat").write_bytes(b"no .mat")


@pytest.mark.parametrize("code", ["UV301", "UV302", "UV303", "UV304", "UV305", "UV306"])
def test_samples_with_a_fault_are_told_its_code(tree, code) -> None:
    spoil(tree, code)
    found = diagnose(tree)
    assert {finding.code for finding in found.findings} == {code} and found.kind == "samples"


def test_folder_of_which_no_sample_can_be_used_is_not_sound(tree) -> None:
    for path in tree.rglob("*.mat"):
        path.unlink()
    found = diagnose(tree)
    assert not found.sound
    assert {finding.code for finding in found.findings} == {"UV302", "UV310"}


def test_samples_of_another_model_are_found_with_the_model(tree, tmp_path) -> None:
    model = toy_model()
    fields = {name: getattr(model, name) for name in ("mean", "triangles", "mouth_triangles", "uv", "landmarks")}
    small = make_model(
        source="small", name="small", basis=model.basis[..., :9], shape_std=model.shape_std[:4],
        expression_std=model.expression_std, **fields,
    )  # fmt: skip
    save_model(small, tmp_path / "small.h5")
    assert codes(tree) == set()
    assert codes(tree, model=tmp_path / "small.h5") == {"UV306"}


def test_data_set_of_another_model_is_told_so_and_what_else_it_is(shards, tmp_path) -> None:
    for deep in (False, True):
        found = diagnose(shards, model="builtin", deep=deep)
        (finding,) = found.findings
        assert finding.code == "UV214" and f"not the model of {shards}" in finding.text
        assert found.checked["samples"] == 8 and found.checked["compared_with_model"] is False


def bad_samples(tree: Path) -> None:
    """One sample each that a build skips, of 40."""
    for k in range(40):
        write_sample(tree / "AFW", f"AFW_{k:03d}_1_0", seed=k)
    pose = parameters(3)["Pose_Para"]
    write_sample(
        tree / "AFW", "AFW_003_1_0", 3, Pose_Para=pose * [57.3, 57.3, 57.3, 1, 1, 1, 1] + [0, 90, 0, 0, 0, 0, 0]
    )
    write_sample(tree / "AFW", "AFW_011_1_0", 11, Shape_Para=np.zeros((3, 1)))
    write_sample(tree / "AFW", "AFW_021_1_0", 21, Pose_Para=pose * [1, 1, 1, 1, 1, 1, 1e6])
    write_sample(tree / "AFW", "AFW_033_1_0", 33, Pose_Para=pose + [0, 0, 0, 900, 0, 0, 0])


@pytest.mark.slow
def test_samples_that_a_build_skips_are_found_deeply_each_with_the_reason_of_the_build(model_path, tmp_path) -> None:
    bad_samples(tmp_path / "tree")
    found = diagnose(tmp_path / "tree", model=model_path, deep=True)
    texts = [finding.text for finding in found.findings if finding.code == "UV306"]
    skipped = make(tmp_path / "tree", model_path, tmp_path / "out").skipped
    assert len(skipped) == 4 and texts == [skip.reason for skip in skipped]
    assert found.checked["read"] == 40 and not found.sound


@pytest.mark.parametrize("deep", [False, True])
def test_samples_whose_labels_would_be_far_are_told_so_as_by_a_build(model_path, tmp_path, deep) -> None:
    for k in range(20):
        content = parameters(k, yaw=0.2)
        mirrored = annotation(content)[:, LANDMARK_MIRROR]
        write_sample(tmp_path / "tree/AFW", f"AFW_{k:03d}_1_0", k, **{**content, "pt2d": mirrored})
    found = diagnose(tmp_path / "tree", model=model_path, deep=deep)
    (finding,) = found.findings
    assert finding.code == "UV308" and "left and right landmarks are exchanged" in finding.text
    assert found.checked["label_nme"] > 0.05 and found.verdict.endswith(": no errors, 1 warning")


def test_one_annotation_of_all_turned_versions_is_a_note_of_its_own(model_path, tmp_path) -> None:
    for photograph in range(40):
        first = parameters(photograph, yaw=0.0)
        for step, yaw in enumerate((0.0, 0.5)):
            content = {**parameters(photograph, yaw=yaw), "pt2d": annotation(first)}
            write_sample(tmp_path / "tree/AFW", f"AFW_{photograph}_1_{step}", photograph, **content)
    assert (
        codes(tmp_path / "tree", model=model_path) == codes(tmp_path / "tree", model=model_path, deep=True) == {"UV309"}
    )
    have(tmp_path / "tree", model_path, tmp_path / "out")
    assert codes(tmp_path / "out") == codes(tmp_path / "out", model=model_path) == {"UV215"}


def test_many_findings_of_one_kind_are_counted_and_paths_are_as_they_were_given(tmp_path, monkeypatch) -> None:
    for k in range(15):
        write_sample(tmp_path / "tree/AFW", f"AFW_{k:03d}_1_0", seed=k)
        (tmp_path / f"tree/AFW/AFW_{k:03d}_1_0.jpg").write_bytes(b"none")
    monkeypatch.chdir(tmp_path)
    texts = [finding.text for finding in diagnose("tree", deep=True).findings]
    assert len(texts) == 11 and texts[-1] == "and 5 more"
    assert all(text.startswith("tree/AFW/AFW_0") for text in texts[:-1])


def test_folder_of_models_is_told_to_name_one(tmp_path, model_path) -> None:
    shutil.copy(model_path, tmp_path / "bfm.h5")
    found = diagnose(tmp_path)
    (finding,) = found.findings
    assert finding.code == "UV401" and f"name the one in it: {tmp_path}/bfm.h5" in finding.text
    shutil.copy(model_path, tmp_path / "other.h5")
    found = diagnose(tmp_path)
    (finding,) = found.findings
    assert found.kind == "model" and finding.code == "UV401"
    named = f"{tmp_path}/bfm.h5 or {tmp_path}/other.h5"
    assert f"holds 2 models, expected one; name the one that is meant: {named}" in finding.text


def test_folder_whose_models_lie_in_its_subfolders_is_told_to_name_one(tmp_path, model_path) -> None:
    (tmp_path / "top/parts").mkdir(parents=True)
    write_bfm_files(tmp_path / "top/parts", toy_model())
    (finding,) = diagnose(tmp_path / "top").findings
    assert finding.code == "UV401" and "its subfolders hold face models" in finding.text
    assert f"{tmp_path}/top/parts/01_MorphableModel.mat (argument `bfm` of `uvgen model convert`)" in finding.text
    (tmp_path / "top/own").mkdir()
    for name in "abcdef":
        shutil.copy(model_path, tmp_path / f"top/own/{name}.h5")
    found = diagnose(tmp_path / "top")
    (finding,) = found.findings
    assert found.kind == "model" and f"name one of them: {tmp_path}/top/own/a.h5, " in finding.text
    assert re.search(r"own/d\.h5 and \d+ more$", finding.text)


def test_models_some_folders_down_are_named(model_path, tmp_path) -> None:
    (tmp_path / "top/a/b/c").mkdir(parents=True)
    shutil.copy(model_path, tmp_path / "top/a/b/c/own.h5")
    found = diagnose(tmp_path / "top")
    (finding,) = found.findings
    assert found.kind == "model" and finding.text.endswith(f"name one of them: {tmp_path}/top/a/b/c/own.h5")


def test_what_an_interrupted_command_left_is_part_of_the_unfinished_set(shards, tmp_path) -> None:
    (shards / "IBUG-00000.h5").rename(shards / ".uvgen-tmp-0123456789ab-IBUG-00000.h5")
    (shards / ".uvgen-journal").write_bytes(b"")
    assert codes(shards) == {"UV203", "UV204"}

    def forget_first(index) -> None:
        index["n_samples"] -= index["shards"].pop(0)["samples"]

    edit_index(shards, forget_first)
    found = diagnose(shards)
    assert [finding.code for finding in found.findings] == ["UV202"]


def test_verdict_counts_what_is_not_named_one_by_one(tmp_path) -> None:
    for k in range(25):
        write_sample(tmp_path / "tree/IBUG", f"IBUG_{k:03d}")
        (tmp_path / f"tree/IBUG/IBUG_{k:03d}.jpg").write_bytes(b"")
    found = diagnose(tmp_path / "tree", deep=True)
    assert {finding.code for finding in found.findings} == {"UV306"} and len(found.findings) == 11
    assert found.findings[-1].text == "and 15 more" and found.verdict.endswith("not sound, 25 errors")


@pytest.mark.parametrize("package", ["h5py", "joblib", "platformdirs"])
def test_package_that_cannot_be_imported_is_found(package) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from uvgen.cli.main import main; main(['doctor'])"
    environment = {key: value for key, value in os.environ.items() if key != "UVGEN_CACHE"}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert run.returncode == 1 and not run.stderr, run.stderr
    assert f"UV101 error: a required package is missing or too old\n    {package} cannot be imported (" in run.stdout


def test_folder_of_data_sets_and_models_is_one_of_data_sets(shards, model_path, tmp_path) -> None:
    shutil.copytree(shards, tmp_path / "top/shards")
    (tmp_path / "top/models").mkdir()
    shutil.copy(model_path, tmp_path / "top/models")
    (finding,) = diagnose(tmp_path / "top").findings
    assert finding.code == "UV301" and "a folder of data sets, expected images" in finding.text


def test_images_at_any_depth_are_named(tmp_path) -> None:
    write_sample(tmp_path / "tree/a/b/c/d", "AFW_000_1_0")
    (finding,) = diagnose(tmp_path / "tree").findings
    assert finding.code == "UV301" and f"there are some in {tmp_path}/tree/a/b/c/d" in finding.text
    write_sample(tmp_path / "tree/AFW", "AFW_001_1_0", seed=1)
    (finding,) = diagnose(tmp_path / "tree").findings
    said = f"1 folder with images below the subsets' folders is not read, first {tmp_path}/tree/a/b/c/d"
    assert finding.code == "UV305" and finding.text.endswith(said)
    (tmp_path / "tree/HELEN").mkdir()
    shutil.copy(tmp_path / "tree/AFW/AFW_001_1_0.mat", tmp_path / "tree/HELEN")
    (tmp_path / "tree/LFPW").symlink_to(tmp_path / "nowhere")
    findings = diagnose(tmp_path / "tree").findings
    assert [finding.code for finding in findings] == ["UV305"] * 3
    assert f".mat files and no images is not read, first {tmp_path}/tree/HELEN" in findings[1].text
    assert f"not there is not followed, first {tmp_path}/tree/LFPW" in findings[2].text


def test_parts_of_separate_runs_that_overlap_are_made_again_in_one(shards) -> None:
    split_shards(shards, {"train": 0.6, "val": 0.4})
    split_shards(shards, {"test": 0.4})
    assert codes(shards) == {"UV208"} and "with one run of `uvgen split --overwrite`" in CHECKS["UV208"].cure
    split_shards(shards, {"train": 0.4, "val": 0.3, "test": 0.3}, overwrite=True)
    assert not codes(shards)


@pytest.mark.parametrize("fault", ["another set's", "by sample"])
def test_splits_that_are_wrong_are_made_again_by_the_command_that_is_named(shards, fault) -> None:
    names = open_shards(shards).names
    parts = [names[::2], names[1::2]] if fault == "by sample" else [["x"], ["y"]]
    write_splits(shards / SPLITS, [Split(name, tuple(part), {}) for name, part in zip(("a", "b"), parts, strict=True)])
    (code,) = codes(shards)
    assert code == {"another set's": "UV207", "by sample": "UV208"}[fault]
    assert "uvgen split" in CHECKS[code].cure and "--overwrite" in CHECKS[code].cure
    split_shards(shards, {"a": 0.5, "b": 0.5}, overwrite=True)
    assert codes(shards) == set()


def test_samples_of_which_one_is_bad_are_found_deeply(tmp_path) -> None:
    for k in range(40):
        write_sample(tmp_path / "tree/AFW", f"AFW_{k:03d}_1_0", seed=k)
    (tmp_path / "tree/AFW/AFW_011_1_0.jpg").write_bytes(b"none")
    (finding,) = diagnose(tmp_path / "tree", deep=True).findings
    assert finding.code == "UV306" and "AFW_011_1_0.jpg" in finding.text


def test_samples_with_doubtful_parameters_are_told_so(tree, tmp_path) -> None:
    model = toy_model()
    fields = {name: getattr(model, name) for name in FIELDS}
    narrow = make_model(
        source="narrow", name="narrow", shape_std=model.shape_std / 1000, expression_std=model.expression_std, **fields
    )
    save_model(narrow, tmp_path / "narrow.h5")
    assert codes(tree, model=tmp_path / "narrow.h5") == {"UV307"}


def test_model_files_are_told_what_they_lack(tmp_path) -> None:
    model = toy_model()
    fields = {name: getattr(model, name) for name in (*FIELDS, "shape_std", "expression_std")}
    bare = make_model(source="bare", name="bare", **fields)
    save_model(bare, tmp_path / "bare.h5")
    assert codes(tmp_path / "bare.h5") == {"UV403", "UV404"}
    upside = make_model(source="down", name="down", **{**fields, "mean": model.mean * [1, -1, 1]})
    save_model(upside, tmp_path / "down.h5")
    assert "UV402" in codes(tmp_path / "down.h5")
    face3d_files(model, tmp_path)
    assert "UV405" in codes(tmp_path / "BFM.mat")


def test_model_without_its_mirror_pairs_is_told_once_why(tmp_path) -> None:
    model = toy_model()
    fields = {name: getattr(model, name) for name in (*FIELDS, "shape_std", "expression_std")}
    save_model(make_model(source="BFM.mat", name="face3d", **fields, sources={"BFM.mat": "0" * 64}), tmp_path / "f.h5")
    about = [found.code for found in diagnose(tmp_path / "f.h5").findings if "mirror pairs" in CHECKS[found.code].title]
    told = [found for found in diagnose(tmp_path / "f.h5").findings if "BFM_info.mat" in found.text]
    assert not about and [found.code for found in told] == ["UV402"]


def test_builtin_model_lacks_nothing() -> None:
    assert codes("builtin") == set()


def test_file_that_is_no_model_is_told_what_it_is(tmp_path) -> None:
    write_bfm_files(tmp_path, toy_model())
    (finding,) = diagnose(tmp_path / "01_MorphableModel.mat").findings
    assert finding.code == "UV401" and "argument `bfm` of `uvgen model convert`" in finding.text
    (tmp_path / "notes.txt").write_text("hello")
    assert codes(tmp_path / "notes.txt") == {"UV401"}


def test_diagnose_refuses_what_is_not_there_and_a_model_without_use(tmp_path, model_path) -> None:
    with pytest.raises(InputError, match="no such file or folder, expected a data set"):
        diagnose(tmp_path / "missing")
    with pytest.raises(InputError, match="model: given without a path, expected a data set"):
        diagnose(model=model_path)
    with pytest.raises(InputError, match=r"model: given with .*toy\.h5, which is a file; expected a folder of data"):
        diagnose(model_path, model=model_path)


def test_documentation_has_a_section_for_each_code_in_its_words() -> None:
    page = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (UV\d+): (.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(CHECKS)
    for code, check in CHECKS.items():
        wanted = f"{check.title}\n\n*{check.level.capitalize()}.* {check.cause}\n\n{check.cure}"
        assert sections[code].strip() == wanted, code


def test_every_code_is_made_to_happen_by_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [code for code in CHECKS if code >= "UV2" and f'"{code}"' not in text.split("def test_every_code")[0]] == []


def test_list_whose_images_are_not_there_is_told_so(tmp_path) -> None:
    row = {"image": "gone.jpg", "pose": [0.0] * 7, "shape": [0.0], "expression": [0.0]}
    (tmp_path / "list.json").write_text(json.dumps([row]))
    found = diagnose(tmp_path / "list.json").findings
    assert {finding.code for finding in found} == {"UV306", "UV310"}
    assert "row 1: " in found[0].text and "gone.jpg" in found[0].text
