"""What a folder is, and what commands say of one that was given in place of another."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from support.builds import have

from uvgen import ReportOptions, export_shards, write_report
from uvgen.datasets.output_folder import named_like_shards
from uvgen.errors import DatasetError
from uvgen.evaluation.prediction_files import files_of
from uvgen.fitting.photographs import find_photographs
from uvgen.samples.image_folders import folders_in
from uvgen.samples.map_files import find_maps
from uvgen.storage.folders import (
    DATA_SET,
    EMPTY,
    EXPORT,
    MODELS,
    OTHER,
    PREDICTIONS,
    REMAINS,
    REPORT,
    SAMPLES,
    SYNTH_INDEX,
    check_own_folder,
    files_below,
    folder_kind,
    instead,
    unreadable,
)


@pytest.fixture
def folders(tree, model_path, tmp_path) -> dict[str, Path]:
    made = {kind: tmp_path / str(number) for number, kind in enumerate((DATA_SET, REPORT, EXPORT, REMAINS, EMPTY))}
    have(tree, model_path, made[DATA_SET])
    write_report(made[DATA_SET], made[REPORT], options=ReportOptions(worst=0, verify=False))
    export_shards(made[DATA_SET], made[EXPORT], "npy")
    shutil.copytree(made[DATA_SET], made[REMAINS])
    (made[REMAINS] / "dataset.json").unlink()
    made[EMPTY].mkdir()
    made |= {SAMPLES: tree, MODELS: tmp_path / "models", OTHER: tmp_path / "notes"}
    made[MODELS].mkdir()
    shutil.copy(model_path, made[MODELS] / "bfm.h5")
    made[OTHER].mkdir()
    (made[OTHER] / "notes.txt").write_text("hello")
    return made


def test_predictions_may_have_a_face_called_as_another_index(tmp_path) -> None:
    for name in ("predict.json", "fit.json"):
        (tmp_path / name).touch()
    assert folder_kind(tmp_path) == PREDICTIONS


def test_each_kind_of_folder_is_told_and_is_not_taken_for_another(folders, uvgen) -> None:
    assert {kind: folder_kind(path) for kind, path in folders.items()} == {kind: kind for kind in folders}
    assert folder_kind(folders[SAMPLES] / "AFW") == SAMPLES
    for kind in (DATA_SET, OTHER, EMPTY):
        assert instead(folders[kind], wanted=DATA_SET, expected="shards") == ""
    assert instead(folders[REPORT], wanted=DATA_SET, expected="shards") == f"{REPORT}, expected shards"
    registered = folders[OTHER].parent / "registered"
    registered.mkdir()
    (registered / "register.json").touch()
    told = instead(registered, wanted=SAMPLES, expected="images")
    assert told.startswith("registered scans, expected images; give the scans' photographs, and `uvgen build --meshes ")
    above = folders[OTHER].parent / "above"
    shutil.copytree(folders[DATA_SET], above / "built")
    for wanted in (DATA_SET, SAMPLES):
        told = instead(above, wanted=wanted, expected="something")
        assert told == f"a folder of data sets, expected something; those in it: {above / 'built'}"
    out = folders[OTHER] / "out"
    for kind, path in folders.items():
        if kind != DATA_SET:
            for arguments in (("info", path), ("preview", path, "-o", f"{out}.png"), ("report", path, "-o", out),
                              ("verify", path), ("export", path, "--to", "npy", "-o", out),
                              ("augment", path, "-o", out), ("merge", path, "-o", out)):  # fmt: skip
                result = uvgen(*arguments)
                assert result.exit_code == 1 and result.stderr.count("\n") == 1, arguments
                assert kind in (OTHER, EMPTY) or kind in result.stderr, result.stderr
                assert (f"uvgen build --data {path}" in result.stderr) is (kind == SAMPLES)
        if kind != SAMPLES:
            result = uvgen("build", "--data", path, "--model", "builtin", "-o", out)
            assert result.exit_code == 1 and result.stderr.splitlines()[-1].startswith(f"uvgen: {path}: ")
            assert kind in (OTHER, EMPTY) or kind in result.stderr, result.stderr
        result = uvgen("build", "--data", folders[SAMPLES], "--model", path, "-o", out)
        assert result.exit_code == 1 and "expected a model's file" in result.stderr
        assert kind == OTHER or kind in result.stderr, result.stderr
        found = uvgen("doctor", path)
        assert found.exit_code == (0 if kind in (DATA_SET, SAMPLES) else 1), found.stdout
        assert kind in (DATA_SET, SAMPLES, OTHER, EMPTY) or kind in found.stdout + found.stderr


@pytest.mark.parametrize("command", [("info",), ("verify",), ("doctor",)])
def test_shard_in_place_of_its_folder_is_told_from_other_files(tree, model_path, tmp_path, uvgen, command) -> None:
    have(tree, model_path, tmp_path / "out")
    result = uvgen(*command, tmp_path / "out/AFW-00000.h5")
    assert result.exit_code == 1
    assert f"a shard of a data set; give the folder {tmp_path / 'out'}" in result.stderr
    result = uvgen("build", "--data", tree, "--model", tmp_path / "out/AFW-00000.h5", "-o", tmp_path / "o")
    assert result.exit_code == 1 and "a shard of a uvgen data set" in result.stderr


@pytest.mark.parametrize(
    ("name", "is_shard"),
    [
        ("IBUG-00000.h5", True), ("IBUG-100000.h5", True), ("a\nb-00000.h5", True), ("a-b-00001.h5", True),
        (".IBUG-00000.h5", False), ("IBUG-0000.h5", False), ("IBUG-00000.hdf5", False), ("IBUG.h5", False),
    ],
)  # fmt: skip
def test_shards_are_told_by_their_name_everywhere_alike(tmp_path, name, is_shard) -> None:
    (tmp_path / name).touch()
    assert (folder_kind(tmp_path) == REMAINS) == is_shard
    assert [path.name for path in named_like_shards(tmp_path)] == [name] * is_shard


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_unreadable_names_what_is_there_in_place_of_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for name, what in (("pipe", "a named pipe"), ("file", "a file"), ("file/a", "a file"), ("none", "no such folder")):
        with pytest.raises(OSError) as caught:
            os.listdir(tmp_path / name)
        assert unreadable(caught.value, "a folder of scans") == f"{what}, expected a folder of scans"


@pytest.mark.parametrize(
    "name", ["@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db"]
)
def test_folders_that_systems_make_are_passed_over(tmp_path: Path, name: str) -> None:
    """Disk servers of Synology keep thumbnails of all photographs: each face would be there twice."""
    thumbnails = tmp_path / "mine" / name / "a.jpg"
    thumbnails.mkdir(parents=True)
    for path in (thumbnails / "THUMB.jpg", thumbnails / "THUMB.npy", tmp_path / "mine/a.jpg", tmp_path / "mine/a.npy"):
        path.touch()
    assert [photograph.name for photograph in find_photographs(tmp_path / "mine", tmp_path / "out")] == ["a"]
    assert sorted(path.name for path in files_below(tmp_path / "mine", "maps")) == ["a.jpg", "a.npy"]
    samples, _ = find_maps(tmp_path / "mine")
    assert [sample.name for sample in samples] == ["a"]
    assert files_of(tmp_path / "mine", ["a"], (".npy",)) == ({"a": tmp_path / "mine/a.npy"}, [])
    assert folders_in(tmp_path / "mine") == []
    (tmp_path / "out" / name).mkdir(parents=True)
    check_own_folder(tmp_path / "out", SYNTH_INDEX)


def test_a_folder_that_cannot_be_listed_is_named_also_deep_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "maps/AFW").mkdir(parents=True)
    scandir = os.scandir

    def refused(path: str) -> object:
        if path.endswith("AFW"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DatasetError, match=r"maps/AFW: cannot be read \(Permission.*, expected a folder of maps"):
        [*files_below(tmp_path / "maps", "maps")]
