"""Damaged files of a data set made anew: byte for byte what they were, or left as they are and named."""

import errno
import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.builds import SMALL, edit_index, file_hashes, have, make
from support.faults import fail_reads
from support.toy import toy_model, write_sample, write_tree

from uvgen import (
    Augmentation,
    RepairResult,
    RunOptions,
    SampleSelection,
    augment_shards,
    build_shards,
    open_shards,
    repair_shards,
    verify_shards,
)
from uvgen.errors import DatasetError, InputError, ModelError, SettingsError
from uvgen.models.model_file import save_model
from uvgen.synth.sample_set import builtin_samples

AUGMENTED = replace(SMALL, augmentation=Augmentation.preset("prnet"), copies=2)


@pytest.fixture(scope="module")
def untouched(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples (one of them bad), a set of them, an augmented set of them, and copies of the first set."""
    folder = tmp_path_factory.mktemp("sets")
    tree = write_tree(folder / "data")
    (tree / "IBUG/IBUG_001_1_0.jpg").write_bytes(b"no image")
    have(tree, model_path, folder / "built")
    have(tree, model_path, folder / "built-augmented", AUGMENTED)
    flips = replace(Augmentation.preset("prnet"), flip=0.5)
    augment_shards(folder / "built", folder / "copies", flips, copies=2, model=model_path)
    return folder


@pytest.fixture
def sets(untouched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untouched, tmp_path / "sets", copy_function=shutil.copy2))


def states(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What tells a file that was not touched."""
    return {path.name: ((stat := path.stat()).st_ino, stat.st_mtime_ns, stat.st_ctime_ns) for path in folder.iterdir()}


def repaired(sets: Path, name: str, model_path: Path, **options: Any) -> RepairResult:
    made_of = {"source": sets / "built"} if name == "copies" else {"data": sets / "data"}
    return repair_shards(sets / name, **{"model": model_path, **made_of, **options})


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)


def replace_by_pipe(path: Path) -> None:
    import os

    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit": flip,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "empty": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a named pipe": replace_by_pipe,
}


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(("built", damage) for damage in DAMAGE),
        *itertools.product(["built-augmented", "copies"], ["a bit", "deleted"]),
    ],
)
def test_repair_makes_what_was_there_and_touches_nothing_else(
    sets: Path, model_path: Path, name: str, damage: str
) -> None:
    folder = sets / name
    whole, shards = file_hashes(folder), sorted(folder.glob("*.h5"))
    before = states(folder)
    bad = [shards[0], shards[-1], folder / "constants.npz"]
    for path in bad:
        DAMAGE[damage](path)
    assert len(verify_shards(folder).problems) == 3
    result = repaired(sets, name, model_path)
    assert (result.repaired, result.problems) == (tuple(bad), ())
    assert file_hashes(folder) == whole
    after = states(folder)
    same = {file for file in before if before[file] == after[file]}
    assert same == set(whole) - {path.name for path in bad}
    assert verify_shards(folder, model=model_path).sound


@pytest.mark.parametrize("name", ["built", "copies"])
def test_repair_of_a_whole_set_needs_nothing_and_writes_nothing(sets: Path, name: str) -> None:
    before = states(sets / name)
    result = repair_shards(sets / name)
    assert (result.repaired, result.problems, states(sets / name)) == ((), (), before)


