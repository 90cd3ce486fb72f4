"""Finding the videos in a folder, naming their samples, and numbering frames that are files."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from uvgen.errors import DatasetError
from uvgen.fitting.photographs import (
    about_longer_names,
    about_other_kinds,
    about_other_pictures,
    files_below,
    folder_name,
    name_key,
)
from uvgen.fitting.tasks import Photograph
from uvgen.samples.image_folders import VIDEO_SUFFIXES
from uvgen.storage.folders import FIT_INDEX, IMAGE_SUFFIXES
from uvgen.storage.names import brief
from uvgen.storage.reading import irregular

_SAME_NAME = "another video has the same name, expected names that differ in more than suffix or case; rename one"
_INDEX_NAME = f"its folder would have the name of the index, {FIT_INDEX}; rename it"
_OTHER_VIDEOS = (
    ".m2ts", ".m2t", ".m2v", ".vob", ".mxf", ".asf", ".divx", ".f4v", ".3g2", ".ogg", ".rm", ".rmvb", ".insv",
)  # fmt: skip
_DIGITS = re.compile(r"\d+")
_DIGITS_OF_FRACTION = re.compile(r"(?<=\d[.,])\d+")
_COUNTED = 4  # digits of frames' numbers, at least; thousandths have three
_NUMBERS = 1 << 52  # of frames: the times of larger ones, in s, would be equal


def find_videos(root: Path, out: Path) -> tuple[Path, list[Photograph], list[Photograph]]:
    """The videos at a path: a video file, a folder of frames, or a folder of such files and folders.

    Returns the folder that contains the videos, the videos sorted by name, and pictures beside video files which are
    not numbered as frames are: one for each folder, with the reason. Raises DatasetError if there is no video, or the
    path is an image.
    """
    if root.is_file() and root.suffix.lower() in IMAGE_SUFFIXES:
        raise DatasetError(f"{root}: an image, expected a video, or a folder of frames; name the folder of the image")
    if root.exists() and (kind := irregular(root.stat().st_mode)) not in (None, "a folder"):
        raise DatasetError(f"{root}: {kind}, expected a video, or a folder of frames or videos")
    if root.is_file():
        return root.parent, [Photograph(root, folder_name((os.path.splitext(root.name)[0],)))], []
    paths = files_below(root, out, (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES), "a folder of videos")
    files = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    pictures: dict[Path, list[str]] = {}
    for path in paths:
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            pictures.setdefault(path.parent, []).append(path.name)
    beside = {path.parent for path in files}
    folders = {k: names for k, names in pictures.items() if k not in beside or _are_numbered(names)}
    found = [*files, *folders]
    if not found:
        unread = about_other_videos(root, out)
        expected = f"expected {', '.join(VIDEO_SUFFIXES)}, or folders of frames ({', '.join(IMAGE_SUFFIXES)})"
        raise DatasetError(f"{root}: {unread[0] if unread else f'no video in it, {expected}'}")
    videos = []
    for path in found:
        stem = path.name if path in folders else os.path.splitext(path.name)[0]
        parents = path.relative_to(root).parts[:-1]
        videos.append(Photograph(path, folder_name((*parents, stem)), order_problem(folders.get(path, ()))))
    counts = Counter(name_key(video.name) for video in videos)
    videos = [replace(one, problem=_SAME_NAME) if counts[name_key(one.name)] > 1 else one for one in videos]
    videos = [replace(one, problem=_INDEX_NAME) if name_key(one.name) == FIT_INDEX else one for one in videos]
    others = []
    for folder, names in pictures.items():
        if folder not in folders:
            first = folder / names[0]
            why = "a picture beside video files, which is not taken for a frame"
            if names[1:]:
                why = f"the first of {len(names)} pictures beside video files, which are not taken for frames"
            name = folder_name(first.relative_to(root).parts)  # with its suffix: no video's
            others.append(Photograph(first, name, f"{why}; move those of a video into a folder of their own"))
    return root.parent if found == [root] else root, sorted(videos, key=lambda one: (one.name, one.path)), others


def about_other_videos(root: Path, out: Path) -> list[str]:
    """Warnings of videos, and of pictures in folders, of kinds that are not read: see `about_other_pictures`."""
    if not root.is_dir():
        return []
    read = VIDEO_SUFFIXES + IMAGE_SUFFIXES
    found = about_other_kinds(root, out, read, _OTHER_VIDEOS, "a folder of videos", of="video", cure="convert to MP4")
    found += about_longer_names(root, out, VIDEO_SUFFIXES, "a folder of videos", of="video")
    return found + about_other_pictures(root, out)


def _are_numbered(names: Sequence[str]) -> bool:
    """Whether several pictures have names as a video's frames that were written beside it."""
    numbers = frame_numbers([os.path.splitext(name)[0] for name in names])
    return None not in numbers and 1 < len(numbers) == len(set(numbers))


