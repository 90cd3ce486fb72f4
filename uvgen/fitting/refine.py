"""A fit that is refined with the photograph's colors: what `uvgen fit --refine` does.

Landmarks say little about cheeks, brows and nose. Here the color that the model gives each of its vertices, albedo
times light, is compared with the photograph's where the vertex is seen, and pose, shape and expression change until
both agree: Gauss-Newton steps on the squares of the differences, of the landmarks' distances, and of the parameters in
standard deviations (the analysis by synthesis of Blanz and Vetter, SIGGRAPH 1999, on vertices alone).

Colors are compared as logarithms of linear light, in which light, nine spherical harmonics per channel (Ramamoorthi and
Hanrahan, SIGGRAPH 2001), and albedo are sums: both are eliminated from each step by linear least squares, so that they
need not be known. Vertices whose color fits badly (hair, glasses, shadows) count little, by Student's distribution.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from threadpoolctl import threadpool_limits

from uvgen.errors import InputError
from uvgen.fitting.contour import mean_face_normals
from uvgen.fitting.landmarks import LandmarkFit
from uvgen.fitting.steps import FREEDOM, angles_of, pose_jacobian, solution
from uvgen.geometry import affine_to_pose, pose_to_image, rotations_about
from uvgen.maps.labels import label_nme
from uvgen.maps.memo import once_per_model
from uvgen.models.morphable import REGIONS, MorphableModel
from uvgen.rasterize.visibility import visible_vertices

_STEPS, _ROUNDS = 8, 4
_VERTICES = 2000  # of the face, that are compared
_BLUR, _DEPTH = 0.012, 0.03  # of the face's size: of the photograph, and by which a surface hides itself
_FACING = 0.25  # cosine from which a surface is looked at
_INDEPENDENT = 0.03  # what a vertex counts: its neighbors say nearly the same
_GAMMA, _DARKEST = 2.2, 4.0
_LEAST_SPREAD, _LEAST_SIGMA = 0.03, 0.003  # of colors, and of landmarks as a share of the face's size
_PRIOR_OF_LIGHT = (1e-3, *(0.3,) * 8)  # precision of each harmonic: that of even light is nearly free
_PRIOR_OF_ALBEDO = 1.0
_ROOM, _FACE_PX = 0.3, 192  # around the landmarks, as a share of their longer side; that side in a crop at most
_MOST_TURN = 0.05  # rad, in one step


class _Surface(NamedTuple):
    """The parts of a model that are compared. v vertices, ka albedo components, k = ks + ke."""

    vertices: NDArray[np.int64]
    normals: NDArray[np.float64]
    """(n, 3): of the mean face, all vertices."""
    mean: NDArray[np.float64]
    """(n, 3)"""
    basis: NDArray[np.float64]
    """(v, 3, k): in standard deviations."""
    landmarks: NDArray[np.float64]
    """(68, 3, k): likewise."""
    color: NDArray[np.float64]
    """(v, 3): logarithm of the mean albedo."""
    colors: NDArray[np.float64]
    """(v, 3, ka): how it moves with the albedo, in standard deviations."""
    std: NDArray[np.float64]
    """(k,)"""


class FaceCrop(NamedTuple):
    """The part of a photograph that shows a face, scaled down: its point p is at (p - origin) / factor here."""

    image: NDArray[np.uint8]
    """(h, w, 3) RGB."""
    factor: float
    origin: NDArray[np.float64]
    """(2,): px of the photograph."""

    @classmethod
    def of(cls, image: NDArray[np.uint8], points: NDArray[np.float64]) -> "FaceCrop":
        """Around landmarks (68, 2), in px of the image (h, w, 3); NaN where they are not known."""
        height, width = image.shape[:2]
        low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
        room = _ROOM * float((high - low).max())
        left, top = np.clip(np.floor(low - room), 0, [width - 1, height - 1]).astype(int)
        right, bottom = np.clip(np.ceil(high + room) + 1, [left + 1, top + 1], [width, height]).astype(int)
        part = image[top:bottom, left:right]
        factor = max(1.0, float((high - low).max()) / _FACE_PX)
        size = max(int(part.shape[1] / factor), 1), max(int(part.shape[0] / factor), 1)
        box = (0.0, 0.0, min(size[0] * factor, part.shape[1]), min(size[1] * factor, part.shape[0]))
        small = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BOX, box))
        middle = (factor - 1) / 2  # pixel centers are integers in both
        return cls(small, factor, np.array([left + middle, top + middle]))


def refine_fit(
    crop: FaceCrop,
    image_height: int,
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    fit: LandmarkFit,
    model: MorphableModel,
) -> LandmarkFit:
    """Bring a face closer to its photograph.

    Parameters
    ----------
    crop : FaceCrop
        Of the photograph.
    image_height : int
        Of the photograph, px.
    points, weights : (68, 2), (68,) float64
        The landmarks, px of the photograph, NaN where they are not known; and how reliable each is, 0 to 1.
    fit : LandmarkFit
        Of one face, to these landmarks.
    model : MorphableModel
        With an albedo.

    Returns
    -------
    LandmarkFit
        `fit` itself, if the photograph shows too little of the face.

    Raises
    ------
    InputError
        If the model has no albedo.
    """
    surface = _surface(model)
    affine = pose_to_image(fit.pose, image_height)[0]
    affine[:2, 3] -= crop.origin
    affine /= crop.factor
    inside = replace(fit, points=(fit.points - crop.origin) / crop.factor, sigma_px=fit.sigma_px / crop.factor)
    with threadpool_limits(1, user_api="blas"):  # more would be slower, and would change the last bits
        found = _refined(crop.image, (points - crop.origin) / crop.factor, weights, inside, affine, model, surface)
    if found is None:
        return fit
    parameters, affine = found
    affine = affine * crop.factor
    affine[:2, 3] += crop.origin
    known = np.isfinite(points).all(axis=1) & (weights > 0)
    return _result(points, known, fit, model, surface, parameters, affine, image_height)


@once_per_model
def _surface(model: MorphableModel) -> _Surface:
    if model.albedo_mean is None:
        raise InputError(f"model: {model.name} has no albedo, expected one with it; do not refine")
    on_face = np.arange(model.n_vertices)
    if model.regions is not None:
        on_face = np.flatnonzero(np.isin(model.regions, [REGIONS.index(n) for n in ("face", "mouth", "eyes", "nose")]))
    chosen = on_face[:: max(len(on_face) // _VERTICES, 1)]
    std = np.nan_to_num(np.concatenate([model.shape_std, model.expression_std]).astype(np.float64))
    albedo = np.maximum(model.albedo_mean[chosen].astype(np.float64), _DARKEST * 2)
    colors = np.zeros((len(chosen), 3, 0))
    if model.albedo_basis is not None and model.albedo_std is not None:
        colors = model.albedo_basis[chosen].astype(np.float64) * model.albedo_std / albedo[..., None]
    return _Surface(
        chosen, mean_face_normals(model), model.mean.astype(np.float64), model.basis[chosen] * std,
        model.basis[model.landmarks] * std, _GAMMA * np.log(albedo / 255), _GAMMA * colors, std,
    )  # fmt: skip


def _refined(
    image: NDArray[np.uint8],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    fit: LandmarkFit,
    affine: NDArray[np.float64],
    model: MorphableModel,
    surface: _Surface,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Parameters in standard deviations, and the way into the image; None if it shows too little."""
    if min(image.shape[:2]) < 2:  # a strip, which has no slopes
        return None
    known = np.isfinite(points).all(axis=1) & (weights > 0)
    target, trust = np.where(known[:, None], points, 0), np.where(known, weights, 0)
    slides = fit.slides[0]  # these say where the outline is, which the photograph says too
    trust = np.where(slides, 0, trust)
    size = float(np.sqrt(np.ptp(fit.points[0], axis=0).prod()))
    sigma = max(float(fit.sigma_px[0]), _LEAST_SIGMA * size)
    light = _GAMMA * np.log(np.maximum(image, _DARKEST) / 255.0)
    light = gaussian_filter(light, (_BLUR * size, _BLUR * size, 0))
    slopes = np.stack(np.gradient(light, axis=(1, 0)), axis=-1)  # (h, w, 3, 2): by x, by y
    parameters = np.divide(
        np.concatenate([fit.shape[0], fit.expression[0]]), surface.std, out=np.zeros(len(surface.std)),
        where=surface.std > 0,
    )  # fmt: skip
    for _ in range(_STEPS):
        scale = float(np.cbrt(abs(np.linalg.det(affine[:, :3]))))
        rotation = affine[:, :3] * [[1], [-1], [1]] / scale
        vertices = surface.mean + (model.basis @ (parameters * surface.std).astype(np.float32)).astype(np.float64)
        shown = vertices @ affine[:, :3].T + affine[:, 3]
        seen = _seen(surface, model, shown, rotation, image.shape, size)
        if seen.sum() < 50 + len(parameters):
            return None
        places = shown[surface.vertices[seen]]
        color, slope = _sampled(light, places), _sampled(slopes.reshape(*light.shape[:2], 6), places).reshape(-1, 3, 2)
        albedo_and_light = _appearance(surface, seen, rotation)
        n_colors = albedo_and_light.shape[-1]
        precision = _precision_of_appearance(n_colors)
        off, spread, each = _explained(color - surface.color[seen], albedo_and_light, precision)
        moves = _moves(vertices[surface.vertices[seen]], surface.basis[seen], affine, rotation, scale)
        rows = (slope[:, :, None] @ moves[:, None])[:, :, 0].reshape(3 * len(places), -1)
        counted = np.repeat(each, 3) * _INDEPENDENT / spread**2
        flat = albedo_and_light.reshape(-1, n_colors)
        solved = solution((flat * counted[:, None]).T @ flat + np.diag(precision), (flat * counted[:, None]).T)
        rows_left = rows - flat @ (solved @ rows)  # what light and albedo cannot explain
        distance = target - shown[model.landmarks, :2]
        student = trust * (FREEDOM + 2) / (FREEDOM + (distance**2).sum(axis=1) / sigma**2) / sigma**2
        by_landmarks = _moves(vertices[model.landmarks], surface.landmarks, affine, rotation, scale).reshape(136, -1)
        student = np.repeat(student, 2)
        prior = np.concatenate([np.full(6, 1e-6), np.ones(len(parameters))])
        normal = (by_landmarks * student[:, None]).T @ by_landmarks + rows.T @ (rows_left * counted[:, None])
        wanted = (by_landmarks * student[:, None]).T @ distance.reshape(-1) - rows_left.T @ (off.reshape(-1) * counted)
        wanted -= prior * np.concatenate([np.zeros(6), parameters])
        step = solution(normal + np.diag(prior), wanted)
        step *= min(1.0, _MOST_TURN / max(float(np.abs(step[:4]).max()), 1e-12))
        parameters = parameters + step[6:]
        turned = rotations_about(step[None, :3])[0] @ rotation
        shift = affine[:, 3] + [step[4], step[5], 0]
        affine = np.concatenate([turned * [[1], [-1], [1]] * scale * np.exp(step[3]), shift[:, None]], axis=1)
    return parameters, affine


