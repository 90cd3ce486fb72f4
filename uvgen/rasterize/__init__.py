"""The rasterizer and all that uses it: `from uvgen import rasterize` is enough.

    fragments = rasterize.rasterize(vertices, triangles, (450, 450))
    depth = fragments.depth
    normals = rasterize.interpolate(fragments, triangles, rasterize.vertex_normals(vertices, triangles))

Everything works in the image frame: x right and y down in pixels, pixel centers at integers, z toward the
viewer. Inputs are never modified, and all functions may be called from any number of threads and processes.
The parts live in files of their own: `fragments.py` (drawing, interpolation), `shading.py` (normals, light),
`visibility.py`, `texture.py` (unwrapping and back); `uvgen.meshes` makes meshes of position maps and writes files.
It builds on `meshes` and needs only numpy and numba. Kernels that decide coverage go to `coverage_kernels.py`,
that by face3d's rule to `face3d_kernels.py`, those that read what is drawn to `surface_kernels.py`, and the bundles of
arrays that they take to `buffers.py`.
"""

from uvgen.meshes.files import write_obj, write_ply
from uvgen.meshes.glb import write_glb
from uvgen.meshes.grid import mesh_from_map
from uvgen.rasterize.fragments import (
    Fragments,
    depth_map,
    interpolate,
    normal_map,
    pncc,
    pncc_codes,
    rasterize,
    render_colors,
)
from uvgen.rasterize.shading import (
    Light,
    SphericalHarmonics,
    face_normals,
    front_facing,
    harmonic_basis,
    shade,
    vertex_normals,
)
from uvgen.rasterize.texture import flatten_mean, render, render_texture, unwrap
from uvgen.rasterize.visibility import visible_texels, visible_vertices

__all__ = [
    "Fragments",
    "Light",
    "SphericalHarmonics",
    "depth_map",
    "face_normals",
    "flatten_mean",
    "front_facing",
    "harmonic_basis",
    "interpolate",
    "mesh_from_map",
    "normal_map",
    "pncc",
    "pncc_codes",
    "rasterize",
    "render",
    "render_colors",
    "render_texture",
    "shade",
    "unwrap",
    "vertex_normals",
    "visible_texels",
    "visible_vertices",
    "write_glb",
    "write_obj",
    "write_ply",
]
