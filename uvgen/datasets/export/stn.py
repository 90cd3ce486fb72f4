"""What 3DMMasSTN (Bas et al. 2017) trains with: the model on a regular UV grid, landmarks, crops of 224 px and labels.

| file | holds |
| --- | --- |
| ``model_112.mat``, ``model_224.mat`` | nverts; shapeMU (3 N, 1) and shapePC (3 N, 10), mm; faces (M, 3) from 1 |
| ``util/BFM_UV.mat`` | UV (n, 2) of the model's own vertices |
| ``util/landmarks/Landmarks21_112.anl`` … | AFLW's 21 points and iBUG's 68 as texels of both grids, from 1 |
| ``images/NAME.jpg`` | crops of 224 px |
| ``imdb.mat`` | images: labels (1, 3, 21, N) single, set (1, N), names {1, N}; without the pixels, images.data |
| ``aflw_cropped_label.csv`` | the same for the PyTorch port: file, 1_x, 1_y, 1_vis …, val |

The N texels of a model stand row by row, from the forehead. Its ten components are five of identity and five of
expression at one standard deviation, zeros if the model has fewer; ``prepareExpressionBFM.m`` takes expressions as
``Model_Expression.mat`` has them, unlike its paper. The mouth's inside moves with what closes it in UV, if that
script solves for it.

Labels are x, y and whether the point is seen: in ``imdb.mat`` in MATLAB's px with **y up**, as its demo draws them; in
the CSV in px of the image, **y down**, the first pixel 0. Sets are 1 for train and 2 for val, 0 and 1 in the CSV;
samples that the set's splits put into neither have a crop and no labels. A point is seen where the surface around its
texel faces the viewer (visibilityNotSelf.m) and it lies in the crop. Sixteen of AFLW's points are some of the 68; the
others lie in UV where 3DMMasSTN has them.
"""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.export.common import Part, each, mat, path_of, sample_of
from uvgen.datasets.splits import train_and_val
from uvgen.images.jpeg import encode_jpeg
from uvgen.images.warp import warp_image
from uvgen.maps.aflw import aflw_texels, aflw_uv
from uvgen.maps.atlas import texel_coordinates
from uvgen.maps.landmarks import closest_texels
from uvgen.maps.resample import resample_model
from uvgen.models.morphable import MorphableModel
from uvgen.samples.landmark_schemes import AFLW_21
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import shortened
from uvgen.wording import count

SIZE = 224
GRIDS = (112, 224)
_N_EACH = 5  # components of identity, and of expression
_UM_PER_MM = 1000.0
_AROUND = 2  # texels on each side, for the direction of the surface


def key(name: str) -> str:
    """The name itself, if a file can have it."""
    return str(path_of(name))


def write(reader: ShardReader, part: Part, folder: Path, quality: int, *, model: MorphableModel) -> None:
    """Write the crops of a shard's samples, and their labels until all are there."""
    texels = texel_coordinates(aflw_uv(model), reader.config.build.uv_size)
    labels = []
    for number in each(part):
        sample = sample_of(reader, number)
        size = len(sample["image"])
        scale = (SIZE - 1) / (size - 1)
        crop = warp_image(sample["image"], np.diag([scale, scale, 1.0]), SIZE)
        path = folder / "images" / f"{key(sample['name'])}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_jpeg(crop, quality))
        points, seen = points_of(sample, texels)
        points = points * scale
        seen &= ((points >= -0.5) & (points <= SIZE - 0.5)).all(axis=1)
        labels.append(np.column_stack([points, seen]))
    np.save(_labels_file(folder, part.name), np.array(labels))


