"""How long `uvgen build` takes, by stage, against the floor that any program pays for the same data.

    python benchmarks/build.py --data 300W_LP/ --model bfm.h5 [--samples 200] [--folder /dev/shm]
    python benchmarks/build.py --data 300W_LP/ --model bfm.h5 --photos [--samples 16]

`--photos` times builds from photographs of 4000×3000 with a face of 800 px instead, decoded as finely as the crops need
and in full, by the process's own clock, in turns.

Everything is timed in this one run, in this process, on one core (BLAS, OpenCV and the build alike), and printed
in milliseconds per sample. The floor is JPEG decoding + the model's matrix product in batches of 64 + one bilinear
warp by the fastest library on the machine + writing and flushing the same number of bytes, and shards go to the same
folder: choose one on a file system that keeps up, or the disk is what is measured. Nothing is asserted: machines are
noisy; read the ratios.
"""

import argparse
import dataclasses
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from timing import best_ms  # before NumPy: it asks for one BLAS thread

# isort: split
import numpy as np
import simplejpeg
from scipy.io import savemat

from uvgen import (
    PositionMapper,
    RunOptions,
    Sample,
    build_shards,
    find_samples,
    load_model,
    open_shards,
    read_annotation,
    warp_image,
)
from uvgen.datasets.config import BuildConfig, sample_bytes
from uvgen.datasets.record import ShardResult
from uvgen.geometry import similarity_scale
from uvgen.images.filters import BILINEAR_UP_TO
from uvgen.maps.texel_products import BATCH as MAPPER_BATCH
from uvgen.models.morphable import MorphableModel
from uvgen.samples.read import read_image, read_picture
from uvgen.storage.files import sha256_file

BATCH = 64


def repeated(real: list[Sample], n: int, folder: Path) -> list[Sample]:
    """n samples: the real ones, linked again and again under new names."""
    target = folder / "REPEATED"
    target.mkdir(parents=True)
    for k in range(n):
        sample = real[k % len(real)]
        assert sample.image and sample.parameters
        (target / f"{k:05d}{sample.image.suffix}").symlink_to(sample.image.resolve())
        (target / f"{k:05d}.mat").symlink_to(sample.parameters.resolve())
    return [sample for sample in find_samples(folder) if sample.subset == "REPEATED"]


def floor_stages(
    samples: list[Sample], model: MorphableModel, config: BuildConfig, folder: Path, repeats: int
) -> dict[str, float]:
    """The four things that cannot be left out, each as fast as this machine's libraries do them."""
    jpegs = [sample.image.read_bytes() for sample in samples if sample.image]
    n = len(jpegs)
    matrix = np.array(model.basis.reshape(3 * model.n_vertices, -1))
    coefficients = np.random.default_rng(0).normal(size=(matrix.shape[1], BATCH)).astype(np.float32)
    product = np.empty((len(matrix), BATCH), np.float32)
    image = read_image(samples[0])
    matrix_2x3 = np.array([[0.9, 0, -60.0], [0, 0.9, -100.0]])
    warps = {"uvgen": lambda: warp_image(image, np.vstack([matrix_2x3, [0, 0, 1]]), config.size)}
    try:
        import cv2

        cv2.setNumThreads(1)
        side = (config.size, config.size)
        warps[f"OpenCV {cv2.__version__}"] = lambda: cv2.warpAffine(image, matrix_2x3, side, flags=cv2.INTER_LINEAR)
    except ImportError:
        print(
            "no OpenCV (pip install opencv-python-headless); the warp's floor is uvgen's own",
            file=sys.stderr,
        )
    warp_times = {name: best_ms(warp, 50) for name, warp in warps.items()}
    fastest = min(warp_times, key=lambda name: warp_times[name])
    payload = np.random.default_rng(0).integers(0, 256, sample_bytes(config) * n, dtype=np.uint8)

    def write() -> None:
        with open(folder / "payload", "wb") as file:
            file.write(payload.data)
            file.flush()
            os.fsync(file.fileno())

    for name, milliseconds in warp_times.items():
        print(f"  warp by {name}: {milliseconds:.3f} ms")
    return {
        "JPEG decode (simplejpeg)": best_ms(lambda: [simplejpeg.decode_jpeg(j) for j in jpegs], repeats, n),
        f"matrix product, batch {BATCH}": best_ms(lambda: np.matmul(matrix, coefficients, out=product), repeats, BATCH),
        f"bilinear warp ({fastest})": warp_times[fastest],
        "writing and flushing the bytes": best_ms(write, repeats, n),
    }


