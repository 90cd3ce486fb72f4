"""Faces as binary Stanford PLY: ``NAME.ply`` with the texture ``NAME.png`` per sample.

Coordinates are the position map's: px of the crop, the first pixel's center at the origin, x right, z toward the
viewer; y is negated, so that it points up. Vertices have the crop's colors too, since programs differ in whether they
read a PLY file's texture. `uvgen.datasets.export.textured` says what mesh and texture are.
"""

from pathlib import Path

import numpy as np

from uvgen.datasets.export.common import Part
from uvgen.datasets.export.textured import mesh_key, textured_faces
from uvgen.meshes.files import write_ply
from uvgen.rasterize.texture import unwrap
from uvgen.shards.reader import ShardReader

key = mesh_key


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write the files of a shard's samples."""
    coverage = reader.constants["coverage"]
    for path, sample, face in textured_faces(reader, part, folder, ".ply"):
        colors, _ = unwrap(sample["image"], sample["posmap"])
        write_ply(
            path,
            face.vertices,
            face.triangles,
            uv=face.uv,
            texture=face.texture,
            colors=np.rint(colors[coverage]).astype(np.uint8),
        )


def finish(reader: ShardReader, folder: Path) -> None:
    """There is nothing else to write."""
