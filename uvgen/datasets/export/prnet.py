"""PRNet_PyTorch's folders, and the files of the UV map that its trainer and its inference read.

- ``train/1/original.jpg``, ``train/1/uv_posmap.npy`` and so on: its ``--train_dir``. Numbers start at 1 because that
  program skips folder 0; ``names.txt`` says which sample is which. It divides maps by 255 and cuts them to [0, 1].
- ``uv_weight_mask_gdh.png``: the weight mask of its losses; ``uv_weight_mask.png`` is the same under PRNet's name.
- ``uv_kpt_ind.txt``, ``face_ind.txt``, ``triangles.txt`` and ``canonical_vertices.npy``: the texels of the 68
  landmarks (columns, then rows), those of the face, the triangles between the latter, and where they lie on the mean
  face. PRNet's inference reads the same.

The repository has these files for the Basel model's UV and masks of its own; a set of another model needs those of this
export in their place.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.export.common import Part, each, npy, sample_of, write_uv_files
from uvgen.errors import ModelError
from uvgen.images.jpeg import encode_jpeg
from uvgen.maps.atlas import build_atlas
from uvgen.maps.masks import face_mask
from uvgen.meshes.grid import mesh_from_map
from uvgen.models.morphable import MorphableModel
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import printable

"""Arguments that it cannot do without, and what for."""

_CLOSEST_UM = 1.0
_EYES_PX, _CENTER_PX = 102.46, 249.87
"""Between the outer corners of the eyes, and the mean row of the face's texels, in PRNet's own canonical vertices."""


def key(name: str) -> str:
    """The name itself: folders are numbered, so names cannot clash."""
    return name


def write(reader: ShardReader, part: Part, folder: Path, quality: int, *, model: MorphableModel) -> None:
    """Write the folders of a shard's samples."""
    eyes_apart(model)  # which `finish` needs when all is written
    for number in each(part):
        sample = sample_of(reader, number)
        path = folder / "train" / str(number + 1)
        path.mkdir(parents=True, exist_ok=True)
        (path / "original.jpg").write_bytes(encode_jpeg(sample["image"], quality))
        (path / "uv_posmap.npy").write_bytes(npy(sample["posmap"]))


def finish(reader: ShardReader, folder: Path, *, model: MorphableModel) -> None:
    """Write ``names.txt`` and the files of the UV map."""
    lines = "".join(f"{number} {printable(name)}\n" for number, name in enumerate(reader.names, start=1))
    (folder / "names.txt").write_text(lines, encoding="utf-8")
    write_uv_files(reader, folder, "uv_weight_mask.png", "uv_weight_mask_gdh.png")
    size = reader.config.build.uv_size
    face = face_mask(model, size)
    vertices, triangles, _ = mesh_from_map(canonical_map(model, size), face)
    np.save(folder / "canonical_vertices.npy", vertices.astype(np.float64))
    np.savetxt(folder / "face_ind.txt", np.flatnonzero(face), fmt="%d")
    np.savetxt(folder / "triangles.txt", triangles, fmt="%d")


def eyes_apart(model: MorphableModel) -> float:
    """Between the outer corners of the eyes in x, µm; ModelError if they are none of a face."""
    eyes = model.mean[model.landmarks[[36, 45]], 0]
    apart = abs(float(eyes[1]) - float(eyes[0]))
    if apart < _CLOSEST_UM:
        raise ModelError(
            f"{model.path or model.name}: landmarks 36 and 45, the outer corners of the eyes, are {apart:.3g} µm "
            "apart in x, expected those of a face, by which PRNet's canonical vertices are scaled"
        )
    return apart


def canonical_map(model: MorphableModel, size: int) -> NDArray[np.float32]:
    """The mean face as a position map (size, size, 3) that faces the viewer, as large as PRNet's canonical vertices.

    x is 0 in the face's middle, y points down, the mean row of the face's texels is PRNet's, and the smallest depth of
    the mesh is 0.
    """
    scale = np.float32(_EYES_PX / eyes_apart(model))
    flat = build_atlas(model, size).interpolate(model.mean * np.array([scale, -scale, scale], np.float32))
    flat[..., 1] += _CENTER_PX - flat[face_mask(model, size), 1].mean()
    flat[..., 2] -= scale * model.mean[:, 2].min()
    return flat
