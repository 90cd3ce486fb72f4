"""Deep3DFaceRecon_pytorch's training data: whole images, since its data set aligns faces itself, to 224 px.

| file | holds |
| --- | --- |
| ``X.jpg`` or ``X.png`` | the image; X is the sample's name, with ``-`` for ``/`` |
| ``detections/X.txt`` | five points, x y a line, y **down**: eyes (left in the picture first), nose, mouth |
| ``landmarks/X.txt`` | iBUG's 68 points, y **up** from the last row: H - 1 - row |
| ``mask/X.jpg`` or ``.png`` | `uvgen.images.skin.skin_mask` in three equal channels, under the image's own name |
| ``datalist/train``, ``datalist/val`` | ``masks.txt``, ``landmarks.txt`` and ``images.txt``: paths below the folder |

Train with ``--data_root FOLDER --flist FOLDER/datalist/train/masks.txt --flist_val FOLDER/datalist/val/masks.txt``. It
makes the other paths from a mask's by removing ``mask/`` and by putting ``landmarks`` for ``mask``, so that no other
part of them may contain "mask": in names it is written "msk", and a FOLDER whose path contains it is refused.
``names.txt`` says which X is which sample.

Landmarks are the data set's labels in the image as it is stored; images are copied to the byte, but for those that
were turned by their EXIF orientation, and those that are neither JPEG nor PNG.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.cropped import check_cropped_from
from uvgen.datasets.export.common import Part, Skipped, each, path_of, state_of_files
from uvgen.datasets.quality.annotations import in_image
from uvgen.datasets.quality.plausible import odd_numbers
from uvgen.datasets.splits import train_and_val
from uvgen.errors import InputError, SampleError
from uvgen.images.codecs import encode_png
from uvgen.images.jpeg import encode_jpeg
from uvgen.images.png_rows import is_transparent, without_texts
from uvgen.images.skin import skin_mask
from uvgen.samples.files import check_machine, check_still_there, source_path
from uvgen.samples.find import Sample, folder_of
from uvgen.samples.map_files import IMAGE_SHIFTS
from uvgen.samples.read import read_picture as read_whole
from uvgen.shards.reader import ShardReader
from uvgen.storage.kinds import describe_bytes
from uvgen.storage.names import printable, shortened, unencodable
from uvgen.wording import typed

FIVE_OF_68 = ((36, 39), (42, 45), (30,), (48,), (54,))
"""Landmarks whose mean is each of the five points."""

_KINDS = {"a JPEG image": ".jpg", "a PNG image": ".png"}


class Picture(NamedTuple):
    """An image to write: its pixels, its file's bytes, and the ending of its name."""

    pixels: NDArray[np.uint8]
    data: bytes
    suffix: str


def key(name: str) -> str:
    """The name of a sample's files: in one folder, without "mask", not hidden."""
    flat = str(path_of(name)).replace("/", "-").replace("mask", "msk")
    return shortened(f"_{flat}" if flat.startswith(".") else flat, name)


def check_set(reader: ShardReader, out: Path, *, data: Path | str) -> None:
    """Raise InputError if there are no images, the samples are augmented copies, or `out` is named in the way."""
    if not folder_of(data).is_dir():
        raise InputError(f"data: {data} is not there, expected the folder of images that the set was built from")
    if reader.config.augmentation is not None:
        raise InputError(
            f"{reader.folder}: holds augmented copies, expected the set that they were made of: Deep3D's data set "
            "takes whole images, and augments them itself"
        )
    check_out(out)


def check_out(out: Path) -> None:
    """Raise InputError if the path of the folder, its own name or that of one around it, breaks the trainer's paths."""
    if "mask" in str(out):
        raise InputError(
            f"out: {out}, expected a path without 'mask', which Deep3D's data set replaces in all of it; choose "
            "another folder"
        )


def inputs(reader: ShardReader, *, data: Path | str) -> str:
    """What the images are now: an interrupted export goes on neither with others, nor without those repaired since."""
    root = Path(os.path.abspath(folder_of(data)))
    sources = reader.gather(range(len(reader)), ["source"])["source"]
    return state_of_files(_file_of(root, source, data) for source in sources)


def _file_of(root: Path, source: str, data: Path | str) -> Path:
    try:
        return source_path(root, source, data)
    except SampleError:  # which no file is read for
        return root


def write(reader: ShardReader, part: Part, folder: Path, quality: int, *, data: Path | str) -> list[Skipped]:
    """Write the files of a shard's samples; those are left out whose image is missing, damaged or another one."""
    skipped = []
    root = folder_of(data)
    for number in each(part):
        sample = reader[number]
        try:
            if wrong := odd_numbers(sample):
                raise SampleError(f"{wrong}; run `uvgen verify {typed(reader.folder)}`")
            path = source_path(root, sample["source"], data)
            if why := unencodable(str(path)):
                raise SampleError(f"{path}: {why}")
            if _is_missing(path):
                raise SampleError(f"{path}: no such image, expected the set's; is data another folder?")
            picture = read_picture(path, quality, reader.config.build.exif)
            _check_image(reader, sample, picture.pixels, root)
        except SampleError as error:
            check_machine(error)
            check_still_there(root)
            skipped.append(Skipped(sample["name"], printable(str(error))))
            continue
        points = _landmarks(sample, reader.config.build.convention)
        write_face(folder, key(sample["name"]), picture, five_points(points), points, quality)
    return skipped


