"""How many faces per second `uvgen.fit_landmarks` fits on one core, without detection.

    python benchmarks/fit.py --model bfm.h5 --shape 60 --expression 29

Each row is measured in alternation with a floor, the matrix product that makes a batch's landmarks, so that rows of a
busy machine can be compared by their ratio to it.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

import uvgen
from uvgen.geometry import pose_to_image

SIZE = 450


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="builtin", help="a model's file, or the word builtin")
    options.add_argument("--shape", type=int, default=60, help="shape components at most")
    options.add_argument("--expression", type=int, default=29, help="expression components at most")
    options.add_argument("--faces", type=int, default=64)
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--noise", type=float, default=0.01, help="of the landmarks, as a share of the face's size")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with threadpool_limits(1, user_api="blas"):
        measure(given)


def measure(given: argparse.Namespace) -> None:
    """Print a row for each kind of jaw."""
    model = truncated(uvgen.load_model(given.model), given.shape, given.expression)
    points = landmarks(model, given.faces, given.noise)
    print(f"{model.name}: {model.n_vertices} vertices, {model.n_shape} + {model.n_expression} components")
    print(f"{'':24}{'faces/s':>10}{'ms/face':>10}{'× floor':>10}")
    basis = model.basis.reshape(-1, model.n_shape + model.n_expression)
    parameters = np.ones((basis.shape[1], given.batch), np.float32)
    floor = timed(lambda: np.matmul(basis, parameters), given.rounds) / given.batch
    print(f"{'floor: one evaluation':24}{1 / floor:>10.1f}{1e3 * floor:>10.2f}{1:>10}")
    for jaw in ("fixed", "contour"):
        batches = [points[first : first + given.batch] for first in range(0, len(points), given.batch)]

        def fit(jaw: str = jaw, batches: list[np.ndarray] = batches) -> None:
            for batch in batches:
                uvgen.fit_landmarks(batch, model, SIZE, jaw=jaw)

        seconds = timed(fit, given.rounds) / len(points)
        print(f"{f'--jaw {jaw}':24}{1 / seconds:>10.1f}{1e3 * seconds:>10.2f}{seconds / floor:>10.1f}")


def truncated(model: uvgen.MorphableModel, n_shape: int, n_expression: int) -> uvgen.MorphableModel:
    """A model with its first components alone."""
    shape, expression = model.shape_basis[..., :n_shape], model.expression_basis[..., :n_expression]
    return dataclasses.replace(
        model, basis=np.ascontiguousarray(np.concatenate([shape, expression], axis=-1)),
        shape_std=model.shape_std[:n_shape], expression_std=model.expression_std[:n_expression],
    )  # fmt: skip


def landmarks(model: uvgen.MorphableModel, count: int, noise: float) -> np.ndarray:
    """(count, 68, 2) of faces at random, yaws to 80 degrees."""
    rng = np.random.default_rng(0)
    std = np.concatenate([model.shape_std, model.expression_std]).astype(np.float64)
    parameters = rng.normal(size=(count, len(std))) * std
    places = model.mean[model.landmarks] + np.einsum("vck,nk->nvc", model.basis[model.landmarks], parameters)
    size = np.ptp(model.mean[model.landmarks, 0])
    angles = np.deg2rad(rng.uniform(-1, 1, (count, 3)) * [20, 80, 20])
    rest = np.tile([SIZE / 2, SIZE / 2, 0, 180 / size], (count, 1))
    poses = np.concatenate([angles, rest], axis=1)
    affine = pose_to_image(poses, SIZE)
    shown = (places @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3])[..., :2]
    return shown + rng.normal(size=shown.shape) * noise * 180


def timed(work: Callable[[], object], rounds: int) -> float:
    """Median of the seconds that some work takes, once warm."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
