"""Per-pixel images of a crop that networks are trained on beside position maps: UV, normals, depth, parts, PNCC.

They are drawn from a face's parameters, as the position map is, and stored as small integers, see
`uvgen.maps.target_layouts`. Drawn is the model's skin where it faces the viewer, without the triangles that close the
mouth: through an open mouth, and beside the face, there is nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uvgen.buffers import BufferPool
from uvgen.checks import MAX_SIDE, check_array, float64_array, frozen, number_in
from uvgen.errors import ModelError
from uvgen.fixed_point import MAX_CODE
from uvgen.geometry import check_convention
from uvgen.maps import target_kernels as kernels
from uvgen.maps.atlas import MESH, build_atlas, checked_size
from uvgen.maps.memo import once_per_model
from uvgen.maps.mirror import mirror_vertices, mirrored_texels
from uvgen.maps.position_mapper import PositionMapper
from uvgen.maps.target_layouts import COVERED, DEPTH_STEPS, MIDDLE, check_targets, target_layouts
from uvgen.models.morphable import MorphableModel
from uvgen.rasterize.fragments import Fragments, pncc_codes, rasterize
from uvgen.rasterize.shading import shown_normals, vertex_normals

_TOLERANCE = 1 / 256  # crop sides: what rounding to pixels may hide of the surface that a texel lies on
_STEEPEST = 4.0  # px of depth a pixel that are taken into account
_BATCH = 32  # faces whose vertices are held at once


def check_model_has(model: MorphableModel, names: Iterable[str]) -> None:
    """Raise ModelError if a model lacks what a target shows."""
    if "parts" in names and model.regions is None:
        raise ModelError(
            f"{model.name}: has no regions, expected labels of its vertices for the target parts; leave parts out"
        )
    if "pncc" in names and not (np.ptp(model.mean, axis=0) > 0).all():
        raise ModelError(f"{model.name}: is flat, expected extents along x, y and z for the target pncc; leave it out")


class _Drawn(NamedTuple):
    """A model's mesh as it is drawn, plain or mirrored, and what its vertices show."""

    triangles: NDArray[np.int32]
    uv: NDArray[np.float32]
    labels: NDArray[np.uint8] | None
    pncc: NDArray[np.float32]
    texels: kernels.TexelCorners


@once_per_model
def _drawn(model: MorphableModel, uv_size: int, convention: str, mirrored: bool) -> _Drawn:
    """What is drawn of a face: if it is mirrored, vertex i is where its mirror image is, and shows its partner's."""
    triangles, outward = _outward(model)
    uv = model.uv.astype(np.float32)
    labels = None if model.regions is None else (model.regions + 1).astype(np.uint8)
    extent = np.ptp(model.mean, axis=0)
    codes = pncc_codes(model.mean) if (extent > 0).all() else np.zeros(model.mean.shape, np.float32)
    atlas = build_atlas(model, uv_size, convention)
    on_mesh = atlas.texel_kind.ravel() == MESH
    if not mirrored:
        texels = _texels(atlas.vertices, atlas.weights, on_mesh, outward)
        return _frozen(_Drawn(triangles, uv, labels, codes, texels))
    pairs = mirror_vertices(model)
    alone = pairs < 0  # such a vertex shows what it would if the UV and the mean face were symmetric
    partner = np.where(alone, np.arange(len(pairs)), pairs)
    across = np.array([-1, 1], np.float32), np.array([1, 0], np.float32)
    uv_there = np.where(alone[:, None], uv * across[0] + across[1], uv[partner])
    codes_there = np.where(alone[:, None], codes * [-1, 1, 1] + [1, 0, 0], codes[partner]).astype(np.float32)
    found = mirrored_texels(model, uv_size, convention)
    corners, weights = found.vertices.copy(), found.weights.copy()
    opposite = found.unpaired  # these have the corners of a texel that is not mirrored, and its winding
    corners[opposite], weights[opposite] = corners[opposite][:, [0, 2, 1]], weights[opposite][:, [0, 2, 1]]
    labels_there = None if labels is None else labels[partner]
    texels = _texels(corners, weights, on_mesh, outward)
    return _frozen(_Drawn(triangles[:, ::-1], uv_there, labels_there, codes_there, texels))


