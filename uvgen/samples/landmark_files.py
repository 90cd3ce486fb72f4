"""Files of landmarks: one beside each image or in a folder of their own, or one table for all images.

| file | holds | first pixel |
| --- | --- | --- |
| ``NAME.txt`` | one point per line, ``x y`` or ``x y score``; a blank line between faces; # begins a comment | 0 |
| ``NAME.pts`` | iBUG's: ``version``, ``n_points``, points in braces | 1 |
| ``NAME.npy`` | (n, 2) or (n, 3), (2, n) or (3, n), or several faces of it | 0 |
| ``NAME.mat`` | `pt3d_68`, `pt2d` (300W-LP, AFLW2000-3D), `pts_3d`, `pts_2d`, `pts`, `landmarks` or `points` | 1 |

Tables (CSV, JSON, XML, WFLW's lists) are in `landmark_tables.py`. A point is unmarked if it is NaN, (-1, -1), or
has a score of 0; (0, 0) counts so in ``.mat`` files, which say it of points that cannot be seen. Of three columns, the
third is the score if it lies in 0 to 1, and a depth otherwise, which is not used. The first line of a ``.txt`` may be
the number of its points, as LaPa's is.
"""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from uvgen.checks import check_optional_paths, check_paths, check_several
from uvgen.errors import InputError, UvgenError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.samples.files import check_folder_of
from uvgen.samples.landmark_schemes import (
    COUNTS,
    MOST_FACES,
    SCHEMES,
    FaceLandmarks,
    NoLandmarks,
    UnreadLandmarks,
    faces_of,
)
from uvgen.samples.landmark_tables import TABLES, read_table
from uvgen.samples.photographs import unflipped
from uvgen.storage.kinds import check_fetched
from uvgen.storage.matfile import read_numeric
from uvgen.storage.names import brief, ends_of_path, os_reason, printable, spellings
from uvgen.storage.npy import read_npy_file
from uvgen.storage.reading import read_file
from uvgen.storage.text import number_of, read_text
from uvgen.wording import count

_MOST_BYTES = 1 << 24  # of one image's file
_PLAIN_KEYS = ("pts", "landmarks", "points")  # of which none is said to be better
_KEYS = ("pt3d_68", "pt2d", "pts_3d", "pts_2d", *_PLAIN_KEYS)
_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ)
_WEIGHTS = "pt2d_weight"  # how far each point of pt2d counted where it was fitted
_WITH_DEPTHS = ("pt3d_68", "pts_3d")  # the third of whose columns are no scores


def find_landmarks(
    images: Sequence[str | os.PathLike[str]], where: str | os.PathLike[str] | None = None
) -> dict[Path, list[FaceLandmarks] | str]:
    """The annotated landmarks of images.

    Parameters
    ----------
    images : sequence of path-like
        Image files.
    where : path-like, optional
        A folder with a file for each image, under its name, also in folders there that are called as the image's; or a
        file for all, a table; beside the images by default.

    Returns
    -------
    dict of Path to list of FaceLandmarks, or to str
        For each image the faces that are marked in it, largest first; or what is wrong: no file or row of the table
        (`NoLandmarks`), more than one, or one that cannot be read. Messages name the image's file and the landmarks'.

    Raises
    ------
    InputError
        If an image is not a path, or `where` is neither a folder nor a table that can be read.
    """
    check_optional_paths(where=where)
    check_several(images, "images")
    for image in images:
        check_paths(images=image)
    paths = [Path(image) for image in images]
    if where is None or Path(where).is_dir():
        return {path: _of_file(path, None if where is None else Path(where)) for path in paths}
    where = Path(where)
    if where.suffix.lower() not in TABLES:
        found = "not there" if not where.exists() else f"a {where.suffix or 'nameless'} file"
        raise InputError(f"{where}: {found}, expected a folder of landmark files or a table ({', '.join(TABLES)})")
    table = read_table(where)
    return {path: table.of_image(path) for path in paths}


