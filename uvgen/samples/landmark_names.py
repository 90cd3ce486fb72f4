"""Whose a name in a table of landmarks is: folders, stem and suffix as systems and tools write them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from uvgen.storage.folders import IMAGE_SUFFIXES, OTHER_PICTURES
from uvgen.storage.names import brief, same_name

_PICTURES = frozenset((*IMAGE_SUFFIXES, *OTHER_PICTURES))
_OTHER_FILES = frozenset((
    ".asf", ".pts", ".mat", ".npy", ".npz", ".pkl", ".pickle", ".pt", ".pth", ".txt", ".json", ".ljson", ".xml", ".yml",
    ".yaml", ".csv", ".cat", ".lab", ".lms", ".lmk", ".landmarks", ".h5", ".hdf5", ".bin", ".dat", ".obj", ".ply",
    ".mp4", ".avi", ".mov", ".mkv",
))  # fmt: skip

_IMAGE_COLUMNS = (
    "image", "imagename", "imagepath", "imagefile", "imagefilename", "filename", "filepath", "file", "path", "img",
    "imgname", "imgpath", "imgfile", "imgfilename",
)  # fmt: skip
_FURTHER_COLUMNS = ("photo", "photograph", "picture", "input")
_MOST_COLUMNS = 16  # that may name the image
_NAMES_ALONE = ("image", "imagename", "filename", "img")  # of them: others may hold a folder, a camera, a person
_VAGUE_COLUMNS, _ID = ("name", "frame"), "imageid"


def names_image(column: str) -> bool:
    """Whether a table's column, or an object's key, is called as one that names an image."""
    return plain_column(column) in (*_IMAGE_COLUMNS, *_FURTHER_COLUMNS, *_VAGUE_COLUMNS, _ID)


def plain_column(column: str) -> str:
    """What a column or a key is called, without what tools write differently."""
    return column.strip().lower().replace("_", "").replace(" ", "")


def image_key(names: Sequence[str], values: Sequence[Any]) -> int | None:
    """Which of a row's columns, or of an object's keys, names the image; None if there is none.

    Only these do: image, file, path and the like; photo, input and so on, ``name``, ``frame`` and ``image_id`` with a
    picture's name (a suffix), without one of the first or where these are numbers; else ``name`` and ``frame``. Where
    those of the first kind that is there are empty, there is no image. Of several, the one with a picture's name is it,
    unless another may name another picture, as a word does, or a number beside 3.jpg.

    Parameters
    ----------
    names : sequence of str
        Of the columns or keys.
    values : sequence
        The row's cells, or the object's values, as many.

    Raises
    ------
    ValueError
        If it may be more than one.
    """
    plain, texts = [plain_column(name) for name in names], [_text(value) for value in values]
    sure, further, vague, ids = (
        [k for k, name in enumerate(plain) if name in those]
        for those in (_IMAGE_COLUMNS, _FURTHER_COLUMNS, _VAGUE_COLUMNS, (_ID,))
    )
    pictures = {k for k, text in enumerate(texts) if text and is_picture(text)}
    if sure and all(texts[k] == "" for k in sure):
        return sure[0]
    found = [k for k in sure if texts[k] != ""]
    if all((texts[k] or "").isdecimal() for k in found):  # which may be numbers of rows
        others = (*further, *vague, *ids) if not found else further
        found = sorted([*found, *(k for k in others if k in pictures)])
    found = found or vague
    if not found:
        return None
    if len(found) > _MOST_COLUMNS:
        raise _ambiguous(names, *found[:2])
    best = max(found, key=lambda k: (k in pictures, k in sure, len(texts[k] or "")))
    for k in found:
        if k != best and (best not in pictures or _may_be_another(texts[best] or "", texts[k])):
            raise _ambiguous(names, k, best)
    return best


def image_column(head: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    """Which column names the image in the rows of a table, as `image_key` finds it in each; None if there is none.

    ValueError if it may be more than one.
    """
    named = [k for k, name in enumerate(head) if names_image(name)]
    names = [head[k] for k in named]
    cells = [[row[k] for k in named] for row in rows if len(row) >= len(head)]
    cells = [those for those in cells if any(cell.strip() for cell in those)] or [names]  # these alone must do
    places = sorted({k for those in cells if (k := image_key(names, those)) is not None})
    if len(places) > 1:
        raise _ambiguous(names, *places[:2])
    return named[places[0]] if places else None


def _ambiguous(names: Sequence[str], *places: int) -> ValueError:
    first, second = (brief(names[k].strip())[:40] for k in sorted(places))
    return ValueError(f"{first} and {second} may both name the image, expected one; rename the other, or leave it out")


def _text(value: Any) -> str | None:
    """What a cell or a value says if it may be a name, "" if it is empty, else None."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _may_be_another(picture: str, text: str | None) -> bool:
    """Whether what is said beside a picture's name may be the name of another picture."""
    if text is None or names_no_picture(text):
        return False
    suffixes = suffix_of(picture), suffix_of(text)
    one, other = (parts_of(name, suffix) for name, suffix in zip((picture, text), suffixes, strict=True))
    if text.isdecimal() and not one[-1].isdecimal():
        return False  # an id
    n = min(len(one), len(other))
    return one[-n:] != other[-n:] or (all(suffixes) and suffixes[0].lower() != suffixes[1].lower())


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

    The key counts for nothing if it is a number, as pandas writes them of rows, and the entry says an image; or if it
    is the name that the entry says with a size, as VGG's annotator writes it. ValueError if it may name two, as where
    the key may be an id as well as the name of a picture that was cut from the one named.
    """
    keys = list(about)
    if key is None:
        return None if (place := image_key(keys, list(about.values()))) is None else about[keys[place]]
    if is_picture(key):
        return key
    if key.isdecimal():
        place = image_key(keys, list(about.values()))
        value = key if place is None else about[keys[place]]
        if place is None or _is_picture(value):
            return value
        is_row = str(int(key)) == key and plain_column(keys[place]) in _NAMES_ALONE and _text(value) not in (None, key)
        return (value or None) if is_row else key
    said = [
        value
        for name in keys
        if isinstance(value := about[name], str) and value
        and ((is_picture(value) and names_image(name)) or plain_column(name) in _NAMES_ALONE)
    ]  # fmt: skip
    if with_size := next(
        (name for name in said if is_picture(name) and key.startswith(name) and key[len(name) :].isdecimal()), None
    ):
        return with_size
    is_path = len(parts_of(key, "")) > 1 or suffix_of(key)
    own = same_name(key)
    if said and not is_path and not any(_is_called(name, own) for name in said):
        raise ValueError(
            f"{brief(key)[:60]} and {brief(said[0])[:60]} may both be its image, expected one; give the keys the "
            "images' suffix, or make the object a list of its entries"
        )
    return key


def _is_picture(value: Any) -> bool:
    return isinstance(value, str) and is_picture(value)


def _is_called(image: str, name: str) -> bool:
    """Whether a picture has a name, as `same_name` gives it, or one that goes on after it, as 1_mask.png of 1."""
    further = parts_of(image, suffix_of(image))[-1].partition(name)
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
        of_subset = f"{subset}/" if len(places[name]) > 1 and subset is not None else ""
        of_task = f"task_{task}/" if len(places[name][subset]) > 1 else ""
        names.append(of_subset + of_task + name)
    return names