def finish(reader: ShardReader, folder: Path, *, data: Path | str) -> None:
    """Write the lists."""
    write_lists(folder, reader.names, *train_and_val(reader.names, reader.folder))


def read_picture(path: Path, quality: int, exif: str) -> Picture:
    """An image of a folder, turned upright if `exif` is "apply"; SampleError if it cannot be read."""
    read = read_whole(Sample(path.name, "", path, None), exif=exif, decode="full")
    pixels, data = read.pixels, read.data  # of one read: the file may be replaced meanwhile
    suffix = _KINDS.get(describe_bytes(data), "")
    turned = exif == "apply" and read.orientation > 1
    if suffix and not turned and not (suffix == ".png" and is_transparent(data)):  # which Deep3D would not lay on black
        return Picture(pixels, without_texts(data) if suffix == ".png" else data, suffix)  # which Pillow may refuse
    if suffix == ".jpg":
        return Picture(pixels, encode_jpeg(pixels, quality), suffix)
    return Picture(pixels, encode_png(pixels), ".png")


def five_points(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The five points (5, 2) of iBUG's 68, (68, 2), in the same frame."""
    return np.array([landmarks[list(of)].mean(axis=0) for of in FIVE_OF_68])


def write_face(
    folder: Path, stem: str, picture: Picture, five: NDArray[np.float64], landmarks: NDArray[np.float64] | None,
    quality: int,
) -> None:  # fmt: skip
    """Write the files of a face; without landmarks if there are none. Points are image px, y down."""
    for name in ("detections", "landmarks", "mask"):
        (folder / name).mkdir(exist_ok=True)
    mask = np.repeat(skin_mask(picture.pixels)[..., None], 3, axis=2)
    is_jpeg = picture.suffix == ".jpg"
    (folder / "mask" / f"{stem}{picture.suffix}").write_bytes(
        encode_jpeg(mask, quality) if is_jpeg else encode_png(mask)
    )
    (folder / "detections" / f"{stem}.txt").write_bytes(_lines(five))
    if landmarks is not None:
        upward = np.column_stack([landmarks[:, 0], len(picture.pixels) - 1 - landmarks[:, 1]])
        (folder / "landmarks" / f"{stem}.txt").write_bytes(_lines(upward))
    (folder / f"{stem}{picture.suffix}").write_bytes(picture.data)


def write_lists(folder: Path, names: Sequence[str], train: Iterable[str], val: Iterable[str]) -> None:
    """Write ``datalist/`` and ``names.txt`` for the samples whose files are in a folder."""
    suffixes = {path.stem: path.suffix for path in (folder / "mask").iterdir()}
    for part, members in (("train", train), ("val", val)):
        place = folder / "datalist" / part
        place.mkdir(parents=True, exist_ok=True)
        stems = [key(name) for name in members]
        for kind, paths in (
            ("masks", [f"mask/{stem}{suffixes[stem]}" for stem in stems]),
            ("landmarks", [f"landmarks/{stem}.txt" for stem in stems]),
            ("images", [f"{stem}{suffixes[stem]}" for stem in stems]),
        ):
            (place / f"{kind}.txt").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    lines = "".join(f"{key(name)} {printable(name)}\n" for name in names)
    (folder / "names.txt").write_text(lines, encoding="utf-8")


def _lines(points: NDArray[np.float64]) -> bytes:
    return "".join(f"{x:.6f} {y:.6f}\n" for x, y in points.tolist()).encode()


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError:  # such as a name that is too long: reading it says so
        return False


def _check_image(reader: ShardReader, sample: dict[str, Any], pixels: NDArray[np.uint8], root: Path) -> None:
    """Raise SampleError unless this is the image that the sample's crop was taken from."""
    path, height = root / sample["source"], int(sample["image_height"])
    if len(pixels) != height:
        raise SampleError(
            f"{path}: {len(pixels)} px high, expected {height} px as the set's image has; is it another's?"
        )
    try:
        check_cropped_from(path, pixels, sample["image_to_crop"], sample["image"], reader.config.build)
    except SampleError as error:
        raise SampleError(f"{error}; name the folder that the set was built from") from error


def _landmarks(sample: dict[str, Any], convention: str) -> NDArray[np.float64]:
    """The labels' landmarks (68, 2) in the image, exact."""
    shift = np.array(IMAGE_SHIFTS[convention])
    size = len(sample["image"])
    points = in_image(sample["landmarks"][None], sample["image_to_crop"][None], np.zeros(1, np.bool_), size)
    exact: NDArray[np.float64] = points[0] - shift
    return exact
