"""Whose a name in a table of landmarks is: folders, stem and suffix as systems and tools write them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from uvgen.storage.folders import IMAGE_SUFFIXES
from uvgen.storage.names import brief, same_name

_PICTURES = frozenset((
    *IMAGE_SUFFIXES, ".jpe", ".jfif", ".dib", ".tif", ".tiff", ".gif", ".heic", ".heif", ".hif", ".avif", ".jp2",
    ".jxl", ".ppm", ".pgm", ".pnm", ".tga", ".psd", ".mpo", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf",
    ".rw2", ".pef", ".srw",
))  # fmt: skip
_OTHER_FILES = frozenset((
    ".asf", ".pts", ".mat", ".npy", ".npz", ".pkl", ".pickle", ".pt", ".pth", ".txt", ".json", ".ljson", ".xml", ".yml",
    ".yaml", ".csv", ".cat", ".lab", ".lms", ".lmk", ".landmarks", ".h5", ".hdf5", ".bin", ".dat", ".obj", ".ply",
    ".mp4", ".avi", ".mov", ".mkv",
))  # fmt: skip

_IMAGE_COLUMNS = ("image", "imagename", "imagepath", "filename", "filepath", "file", "path", "img")
_OTHER_COLUMNS = ("imgpath", "imgname", "imgfile", "imagefile", "photo", "photograph", "picture")
_VAGUE_COLUMNS = ("name", "frame")


def names_image(column: str) -> bool:
    """Whether a table's column, or an object's key, is called as one that names an image."""
    return plain_column(column) in (*_IMAGE_COLUMNS, *_OTHER_COLUMNS, *_VAGUE_COLUMNS)


def plain_column(column: str) -> str:
    """What a column or a key is called, without what tools write differently."""
    return column.strip().lower().replace("_", "").replace(" ", "")


def image_key(names: Sequence[str], values: Sequence[Any] = ()) -> int | None:
    """Which of a table's columns, or of an object's keys, names the image; None if there is none.

    ``name`` and ``frame`` may be of a person, or a number: they count for nothing beside a column that says image or
    file, or beside any whose value is a picture's name if theirs is none.

    Parameters
    ----------
    names : sequence of str
        Of the columns or keys.
    values : sequence
        The cells of a row, or the object's values.

    Raises
    ------
    ValueError
        If it may be more than one.
    """
    plain = [plain_column(name) for name in names]
    texts = [value.strip() if isinstance(value, str) else "" for value in (*values, *("",) * len(names))]
    sure, other, vague = (
        [k for k, name in enumerate(plain) if name in those]
        for those in (_IMAGE_COLUMNS, _OTHER_COLUMNS, _VAGUE_COLUMNS)
    )
    pictures = [k for k in range(len(names)) if is_picture(texts[k])]
    found = sure or [k for k in other if k in pictures] or [k for k in vague if k in pictures] or other
    if not found:
        called = [k for k in vague if any(_may_be_called(texts[one], texts[k], plain[k]) for one in pictures)]
        found = [*called, *pictures] or vague
    if len(found) > 1:
        first, second = (brief(names[k].strip())[:40] for k in found[:2])
        raise ValueError(f"{first} and {second} may both name the image, expected one; leave the other out")
    return found[0] if found else None


def _may_be_called(picture: str, name: str, column: str) -> bool:
    """Whether a name without suffix may be of an image of which a picture in another column was made, as a mask."""
    is_counted = column == "frame" and name.isdecimal()
    return bool(name) and not is_counted and stem_of(picture) != stem_of(name) and _is_called(picture, name)


def stem_of(name: str) -> str:
    """A path's last part, without the suffix that it has."""
    return parts_of(name, suffix_of(name))[-1]


def names_no_picture(name: str) -> bool:
    """Whether a name is that of a file of another kind, such as a video's."""
    return os.path.splitext(name.strip())[1].lower() in _OTHER_FILES


def suffix_of(name: str) -> str:
    """The suffix of a name in a table: a picture's, also with more behind it as in a.jpg_original, or another file's.

    What else follows a point is part of the name, of which the suffix was left out: portrait.left, J. Smith, face_0.5.
    """
    suffix = os.path.splitext(name.replace("\\", "/"))[1]
    small = suffix.lower()
    return suffix if small in _PICTURES or small in _OTHER_FILES or small.startswith(IMAGE_SUFFIXES) else ""


def is_picture(name: str) -> bool:
    """Whether a name is a picture's file's."""
    return os.path.splitext(name)[1].lower() in _PICTURES


def parts_of(name: str, suffix: str) -> tuple[str, ...]:
    """A path's parts, the last without the suffix that it has, whatever system wrote it."""
    parts = [same_name(part) for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return (*parts[:-1], parts[-1].removesuffix(suffix)) if parts else ("?",)


def image_of(key: str | None, about: Mapping[str, Any]) -> Any:
    """The image that an entry of JSON is of: in a list what it says itself, in an object its key.

    The key counts for nothing if it is a number of a row, as pandas writes them, or the name with a size, as VGG's
    annotator does: the entry says the image then. ValueError if it may name two, as where the key may be an id as well
    as the name of a picture that was cut from the one named.
    """
    keys = list(about)
    if key is None:
        return None if (place := image_key(keys, list(about.values()))) is None else about[keys[place]]
    if is_picture(key):
        return key
    values = [about[name] for name in keys if names_image(name)]
    said = [name for name in values if isinstance(name, str) and is_picture(name)]
    if said and key.isdecimal():
        place = image_key(keys, list(about.values()))
        return key if place is None else about[keys[place]]
    if with_size := next((name for name in said if key.startswith(name) and key[len(name) :].isdecimal()), None):
        return with_size
    is_path = len(parts_of(key, "")) > 1 or suffix_of(key)
    if said and not is_path and not any(_is_called(name, key) for name in said):
        raise ValueError(
            f"{brief(key)[:60]} and {brief(said[0])[:60]} may both be its image, expected one; give the keys the "
            "images' suffix, or make the object a list of its entries"
        )
    return key


def _is_called(image: str, key: str) -> bool:
    """Whether a picture has a name, or one that goes on after it, as a mask's: 1_mask.png of 1."""
    further = parts_of(image, suffix_of(image))[-1].partition(same_name(key))
    return not further[0] and bool(further[1]) and not further[2][:1].isalnum()


def named_by_place(images: Sequence[tuple[str, str | None, str | None]]) -> list[str]:
    """Names of images, of which those that several images have get their subset ahead, and the number of their task if
    several tasks of it have one of the name.

    CVAT's projects have them: it puts the images themselves into folders called as the subsets.
    """
    places: dict[str, dict[str | None, set[str | None]]] = {}
    for name, subset, task in images:
        places.setdefault(name, {}).setdefault(subset, set()).add(task)
    names = []
    for name, subset, task in images:
        ahead = f"{subset}/" * (len(places[name]) > 1) + f"task_{task}/" * (len(places[name][subset]) > 1)
        names.append(ahead + name)
    return names
