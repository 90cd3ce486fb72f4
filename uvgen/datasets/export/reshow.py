"""The folders of reshow's PRNet-PyTorch.

``NAME/`` holds ``NAME_cropped.jpg``, ``NAME_cropped_uv_posmap.npy`` and ``NAME_bbox_info.mat``. The map is float32 crop
px, which its data set divides by 280. Variables of the ``.mat``, as its ``processor.py`` saves them:

| variable | holds |
| --- | --- |
| Tform, TformInv | (3, 3) float64, image → crop and back; of mirrored samples with the mirroring |
| OldBbox, Bbox | (2, 2) int32, left, top; right, bottom of the 68 landmarks, cut to integers; in the image, the crop |
| OldKpt, Kpt | (68, 3) float64, AFLW2000-3D's annotated landmarks in the image, as MATLAB counts pixels, and in the \
crop; empty if a sample has none |

Its program counts pixels in a third way, x as face3d does and y as uvgen does: labels lie 1 px of the image to the
right of the exact ones. So they are written; with the convention "exact" or "face3d" they lie where these have them.

``uv_weight_mask.png``, ``uv_face_mask.png`` and ``uv_kpt_ind.txt`` are those of the set's model, for its ``uv-data``
folder. Its network and its divisor of 280 are for crops and maps of 256. Exports of other sizes are for other programs,
such as `uvgen.import_maps`.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.export.common import Part, each, mat, npy, path_of, sample_of, unhidden, write_uv_files
from uvgen.images.codecs import encode_png
from uvgen.images.jpeg import encode_jpeg
from uvgen.samples.map_files import IMAGE_SHIFTS
from uvgen.shards.reader import ShardReader


def key(name: str) -> str:
    """The path of a sample's files without their endings; a hidden name gets ``_`` before it."""
    path = path_of(name)
    path = path.with_name(f"_{path.name}") if path.name.startswith(".") else path
    return unhidden(str(path / path.name))


def write(reader: ShardReader, part: Part, folder: Path, quality: int, *, convention: str) -> None:
    """Write the folders of a shard's samples."""
    built = reader.config.build.convention
    for number in each(part):
        sample = sample_of(reader, number)
        path = folder / PurePosixPath(key(sample["name"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        tform = _tform(sample, len(sample["image"]))
        move = tform[:2, :2] @ (np.array(IMAGE_SHIFTS[convention]) - IMAGE_SHIFTS[built])
        position_map = sample["posmap"] + np.append(move, 0).astype(np.float32)
        path.with_name(f"{path.name}_cropped.jpg").write_bytes(encode_jpeg(sample["image"], quality))
        path.with_name(f"{path.name}_cropped_uv_posmap.npy").write_bytes(npy(position_map))
        path.with_name(f"{path.name}_bbox_info.mat").write_bytes(_bbox_info(sample, tform, move, convention))


def finish(reader: ShardReader, folder: Path, *, convention: str) -> None:
    """Write the files of the UV map."""
    write_uv_files(reader, folder, "uv_weight_mask.png")
    face = (reader.constants["weight_mask"] > 0).astype(np.uint8) * 255
    (folder / "uv_face_mask.png").write_bytes(encode_png(face))


def _tform(sample: dict[str, Any], size: int) -> NDArray[np.float64]:
    """Image → crop, mirroring included."""
    tform: NDArray[np.float64] = np.array(sample["image_to_crop"], np.float64)
    if sample.get("flipped", False):
        tform[0] = [0, 0, size - 1] - tform[0]
    return tform


def _bbox_info(sample: dict[str, Any], tform: NDArray[np.float64], move: NDArray[np.float64], convention: str) -> bytes:
    inverse: NDArray[np.float64] = np.linalg.inv(tform).astype(np.float64)
    in_crop = sample["landmarks"][:, :2].astype(np.float64) + move
    in_image = in_crop @ inverse[:2, :2].T + inverse[:2, 2]
    annotated, annotated_old = _annotated(sample, tform, inverse, convention)
    content = {
        "OldBbox": _box(in_image), "Bbox": _box(in_crop), "Tform": tform, "TformInv": inverse,
        "Kpt": annotated, "OldKpt": annotated_old,
    }  # fmt: skip
    return mat(content)


def _box(points: NDArray[np.float64]) -> NDArray[np.int32]:
    whole = points.astype(np.int32)
    return np.stack([whole.min(axis=0), whole.max(axis=0)])


def _annotated(
    sample: dict[str, Any], tform: NDArray[np.float64], inverse: NDArray[np.float64], convention: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Annotated landmarks in the crop and in the image; empty if there are none of three dimensions."""
    points: Any = sample.get("annotated_landmarks")
    if points is None or points.shape[1] != 3 or not np.isfinite(points).all():
        return np.zeros((0, 0)), np.zeros((0, 0))
    in_crop = points.astype(np.float64)
    in_image = np.column_stack([in_crop[:, :2] @ inverse[:2, :2].T + inverse[:2, 2], in_crop[:, 2]])
    in_image[:, 2] /= np.sqrt(abs(np.linalg.det(tform[:2, :2])))
    if convention == "reshow":  # it takes MATLAB's numbers, which count from 1, as they are
        in_image[:, :2] += 1
        in_crop[:, :2] += tform[:2, :2] @ [1, 1]
    return in_crop, in_image
