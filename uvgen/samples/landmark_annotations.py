"""Landmarks of many images as annotation tools write them into JSON: COCO's, CVAT's Datumaro and plain objects.

`landmark_tables.py` says what each holds, `landmark_xml.py` reads CVAT's XML.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.samples.landmark_names import image_of, is_picture, named_by_place, names_image
from uvgen.samples.landmark_rows import Entry, image_size, size_keys, size_of_image
from uvgen.samples.landmark_schemes import (
    FaceLandmarks,
    check_unnumbered,
    face_of,
    flag_scores,
    given_scores,
    scores_in,
    stated_scores,
)
from uvgen.storage.names import brief
from uvgen.storage.plain_json import are_numbers, parse_json
from uvgen.wording import count

CVAT_CENTER = 0.5
"""Where CVAT has the middle of the first pixel, px."""

OCCLUDED = 0.5
"""The score of a point that is marked as occluded."""

_MOST_TRIED = 8  # categories
_NUMBERED = re.compile(r"(.*?)([0-9]{1,5})[ .]*", re.DOTALL)
_POINTS = ("landmarks", "points", "keypoints")  # what plain JSON calls those of a face
_SCORES = ("keypoint_scores", "confidence", "confidences", "visibility")  # what it may call their scores
_SHAPES = ("points", "skeleton")  # what CVAT calls those of landmarks


def json_entries(path: Path, text: str) -> Iterator[Entry]:
    """Landmarks of images from JSON: COCO's, Datumaro's, or plain objects; InputError if it is none of them."""
    try:
        content = parse_json(text, nan=None)
    except ValueError as error:
        raise InputError(f"{path}: not readable JSON ({brief(error)}), expected landmarks of images") from error
    try:
        if isinstance(content, dict) and isinstance(content.get("annotations"), list) and "images" in content:
            yield from _coco(path, content)
        elif isinstance(content, dict) and isinstance(content.get("items"), list):
            yield from _datumaro(path, content)
        else:
            yield from _plain(path, content)
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: its layout is not known ({type(error).__name__}: {brief(error)[:80]}), expected COCO's "
            'keypoints, CVAT\'s Datumaro, or {"a.jpg": [[x, y], …]}'
        ) from error


def _coco(path: Path, content: Mapping[str, Any]) -> Iterator[Entry]:
    names: dict[str, str] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    marked: set[str] = set()
    orders: dict[tuple[str, int], list[int]] = {}  # by category and number of points: many annotations share them
    labels = _labels_by(path, "id", "keypoints", content.get("categories"))
    for image in content["images"]:
        key, name = _id(image["id"]), str(image["file_name"])
        if names.setdefault(key, name) != name:
            raise InputError(
                f"{path}: image {brief(key)[:60]} is {brief(names[key])[:60]} and {brief(name)[:60]}, expected an id "
                "for each image; were files put together?"
            )
        sizes[key] = image_size(image.get("width"), image.get("height"))
    several = _of_several_sizes(names, sizes)
    for number, annotation in enumerate(content["annotations"]):
        if not _any_labeled(annotation.get("keypoints")):  # a box alone
            continue
        source = f"{path}, annotation {brief(annotation.get('id', number))[:60]}"
        key = _id(annotation["image_id"])
        if key not in names:
            raise InputError(f"{source}: of image {brief(key)[:60]}, expected one that it lists")
        marked.add(key)

        def read(annotation: Mapping[str, Any] = annotation, source: str = source, key: str = key) -> FaceLandmarks:
            if names[key] in several:
                raise InputError(
                    f"{source}: images of several sizes are called {brief(names[key])[:60]}, expected one; name their "
                    "folders"
                )
            values = _array(source, annotation["keypoints"])
            if values.ndim != 1 or len(values) % 3:
                raise InputError(f"{source}: {count(values.size, 'number')}, expected x, y, v of each keypoint")
            rows = values.reshape(-1, 3)
            kind = _number(annotation.get("category_id")), len(rows)
            order = orders.get(kind) or _order_of(source, labels, *kind)
            if kind[0] in labels:
                orders[kind] = order
            rows = rows[order]
            points, flags = rows[:, :2], rows[:, 2]
            scores = flag_scores(flags)
            scores = flags if scores is None else scores
            return face_of(points, scores, source, box=_box(source, annotation.get("bbox")), image_size=sizes[key])

        yield names[key], read
    yield from ((name, None) for key, name in names.items() if key not in marked)


def _of_several_sizes(names: Mapping[str, str], sizes: Mapping[str, tuple[int, int] | None]) -> set[str]:
    """Names of which the images, by their numbers, cannot be one."""
    found: dict[str, set[tuple[int, int]]] = {}
    for key, name in names.items():
        if (size := sizes[key]) is not None:
            found.setdefault(name, set()).add(size)
    return {name for name, those in found.items() if len(those) > 1}


def _any_labeled(keypoints: Any) -> bool:
    """Whether an annotation of COCO's has keypoints, and not all a v of 0, which those have that are not labeled."""
    if not isinstance(keypoints, list) or len(keypoints) % 3:
        return bool(keypoints)
    return any(v != 0 for v in keypoints[2::3])


