"""Face profiling: a photograph's face turned out of the plane, with its own texture, and the picture around it bent.

    image, turned = turn_face(photograph, read_annotation(sample), model, yaw_deg=40)

300W-LP was made so (Zhu et al., Face Alignment Across Large Poses: A 3D Solution, CVPR 2016, section 4). The mesh of the
fitted parameters is drawn in its new pose; each of its points has the color that the photograph shows where the point
was. Labels stay exact: those of the turned picture are made of the changed parameters. `background.py` makes the mesh of
what is around.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.augment import profile_kernels as kernels
from uvgen.augment.background import around_face
from uvgen.checks import check_bytes, check_finite, choice, float64_array, frozen, number_in
from uvgen.errors import InputError, ModelError
from uvgen.geometry import pose_to_image, rotation_matrices
from uvgen.maps.atlas import build_atlas, hole_loops, texel_coordinates
from uvgen.maps.mirror import mirror_vertices
from uvgen.maps.memo import once_per_model
from uvgen.meshes.grid import mesh_from_map
from uvgen.meshes.topology import triangulate_loop
from uvgen.models.morphable import MorphableModel
from uvgen.samples.read import Annotation

UNSEEN = ("mirror", "mark")
"""What becomes of parts of the face that the photograph does not show: taken from the other half, or painted in one
color, `MARK`."""

MARK = (128, 128, 128)
"""Color of marked pixels."""

MOST_DEG = 90.0
"""Largest yaw or pitch of a turned face, either way."""

_LANES = 16  # batches are padded to a multiple: so a face does not depend on how many others come with it
_COARSE = 96  # texels a side of the mesh that says what is seen
_VIEW = 100  # px of the face in the depth buffer that says what is hidden
_SMOOTHING = 2  # times that shares of mirrored colors are blended with their neighbors'
_SOFT_DEG = 10.0  # from which turn on edges are softened in full
_SEEN = 0.02  # z of a normal below which nothing is seen


class _Mesh(NamedTuple):
    """What profiling needs of a model, found once: its closed mesh, and a coarse one that says what is seen."""

    triangles: NDArray[np.int32]
    """(m, 3): clockwise in the image frame as seen from outside, mouth and other holes closed."""
    mirror: NDArray[np.int32] | None
    """(n,): each vertex's mirror vertex, the nearest to it where the model names none; None without mirror pairs."""
    coarse: NDArray[np.int32]
    """(c,): vertices of the coarse mesh."""
    coarse_triangles: NDArray[np.int32]
    coarse_mirror: NDArray[np.int32] | None
    """(c,): among the coarse."""
    sources: NDArray[np.int32]
    """(n, 4): coarse vertices that each vertex lies between."""
    weights: NDArray[np.float32]
    """(n, 4)"""
    center: NDArray[np.float64]
    """(3, 1 + ks + ke): what the mean of a face's vertices, about which it turns, is made of."""


class TurnedPicture(NamedTuple):
    """What `FaceTurner.turn` returns: the picture, and how well the photograph showed each vertex, (n,) float32."""

    image: NDArray[np.uint8]
    seen: NDArray[np.float32]


def turn_face(
    image: NDArray[np.uint8],
    parameters: Annotation,
    model: MorphableModel,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    *,
    unseen: str = "mirror",
) -> tuple[NDArray[np.uint8], Annotation]:
    """Turn a photograph's face out of the plane (face profiling), and bend what is around it.

    Parameters
    ----------
    image : (h, w, 3) uint8
        The whole photograph, RGB.
    parameters : Annotation
        Of the face in it, as `uvgen.read_annotation` reads them; `Annotation(shape, expression, pose, None)` of others.
    model : MorphableModel
        The parameters'.
    yaw_deg, pitch_deg : float
        What is added to the pose's yaw and pitch, degrees. The middle of the face's vertices stays where it is.
    unseen : {"mirror", "mark"}
        What parts of the face show that the photograph does not: the other half of the face, as far as the photograph
        shows that, or grey (128).

    Returns
    -------
    image : (h, w, 3) uint8
        The turned picture; without a turn, a copy of the photograph.
    parameters : Annotation
        Those of the turned face: its pose is another. Annotated landmarks keep their distance from the model's;
        AFLW's 21 are left out.

    Raises
    ------
    InputError
        Where shapes do not agree, a value is not finite, f is not positive, the turned face would look further away
        than 90° (unless the photograph's does), the face lies outside the image, or there is no such `unseen`.
    ModelError
        Where colors are to be mirrored and the model does not say which vertices mirror each other.

    Notes
    -----
    Yaw is in `Pose_Para`'s sense: the face turns to the picture's left where it grows. Other faces in the photograph
    count as background; those far from this one, in face sizes, stay as they are, and can be turned in another call.

    Examples
    --------
    >>> turned, annotation = uvgen.augment.turn_face(image, uvgen.read_annotation(sample), model, yaw_deg=40)
    """
    turner = FaceTurner(model, unseen)
    pose = turned_pose(model, parameters, yaw_deg, pitch_deg)
    check_bytes(image, "image", ("h", "w", 3))
    if np.array_equal(pose, parameters.pose):
        return image.copy(), parameters
    (vertices,) = turner.vertices([parameters])
    turned = turner.turn(image, vertices, parameters.pose, pose)
    return turned.image, turned_annotation(parameters, pose, vertices[model.landmarks], image.shape[0])


