"""Scans of faces of a model, whose every point's place on the model is known."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation

from uvgen.models.morphable import MorphableModel
from uvgen.similarity import Similarity

Points = NDArray[np.float64]


def face_of(model: MorphableModel, seed: int, bump_mm: float = 0.0) -> Points:
    """(n, 3) mm: a face of the model, and where asked for with eight bumps that no face of it has."""
    rng = np.random.default_rng(seed)
    std = np.concatenate([model.shape_std, model.expression_std])
    face = (model.mean + model.basis @ (rng.normal(size=len(std)) * std).astype(np.float32)).astype(np.float64) / 1e3
    for _ in range(8 if bump_mm else 0):
        middle, along = face[model.landmarks[rng.integers(68)]], rng.normal(size=3)
        height = np.exp(-((face - middle) ** 2).sum(axis=1, keepdims=True) / (2 * 15**2))
        face = face + bump_mm * along / np.linalg.norm(along) * height
    return face


def resampled(model: MorphableModel, face: Points, n: int, seed: int, noise_mm: float = 0.0) -> tuple[Points, Points]:
    """n random points on a face's surface, mm, and their UV."""
    rng = np.random.default_rng(seed)
    corners = face[model.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(area), n, p=area / area.sum())
    weights = rng.dirichlet([1, 1, 1], n)
    uv = np.einsum("kc,kcd->kd", weights, model.uv[model.triangles[chosen]])
    points = np.einsum("kc,kcd->kd", weights, corners[chosen])
    return points + noise_mm * rng.normal(size=points.shape), uv


def triangulated(points: Points, uv: Points, longest_mm: float = 12.0) -> NDArray[np.int32]:
    """Triangles of points by their UV, turned as in UV they run counter-clockwise; none across holes."""
    triangles = Delaunay(uv).simplices.astype(np.int32)
    (ax, ay), (bx, by) = (uv[triangles[:, k]].T - uv[triangles[:, 0]].T for k in (1, 2))
    triangles = np.where((ax * by > ay * bx)[:, None], triangles, triangles[:, ::-1])
    corners = points[triangles]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    return triangles[longest < longest_mm]


def somewhere(seed: int, scale: float = 1.0) -> Similarity:
    """A frame of a scanner: any turn, some shift."""
    rng = np.random.default_rng(seed)
    return Similarity(scale, Rotation.random(random_state=seed).as_matrix(), 50 * scale * rng.normal(size=3))


def write_scans(folder: Path, model: MorphableModel, n: int = 2, points: int = 4000) -> Path:
    """Point clouds of faces of a model, with landmarks beside them, each in a frame of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(n):
        face, place = face_of(model, k), somewhere(k)
        np.save(folder / f"scan{k}.npy", place.apply(resampled(model, face, points, k)[0]).astype(np.float32))
        np.savetxt(folder / f"scan{k}.landmarks.txt", place.apply(face[model.landmarks]), fmt="%.4f")
    return folder