def _datumaro(path: Path, content: Mapping[str, Any]) -> Iterator[Entry]:
    labels, element_names = _labels_of_datumaro(path, content), _names_of_elements(content)
    pictures = [item.get("image") or {} for item in content["items"]]
    names = named_by_place([
        (str(picture.get("path") or item["id"]), str(item["subset"]) if item.get("subset") else None, None)
        for item, picture in zip(content["items"], pictures, strict=True)
    ])  # fmt: skip
    for item, picture, name in zip(content["items"], pictures, names, strict=True):
        stated = picture.get("size")
        size = image_size(stated[1], stated[0]) if isinstance(stated, list) and len(stated) == 2 else None
        if not any(annotation.get("type") in _SHAPES for annotation in item.get("annotations", [])):
            yield name, None
        for number, annotation in enumerate(item.get("annotations", [])):
            source = f"{path}, item {brief(item['id'])[:60]}, annotation {number}"
            if annotation.get("type") == "points":
                parts = [annotation]
            elif annotation.get("type") == "skeleton":
                parts = list(annotation.get("elements", []))
            else:
                continue

            def read(
                parts: Sequence[Mapping[str, Any]] = parts, source: str = source, size: Any = size
            ) -> FaceLandmarks:
                if len(parts) > 1:
                    parts = [
                        parts[k]
                        for k in by_number(
                            source, [element_names.get(_number(one.get("label_id")), "") for one in parts]
                        )
                    ]
                points = _array(source, [v for part in parts for v in part["points"]])
                flags = [v for part in parts for v in part.get("visibility") or [2] * (len(part["points"]) // 2)]
                seen = _array(source, [{"absent": 0, "hidden": 1, "visible": 2}.get(str(v), v) for v in flags])
                if points.size % 2 or len(seen) != points.size // 2:
                    raise InputError(
                        f"{source}: {count(points.size, 'number')}, {len(seen)} visibilities, expected x, y of each"
                    )
                scores = np.select([seen == 1, seen == 2], [OCCLUDED, 1.0], 0.0)
                order = list(range(len(seen)))
                if len(parts) == 1 and (label := _number(parts[0].get("label_id"))) in labels:  # not all have points
                    order = _order_of(source, labels, label, len(seen))
                return face_of(
                    points.reshape(-1, 2)[order] - CVAT_CENTER, scores[order], source, image_size=size
                )  # fmt: skip

            yield name, read


def _plain(path: Path, content: Any) -> Iterator[Entry]:
    content = _listed(content)
    entries = content.items() if isinstance(content, dict) else [(None, entry) for entry in content]
    listed: list[tuple[str, dict[Any, Any], Any]] = []
    for number, (name, entry) in enumerate(entries):
        about = entry if isinstance(entry, dict) else {"landmarks": entry}
        try:
            name = image_of(name, about)
        except ValueError as error:
            raise InputError(f"{path}: entry {number}: {error}") from None
        points = next((about[key] for key in _POINTS if key in about), None)
        if not isinstance(name, str) or not isinstance(points, list | None):
            raise _incomplete(path, number)
        listed.append((name, about, points))
    if listed and all(points is None for _, _, points in listed):
        raise _incomplete(path, 0)
    for name, about, points in listed:

        def read(about: Mapping[str, Any] = about, points: Any = points, name: str = name) -> FaceLandmarks:
            source = f"{path}, {brief(name)[:80]}"
            if points is None:  # where a program found no face
                raise InputError(f"{source}: no landmarks, expected [[x, y], …]")
            if another := [key for key in _POINTS if _are_others(points, about.get(key))]:
                raise InputError(f"{source}: other points as {another[0]}, of as many, expected one of them")
            values = _array(source, points)
            if values.ndim == 1 and values.size % 2 == 0:
                values = values.reshape(-1, 2)
            if values.ndim != 2 or values.shape[1] not in (2, 3):
                shown = " × ".join(map(str, values.shape))
                raise InputError(f"{source}: {shown} numbers, expected [[x, y], …]; one entry a face")
            check_unnumbered(values, source)
            scores = _other_scores(about, values) if about.get("scores") is None else _array(source, about["scores"])
            if scores is not None and scores.shape != (len(values),):
                raise InputError(
                    f"{source}: {count(scores.size, 'score')} of {count(len(values), 'point')}, expected one each"
                )
            scores = None if scores is None else given_scores(scores, source)
            box = _box(source, about.get("box", about.get("bbox")))
            return face_of(values[:, :2], scores, source, box=box, image_size=_plain_size(about, values[:, :2]))

        yield name, read


def _other_scores(about: Mapping[str, Any], values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Scores that an entry states under another name, or as a third column, where they can be nothing else.

    Of "visibility", COCO's flags alone are: a 0 beside 1 may be of a point that is hidden, and yet in its place.
    """
    for key in _SCORES:
        stated = about.get(key)
        if isinstance(stated, list) and len(stated) == len(values) and are_numbers(stated):
            with suppress(ValueError, TypeError, OverflowError):
                numbers = np.array(stated, np.float64)
                found = flag_scores(numbers) if key == "visibility" else stated_scores(numbers)
                if found is not None:
                    return found
    return scores_in(values)


def _plain_size(about: Mapping[str, Any], points: NDArray[np.float64]) -> tuple[int, int] | None:
    """The image's size that an entry states: by names of its sides, or as two numbers, in whose order files differ."""
    keys = list(about)
    if (sides := size_keys([str(key) for key in keys])) is not None:
        return size_of_image(str(keys[sides[0]]), [about[keys[k]] for k in sides], points)
    both = about.get("image_size")
    return image_size(*both) if isinstance(both, list) and len(both) == 2 and both[0] == both[1] else None


def _listed(content: Any) -> Any:
    """The entries of JSON: a list, or an object by images, also where it lies under a name beside other things."""
    lists = [
        value
        for key, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(value, list) and value and not is_picture(key)
        and all(isinstance(entry, dict) and any(map(names_image, entry)) for entry in value)
    ]  # fmt: skip
    return lists[0] if len(lists) == 1 else content


def _are_others(points: list[Any], other: Any) -> bool:
    """Whether an entry's points are as many numbers as those under another key, and other ones, not rounded alone."""
    if other is points or not isinstance(other, list) or not are_numbers(points) or not are_numbers(other):
        return False
    try:
        apart = np.array(points, np.float64) - np.array(other, np.float64)
    except (ValueError, TypeError, OverflowError):  # of other lengths
        return False
    return bool(np.abs(apart[~np.isnan(apart)]).max(initial=0) > 1)


def _incomplete(path: Path, number: int) -> InputError:
    return InputError(f'{path}: entry {number} has no "image" or no "landmarks", expected both')


def by_number(source: str, labels: Sequence[str]) -> list[int]:
    """The order of points by their labels if all of these are numbers, or end with one after the same word; else as
    they stand.

    Tools list the points of a skeleton in the order in which they were drawn, or by their labels as text: 1, 10, 11, 2.
    InputError if two points have the same number.
    """
    matches = [match for label in labels if (match := _NUMBERED.fullmatch(label))]
    if len(matches) < len(labels) or len({match[1].strip().lower() for match in matches}) > 1:
        return list(range(len(labels)))
    numbers = [int(match[2]) for match in matches]
    if len(set(numbers)) < len(numbers):
        twice = Counter(numbers).most_common(1)[0][0]
        raise InputError(f"{source}: two points are called {twice}, expected each number once")
    return sorted(range(len(numbers)), key=numbers.__getitem__)


def _order_of(source: str, labels: Mapping[str, list[str]], number: str, n: int) -> list[int]:
    """The order of n points by what the category with a number calls them; as they stand if it does not say it.

    InputError if there is no such category, and others have as many points in another order than they stand.
    """
    if number in labels:
        return by_number(source, labels[number]) if len(labels[number]) == n else list(range(n))
    others = islice(labels.values(), _MOST_TRIED)
    if any(len(names) == n and by_number(source, names) != list(range(n)) for names in others):
        raise InputError(
            f"{source}: of category {brief(number)[:40]}, expected one that the file lists, for the order of the points"
        )
    return list(range(n))


def _labels_by(path: Path, key: str, labels: str, items: Any) -> dict[str, list[str]]:
    """What items call their points, by the number that each has under a key; those that do not say it are left out.

    InputError if two items have one number and call their points otherwise.
    """
    found: dict[str, list[str]] = {}
    for item in items if isinstance(items, list) else []:
        called = item.get(labels) if isinstance(item, dict) else None
        if isinstance(called, list):
            number, names = _number(item.get(key)), [str(label) for label in called]
            if found.setdefault(number, names) != names and item.get(key) is not None:
                raise InputError(
                    f"{path}: two categories have the {key} {brief(number)[:40]} and name other points, expected one "
                    "each; were files put together?"
                )
    return found


def _labels_of_datumaro(path: Path, content: Mapping[str, Any]) -> dict[str, list[str]]:
    """What Datumaro's categories call the points of an annotation, by its label's number."""
    items: Any = content
    for key in ("categories", "points", "items"):
        items = items.get(key) if isinstance(items, dict) else None
    return _labels_by(path, "label_id", "labels", items)


def _names_of_elements(content: Mapping[str, Any]) -> dict[str, str]:
    """What Datumaro's categories call the elements of skeletons, by their labels' numbers."""
    labels: Any = content
    for key in ("categories", "label", "labels"):
        labels = labels.get(key) if isinstance(labels, dict) else None
    names = [str(one.get("name", "")) if isinstance(one, dict) else "" for one in labels or []]
    return {str(k): name for k, name in enumerate(names)}


def _id(value: Any) -> str:
    """What tells an image from the others, whole, 1 and 1.0 being one; LookupError if it is no text or number."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise LookupError(f"an id of {brief(value)[:60]}")
    return _number(value)


def _number(value: Any) -> str:
    """An id or what stands in its place, as text; 1 and 1.0 are one."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _array(source: str, values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not are_numbers(values):
        raise InputError(f"{source}: {brief(values)[:60]}, expected numbers")
    try:
        return np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{source}: {brief(values)[:60]}, expected numbers") from None


def _box(source: str, value: Any) -> Any:
    box = None if value is None else _array(f"{source}, its box", value)
    return box if box is None or (box.shape == (4,) and np.isfinite(box).all()) else None
