"""Faces as Wavefront OBJ: ``NAME.obj`` and ``NAME.mtl`` with the texture ``NAME.png`` per sample.

Coordinates are the position map's: px of the crop, the first pixel's center at the origin, x right, z toward the
viewer; y is negated, so that it points up. `uvgen.datasets.export.textured` says what mesh and texture are.
"""

from pathlib import Path

from uvgen.datasets.export.common import Part
from uvgen.datasets.export.textured import mesh_key, textured_faces
from uvgen.meshes.files import write_obj
from uvgen.shards.reader import ShardReader

key = mesh_key


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write the files of a shard's samples."""
    for path, _, face in textured_faces(reader, part, folder, ".obj"):
        write_obj(path, face.vertices, face.triangles, uv=face.uv, texture=face.texture)


def finish(reader: ShardReader, folder: Path) -> None:
    """There is nothing else to write."""
