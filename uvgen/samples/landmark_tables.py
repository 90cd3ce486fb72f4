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
Where a table states an image's size (width and height, as COCO's do), the photograph must have it.
CVAT's canvas begins at the upper left corner of the first pixel: its center is (0.5, 0.5).
A column (or key) of images is known by its name, as `landmark_names.image_key` says: image, file, path, photo or the
like, else ``name`` or ``frame``. Two that may name other images are refused.
An image is found by its path's end: the entry that shares most folders with it, whatever its suffix. What follows a
point and is no suffix of a picture or another file, as in portrait.left, belongs to the name.
One that a file names without a face, as where OpenFace had no success, has none: it takes no other folder's.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from uvgen.errors import InputError
from uvgen.samples.landmark_annotations import json_entries
from uvgen.samples.landmark_names import parts_of, suffix_of
from uvgen.samples.landmark_rows import Entry, csv_entries, wflw_entries
from uvgen.samples.landmark_schemes import MOST_FACES, FaceLandmarks, NoLandmarks
from uvgen.samples.landmark_xml import xml_entries, xml_text
from uvgen.storage.files import sha256_file
from uvgen.storage.names import brief, os_reason, printable
from uvgen.storage.text import read_text

_MOST_SHARED = 64  # parts of a path that are compared: a file of long ones would take hundreds of times its size


class _Ending:
    """Images whose paths end alike, as a table names them; those that have one more part in common are found when they
    are asked for: of most tables' images, few are."""

    __slots__ = ("_by_suffix", "_depth", "_endings", "_further", "_names")

    def __init__(self, names: list[str], depth: int = 0) -> None:
        self._names, self._depth = names, depth
        self._further: dict[str, list[str]] | None = None
        self._endings: dict[str, _Ending] = {}
        self._by_suffix: dict[str, list[str]] = {}

    def further(self, part: str) -> "_Ending | None":
        """Those whose paths have this part before the end that they share."""
        if self._further is None:
            self._further = {}
            for name in self._names:
                parts = parts_of(name, suffix_of(name))
                if len(parts) > self._depth:
                    self._further.setdefault(parts[-1 - self._depth], []).append(name)
        if part not in self._endings and part in self._further:
            self._endings[part] = _Ending(self._further[part], self._depth + 1)
        return self._endings.get(part)

    def of_suffix(self, suffix: str) -> list[str]:
        """Those of a suffix, or else those that have it in other letters, small or capital, or all if none has it."""
        if suffix not in self._by_suffix:
            alike = [name for name in self._names if suffix_of(name).lower() == suffix.lower()]
            same = [name for name in alike if suffix_of(name) == suffix]
            self._by_suffix[suffix] = same or alike or self._names
        return self._by_suffix[suffix]


class LandmarkTable:
    """What a file says of many images, each row read when it is asked for.

    Images are found part by part from the ends of their paths: frames of many videos all are called 0001.jpg, and to
    compare each with all others of its name would take hours.
    """

    def __init__(self, path: Path, entries: Iterable[Entry], sha256: str = "") -> None:
        self.path, self.sha256 = path, sha256
        self._readers: dict[str, tuple[Callable[[], FaceLandmarks], ...]] = {}
        for spelling, read in entries:
            suffix = suffix_of(spelling.strip())
            name = "/".join(parts_of(spelling.strip(), suffix)) + suffix  # one for all spellings of a path
            others = self._readers.get(name, ())
            if len(others) <= MOST_FACES:  # one more is one too many
                self._readers[name] = others if read is None else (*others, read)
        self._endings = _Ending(list(self._readers))

    @property
    def has_faces(self) -> bool:
        """Whether it has a face of any image."""
        return self._any_face(self._readers)

    def stems(self) -> Iterable[str]:
        """The names of its images' files, without folders and suffix, each once."""
        return dict.fromkeys(parts_of(name, suffix_of(name))[-1] for name in self._readers)

    def has_image(self, image: Path) -> bool:
        """Whether it has a face of an image."""
        return self._any_face(self._best(image)[1])

    def claim(self, image: Path) -> tuple[str, int] | None:
        """The entry that is an image's, as text, and how many parts of their paths they share; None without one, or
        without a face in it."""
        n, best = self._best(image)
        return (best[0], n) if self._any_face(best) and len(best) == 1 else None

    def _best(self, image: Path) -> tuple[int, list[str]]:
        """How many parts the names that share most with an image's path share with it, and these: those of its own
        suffix, if there are some."""
        n, ending = 0, self._endings
        for part in parts_of(image.as_posix(), image.suffix)[: -_MOST_SHARED - 1 : -1]:
            if (further := ending.further(part)) is None:
                break
            n, ending = n + 1, further
        return n, ending.of_suffix(image.suffix) if n else []

    def of_image(self, image: Path) -> list[FaceLandmarks] | str:
        """The faces of an image, largest first, or what is wrong."""
        _, best = self._best(image)
        if not best:
            return NoLandmarks(f"{image}: not among the images of {self.path}, expected {printable(image.name)} in it")
        if len(best) > 1:
            names = " and ".join(sorted(best[:2]))
            return f"{image}: {self.path} has {brief(names)}, expected one image of that name; name their folders"
        readers = self._readers[best[0]]
        if len(readers) > MOST_FACES:
            return f"{image}: {self.path} has more than {MOST_FACES} faces of it, expected {MOST_FACES} at most"
        try:
            faces = [read() for read in readers]
        except InputError as error:
            return f"{error} (landmarks of {image})"
        except (LookupError, TypeError, AttributeError, ValueError) as error:  # of JSON with another layout in it
            return f"{self.path}: an entry of another layout ({brief(error)[:80]}), expected points (of {image})"
        if not faces:
            return NoLandmarks(f"{image}: {self.path} has no face of {brief(best[0])}")
        return sorted(faces, key=lambda face: -face.extent)

    def _any_face(self, names: Iterable[str]) -> bool:
        return any(self._readers[name] for name in names)


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
        sha256 = sha256_file(path)
        text = xml_text(path) if path.suffix.lower() == ".xml" else read_text(path, "a table of landmarks")
        if sha256_file(path) != sha256:  # results would be said to be of another table than they are
            raise InputError(f"{path}: was written to while it was read; try again when it is finished")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os_reason(error)})") from error
    entries_of = TABLES.get(path.suffix.lower())
    if entries_of is None:
        raise InputError(f"{path}: a name that ends in {path.suffix or 'nothing'}, expected {', '.join(TABLES)}")
    table = LandmarkTable(path, entries_of(path, text), sha256)
    if not table.has_faces:
        raise InputError(f"{path}: no faces in it, expected landmarks of images")
    return table


TABLES: dict[str, Callable[[Path, str], Iterator[Entry]]] = {
    ".csv": csv_entries, ".json": json_entries, ".xml": xml_entries, ".txt": wflw_entries,
}  # fmt: skip
"""Readers of tables by suffix."""
