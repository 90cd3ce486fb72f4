"""Sets without stored maps and with JPEG crops read like those with both."""

import dataclasses
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.builds import SMALL, have, make
from support.toy import toy_model

from uvgen import load_model, open_shards, save_model, verify_shards
from uvgen.errors import InputError, ModelError
from uvgen.models.morphable import make_model

LEAN = dataclasses.replace(SMALL, maps="none", image_codec="jpeg")
HALF_STEP = SMALL.size / 2**14 / 2


@pytest.fixture
def sets(tree: Path, model_path: Path, tmp_path: Path) -> tuple[Path, Path]:
    have(tree, model_path, tmp_path / "stored")
    have(tree, model_path, tmp_path / "lean", LEAN)
    return tmp_path / "stored", tmp_path / "lean"


def test_open_shards_with_the_model_makes_the_maps_that_are_not_stored(sets, model_path) -> None:
    stored, lean = open_shards(sets[0]), open_shards(sets[1], model=model_path)
    assert lean[0].keys() == stored[0].keys()
    for k in range(len(stored)):
        # half a step of the codes, and float32 parameters
        np.testing.assert_allclose(lean[k]["posmap"], stored[k]["posmap"], atol=HALF_STEP + 2e-3)
        np.testing.assert_allclose(lean[k]["landmarks"], stored[k]["landmarks"], atol=1e-3)
        assert np.abs(lean[k]["image"].astype(int) - stored[k]["image"]).mean() < 4  # JPEG
    np.testing.assert_array_equal(lean[2:7]["posmap"][1], lean[3]["posmap"])
    np.testing.assert_array_equal(lean.batch([5, -1])["posmap"][0], lean[5]["posmap"])


def test_open_shards_without_a_model_leaves_the_map_out(sets) -> None:
    assert "posmap" not in open_shards(sets[1])[0]
    assert "posmap" not in open_shards(sets[1])[:2]
    with h5py.File(sets[1] / "AFW-00000.h5") as file:
        assert "posmap" not in file and "image" not in file


def test_open_shards_with_another_model_is_refused(sets, tmp_path) -> None:
    model = toy_model()
    arrays = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    other = make_model(source="other", **arrays | {"mean": model.mean + 1})
    save_model(other, tmp_path / "other.h5")
    with pytest.raises(ModelError, match=r"other\.h5: not the model of .*the set was built with toy"):
        open_shards(sets[0], model=tmp_path / "other.h5")


def test_reader_that_makes_maps_survives_pickling(sets, model_path) -> None:
    reader = open_shards(sets[1], model=load_model(model_path))
    before = reader[0]["posmap"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader))[0]["posmap"], before)


def test_verify_checks_sets_without_maps(sets, model_path) -> None:
    assert verify_shards(sets[1], model=load_model(model_path)).problems == ()


@pytest.mark.parametrize(
    "config", [dataclasses.replace(SMALL, image_codec="jpeg"), dataclasses.replace(SMALL, maps="none")]
)
def test_build_with_one_of_the_two_reads_and_verifies(tree, model_path, tmp_path, config) -> None:
    have(tree, model_path, tmp_path / "out", config)
    assert verify_shards(tmp_path / "out", model=load_model(model_path)).problems == ()
    assert open_shards(tmp_path / "out", model=model_path)[0]["posmap"].shape == (48, 48, 3)


def test_build_with_jpeg_of_lower_quality_is_smaller(tree, model_path, tmp_path) -> None:
    sizes = [
        make(tree, model_path, tmp_path / str(q), dataclasses.replace(LEAN, size=64, jpeg_quality=q)).size_bytes
        for q in (30, 95)
    ]
    assert sizes[0] < sizes[1]


def test_build_with_quality_out_of_range_is_refused(tree, model_path, tmp_path) -> None:
    with pytest.raises(InputError, match="jpeg_quality: 101, expected 1 to 100"):
        have(tree, model_path, tmp_path / "out", dataclasses.replace(LEAN, jpeg_quality=101))
