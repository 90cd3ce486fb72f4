"""Unwrapping on the device: against the rasterizer's, and in half precision."""

from typing import Any

import numpy as np
import pytest

from uvgen.errors import InputError
from uvgen.rasterize import unwrap as unwrap_on_the_cpu

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from uvgen.torch import unwrap  # noqa: E402

HALF = [torch.float16, torch.bfloat16]


def image(height: int, width: int, dtype: Any = torch.float32) -> Any:
    """(1, 3, height, width), whole numbers of 0 to 255: exact in each type."""
    values = np.random.default_rng(0).integers(0, 256, (1, 3, height, width))
    return torch.from_numpy(values.astype(np.float32)).to(dtype)


def sheet(height: int, width: int, dtype: Any = torch.float32) -> Any:
    """(1, 3, 40, 56): a plane that faces the camera and reaches beyond the image, with texels on all its borders."""
    column = [-2.0, -0.75, -0.5, -0.25, 0.0, width - 1.0, width - 0.75, width - 0.5, width - 0.25, width + 1.0]
    row = [-2.0, -0.75, -0.5, -0.25, 0.0, height - 1.0, height - 0.75, height - 0.5, height - 0.25, height + 1.0]
    x = torch.cat([torch.tensor(column), torch.linspace(-1.5, width + 0.5, 46)]).sort().values
    y = torch.cat([torch.tensor(row), torch.linspace(-1.5, height + 0.5, 30)]).sort().values
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)])[None].to(dtype)


def on_the_cpu(picture: Any, maps: Any) -> tuple[Any, Any]:
    """`uvgen.rasterize.unwrap` of the first of a batch, as `unwrap` returns it."""
    arrays = [tensor[0].detach().float().permute(1, 2, 0).numpy() for tensor in (picture, maps)]
    texture, valid = unwrap_on_the_cpu(*arrays)
    return torch.from_numpy(texture).permute(2, 0, 1)[None], torch.from_numpy(valid)[None, None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(20, 33), (33, 20), (1, 9), (9, 1), (1, 1)])
def test_unwrap_agrees_with_the_rasterizers_up_to_the_image_s_end(size: tuple[int, int], dtype: Any) -> None:
    picture, maps = image(*size, dtype), sheet(*size, dtype)
    texture, visible = unwrap(picture, maps)
    expected, valid = on_the_cpu(picture, maps)
    x, y = maps[0, 0], maps[0, 1]
    rim = valid[0, 0] & ((x < 0) | (y < 0) | (x > size[1] - 1) | (y > size[0] - 1))
    assert rim.sum() > 50 and valid.sum() < valid.numel() - 100
    assert texture.dtype == dtype
    # 4e-6 of 33 px is lost on the way to grid_sample's units, times 255 per px
    torch.testing.assert_close(texture.float(), expected, atol=2e-3, rtol=0)
    assert torch.equal(visible, valid)


def test_unwrap_is_not_darker_in_the_rim() -> None:
    picture, maps = torch.full((1, 3, 20, 33), 200.0), sheet(20, 33)
    texture, visible = unwrap(picture, maps)
    expected = torch.where(visible, 200.0, 0.0).expand_as(texture)
    torch.testing.assert_close(texture, expected, atol=1e-4, rtol=0)  # float32's rounding of four weights


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("half_map", [False, True])
def test_unwrap_of_half_precision_samples_at_the_exact_places(dtype: Any, half_map: bool) -> None:
    size = 256, 320
    y, x = torch.meshgrid(torch.linspace(3, 250, 64), torch.linspace(5, 311, 64), indexing="ij")
    maps = torch.stack([x, y, torch.zeros_like(x)])[None]
    maps = maps.to(dtype) if half_map else maps
    picture = image(*size, dtype)
    texture, visible = unwrap(picture, maps)
    assert texture.dtype == dtype and visible.dtype == torch.bool
    expected, valid = on_the_cpu(picture, maps)
    step = torch.finfo(dtype).eps * 255  # the result's own rounding
    torch.testing.assert_close(texture.float(), expected, atol=step, rtol=0)
    if not half_map:
        assert torch.equal(visible, valid)


@pytest.mark.parametrize("dtype", HALF)
def test_unwrap_under_autocast_is_as_exact_as_outside(dtype: Any) -> None:
    picture, maps = image(40, 30), sheet(40, 30)
    expected = unwrap(picture, maps)
    with torch.autocast("cpu", dtype=dtype):
        found = unwrap(picture, maps)
    for left, right in zip(found, expected, strict=True):
        assert left.dtype == right.dtype and torch.equal(left, right)


@pytest.mark.parametrize("dtype", [*HALF, torch.float32])
def test_unwrap_of_any_float_has_gradients_in_image_and_map(dtype: Any) -> None:
    picture, maps = image(20, 33, dtype).requires_grad_(), sheet(20, 33).requires_grad_()
    texture, visible = unwrap(picture, maps)
    in_image, in_map = torch.autograd.grad(texture.float().sum(), [picture, maps])
    assert in_image.dtype == dtype and in_map.dtype == torch.float32
    # Each visible texel hands out a weight of 1 in each channel.
    assert float(in_image.float().sum()) == pytest.approx(3 * int(visible.sum()), rel=2e-2)
    inner = visible[0, 0] & (maps[0, 0] > 0) & (maps[0, 0] < 32) & (maps[0, 1] > 0) & (maps[0, 1] < 19)
    assert bool((in_map[0, :2, inner] != 0).float().mean() > 0.95)
    assert not in_map[0, 2].any() and not in_map[0][:, ~visible[0, 0]].any()


def test_unwrap_gradients_in_the_rim_are_those_of_the_border() -> None:
    places = torch.tensor([[-0.3, 0.4, 5.2, 6.4], [-0.2, 1.3, 3.6, 4.1]], dtype=torch.float64)
    x, y = torch.meshgrid(places[0], places[1], indexing="xy")
    maps = torch.stack([x, y, torch.zeros_like(x)])[None].requires_grad_()
    picture = image(5, 7, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, m: unwrap(i, m)[0], [picture, maps], eps=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((1, 3, 9, 9)), torch.zeros(1, 3, 8, 8)), "image: float64 (1, 3, 9, 9), expected a PyTorch tensor"),
        ((torch.zeros(1, 3, 9, 9), np.zeros((1, 3, 8, 8))), "position_map: float64 (1, 3, 8, 8), expected a PyTorch"),
        (([[0.0]], torch.zeros(1, 3, 8, 8)), "image: [[0.0]], expected a PyTorch tensor"),
        ((torch.zeros(1, 3, 9, 9).cfloat(), torch.zeros(1, 3, 8, 8)), "image: torch.complex64 (1, 3, 9, 9), expected"),
        ((torch.zeros(1, 3, 9, 9), torch.zeros(1, 3, 8, 8).long()), "torch.int64, expected floats"),
        ((torch.zeros(1, 3, 0, 9), torch.zeros(1, 3, 8, 8)), "image: (1, 3, 0, 9), expected one pixel"),
        (
            (torch.zeros(1, 3, 9, 9), torch.zeros(1, 3, 8, 8), np.ones((8, 8), bool)),
            "coverage: bool (8, 8), expected a",
        ),
    ],
)
def test_unwrap_of_what_are_no_tensors_of_floats_is_an_error(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError) as caught:
        unwrap(*arguments)
    assert words in str(caught.value)
