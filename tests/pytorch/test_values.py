"""`to_float` of fields of any type."""

from typing import Any

import numpy as np
import pytest

from uvgen.errors import InputError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from uvgen.torch import to_float  # noqa: E402

REALS = ["float16", "bfloat16", "float32", "float64", "uint8", "uint16", "int8", "int64", "bool"]


def batch(kind: Any = torch.float32) -> dict[str, Any]:
    """Whole numbers that each type but bool holds."""
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 120, (2, 2, 3, 8, 8)))
    fields: dict[str, Any] = {"image": values[0].to(kind), "posmap": values[1].to(kind)}
    for name in ("image", "posmap"):
        fields[f"{name}_scale"], fields[f"{name}_offset"] = torch.tensor([0.5, 2.0]), torch.tensor([-3.0, 4.0])
    return fields


@pytest.mark.parametrize("normalize", ["size", "unit", None])
@pytest.mark.parametrize("kind", REALS)
def test_to_float_of_any_real_type_is_that_of_float32(kind: str, normalize: Any) -> None:
    narrow = batch(getattr(torch, kind))
    wide = {key: value.float() for key, value in narrow.items()}
    images = None if normalize is None else "standardize"
    found, expected = (to_float(fields, normalize, image_normalize=images) for fields in (narrow, wide))
    for name in ("image", "posmap"):
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], expected[name])
    if normalize is None and kind != "bool":
        np.testing.assert_allclose(found["image"][1], 2 * batch()["image"][1] + 4)


@pytest.mark.parametrize("key", ["image", "posmap", "image_scale", "posmap_offset"])
def test_to_float_of_no_tensors_of_real_numbers_is_an_error(key: str) -> None:
    good = batch()
    for bad, words in (
        (good[key].to(torch.complex64), f"{key}: torch.complex64 .*, expected real numbers"),
        (good[key].numpy(), f"{key}: float32 .*, expected a PyTorch tensor"),
        (good[key].tolist(), f"{key}: .*, expected a PyTorch tensor"),
    ):
        with pytest.raises(InputError, match=words):
            to_float({**good, key: bad})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_scale": torch.ones(5)}, r"image_scale: torch.float32 \(5,\), expected .*: one per sample"),
        ({"image": torch.ones(4)}, r"image: torch.float32 \(4,\), expected \(3, 1\+, 1\+\)"),
        ({"depth": torch.ones(2, 1, 4, 4), "depth_scale": torch.ones(2)}, "depth_offset: None, expected a PyTorch"),
    ],
)
def test_to_float_of_other_shapes_or_half_a_target_is_an_error(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        to_float({**batch(), **change})
    with pytest.raises(InputError, match="batch: None, expected a mapping of fields"):
        to_float(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["image_scale", "posmap_offset"])
def test_to_float_without_a_scale_is_an_error(key: str) -> None:
    fields = batch()
    del fields[key]
    with pytest.raises(InputError, match=f"batch: has no {key}, expected it beside {key.split('_')[0]}"):
        to_float(fields)
