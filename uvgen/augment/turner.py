"""`FaceTurner`: draws the face of a photograph anew in another pose, with the mesh of what is around it."""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.augment import draw_kernels, profile_kernels, turn_kernels
from uvgen.augment.background import BEHIND, around_face
from uvgen.augment.draw_kernels import HIGH, VALUES, WIDE
from uvgen.augment.lanes import N_LANES
from uvgen.augment.profile_mesh import ProfileMesh, profile_mesh
from uvgen.augment.unseen import LookedAt, fill_colors
from uvgen.augment.values import UNSEEN
from uvgen.batch_product import columns_of
from uvgen.buffers import BufferPool
from uvgen.checks import check_finite, choice, float64_array, frozen
from uvgen.errors import InputError, ModelError
from uvgen.geometry import image_affine
from uvgen.models.morphable import MorphableModel
from uvgen.samples.read import Annotation
from uvgen.wording import count

MARK = (128, 128, 128)
"""Color of marked pixels."""

_VIEW = 100  # px of the face in the depth buffer that says what is hidden
_REACH = 5  # px in it within which an edge counts
_CACHE_LINE = 64  # bytes
_SMOOTHING = 2  # times that shares of mirrored colors are blended with their neighbors'
_SOFT_DEG = 10.0  # from which turn on edges are softened, and colors sought inside the outline, in full
_WITHDRAWN = 0.015  # how far inside the outline colors are looked for, as a share of the face's size
_LEAST_SHARE = 0.01  # of a mirrored color that counts
_FACE_BACK = 0.15  # how far meshes that end at the ears go on behind them; the back of a head hides what is around it
_SEEN = 0.02  # z of a normal below which nothing is seen
_NONE = frozen(np.empty(0), np.int32)


class TurnedPicture(NamedTuple):
    """What `FaceTurner.turn` returns."""

    image: NDArray[np.uint8]
    unseen: NDArray[np.float32]
    """(n,): which vertices the photograph did not show, 1 or 0, and between where some around one are; where these are
    not marked, (0,)."""