def read_landmarks(path: str | os.PathLike[str]) -> list[FaceLandmarks]:
    """The faces in a landmark file of one image, largest first.

    Parameters
    ----------
    path : path-like
        ``.txt``, ``.pts``, ``.npy`` or ``.mat``; it is not trusted.

    Returns
    -------
    list of FaceLandmarks
        At least one.

    Raises
    ------
    InputError
        If it cannot be read, or holds another number of points than a scheme's, or no marked one.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: expected landmarks as {', '.join(_READERS)}")
    try:
        try:
            faces = reader(path)
        except InputError:
            check_fetched(path)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os_reason(error)})") from error
    return sorted(faces, key=lambda face: -face.extent)


def has_landmarks(image: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> bool:
    """Whether there is a landmark file for an image, even an unreadable one; see `find_landmarks`.

    Parameters
    ----------
    image : path-like
        The image's file.
    folder : path-like, optional
        Folder of landmark files; the image's own by default.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        If an argument is not a path.
    """
    check_paths(image=image)
    check_optional_paths(folder=folder)
    return bool(own_files(Path(image), None if folder is None else Path(folder))[0])


def own_files(image: Path, folder: Path | None) -> tuple[list[Path], Path]:
    """An image's own files of landmarks, and the last folder where they were looked for; InputError as `_is_there`.

    Names in capitals, and with accents written otherwise (macOS and its archives take é for two letters), count where
    there is none with the image's own name: each look at a disk takes time.
    """
    places = [image.parent] if folder is None else places_of_landmarks(image, folder)
    endings = (*_READERS, "_pts.mat")
    for place in places:
        for stem in spellings(image.stem):
            for names in ([f"{stem}{end}" for end in endings], [f"{stem}{end.upper()}" for end in endings]):
                if files := [place / name for name in names if _is_there(place / name)]:
                    return files, place
    return [], places[-1]


def places_of_landmarks(image: Path, folder: Path) -> list[Path]:
    """Where in a folder an image's landmarks may be: in folders that are called as the image's, all of them or the
    last few, as far as there are such; else in the folder itself. InputError as `_is_there`, and for a lost link."""
    ends = ends_of_path(os.path.dirname(os.path.abspath(image)))  # noqa: PTH120
    places = [*filter(_is_there, (folder / end for end in ends)), folder]
    if lost := next((place for place in places if place.is_symlink() and not place.exists()), None):
        raise InputError(f"{lost}: a link to what is not there, expected a folder of landmarks; fetch it, or remove it")
    return places


def _is_there(path: Path) -> bool:
    """Whether there is such a file; InputError if its disk does not answer, or its folder may not be looked into: no
    detector takes its place then, nor that of a link to what is not there, such as git-annex leaves until it fetches a
    file."""
    try:
        path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_SUCH_FILE:
            raise InputError(f"{path}: cannot be read ({os_reason(error)})") from error
        return os.path.islink(path)  # noqa: PTH114 - Path's raises where the name is too long
    return True


def _folder_name(image: Path) -> str:
    """The name of the folder that an image lies in, however its path is written."""
    return os.path.basename(os.path.dirname(os.path.abspath(image)))  # noqa: PTH119, PTH120


def _of_file(image: Path, folder: Path | None) -> list[FaceLandmarks] | str:
    """The faces of an image's own file, or what is wrong."""
    try:
        files, place = own_files(image, folder)
    except InputError as error:
        check_folder_of(image if folder is None else folder / image.name, error)
        return _unusable(image, error)
    texts = [path for path in files if path.suffix.lower() != ".mat"] or files  # a .mat may be 300W-LP's parameters
    if not texts:
        suffixes = ", ".join(_READERS)
        return NoLandmarks(f"{image}: no landmarks in {place}, expected {printable(image.stem)} with one of {suffixes}")
    if len(texts) > 1:
        return f"{image}: two files of landmarks, {texts[0]} and {texts[1].name}, expected one; remove the wrong one"
    try:
        faces = read_landmarks(texts[0])
    except UvgenError as error:
        check_folder_of(texts[0], error)
        return _unusable(image, error)
    name = _folder_name(image)
    if texts[0].suffix.lower() == ".mat" and unflipped(name) != name:  # keep the original's order
        faces = [_mirrored_order(face) if face.scheme == "68" else face for face in faces]
    return faces


def _unusable(image: Path, error: UvgenError) -> str:
    said = f"{error} (landmarks of {image})"
    if not isinstance(error.__cause__, OSError) or error.__cause__.errno is None:
        return said
    unread = UnreadLandmarks(said)
    unread.errno = error.__cause__.errno
    return unread


def _mirrored_order(face: FaceLandmarks) -> FaceLandmarks:
    scores = None if face.scores is None else face.scores[LANDMARK_MIRROR]
    return replace(face, points=face.points[LANDMARK_MIRROR], scores=scores)


def _read_txt(path: Path) -> list[FaceLandmarks]:
    blocks: list[list[list[float]]] = [[]]
    stated = ""
    lines = read_text(path, "one landmark a line, x y in px", most_bytes=_MOST_BYTES).split("\n")
    for number, line in enumerate(lines):
        text = line.split("#")[0].strip()
        if not stated and blocks == [[]] and text.isascii() and text.isdecimal():
            stated = text
        elif not text and blocks[-1] and not line.strip().startswith("#"):
            blocks.append([])
        elif text:
            blocks[-1].append(_numbers(path, number, text))
    faces = [block for block in blocks if block]
    if len(faces) > MOST_FACES:
        raise InputError(
            f"{path}: {count(len(faces), 'face')}, expected {MOST_FACES} at most, with a blank line between two"
        )
    n = sum(map(len, faces))
    if stated and stated.lstrip("0") != str(n):
        raise InputError(f"{path}: {count(n, 'point')}, expected {brief(stated)[:40]} as its first line says")
    return [_face_of_lines(path, block) for block in faces or [[]]]


