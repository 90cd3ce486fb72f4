"""Normalizations of maps and images: the field's numbers, and the way back."""

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn
from support import builds, toy

import uvgen
from uvgen import Normalization, denormalize
from uvgen.errors import InputError
from uvgen.fixed_point import FixedPoint

NAMES = ["size", "prnet", "reshow", "unit", None]
SHIFTED = Normalization((300.0, 250.0, 200.0), (-20.0, -10.0, 0.0))
MAPS = hn.arrays(np.float32, (5, 7, 3), elements=st.floats(-384, 639, width=32))


@pytest.mark.parametrize(
    ("name", "px", "expected"),
    [("size", 256, 1), ("prnet", 281.6, 1), ("reshow", 280, 1), ("unit", -384, 0), ("unit", 640, 1), (None, 9, 9)],
)
def test_normalize_at_256_px_has_the_fields_numbers(name: str | None, px: float, expected: float) -> None:
    found = Normalization.of_maps(name, 256).normalize(np.full((2, 2, 3), px, np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(MAPS, st.sampled_from([*NAMES, SHIFTED]), st.sampled_from([128, 224, 256]))
def test_denormalize_of_normalized_maps_is_the_map(values: Any, name: Any, size: int) -> None:
    how = Normalization.of_maps(name, size)
    back = how.denormalize(how.normalize(values))
    assert back.dtype == np.float32
    # three roundings of float32, of numbers no larger than the map's, the offset's and the scale's together
    reach = 640 + max(how.scale) + max(map(abs, how.offset))
    assert np.abs(back - values).max() <= 4 * 2.0**-24 * reach


@given(MAPS, st.sampled_from([*NAMES, SHIFTED]))
def test_normalize_keeps_order_and_clips_nothing(values: Any, name: Any) -> None:
    how = Normalization.of_maps(name, 16)  # of such a crop, most of these values lie far outside
    found = how.normalize(values).reshape(-1, 3).astype(np.float64)
    expected = (values.reshape(-1, 3).astype(np.float64) - how.offset) / how.scale
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


@given(st.integers(0, 65535), st.sampled_from([16, 128, 224, 256, 4096]))
def test_unit_of_each_code_that_maps_can_hold_lies_in_0_to_1(code: int, size: int) -> None:
    px = FixedPoint.for_crop(size).decode(np.full((1, 1, 3), code, np.uint16))
    found = Normalization.of_maps("unit", size).normalize(px)
    assert found.min() >= 0 and found.max() <= 1


@given(hn.arrays(np.uint8, (6, 5, 3)), st.sampled_from(["unit", "imagenet", "standardize", None]))
def test_denormalize_of_normalized_images_is_the_image(image: Any, name: str | None) -> None:
    how = Normalization.of_image(name, image)
    assert np.array_equal(np.rint(how.denormalize(how.normalize(image))), image)


def test_standardize_is_reshows() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    expected = image / 255.0
    for c in range(3):  # reshow/PRNet-PyTorch, in its order
        expected[..., c] = (expected[..., c] - expected[..., c].mean()) / np.sqrt(expected[..., c].var() + 0.001)
    np.testing.assert_allclose(Normalization.of_image("standardize", image).normalize(image), expected, atol=1e-6)


def test_covering_takes_the_set_onto_0_to_1_on_each_axis() -> None:
    maps = np.random.default_rng(1).normal([100, 50, 80], [40, 20, 10], (4, 8, 8, 3))
    how = Normalization.covering(iter(maps))
    found = how.normalize(maps)
    np.testing.assert_allclose(found.reshape(-1, 3).min(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.reshape(-1, 3).max(axis=0), 1, atol=1e-12)


def test_normalization_of_tensors_is_that_of_arrays() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    values = np.random.default_rng(2).normal(size=(4, 5, 6, 3)).astype(np.float32) * 100
    tensor = torch.from_numpy(values).movedim(-1, -3)
    image = np.random.default_rng(2).integers(0, 256, (5, 6, 3), np.uint8)
    for how in (*(Normalization.of_maps(name, 256) for name in NAMES), SHIFTED):
        for mine, other in ((how.normalize, how.normalize), (how.denormalize, how.denormalize)):
            np.testing.assert_array_equal(other(tensor).movedim(-3, -1).numpy(), mine(values))
    of_tensor = Normalization.of_image("standardize", torch.from_numpy(image).movedim(-1, 0))
    of_array = Normalization.of_image("standardize", image)
    np.testing.assert_allclose(of_tensor.scale + of_tensor.offset, of_array.scale + of_array.offset, rtol=1e-12)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_denormalize_takes_one_number_a_sample_or_a_channel(library: str, shape: tuple[int, ...]) -> None:
    values, numbers = np.ones((2, 4, 5, 3), np.float32), np.arange(1, 1 + np.prod(shape, dtype=int)).reshape(shape)
    expected = values * numbers.reshape(*shape[:1], *(1,) * 2 * bool(shape), shape[1] if len(shape) > 1 else 1) + 7
    given_values: Any = values
    given_numbers: Any = numbers
    if library == "torch":
        torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
        given_values, given_numbers = torch.from_numpy(values).movedim(-1, -3), torch.from_numpy(numbers)
    found = denormalize(given_values, given_numbers, 7.0)
    found = found.movedim(-3, -1).numpy() if library == "torch" else found
    np.testing.assert_array_equal(found, expected.reshape(2, 4, 5, 3))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Normalization.of_maps("minmax", 256), "normalize: 'minmax', expected 'size', 'prnet', 'reshow'"),
        (lambda: Normalization.of_maps("imagenet", 256), "expected one of maps; give image_normalize='imagenet'"),
        (lambda: Normalization.of_maps("size", 0), "crop_size: 0, expected 1 or more"),
        (lambda: Normalization.of_image("size", None), "image_normalize: 'size', expected 'unit', 'imagenet'"),
        (lambda: Normalization((0.0,), (0.0,)), "scale: .*, expected numbers above 0"),
        (lambda: Normalization((1.0, 2.0), (0.0,)), "scale: .*, expected a tuple of 1 or 3 numbers"),
        (lambda: Normalization((1.0,), (float("nan"),)), "offset: nan, expected a finite number"),
        (lambda: Normalization.covering([]), "maps: of .* px, expected finite extents"),
        (lambda: Normalization.covering([np.ones((2, 2, 3))]), "maps: of .* px, expected finite extents"),
        (lambda: SHIFTED.normalize(np.ones((3, 4, 4))), r"values: float64 \(3, 4, 4\), expected \(..., 3\)"),
        (lambda: SHIFTED.normalize([1, 2, 3]), "values: .*, expected a NumPy array or a PyTorch tensor"),
        (lambda: denormalize(np.ones((2, 4, 4, 3)), np.ones(3), 0), r"scale: shape \(3,\), expected one number"),
        (lambda: denormalize(np.ones((2, 4, 4, 3)), np.ones((2, 2)), 0), r"scale: shape \(2, 2\), expected one"),
        (lambda: denormalize(np.ones((4, 4, 3)), "2", 0), "scale: .*expected real numbers"),
    ],
)  # fmt: skip
def test_normalization_with_bad_input_is_an_error(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("normalization")
    toy.write_tree(place / "data", 2)
    uvgen.save_model(toy.toy_model(), place / "model.h5")
    return place


@pytest.mark.parametrize(
    "stored", [{}, pytest.param({"posmap_dtype": "float32"}, marks=pytest.mark.slow), {"maps": "none"}]
)
@pytest.mark.parametrize("how", [*NAMES[:4], SHIFTED])
def test_open_shards_normalized_is_undone_by_its_scales(folder: Path, stored: dict[str, str], how: Any) -> None:
    out = folder / "-".join(["out", *stored.values()])
    builds.make(folder / "data", folder / "model.h5", out, dataclasses.replace(builds.SMALL, **stored))
    plain = uvgen.open_shards(out, folder / "model.h5")
    reader = uvgen.open_shards(out, folder / "model.h5", normalize=how, image_normalize="standardize")
    for found, expected in ((reader[1], plain[1]), (reader[0:3], plain[0:3])):
        for name in ("posmap", "image"):
            assert found[name].dtype == np.float32 and found[name].shape == expected[name].shape
            back = denormalize(found[name], found[f"{name}_scale"], found[f"{name}_offset"])
            np.testing.assert_allclose(back, expected[name], atol=1e-4)  # px and gray levels
        assert found.keys() - expected.keys() == {f"{n}_{k}" for n in ("posmap", "image") for k in ("scale", "offset")}
    wanted = Normalization.of_maps(how, 32).normalize(plain[1]["posmap"])
    np.testing.assert_array_equal(reader[1]["posmap"], wanted)
    assert pickle.loads(pickle.dumps(reader))[1]["posmap"].tobytes() == reader[1]["posmap"].tobytes()


def test_open_shards_not_normalized_is_px_and_gray_levels(folder: Path) -> None:
    builds.make(folder / "data", folder / "model.h5", folder / "out")
    sample = uvgen.open_shards(folder / "out")[0]
    assert sample["image"].dtype == np.uint8 and "posmap_scale" not in sample
    assert uvgen.open_shards(folder / "out", normalize="size")[0]["image"].max() <= 1
    for how in ({"normalize": "minmax"}, {"image_normalize": "size"}):
        with pytest.raises(InputError, match=r"normalize: '.*', expected"):
            uvgen.open_shards(folder / "missing", **how)


def test_what_is_no_name_map_or_number_raises() -> None:
    for call, words in (
        (lambda: Normalization.of_maps(np.zeros(3), 256), "normalize: float64 (3,), expected"),
        (lambda: Normalization.covering([np.zeros((0, 3))]), "maps: one of no texels"),
        (lambda: Normalization.of_image("standardize", np.full((2, 2, 3), np.inf)), "image: holds NaN or infinity"),
        (lambda: Normalization.of_image("standardize", np.zeros((0, 2, 3))), "image: float64 (0, 2, 3), expected"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert words in str(caught.value)


@pytest.mark.parametrize("scale", [None, "1", {}, [[1], [1, 2]], 1j])
def test_denormalize_of_tensors_by_no_number_raises(scale) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    with pytest.raises(InputError, match="scale: "):
        denormalize(torch.zeros(3, 2, 2), scale, 0.0)


@pytest.mark.parametrize(("dtype", "expected"), [("<f8", "f8"), (">f8", "f8"), (np.longdouble, "f8"), (">f4", "f4")])
def test_normalize_keeps_the_precision_of_any_byte_order(dtype: Any, expected: str) -> None:
    values = np.full((4, 4, 3), 100 + 1e-9, dtype)
    how = Normalization.of_maps("size", 256)
    for found in (how.normalize(values), how.denormalize(values), denormalize(values, 1.0, 0.0)):
        assert found.dtype == np.dtype(expected)