def turned_pose(model: MorphableModel, parameters: Annotation, yaw_deg: float, pitch_deg: float) -> NDArray[np.float32]:
    """The pose (7,) of a face whose yaw and pitch grow, the middle of its vertices staying where it is.

    Raises InputError where it would look further away than 90°, or a value is bad; see `turn_face`.
    """
    coefficients = _coefficients(model, parameters)
    pose = float64_array(parameters.pose, "pose", (7,), note="pitch, yaw, roll, tx, ty, tz, f")
    check_finite(pose, "pose")
    if not pose[6] > 0:
        raise InputError(f"pose: f is {pose[6]:.4g} px/µm, expected more than 0")
    moved = pose.copy()
    for axis, name, degrees in ((0, "pitch_deg", pitch_deg), (1, "yaw_deg", yaw_deg)):
        number_in(degrees, name, -2 * MOST_DEG, 2 * MOST_DEG, "degrees")
        moved[axis] += math.radians(degrees)
        is_deg, was_deg = math.degrees(moved[axis]), math.degrees(pose[axis])
        if abs(is_deg) > max(MOST_DEG, abs(was_deg)) + 1e-4:
            raise InputError(
                f"{name}: {degrees:g} turns a face at {was_deg:.1f}° to {is_deg:.1f}°, expected {MOST_DEG:g}° at most "
                "either way; see uvgen.augment.profile.possible_turn"
            )
    if not yaw_deg and not pitch_deg:
        return np.asarray(parameters.pose, np.float32)
    center = _mesh(model).center @ np.concatenate([[1], coefficients])
    before, after = rotation_matrices([pose[:3], moved[:3]])
    moved[3:6] += pose[6] * (before - after) @ center
    return moved.astype(np.float32)


def possible_turn(pose: ArrayLike, yaw_deg: float, pitch_deg: float) -> tuple[float, float]:
    """The nearest yaw and pitch in degrees by which a face can be turned: as far as 90° in all, or where it is already."""
    angles = np.rad2deg(np.asarray(pose, np.float64)[[1, 0]])
    most = np.maximum(MOST_DEG, np.abs(angles))
    yaw, pitch = np.clip([yaw_deg, pitch_deg], -most - angles, most - angles)
    return float(yaw), float(pitch)