def finish(reader: ShardReader, folder: Path, *, model: MorphableModel) -> None:
    """Write the models, landmarks and labels."""
    files = [_labels_file(folder, Path(file).stem) for file in reader.files]
    labels = np.concatenate([np.load(file) for file in files])
    copies = reader.config.augmentation is not None
    train, val = map(set, train_and_val(reader.names, reader.folder, copies=copies))
    rows = [k for k, name in enumerate(reader.names) if name in train or name in val]
    names = [reader.names[k] for k in rows]
    _write_labels(
        folder, [f"{key(name)}.jpg" for name in names], labels[rows], np.array([name in val for name in names])
    )
    (folder / "util/landmarks").mkdir(parents=True, exist_ok=True)
    (folder / "util/BFM_UV.mat").write_bytes(mat({"UV": model.uv.astype(np.float64)}))
    for size in GRIDS:
        (folder / f"model_{size}.mat").write_bytes(mat(resampled(model, size)))
        for n, texels in ((21, aflw_texels(model, size)), (68, closest_texels(model, size))):
            flat = texels[:, 0] * size + texels[:, 1]
            lines = [f"%{count(n, 'landmark point')} of {model.name}, res={size}", *map(str, (flat + 1).tolist())]
            (folder / f"util/landmarks/Landmarks{n}_{size}.anl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def clean(reader: ShardReader, folder: Path) -> None:
    """Remove the files in which the labels of the shards waited."""
    for file in reader.files:
        _labels_file(folder, Path(file).stem).unlink(missing_ok=True)


def resampled(model: MorphableModel, size: int) -> dict[str, Any]:
    """The variables of ``model.mat``."""
    grid = resample_model(model, size)
    parts = (
        grid.shape_basis[..., :_N_EACH] * grid.shape_std[:_N_EACH],
        grid.expression_basis[..., :_N_EACH] * grid.expression_std[:_N_EACH],
    )
    components = np.zeros((3 * size * size, 2 * _N_EACH))
    for k, part in enumerate(parts):
        components[:, k * _N_EACH : k * _N_EACH + part.shape[2]] = part.reshape(len(components), -1) / _UM_PER_MM
    return {
        "nverts": np.int32(size * size),
        "shapeMU": grid.mean.astype(np.float64).reshape(-1, 1) / _UM_PER_MM,
        "shapePC": components,
        "faces": _faces(size) + 1,
    }


def _faces(size: int) -> NDArray[np.int32]:
    """Two triangles for each square of four texels, in the order of resampleModel.m: columns outside, rows inside."""
    columns, rows = np.meshgrid(np.arange(size - 1), np.arange(size - 1), indexing="ij")
    a = (rows * size + columns).ravel()
    b, c, d = a + 1, a + size, a + size + 1  # to the right, below, both
    faces: NDArray[np.int32] = np.stack([np.stack([a, b, c], 1), np.stack([d, c, b], 1)], 1).reshape(-1, 3)
    return faces.astype(np.int32)


def points_of(sample: dict[str, Any], texels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """AFLW's 21 points (21, 2) in the crop, y down, and which of them face the viewer.

    `texels` (21, 2) are their columns and rows in the position map.
    """
    position_map = sample["posmap"]
    last = len(position_map) - 1
    whole = np.minimum(texels.astype(np.intp), last - 1)
    (across, down), (column, row) = (texels - whole).T[:, :, None], whole.T
    upper = position_map[row, column] * (1 - across) + position_map[row, column + 1] * across
    lower = position_map[row + 1, column] * (1 - across) + position_map[row + 1, column + 1] * across
    points = (upper * (1 - down) + lower * down)[:, :2].astype(np.float64)
    for k, landmark in AFLW_21.items():
        points[k] = sample["landmarks"][landmark, :2]
    column, row = np.rint(texels).astype(np.intp).T
    right, left = np.minimum(column + _AROUND, last), np.maximum(column - _AROUND, 0)
    below, above = np.minimum(row + _AROUND, last), np.maximum(row - _AROUND, 0)
    along = position_map[row, right] - position_map[row, left]
    downward = position_map[below, column] - position_map[above, column]
    return points, np.cross(along, downward)[:, 2] >= 0


def _labels_file(folder: Path, part: str) -> Path:
    return folder / f".labels-{shortened(part)}.npy"


def _write_labels(folder: Path, files: list[str], labels: NDArray[np.float64], in_val: NDArray[np.bool_]) -> None:
    matlab = np.stack([labels[..., 0] + 1, SIZE - labels[..., 1], labels[..., 2]])  # y: SIZE + 1 - (row + 1)
    names = np.empty((1, len(files)), object)
    names[0] = files
    images = {
        "labels": matlab.transpose(0, 2, 1)[None].astype(np.float32),
        "set": 1.0 + in_val[None],
        "names": names,
    }
    (folder / "imdb.mat").write_bytes(mat({"images": images}))
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    header = [f"{k}_{what}" for k in range(1, 22) for what in ("x", "y", "vis")]
    table.writerow(["file_id", "face_id", "filepath", *header, "val"])
    for k, (file, points, val) in enumerate(zip(files, labels, in_val, strict=True)):
        row = [f"{x:.4f},{y:.4f},{int(seen)}".split(",") for x, y, seen in points]
        table.writerow([k, k, file, *(cell for cells in row for cell in cells), int(val)])
    (folder / "aflw_cropped_label.csv").write_text(stream.getvalue(), encoding="utf-8")
