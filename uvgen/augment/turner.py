"""`FaceTurner`: draws the face of a photograph anew in another pose, with the mesh of what is around it."""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.augment import draw_kernels, profile_kernels, turn_buffers, turn_kernels
from uvgen.augment.background import BEHIND, around_face
from uvgen.augment.lanes import N_LANES
from uvgen.augment.profile_mesh import ProfileMesh, profile_mesh
from uvgen.augment.turn_buffers import (
    HIGH,
    VALUES,
    WIDE,
    CoarsePoints,
    ColorScratch,
    DepthBuffer,
    MixedCells,
    Placed,
    PointVisibility,
    ShareRule,
    ShareScratch,
    TurnedMesh,
    VertexColors,
    View,
    Window,
    turned_mesh,
)
from uvgen.augment.unseen import fill_colors
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
_NO_MIRROR, _MARK, _NO_MARK = frozen([], np.int32), frozen(MARK, np.uint8), frozen([], np.uint8)


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
        product = model.basis.reshape(3 * model.n_vertices, -1) @ columns.matrix
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
        placed = scratch.placed
        profile_kernels.place(
            vertices, mesh.coarse, affine.astype(np.float32), new_affine.astype(np.float32), placed
        )  # fmt: skip
        bounds = placed.bounds[0]
        _check_inside(bounds, image.shape)
        (low_x, low_y), (high_x, high_y) = bounds
        size = np.sqrt((high_x - low_x) * (high_y - low_y))
        shown = _look(placed.coarse, mesh.coarse_triangles, bounds, size, image.shape)
        angle = math.degrees(math.acos(min(max((turn[0, 0] + turn[1, 1] + turn[2, 2] - 1) / 2, -1), 1)))
        strength = np.float32(min(angle / _SOFT_DEG, 1))
        around = around_face(
            placed.coarse, placed.moved, shown.normals, turn, bounds, image.shape[:2],
            BEHIND + max(mesh.back - _FACE_BACK, 0),
        )  # fmt: skip
        photograph, marked = frozen(image, np.uint8), self.unseen == "mark"
        looked = CoarsePoints(placed.coarse, *shown, turn[2].astype(np.float32))
        rule = ShareRule(np.float32(_SEEN), _SMOOTHING, np.float32(strength * _WITHDRAWN) * size)
        profile_kernels.weigh(
            looked, _NO_MIRROR if marked else mesh.coarse_mirror, mesh.coarse_triangles, mesh.graph, rule,
            scratch.sharing, scratch.values,
        )  # fmt: skip
        if marked:
            fills = np.zeros((len(shown.seen), 4), np.float32)
        else:
            fills = fill_colors(photograph, looked, mesh.graph, float(size))
        toward = (affine[2, :3] / math.sqrt(affine[2, :3] @ affine[2, :3])).astype(np.float32)
        colors = VertexColors(np.empty(len(vertices), np.float32), scratch.fills, scratch.mesh.mixed)
        profile_kernels.spread(
            scratch.values.reshape(-1), fills.reshape(-1), mesh.between, toward, np.float32(_LEAST_SHARE),
            scratch.some, colors, placed.places,
        )  # fmt: skip

        anchors = around.anchors
        window = _window(anchors.bounds, image.shape)
        unmixed = np.zeros(len(anchors.points), np.bool_)
        cells = scratch.cells(window)
        draw_kernels.draw(scratch.mesh, window, scratch.drawing, cells, cells)
        beyond = turned_mesh(anchors.points, anchors.depth, anchors.places, around.triangles, unmixed)
        draw_kernels.draw(beyond, window, scratch.drawing, cells, cells)
        picture = np.empty_like(photograph)
        flat = picture.reshape(-1)
        if window != (0, 0, image.shape[1], height):
            picture[:] = image
        mixed_cells = scratch.array("mixed cells", (cells.shape[0] * cells.shape[1] + 1,), np.int32)
        breaks = scratch.array("breaks", (window.height * window.width,), np.int32)
        n_mixed, n_breaks = turn_kernels.color(
            photograph, window, np.float32(0.15 * around.reach), scratch.coloring(window), cells, mixed_cells, breaks,
            flat,
        )  # fmt: skip
        if n_mixed:
            mirror, mark = (_NO_MIRROR, _MARK) if marked else (mesh.mirror, _NO_MARK)
            drawn = MixedCells(cells.view(np.int32), mixed_cells[:n_mixed], window.left, window.top)
            turn_kernels.fill(photograph, scratch.mesh, colors, mirror, mark, drawn, picture)
        softened = scratch.array("softened", (3 * n_breaks,), np.uint8)
        turn_kernels.soften(breaks[:n_breaks], window, image.shape[1], strength, softened, flat)
        return TurnedPicture(picture, colors.share if marked else colors.share[:0])


