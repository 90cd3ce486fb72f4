"""Each score against a slow one that is written out, and an error that is put in comes out."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.oracles import aflw_points, nme_21

from uvgen.evaluation import scores
from uvgen.evaluation.accumulate import Evaluation
from uvgen.evaluation.faces import Faces
from uvgen.evaluation.scores import SCORES, Surface

U = 20
MASK = np.random.default_rng(9).random((U, U)) < 0.6
SURFACE = Surface(MASK, 64)


def faces(seed: int = 0, n: int = 2) -> Faces:
    """Bent sheets of 40 × 30 px, 68 of their texels as landmarks, and AFLW's points, some not visible."""
    rng = np.random.default_rng(seed)
    u, v = np.meshgrid(np.linspace(0, 1, U), np.linspace(0, 1, U))
    depth = 8 * np.sin(3 * u + rng.uniform(0, 1, (n, 1, 1))) * np.cos(2 * v + rng.uniform(0, 1, (n, 1, 1)))
    maps = np.stack(
        [np.broadcast_to(10 + 40 * u, depth.shape), np.broadcast_to(5 + 30 * v, depth.shape), depth], axis=-1
    )
    flat = maps.reshape(n, -1, 3)
    landmarks = flat[:, np.linspace(0, U * U - 1, 68).astype(int)]
    points_21 = np.array([aflw_points(points) for points in landmarks])
    points_21[0, 5:9] = np.nan
    return Faces(landmarks, maps + 0, points_21)


def noisy(truth: Faces, seed: int = 1, sigma: float = 1.5) -> Faces:
    rng = np.random.default_rng(seed)
    return Faces(
        truth.landmarks + rng.normal(0, sigma, truth.landmarks.shape),
        truth.maps + rng.normal(0, sigma, truth.maps.shape),
    )


def box(points: np.ndarray) -> float:
    width, height = (max(p[k] for p in points) - min(p[k] for p in points) for k in (0, 1))
    return math.sqrt(width * height)


def mean_distance(p: np.ndarray, t: np.ndarray, dimensions: int) -> float:
    shift = np.mean(p[:, 2]) - np.mean(t[:, 2]) if dimensions == 3 else 0
    total = 0.0
    for a, b in zip(p, t, strict=True):
        square = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
        total += math.sqrt(square + (a[2] - b[2] - shift) ** 2 * (dimensions == 3))
    return total / len(p)


def slow(key: str, p: Faces, t: Faces, k: int) -> float:
    """The score of face k, by loops."""
    p68, t68, dense_p, dense_t = p.landmarks[k], t.landmarks[k], p.maps[k][MASK], t.maps[k][MASK]
    dimensions = 3 if "3d" in key else 2
    if key == "nme_21_2d":
        return nme_21(p68, t.points_21[k], t68)
    if key.startswith("nme_68"):
        return mean_distance(p68, t68, dimensions) / box(t68)
    if key.startswith("nme_dense"):
        return mean_distance(dense_p, dense_t, dimensions) / box(dense_t if key.endswith("box") else t68)
    if key.startswith("pose_error"):
        a, b = (p68, t68) if key.endswith("68") else (dense_p, dense_t)
        rotation, _ = Rotation.align_vectors(a - a.mean(axis=0), b - b.mean(axis=0))
        return float(np.linalg.norm(np.eye(3) - rotation.as_matrix()))
    if key == "ordinal_depth":
        hits = 0
        for i, point in enumerate(dense_t):
            order = sorted((j for j in range(len(dense_t)) if j != i), key=lambda j: math.dist(point, dense_t[j]))
            hits += sum((dense_t[i, 2] <= dense_t[j, 2]) == (dense_p[i, 2] <= dense_p[j, 2]) for j in order[:5])
        return hits / (5 * len(dense_t))
    assert key == "ordinal_depth_as_coded"
    distances = np.linalg.norm(dense_t[:, None] - dense_t[None], axis=-1)
    columns = np.argsort(distances, axis=0, kind="stable")[:, 1:6]  # as calc_zn does, z turned
    hits = 0
    for i in range(len(dense_t)):
        for j in range(5):
            o = columns[i, j]
            hits += (-dense_t[i, 2] >= -dense_t[o, 2]) == (-dense_p[i, 2] >= -dense_p[o, 2])
    return hits / (5 * len(dense_t))