def frame_name(number: int) -> str:
    """The name of a frame's sample in its video's folder; `source_photograph` finds the video by it."""
    return f"frame_{number:06d}"


def frame_files(folder: Path) -> tuple[list[tuple[int, Path]], list[tuple[Path, str]]]:
    """The frames in a folder, sorted by number, and the pictures that have no usable number, each with the reason.

    See `frame_numbers`. Raises OSError if the folder cannot be read.
    """
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(IMAGE_SUFFIXES) and not n.startswith("."))
    numbers = frame_numbers([os.path.splitext(name)[0] for name in names])
    counts = Counter(numbers)
    good, bad = [], []
    for name, number in zip(names, numbers, strict=True):
        path = folder / name
        if number is None:
            bad.append((path, "no number in its name, expected the frame's, as in frame_000123.png"))
        elif number >= _NUMBERS:
            bad.append((path, f"number {brief(number)}, expected a frame's"))
        elif counts[number] > 1:
            others = [other for other, n in zip(names, numbers, strict=True) if n == number and other != name]
            why = f"{brief(others[0])} has the number {number} too, expected one file per frame; remove one"
            bad.append((path, why))
        else:
            good.append((number, path))
    return sorted(good), bad


def frame_numbers(stems: Sequence[str]) -> list[int | None]:
    """The numbers of frames by their names without suffix; None if a name has no number.

    If names hold several numbers, the one that differs most from name to name counts, the last one of several such.
    """
    groups = [_DIGITS.findall(stem) for stem in stems]
    usual, place = _place_of_numbers(groups)
    return [int(group[place if len(group) == usual else -1]) if group else None for group in groups]


def _place_of_numbers(groups: Sequence[Sequence[str]]) -> tuple[int, int]:
    """How many numbers most of the names hold that hold some, and which of these counts, from 0 on."""
    lengths = Counter(len(group) for group in groups if group)
    if not lengths:
        return 0, 0
    usual = max(lengths, key=lambda n: (lengths[n], n))
    columns = zip(*(map(int, group) for group in groups if len(group) == usual), strict=True)
    different = [len(set(column)) for column in columns]
    return usual, usual - 1 - different[::-1].index(max(different))


def _is_counter(texts: Sequence[str]) -> bool:
    """Whether numbers count frames: all different, and with zeros to four digits or more, or in equal steps."""
    numbers = sorted(map(int, texts))
    steps = {after - before for before, after in pairwise(numbers)}
    return 0 not in steps and (len(steps) == 1 or (len(set(map(len, texts))) == 1 and len(texts[0]) >= _COUNTED))


def order_problem(names: Sequence[str]) -> str:
    """What is wrong with the names of a video's frames if all numbers in them tell another order than `frame_numbers`.

    "" if nothing is. So it is where names are times: 1.001 has fewer thousandths than 0.033, and 01-08 fewer seconds
    than 00-59. A counter tells the order, whatever stands before it: a camera, or how sure a detector was.
    """
    stems = [os.path.splitext(name)[0] for name in names]
    groups = [_DIGITS.findall(stem) for stem in stems]
    usual, place = _place_of_numbers(groups)
    of_one = {k: group for k, group in enumerate(groups) if group and len(group) == usual}
    if _is_counter([group[place] for group in of_one.values()]):
        return ""
    counts = Counter(int(group[place]) for group in of_one.values())
    fractions = [_DIGITS_OF_FRACTION.findall(stems[k]) for k in of_one]
    columns = []
    for column in range(place + 1):
        texts = [group[column] for group in of_one.values()]
        shortest = min(map(len, texts), default=0)
        is_padded = any(text[0] == "0" and len(text) > shortest for text in texts)  # 0.033 and 0.1: no whole numbers
        is_fraction = is_padded and all(text in found for text, found in zip(texts, fractions, strict=True))
        columns.append([float(f"0.{text}") if is_fraction else int(text) for text in texts])
    keys = {k: [column[at] for column in columns] for at, k in enumerate(of_one)}
    order = sorted((int(group[place]), k) for k, group in of_one.items() if counts[int(group[place])] == 1)
    swapped = next(((a, b) for (_, a), (_, b) in pairwise(order) if keys[a] > keys[b]), None)
    if swapped is None:
        return ""
    before, after = (brief(names[k]) for k in swapped)
    return (
        f"frame {before} would come before {after} by the number in their names that differs most, expected names with "
        "one number that counts, as in frame_000123.png; rename them"
    )
