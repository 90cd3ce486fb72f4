"""How long `uvgen build` takes, by stage, against the floor that any program pays for the same data.

    python benchmarks/build.py --data 300W_LP/ --model bfm.h5 [--samples 200] [--folder /dev/shm]

Everything is timed in this one run, in this process, on one core (BLAS, OpenCV and the build alike), and printed
in milliseconds a sample. The floor is JPEG decoding + the model's matrix product in batches of 64 + one bilinear
warp by the fastest library on the machine + writing and flushing the same number of bytes, and shards go to the same
folder: choose one on a file system that keeps up, or the disk is what is measured. Nothing is asserted: machines are
noisy; read the ratios.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from timing import best_ms  # before NumPy: it asks for one BLAS thread

# isort: split
import numpy as np
import simplejpeg

from uvgen import (
    PositionMapper,
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
from uvgen.maps.position_mapper import BATCH as MAPPER_BATCH
from uvgen.models.morphable import MorphableModel
from uvgen.samples.read import read_image
from uvgen.storage.files import sha256_file

BATCH = 64


def repeated(root: Path, n: int, folder: Path) -> list[Sample]:
    """n samples: the real ones, linked again and again under new names."""
    real = [sample for sample in find_samples(root) if sample.image and sample.parameters]
    target = folder / "REPEATED"
    target.mkdir(parents=True)
    for k in range(n):
        sample = real[k % len(real)]
        assert sample.image and sample.parameters
        (target / f"{k:05d}{sample.image.suffix}").symlink_to(sample.image.resolve())
        (target / f"{k:05d}.mat").symlink_to(sample.parameters.resolve())
    return find_samples(folder)


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
    samples: list[Sample], model: MorphableModel, config: BuildConfig, out: Path, workers: int
) -> tuple[float, float, list[float]]:
    """Milliseconds and bytes a sample of a whole build, once every worker has made its first shard.

    Also this process's peak memory, MB, after each shard.
    """
    marks: list[tuple[float, int]] = []
    memory: list[float] = []

    def finished(shard: ShardResult) -> None:
        marks.append((time.perf_counter(), shard.entry.samples))
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    result = build_shards(samples, out, model=model, config=config, workers=workers, overwrite=True, progress=finished)
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


def show(title: str, stages: dict[str, float]) -> float:
    print(f"{title}, ms a sample")
    for name, milliseconds in stages.items():
        print(f"  {name:<36} {milliseconds:7.3f}")
    total = sum(stages.values())
    print(f"  {'sum':<36} {total:7.3f}")
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where to write; 4 GB are needed")
    options = parser.parse_args()
    model = load_model(options.model)
    config = BuildConfig(size=options.size, uv_size=options.size, shard_size=options.samples)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix=".benchmark-") as name:
        folder = Path(name)
        samples = repeated(options.data, options.samples, folder / "data")
        floor = show("floor", floor_stages(samples, model, config, folder, options.repeats))
        show("uvgen's stages, each alone", build_stages(samples, model, config, folder, options.repeats))
        many = repeated(options.data, options.samples * (1 + options.repeats), folder / "many")
        one, size_bytes, memory = rate(many, model, config, folder / "out", 1)
        more, _, _ = rate(many, model, config, folder / "out", options.workers)
        show_filter(options.size, folder / "out")
    print(f"whole build: {one:.3f} ms a sample = {one / floor:.2f} × the floor")
    print(f"with {options.workers} workers: {more:.3f} ms a sample = {one / more:.2f} × one worker's rate")
    print(f"{size_bytes / 1e3:.1f} kB a sample")
    print(f"peak memory {memory[0]:.0f} MB after the first shard, {memory[-1]:.0f} MB after {len(many)} samples")


if __name__ == "__main__":
    main()
