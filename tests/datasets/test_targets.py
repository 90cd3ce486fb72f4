"""Per-pixel targets in data sets: built, augmented, verified, repaired, and refused where they cannot be made."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import SMALL, edit_index, file_hashes, have, make
from support.toy import toy_model, write_tree

from uvgen import (
    Augmentation,
    augment_shards,
    contact_sheet,
    load_model,
    merge_shards,
    open_shards,
    repair_shards,
    save_model,
    verify_shards,
)
from uvgen.datasets.config import BuildConfig, sample_bytes
from uvgen.datasets.fields import MAP_PARAMETERS
from uvgen.errors import DatasetError, InputError, ModelError
from uvgen.fixed_point import decode
from uvgen.maps.target_layouts import COVERED, TARGETS
from uvgen.maps.targets import TargetMaker
from uvgen.models.morphable import REGIONS
from uvgen.storage.files import sha256_file

ALL = dataclasses.replace(SMALL, targets=TARGETS)
TURN = Augmentation(rotation_deg=(-40, 40), scale=(0.9, 1.2), translation=(-0.1, 0.1), flip=0.5)


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the toy with labels of its vertices."""
    path = tmp_path_factory.mktemp("model") / "labeled.h5"
    labels = (np.arange(toy_model().n_vertices) // 50 % len(REGIONS)).astype(np.uint8)
    save_model(dataclasses.replace(toy_model(), regions=labels), path)
    return path


def assert_made_of_parameters(folder: Path, model_path: Path) -> None:
    """Each sample's images are those that its own fields give."""
    reader = open_shards(folder)
    config = reader.config.build
    maker = TargetMaker(load_model(model_path), config.targets, crop_size=config.size, uv_size=config.uv_size)
    for sample in reader:
        flipped = np.array([sample.get("flipped", False)])
        made, _ = maker(*(np.asarray(sample[key])[None] for key in MAP_PARAMETERS), flipped=flipped)
        for name, layout in maker.layouts.items():
            expected = decode(made[name][0], layout.attributes)
            np.testing.assert_array_equal(sample[name], expected, err_msg=f"{sample['name']} {name}", strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{}, {"maps": "none", "image_codec": "jpeg"}, {"compression": "gzip"}])
def test_build_with_targets_stores_what_the_parameters_give(
    tree: Path, labeled: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    make(tree, labeled, tmp_path / "out", dataclasses.replace(ALL, **change))
    assert_made_of_parameters(tmp_path / "out", labeled)
    assert verify_shards(tmp_path / "out", model=labeled).problems == ()
    sample = open_shards(tmp_path / "out")[0]
    assert sample["uv"].shape == (32, 32, 2) and sample["visibility"].shape == (48, 48)
    assert {sample[name].dtype.name for name in ("uv", "normals", "depth", "pncc")} == {"float32"}
    assert sample[COVERED].dtype == bool and 0.1 < sample[COVERED].mean() < 1
    assert ("posmap" in sample) == (change.get("maps") != "none")


def test_build_without_targets_has_the_bytes_that_it_had_beside_them(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    have(tree, model_path, tmp_path / "plain")
    make(tree, model_path, tmp_path / "again", dataclasses.replace(SMALL, targets=()))
    assert file_hashes(tmp_path / "plain") == file_hashes(tmp_path / "again")
    content = json.loads((tmp_path / "plain" / "dataset.json").read_text(encoding="utf-8"))
    assert "targets" not in content["config"]
    assert not {*TARGETS, COVERED} & open_shards(tmp_path / "plain").fields.keys()


def test_build_with_some_targets_stores_them_alone_in_one_order(tree: Path, model_path: Path, tmp_path: Path) -> None:
    for name, targets in (("a", ("depth", "uv")), ("b", ("uv", "depth"))):
        make(tree, model_path, tmp_path / name, dataclasses.replace(SMALL, targets=targets))
    assert file_hashes(tmp_path / "a") == file_hashes(tmp_path / "b")
    fields = open_shards(tmp_path / "a").fields
    assert {*TARGETS, COVERED} & fields.keys() == {"uv", "depth", COVERED}
    assert sample_bytes(dataclasses.replace(SMALL, targets=("uv",))) == sample_bytes(SMALL) + 32 * 32 * (4 + 1)
    config = BuildConfig.from_plain(dataclasses.replace(SMALL, targets=("depth", "uv")).to_plain())
    assert config.targets == ("uv", "depth")


@pytest.mark.slow
@pytest.mark.parametrize("maps", ["stored", "none"])
def test_augmented_targets_are_drawn_where_the_sample_moved_to(labeled: Path, tmp_path: Path, maps: str) -> None:
    tree = write_tree(tmp_path / "300W_LP", 1)
    config = dataclasses.replace(ALL, maps=maps)
    make(tree, labeled, tmp_path / "built", dataclasses.replace(config, augmentation=TURN, copies=2))
    make(tree, labeled, tmp_path / "plain", config)
    augment_shards(tmp_path / "plain", tmp_path / "copies", TURN, copies=2, model=labeled)
    for folder in ("built", "copies"):
        assert_made_of_parameters(tmp_path / folder, labeled)
        assert verify_shards(tmp_path / folder, model=labeled).problems == ()
        samples = [*open_shards(tmp_path / folder)]
        assert len(samples) == 6 and 0 < sum(bool(sample["flipped"]) for sample in samples) < 6


def test_augment_of_a_set_with_targets_needs_its_model(tree: Path, model_path: Path, tmp_path: Path) -> None:
    make(tree, model_path, tmp_path / "out", dataclasses.replace(SMALL, targets=("uv",)))
    with pytest.raises(InputError, match=r"targets: the set has uv, which are made again .*; give the set's model"):
        augment_shards(tmp_path / "out", tmp_path / "copies", Augmentation(rotation_deg=(5, 5)))
    assert not (tmp_path / "copies").exists()


def test_build_of_parts_without_regions_ends_before_any_work(tree: Path, model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="toy: has no regions, expected labels of its vertices for the target parts"):
        make(tree, model_path, tmp_path / "out", dataclasses.replace(SMALL, targets=("parts",)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": ("flow",)}, "targets: 'flow', expected 'uv'"),
        ({"targets": ("uv", "uv")}, "targets: uv, uv, expected each once"),
        ({"targets": ("uv",), "maps_from": "face3d"}, "maps_from: given with .* targets, which need the samples'"),
    ],
)
def test_config_with_targets_that_cannot_be_is_an_error(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BuildConfig(**change).check()


def _changed(folder: Path, change: Any) -> list[str]:
    """What verify says of the first shard after a change to it that the index agrees with."""
    path = sorted(folder.glob("*.h5"))[0]
    with h5py.File(path, "r+") as file:
        change(file)

    def relist(content: dict[str, Any]) -> None:
        for entry in content["shards"]:
            if entry["file"] == path.name:
                entry["sha256"], entry["size_bytes"] = sha256_file(path), path.stat().st_size

    edit_index(folder, relist)
    return list(verify_shards(folder, model=folder.parent / "model.h5").problems)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file["depth"].__setitem__(0, file["depth"][0] + 9), "depth is not that of its parameters in"),
        (lambda file: file["normals"].__setitem__(0, file["normals"][0][:, ::-1]), "normals is not that of its"),
        (lambda file: file["parts"].__setitem__(0, 9), "parts of .* holds 9, expected labels of 0 to 6"),
        (lambda file: file["uv"].attrs.__setitem__("scale_factor", 2.0), "uv holds codes with another scale"),
        (lambda file: file.__delitem__("covered"), "no dataset covered|covered"),
        (lambda file: file["parts"].attrs.update(scale_factor=1.0, add_offset=0.0), "parts holds codes with a scale"),
    ],
)
def test_verify_finds_changed_targets(tree: Path, labeled: Path, tmp_path: Path, change: Any, words: str) -> None:
    save_model(load_model(labeled), tmp_path / "model.h5")
    make(tree, tmp_path / "model.h5", tmp_path / "out", ALL)
    problems = _changed(tmp_path / "out", change)
    assert any(re.search(words, problem) for problem in problems), problems


