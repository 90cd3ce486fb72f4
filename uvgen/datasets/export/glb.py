"""Faces as binary glTF 2.0: one file ``NAME.glb`` per sample, with its texture in it.

Stored coordinates are the position map's: px of the crop, the first pixel's center at the origin, x right, z toward
the viewer; y is negated, so that it points up. The scene's node puts the middle of the face at the origin, in meters,
as the format wants it: the pose's scale says how many px a µm of the model has. `uvgen.datasets.export.textured` says
what mesh and texture are.
"""

import math
from pathlib import Path

from uvgen.datasets.export.common import Part
from uvgen.datasets.export.textured import mesh_key, textured_faces
from uvgen.meshes.glb import write_glb
from uvgen.rasterize.shading import vertex_normals
from uvgen.shards.reader import ShardReader

key = mesh_key

_PX_M = 1e-3  # if the pose has no usable scale


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write the files of a shard's samples."""
    for path, sample, face in textured_faces(reader, part, folder, ".glb"):
        write_glb(
            path,
            face.vertices,
            face.triangles,
            uv=face.uv,
            texture=face.texture,
            normals=vertex_normals(face.vertices, face.triangles),
            meters_per_unit=px_in_meters(float(sample["crop_pose"][6])),
            centered=True,
        )


def finish(reader: ShardReader, folder: Path) -> None:
    """There is nothing else to write."""


def px_in_meters(scale: float) -> float:
    """What a px of the crop is on the face, of the pose's scale in px/µm."""
    meters = 1e-6 / scale if scale > 0 else math.inf
    return meters if 1e-6 < meters < 1 else _PX_M
