"""`uvgen export`: each layout read back by the library that reads it elsewhere."""

import dataclasses
import errno
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.builds import SMALL, edit_index, file_hashes, have, listed_shards, seal
from support.exports import needs_package
from support.faults import fail_reads
from support.folders import contents_below
from support.toy import write_tree

import uvgen
from uvgen import Augmentation, RunOptions, open_shards
from uvgen.cli.export import command
from uvgen.datasets.augmented import augment_shards
from uvgen.datasets.export import folder as export_folder
from uvgen.datasets.export import run as export_run
from uvgen.datasets.export.common import Part, unhidden
from uvgen.datasets.export.folder import ExportRecord
from uvgen.datasets.export.targets import EXPORT_TARGETS
from uvgen.errors import BusyError, DatasetError, InputError, OutputError, SettingsError
from uvgen.images.jpeg import JPEG_QUALITY
from uvgen.jobs.run import run_job
from uvgen.models.morphable import MorphableModel
from uvgen.shards.reader import ShardReader
from uvgen.storage.drafts import draft_of
from uvgen.storage.files import folds_case
from uvgen.storage.folders import EXPORT_MARK
from uvgen.storage.journal import Journal
from uvgen.storage.locks import exclusive
from uvgen.storage.names import shortened

N = 9  # samples of the toy tree, in 6 shards
# of 255, at quality 95 on smooth crops: quantization alone; wrong channel or row order is tens of gray levels off
JPEG_ERROR = 3.0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("built")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    MODELS[:] = [Path(shutil.copy(model_path, folder / "model.h5"))]
    return folder / "shards"


def export_shards(shards: Path, out: Path, to: str, **options: Any) -> export_run.ExportResult:
    """An export with what its target needs besides."""
    needs = EXPORT_TARGETS[to].needs if to in EXPORT_TARGETS else ()
    if "model" in needs:
        options.setdefault("model", MODELS[0])
    if "data" in needs:
        options.setdefault("data", MODELS[0].with_name("300W_LP"))
    return export_run.export_shards(shards, out, to, **options)


MODELS: list[Path] = []


@pytest.fixture
def reader(built: Path) -> ShardReader:
    return uvgen.open_shards(built)


def assert_same_picture(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.astype(float) - expected).mean() < JPEG_ERROR


def test_export_webdataset_is_read_by_webdataset(built: Path, reader: ShardReader, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    assert export_shards(built, tmp_path / "tars", "webdataset").samples == N
    tars = sorted(map(str, (tmp_path / "tars").glob("*.tar")))
    assert [Path(tar).stem for tar in tars] == [Path(file).stem for file in reader.files]
    found = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
    assert [sample["json"]["name"] for sample in found] == reader.names
    for sample, expected in zip(found, reader, strict=True):
        assert_same_picture(sample["jpg"], expected["image"])
        np.testing.assert_array_equal(sample["posmap.npy"], expected["posmap"])
        np.testing.assert_array_equal(sample["landmarks.npy"], expected["landmarks"])
        np.testing.assert_array_equal(np.array(sample["json"]["pose"], np.float32), expected["pose"])
        np.testing.assert_array_equal(sample["json"]["image_to_crop"], expected["image_to_crop"])


def test_export_webdataset_keys_have_no_points(built: Path, tmp_path: Path) -> None:
    rename(built, tmp_path / "named", lambda name: name.replace("_1_0", ".v2"))
    export_shards(tmp_path / "named", tmp_path / "tars", "webdataset")
    with tarfile.open(tmp_path / "tars/IBUG-00000.tar") as tar:
        names = tar.getnames()
        member = tar.extractfile(names[3])
        assert member is not None and json.load(member)["name"] == "IBUG/IBUG_000.v2"
    assert names[:2] == ["IBUG/IBUG_000-v2.jpg", "IBUG/IBUG_000-v2.posmap.npy"]


def test_export_npy_is_read_by_numpy_and_pillow(built: Path, reader: ShardReader, tmp_path: Path) -> None:
    export_shards(built, tmp_path / "files", "npy")
    with np.load(tmp_path / "files/samples.npz") as samples:
        assert samples["name"].tolist() == reader.names
        np.testing.assert_array_equal(samples["landmarks"], reader[:]["landmarks"])
        np.testing.assert_array_equal(samples["image_to_crop"], reader[:]["image_to_crop"])
    for sample in reader:
        stem = tmp_path / "files" / sample["name"]
        np.testing.assert_array_equal(np.load(f"{stem}.npy"), sample["posmap"])
        assert_same_picture(np.asarray(Image.open(f"{stem}.jpg")), sample["image"])
    np.testing.assert_array_equal(np.load(tmp_path / "files/weight_mask.npy"), reader.constants["weight_mask"])


def test_export_prnet_is_read_the_way_prnet_pytorch_does(built: Path, reader: ShardReader, tmp_path: Path) -> None:
    export_shards(built, tmp_path / "prnet", "prnet")
    root = tmp_path / "prnet/train"
    numbers = sorted(int(path.name) for path in root.iterdir())  # it takes every entry for a number
    assert numbers == list(range(1, N + 1))  # and 0 for none
    for number, sample in zip(numbers, reader, strict=True):
        (only_map,) = (root / str(number)).glob("*.npy")
        np.testing.assert_array_equal(np.load(only_map), sample["posmap"])
        assert_same_picture(np.asarray(Image.open(root / str(number) / "original.jpg")), sample["image"])
    lines = (tmp_path / "prnet/names.txt").read_text().splitlines()
    assert lines == [f"{k} {name}" for k, name in enumerate(reader.names, start=1)]
    gray = np.asarray(Image.open(tmp_path / "prnet/uv_weight_mask.png"))
    np.testing.assert_array_equal(gray, np.minimum(reader.constants["weight_mask"] * 16, 255))


def test_export_of_shards_without_maps_makes_them(built: Path, tmp_path: Path, model_path: Path) -> None:
    lean = dataclasses.replace(SMALL, maps="none")
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "lean", lean)
    with pytest.raises(InputError, match="lean: stores no maps; give the model that it was built with"):
        export_shards(tmp_path / "lean", tmp_path / "out", "npy")
    export_shards(tmp_path / "lean", tmp_path / "out", "npy", model=model_path)
    for sample in open_shards(tmp_path / "lean", model_path):
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"{sample['name']}.npy"), sample["posmap"])