@pytest.mark.parametrize("suffix", [".json", ".h5", ".npz"])
def test_repair_with_too_many_open_files_takes_nothing_for_damaged(
    sets: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    before = states(sets / "built")
    with monkeypatch.context() as patch:
        fail_reads(patch, suffix, errno.EMFILE)
        with pytest.raises(DatasetError, match=r"cannot be read \(Too many open files\); raise the limit[^;]*$"):
            repair_shards(sets / "built")
    assert states(sets / "built") == before


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE])
def test_an_index_that_a_disk_does_not_give_is_not_to_be_overwritten(
    sets: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_reads(monkeypatch, "dataset.json", number)
    for work in (lambda: repaired(sets, "built", model_path), lambda: make(sets / "data", model_path, sets / "built")):
        with pytest.raises(DatasetError, match=rf"cannot be read \({os.strerror(number)}\)") as raised:
            work()
        assert "overwrit" not in str(raised.value)


@pytest.mark.parametrize("number", [errno.EIO, errno.EBADMSG, errno.ESTALE])
def test_a_shard_that_a_disk_does_not_give_is_named(
    sets: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    folder = sets / "built"
    whole = file_hashes(folder)
    with monkeypatch.context() as patch:
        fail_reads(patch, "AFW-00000.h5", number)
        found = verify_shards(folder).problems
        assert len(found) == 1 and f"AFW-00000.h5: cannot be read ({os.strerror(number)})" in found[0]
        if number == errno.ESTALE:
            with pytest.raises(DatasetError, match="its disk does not answer, try again when it does"):
                repaired(sets, "built", model_path)
    assert file_hashes(folder) == whole


def test_repair_of_swapped_shards_makes_both_and_leaves_strays(sets: Path, model_path: Path) -> None:
    folder = sets / "built"
    whole = file_hashes(folder)
    first, second = folder / "AFW-00000.h5", folder / "IBUG-00000.h5"
    shutil.copy2(first, folder / "mine.h5")
    first.rename(sets / "away")
    second.rename(first)
    (sets / "away").rename(second)
    assert repaired(sets, "built", model_path).repaired == (first, second)
    mine = folder / "mine.h5"
    assert verify_shards(folder).problems == (f"{mine}: not listed in dataset.json",)
    mine.unlink()
    assert file_hashes(folder) == whole


@pytest.mark.slow
def test_repair_by_workers_makes_the_same(sets: Path, model_path: Path) -> None:
    whole = file_hashes(sets / "built")
    for path in (sets / "built").glob("*.h5"):
        flip(path)
    repaired(sets, "built", model_path, run=RunOptions(2))
    assert file_hashes(sets / "built") == whole


@pytest.mark.parametrize("name", ["built", "built-augmented"])
def test_repair_where_a_bad_sample_was_mended_makes_the_shard_without_it(
    sets: Path, model_path: Path, name: str
) -> None:
    """It is what it was; the next build takes the sample, as it would have without the damage."""
    whole = file_hashes(sets / name)
    for path in (sets / name).glob("IBUG*.h5"):
        path.unlink()
    write_sample(sets / "data/IBUG", "IBUG_001_1_0", 77)
    assert repaired(sets, name, model_path).problems == ()
    assert file_hashes(sets / name) == whole
    again = make(sets / "data", model_path, sets / name, SMALL if name == "built" else AUGMENTED)
    assert again.skipped == () and again.new_samples > 0


@pytest.mark.parametrize(
    "bad", [["AFW_001_1_0.mat"], ["AFW_001_1_0.jpg"], ["AFW_001_1_0.mat", "AFW_000_1_0.jpg"]], ids=" ".join
)
def test_repair_where_a_bad_sample_was_mended_covers_others_with_the_same_images(
    model_path: Path, tmp_path: Path, bad: list[str]
) -> None:
    """Occluders showed the image of a sample whose parameters could not be read, and none that could not be read."""
    tree, out = write_tree(tmp_path / "data"), tmp_path / "out"
    whole = {path: path.read_bytes() for path in (tree / "AFW" / name for name in bad)}
    for path in whole:
        path.write_bytes(b"cut")
    covered = Augmentation(occlusion=1.0, occluder_fills=("image",))
    make(tree, model_path, out, replace(SMALL, shard_size=3, augmentation=covered, copies=4))
    before = file_hashes(out)
    shards = sorted(out.glob("AFW-*.h5"))
    for path, content in whole.items():
        path.write_bytes(content)
    for shard in shards:
        shard.unlink()
    result = repair_shards(out, data=tree, model=model_path)
    assert (result.repaired, result.problems) == (tuple(shards), ())
    assert file_hashes(out) == before


def test_repair_where_a_sample_has_changed_leaves_its_shard_and_makes_the_others(sets: Path, model_path: Path) -> None:
    folder = sets / "built"
    whole = file_hashes(folder)
    flip(folder / "AFW-00000.h5")
    flip(folder / "IBUG-00000.h5")
    damaged = file_hashes(folder)
    write_sample(sets / "data/AFW", "AFW_000_1_0", 77)
    result = repaired(sets, "built", model_path)
    assert result.repaired == (folder / "IBUG-00000.h5",)
    assert result.problems == (
        f"{folder / 'AFW-00000.h5'}: made again, but its SHA-256 is not the one in the index: other files or another "
        "machine than when it was made; the file is left as it is; to accept the new one, delete it and run what made "
        "the data set again",
    )
    assert file_hashes(folder) == {**whole, "AFW-00000.h5": damaged["AFW-00000.h5"]}
    (sets / "data/AFW/AFW_000_1_0.jpg").write_bytes(b"no image")
    assert "AFW/AFW_000_1_0 cannot be used any more (" in repaired(sets, "built", model_path).problems[0]


def test_repair_where_more_samples_are_there_makes_what_was_there(sets: Path, model_path: Path) -> None:
    whole = file_hashes(sets / "built")
    flip(sets / "built/AFW-00000.h5")
    write_sample(sets / "data/AFW", "AFW_000_0_0", 5)
    write_sample(sets / "data/LFPW", "LFPW_1", 6)
    assert repaired(sets, "built", model_path).problems == ()
    assert file_hashes(sets / "built") == whole


def test_repair_of_the_builtin_set_needs_no_inputs(tmp_path: Path) -> None:
    build_shards(None, tmp_path / "out", config=SMALL, select=SampleSelection(limit=4))
    whole = file_hashes(tmp_path / "out")
    for path in [*(tmp_path / "out").glob("*.h5"), tmp_path / "out/constants.npz"]:
        flip(path)
    assert len(repair_shards(tmp_path / "out").repaired) > 2
    assert file_hashes(tmp_path / "out") == whole


def test_repair_without_data_says_that_it_took_the_builtin_samples(tmp_path: Path) -> None:
    data = builtin_samples()
    mine = Path(shutil.copytree(data / "IBUG", tmp_path / "mine/IBUG"))
    first, second = sorted(mine.glob("*.jpg"))[:2]
    for path in sorted(mine.iterdir()):
        if path.stem not in (first.stem, second.stem):
            path.unlink()
    for suffix in (".jpg", ".mat"):  # a sample of one's own, which is called as another one
        shutil.copy(second.with_suffix(suffix), first.with_suffix(suffix))
    build_shards(mine.parent, tmp_path / "out", model="builtin", config=SMALL)
    (tmp_path / "out/IBUG-00000.h5").unlink()
    (problem,) = repair_shards(tmp_path / "out").problems
    assert "made of the built-in samples; if the set is of others, give them as argument `data`" in problem
    assert not (tmp_path / "out/IBUG-00000.h5").exists()
    assert repair_shards(tmp_path / "out", data=mine.parent).problems == ()


def test_repair_of_constants_with_weights_of_ones_own_needs_them(tmp_path: Path, tree: Path, model_path: Path) -> None:
    weights = np.random.default_rng(0).random((48, 48), np.float32)
    make(tree, model_path, tmp_path / "out", weights=weights)
    whole = file_hashes(tmp_path / "out")
    flip(tmp_path / "out/constants.npz")
    result = repair_shards(tmp_path / "out", model=model_path)
    assert [text.partition(": ")[2] for text in result.problems] == [
        "the data set was made with another weight mask; left as it is; give weights"
    ]
    assert repair_shards(tmp_path / "out", model=model_path, weights=weights).problems == ()
    assert file_hashes(tmp_path / "out") == whole


# What is refused: nothing is written then


def other_model(path: Path) -> Path:
    model = toy_model()
    save_model(replace(model, mean=model.mean * 1.01), path)
    return path


def refused(sets: Path, name: str, error: type[Exception], pattern: str, **options: Any) -> None:
    before = file_hashes(sets / name)
    with pytest.raises(error, match=pattern):
        repair_shards(sets / name, **options)
    assert file_hashes(sets / name) == before


def test_repair_of_a_set_that_states_more_copies_than_it_has_is_refused_before_they_are_listed(
    sets: Path, model_path: Path
) -> None:
    next((sets / "copies").glob("AFW-*.h5")).unlink()
    edit_index(sets / "copies", lambda content: content["config"].update(copies=9999))
    with pytest.raises(DatasetError, match=r"dataset\.json: lists \d+ shards, its config makes \d+; it was changed"):
        repaired(sets, "copies", model_path)


@pytest.mark.parametrize("copies", [0, 10_001, 10**9])
def test_copies_out_of_range_are_refused(sets: Path, copies: int, tmp_path: Path) -> None:
    edit_index(sets / "copies", lambda content: content["config"].update(copies=copies))
    with pytest.raises(DatasetError, match=rf"copies: {copies}, expected 1 to 10000"):
        open_shards(sets / "copies")
    with pytest.raises(InputError, match=rf"copies: {copies}, expected 1 to 10000"):
        augment_shards(sets / "built", tmp_path / "out", copies=copies)


def test_repair_without_what_it_needs_is_refused(sets: Path, model_path: Path, tmp_path: Path) -> None:
    for name in ("built", "copies"):
        flip(sets / name / "AFW-00000.h5")
    data, source = sets / "data", sets / "built"
    refused(sets, "built", InputError, "model: none, expected the one that .*built was made with", data=data)
    refused(sets, "built", InputError, "data: none, expected the folder of samples", model=model_path)
    refused(sets, "copies", InputError, "source: none, expected the data set whose copies .*copies holds")
    refused(sets, "built", ModelError, r"not the model of .*built", model=other_model(tmp_path / "other.h5"), data=data)
    refused(sets, "copies", DatasetError, "AFW-00000.h5: its SHA-256 is not .*verify --repair", source=source,
            model=model_path)  # fmt: skip
    other = sets / "built-augmented"
    refused(sets, "copies", DatasetError, "built-augmented: not the data set whose copies", source=other)
    for suffix in (".jpg", ".mat"):
        (data / f"AFW/AFW_000_1_0{suffix}").unlink()
    refused(sets, "built", DatasetError, r"data: 1 of 9 samples that .*built was made of are not there, first AFW/A",
            model=model_path, data=data)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error", "pattern"),
    [
        (lambda c: c.update(uvgen="0.0.1"), SettingsError, "was made by uvgen 0.0.1, this is"),
        (
            lambda c: c["config"].update(sharpen=2),
            SettingsError,
            "was made with sharpen = 2, which this uvgen does",
        ),
        (lambda c: c["plan"].update(samples=20), DatasetError, "unfinished, 11 samples are missing"),
        (lambda c: c["plan"].update(names_sha256=""), DatasetError, "its samples are in another order"),
        (lambda c: c["shards"][1].pop("names"), DatasetError, "does not name the samples of AFW-00001.h5"),
    ],
)
def test_repair_of_a_set_that_was_made_otherwise_is_refused(
    sets: Path, model_path: Path, change: Callable[[Any], object], error: type[Exception], pattern: str
) -> None:
    flip(sets / "built/AFW-00000.h5")
    edit_index(sets / "built", change)
    refused(sets, "built", error, pattern, model=model_path, data=sets / "data")


def test_repair_of_a_set_whose_index_is_damaged_says_what_to_do(sets: Path, model_path: Path) -> None:
    flip(sets / "built/dataset.json")
    pattern = "it cannot be repaired, since only this file says what the shards were; make the data set again"
    refused(sets, "built", DatasetError, pattern, model=model_path, data=sets / "data")
    (sets / "built/dataset.json").unlink()
    refused(sets, "built", DatasetError, pattern, model=model_path, data=sets / "data")
    with pytest.raises(DatasetError, match="nothing: no such folder, expected"):
        repair_shards(sets / "nothing")
    assert not (sets / "nothing").exists()


# The command


@pytest.mark.slow
def test_verify_repair_ends_with_0_where_all_is_sound_then_and_with_1_where_not(
    uvgen: Any, sets: Path, model_path: Path
) -> None:
    folder = sets / "built"
    command = ("verify", folder, "--repair", "--model", model_path, "--data", sets / "data", "--workers", 1)
    flip(folder / "AFW-00000.h5")
    result = uvgen("verify", folder)
    assert result.exit_code == 1 and result.stderr.endswith("1 problem; --repair makes damaged files again\n")
    result = uvgen(*command)
    assert result.exit_code == 0 and f"{folder / 'AFW-00000.h5'}: made again, as it was\n" in result.stderr
    assert "are sound" in result.stdout
    (folder / "mine.h5").write_bytes(b"mine")
    result = uvgen(*command)
    assert result.exit_code == 1 and "mine.h5: not listed in dataset.json" in result.stderr
    assert (folder / "mine.h5").read_bytes() == b"mine"
    flip(sets / "copies/AFW-00000.h5")
    result = uvgen(*("verify", sets / "copies", "--repair"), "--model", model_path, "--source", folder, "--workers", 1)
    assert result.exit_code == 0, result.output
    flip(folder / "dataset.json")
    result = uvgen(*command)
    assert result.exit_code == 1 and "it cannot be repaired" in result.stderr


@pytest.mark.parametrize("option", ["--data", "--source", "--weights"])
def test_verify_with_inputs_but_without_repair_is_wrong_usage(uvgen: Any, sets: Path, option: str) -> None:
    result = uvgen("verify", sets / "built", option, sets / "built/dataset.json")
    assert result.exit_code == 2 and f"{option} goes with --repair" in result.stderr


def test_repair_of_a_flat_folder_that_was_renamed_says_what_its_name_was(model_path: Path, tmp_path: Path) -> None:
    for k in range(3):
        write_sample(tmp_path / "faces", f"face{k}", k)
    out = tmp_path / "out"
    make(tmp_path / "faces", model_path, out)
    before = file_hashes(out)
    (out / "faces-00001.h5").unlink()
    (tmp_path / "faces").rename(tmp_path / "moved")
    with pytest.raises(
        DatasetError, match=r"moved, which gives no faces-00001\.h5; was the folder renamed .* name faces$"
    ):
        repair_shards(out, data=tmp_path / "moved", model=model_path)
    (tmp_path / "faces").symlink_to(tmp_path / "moved")
    repair_shards(out, data=tmp_path / "faces", model=model_path)
    assert file_hashes(out) == before
