"""`TexelProducts`: one matrix product a batch, whose rows are gathered and placed as the texels of position maps."""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.batch_product import Columns, columns_of
from uvgen.buffers import BufferPool
from uvgen.fixed_point import FixedPoint
from uvgen.maps import kernels
from uvgen.maps.atlas import UvAtlas
from uvgen.maps.depth import DepthSearch
from uvgen.maps.mirror import mirrored_texels
from uvgen.models.morphable import MorphableModel

BATCH = 96
"""Faces evaluated by one matrix product. Larger batches gain little and cost 1.4 MB per face."""

_BLOCK, _PAD = 64, 16  # texels and extra lanes of a transposition: the fastest of those tried


class _Texels(NamedTuple):
    """What a map's texels are made of: rows of a basis, whose product with parameters moves points from the mean."""

    matrix: NDArray[np.float32]
    """(3 n, ks + ke): of the mesh's vertices, or of the texels themselves."""
    places: kernels.TexelPlaces
    """Where the texels lie among the vertices."""


class TexelProducts:
    """Fills maps of at most `BATCH` faces at once; coefficients and affine maps are checked by its caller.

    Parameters
    ----------
    model : MorphableModel
    atlas : UvAtlas
        Of the model: the vertices and weights of its texels.
    convention : {"exact", "face3d"}
        Pixel convention that the atlas was made with; mirrored texels are found by it.
    """

    def __init__(self, model: MorphableModel, atlas: UvAtlas, convention: str) -> None:
        self.model, self.atlas, self.convention = model, atlas, convention
        self._on_texels = 2 * atlas.size**2 <= model.n_vertices  # few texels: evaluate the bases there, depths apart
        self._plain = self._texels(atlas)
        self._products = BufferPool(_Product)

    def _texels(self, atlas: UvAtlas) -> _Texels:
        model, n = self.model, atlas.size**2
        texel_mean = atlas.interpolate(model.mean).reshape(-1, 3)
        if not self._on_texels:
            places = kernels.TexelPlaces(texel_mean, atlas.vertices, atlas.weights)
            return _Texels(model.basis.reshape(3 * model.n_vertices, -1), places)
        matrix = atlas.interpolate(model.basis.reshape(model.n_vertices, -1)).reshape(3 * n, -1)
        corners = np.repeat(np.arange(n, dtype=np.int32)[:, None], 3, axis=1)
        alone = np.tile(np.array([1, 0, 0], np.float32), (n, 1))
        return _Texels(matrix, kernels.TexelPlaces(texel_mean, corners, alone))

    @cached_property
    def mirrored_atlas(self) -> UvAtlas:
        """Where the texels of mirrored faces lie on the mesh (`uvgen.maps.mirror.mirrored_texels`)."""
        texels = mirrored_texels(self.model, self.atlas.size, self.convention)
        return UvAtlas(self.atlas.size, texels.vertices, texels.weights, self.atlas.texel_kind)

    @cached_property
    def _mirrored(self) -> _Texels:
        return self._texels(self.mirrored_atlas)

    @cached_property
    def _depths(self) -> DepthSearch:
        return DepthSearch(self.model)

    def smallest_depths(self, coefficients: NDArray[np.float64], to_crop: NDArray[np.float64]) -> NDArray[np.float64]:
        """(B,) smallest z in the crop over each face's vertices, which are not evaluated all."""
        depths = self._depths.smallest(
            np.ascontiguousarray(coefficients.T, np.float32), np.ascontiguousarray(to_crop[:, 2, :3].T, np.float32)
        )
        return depths + to_crop[:, 2, 3]

    def fill(
        self,
        coefficients: NDArray[np.float64],
        to_crop: NDArray[np.float64],
        mirrored: bool,
        maps: NDArray[Any],
        fixed_point: FixedPoint | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Fill maps (B, size, size, 3) with points in the crop, or with their codes if `fixed_point` is given.

        Parameters
        ----------
        coefficients : (B, ks + ke) float64
            Of at most `BATCH` faces.
        to_crop : (B, 3, 4) float64
            Model → crop; of mirrored faces, the mirroring included.
        mirrored : bool
            Whether texels show the mirrored face.

        Returns
        -------
        depths : (B,) float32
            Smallest z over all vertices, which the maps' z is counted from.
        in_range : (B,) bool
            False for faces with a value that no code stands for.
        """
        n, texels = len(coefficients), self._mirrored if mirrored else self._plain
        (padded, lane), affine = lanes_of(coefficients, to_crop)
        lanes = padded.shape[1]
        depths, outside = np.zeros(lanes, np.float32), np.zeros(n, np.int32)
        scratch = np.empty((_BLOCK, 3, lanes + _PAD), np.float32)
        with self._products.borrowed() as buffer:
            product = buffer.first(len(texels.matrix) * lanes).reshape(-1, lanes)
            np.matmul(texels.matrix, padded, out=product)
            offsets = product.reshape(-1, 3, lanes)
            if self._on_texels:
                faces = slice(lane, lane + n)
                depths[faces] = self._depths.smallest(padded[:, faces], affine[8:11, faces]) + affine[11, faces]
            else:
                kernels.smallest_depths(offsets, self.model.mean, affine, depths)
            affine[11] -= depths
            flat = maps.reshape(n, -1, 3)
            if fixed_point is None:
                kernels.interpolate_texels(offsets, texels.places, affine, lane, scratch, flat)
            else:
                affine /= np.float32(fixed_point.scale)
                affine[3::4] += np.float32(fixed_point.shift)
                kernels.interpolate_texels_fixed(offsets, texels.places, affine, lane, scratch, outside, flat)
        return depths[lane : lane + n], outside == 0

    def place_vertices(
        self, coefficients: NDArray[np.float64], to_crop: NDArray[np.float64], out: NDArray[np.float32]
    ) -> None:
        """Fill `out` (B, n, 3): each vertex of at most `BATCH` faces in the crop, z counted from the smallest."""
        (padded, lane), affine = lanes_of(coefficients, to_crop)
        depths = np.empty(padded.shape[1], np.float32)
        offsets = (self.model.basis.reshape(3 * self.model.n_vertices, -1) @ padded).reshape(-1, 3, len(depths))
        kernels.smallest_depths(offsets, self.model.mean, affine, depths)
        affine[11] -= depths
        scratch = np.empty((_BLOCK, 3, len(depths) + _PAD), np.float32)
        kernels.place_vertices(offsets, self.model.mean, affine, lane, scratch, out)


class _Product:
    """Memory for one batch's product, which grows where it must."""

    def __init__(self) -> None:
        self._values = np.empty(0, np.float32)

    def first(self, n: int) -> NDArray[np.float32]:
        """Its first n numbers, of any value."""
        if len(self._values) < n:
            self._values = np.empty(n, np.float32)
        return self._values[:n]


def lanes_of(coefficients: NDArray[np.float64], to_crop: NDArray[np.float64]) -> tuple[Columns, NDArray[np.float32]]:
    """Coefficients as columns, and maps (12, lanes) of the faces in them."""
    columns = columns_of(coefficients)
    affine = np.zeros((12, columns.matrix.shape[1]), np.float32)
    affine[:, columns.first : columns.first + len(to_crop)] = to_crop.reshape(-1, 12).T
    return columns, affine