def _values(text: str) -> list[float]:
    """The two or three numbers of a line; none if it is no point."""
    words = text.replace(",", " ").replace(";", " ").split()
    try:
        return [number_of(word) for word in words] if len(words) in (2, 3) else []
    except ValueError:
        return []


def _numbers(path: Path, number: int, text: str) -> list[float]:
    if not (values := _values(text)):
        raise InputError(f"{path}, line {number + 1}: {brief(text)[:60]!r}, expected x y, or x y score")
    return values


def _face_of_lines(path: Path, lines: list[list[float]]) -> FaceLandmarks:
    if len({len(line) for line in lines}) > 1:
        raise InputError(f"{path}: lines of 2 and of 3 numbers, expected x y, or x y score, in each")
    if len(lines) not in SCHEMES:
        raise InputError(f"{path}: {count(len(lines), 'point')}, expected {COUNTS}, one per line")
    return faces_of(np.array(lines), str(path))[0]


def _read_pts(path: Path) -> list[FaceLandmarks]:
    text = read_text(path, "iBUG's landmarks (version, n_points, points in braces)", most_bytes=_MOST_BYTES)
    head, brace, rest = text.partition("{")
    body, end, more = rest.partition("}")
    if not brace or not end:
        raise InputError(
            f"{path}: no points in braces, expected iBUG's landmarks, n_points: 68 {{ … }}; is it cut short?"
        )
    if "{" in more:
        raise InputError(f"{path}: points in braces twice, expected those of one face; one file per face")
    if more.strip():
        raise InputError(f"{path}: {brief(more)[:60]!r} after the points in braces, expected nothing; is it damaged?")
    if before := [line for line in head.split("\n") if _values(line)]:
        raise InputError(f"{path}: {brief(before[0])[:60]!r} before the points in braces, expected all points in them")
    lines = [_numbers(path, head.count("\n") + k, line) for k, line in enumerate(body.split("\n")) if line.strip()]
    stated = [
        line.strip()[len("n_points") :].strip(": \t") for line in head.split("\n")
        if line.strip().lower().startswith("n_points")
    ]  # fmt: skip
    if other := [number for number in stated if number.lstrip("0") != str(len(lines))]:
        raise InputError(
            f"{path}: {count(len(lines), 'point')}, expected {brief(other[0]) or 'a number'} as its n_points says"
        )
    face = _face_of_lines(path, lines)
    return [replace(face, points=face.points - 1)]


def _read_npy(path: Path) -> list[FaceLandmarks]:
    return faces_of(read_npy_file(path, InputError, most_bytes=_MOST_BYTES), str(path))


def _read_mat(path: Path) -> list[FaceLandmarks]:
    try:
        content = read_numeric(read_file(path, _MOST_BYTES), (*_KEYS, _WEIGHTS))
    except ValueError as error:
        raise InputError(f"{path}: not a readable MATLAB file ({error})") from error
    problems = []
    arrays = [(key, array) for key in _KEYS if (array := content.get(key)) is not None]
    plain = [(key, array) for key, array in arrays if key in _PLAIN_KEYS]
    for (key, array), (other, another) in combinations(plain, 2):
        if array.shape == another.shape and not np.array_equal(array, another, equal_nan=True):
            raise InputError(f"{path}: {key} and {other} are other points of as many, expected one of them; remove one")
    for key, array in sorted(arrays, key=lambda pair: -max(pair[1].shape, default=0)):
        values = np.array(array, np.float64)
        if values.ndim == 2 and values.shape[0] in (2, 3) and values.shape[1] not in (2, 3):
            values = values.T
        if values.ndim == 2 and values.shape[1] in (2, 3):
            values = values[:, :2] if key in _WITH_DEPTHS else values
            places = values[:, :2]
            places[(places == 0).all(axis=1) | (places == -1).any(axis=1)] = np.nan
            weights = content.get(_WEIGHTS)
            if key == "pt2d" and values.shape[1] == 2 and weights is not None and weights.size == len(values):
                values = np.column_stack([values, np.array(weights, np.float64).ravel()])
        try:
            return faces_of(values, f"{path}, {key}", first_pixel=1)
        except InputError as error:
            problems.append(str(error))
    raise InputError(
        problems[0] if problems else f"{path}: none of {', '.join(_KEYS)}, expected landmarks under one of them"
    )


_READERS: dict[str, Callable[[Path], list[FaceLandmarks]]] = {
    ".txt": _read_txt, ".pts": _read_pts, ".npy": _read_npy, ".mat": _read_mat,
}  # fmt: skip
