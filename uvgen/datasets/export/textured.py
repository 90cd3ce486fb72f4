"""What the mesh targets share: a sample's face as a textured mesh.

The mesh is the position map's grid where it lies on the model, so all faces of a data set have the same triangles and
the same places in the texture, which is the crop unwrapped: textures may be exchanged and painted. Texels that the
face itself hides show what is in front of them, and those outside the crop are black. The texture has the crop's
resolution or the map's, whichever is higher.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.export.common import Part, each, path_of, sample_of, unhidden
from uvgen.meshes.grid import mesh_from_map
from uvgen.rasterize.texture import unwrap
from uvgen.shards.reader import ShardReader


class TexturedFace(NamedTuple):
    """A mesh in crop px; `uv` is u right and v up, with pixel i of the texture at (i + 0.5) / size."""

    vertices: NDArray[np.float32]  # (n, 3)
    triangles: NDArray[np.int32]  # (m, 3)
    uv: NDArray[np.float64]  # (n, 2)
    texture: NDArray[np.uint8]  # (T, T, 3), RGB


def mesh_key(name: str) -> str:
    """The name, if a file can have it, without what readers of OBJ and PLY trip over in the name of a texture."""
    path = path_of(name)
    stem = re.sub(r"^-|[\s#]", "_", path.name)
    return unhidden(str(path.with_name(stem)))


def textured_faces(
    reader: ShardReader, part: Part, folder: Path, suffix: str
) -> Iterator[tuple[Path, dict[str, Any], TexturedFace]]:
    """The file of each sample of a shard, whose folder is made, the sample, and its face."""
    coverage = reader.constants["coverage"]
    for number in each(part):
        sample = sample_of(reader, number)
        path = folder / f"{mesh_key(sample['name'])}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path, sample, textured_face(sample, coverage)


def textured_face(sample: dict[str, Any], coverage: NDArray[np.bool_]) -> TexturedFace:
    """The face of a sample that has an image and a position map, over the texels of `coverage`."""
    position_map, image = sample["posmap"], sample["image"]
    vertices, triangles, uv = mesh_from_map(position_map, coverage)
    size = max(len(position_map), len(image))
    texture, _ = unwrap(image, refined(position_map, size))
    places = (uv * (size - 1) + 0.5) / size  # programs put the border's centers half a pixel inside of 0 and 1
    return TexturedFace(vertices, triangles, places, np.rint(texture).astype(np.uint8))


def refined(position_map: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A position map (u, u, 3) on a grid of (size, size), on the triangles of `mesh_from_map`; corners stay."""
    n = len(position_map)
    if size == n:
        return position_map
    places = np.arange(size) * ((n - 1) / (size - 1))
    low = np.minimum(places.astype(np.intp), n - 2)
    part = (places - low).astype(np.float32)
    y, x = np.meshgrid(part, part, indexing="ij")
    a, b, c, d = (position_map[np.ix_(low + i, low + j)] for i, j in ((0, 0), (0, 1), (1, 1), (1, 0)))
    y, x = y[..., None], x[..., None]
    fine: NDArray[np.float32] = np.where(
        x + y <= 1, a + x * (b - a) + y * (d - a), c + (1 - x) * (d - c) + (1 - y) * (b - c)
    )
    return fine
