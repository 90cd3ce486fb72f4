"""Painting the picture that a synthetic face's parameters describe exactly."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from uvgen.batch_product import columns_of
from uvgen.geometry import pose_to_image
from uvgen.models.morphable import MorphableModel
from uvgen.rasterize.fragments import Fragments, rasterize
from uvgen.rasterize.shading import shown_normals
from uvgen.rasterize.visibility import visible_vertices
from uvgen.synth import kernels
from uvgen.synth.faces import FaceParameters
from uvgen.synth.mannequin import PARTS, mannequin
from uvgen.synth.scene import SHININESS, draw_backdrop, draw_color, photograph

_GRAY = 150.0  # skin of a model without albedo, 0 to 255
_GAMMA = 2.2
_DIRECTIONS, _BUFFER = 96, 128  # from which the light may come; pixels per side to find what it reaches
_SAMPLES = np.array([[-0.25, -0.25, 0], [0.25, 0.25, 0]], np.float32)  # of a pixel: their mean is its center
_STEP = 5.0  # px of depth from a pixel to the next that make a silhouette
_NOTHING = np.empty(0, np.float32)
_SOFTNESS = 7.0  # of shadows: a lamp some 40 degrees wide


class Painter:
    """Paints faces of one model with the repository's rasterizer, with soft shadows and silhouettes.

    What light reaches where is found once, on the mean face (the idea of Sloan et al., Precomputed Radiance Transfer,
    SIGGRAPH 2002, with directions in the place of spherical harmonics).

    Parameters
    ----------
    model : MorphableModel
        Whose faces to paint.
    size : int
        Pixels along each side of the pictures.
    """

    def __init__(self, model: MorphableModel, size: int) -> None:
        self.model, self.size = model, size
        self._figure = mannequin(model)
        skin = _facing_out(model)
        closing = model.mouth_triangles  # of either orientation, in the files that have them
        self._triangles = np.ascontiguousarray(
            np.concatenate([skin, closing, closing[:, ::-1], self._figure.triangles + model.n_vertices]), np.int32
        )
        self._directions = _directions(_DIRECTIONS)
        self._reach = _reach(model.mean, np.concatenate([skin, closing]), self._directions)
        self._openness = np.concatenate([_openness(model, skin, self._reach, self._directions), self._figure.openness])
        self._facing = np.empty(len(self._triangles), np.int32), np.empty((len(self._triangles), 3), np.int32)
        pixels = 2 * size**2
        self._buffers = np.empty(pixels, np.int32), np.empty(3 * pixels, np.float32), np.empty(pixels, np.float32)

    def surfaces(self, faces: Sequence[FaceParameters]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Vertices (b, n, 3) of faces in the model frame, µm, and their albedo (b, n, 3), 0 to 255, if there is one.

        A face's do not depend on the others'.
        """
        model = self.model
        parameters = [np.concatenate([face.shape, face.expression]) for face in faces]
        vertices = _evaluate(model.mean, model.basis, parameters)
        albedo = model.albedo_mean
        if albedo is not None and model.albedo_basis is not None:
            albedo = _evaluate(albedo, model.albedo_basis, [face.albedo for face in faces])
        return vertices, None if albedo is None else np.broadcast_to(albedo, vertices.shape)

    def paint(
        self,
        face: FaceParameters,
        vertices: NDArray[np.float32],
        albedo: NDArray[np.float32] | None,
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """The picture of a face.

        Parameters
        ----------
        face : FaceParameters
            What to paint.
        vertices, albedo : (n, 3) float32
            Of the face, as `surfaces` gives them.
        rng : numpy.random.Generator
            For all that no label depends on: backdrop, clothes, camera.

        Returns
        -------
        (size, size, 3) uint8
            RGB.
        """
        canvas = draw_backdrop(rng, self.size, face.mirrored)
        affine = pose_to_image(face.pose[None], self.size)[0]
        points = np.empty((len(self._openness), 3), np.float32)
        n = self.model.n_vertices
        np.matmul(vertices, affine[:, :3].T.astype(np.float32), out=points[:n])
        for axis in range(3):  # one by one: NumPy's loops over three numbers each are slow
            points[:n, axis] += np.float32(affine[axis, 3])
        points[n:] = self._figure.posed(affine, face.pose.astype(np.float64), float(points[:n, 2].min()))
        colors = self._colors(albedo, rng)
        fragments, corner, numbers, triangles = self._rasterize(points)
        colors = self._lit(points, colors, face, affine, *self._shown(fragments, numbers, triangles))
        edges = np.zeros(canvas.shape[:2], np.bool_)
        samples = kernels.PixelSamples(fragments.triangle, fragments.weights, fragments.depth)
        kernels.draw_fragments(samples, triangles, colors, np.float32(_STEP), *corner, canvas, edges)
        return photograph(canvas, edges, rng)

    def _colors(self, skin: NDArray[np.float32] | None, rng: np.random.Generator) -> NDArray[np.float32]:
        """Albedo of the whole figure, (n, 3), 0 to 255."""
        model = self.model
        albedo = np.full((len(self._openness), 3), _GRAY, np.float32)
        if skin is not None:
            albedo[: model.n_vertices] = skin
        part = self._figure.part
        figure = albedo[model.n_vertices :]
        figure[part == PARTS.index("clothes")] = draw_color(rng)
        figure[part == PARTS.index("hair")] = np.array([66, 48, 38]) * rng.uniform(0.3, 1.9)
        figure[part == PARTS.index("skin")] = np.median(albedo[: model.n_vertices : 37], axis=0)
        return albedo

    def _lit(
        self,
        points: NDArray[np.float32],
        albedo: NDArray[np.float32],
        face: FaceParameters,
        affine: NDArray[np.float64],
        listed: NDArray[np.int32],
        seen: NDArray[np.intp],
    ) -> NDArray[np.float32]:
        """Colors (n, 3) of the figure in the picture, 0 to 255: sky and ground, lamp with shadow, highlight.

        Of the corners `seen` of the triangles `listed`, which are seen in the picture; of the others, anything.
        """
        light = face.light
        normals = shown_normals(points, self._triangles, Fragments(listed, _NOTHING, _NOTHING))
        direction = light.direction
        in_model = affine[:, :3].T @ direction / float(face.pose[6])
        lobe = np.exp(_SOFTNESS * (self._directions @ in_model - 1)).astype(np.float32)
        lit = np.ones(len(points), np.float32)
        lit[: self.model.n_vertices] = self._reach @ (lobe / lobe.sum())
        lit = lit[seen]
        cosine = (normals @ direction.astype(np.float32))[seen]
        cosine = (cosine + np.float32(0.15)) / np.float32(1.15)  # skin lets light through
        key = np.maximum(cosine, 0) * lit
        halfway = direction + [0, 0, 1]
        halfway = (halfway / max(float(np.linalg.norm(halfway)), 1e-6)).astype(np.float32)
        highlight = np.maximum((normals @ halfway)[seen], 0) ** np.float32(SHININESS) * lit
        sky = self._openness[seen] * (np.float32(0.75) - np.float32(0.25) * normals[seen, 1])
        ambient, lamp = light.ambient.astype(np.float32), light.key.astype(np.float32)
        colors = np.empty((len(seen), 3), np.float32)
        for channel in range(3):
            colors[:, channel] = sky * ambient[channel] + key * lamp[channel]
        albedo = np.power(np.clip(albedo[seen], 0, 255) / np.float32(255), np.float32(_GAMMA))
        colors *= albedo
        highlight *= np.float32(0.1) + np.sqrt(albedo[:, 1])  # hair and dark clothes scatter it
        highlight *= np.float32(light.specular)
        for channel in range(3):
            colors[:, channel] += highlight * lamp[channel]
        everywhere = np.empty((len(points), 3), np.float32)
        everywhere[seen] = np.float32(255) * np.power(np.minimum(colors, 1), np.float32(1 / _GAMMA))
        return everywhere

    def _rasterize(
        self, points: NDArray[np.float32]
    ) -> tuple[Fragments, tuple[int, int], NDArray[np.int32], NDArray[np.int32]]:
        """Two samples per pixel of the figure; their first row and column; the triangles that face the camera.

        Of these, their numbers and corners: found once for both samples, a quarter of the rasterizer's time.
        """
        numbers, triangles = self._facing
        bounds = np.empty(4, np.float32)
        count = kernels.find_facing(points, self._triangles, numbers, triangles, bounds)
        numbers, triangles = numbers[:count], triangles[:count]
        low = np.clip(np.floor(bounds[:2]), 0, self.size).astype(int)
        high = np.clip(np.ceil(bounds[2:]) + 1, low, self.size).astype(int)
        (left, top), (width, height) = low.tolist(), (high - low).tolist()
        n = 2 * width * height
        triangle, weights, depth = self._buffers
        shape = (2, height, width)
        fragments = Fragments(
            triangle[:n].reshape(shape), weights[: 3 * n].reshape(*shape, 3), depth[:n].reshape(shape)
        )
        corners = np.array([left, top, 0], np.float32) + _SAMPLES
        moved = np.empty((2, *points.shape), np.float32)
        for sample, axis in np.ndindex(2, 3):
            np.subtract(points[:, axis], corners[sample, axis], out=moved[sample, :, axis])
        rasterize(moved, triangles, (height, width), out=fragments)
        return fragments, (top, left), numbers, triangles

    def _shown(
        self, fragments: Fragments, numbers: NDArray[np.int32], triangles: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """Numbers of the triangles that are seen, and of the points that are their corners."""
        shown, listed = np.empty(len(numbers), np.uint8), np.empty(len(numbers), np.int32)
        seen = np.empty(len(self._openness), np.uint8)
        count = kernels.list_shown(fragments.triangle.reshape(-1), numbers, triangles, shown, seen, listed)
        return listed[:count], np.flatnonzero(seen)


def _evaluate(
    mean: NDArray[np.float32], basis: NDArray[np.float32], parameters: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """A mean (n, 3), and what a basis (n, 3, k) adds to it by parameters (b, k): (b, n, 3)."""
    columns = columns_of(np.asarray(parameters))
    out = np.empty((len(parameters), *mean.shape), np.float32)
    offsets = basis.reshape(mean.size, basis.shape[2]) @ columns.matrix
    kernels.add_offsets(offsets, np.ascontiguousarray(mean).reshape(-1), columns.first, out.reshape(len(out), -1))
    return out


def _in_picture(points: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Normals of the model seen from the front, image frame.

    By the kernel that pictures need too: that of `vertex_normals` gives the same, but would have to be compiled.
    """
    whole = Fragments(np.arange(len(triangles), dtype=np.int32), _NOTHING, _NOTHING)
    return shown_normals(points * np.array([1, -1, 1], np.float32), triangles, whole)


def _facing_out(model: MorphableModel) -> NDArray[np.int32]:
    """The model's triangles, clockwise in the image frame seen from outside: files have either orientation."""
    outward = _in_picture(model.mean, model.triangles)[model.landmarks[30], 2] > 0  # the tip of the nose looks ahead
    return model.triangles if outward else model.triangles[:, ::-1]


def _directions(n: int) -> NDArray[np.float64]:
    """(n, 3) unit vectors spread evenly over the sphere, on a Fibonacci spiral."""
    k = np.arange(n) + 0.5
    height, turn = 1 - 2 * k / n, np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], axis=1)


def _reach(
    mean: NDArray[np.float32], triangles: NDArray[np.int32], directions: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(n, d) share of the light from each direction (model frame) that arrives at each vertex of the mean face."""
    from scipy.sparse import coo_array

    center = (mean.max(axis=0) + mean.min(axis=0)) / 2
    points = (mean - center) * (_BUFFER / 2 - 1) / np.linalg.norm(mean - center, axis=1).max()
    reach = np.empty((len(mean), len(directions)), np.float32)
    for k, toward in enumerate(directions):
        side = np.cross([0.0, 1.0, 0.0] if abs(toward[1]) < 0.9 else [1.0, 0.0, 0.0], toward)
        side /= np.linalg.norm(side)
        frame = np.stack([side, np.cross(toward, side), toward])
        seen = points @ frame.T + [_BUFFER / 2, _BUFFER / 2, 0]
        reach[:, k] = visible_vertices(seen, triangles, size=(_BUFFER, _BUFFER), tolerance=1.5)
    ends = (
        np.concatenate([triangles, triangles[:, [1, 2, 0]]]).ravel(),
        np.concatenate([triangles[:, [1, 2, 0]], triangles]).ravel(),
    )
    neighbors = coo_array((np.ones(len(ends[0]), np.float32), ends), shape=(len(mean), len(mean))).tocsr()
    count = np.maximum(neighbors.sum(axis=1), 1).astype(np.float32)[:, None]
    for _ in range(2):  # softer shadows, and no trace of the buffer's pixels
        reach = (reach + neighbors @ reach / count) / 2
    return np.ascontiguousarray(reach)


def _openness(
    model: MorphableModel, triangles: NDArray[np.int32], reach: NDArray[np.float32], directions: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(n,) share of the surroundings' light that reaches each vertex of the mean face."""
    normals = _in_picture(model.mean, triangles) * np.array([1, -1, 1], np.float32)
    cosine = np.maximum(normals @ directions.T.astype(np.float32), 0)
    share: NDArray[np.float32] = np.float32(0.2) + np.float32(0.8) * (cosine * reach).sum(axis=1) / np.maximum(
        cosine.sum(axis=1), 1e-6
    )
    return share
