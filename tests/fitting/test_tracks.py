"""`uvgen.fitting.video.tracks`: one shape for a person in motion, and motion that is smooth."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.models import builtin_model

from uvgen.errors import InputError
from uvgen.fitting.video import tracks
from uvgen.fitting.video.tracks import Alone, fit_alone, fit_track

ROOT = Path(__file__).parents[2]
N = 12


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks/video.py"))


@pytest.fixture(scope="module")
def seen(benchmark) -> tuple[Alone, np.ndarray]:
    """A head that talks, and when it was seen: not at even times."""
    _, times, points = benchmark["sequence"](builtin_model(), "talk", 1.0, 0, N, 0.5)
    return fit_alone(points, builtin_model(), 128), times + np.where(np.arange(N) > 6, 0.3, 0)


def fitted(faces: Any, times: np.ndarray, smoothness: float, usual: bool) -> tuple[Any, Any]:
    fitter = tracks._fitter(builtin_model(), "contour")
    return fitter, fitter._motion(faces, times, smoothness, usual)


@pytest.mark.parametrize("usual", [True, False])
def test_a_step_of_motion_is_that_of_dense_least_squares(seen, usual: bool) -> None:
    alone, times = seen
    faces = tracks._in_common(alone.faces)
    fitter, step = fitted(faces, times, 0.7, usual)
    normal, wanted = fitter._data_equations(faces)
    d = normal.shape[1]
    dense, right = np.zeros((N * d, N * d)), wanted.ravel().copy()
    for t in range(N):
        dense[t * d : t * d + d, t * d : t * d + d] = normal[t]
    q = np.array([tracks.USUAL[0]] * 3 + [tracks.USUAL[1]] * 3 + [tracks.USUAL[2]] * (d - 6))
    velocity = fitter._velocity(faces, times)
    for t in range(1, N - 1):
        before, after = times[t] - times[t - 1], times[t + 1] - times[t]
        variance = q**2 * (before + after) / 2 / 0.7
        change = velocity[t] - velocity[t - 1]
        weight = 1 / variance
        if not usual:
            square = change**2 / variance
            for group in (slice(0, 3), slice(3, 6)):
                weight[group] *= (1 + 3) / (1 + square[group].sum())
            weight[6:] *= (1 + 1) / (1 + square[6:])
        rows = np.zeros((d, N * d))  # how the change of velocity follows from the step
        for i in range(d):
            rows[i, (t - 1) * d + i], rows[i, t * d + i], rows[i, (t + 1) * d + i] = (
                1 / before, -1 / before - 1 / after, 1 / after,
            )  # fmt: skip
        dense += rows.T @ (weight[:, None] * rows)
        right -= rows.T @ (weight * change)
    np.testing.assert_allclose(step, np.linalg.solve(dense, right).reshape(N, d), atol=1e-7)


def test_velocities_are_those_of_the_poses(seen) -> None:
    alone, times = seen
    faces = tracks._in_common(alone.faces)
    velocity = tracks._fitter(builtin_model(), "contour")._velocity(faces, times)
    steps = np.diff(times)[:, None]
    angle = np.arccos((np.einsum("nij,nij->n", faces.rotation[1:], faces.rotation[:-1]) - 1) / 2)
    np.testing.assert_allclose(np.linalg.norm(velocity[:, :3] * steps, axis=1), angle, atol=1e-9)
    np.testing.assert_allclose(velocity[:, 4:6] * steps, np.diff(faces.shift, axis=0))


def test_poses_in_common_units_are_the_same_poses(seen) -> None:
    alone, _ = seen
    fitter = tracks._fitter(builtin_model(), "contour")
    again = tracks.result_of(fitter, tracks._in_common(alone.faces), alone.marked)
    np.testing.assert_allclose(again.pose, alone.fit.pose, atol=1e-9)
    np.testing.assert_allclose(again.sigma_px, alone.fit.sigma_px)


def test_a_person_has_one_shape_and_the_frames_their_number(seen) -> None:
    alone, times = seen
    fit = fit_track(alone, times, builtin_model())
    assert len(fit.pose) == N and np.ptp(fit.shape, axis=0).max() == 0
    assert np.abs(np.diff(fit.pose[:, 1], 2)).mean() < 0.5 * np.abs(np.diff(alone.fit.pose[:, 1], 2)).mean()
    assert np.ptp(fit.expression, axis=0).max() > 0


def test_windows_give_what_one_step_gives(seen, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, times = seen
    whole = fit_track(alone, times, builtin_model())
    monkeypatch.setattr(tracks, "_WINDOW", 4)
    monkeypatch.setattr(tracks, "_AROUND", 6)
    parts = fit_track(alone, times, builtin_model())
    assert not np.array_equal(whole.pose, parts.pose)
    assert np.abs(whole.points - parts.points).max() < 0.15  # px; noise is 1


def test_frames_that_say_the_same_say_it_once(seen) -> None:
    one = seen[0].take(np.zeros(5, np.int64))
    fitter = tracks._fitter(builtin_model(), "contour")
    assert fitter._independent_share(one.faces) == pytest.approx(1 / 5)
    rng = np.random.default_rng(0)
    other = seen[0].faces._replace(target=seen[0].faces.target + rng.normal(size=seen[0].faces.target.shape))
    assert 0.4 < fitter._independent_share(other) <= 0.5


def test_across_a_long_gap_nothing_is_smoothed(seen) -> None:
    alone, _ = seen
    apart = np.arange(N) / 25 + np.where(np.arange(N) < 6, 0, 1e4)
    near = fit_track(alone, np.arange(N) / 25, builtin_model())
    fit = fit_track(alone, apart, builtin_model())
    jump = [abs(one.pose[6, 1] - one.pose[5, 1]) for one in (alone.fit, fit, near)]
    assert np.isfinite(fit.pose).all() and jump[1] > 0.3 * jump[0] and jump[2] < jump[1]


def test_times_that_do_not_ascend_and_smoothness_out_of_range_are_refused(seen) -> None:
    alone, times = seen
    with pytest.raises(InputError, match="times: some are not after those before them"):
        fit_track(alone, times[::-1], builtin_model())
    with pytest.raises(InputError, match="smoothness"):
        fit_track(alone, times, builtin_model(), smoothness=-1)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [pytest.param(0.5, marks=pytest.mark.long), 1.0])
def test_a_still_head_jitters_a_third_and_fits_as_well(benchmark, noise: float) -> None:
    landmarks, ears, error, residual, truth = benchmark["compared"](builtin_model(), "rest", noise, 0, 100)
    assert landmarks < 1 / 3 and ears < 1 / 3
    assert residual < 1.05 < truth
    assert error < 1.15  # landmarks that err alike in all frames say no more of them together


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["talk", "fast"])
def test_what_moves_is_nearer_to_the_truth_than_frame_by_frame(benchmark, kind: str) -> None:
    landmarks, ears, error, residual, _ = benchmark["compared"](builtin_model(), kind, 1.0, 0, 100)
    assert landmarks < 1 and ears < 0.7 and error < 0.95 and residual < 1.05


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("smoothness", [0, 1e-300, 1, 1e9, 1e300])
@pytest.mark.parametrize("steps", [[1e-12], [1e-9], [1e-5], [1e17], [1e-9, 0.04], [1e-9, 1e-9, 1e3], [1e-5, 0.04, 1]])
def test_times_that_nearly_coincide_and_any_smoothness_give_faces(seen, steps: list[float], smoothness: float) -> None:
    alone, _ = seen
    times = np.cumsum(np.resize(steps, N))
    fit = fit_track(alone, times, builtin_model(), smoothness=smoothness)
    assert np.isfinite(fit.pose).all() and fit.residual.max() < 0.1