@pytest.mark.parametrize(
    ("to", "quality", "words"),
    [
        ("tfrecords", 95, "to: 'tfrecords', expected 'webdataset', 'npy', 'prnet', "),
        ("npy", 0, "quality: 0, expected 1 to 100"),
        ("npy", 95.5, "quality: 95.5, expected a whole number, 1 to 100"),
        ("npy", True, "quality: True, expected a whole number, 1 to 100"),
    ],
)
def test_wrong_arguments_leave_nothing(built: Path, tmp_path: Path, to: str, quality: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        export_shards(built, tmp_path / "out", to, quality=quality)
    assert not any(tmp_path.iterdir())


def test_export_of_mirrored_samples_says_so(built: Path, model: MorphableModel, tmp_path: Path) -> None:
    augment_shards(built, tmp_path / "copies", Augmentation(flip=0.5), model=model)
    flipped = open_shards(tmp_path / "copies").column("flipped").tolist()
    assert len(set(flipped)) == 2
    export_shards(tmp_path / "copies", tmp_path / "files", "npy")
    with np.load(tmp_path / "files/samples.npz") as samples:
        assert samples["flipped"].tolist() == flipped
    export_shards(tmp_path / "copies", tmp_path / "tars", "webdataset")
    found = {}
    for path in (tmp_path / "tars").glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                if member.name.endswith(".json"):
                    record = json.load(tar.extractfile(member))  # type: ignore[arg-type]
                    found[record["name"]] = record["flipped"]
    assert [found[name] for name in open_shards(tmp_path / "copies").names] == flipped


ONE_OF_A_KIND = ("npy", "webdataset", "tfrecord")  # files of each sample, archives, rows


def targets(*others: pytest.MarkDecorator) -> list[Any]:
    """Every target but croissant, which has no samples; those that write as one of a kind does get other marks too."""
    return [
        pytest.param(to, marks=[needs_package(to), *(others if to not in ONE_OF_A_KIND else ())])
        for to in EXPORT_TARGETS
        if to != "croissant"
    ]


OF_SAMPLES = targets(pytest.mark.slow)  # `make test` takes one of each kind
ONE_OF_EACH = targets(pytest.mark.slow, pytest.mark.long)  # and CI, of what every target does by the same code


def test_command_takes_the_targets_that_there_are() -> None:
    to = next(option for option in command.params if option.name == "to")
    assert isinstance(to.type, click.Choice)
    assert [*to.type.choices] == [*EXPORT_TARGETS]


@pytest.mark.parametrize("to", [*ONE_OF_EACH, "croissant"])
def test_export_twice_gives_the_same_bytes(built: Path, tmp_path: Path, to: str) -> None:
    for name in "ab":
        export_shards(built, tmp_path / name, to)
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*") if p.is_file()) for n in "ab"]
    assert files[0] == files[1] and files[0]
    for file in files[0]:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_export_into_a_filled_folder_is_refused_and_touches_nothing(built: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    before = file_hashes(tmp_path)
    with pytest.raises(DatasetError, match="exists and is not empty"):
        export_shards(built, tmp_path, "npy")
    assert file_hashes(tmp_path) == before


def test_export_overwrites_an_export_alone(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_shards(built, tmp_path / "new", "prnet", quality=80)
    export_shards(built, out, "npy")
    before = contents_below(out)
    with pytest.raises(SettingsError, match="out: holds an export already"):
        export_shards(built, out, "prnet", quality=80)
    (out / "IBUG/mine").write_text("mine")
    with pytest.raises(OutputError, match="out: holds other files than its export had"):
        export_shards(built, out, "prnet", quality=80, overwrite=True)
    (out / "IBUG/mine").unlink()
    assert contents_below(out) == before
    result = export_shards(built, out, "prnet", quality=80, overwrite=True)
    assert contents_below(out) == contents_below(tmp_path / "new")
    assert ".uvgen-export.json" not in map(str, result.files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"]


def test_export_is_flushed_with_all_its_files_before_it_appears(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, flushed = draft_of(tmp_path / "out"), list[dict[str, str]]()
    monkeypatch.setattr("os.sync", lambda: flushed.append(contents_below(draft)))
    export_shards(built, tmp_path / "out", "npy")
    assert flushed[-1] == contents_below(tmp_path / "out")


def test_export_that_was_killed_while_it_took_the_place_of_another_leaves_nothing(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two renames, neither export has the name."""

    def killed(new: Path, out: Path, check: Callable[[], None]) -> None:
        out.replace(draft_of(out))
        raise KeyboardInterrupt

    export_shards(built, tmp_path / "out", "npy")
    whole = contents_below(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(export_folder, "exchange", killed)
        with pytest.raises(KeyboardInterrupt):
            export_shards(built, tmp_path / "out", "npy", quality=80, overwrite=True)
    assert len([*tmp_path.iterdir()]) == 2 and not (tmp_path / "out").exists()
    with pytest.raises(SettingsError, match="out: holds an export already"):
        export_shards(built, tmp_path / "out", "npy")
    assert json.loads((tmp_path / "out" / EXPORT_MARK).read_text())["quality"] == 80
    export_shards(built, tmp_path / "out", "npy", overwrite=True)
    assert contents_below(tmp_path / "out") == whole and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_export_into_a_mount_point_is_refused_before_any_work(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a container's volumes are, which can be filled elsewhere, and not be renamed."""
    out, done = tmp_path / "out", list[int]()
    export_shards(built, out, "npy")
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path) == out)
    with pytest.raises(OutputError, match="out: is a mount point, expected a folder that can be replaced"):
        export_shards(built, out, "npy", overwrite=True, progress=done.append)
    assert not done and [*tmp_path.iterdir()] == [out]


def test_export_does_not_replace_files_that_came_into_the_old_one_meanwhile(built: Path, tmp_path: Path) -> None:
    """As a training writes them, while the new one is made for hours."""
    out = tmp_path / "out"
    export_shards(built, out, "npy")

    def train(_: int) -> None:
        (out / "checkpoint.pt").write_text("mine")

    with pytest.raises(OutputError, match=r"other files than its export had; .* is whole and stays in .*-new until"):
        export_shards(built, out, "npy", quality=80, overwrite=True, progress=train)
    assert (out / "checkpoint.pt").read_text() == "mine"
    (out / "checkpoint.pt").unlink()
    export_shards(built, out, "npy", quality=80, overwrite=True)
    assert json.loads((out / EXPORT_MARK).read_text())["quality"] == 80
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_export_that_replaces_one_names_its_folder_when_the_disk_is_full(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_shards(built, out, "npy")
    before = contents_below(out)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DatasetError, match=rf"^{tmp_path}/out: cannot be written \(No space left"):
        export_shards(built, out, "npy", quality=80, overwrite=True, progress=full)
    assert contents_below(out) == before


def test_export_takes_the_place_of_one_that_was_moved_away_meanwhile(built: Path, tmp_path: Path) -> None:
    """And leaves what another run, which has begun since, has written for the same place."""
    out, old = tmp_path / "out", tmp_path / "old"
    export_shards(built, out, "npy")
    with ExitStack() as stack:

        def move(_: int) -> None:
            if out.exists():
                out.rename(old)
                stack.enter_context(exclusive(draft_of(out)))
                (draft_of(out) / "begun").touch()

        export_shards(built, out, "npy", quality=80, overwrite=True, progress=move)
        assert (draft_of(out) / "begun").exists()
    assert [json.loads((path / EXPORT_MARK).read_text())["quality"] for path in (old, out)] == [JPEG_QUALITY, 80]
    assert sorted(path.name for path in tmp_path.iterdir()) == [draft_of(out).name, "old", "out"]


def test_export_whose_place_another_folder_took_meanwhile_leaves_that(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_shards(built, out, "npy")

    def move(_: int) -> None:
        if not (tmp_path / "old").exists():
            out.rename(tmp_path / "old")
            out.mkdir()
            (out / "mine").write_text("mine")

    with pytest.raises(OutputError, match="exists and is not empty"):
        export_shards(built, out, "npy", overwrite=True, progress=move)
    assert (out / "mine").read_text() == "mine"


def test_export_whose_journal_cannot_be_deleted_is_not_finished(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "remove", Journal.close)
    with pytest.raises(DatasetError, match=r"\.uvgen-journal: cannot be deleted"):
        export_shards(built, tmp_path / "out", "npy")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_export_whose_list_of_files_a_disk_does_not_give_is_not_said_to_hold_others(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    export_shards(built, tmp_path / "out", "npy")
    fail_reads(monkeypatch, ".uvgen-export.json", number)
    with pytest.raises(OutputError, match=rf"json: cannot be read \({os.strerror(number)}\); (raise the|its disk)"):
        export_shards(built, tmp_path / "out", "npy", overwrite=True)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
@pytest.mark.parametrize("below", ["", "/train", "/train/1"])
def test_export_whose_files_cannot_be_listed_before_they_are_moved_fails_and_leaves_nothing(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, below: str
) -> None:
    list_folder, failed = os.scandir, list[str]()

    def scandir(path: Any) -> Any:
        if re.search(rf"/\.uvgen-part-[^/]*{below}$", str(path)) and not failed:
            failed.append(str(path))
            raise OSError(number, os.strerror(number), path)
        return list_folder(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        with pytest.raises(DatasetError, match=rf"{below}: cannot be listed \({os.strerror(number)}\)"):
            export_shards(built, tmp_path / "out", "prnet")
    assert failed and os.listdir(tmp_path) == []
    export_shards(built, tmp_path / "out", "prnet")
    assert len([*(tmp_path / "out").rglob("uv_posmap.npy")]) == N


def test_export_that_fails_to_overwrite_leaves_the_old_one(built: Path, tmp_path: Path) -> None:
    rename(built, tmp_path / "broken", lambda name: name)
    (tmp_path / "broken/IBUG-00001.h5").write_bytes(b"no shard")
    export_shards(built, tmp_path / "out", "npy")
    before = contents_below(tmp_path / "out")
    with pytest.raises(DatasetError, match=r"IBUG-00001.h5: cannot be read"):
        export_shards(tmp_path / "broken", tmp_path / "out", "npy", overwrite=True)
    assert contents_below(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "out"]


@pytest.mark.parametrize("mark", ["", "[]", "{", '{"files": "3"}', "[" * 10000])
def test_export_beside_a_mark_that_uvgen_did_not_write_deletes_nothing(built: Path, tmp_path: Path, mark: str) -> None:
    (tmp_path / ".uvgen-export.json").write_text(mark)
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(OutputError, match="holds other files than its export had"):
        export_shards(built, tmp_path, "npy", overwrite=True)
    assert (tmp_path / "mine").read_text() == "mine"


def test_export_of_a_damaged_set_leaves_nothing(built: Path, tmp_path: Path) -> None:
    rename(built, tmp_path / "broken", lambda name: name)
    (tmp_path / "broken/IBUG-00001.h5").write_bytes(b"no shard")
    with pytest.raises(DatasetError, match=r"IBUG-00001.h5: cannot be read"):
        export_shards(tmp_path / "broken", tmp_path / "out", "npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken"]


def test_export_of_a_shard_with_other_bytes_than_the_index_lists_is_refused(built: Path, tmp_path: Path) -> None:
    """All of it can be read; after a repair, an interrupted export would go on with what it made of them."""
    shards = shutil.copytree(built, tmp_path / "broken")
    with h5py.File(shards / "IBUG-00001.h5", "r+") as file:
        file["landmarks"][0, 0, 0] += 1
    with pytest.raises(
        DatasetError, match=r"IBUG-00001\.h5: its SHA-256 is not the one .*: run `uvgen verify .*broken"
    ):
        export_shards(shards, tmp_path / "out", "npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken"]


def test_export_of_a_shard_that_is_replaced_meanwhile_holds_what_was_read_first(built: Path, tmp_path: Path) -> None:
    """The small fields are put together when all is written, and the new shard has the same names and settings."""
    shards, expected, read = shutil.copytree(built, tmp_path / "shards"), open_shards(built), list[int]()

    def replace(n: int) -> None:
        read.append(n)
        for path in shards.glob("*.h5") if sum(read) == len(names) else ():
            other = shutil.copy(path, tmp_path / "other")
            with h5py.File(other, "r+") as file:
                file["landmarks"][0, 0, 0] += 1
            os.replace(other, path)

    names = expected.names[: sum(expected.shard_samples[:2])]
    export_shards(shards, tmp_path / "out", "npy", names=names, progress=replace)
    with np.load(tmp_path / "out/samples.npz") as samples:
        np.testing.assert_array_equal(samples["landmarks"], expected[names]["landmarks"])


@pytest.mark.parametrize("to", ["webdataset", "tfrecord", "mds", "stn", "npy"])
def test_export_of_shards_with_the_longest_names_writes_files_that_disks_can_name(
    built: Path, tmp_path: Path, to: str
) -> None:
    """A shard's has the name of the samples' folder, which may be as long as a disk allows."""
    shards = shutil.copytree(built, tmp_path / "shards")
    files = {file: f"{'é' * 122}{k}-00000.h5" for k, file in enumerate(listed_shards(shards))}

    def lengthen(content: dict[str, Any]) -> None:
        for entry in content["shards"]:
            entry["file"] = files[entry["file"]]
        content["skipped"] = []

    for old, new in files.items():
        (shards / old).rename(shards / new)
    edit_index(shards, lengthen)
    result = export_shards(shards, tmp_path / "out", to)
    assert result.samples == N and max(len(path.name.encode()) for path in shards.iterdir()) > 250
    if to == "mds":
        listed = json.loads((tmp_path / "out/index.json").read_text())["shards"]
        assert sum(one["samples"] for one in listed) == N and len(listed) == len(files)
    elif to in ("webdataset", "tfrecord"):
        assert len([path for path in result.files if path.suffix in (".tar", ".tfrecord")]) == len(files)


HOSTILE = ("../away", "/etc/away", "a/../../away", "..", "a//b ", "con", "x\ny", "\\..\\away", "é" * 150)


@pytest.mark.parametrize("to", OF_SAMPLES)
def test_export_of_hostile_names_writes_every_sample_in_its_folder(built: Path, tmp_path: Path, to: str) -> None:
    names = iter(HOSTILE)
    rename(built, tmp_path / "odd", lambda _: next(names))
    place = tmp_path / "deep/er"
    assert export_shards(tmp_path / "odd", place / "out", to).samples == N
    # four of the names have "away" in them
    files_each = {"npy": 2, "reshow": 4, "deep3d": 4, "stn": 1, "obj": 3, "ply": 2, "glb": 1}
    assert [path.name for path in place.iterdir()] == ["out"]
    assert len(list(tmp_path.rglob("*away*"))) == 4 * files_each.get(to, 0)
    if to == "webdataset":
        members = []
        for path in (place / "out").glob("*.tar"):
            with tarfile.open(path) as tar:
                members += tar.getnames()
        assert len(set(members)) == 4 * N
        assert not any(name.startswith("/") or ".." in name or not name.isprintable() for name in members)
    if to == "prnet":
        assert len((place / "out/names.txt").read_text(encoding="utf-8").splitlines()) == N


@pytest.mark.parametrize("to", ["npy", "webdataset", "glb"])
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("same", "same"), "'same': two samples map to this file"),
        (("../a", "__/a"), r"'__/a': two samples map to this file name: '\.\./a' and '__/a'; exp"),
    ],
)
def test_export_of_names_that_collide_is_an_error(
    built: Path, tmp_path: Path, to: str, names: tuple[str, str], words: str
) -> None:
    given = iter([*names, *map(str, range(N))])
    rename(built, tmp_path / "odd", lambda _: next(given))
    with pytest.raises(InputError, match=words):
        export_shards(tmp_path / "odd", tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


def test_export_of_shards_whose_names_are_shortened_to_one_is_an_error(built: Path, tmp_path: Path) -> None:
    long = "A" * 240
    reader = SimpleNamespace(names=[], files=[f"{long}.h5", f"{shortened(long)}.h5"])
    with pytest.raises(InputError, match=r"^A+…: two shards' names are shortened to this one"):
        export_run._check_names(reader, EXPORT_TARGETS["npy"], tmp_path)  # type: ignore[arg-type]


def test_export_of_names_that_differ_in_case_needs_a_disk_that_tells_them_apart(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter(["Face/é", "face/É", *map(str, range(N))])
    rename(built, tmp_path / "odd", lambda _: next(given))
    with monkeypatch.context() as patch:
        patch.setattr(export_run, "folds_case", lambda _: True)
        with pytest.raises(InputError, match=r"samples 'Face/é' and 'face/É': one file name on the disk of .*out"):
            export_shards(tmp_path / "odd", tmp_path / "out", "npy")
    before = sorted(tmp_path.iterdir())
    if not folds_case(tmp_path / "out" / "below"):
        assert sorted(tmp_path.iterdir()) == before
        export_shards(tmp_path / "odd", tmp_path / "out", "npy")
        assert all((tmp_path / "out" / name).is_file() for name in ("Face/é.npy", "face/É.npy"))


def test_export_whose_draft_a_link_replaced_writes_nothing_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "draft").symlink_to(tmp_path / "mine")
    with pytest.raises(DatasetError, match="draft: was moved or replaced while it was written; run the command again"):
        export_folder.written(tmp_path / "draft", Part("A-00000", range(1)), lambda _: [])
    assert not [*(tmp_path / "mine").iterdir()]


def test_export_of_a_file_named_like_a_folder_is_an_error(built: Path, tmp_path: Path) -> None:
    given = iter(["a", "a.jpg/b", *map(str, range(N))])
    rename(built, tmp_path / "odd", lambda _: next(given))
    with pytest.raises(InputError, match=r"'a': its file has the name of another sample's folder, 'a\.jpg'"):
        export_shards(tmp_path / "odd", tmp_path / "out", "npy")


@pytest.mark.parametrize(
    ("to", "own"), [(to, own) for to, target in EXPORT_TARGETS.items() for own in target.own_files]
)
def test_export_of_a_folder_with_the_name_of_the_exports_own_file_is_an_error(
    built: Path, tmp_path: Path, to: str, own: str
) -> None:
    given = iter([f"{own}/a", *map(str, range(N))])
    rename(built, tmp_path / "odd", lambda _: next(given))
    with pytest.raises(InputError, match=f"a sample's folder '{own}': a file of the export's own has this name"):
        export_shards(tmp_path / "odd", tmp_path / "out", to)


@pytest.mark.parametrize("to", ["npy", "reshow", "obj", "stn"])
def test_export_of_samples_in_folders_named_like_its_own_hidden_ones_holds_them_all(
    built: Path, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each shard is written into a folder whose name follows from the shard's, and which is emptied before."""
    plain = export_shards(built, tmp_path / "plain", to)
    stages, mkdir = list[str](), Path.mkdir

    def noting(path: Path, *arguments: Any, **options: Any) -> None:
        if path.parent.name.startswith(".uvgen-out-") and path.name.startswith("."):
            stages.append(path.name)
        mkdir(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", noting)
        export_shards(built, tmp_path / "out", to)
    assert len(set(stages)) == 6  # one for each shard
    folders = [*reversed([*dict.fromkeys(stages)]), ".uvgen-export.json", ".uvgen-journal", ".uvgen-part-0"]
    given = iter([f"{folder}/a" for folder in folders])
    rename(built, tmp_path / "odd", lambda _: next(given))
    odd = export_shards(tmp_path / "odd", tmp_path / "odd out", to)
    assert (odd.samples, len(odd.files)) == (N, len(plain.files))


@pytest.mark.parametrize("to", OF_SAMPLES)
@pytest.mark.parametrize(("field", "value"), [("image_to_crop", 0), ("image_to_crop", np.nan), ("pose", np.nan)])
def test_export_of_a_sample_whose_numbers_cannot_be_names_it(
    built: Path, tmp_path: Path, to: str, field: str, value: float
) -> None:
    shutil.copytree(built, tmp_path / "odd")
    path = sorted((tmp_path / "odd").glob("*.h5"))[0]
    with h5py.File(path, "r+") as file:
        name = file["name"].asstr()[0]
        values = file[field][()]
        values[0] = value
        file[field][...] = values
    seal(tmp_path / "odd")
    if to == "deep3d":  # which leaves samples out
        (skipped,) = export_shards(tmp_path / "odd", tmp_path / "out", to).skipped
        assert skipped.name == name and field in skipped.reason
        return
    with pytest.raises(DatasetError, match=rf"odd: {name}: {field} .*; run `uvgen verify"):
        export_shards(tmp_path / "odd", tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


def test_files_of_an_export_to_reshow_are_its_own_or_in_folders(built: Path, tmp_path: Path) -> None:
    export_shards(built, tmp_path / "out", "reshow")
    files = {path.name for path in (tmp_path / "out").iterdir() if path.is_file() and path.name[0] != "."}
    assert files == {*EXPORT_TARGETS["reshow"].own_files} - {"skipped.txt"}


def rename(built: Path, folder: Path, change: Any) -> None:
    """A copy of a data set with other sample names."""
    folder.mkdir()
    for path in built.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for path in folder.glob("*.h5"):
        with h5py.File(path, "a") as file:
            names = [change(name).encode() for name in file["name"].asstr()[()]]
            del file["name"]
            file.create_dataset("name", data=names, dtype=h5py.string_dtype("utf-8", 400))
    seal(folder, lambda content: [entry.pop("names") for entry in content["shards"]])


def test_uvgen_export_says_what_it_wrote(uvgen: Any, built: Path, tmp_path: Path) -> None:
    result = uvgen("export", built, "--to", "npy", "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'out'}: {N} samples as npy\n")
    again = uvgen("export", built, "--to", "npy", "--out", tmp_path / "out")
    assert again.exit_code == 1
    refusal = "holds an export already; choose another folder, or overwrite it (--out, --overwrite)"
    assert again.stderr == f"uvgen: {tmp_path / 'out'}: {refusal}\n"
    assert uvgen("export", built, "--to", "tfrecords", "--out", tmp_path / "x").exit_code == 2
    nothing = uvgen("export", tmp_path, "--to", "npy", "--out", tmp_path / "x", "--quiet")
    assert (nothing.exit_code, nothing.stdout) == (1, "") and "no such file" in nothing.stderr


def test_export_that_was_killed_goes_on_and_another_s_draft_is_left_alone(built: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "files", list[int]()

    def stop(n: int) -> None:
        seen.append(n)
        with pytest.raises(
            BusyError, match=rf"^{tmp_path}[^.]*: another uvgen is writing into it"
        ):  # its draft is ours
            export_shards(built, out, "npy")
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_shards(built, out, "npy", progress=stop)
    assert not out.exists() and list(draft_of(out).rglob("*.npy"))
    again: list[int] = []
    result = export_shards(built, out, "npy", progress=again.append)
    assert sum(seen) + sum(again) == N == result.samples and not draft_of(out).exists()
    export_shards(built, tmp_path / "whole", "npy")
    left, right = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.npy")} for f in (out, tmp_path / "whole"))
    assert left == right
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in (tmp_path / "whole").iterdir())


def test_export_with_other_settings_starts_its_draft_anew(built: Path, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_shards(built, tmp_path / "out", "npy", progress=stop)
    export_shards(built, tmp_path / "out", "webdataset")
    assert {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()} == {".tar", ".npy", ".json"}
    assert [path.name for path in (tmp_path / "out").glob("*.npy")] == ["weight_mask.npy"]


@pytest.mark.slow
@pytest.mark.parametrize("to", [*ONE_OF_EACH, pytest.param("croissant", marks=pytest.mark.long)])
def test_export_on_two_workers_writes_the_same_files(built: Path, tmp_path: Path, to: str) -> None:
    for workers in (1, 2):
        export_shards(built, tmp_path / f"{to}{workers}", to, run=RunOptions(workers))
    one, two = (
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file() and p.suffix != ".npz"}
        for f in (tmp_path / f"{to}1", tmp_path / f"{to}2")
    )
    assert one == two and one


def test_export_of_a_set_that_is_made_again_meanwhile_fails_and_leaves_nothing(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set that got one more sample: numbers that the command gave out are other samples', and the last has none."""
    uvgen.merge_shards(built, tmp_path / "shards", names=open_shards(built).names[1:])

    def made_again(*arguments: Any, **options: Any) -> None:
        shutil.rmtree(tmp_path / "shards")
        shutil.copytree(built, tmp_path / "shards")
        run_job(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(export_run, "run_job", made_again)
        with pytest.raises(DatasetError, match="shards: was made again or replaced while it was read; run the command"):
            export_shards(tmp_path / "shards", tmp_path / "out", "npy")
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]
    assert export_shards(tmp_path / "shards", tmp_path / "out", "npy").samples == N


@pytest.mark.parametrize("to", ONE_OF_EACH)
def test_export_of_a_split_writes_its_samples_alone(built: Path, tmp_path: Path, to: str) -> None:
    assert_split_is_exported_alone(built, tmp_path, to, workers=1)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("to", OF_SAMPLES)
def test_export_of_a_split_on_two_workers_writes_its_samples_alone(built: Path, tmp_path: Path, to: str) -> None:
    assert_split_is_exported_alone(built, tmp_path, to, workers=2)


def assert_split_is_exported_alone(built: Path, tmp_path: Path, to: str, workers: int) -> None:
    shards = Path(shutil.copytree(built, tmp_path / "shards"))
    uvgen.split_shards(shards, {"train": 0.5, "val": 0.5})
    val = open_shards(shards, split="val")
    assert export_shards(shards, tmp_path / "val", to, split="val", run=RunOptions(workers)).samples == len(val) < N
    listed = export_shards(shards, tmp_path / "listed", to, names=val.names)
    assert contents_below(tmp_path / "val") == contents_below(tmp_path / "listed")
    whole = export_shards(shards, tmp_path / "all", to)
    assert len(listed.files) < len(whole.files)
    if to == "npy":
        jpegs = (tmp_path / "val").rglob("*.jpg")
        stems = {str(path.relative_to(tmp_path / "val").with_suffix("")) for path in jpegs}
        assert stems == set(val.names)


def test_export_that_was_killed_is_not_finished_with_other_samples(built: Path, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    names = open_shards(built).names
    with pytest.raises(KeyboardInterrupt):
        export_shards(built, tmp_path / "out", "npy", progress=stop)
    export_shards(built, tmp_path / "out", "npy", names=names[-2:])
    jpegs = list((tmp_path / "out").rglob("*.jpg"))
    assert len(jpegs) == 2


@pytest.mark.parametrize("to", OF_SAMPLES)
def test_export_that_was_killed_goes_on_to_the_same_files(built: Path, tmp_path: Path, to: str) -> None:
    seen = list[int]()

    def stop(n: int) -> None:
        seen.append(n)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_shards(built, tmp_path / "out", to, progress=stop)
    again = list[int]()
    export_shards(built, tmp_path / "out", to, progress=again.append)
    assert sum(seen) + sum(again) == N and seen
    export_shards(built, tmp_path / "whole", to)
    left, right = contents_below(tmp_path / "out"), contents_below(tmp_path / "whole")
    assert {name for name in left if not name.endswith(".npz")} and left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name] and not name.endswith(".npz")] == []


@pytest.mark.parametrize("damage", ["gone", "cut short", "changed"])
@pytest.mark.parametrize("to", ["npy", "mds", "webdataset"])
def test_export_that_was_killed_makes_again_what_is_no_longer_there(
    built: Path, tmp_path: Path, to: str, damage: str
) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_shards(built, tmp_path / "out", to, progress=stop)
    draft = draft_of(tmp_path / "out")
    assert not [path for path in draft.iterdir() if path.name.startswith(".uvgen-part-")]
    (draft / ".uvgen-part-0123456789abcdef").mkdir()  # of a process that was killed
    lost = next(path for path in sorted(draft.rglob("*")) if path.suffix in (".npy", ".mds", ".tar"))
    if damage == "gone":
        lost.unlink()
    elif damage == "changed":
        lost.write_bytes(bytes(lost.stat().st_size))
    else:
        os.truncate(lost, 100)
    export_shards(built, tmp_path / "out", to)
    export_shards(built, tmp_path / "whole", to)
    left, right = contents_below(tmp_path / "out"), contents_below(tmp_path / "whole")
    assert left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name] and not name.endswith(".npz")] == []


def test_export_that_was_killed_while_it_was_flushed_makes_nothing_again(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes, again = list[int](), list[int]()

    def killed() -> None:
        flushes.append(1)
        if len(flushes) > len(open_shards(built).files):  # one for each shard, and when all is written
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.sync", killed)
        with pytest.raises(KeyboardInterrupt):
            export_shards(built, tmp_path / "out", "npy")
    export_shards(built, tmp_path / "out", "npy", progress=again.append)
    assert not again and [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("to", ONE_OF_EACH)
def test_export_that_was_killed_while_it_was_finished_goes_on_to_the_same_files(
    built: Path, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All shards are written, and the target's last files too: the next run writes the latter again."""

    def stop(record: Any) -> None:
        record._finish(record.skipped)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ExportRecord, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            export_shards(built, tmp_path / "out", to)
    again = list[int]()
    export_shards(built, tmp_path / "out", to, progress=again.append)
    assert not again
    export_shards(built, tmp_path / "whole", to)
    left, right = contents_below(tmp_path / "out"), contents_below(tmp_path / "whole")
    assert left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name] and not name.endswith(".npz")] == []


@pytest.mark.parametrize("to", ["obj", "ply", "glb", "croissant"])
def test_export_refuses_a_quality_of_jpeg_files_that_it_does_not_write(
    uvgen: Any, built: Path, tmp_path: Path, to: str
) -> None:
    result = uvgen("export", built, "--to", to, "--quality", 50, "--out", tmp_path / "out")
    assert result.exit_code == 2 and f"--quality does not go with --to {to}" in " ".join(result.stderr.split())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AFW/a", "AFW/a"), (".faces/a", "_.faces/a"), ("a/.b", "a/_.b"), ("@eaDir/a", "_@eaDir/a"),
        (".uvgen-out-1/a", "_.uvgen-out-1/a"), ("a.b/c", "a.b/c"),
    ],
)  # fmt: skip
def test_files_of_an_export_are_none_that_are_passed_over(name: str, expected: str) -> None:
    """Whoever reads the folder, as `import_maps`, would lose them."""
    assert unhidden(name) == expected
