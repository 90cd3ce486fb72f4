"""How long augmentation takes, against OpenCV and NumPy used the usual way, and scikit-image.

    python benchmarks/augment.py [--shards shards/] [--size 256] [--repeats 300]

All in this one run, in this process, on one core, in milliseconds per sample: the fastest of the repeats. Crops and
maps are those of the shards, or made-up ones. The usual way is what public training code does: a warp of a float image,
a matrix product over the map, a rectangle of noise, a gain for each channel, all in NumPy's floats. Nothing is
asserted: machines are noisy; read the ratios.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from timing import best_ms  # before NumPy: it asks for one BLAS thread

# isort: split
import cv2
import numpy as np
from skimage.transform import warp

from uvgen import open_shards, warp_image
from uvgen.augment import Augmentation, AugmentationDraw, apply, occluded_texels
from uvgen.augment.colors import change_colors
from uvgen.fixed_point import FixedPoint
from uvgen.maps.labels import move_map

Array = np.ndarray


def sample(shards: Path | None, size: int) -> tuple[Array, Array, Array]:
    """A crop, its map and its landmarks."""
    if shards is not None:
        first = open_shards(shards)[0]
        return first["image"], np.ascontiguousarray(first["posmap"]), first["landmarks"]
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="xy"), axis=-1)
    points = np.dstack([grid, grid.sum(axis=2) / 2]).astype(np.float32)
    return image, points, points[::8, ::8].reshape(-1, 3)[:68].copy()


def usual_way(
    draw: AugmentationDraw, image: Array, position_map: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The same operations with OpenCV and NumPy: float image, homogeneous matrix product, rectangle, gains."""
    size = draw.size
    matrix = draw.similarity
    pixels = cv2.warpAffine(image.astype(np.float32) / 255, matrix[:2], (size, size))
    values = position_map.reshape(-1, 3).copy()
    depth = values[:, 2] * draw.scale
    values[:, 2] = 1
    moved = values @ matrix.astype(np.float32).T
    moved[:, 2] = depth
    occluder = draw.occluders[0]
    height, width = int(occluder.height * size), int(occluder.width * size)
    top, left = int(occluder.y * (size - height)), int(occluder.x * (size - width))
    pixels[top : top + height, left : left + width] = rng.random((height, width, 3), np.float32)
    for channel, gain in enumerate(draw.channel_gain):
        pixels[..., channel] = np.clip(pixels[..., channel] * gain, 0, 1)
    return pixels, moved.reshape(position_map.shape)


def show(name: str, milliseconds: float, other: float | None = None) -> None:
    ratio = "" if other is None else f"   {milliseconds / other:5.2f} ×"
    print(f"  {name:<58} {milliseconds:7.3f}{ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=300)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    image, position_map, landmarks = sample(options.shards, options.size)
    size, n = len(image), options.repeats
    augmentation = replace(
        Augmentation.preset("prnet"), occlusion=1, n_occluders=(1, 1), occluder_shapes=("rectangle",)
    )
    draw = replace(augmentation.draw(0, "benchmark", 0, size), rotation_deg=20.0)
    draw = replace(draw, occluders=(replace(draw.occluders[0], width=0.3, height=0.3, x=0.5, y=0.5),))
    crop, moved = np.empty_like(image), np.empty_like(position_map)
    rng = np.random.default_rng(0)

    print(f"one sample, {size}², every operation of the prnet preset and one occluder, ms")
    usual = best_ms(lambda: usual_way(draw, image, position_map, rng), n)
    show(f"OpenCV {cv2.__version__} and NumPy, the usual way", usual)
    ours = best_ms(
        lambda: apply(
            augmentation.draw(0, "benchmark", 0, size) and draw, image, position_map, landmarks,
            image_out=crop, map_out=moved,
        ),
        n,
    )  # fmt: skip
    show("uvgen, buffers given (draw, image, map, landmarks)", ours, usual)
    show("uvgen, new arrays", best_ms(lambda: apply(draw, image, position_map, landmarks), n), usual)

    matrix = draw.similarity
    print("the warp alone, rotation by 20°, uint8, ms")
    open_cv = best_ms(lambda: cv2.warpAffine(image, matrix[:2], (size, size), dst=crop), n)
    show(f"OpenCV {cv2.__version__}, warpAffine", open_cv)
    show("uvgen.warp_image", best_ms(lambda: warp_image(image, matrix, size, out=crop), n), open_cv)
    inverse = np.linalg.inv(matrix)
    few = max(n // 20, 3)
    show(
        "scikit-image, warp (order 1)",
        best_ms(lambda: warp(image, inverse, output_shape=(size, size), order=1, preserve_range=True), few),
        open_cv,
    )

    print("uvgen's parts, ms")
    codes = FixedPoint.for_crop(size)
    coded = np.clip((position_map - codes.offset) / codes.scale + 0.5, 0, 65535).astype(np.uint16)
    coded_out = np.empty_like(coded)
    plain = AugmentationDraw(size)
    for name, function in {
        "draw": lambda: augmentation.draw(0, "benchmark", 0, size),
        "map, float32 to float32": lambda: move_map(position_map, draw.similarity, draw.size, out=moved),
        "map, codes to float32": lambda: move_map(coded, draw.similarity, draw.size, out=moved),
        "map, codes to codes": lambda: move_map(coded, draw.similarity, draw.size, out=coded_out),
        "colors: gain, brightness, contrast": lambda: change_colors(crop, replace(plain, channel_gain=(1.1, 0.9, 1.0))),
        "colors with saturation and hue": lambda: change_colors(crop, replace(plain, hue_deg=5.0)),
        "blur, σ 1 px": lambda: change_colors(crop, replace(plain, blur=1.0)),
        "noise": lambda: change_colors(crop, replace(plain, noise=4.0)),
        "JPEG, quality 80": lambda: change_colors(crop, replace(plain, jpeg=80)),
        "occluded texels": lambda: occluded_texels(draw, position_map),
    }.items():
        show(name, best_ms(function, n))


if __name__ == "__main__":
    main()