def _seen(
    surface: _Surface,
    model: MorphableModel,
    shown: NDArray[np.float64],
    rotation: NDArray[np.float64],
    shape: tuple[int, ...],
    size: float,
) -> NDArray[np.bool_]:
    """(v,) which vertices the photograph shows, from the front."""
    low = np.floor(shown[:, :2].min(axis=0))
    extent = np.clip(np.ceil(shown[:, :2].max(axis=0) - low), 1, 4 * size).astype(int) + 1
    moved = (shown - [*low, 0]).astype(np.float32)
    visible = visible_vertices(moved, model.triangles, size=(int(extent[1]), int(extent[0])), tolerance=_DEPTH * size)
    x, y = shown[surface.vertices, :2].T
    inside = (x > 1) & (x < shape[1] - 2) & (y > 1) & (y < shape[0] - 2)
    facing = (surface.normals[surface.vertices] @ rotation.T)[:, 2] > _FACING
    return np.asarray(visible[surface.vertices] & inside & facing)


def _sampled(values: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(v, c) values (h, w, c) at places (v, 3), between pixels."""
    found = [map_coordinates(values[..., c], places[:, 1::-1].T, order=1) for c in range(values.shape[2])]
    return np.stack(found, axis=1)


def _appearance(surface: _Surface, seen: NDArray[np.bool_], rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(v, 3, 27 + ka) how colors move with light, nine harmonics per channel, and with albedo."""
    x, y, z = (surface.normals[surface.vertices[seen]] @ rotation.T).T
    harmonics = np.stack([np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], axis=1)
    found = np.zeros((len(x), 3, 27 + surface.colors.shape[2]))
    for channel in range(3):
        found[:, channel, 9 * channel : 9 * channel + 9] = harmonics
    found[:, :, 27:] = surface.colors[seen]
    return found


def _precision_of_appearance(n: int) -> NDArray[np.float64]:
    return np.array([*np.tile(_PRIOR_OF_LIGHT, 3), *np.full(n - 27, _PRIOR_OF_ALBEDO)])


def _explained(
    color: NDArray[np.float64], appearance: NDArray[np.float64], precision: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """What light and albedo leave of colors (v, 3), its standard deviation, and the vertices' weights."""
    each, spread = np.ones(len(color)), 4 * _LEAST_SPREAD
    flat = appearance.reshape(-1, appearance.shape[-1])
    left = color
    for _ in range(_ROUNDS):
        counted = flat * (np.repeat(each, 3) * _INDEPENDENT / spread**2)[:, None]
        best = solution(counted.T @ flat + np.diag(precision), counted.T @ color.reshape(-1))
        left = color - (flat @ best).reshape(color.shape)
        spread = max(float(np.sqrt((each * (left**2).mean(axis=1)).sum() / each.sum())), _LEAST_SPREAD)
        each = (FREEDOM + 3) / (FREEDOM + (left**2).sum(axis=1) / spread**2)
    return left, spread, each


def _moves(
    vertices: NDArray[np.float64],
    basis: NDArray[np.float64],
    affine: NDArray[np.float64],
    rotation: NDArray[np.float64],
    scale: float,
) -> NDArray[np.float64]:
    """(v, 2, 6 + k) how places in the image move as a face turns (rad), grows (log), shifts (px), and with `basis`."""
    by_pose = pose_jacobian((vertices @ rotation.T)[None], np.array([scale]))[0] * [[1], [-1]]  # y down
    by_pose[:, 1, 5] = 1
    by_parameters = affine[:2, :3] @ basis
    return np.concatenate([by_pose, by_parameters], axis=2)


def _result(
    points: NDArray[np.float64],
    known: NDArray[np.bool_],
    fit: LandmarkFit,
    model: MorphableModel,
    surface: _Surface,
    parameters: NDArray[np.float64],
    affine: NDArray[np.float64],
    height: int,
) -> LandmarkFit:
    pose = affine_to_pose(affine[None], height)
    pose[:, :3], pose[:, 5] = angles_of(affine[None, :, :3] * [[1], [-1], [1]] / pose[0, 6]), 0
    numbers = parameters * surface.std
    places = surface.mean[model.landmarks] + surface.landmarks @ parameters
    shown = places @ affine[:2, :3].T + affine[:2, 3]
    compared = np.where(fit.slides[0][:, None], fit.points[0], shown)[None]
    inner, jaw = label_nme(compared, np.where(known[:, None], points, np.nan)[None], fewest=1)
    shape, expression = numbers[None, : model.n_shape], numbers[None, model.n_shape :]
    return replace(
        fit, shape=shape, expression=expression, pose=pose, points=compared, residual=inner, residual_jaw=jaw
    )
