"""`untrusted=True`: what breaks HDF5 breaks a child process, and ends in an error that names the file."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.builds import assert_equal_samples, edit_index, file_hashes, have
from support.hostile import CRASHES, HANGS, as_shard, break_readers
from support.toy import write_tree

import uvgen
from uvgen import Augmentation, RunOptions, load_model, open_shards
from uvgen.errors import DatasetError, ModelError
from uvgen.models.morphable import MorphableModel
from uvgen.storage import isolated


@pytest.fixture(scope="module")
def built(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrusted")
    have(write_tree(folder / "300W_LP", 1), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture(autouse=True)
def broken(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    break_readers(tmp_path_factory.mktemp("site"), monkeypatch.setenv)


def marked(path: Path, mark: bytes, to: Path) -> Path:
    """A copy of a file at which a reading process breaks."""
    to.write_bytes(path.read_bytes() + mark)
    return to


READERS: dict[str, Callable[[Path, Path, Any], object]] = {
    "open_shards": lambda shards, out, options: open_shards(shards, **options)[0],
    "column": lambda shards, out, options: open_shards(shards, **options).column("pose"),
    "export_shards": lambda shards, out, options: uvgen.export_shards(shards, out, "npy", **options),
    "augment_shards": lambda shards, out, options: uvgen.augment_shards(shards, out, "none", **options),
    "render_preview": lambda shards, out, options: uvgen.render_preview(shards, f"{out}.png", 1, **options),
}


@pytest.mark.parametrize("reader", READERS)
def test_reader_of_a_shard_that_crashes_hdf5_raises_and_names_it(built: Path, tmp_path: Path, reader: str) -> None:
    file = sorted(built.glob("*.h5"))[0]
    shards = as_shard(file.read_bytes() + CRASHES, built, tmp_path / "shards")
    with pytest.raises(DatasetError, match=rf"{file.name}: the process that read it ended with status -6: .* harm"):
        READERS[reader](shards, tmp_path / "out", {"untrusted": True})
    READERS[reader](shards, tmp_path / "out", {})  # this process, whose HDF5 is whole, reads it


def test_verify_of_a_shard_that_crashes_hdf5_names_it(built: Path, tmp_path: Path) -> None:
    shards = as_shard(sorted(built.glob("*.h5"))[0].read_bytes() + CRASHES, built, tmp_path / "shards")
    (problem,) = uvgen.verify_shards(shards, untrusted=True).problems
    assert "the process that read it ended with status -6" in problem
    assert uvgen.verify_shards(shards).sound


def test_split_of_a_shard_that_crashes_hdf5_raises_where_the_index_names_no_samples(
    built: Path, tmp_path: Path
) -> None:
    shards = as_shard(sorted(built.glob("*.h5"))[0].read_bytes() + CRASHES, built, tmp_path / "shards")
    edit_index(shards, lambda content: [entry.pop("names", None) for entry in content["shards"]])
    with pytest.raises(DatasetError, match=r"the process that read it ended with status -6"):
        uvgen.split_shards(shards, {"train": 1.0}, untrusted=True)
    assert uvgen.split_shards(shards, {"train": 1.0}).splits[0].samples == tuple(open_shards(shards).names)


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["export_shards", "augment_shards"])
def test_workers_of_a_shard_that_crashes_hdf5_raise(built: Path, tmp_path: Path, reader: str) -> None:
    """Each worker process has a child of its own; the parent reads one shard, a worker the broken one."""
    shards = as_shard(sorted(built.glob("*.h5"))[0].read_bytes() + CRASHES, built, tmp_path / "shards")
    with pytest.raises(DatasetError, match=r"the process that read it ended with status -6"):
        READERS[reader](shards, tmp_path / "out", {"untrusted": True, "run": RunOptions(2)})


@pytest.mark.slow
def test_results_are_those_of_reading_here(built: Path, model_path: Path, tmp_path: Path) -> None:
    for there in (False, True):
        options: dict[str, Any] = {"model": model_path, "untrusted": there}
        uvgen.export_shards(built, tmp_path / f"export{there}", "npy", **options)
        uvgen.augment_shards(built, tmp_path / f"augment{there}", Augmentation(flip=1.0), **options)
        uvgen.render_preview(built, tmp_path / f"{there}.png", 2, **options)
    assert file_hashes(tmp_path / "augmentFalse") == file_hashes(tmp_path / "augmentTrue")
    exported = [sorted(path.rglob("*.*")) for path in (tmp_path / "exportFalse", tmp_path / "exportTrue")]
    assert [path.read_bytes() for path in exported[0]] == [path.read_bytes() for path in exported[1]]
    assert (tmp_path / "False.png").read_bytes() == (tmp_path / "True.png").read_bytes()
    assert_equal_samples(open_shards(built)[0], open_shards(built, model_path, untrusted=True)[0])


# Models


def test_load_model_untrusted_is_the_same_model_mapped(model: MorphableModel, model_path: Path) -> None:
    found = load_model(model_path, untrusted=True)
    assert found.content_sha256 == model.content_sha256 and found.name == model.name
    for array in (found.basis, found.albedo_basis):
        while isinstance(array.base, np.ndarray):  # type: ignore[union-attr]
            array = array.base  # type: ignore[union-attr]
        assert isinstance(array, np.memmap)


@pytest.mark.slow
def test_load_model_untrusted_travels_as_its_path_and_stays_untrusted(model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    path.write_bytes(model_path.read_bytes())
    data = pickle.dumps(load_model(path, untrusted=True)), pickle.dumps(load_model(path))
    assert len(data[0]) < 1000
    assert pickle.loads(data[0]).content_sha256 == load_model(path).content_sha256
    marked(path, CRASHES, path)
    with pytest.raises(ModelError, match=r"m\.h5: .*ended with status -6"):
        pickle.loads(data[0])
    pickle.loads(data[1])


def matlab_7_3(path: Path) -> Path:
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        file["model/shapeMU"] = np.ones((1, 9))
    head = (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM").ljust(512, b"\0")
    path.write_bytes(head + path.read_bytes()[512:])
    return path


def test_load_model_untrusted_of_matlab_7_3_says_what_reading_here_says(tmp_path: Path) -> None:
    """The user block, groups and struct are read in the child, too."""
    path = matlab_7_3(tmp_path / "BFM.mat")
    messages = []
    for untrusted in (False, True):
        with pytest.raises(ModelError) as caught:
            load_model(path, untrusted=untrusted)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and "variable shapePC is missing; the file holds shapeMU" in messages[0]


@pytest.mark.parametrize(("mark", "message"), [(CRASHES, "ended with status -6"), (HANGS, "took more than 1 s")])
@pytest.mark.parametrize("name", ["m.h5", "BFM.mat"])
def test_load_model_untrusted_of_a_file_that_breaks_hdf5_raises(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mark: bytes, message: str
) -> None:
    if mark == HANGS:
        monkeypatch.setattr(isolated, "MAX_SECONDS", 1.0)
    whole = model_path if name == "m.h5" else matlab_7_3(tmp_path / "whole.mat")
    path = marked(whole, mark, tmp_path / name)
    with pytest.raises(ModelError, match=rf"{name}: .*{message}"):
        load_model(path, untrusted=True)


@pytest.mark.slow
def test_model_of_a_data_set_is_read_as_its_shards_are(built: Path, model_path: Path, tmp_path: Path) -> None:
    path = marked(model_path, CRASHES, tmp_path / "m.h5")
    ways: list[Callable[[], object]] = [
        lambda: open_shards(built, path, untrusted=True),
        lambda: uvgen.verify_shards(built, model=path, untrusted=True),
        lambda: uvgen.export_shards(built, tmp_path / "a", "npy", model=path, untrusted=True),
        lambda: uvgen.augment_shards(built, tmp_path / "b", Augmentation(flip=0.5), model=path, untrusted=True),
        lambda: uvgen.render_preview(built, tmp_path / "c.png", model=path, untrusted=True),
        lambda: uvgen.convert_model(tmp_path / "d.h5", path, untrusted=True),
    ]
    for way in ways:
        with pytest.raises(ModelError, match=r"m\.h5: .*ended with status -6"):
            way()
    open_shards(built, path)