def build_stages(
    samples: list[Sample], model: MorphableModel, config: BuildConfig, folder: Path, repeats: int
) -> dict[str, float]:
    """uvgen's own stages, each alone."""
    n = len(samples)
    annotations = [read_annotation(samples[k % n]) for k in range(2 * MAPPER_BATCH)]
    mapper = PositionMapper(model, config.uv_size)
    arguments = (
        np.stack([a.shape for a in annotations]),
        np.stack([a.expression for a in annotations]),
        np.stack([a.pose for a in annotations]),
    )
    similarity = np.broadcast_to(np.array([[0.9, 0, -60], [0, 0.9, -100], [0, 0, 1.0]]), (len(annotations), 3, 3))
    maps = np.empty((len(annotations), config.uv_size, config.uv_size, 3), np.float32)
    image = read_image(samples[0])
    crop = np.empty((config.size, config.size, 3), np.uint8)
    with open(folder / "payload", "rb") as file:
        size = file.seek(0, os.SEEK_END)
    return {
        "read .mat": best_ms(lambda: [read_annotation(s) for s in samples], repeats, n),
        "read and decode image": best_ms(lambda: [read_image(s) for s in samples], repeats, n),
        "warp": best_ms(lambda: warp_image(image, similarity[0], config.size, out=crop), 50),
        "position maps": best_ms(lambda: mapper(*arguments, similarity, 450, out=maps), repeats, len(annotations)),
        "SHA-256": best_ms(lambda: sha256_file(folder / "payload"), repeats, size // sample_bytes(config)),
    }


def rate(
    samples: list[Sample],
    model: MorphableModel,
    config: BuildConfig,
    out: Path,
    workers: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float, list[float]]:
    """Milliseconds and bytes per sample of a whole build, once every worker has made its first shard.

    Also this process's peak memory, MB, after each shard.
    """
    marks: list[tuple[float, int]] = []
    memory: list[float] = []

    def finished(shard: ShardResult) -> None:
        marks.append((clock(), shard.entry.samples))
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    result = build_shards(
        samples, out, model=model, config=config, run=RunOptions(workers), overwrite=True, progress=finished
    )
    n = sum(count for _, count in marks[workers:])
    return (marks[-1][0] - marks[workers - 1][0]) / n * 1e3, result.size_bytes / result.samples, memory


def show_filter(size: int, shards: Path) -> None:
    """What the filter "area" costs by image px per crop px, and how many samples of a set it concerns."""
    image = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)
    crop = np.empty((size, size, 3), np.uint8)
    print(f"a {size} px crop of a 4000×3000 image, bilinear and area, ms")
    for factor in (1.5, 1.8, 2.5, 4.0, 7.8, 11.0):
        row = []
        for angle in (0.0, 0.5):
            c, s = np.cos(angle) / factor, np.sin(angle) / factor
            matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            matrix[:2, 2] = size / 2 - matrix[:2, :2] @ [2000.3, 1500.7]
            for name in ("bilinear", "area"):
                row.append(best_ms(lambda m=matrix, f=name: warp_image(image, m, size, filter=f, out=crop), 20))
        print(f"  {factor:4.1f} image px per crop px: {row[0]:.3f}, {row[1]:.3f}; rotated {row[2]:.3f}, {row[3]:.3f}")
    reader = open_shards(shards)
    scales = np.array([float(similarity_scale(sample["image_to_crop"])) for sample in reader])
    share = (1 / scales > BILINEAR_UP_TO).mean()
    print(f"  {share:.0%} of this run's samples have more than {BILINEAR_UP_TO} (largest {1 / scales.min():.2f})")


