"""The packaged files are what the built-in model gives."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uvgen import face_mask, landmark_texels, landmark_weights, uv_data, weight_mask
from uvgen.errors import InputError
from uvgen.models.builtin import builtin_model
from uvgen.models.morphable import MorphableModel
from uvgen.uv_data.make import SUMS, make

FOLDER = Path(uv_data.__file__).parent
DATA = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".npy", ".png", ".txt") and path.name != SUMS)


@pytest.fixture(scope="module")
def builtin() -> MorphableModel:
    return builtin_model()


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uv_data")
    make(folder)
    return folder


def test_making_the_files_again_gives_the_same_ones(remade: Path) -> None:
    assert sorted(path.name for path in remade.iterdir() if path.name != SUMS) == DATA
    for name in DATA:
        if name.endswith(".png"):  # packed by whichever zlib Pillow was built with: the picture counts
            with Image.open(remade / name) as new, Image.open(FOLDER / name) as packaged:
                assert new.mode == packaged.mode == "L", name
                np.testing.assert_array_equal(np.asarray(new), np.asarray(packaged), err_msg=name)
        elif name.startswith("landmark_weights"):  # solved for: processors may round otherwise
            np.testing.assert_allclose(np.loadtxt(remade / name), np.loadtxt(FOLDER / name), atol=1e-4, err_msg=name)
        else:
            assert (remade / name).read_bytes() == (FOLDER / name).read_bytes(), name


def test_every_file_has_its_hash_and_is_described() -> None:
    listed = dict(reversed(line.split("  ")) for line in (FOLDER / SUMS).read_text().splitlines())
    assert sorted(listed) == DATA
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, digest in listed.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name
        assert name.replace("_128", "_256") in readme, name
    assert "python -m uvgen.uv_data.make" in readme


@pytest.mark.parametrize("size", uv_data.SIZES)
def test_loaded_masks_and_texels_are_those_of_the_model(builtin: MorphableModel, size: int) -> None:
    for found, expected in (
        (uv_data.load_mask("weight", size), weight_mask(builtin, size)),
        (uv_data.load_mask("face", size), face_mask(builtin, size).astype(np.float32)),
        (uv_data.load_landmark_texels(size), landmark_texels(builtin, size)),
    ):
        np.testing.assert_array_equal(found, expected, strict=True)
    assert sorted(np.unique(uv_data.load_mask("weight", size)).tolist()) == [0, 3, 4, 16]
    found, expected = uv_data.load_landmark_weights(size), landmark_weights(builtin, size)
    np.testing.assert_array_equal(found.indices, expected.indices, strict=True)
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-4, strict=True)  # rounded there


def test_loaded_uv_coordinates_are_those_of_the_model(builtin: MorphableModel) -> None:
    np.testing.assert_allclose(uv_data.load_uv_coordinates(), builtin.uv, rtol=0, atol=1e-9)  # rounded there


def test_masks_that_are_not_packaged_are_refused() -> None:
    for size in (64, 256.0, "256", None):  # 256.0 equals 256, but names no file
        for load in (lambda size: uv_data.load_mask("weight", size), uv_data.load_landmark_texels,
                     uv_data.load_landmark_weights):  # fmt: skip
            with pytest.raises(InputError, match=rf"^size: '?{size}'?, expected 256 or 128 texels$"):
                load(size)
    with pytest.raises(InputError, match=r"^kind: 'nose', expected 'weight' or 'face'$"):
        uv_data.load_mask("nose", 256)
    assert uv_data.load_landmark_weights(np.int64(128)).size == 128


def test_the_readme_s_python_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