@pytest.mark.slow
def test_targets_are_merged_and_repaired_with_their_sets(tree: Path, labeled: Path, tmp_path: Path) -> None:
    make(tree, labeled, tmp_path / "out", ALL)
    names = open_shards(tmp_path / "out").names
    merge_shards([tmp_path / "out"], tmp_path / "some", names=names[:3])
    assert_made_of_parameters(tmp_path / "some", labeled)
    augment_shards(tmp_path / "out", tmp_path / "copies", Augmentation(rotation_deg=(-9, 9)), model=labeled)
    for folder, how in (("out", {"data": tree}), ("copies", {"source": tmp_path / "out"})):
        before = file_hashes(tmp_path / folder)
        shard = sorted((tmp_path / folder).glob("*.h5"))[0]
        shard.write_bytes(shard.read_bytes()[:-9])
        assert repair_shards(tmp_path / folder, model=labeled, **how).problems == ()
        assert file_hashes(tmp_path / folder) == before


@pytest.mark.slow
def test_build_command_takes_targets_and_preview_shows_them(
    uvgen: Any, tree: Path, model_path: Path, tmp_path: Path
) -> None:
    common = ("build", "--data", tree, "--model", model_path, "--size", 32, "--out")
    assert uvgen(*common, tmp_path / "out", "--targets", "uv,posmap,visibility").exit_code == 0
    assert {"posmap", "uv", "visibility", COVERED} <= open_shards(tmp_path / "out").fields.keys()
    assert uvgen(*common, tmp_path / "none", "--targets", "uv").exit_code == 0
    assert open_shards(tmp_path / "none").config.build.maps == "none"
    bad = uvgen(*common, tmp_path / "bad", "--targets", "posmap,flow")
    assert bad.exit_code == 2 and "--targets: 'flow', expected 'posmap', 'uv'" in bad.stderr
    bad = uvgen(*common, tmp_path / "bad", "--targets", "uv", "--maps", "stored")
    assert bad.exit_code == 2 and "--targets without posmap does not go with --maps stored" in bad.stderr
    bad = uvgen(*common, tmp_path / "bad", "--targets", "posmap,parts")
    assert bad.exit_code == 1 and "toy: has no regions" in bad.stderr
    plain, more = tmp_path / "plain.png", tmp_path / "more.png"
    assert uvgen("preview", tmp_path / "out", "--out", plain).exit_code == 0
    assert uvgen("preview", tmp_path / "out", "--out", more, "--targets").exit_code == 0
    assert more.stat().st_size > plain.stat().st_size
    assert uvgen(*common, tmp_path / "old").exit_code == 0
    bad = uvgen("preview", tmp_path / "old", "--out", plain, "--targets")
    assert bad.exit_code == 1 and "has no per-pixel targets to show" in bad.stderr
    with pytest.raises(DatasetError, match="has no per-pixel targets to show"):
        contact_sheet(open_shards(tmp_path / "old"), targets=True)