class _Scratch:
    """Memory of one turn; what it holds is undefined."""

    def __init__(self, mesh: ProfileMesh) -> None:
        n, n_coarse, n_texels = len(mesh.between.texels), len(mesh.coarse), len(mesh.between.points) // 4
        self._buffers: dict[str, NDArray[np.uint8]] = {}
        places, points = self.array("both", (2, n, 2), np.float32)
        depth, mixed = self.array("depth", (n,), np.float32), self.array("mixed", (n,), np.bool_)
        self.mesh: TurnedMesh = turned_mesh(points, depth, places, mesh.triangles, mixed)
        coarse, moved = np.zeros((2, n_coarse, 4), np.float32)  # the fourth stays 0
        bounds = np.empty((2, 2, 2), np.float32)
        self.placed = Placed(self.mesh.places, self.mesh.points, depth, coarse, moved, bounds)
        self.values = self.array("values", (n_coarse, 4), np.float32)
        self.fills = self.array("fills", (4 * n + 4,), np.float32)
        self.fills[4 * n :] = 0
        self.some = np.empty(n_texels, np.bool_)
        self.sharing = ShareScratch(*np.empty((3, n_coarse), np.float32))
        self.drawing = turn_buffers.draw_scratch()
        self._cells = np.empty((0, VALUES, N_LANES), np.float32)

    def array(self, name: str, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        """An array that is overwritten when it is asked for again, and grows if it must."""
        n = math.prod(shape) * np.dtype(dtype).itemsize
        if name not in self._buffers or len(self._buffers[name]) < n:  # of no bytes, too
            buffer = np.empty(n + _CACHE_LINE, np.uint8)
            self._buffers[name] = buffer[-buffer.ctypes.data % _CACHE_LINE :][:n]
        return self._buffers[name][:n].view(dtype).reshape(shape)

    def cells(self, window: Window) -> NDArray[np.float32]:
        """Cells for the kernel `draw` in which nothing is drawn, as long as `color` follows."""
        height, width = -(-window.height // HIGH), -(-window.width // WIDE)
        n = height * width
        if len(self._cells) < n:
            self._cells = self.array("cells", (n, VALUES, N_LANES), np.float32)
            turn_kernels.clear(self._cells.reshape(-1))
        return self._cells[:n].reshape(height, width, VALUES, N_LANES)

    def coloring(self, window: Window) -> ColorScratch:
        spare, depths = turn_buffers.color_scratch_shapes(window.width)
        return ColorScratch(self.array("spare", spare, np.uint8), self.array("rows", depths, np.float32))


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
    triangles: NDArray[np.int32],
    bounds: NDArray[np.float32],
    size: np.float32,
    shape: tuple[int, ...],
) -> PointVisibility:
    """What a photograph of this shape shows of points (c, 4) and triangles (m, 3); bounds and size of the face: px."""
    scale = np.float32(_VIEW / float(size))
    (low_x, low_y), (high_x, high_y) = bounds
    margin = 1 / scale
    corner = low_x - margin, low_y - margin
    width, height = (
        max(int(min(np.ceil((high - low) * scale) + 2, 32 * _VIEW)), 1)
        for low, high in zip(corner, (high_x, high_y), strict=True)
    )
    depth = np.empty((height + 2 * _REACH, width + 2 * _REACH), np.float32)
    buffer = DepthBuffer(depth, np.empty((height, width), np.float32))
    shown = PointVisibility(np.empty_like(points), *np.empty((2, len(points)), np.float32))
    view = View(
        scale, *corner, np.float32(shape[0]), np.float32(shape[1]), _REACH, np.float32(0.15 * float(size)),
        np.float32(0.018 * float(size)),
    )  # fmt: skip
    profile_kernels.show(points, turn_buffers.flat_indices(triangles), view, buffer, shown)
    return shown


def _window(bounds: NDArray[np.float32], shape: tuple[int, ...]) -> Window:
    """The part of a picture within bounds."""
    (low_x, low_y), (high_x, high_y) = bounds.tolist()
    left, right = _side(low_x, high_x, shape[1])
    top, bottom = _side(low_y, high_y, shape[0])
    return Window(left, top, right - left, bottom - top)


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