SLOW = [key for key in SCORES if key.startswith(("nme", "pose", "ordinal"))]


@pytest.mark.parametrize("key", SLOW)
def test_score_equals_the_same_by_loops(key: str) -> None:
    truth = faces()
    predicted = noisy(truth)
    found = SCORES[key].measure(predicted, truth, SURFACE)
    np.testing.assert_allclose(found, [slow(key, predicted, truth, k) for k in range(2)], rtol=1e-9)


@pytest.mark.parametrize("key", list(SCORES))
def test_score_of_the_truth_itself_is_the_best(key: str) -> None:
    best = 1.0 if SCORES[key].better == "higher" else 0.0
    np.testing.assert_allclose(SCORES[key].measure(faces(), faces(), SURFACE), best, atol=2e-7)  # a root of rounding


@pytest.mark.parametrize("key", list(SCORES))
def test_score_gets_worse_with_the_error(key: str) -> None:
    truth, score = faces(), SCORES[key]
    near, far = (score.measure(noisy(truth, sigma=sigma), truth, SURFACE).mean() for sigma in (0.5, 5.0))
    assert (near > far) if score.better == "higher" else (near < far)


@pytest.mark.parametrize("key", [key for key in SCORES if key.startswith("nme")])
def test_nme_of_a_shift_is_its_length_over_the_box_and_depth_has_no_origin(key: str) -> None:
    truth = faces()
    shift = np.array([3.0, 4.0, 100.0])
    moved = Faces(truth.landmarks + shift, truth.maps + shift)
    found = SCORES[key].measure(moved, truth, SURFACE)
    sides = [box(truth.maps[k][MASK] if key.endswith("box") else truth.landmarks[k]) for k in range(2)]
    np.testing.assert_allclose(found, [5 / side for side in sides])


def turned(truth: Faces, degrees: float) -> Faces:
    matrix = Rotation.from_euler("yxz", [degrees, degrees / 3, -degrees / 5], degrees=True).as_matrix()
    return Faces(truth.landmarks @ matrix.T + 7, truth.maps @ matrix.T + 7)


@pytest.mark.parametrize("key", ["pose_error", "pose_error_68"])
def test_pose_error_is_that_of_the_rotation_put_in_whatever_the_scale(key: str) -> None:
    truth = faces()
    predicted = turned(truth, 20)
    predicted = Faces(1.3 * predicted.landmarks, 1.3 * predicted.maps)
    angle = Rotation.from_euler("yxz", [20, 20 / 3, -4], degrees=True).magnitude()
    np.testing.assert_allclose(SCORES[key].measure(predicted, truth, SURFACE), 2 * math.sqrt(2) * math.sin(angle / 2))


def test_reconstruction_does_not_see_a_motion_and_the_scaled_one_no_scale() -> None:
    truth = faces()
    moved = turned(truth, 10)
    np.testing.assert_allclose(SCORES["reconstruction"].measure(moved, truth, SURFACE), 0, atol=1e-6)
    larger = Faces(1.1 * moved.landmarks, 1.1 * moved.maps)
    assert SCORES["reconstruction"].measure(larger, truth, SURFACE).min() > 1e-3
    np.testing.assert_allclose(SCORES["reconstruction_scaled"].measure(larger, truth, SURFACE), 0, atol=1e-6)