def _texels(
    corners: NDArray[np.int32], weights: NDArray[np.float32], on_mesh: NDArray[np.bool_], outward: int
) -> kernels.TexelCorners:
    """Texels with their corners and weights (t, 3), as the kernel takes them."""
    flat = frozen(corners, corners.dtype).reshape(-1).view(np.uint32), frozen(weights, weights.dtype).reshape(-1)
    return kernels.TexelCorners(*flat, frozen(on_mesh, bool), np.float32(outward))


def _frozen(drawn: _Drawn) -> _Drawn:
    """The same, each array as kernels take it."""
    parts: list[Any] = [frozen(part, part.dtype) if isinstance(part, np.ndarray) else part for part in drawn]
    return _Drawn(*parts)


def _outward(model: MorphableModel) -> tuple[NDArray[np.int32], int]:
    """The skin's triangles, clockwise on the screen seen from outside, and -1 if the model's run the other way."""
    in_picture = model.mean * np.array([1, -1, 1], np.float32)
    ahead = vertex_normals(in_picture, model.triangles)[model.landmarks[30], 2] > 0  # the tip of the nose
    return (model.triangles, 1) if ahead else (np.ascontiguousarray(model.triangles[:, ::-1]), -1)


class _Canvas:
    """Memory for one face's fragments."""

    fragments: Fragments | None = None