def photographs(root: Path, n: int, folder: Path, quality: int) -> list[Sample]:
    """n samples of 4000×3000, 4:2:0: real ones enlarged until their face is 800 px large, with a camera's noise."""
    from PIL import Image

    real = [sample for sample in find_samples(root) if sample.image and sample.parameters and not sample.flipped]
    (folder / "PHOTOS").mkdir(parents=True)
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 3, (3000, 4000, 1)) + generator.normal(0, 2, (3000, 4000, 3))
    for k in range(n):
        sample = real[k % len(real)]
        said, image = read_annotation(sample), read_image(sample)
        points = said.landmarks
        assert points is not None
        points = points[:, :2]
        enlarged = 800 / float(np.ptp(points, axis=0).mean())
        left, top = (np.array([2000, 1500]) - enlarged * points.mean(axis=0)).round().tolist()
        matrix = (1 / enlarged, 0, -left / enlarged, 0, 1 / enlarged, -top / enlarged)
        drawn = Image.fromarray(image).transform((4000, 3000), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
        pixels = np.clip(np.asarray(drawn) + noise, 0, 255).astype(np.uint8)
        path = folder / "PHOTOS" / f"{k:05d}.jpg"
        path.write_bytes(simplejpeg.encode_jpeg(pixels, quality, colorsubsampling="420"))
        pose, shift = said.pose.astype(np.float64), (enlarged - 1) / 2  # Pillow counts from the corner of a pixel
        pose[3] = enlarged * pose[3] + left + shift + 1 - enlarged
        pose[4] = enlarged * pose[4] + 3000 - enlarged * len(image) - top - shift
        pose[5:] *= enlarged
        content = {"Shape_Para": said.shape, "Exp_Para": said.expression, "Pose_Para": pose}
        savemat(path.with_suffix(".mat"), {key: np.asarray(value)[None] for key, value in content.items()})
    return [sample for sample in find_samples(folder) if sample.subset == "PHOTOS"]


def show_photographs(options: argparse.Namespace, model: MorphableModel, folder: Path) -> None:
    """What decoding only what crops need gains, and what is left."""
    config = BuildConfig(size=options.size, uv_size=options.size, shard_size=options.samples)
    clock = time.process_time
    print("photographs of 4000×3000 with a face of 800 px, process time, ms per photograph")
    print("quality   MB   decode full, 1/2, 1/4, 1/8   crop of full, reduced   build full, reduced")
    for quality in (75, 85, 90, 95):
        data = folder / f"photos{quality}"
        samples = repeated(photographs(options.data, 3, data, quality), 3 * options.samples, data)
        jpeg = samples[0].image.read_bytes() if samples[0].image else b""

        def decode(reduction: int, jpeg: bytes = jpeg) -> object:
            return simplejpeg.decode_jpeg(jpeg, min_height=3000 // reduction, min_width=4000 // reduction)

        decoded = [best_ms(partial(decode, reduction), options.repeats, clock=clock) for reduction in (1, 2, 4, 8)]
        built: dict[str, list[float]] = {"full": [], "reduced": []}
        for _ in range(options.repeats):
            for how, times in built.items():
                setting = dataclasses.replace(config, decode=how)
                times.append(rate(samples, model, setting, folder / "out", 1, clock)[0])
        similarity = open_shards(folder / "out")[0]["image_to_crop"]
        crops = []
        for how in built:
            pixels, reduced = read_picture(samples[0], decode=how).for_crop(1 / float(similarity_scale(similarity)))
            cut = partial(warp_image, pixels, similarity, options.size, reduced=reduced)
            crops.append(best_ms(cut, options.repeats, clock=clock))
        full, less = (min(times) for times in built.values())
        shown = ", ".join(f"{ms:.1f}" for ms in decoded)
        print(
            f"{quality:7} {len(jpeg) / 1e6:4.1f}   {shown:<27}  {crops[0]:9.2f}, {crops[1]:.2f}           "
            f"{full:6.1f}, {less:.1f}: {full / less:.2f} ×"
        )
    print("what is left is mostly decoding the Huffman codes: decoding at 1/8 does little else")


def show(title: str, stages: dict[str, float]) -> float:
    print(f"{title}, ms per sample")
    for name, milliseconds in stages.items():
        print(f"  {name:<36} {milliseconds:7.3f}")
    total = sum(stages.values())
    print(f"  {'sum':<36} {total:7.3f}")
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--photos", action="store_true", help="photographs of 12 megapixels instead; 16 by default")
    parser.add_argument("--samples", type=int, default=None, help="200 by default")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where to write; 4 GB are needed")
    options = parser.parse_args()
    options.samples = options.samples or (16 if options.photos else 200)
    model = load_model(options.model)
    if options.photos:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix=".benchmark-") as name:
            show_photographs(options, model, Path(name))
        return
    config = BuildConfig(size=options.size, uv_size=options.size, shard_size=options.samples)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix=".benchmark-") as name:
        folder = Path(name)
        real = [sample for sample in find_samples(options.data) if sample.image and sample.parameters]
        samples = repeated(real, options.samples, folder / "data")
        floor = show("floor", floor_stages(samples, model, config, folder, options.repeats))
        show("uvgen's stages, each alone", build_stages(samples, model, config, folder, options.repeats))
        many = repeated(real, options.samples * (1 + options.repeats), folder / "many")
        one, size_bytes, memory = rate(many, model, config, folder / "out", 1)
        more, _, _ = rate(many, model, config, folder / "out", options.workers)
        show_filter(options.size, folder / "out")
    print(f"whole build: {one:.3f} ms per sample = {one / floor:.2f} × the floor")
    print(f"with {options.workers} workers: {more:.3f} ms per sample = {one / more:.2f} × one worker's rate")
    print(f"{size_bytes / 1e3:.1f} kB per sample")
    print(f"peak memory {memory[0]:.0f} MB after the first shard, {memory[-1]:.0f} MB after {len(many)} samples")


if __name__ == "__main__":
    main()
