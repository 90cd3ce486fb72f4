"""Faces brought closer to their photographs: on photographs that were not used to choose anything."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen import (
    FitOptions,
    SynthOptions,
    find_samples,
    fit_landmarks,
    fit_photographs,
    load_model,
    read_annotation,
    read_image,
    render_faces,
)
from uvgen.errors import DatasetError, InputError
from uvgen.fitting.refine import FaceCrop, _moves, refine_fit
from uvgen.geometry import pose_to_image
from uvgen.models.morphable import REGIONS, MorphableModel

N, SIZE = 12, 192


class Drawn(NamedTuple):
    images: list[NDArray[np.uint8]]
    vertices: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    box: NDArray[np.float64]


@pytest.fixture(scope="module")
def builtin() -> MorphableModel:
    return load_model("builtin")


@pytest.fixture(scope="module")
def drawn(builtin: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folder = tmp_path_factory.mktemp("drawn")
    render_faces(folder, N, options=SynthOptions(size=SIZE, seed=1234, subsets=("LFPW",), flip=False))
    samples = find_samples(folder)
    said = [read_annotation(sample) for sample in samples]
    vertices = np.stack([vertices_of(builtin, one.shape, one.expression, one.pose) for one in said])
    landmarks = vertices[:, builtin.landmarks, :2]
    box = np.sqrt(np.ptp(landmarks, axis=1).prod(axis=1))
    return Drawn([read_image(sample) for sample in samples], vertices, landmarks, box)


def vertices_of(model: MorphableModel, shape: Any, expression: Any, pose: Any) -> NDArray[np.float64]:
    affine = pose_to_image(np.asarray(pose, np.float64)[None], SIZE)[0]
    surface = model.mean + model.basis.astype(np.float64) @ np.concatenate([shape, expression])
    return surface @ affine[:, :3].T + affine[:, 3]


def dense(model: MorphableModel, drawn: Drawn, k: int, fit: Any) -> float:
    off = vertices_of(model, fit.shape[0], fit.expression[0], fit.pose[0]) - drawn.vertices[k]
    off = off[np.isin(model.regions, [REGIONS.index(name) for name in ("face", "mouth", "eyes", "nose")])]
    off[:, 2] -= off[:, 2].mean()
    return float(np.linalg.norm(off, axis=1).mean() / drawn.box[k])


@pytest.mark.slow
def test_photographs_bring_faces_closer_where_landmarks_are_noisy(builtin: MorphableModel, drawn: Drawn) -> None:
    noise = 0.025 * drawn.box[:, None, None] * np.random.default_rng(8).normal(size=drawn.landmarks.shape)
    points = drawn.landmarks + noise
    fit = fit_landmarks(points, builtin, SIZE, jaw="fixed")
    before, after = [], []
    for k in range(N):
        crop = FaceCrop.of(drawn.images[k], points[k])
        refined = refine_fit(crop, SIZE, points[k], np.ones(68), fit.face(k), builtin)
        before.append(dense(builtin, drawn, k, fit.face(k)))
        after.append(dense(builtin, drawn, k, refined))
    assert np.mean(after) < 0.9 * np.mean(before), (before, after)
    assert sum(a < b for a, b in zip(after, before, strict=True)) >= N - 3


def test_crops_of_a_larger_photograph_say_the_same(builtin: MorphableModel, drawn: Drawn) -> None:
    """The picture three times as large, and somewhere in a larger one: the same face, there."""
    fit = fit_landmarks(drawn.landmarks[:1] + 1.0, builtin, SIZE, jaw="fixed").face(0)
    plain = refine_fit(
        FaceCrop.of(drawn.images[0], drawn.landmarks[0]), SIZE, drawn.landmarks[0], np.ones(68), fit, builtin
    )
    large = np.zeros((3 * SIZE + 50, 3 * SIZE + 80, 3), np.uint8)
    large[50:, 80:] = drawn.images[0].repeat(3, axis=0).repeat(3, axis=1)
    points = (drawn.landmarks[0] + 0.5) * 3 - 0.5 + [80, 50]
    there = fit_landmarks((drawn.landmarks[:1] + 1.5) * 3 - 0.5 + [80, 50], builtin, len(large), jaw="fixed").face(0)
    crop = FaceCrop.of(large, points)
    assert max(crop.image.shape) < 400 and crop.factor > 1.1
    found = refine_fit(crop, len(large), points, np.ones(68), there, builtin)
    np.testing.assert_allclose(found.points, (plain.points + 0.5) * 3 - 0.5 + [80, 50], atol=0.02 * 3 * drawn.box[0])
    shown = vertices_of(builtin, found.shape[0], found.expression[0], [*found.pose[0][:3], 0, 0, 0, found.pose[0][6]])
    assert np.isfinite(shown).all()


def test_moves_are_those_of_the_projection(builtin: MorphableModel) -> None:
    """The derivatives against differences of the projection itself."""
    rng = np.random.default_rng(0)
    pose = np.array([0.2, -0.4, 0.1, 90, 100, 0, 1e-3])
    affine = pose_to_image(pose[None], SIZE)[0]
    scale, rotation = pose[6], affine[:, :3] * [[1], [-1], [1]] / pose[6]
    places, basis = builtin.mean[::500].astype(np.float64), builtin.basis[::500].astype(np.float64)
    found = _moves(places, basis, affine, rotation, scale)
    k = int(rng.integers(basis.shape[2]))
    np.testing.assert_allclose(found[..., 6 + k], (basis[..., k] @ affine[:2, :3].T), rtol=1e-9, atol=1e-9)
    step = 1e-6
    for axis in range(3):
        x, y, z = np.eye(3)[axis] * step
        turn = np.eye(3) + np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        moved = (places @ (turn @ rotation).T - places @ rotation.T)[:, :2] * scale * [1, -1] / step
        np.testing.assert_allclose(found[..., axis], moved, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found[..., 3], (places @ affine[:2, :3].T), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 60, 3), (60, 1, 3)])
def test_a_photograph_that_shows_nothing_of_the_face_leaves_the_fit(
    builtin: MorphableModel, drawn: Drawn, shape: tuple[int, ...]
) -> None:
    fit = fit_landmarks(drawn.landmarks[:1], builtin, SIZE).face(0)
    crop = FaceCrop(np.zeros(shape, np.uint8), 1.0, np.zeros(2))
    assert refine_fit(crop, SIZE, drawn.landmarks[0], np.ones(68), fit, builtin) is fit


def test_models_without_albedo_and_persons_are_refused(builtin: MorphableModel, tmp_path: Path) -> None:
    bare = dataclasses.replace(builtin, albedo_mean=None, albedo_basis=None, albedo_std=None)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"")
    (tmp_path / "photos/a.txt").write_text("1 2\n")
    with pytest.raises(InputError, match="has no albedo, expected one with it; do not refine"):
        fit_photographs(tmp_path / "photos", tmp_path / "out", model=bare, options=FitOptions(refine=True))
    with pytest.raises(InputError, match="refine: does not go with same_person"):
        fit_photographs(tmp_path / "photos", tmp_path / "out", options=FitOptions(refine=True, same_person=True))


@pytest.mark.parametrize("width", [601, 640, 733])
def test_places_of_a_photograph_are_found_in_its_crop(width: int) -> None:
    """Dots of a photograph, by their centers of mass in the smaller picture."""
    image = np.zeros((width + 57, width, 3), np.uint8)
    rng = np.random.default_rng(width)
    dots = rng.integers(width // 4, 3 * width // 4, (8, 2))
    points = np.full((68, 2), np.nan)
    points[:2] = [[width * 0.1, width * 0.1], [width * 0.9, width * 0.95]]
    for x, y in dots:
        one = image.copy()
        one[y, x] = 255
        crop = FaceCrop.of(one, points)
        assert crop.factor > 1.5
        values = crop.image[..., 0].astype(np.float64)
        rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
        middle = np.array([(values * columns).sum(), (values * rows).sum()]) / values.sum()
        assert np.abs(middle - (np.array([x, y]) - crop.origin) / crop.factor).max() < 0.51  # of a box of pixels


def test_faces_that_refining_takes_beyond_the_limit_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.photographs import write_photographs

    from uvgen.fitting import worker

    photos = write_photographs(tmp_path / "photos", 2)
    monkeypatch.setattr(
        worker, "refine_fit", lambda *arguments: dataclasses.replace(arguments[4], residual=np.array([0.2], np.float32))
    )
    plain = fit_photographs(photos, tmp_path / "plain")
    assert len(plain.faces) == 2
    with pytest.raises(DatasetError, match=r"none of 2 photographs can be used; .* residual 20\.0%, expected 15\.0%"):
        fit_photographs(photos, tmp_path / "out", options=FitOptions(refine=True))