class FaceTurner:
    """Turns faces of one model; what depends on the model alone is found once. Calls may come from several threads.

    Parameters
    ----------
    model : MorphableModel
        The faces'.
    unseen : {"mirror", "mark"}
        See `turn_face`.

    Raises
    ------
    InputError, ModelError
        As `turn_face`.
    """

    def __init__(self, model: MorphableModel, unseen: str = "mirror") -> None:
        self.model, self.unseen = model, choice(unseen, "unseen", UNSEEN)
        self._mesh = profile_mesh(model)
        self._scratches = BufferPool(partial(_Scratch, self._mesh))
        if unseen == "mirror" and self._mesh.mirror is None:
            raise ModelError(
                f"{model.name}: has no mirror pairs, expected a model with them to fill what a photograph does not "
                'show; give unseen="mark"'
            )

    def vertices(self, faces: list[Annotation]) -> NDArray[np.float32]:
        """Vertices (b, n, 3) of faces in the model frame, µm. A face's do not depend on the others'."""
        model = self.model
        parameters = np.array([coefficients_of(model, face) for face in faces])
        columns = columns_of(parameters.reshape(len(faces), -1))
        product = model.basis.reshape(-1, len(columns.matrix)) @ columns.matrix
        product = product[:, columns.first : columns.first + len(faces)]
        return np.ascontiguousarray(product.T).reshape(-1, model.n_vertices, 3) + model.mean

    def turn(
        self, image: NDArray[np.uint8], vertices: NDArray[np.float32], pose: ArrayLike, new_pose: ArrayLike
    ) -> TurnedPicture:
        """Draw a face anew in another pose.

        Parameters
        ----------
        image : (h, w, 3) uint8
            The photograph.
        vertices : (n, 3) float32
            The face's, as `vertices` gives them.
        pose, new_pose : (7,) float
            Now and then; f is the same.

        Returns
        -------
        TurnedPicture

        Raises
        ------
        InputError
            If the face lies outside the image.
        """
        with self._scratches.borrowed() as scratch:
            return self._turn(image, vertices, pose, new_pose, scratch)

    def _turn(
        self, image: NDArray[np.uint8], vertices: NDArray[np.float32], pose: ArrayLike, new_pose: ArrayLike,
        scratch: "_Scratch",
    ) -> TurnedPicture:  # fmt: skip
        mesh, height = self._mesh, image.shape[0]
        affine, new_affine = image_affine(pose, height), image_affine(new_pose, height)
        turn = _rotation(affine.tolist(), new_affine.tolist())
        places, points, depth = scratch.places, scratch.points, scratch.depth
        bounds = np.empty((2, 2, 2), np.float32)
        profile_kernels.place(
            vertices, mesh.coarse, affine.astype(np.float32), new_affine.astype(np.float32), scratch.flat_places,
            scratch.flat_points, depth, scratch.coarse, scratch.moved, bounds,
        )  # fmt: skip
        _check_inside(bounds[0], image.shape)
        (low_x, low_y), (high_x, high_y) = bounds[0]
        size = np.sqrt((high_x - low_x) * (high_y - low_y))
        normals, seen, quality = _look(scratch.coarse, _flat(mesh.coarse_triangles), bounds[0], size, image.shape)
        angle = math.degrees(math.acos(min(max((turn[0, 0] + turn[1, 1] + turn[2, 2] - 1) / 2, -1), 1)))
        strength = np.float32(min(angle / _SOFT_DEG, 1))
        around = around_face(
            scratch.coarse, scratch.moved, normals, turn, bounds[0], image.shape[:2],
            BEHIND + max(mesh.back - _FACE_BACK, 0),
        )  # fmt: skip
        photograph, marked = np.ascontiguousarray(image), self.unseen == "mark"
        to_viewer = turn[2].astype(np.float32)
        profile_kernels.weigh(
            seen, quality, normals, to_viewer, _NONE if marked else mesh.coarse_mirror, mesh.coarse_triangles,
            mesh.graph.starts, mesh.graph.neighbors, np.float32(_SEEN), _SMOOTHING,
            np.float32(strength * _WITHDRAWN) * size, *np.empty((3, len(seen)), np.float32), scratch.values,
        )  # fmt: skip
        if marked:
            fills = np.zeros((len(seen), 4), np.float32)
        else:
            looked = LookedAt(scratch.coarse, normals, seen, quality, to_viewer)
            fills = fill_colors(photograph, looked, mesh.graph, float(size))
        toward = (affine[2, :3] / math.sqrt(affine[2, :3] @ affine[2, :3])).astype(np.float32)
        share, mixed = np.empty(len(vertices), np.float32), scratch.mixed
        profile_kernels.spread(
            scratch.flat_values, fills.reshape(-1), *mesh.between, toward, np.float32(_LEAST_SHARE),
            scratch.some, share, scratch.flat_fills, mixed, scratch.flat_places,
        )  # fmt: skip

        left, top, right, bottom = window = _window(around.bounds, image.shape)
        cells = scratch.cells(-(-(bottom - top) // HIGH), -(-(right - left) // WIDE))
        _draw(points, depth, places, mesh.triangles, mixed, window, scratch.drawing, cells)
        unmixed = np.zeros(len(around.points), np.bool_)
        _draw(around.points, around.depth, around.places, around.triangles, unmixed, window, scratch.drawing, cells)
        picture = np.empty_like(photograph)
        flat = picture.reshape(-1)
        if (left, top, right, bottom) != (0, 0, image.shape[1], height):
            picture[:] = image
        width = cells.shape[1] * WIDE
        mixed_cells = scratch.array("mixed cells", (cells.shape[0] * cells.shape[1] + 1,), np.int32)
        breaks = scratch.array("breaks", ((bottom - top) * (right - left),), np.int32)
        spare = scratch.array("spare", (1 + HIGH, 3 * max(width, N_LANES)), np.uint8)
        rows = scratch.array("rows", (2 * HIGH, width + 2 * N_LANES), np.float32)
        n_mixed, n_breaks = turn_kernels.color(
            cells, right - left, bottom - top, photograph.ctypes.data, image.shape[1], height, left, top,
            np.float32(0.15 * around.reach), spare, rows, mixed_cells, breaks, flat,
        )  # fmt: skip
        if n_mixed:
            mirror = mesh.mirror if mesh.mirror is not None else np.arange(len(mixed), dtype=np.int32)
            turn_kernels.fill(
                photograph, points, places, mesh.triangles, share, scratch.fills, mixed, mirror, marked,
                np.array(MARK, np.uint8), cells.view(np.int32), mixed_cells[:n_mixed], left, top, picture,
            )  # fmt: skip
        softened = scratch.array("softened", (3 * n_breaks,), np.uint8)
        turn_kernels.soften(breaks, n_breaks, right - left, strength, left, top, image.shape[1], softened, flat)
        return TurnedPicture(picture, share if marked else share[:0])


class _Scratch:
    """Memory of one turn; what it holds is undefined."""

    def __init__(self, mesh: ProfileMesh) -> None:
        n, n_coarse, n_texels = len(mesh.between.texels), len(mesh.coarse), len(mesh.between.points) // 4
        self._buffers: dict[str, NDArray[np.uint8]] = {}
        self.places, self.points = self.array("both", (2, n, 2), np.float32)
        self.depth, self.mixed = self.array("depth", (n,), np.float32), self.array("mixed", (n,), np.bool_)
        self.coarse, self.moved = np.zeros((2, n_coarse, 4), np.float32)  # the fourth stays 0
        self.values = self.array("values", (n_coarse, 4), np.float32)
        self.fills = self.array("fills", (n + 1, 4), np.float32)
        self.fills[n] = 0
        self.some = np.empty(n_texels, np.bool_)
        self.flat_places, self.flat_points = self.places.reshape(-1), self.points.reshape(-1)
        self.flat_values, self.flat_fills = self.values.reshape(-1), self.fills.reshape(-1)
        self.drawing = draw_kernels.draw_scratch()
        self._cells = np.empty((0, VALUES, N_LANES), np.float32)

    def array(self, name: str, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        """An array that is overwritten when it is asked for again, and grows if it must."""
        n = math.prod(shape) * np.dtype(dtype).itemsize
        if name not in self._buffers or len(self._buffers[name]) < n:  # of no bytes, too
            buffer = np.empty(n + _CACHE_LINE, np.uint8)
            self._buffers[name] = buffer[-buffer.ctypes.data % _CACHE_LINE :][:n]
        return self._buffers[name][:n].view(dtype).reshape(shape)

    def cells(self, height: int, width: int) -> NDArray[np.float32]:
        """Cells for the kernel `draw` in which nothing is drawn, as long as `color` follows."""
        n = height * width
        if len(self._cells) < n:
            self._cells = self.array("cells", (n, VALUES, N_LANES), np.float32)
            turn_kernels.clear(self._cells.reshape(-1))
        return self._cells[:n].reshape(height, width, VALUES, N_LANES)


def _draw(
    points: NDArray[np.float32],
    depth: NDArray[np.float32],
    places: NDArray[np.float32],
    triangles: NDArray[np.int32],
    mixed: NDArray[np.bool_],
    window: tuple[int, int, int, int],
    scratch: draw_kernels.DrawScratch,
    cells: NDArray[np.float32],
) -> None:
    """Draw a mesh, points and places (n, 2), into a window's cells; see the kernel."""
    left, top, right, bottom = window
    draw_kernels.draw(
        points.reshape(-1).view(np.int64), depth, places.reshape(-1), _flat(triangles), mixed, np.float32(left),
        np.float32(top), right - left, bottom - top, *scratch, cells, cells,
    )  # fmt: skip


def _flat(indices: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Indices one after the other, as kernels read them fastest."""
    return indices.reshape(-1).view(np.uint32)


def _check_inside(bounds: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    """Raise InputError where a face, from the smallest to the largest x, y, lies outside a picture."""
    height, width = shape[:2]
    if min(height, width) < 2:
        raise InputError(f"image: {width}×{height} px, expected 2 px or more a side")
    (left, top), (right, bottom) = bounds.tolist()
    if not (right >= 0 and bottom >= 0 and left <= width - 1 and top <= height - 1 and right > left and bottom > top):
        raise InputError(
            f"pose: puts the face at x {left:.4g} to {right:.4g}, y {top:.4g} to {bottom:.4g}, outside the "
            f"image ({width}×{height}); are these parameters of this image?"
        )


def _rotation(before: list[list[float]], after: list[list[float]]) -> NDArray[np.float64]:
    """(3, 3): from the first of two affine maps (3, 4) to the second, which scale by the same factor.

    For nine sums of three products, calls of NumPy would take ten times as long.
    """
    x, y, z, _ = before[2]
    scale = x * x + y * y + z * z
    return np.array([[(a * x + b * y + c * z) / scale for x, y, z, _ in before] for a, b, c, _ in after])


def _look(
    points: NDArray[np.float32],
    triangles: NDArray[np.uint32],
    bounds: NDArray[np.float32],
    size: np.float32,
    shape: tuple[int, ...],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Normals of points (c, 4), and the two numbers (c,) of the kernel `see`; triangles (3 m,); bounds, size: px."""
    scale = np.float32(_VIEW / float(size))
    (low_x, low_y), (high_x, high_y) = bounds
    margin = 1 / scale
    corner = low_x - margin, low_y - margin
    width, height = (
        max(int(min(np.ceil((high - low) * scale) + 2, 32 * _VIEW)), 1)
        for low, high in zip(corner, (high_x, high_y), strict=True)
    )
    depth = np.empty((height + 2 * _REACH, width + 2 * _REACH), np.float32)
    inner, normals = np.empty((height, width), np.float32), np.empty_like(points)
    seen, quality = np.empty((2, len(points)), np.float32)
    profile_kernels.show(
        points, triangles, scale, *corner, np.array(shape[:2], np.float32), _REACH, np.float32(0.15 * float(size)),
        np.float32(0.018 * float(size)), depth, inner, normals, seen, quality,
    )  # fmt: skip
    return normals, seen, quality


def _window(bounds: NDArray[np.float32], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part of a picture within bounds; the latter two do not belong to it."""
    (low_x, low_y), (high_x, high_y) = bounds.tolist()
    left, right = _side(low_x, high_x, shape[1])
    top, bottom = _side(low_y, high_y, shape[0])
    return left, top, right, bottom


def _side(low: float, high: float, last: int) -> tuple[int, int]:
    """First pixel and end, in a picture that has `last` pixels."""
    first, end = math.floor(min(max(low, 0), last)), math.ceil(min(max(high, -1), last)) + 1
    return first, min(max(end, first), last)


def coefficients_of(model: MorphableModel, face: Annotation) -> NDArray[np.float64]:
    """A face's parameters, (ks + ke,), checked."""
    parts = []
    for name, n in (("shape", model.n_shape), ("expression", model.n_expression)):
        value = float64_array(getattr(face, name), name, (n,), note=f"{count(n, 'component')} of {model.name}")
        check_finite(value, name)
        parts.append(value)
    return np.concatenate(parts)
