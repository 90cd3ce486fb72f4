"""One file of landmarks for many images: CSV, JSON, CVAT's XML, WFLW's lists.

| file | holds | first pixel |
| --- | --- | --- |
| CSV | a row per face; with a header: the image's column, ``x_0``, ``y_0`` … (also ``x1``, ``0_x``, ``score_0``); \
without: image, x, y, x, y … | 0 |
| COCO | `images` and `annotations` with `keypoints` x, y, v: v = 0 is unmarked, 1 occluded (score 0.5), 2 visible | 0 |
| CVAT for images 1.1 | XML, `<points>` or `<skeleton>` in `<image>`; points that are `outside` are unmarked | 0.5 |
| CVAT's Datumaro | JSON, `items` with `annotations` of type points or skeleton | 0.5 |
| plain JSON | ``{"a.jpg": [[x, y], …]}`` or ``[{"image": "a.jpg", "landmarks": [[x, y], …], "scores": […]}]`` | 0 |
| WFLW | lines of 196 coordinates, 4 of a box, 6 attributes, image | 0 |

Points of a skeleton (COCO, CVAT, Datumaro) whose labels are numbers are in the order of these, others as they stand.
CVAT's canvas begins at the upper left corner of the first pixel: its center is (0.5, 0.5).
An image is found by its path's end: the entry that shares most folders with it, whatever its suffix.
One that a file names without a face, as where OpenFace had no success, has none: it takes no other folder's.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from uvgen.errors import InputError
from uvgen.samples.landmark_annotations import json_entries, xml_entries, xml_text
from uvgen.samples.landmark_rows import Entry, csv_entries, wflw_entries
from uvgen.samples.landmark_schemes import FaceLandmarks, NoLandmarks
from uvgen.storage.names import brief, os_reason, printable
from uvgen.storage.text import read_text

_Found = tuple[tuple[str, ...], Entry]
_MOST_SHARED = 64  # parts of a path that are compared: a file of long ones would take hundreds of times its size


class _Ending:
    """The entries whose paths end alike, and those of them that have one more part in common, by that part."""

    __slots__ = ("by_suffix", "found", "further")

    def __init__(self) -> None:
        self.found: list[_Found] = []
        self.further: dict[str, _Ending] = {}
        self.by_suffix: dict[str, list[_Found]] = {}

    def of_suffix(self, suffix: str) -> list[_Found]:
        """Those of a suffix, or all if none has it."""
        if suffix not in self.by_suffix:
            self.by_suffix[suffix] = [one for one in self.found if _suffix(one[1][0]) == suffix] or self.found
        return self.by_suffix[suffix]


class LandmarkTable:
    """What a file says of many images, each row read when it is asked for.

    Entries are found part by part from the ends of their paths: frames of many videos all are called 0001.jpg, and to
    compare each with all others of its name would take hours.
    """

    def __init__(self, path: Path, entries: Sequence[Entry]) -> None:
        self.path = path
        self._endings = _Ending()
        for entry in entries:
            parts, ending = _parts(entry[0]), self._endings
            for part in parts[: -_MOST_SHARED - 1 : -1]:
                ending = ending.further.setdefault(part, _Ending())
                ending.found.append((parts, entry))

    def stems(self) -> Iterable[str]:
        """The names of its images' files, without folders and suffix, each once."""
        return self._endings.further

    def has_image(self, image: Path) -> bool:
        """Whether it has a face of an image."""
        return _any_face(self._best(image)[1])

    def claim(self, image: Path) -> tuple[str, int] | None:
        """The entry that is an image's, as text, and how many parts of their paths they share; None without one, or
        without a face in it."""
        n, best = self._best(image)
        if not _any_face(best) or not all(found == best[0][0] for found, _ in best):
            return None
        return "/".join(best[0][0]), n

    def _best(self, image: Path) -> tuple[int, list[_Found]]:
        """How many parts the entries that share most with an image's path share with it, and these: those of its own
        suffix, if there are some."""
        n, ending = 0, self._endings
        for part in _parts(image.as_posix())[: -_MOST_SHARED - 1 : -1]:
            if (further := ending.further.get(part)) is None:
                break
            n, ending = n + 1, further
        return n, ending.of_suffix(image.suffix.lower()) if n else []

    def of_image(self, image: Path) -> list[FaceLandmarks] | str:
        """The faces of an image, largest first, or what is wrong."""
        _, best = self._best(image)
        if not best:
            return NoLandmarks(f"{image}: not among the images of {self.path}, expected {printable(image.name)} in it")
        first = best[0][0], _suffix(best[0][1][0])
        if (other := next((one for one in best if (one[0], _suffix(one[1][0])) != first), None)) is not None:
            names = " and ".join(sorted(entry[0].strip() for _, entry in (best[0], other)))
            return f"{image}: {self.path} has {brief(names)}, expected one image of that name; name their folders"
        try:
            faces = [read() for _, (_, read) in best if read is not None]
        except InputError as error:
            return f"{error} (landmarks of {image})"
        except (LookupError, TypeError, AttributeError, ValueError) as error:  # of JSON with another layout in it
            return f"{self.path}: an entry of another layout ({brief(error)[:80]}), expected points (of {image})"
        if not faces:
            return NoLandmarks(f"{image}: {self.path} has no face of {brief(best[0][1][0].strip())}")
        return sorted(faces, key=lambda face: -face.extent)


def _any_face(found: Sequence[_Found]) -> bool:
    return any(read is not None for _, (_, read) in found)


def _parts(name: str) -> tuple[str, ...]:
    """A path's parts, the last without its suffix, whatever system wrote it."""
    parts = [part for part in name.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    return (*parts[:-1], os.path.splitext(parts[-1])[0]) if parts else ("?",)


def _suffix(name: str) -> str:
    return os.path.splitext(name.strip())[1].lower()


def read_table(path: Path) -> LandmarkTable:
    """The table in a file.

    Parameters
    ----------
    path : Path
        One of `TABLES` by its suffix; it is not trusted.

    Returns
    -------
    LandmarkTable
        Rows that are wrong are reported for their images.

    Raises
    ------
    InputError
        If the file cannot be read, is of no known layout or has no entry.
    """
    try:
        text = xml_text(path) if path.suffix.lower() == ".xml" else read_text(path, "a table of landmarks")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os_reason(error)})") from error
    entries_of = TABLES.get(path.suffix.lower())
    if entries_of is None:
        raise InputError(f"{path}: a name that ends in {path.suffix or 'nothing'}, expected {', '.join(TABLES)}")
    entries = list(entries_of(path, text))
    if all(read is None for _, read in entries):
        raise InputError(f"{path}: no faces in it, expected landmarks of images")
    return LandmarkTable(path, entries)


TABLES: dict[str, Callable[[Path, str], Iterator[Entry]]] = {
    ".csv": csv_entries, ".json": json_entries, ".xml": xml_entries, ".txt": wflw_entries,
}  # fmt: skip
"""Readers of tables by suffix."""