def turned_annotation(
    parameters: Annotation, pose: NDArray[np.float32], landmarks: NDArray[np.float32], image_height: int
) -> Annotation:
    """An annotation with another pose; annotated points keep their distance from the landmarks (68, 3), model frame."""
    before, after = pose_to_image(np.stack([np.asarray(parameters.pose, np.float64), pose]), image_height)
    shift = landmarks @ (after - before)[:, :3].T + (after - before)[:, 3]
    two, three = parameters.landmarks_2d, parameters.landmarks_3d
    return replace(
        parameters,
        pose=pose,
        landmarks_2d=None if two is None else two + shift[:, :2],
        landmarks_3d=None if three is None else three + shift,
        landmarks_21=None,
    )


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
        self._mesh = _mesh(model)
        self._scratches: list[_Scratch] = []
        if unseen == "mirror" and self._mesh.mirror is None:
            raise ModelError(
                f"{model.name}: has no mirror pairs, expected a model with them to fill what a photograph does not "
                'show; give unseen="mark"'
            )

    def vertices(self, faces: list[Annotation]) -> NDArray[np.float32]:
        """Vertices (b, n, 3) of faces in the model frame, µm. A face's do not depend on the others'."""
        model = self.model
        columns = np.zeros((model.n_shape + model.n_expression, -(-len(faces) // _LANES) * _LANES), np.float32)
        for k, face in enumerate(faces):
            columns[:, k] = _coefficients(model, face)
        product = (model.basis.reshape(-1, len(columns)) @ columns)[:, : len(faces)]
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
            Where the face lies outside the image.
        """
        with self._borrowed_scratch() as scratch:
            return self._turn(image, vertices, pose, new_pose, scratch)

    def _turn(
        self, image: NDArray[np.uint8], vertices: NDArray[np.float32], pose: ArrayLike, new_pose: ArrayLike,
        scratch: "_Scratch",
    ) -> TurnedPicture:  # fmt: skip
        mesh, height = self._mesh, image.shape[0]
        affines = pose_to_image(np.stack([np.asarray(pose, np.float64), np.asarray(new_pose, np.float64)]), height)
        both = scratch.array("both", (2, *vertices.shape), np.float32)
        for affine, points in zip(affines.astype(np.float32), both, strict=True):
            kernels.place(vertices, affine, points)
        before, after = both
        low, high = before[:, :2].min(axis=0), before[:, :2].max(axis=0)
        if not ((high >= 0) & (low <= [image.shape[1] - 1, height - 1]) & (high > low)).all():
            raise InputError(
                f"pose: puts the face at x {low[0]:.4g} to {high[0]:.4g}, y {low[1]:.4g} to {high[1]:.4g}, outside the "
                f"image ({image.shape[1]}×{height}); are these parameters of this image?"
            )
        coarse = before[mesh.coarse]
        normals, seen, quality = _look(coarse, mesh.coarse_triangles, low, high, image.shape)
        turn = affines[1, :, :3] @ np.linalg.inv(affines[0, :, :3])
        places, points, triangles, reach = around_face(coarse, after[mesh.coarse], normals, turn, image.shape[:2])
        share = self._share(seen, quality)

        left, top, right, bottom = _window(places, image.shape)
        window = bottom - top, right - left
        x, y, depth, kept = (scratch.array(name, window, np.float32) for name in ("x", "y", "depth", "kept"))
        kept = kept.view(np.int32)
        depth[:], kept[:] = -np.inf, -1
        corner = np.float32(left), np.float32(top)
        kernels.draw(after, before, mesh.triangles, share > 0, *corner, x, y, depth, kept)
        nothing = np.zeros(len(points), np.bool_)
        kernels.draw(points, places, triangles, nothing, *corner, x, y, depth, kept)
        picture = image.copy()
        kernels.color(image, x, y, depth, left, top, picture)
        if share.any():
            mirror = mesh.mirror if mesh.mirror is not None else np.arange(len(vertices), dtype=np.int32)
            marked, mark = self.unseen == "mark", np.array(MARK, np.uint8)
            kernels.fill(image, after, before, mesh.triangles, share, mirror, marked, mark, kept, left, top, picture)
        angle = math.degrees(math.acos(min(max((np.trace(turn) - 1) / 2, -1), 1)))
        hard = scratch.array("hard", picture.shape, np.uint8)
        hard[:] = picture
        strength = np.float32(min(angle / _SOFT_DEG, 1))
        kernels.soften(depth, np.float32(0.15 * reach), strength, left, top, hard, picture)
        return TurnedPicture(picture, self._at_vertices(seen))

    @contextmanager
    def _borrowed_scratch(self) -> Iterator["_Scratch"]:
        """Buffers of one call, kept for the next: fresh pages cost more than the work."""
        try:
            scratch = self._scratches.pop()
        except IndexError:
            scratch = _Scratch()
        yield scratch
        self._scratches.append(scratch)

    def _share(self, seen: NDArray[np.float32], quality: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) how much of each vertex's color is its mirror vertex's; where colors are marked, 1 where it is unseen."""
        mesh, share = self._mesh, np.empty_like(seen)
        if self.unseen == "mark":
            share[:] = seen <= _SEEN
        else:
            kernels.compare(quality, mesh.coarse_mirror, share)
            scratch = np.empty((2, len(share)), np.float32)
            for _ in range(_SMOOTHING):
                kernels.smooth(mesh.coarse_triangles, share, *scratch)
        return self._at_vertices(share)

    def _at_vertices(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (c,) of the coarse mesh at all vertices, (n,)."""
        out = np.empty(len(self._mesh.sources), np.float32)
        kernels.spread(values, self._mesh.sources, self._mesh.weights, out)
        return out


class _Scratch:
    """Buffers by name, which grow where they must."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        """An array that is overwritten when it is asked for again; what it holds is undefined."""
        n = math.prod(shape) * np.dtype(dtype).itemsize
        if len(self._buffers.get(name, b"")) < n:
            self._buffers[name] = np.empty(n, np.uint8)
        return self._buffers[name][:n].view(dtype).reshape(shape)


def _look(
    points: NDArray[np.float32],
    triangles: NDArray[np.int32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    shape: tuple[int, ...],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Normals of points (c, 3), and the two numbers (c,) of `kernels.see`; `low` to `high` is where they lie."""
    size = float(np.sqrt(np.prod(high - low)))
    scale = np.float32(_VIEW / size)
    corner = low - 1 / scale
    width, height = np.clip(np.ceil((high - corner) * scale) + 2, 1, 32 * _VIEW).astype(int).tolist()
    depth, inner = np.empty((2, height, width), np.float32)
    normals = np.empty_like(points)
    kernels.look(points, triangles, scale, *corner, normals, depth)
    kernels.inner(depth, max(round(0.05 * _VIEW), 1), np.float32(0.15 * size), inner)
    seen, quality = np.empty((2, len(points)), np.float32)
    picture = np.array(shape[:2], np.float32)
    kernels.see(points, normals, depth, inner, scale, *corner, picture, np.float32(0.018 * size), seen, quality)
    return normals, seen, quality


def _window(places: NDArray[np.float32], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part of a picture that a mesh covers; the latter two do not belong to it."""
    last = np.array([shape[1], shape[0]])
    low = np.clip(np.floor(places[:, :2].min(axis=0)), 0, last)
    high = np.clip(np.ceil(places[:, :2].max(axis=0)) + 1, low, last)
    return (*low.astype(int).tolist(), *high.astype(int).tolist())  # type: ignore[return-value]


def _coefficients(model: MorphableModel, face: Annotation) -> NDArray[np.float64]:
    """A face's parameters, (ks + ke,), checked."""
    parts = []
    for name, n in (("shape", model.n_shape), ("expression", model.n_expression)):
        value = float64_array(getattr(face, name), name, (n,), note=f"{n} components of {model.name}")
        check_finite(value, name)
        parts.append(value)
    return np.concatenate(parts)


@once_per_model
def _mesh(model: MorphableModel) -> _Mesh:
    triangles = np.concatenate(
        [model.triangles, *(triangulate_loop(loop, model.uv) for loop in hole_loops(model.triangles, model.uv))]
    ).astype(np.int32)
    closing = model.mouth_triangles  # of either orientation, in the files that have them
    triangles = np.concatenate([_facing_out(model, triangles, np.arange(model.n_vertices)), closing, closing[:, ::-1]])
    atlas = build_atlas(model, _COARSE)
    coarse = np.ascontiguousarray(atlas.nearest_vertices[atlas.coverage.ravel()])
    _, between, _ = mesh_from_map(np.zeros((_COARSE, _COARSE, 3)), atlas.coverage)
    numbers = _numbers(atlas.coverage)
    place = np.clip(texel_coordinates(model.uv, _COARSE), 0, _COARSE - 1)
    column, row = np.clip(np.floor(place), 0, _COARSE - 2).astype(int).T
    x, y = place[:, 0] - column, place[:, 1] - row
    sources = np.stack([numbers[row + r, column + c] for r in (0, 1) for c in (0, 1)], axis=1)
    weights = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=1)
    mirror = None if model.mirror is None else _all_mirrored(model)
    at = np.rint(place).astype(int)
    mean = np.concatenate([model.mean[..., None].mean(axis=0, dtype=np.float64),
                           model.basis.mean(axis=0, dtype=np.float64)], axis=1)  # fmt: skip
    return _Mesh(
        frozen(triangles, np.int32),
        mirror,
        frozen(coarse, np.int32),
        frozen(_facing_out(model, between, coarse), np.int32),
        None if mirror is None else frozen(numbers[at[:, 1], at[:, 0]][mirror[coarse]], np.int32),
        frozen(sources, np.int32),
        frozen(weights, np.float32),
        frozen(mean, np.float64),
    )


def _numbers(coverage: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of each texel's vertex in the coarse mesh; of the nearest one that has one, elsewhere."""
    from scipy.ndimage import distance_transform_edt

    numbers = np.cumsum(coverage.ravel()).reshape(coverage.shape) - 1
    nearest = distance_transform_edt(~coverage, return_distances=False, return_indices=True)
    return np.asarray(numbers[tuple(nearest)])


def _facing_out(
    model: MorphableModel, triangles: NDArray[np.int32], vertices: NDArray[np.integer]
) -> NDArray[np.int32]:
    """Triangles of some vertices, clockwise in the image frame as seen from outside: most of a face looks ahead."""
    x, y = (model.mean[vertices, :2] * np.array([1, -1], np.float32)).T[:, triangles.T]
    area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])
    return np.ascontiguousarray(triangles if area.sum() > 0 else triangles[:, ::-1])


def _all_mirrored(model: MorphableModel) -> NDArray[np.int32]:
    """The mirror vertex of every vertex; of one without, that which is nearest to its mirrored place."""
    from scipy.spatial import cKDTree

    mirror = mirror_vertices(model).copy()
    unpaired = np.flatnonzero(mirror < 0)
    mirror[unpaired] = cKDTree(model.mean).query(model.mean[unpaired] * [-1, 1, 1])[1]
    return frozen(mirror, np.int32)
