"""How long `uvgen synth` takes a face, by stage, and how many faces per second that is.

    python benchmarks/synth.py [--model bfm.h5] [--size 450] [--count 256] [--folder /dev/shm]

Everything is timed in this one run, in this process, on one core. The floor is encoding and writing the same images and
parameter files, without painting anything. Nothing is asserted: machines are noisy; read the ratios.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from timing import best_ms  # before NumPy: it asks for one BLAS thread

# isort: split
import numpy as np

import uvgen.synth.portrait as portrait
from uvgen import RunOptions, find_samples, load_model, read_image
from uvgen.models.morphable import MorphableModel
from uvgen.randomness import keyed_generator
from uvgen.synth import SynthOptions, render_faces, sample_names
from uvgen.synth.faces import FaceSource
from uvgen.synth.portrait import Painter
from uvgen.synth.worker import SynthJob, _Renderer

STAGES = (
    (portrait, "draw_backdrop", "backdrop"),
    (Painter, "_colors", "albedo"),
    (Painter, "_lit", "normals, light and shadow"),
    (portrait, "rasterize", "rasterizing, two samples per pixel"),
    (portrait.kernels, "draw_fragments", "drawing"),
    (portrait, "photograph", "camera"),
)


def painting(model: MorphableModel, size: int, repeats: int) -> None:
    """Print what each stage of painting takes."""
    names = sample_names(16)
    source, painter = FaceSource(model, 0, size), Painter(model, size)
    faces = [source.draw(name) for name in names]
    vertices, albedo = painter.surfaces(faces)
    print("painting, ms per face")
    print(f"  {'parameters':<36} {best_ms(lambda: [source.draw(name) for name in names], repeats, 16):7.3f}")
    print(f"  {'vertices, in batches of 16':<36} {best_ms(lambda: painter.surfaces(faces), repeats, 16):7.3f}")
    spent: dict[str, list[float]] = {label: [] for *_, label in STAGES}
    originals = [getattr(owner, name) for owner, name, _ in STAGES]

    def timed(function: Callable[..., object], label: str) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                spent[label].append(time.perf_counter() - started)

        return call

    def paint_all() -> None:
        for k, (name, face) in enumerate(zip(names, faces, strict=True)):
            surface = vertices[k], None if albedo is None else albedo[k]
            painter.paint(face, *surface, keyed_generator(0, name, "scene"))

    whole = best_ms(paint_all, repeats, 16)
    for (owner, name, label), function in zip(STAGES, originals, strict=True):
        setattr(owner, name, timed(function, label))
    for _ in range(repeats):
        paint_all()
    for (owner, name, label), function in zip(STAGES, originals, strict=True):
        setattr(owner, name, function)
        print(f"  {label:<36} {np.array(spent[label]).reshape(repeats, -1).sum(axis=1).min() * 1e3 / 16:7.3f}")
    print(f"  {'the whole picture':<36} {whole:7.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--size", type=int, default=450)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where to write; some 100 MB are needed")
    options = parser.parse_args()
    model = load_model(options.model)
    painting(model, options.size, options.repeats)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix=".benchmark-") as name:
        folder = Path(name)
        render_faces(folder / "first", 16, model=model, options=SynthOptions(size=options.size))
        images = [read_image(sample) for sample in find_samples(folder / "first", flip=False)]
        worker = _Renderer(SynthJob(folder / "first", model, 0, options.size, False))
        names = sample_names(16)
        faces = [worker.source.draw(name) for name in names]

        def write_all() -> None:
            for image, face, sample in zip(images, faces, names, strict=True):
                worker._write(sample, image, face, flipped=False)

        floor = best_ms(write_all, options.repeats, 16)
        print(f"floor, encoding and writing: {floor:.3f} ms per image")
        names = sample_names(options.count)
        for flip, what in ((False, "faces, each painted"), (True, "faces and their mirror images")):
            worker = _Renderer(SynthJob(folder / "first", model, 0, options.size, flip))
            worker.make(names[:16])
            started = time.perf_counter()
            made = sum(worker.make(names[k : k + 16]) for k in range(0, len(names), 16))
            seconds = time.perf_counter() - started
            print(f"one core, {what}: {made / seconds:.1f} images/s ({seconds / made * 1e3 / floor:.1f} × the floor)")
        started = time.perf_counter()
        result = render_faces(
            folder / "all",
            options.count,
            model=model,
            options=SynthOptions(size=options.size),
            run=RunOptions(options.workers),
        )
        made = result.new_samples
        seconds = time.perf_counter() - started
        print(f"uvgen.synth, {options.workers} workers, starting them included: {made / seconds:.1f} images/s")
        size = sum(file.stat().st_size for file in (folder / "all").rglob("*.*"))
        print(f"{size / made / 1e3:.1f} kB per sample")


if __name__ == "__main__":
    main()