class TargetMaker:
    """Draws the targets of faces of one model. Calls may come from several threads.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    names : sequence of str
        Of `uvgen.maps.target_layouts.TARGETS`.
    crop_size, uv_size : int
        Pixels along each side of the crops, texels along each side of the maps.
    convention : {"exact", "face3d"}
        Pixel convention, see `uvgen.geometry.pose_to_image`.

    Raises
    ------
    InputError
        If a name or the convention is unknown, or a size out of range.
    ModelError
        If the model lacks what a target shows.

    Attributes
    ----------
    layouts : dict of str to TargetLayout
        How each result is stored.
    """

    def __init__(
        self,
        model: MorphableModel,
        names: Sequence[str],
        *,
        crop_size: int = 256,
        uv_size: int = 256,
        convention: str = "exact",
    ) -> None:
        self.names = check_targets(names)
        self._size = number_in(crop_size, "crop_size", 1, MAX_SIDE, "px", whole=True)
        self._uv_size = checked_size(uv_size, "uv_size")
        check_convention(convention)
        check_model_has(model, self.names)
        self.model, self._convention = model, convention
        self.layouts = target_layouts(self.names, self._size, self._uv_size)
        self._mapper: PositionMapper | None = None
        self._canvases = BufferPool(_Canvas)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapper": None}  # each process makes its own

    def __call__(
        self,
        shape: ArrayLike,
        expression: ArrayLike,
        pose: ArrayLike,
        similarity: ArrayLike,
        image_height: ArrayLike,
        *,
        flipped: ArrayLike | None = None,
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """The targets of a batch of faces, as they are stored.

        Parameters
        ----------
        shape, expression, pose, similarity, image_height, flipped
            As for `uvgen.PositionMapper`. If a sample is flipped, its pixels are those of the mirrored picture, and
            show what the mirrored face has there: the left eye's UV, part and PNCC on the picture's left.

        Returns
        -------
        targets : dict of str to (B, ...) ndarray
            As `layouts` says.
        in_range : (B,) bool
            False for faces with a depth that no code stands for.

        Raises
        ------
        InputError, ModelError
            As for `uvgen.PositionMapper`.
        """
        if self._mapper is None:
            self._mapper = PositionMapper(self.model, self._uv_size, self._convention, crop_size=self._size)
        poses = float64_array(pose, "pose", ("B", 7))
        n = len(poses)
        arrays = [
            float64_array(shape, "shape", (n, self.model.n_shape)),
            float64_array(expression, "expression", (n, self.model.n_expression)),
            poses,
            np.broadcast_to(float64_array(similarity, "similarity", (n, 3, 3), (3, 3)), (n, 3, 3)),
            np.broadcast_to(float64_array(image_height, "image_height", (n,), ()), (n,)),
        ]
        flips = np.zeros(n, bool) if flipped is None else np.asarray(flipped)
        check_array(flips, "flipped", (n,), kind="bool", note="whether each sample is mirrored")
        out = {name: np.empty((n, *layout.shape), layout.dtype) for name, layout in self.layouts.items()}
        in_range = np.ones(n, bool)
        for first in range(0, n, _BATCH):
            part = slice(first, first + _BATCH)
            vertices = self._mapper.crop_vertices(*(array[part] for array in arrays), flipped=flips[part])
            for k, face in enumerate(vertices):
                places = {name: values[first + k] for name, values in out.items()}
                in_range[first + k] = self.draw(face, places, flipped=bool(flips[first + k]))
        return out, in_range

    def draw(self, vertices: NDArray[np.float32], out: Mapping[str, NDArray[Any]], *, flipped: bool = False) -> bool:
        """Draw one face whose vertices are known.

        Parameters
        ----------
        vertices : (n, 3) float32, C-contiguous
            In the crop, as `PositionMapper.crop_vertices` gives them.
        out : mapping of str to ndarray, C-contiguous
            Buffers to fill, as `layouts` says.
        flipped : bool
            Whether the picture is mirrored.

        Returns
        -------
        bool
            False if a depth has no code.
        """
        mesh, size = _drawn(self.model, self._uv_size, self._convention, flipped), (self._size, self._size)
        with self._canvases.borrowed() as canvas:
            canvas.fragments = rasterize(vertices, mesh.triangles, size, cull="back", out=canvas.fragments)
            return self._fill(vertices, mesh, canvas.fragments, out)

    def _fill(
        self, vertices: NDArray[np.float32], mesh: _Drawn, found: Fragments, out: Mapping[str, NDArray[Any]]
    ) -> bool:
        """Fill the buffers of one face from its fragments; False where a depth has no code."""
        shown = kernels.Shown(
            found.triangle.reshape(-1), found.weights.reshape(-1), mesh.triangles.reshape(-1).view(np.uint32)
        )
        in_range = True
        if COVERED in out:
            np.greater_equal(found.triangle, 0, out=out[COVERED])
        if "uv" in out:
            kernels.attribute_codes(shown, mesh.uv.reshape(-1), np.float32(MAX_CODE), 0, out["uv"].reshape(-1, 2))
        if "pncc" in out:
            kernels.attribute_codes(shown, mesh.pncc.reshape(-1), np.float32(255), 0, out["pncc"].reshape(-1, 3))
        if "normals" in out:
            normals = shown_normals(vertices, mesh.triangles, found)
            kernels.normal_codes(shown, normals.reshape(-1), np.float32(MIDDLE), out["normals"].reshape(-1, 3))
        if "depth" in out:
            steps = np.float32(DEPTH_STEPS / self._size)
            in_range = bool(
                kernels.depth_codes(shown.triangle, found.depth.reshape(-1), steps, out["depth"].reshape(-1))
            )
        if "parts" in out and mesh.labels is not None:
            kernels.nearest_labels(shown, mesh.labels, 0, out["parts"].reshape(-1))
        if "visibility" in out:
            view = kernels.View(found.depth, np.float32(_TOLERANCE * self._size), np.float32(_STEEPEST))
            kernels.see_texels(vertices.reshape(-1), mesh.texels, view, out["visibility"].reshape(-1))
        return in_range