def test_reconstruction_of_a_bump_is_its_mean_distance_over_the_eyes() -> None:
    truth = faces(n=1)
    bent = truth.maps.copy()
    bent[..., 2] += 0.2 * np.sign(np.random.default_rng(0).normal(size=bent.shape[:-1]))
    found = SCORES["reconstruction"].measure(Faces(truth.landmarks, bent), truth, SURFACE)[0]
    eyes = math.dist(truth.landmarks[0, 36], truth.landmarks[0, 45])
    nearest = [min(math.dist(p, q) for q in bent[0][MASK]) for p in truth.maps[0][MASK]]
    assert found == pytest.approx(np.mean(nearest) / eyes, rel=0.05)  # ICP gains a little


def test_chamfer_is_in_units_of_a_twentieth_of_the_eyes_distance_and_squared() -> None:
    truth = faces(n=1)
    apart = math.dist(truth.landmarks[0, 39], truth.landmarks[0, 42])
    lifted = truth.maps + [0, 0, 0.5]
    found = SCORES["chamfer"].measure(Faces(truth.landmarks, lifted), truth, SURFACE)[0]
    scale = 20 / apart
    nearest = [min(math.dist(p, q) for q in lifted[0][MASK]) for p in truth.maps[0][MASK]]
    assert found == pytest.approx(np.mean(np.square(nearest)) * scale**2)


def test_chamfer_aligns_with_a_reflection_as_the_benchmark_does() -> None:
    truth = faces()
    mirrored = Faces(truth.landmarks * [-1, 1, 1], truth.maps * [-1, 1, 1])
    np.testing.assert_allclose(SCORES["chamfer"].measure(mirrored, truth, SURFACE), 0, atol=1e-9)


def test_ssim_on_a_gpu_is_that_of_one_face_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.uniform(0, 64, (35, 3, 20, 20)).astype(np.float32))
    predicted, mask = (
        truth + torch.from_numpy(rng.normal(0, 9, truth.shape).astype(np.float32)),
        np.ones((20, 20), bool),
    )
    mask[:, 12:] = False
    found = []
    for on_gpu in (False, True):
        monkeypatch.setattr(scores, "_on_accelerator", lambda *_, it=on_gpu: it)
        evaluation = Evaluation(mask=mask, crop_size=64, scores=["ssim"])
        points = torch.rand(35, 68, 3, generator=torch.Generator().manual_seed(0))
        evaluation.add(Faces(points, predicted), Faces(points, truth))
        found.append(evaluation.result().values["ssim"])
    assert found[0].std() > 0.001
    np.testing.assert_allclose(found[1], found[0], rtol=2e-5)


def test_ssim_counts_windows_of_the_mask_alone() -> None:
    truth = faces(n=1)
    mask = np.zeros((U, U), bool)
    mask[8:12, 8:12] = True
    beside = truth.maps.copy()
    beside[:, 0, 0] += 50  # no window around the mask reaches it
    assert SCORES["ssim"].measure(Faces(truth.landmarks, beside), truth, Surface(mask, 64))[0] == pytest.approx(1)
    inside = truth.maps.copy()
    inside[:, 10, 10] += 50
    assert SCORES["ssim"].measure(Faces(truth.landmarks, inside), truth, Surface(mask, 64))[0] < 0.99


@pytest.mark.torch
@pytest.mark.parametrize("key", list(SCORES))
def test_scores_of_tensors_equal_those_of_arrays_in_both_layouts(key: str) -> None:
    torch = pytest.importorskip("torch")

    def tensors(value: Faces, *, first: bool) -> Faces:
        maps = torch.from_numpy(value.maps)
        points_21 = None if value.points_21 is None else torch.from_numpy(value.points_21)
        return Faces(torch.from_numpy(value.landmarks), maps.permute(0, 3, 1, 2) if first else maps, points_21)

    truth = faces()
    predicted = noisy(truth)
    expected = SCORES[key].measure(predicted, truth, SURFACE)
    for first in (False, True):
        found: Any = SCORES[key].measure(tensors(predicted, first=first), tensors(truth, first=first), SURFACE)
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-9, atol=1e-12)
