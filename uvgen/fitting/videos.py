"""The videos in a folder, what their samples are called, and the numbers of frames that are files."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from uvgen.errors import DatasetError
from uvgen.fitting.photographs import files_below, folder_name, name_key
from uvgen.fitting.worker import Photograph
from uvgen.samples.find import IMAGE_SUFFIXES
from uvgen.storage.folders import FIT_INDEX
from uvgen.storage.names import brief

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".ogv", ".3gp",
)  # fmt: skip
"""By which videos are found in a folder; one that is named itself may have any."""

_SAME_NAME = "another video has the same name, expected names that differ in more than suffix or case; rename one"
_INDEX_NAME = "its folder would be called as the index of all; rename it"
_DIGITS = re.compile(r"(\d+)")


def find_videos(root: Path, out: Path) -> tuple[Path, list[Photograph]]:
    """The videos that a path leads to: itself, a file or a folder of frames, or those in a folder.

    Returns the folder that their paths are below, and the videos by name. Raises DatasetError where there is none.
    """
    if root.is_file():
        return root.parent, [Photograph(root, folder_name((os.path.splitext(root.name)[0],)))]
    paths = files_below(root, out, (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES), "a folder of videos")
    files = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    folders = dict.fromkeys(path.parent for path in paths if path.suffix.lower() not in VIDEO_SUFFIXES)
    found = [*files, *folders]
    if not found:
        raise DatasetError(
            f"{root}: no video in it, expected {', '.join(VIDEO_SUFFIXES)}, or folders of frames "
            f"({', '.join(IMAGE_SUFFIXES)})"
        )
    videos = []
    for path in found:
        stem = path.name if path in folders else os.path.splitext(path.name)[0]
        parents = path.relative_to(root).parts[:-1]
        videos.append(Photograph(path, folder_name((*parents, stem))))
    counts = Counter(name_key(video.name) for video in videos)
    videos = [replace(one, problem=_SAME_NAME) if counts[name_key(one.name)] > 1 else one for one in videos]
    videos = [replace(one, problem=_INDEX_NAME) if name_key(one.name) == FIT_INDEX else one for one in videos]
    return (root.parent if root in folders else root), sorted(videos, key=lambda one: (one.name, one.path))


def frame_name(number: int) -> str:
    """Of a frame's sample in its video's folder; `uvgen.samples.find.source_photograph` knows it."""
    return f"frame_{number:06d}"


def frame_files(folder: Path) -> tuple[list[tuple[int, Path]], list[tuple[Path, str]]]:
    """The frames in a folder by their numbers, and the files that are none, each with what is wrong.

    A frame's number is the last in its name that differs from frame to frame. OSError where the folder cannot be read.
    """
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(IMAGE_SUFFIXES) and not n.startswith("."))
    numbers = frame_numbers([os.path.splitext(name)[0] for name in names])
    counts = Counter(numbers)
    good, bad = [], []
    for name, number in zip(names, numbers, strict=True):
        path = folder / name
        if number is None:
            bad.append((path, "no number in its name, expected the frame's, as in frame_000123.png"))
        elif number >= 1 << 53:
            bad.append((path, f"number {brief(number)}, expected a frame's"))
        elif counts[number] > 1:
            others = [other for other, n in zip(names, numbers, strict=True) if n == number and other != name]
            bad.append((path, f"{brief(others[0])} has the number {number} too, expected one file a frame; remove one"))
        else:
            good.append((number, path))
    return sorted(good), bad


def frame_numbers(stems: Sequence[str]) -> list[int | None]:
    """Of frames by their names without suffix; None where a name has none."""
    groups = [_DIGITS.findall(stem) for stem in stems]
    place = -1
    shared = Counter(len(group) for group in groups if group)
    if shared:
        usual = max(shared, key=lambda n: (shared[n], n))
        alike = [group for group in groups if len(group) == usual]
        differ = [k for k in range(usual) if len({int(group[k]) for group in alike}) > 1]
        most = max((len({int(group[k]) for group in alike}) for k in differ), default=0)
        place = max((k for k in differ if len({int(group[k]) for group in alike}) == most), default=usual - 1)
        return [int(g[place]) if len(g) == usual else int(g[-1]) if g else None for g in groups]
    return [None] * len(stems)
