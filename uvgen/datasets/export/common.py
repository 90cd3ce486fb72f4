"""What the targets of an export share: parts and what is left out, names, arrays as files, and files of the UV map."""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import scipy.io
from numpy.typing import NDArray

from uvgen.datasets.quality.plausible import odd_numbers
from uvgen.errors import DatasetError
from uvgen.images.codecs import encode_png
from uvgen.maps.mask_files import weights_to_gray
from uvgen.maps.target_layouts import target_layouts
from uvgen.progress import advance
from uvgen.shards.reader import ShardReader
from uvgen.storage.folders import is_passed_over
from uvgen.storage.names import brief, safe_name
from uvgen.wording import typed

_NO_DATE = b"MATLAB 5.0 MAT-file, made by uvgen".ljust(116)  # the same data set gives the same bytes

PARAMETERS = (
    "landmarks", "shape", "expression", "pose", "crop_pose", "camera", "image_to_crop", "image_height",
    "flipped",
)  # fmt: skip
"""Small fields that are exported if samples have them."""


class Part(NamedTuple):
    """The samples of one shard: its file name without ending, and their numbers in the data set."""

    name: str
    samples: range


class Skipped(NamedTuple):
    """A sample that was left out, and why."""

    name: str
    reason: str


def each(part: Part) -> Iterator[int]:
    """The numbers of a shard's samples, counted if progress is shown."""
    for number in part.samples:
        yield number
        advance(1)


def sample_of(reader: ShardReader, number: int) -> dict[str, Any]:
    """A sample as `reader` hands it out; DatasetError if its numbers are none that another program can use."""
    sample: dict[str, Any] = reader[number]
    if wrong := odd_numbers(sample):
        raise DatasetError(
            f"{reader.folder}: {brief(sample['name'])}: {wrong}; run `uvgen verify {typed(reader.folder)}`"
        )
    return sample


def array_layouts(reader: ShardReader) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of the arrays of a sample as `reader` hands them out: the map, per-pixel targets, small ones.

    The map is always there; a scalar's shape is ().
    """
    side = reader.config.build.uv_size
    small = {name: reader.fields[name] for name in PARAMETERS if name in reader.fields}
    return {"posmap": ((side, side, 3), np.dtype(np.float32)), **pixel_layouts(reader), **small}


def pixel_layouts(reader: ShardReader) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Those of the per-pixel targets alone: values are float32, labels uint8, masks bool."""
    build = reader.config.build
    return {
        name: (layout.shape, np.dtype(np.float32 if layout.codes is not None else layout.dtype))
        for name, layout in target_layouts(build.targets, build.size, build.uv_size).items()
    }


def state_of_files(paths: Iterable[Path]) -> str:
    """What files are now, by their sizes and times: to read them all takes long."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(json.dumps(f"{path} {_status(path)}").encode() + b"\n")
    return digest.hexdigest()


def _status(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def path_of(name: str) -> PurePosixPath:
    """A sample's name as a relative path that leads nowhere else; see `uvgen.storage.names.safe_name`."""
    return PurePosixPath(safe_name(name))


def unhidden(path: str) -> str:
    """A file's path, of which parts that are passed over get ``_`` before them, as uvgen's own and other hidden ones:
    the next run would take it for what a killed one left, or nothing would read it."""
    return "/".join(f"_{part}" if is_passed_over(part) else part for part in path.split("/"))


def npy(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def mat(content: dict[str, Any]) -> bytes:
    """Variables as the bytes of a ``.mat`` file."""
    stream = io.BytesIO()
    scipy.io.savemat(stream, content)
    return _NO_DATE + stream.getvalue()[len(_NO_DATE) :]


def write_uv_files(reader: ShardReader, folder: Path, *weights: str) -> None:
    """What trainers read of a UV map: its weights as PRNet's 8-bit image, under these names, and ``uv_kpt_ind.txt``.

    The latter has two lines of 68 numbers, the landmarks' columns and then their rows.
    """
    image = encode_png(weights_to_gray(reader.constants["weight_mask"]))
    for name in weights:
        (folder / name).write_bytes(image)
    rows, columns = reader.constants["landmark_texels"].T
    lines = [" ".join(map(str, numbers.tolist())) + "\n" for numbers in (columns, rows)]
    (folder / "uv_kpt_ind.txt").write_text("".join(lines), encoding="ascii")
