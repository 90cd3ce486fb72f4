"""Recognizing a folder by the names in it, so that errors can say which kind of folder was given instead.

Only names are looked at, of the folder and of those directly in it.
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from uvgen.errors import DatasetError, OutputError, UvgenError
from uvgen.storage.names import os_reason, printable
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import irregular, max_bytes
from uvgen.storage.text import read_text
from uvgen.wording import typed

DATASET_INDEX, SYNTH_INDEX, FIT_INDEX, PREDICT_INDEX = "dataset.json", "synth.json", "fit.json", "predict.json"
REGISTER_INDEX = "register.json"
INDICES = (DATASET_INDEX, SYNTH_INDEX, FIT_INDEX, PREDICT_INDEX, REGISTER_INDEX)
"""The index of each kind of folder that commands fill, which they write first."""
EXPORT_MARK = ".uvgen-export.json"
REPORT_PARTS = ("index.html", "assets/report.js", "data/overview.js")
SHARD_NAME = re.compile(r"(?!\.)[^/]*-\d{5,}\.h5")  # of the folder itself: a store lists what is below it too

DATA_SET, SAMPLES, REPORT, EXPORT = "a data set", "a folder of samples", "a report", "an export for other trainers"
PREDICTIONS = "predictions of a network"
REGISTERED = "registered scans"
REMAINS, MODELS, EMPTY, OTHER = "shards without their dataset.json", "a folder of models", "an empty folder", "a folder"

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MODEL_SUFFIXES = (".h5", ".hdf5", ".mat", ".npz", ".pkl")
"""Endings of images, and of files that hold a model."""

OTHER_PICTURES = (
    ".heic", ".heif", ".hif", ".avif", ".tif", ".tiff", ".gif", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw",
    ".raf", ".orf", ".rw2", ".pef", ".srw", ".mpo", ".jfif", ".jpe", ".dib", ".ppm", ".pgm", ".pnm", ".tga", ".psd",
)  # fmt: skip
"""Endings of pictures that are not read."""

_GOES_ON = r"(\.\d+|\.(part|crdownload|tmp)|\?.*|[ _:!@-][^.]*)\Z"
"""What names end with that programs which fetch files have made longer: a.jpg.1, a.jpg?w=640, a.jpg_large."""

_MOST_FOLDERS = 64
_MOST_FILES = 10_000_000
_OF_SYSTEMS = {
    "@eadir", "#recycle", "#snapshot", "lost+found", "$recycle.bin", "system volume information", "__macosx",
    "thumbs.db", "desktop.ini",
}  # fmt: skip


def is_passed_over(name: str) -> bool:
    """Whether a file or folder is none of the user's, by its name: a hidden one, or one that a system makes by itself.

    Disk servers keep thumbnails beside photographs, as JPEG files in ``@eaDir``; disks have a folder of what was
    deleted, and ``lost+found``, which only the administrator may read.
    """
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def goes_on_after(name: str, suffixes: Sequence[str]) -> bool:
    """Whether a name has one of these suffixes, all in small letters, but goes on after it, as a download's may."""
    return re.search(rf"({'|'.join(map(re.escape, suffixes))}){_GOES_ON}", name.lower(), re.DOTALL) is not None


def files_below(root: Path, what: str, error: type[UvgenError] = DatasetError) -> Iterator[Path]:
    """Files in a folder and all in it, also those that links lead to, each folder once, without what is passed over.

    Raises `error`, which says that a folder of `what` was expected, if it cannot be read or holds too many.
    """

    def fail(cause: OSError) -> None:
        raise error(f"{printable(str(cause.filename or root))}: {unreadable(cause, f'a folder of {what}')}") from cause

    n, seen = 0, {os.path.realpath(root), *map(os.path.realpath, root.parents)}
    for folder, folders, names in os.walk(root, onerror=fail, followlinks=True):
        inner = sorted(name for name in folders if not is_passed_over(name))
        folders.clear()
        for name in sorted(inner, key=lambda name: Path(folder, name).is_symlink()):
            if (real := os.path.realpath(os.path.join(folder, name))) not in seen:
                seen.add(real)
                folders.append(name)
        for name in names:
            if not is_passed_over(name):
                n += 1
                if n > _MOST_FILES:
                    raise error(f"{root}: more than {_MOST_FILES} files, expected a folder of {what}")
                yield Path(folder, name)


def is_index(path: Path) -> bool:
    """Whether a file that is called as a command's index can be one: that of another program states no such format.

    A damaged one may be one.
    """
    try:
        content = parse_json(read_text(path, "an index", most_bytes=max_bytes()))
    except (OSError, ValueError, UvgenError):
        return path.is_file()
    return isinstance(content, dict) and str(content.get("format")).startswith("uvgen")


def folder_kind(path: str | os.PathLike[str]) -> str:
    """What a folder is.

    Parameters
    ----------
    path : path-like
        A folder.

    Returns
    -------
    str
        One of the constants of this module, with its article; `OTHER` if nothing is recognized or it cannot be
        read.
    """
    folder = Path(path)
    try:
        names = sorted(os.listdir(folder))
        if DATASET_INDEX in names:
            return DATA_SET
        if PREDICT_INDEX in names:  # beside which fit.json is the pose of a face in fit.jpg
            return PREDICTIONS
        if SYNTH_INDEX in names or FIT_INDEX in names:
            return SAMPLES
        if REGISTER_INDEX in names:
            return REGISTERED
        if EXPORT_MARK in names:
            return EXPORT
        if all((folder / part).is_file() for part in REPORT_PARTS):
            return REPORT
        if any(SHARD_NAME.fullmatch(name) for name in names):
            return REMAINS
        if not names:
            return EMPTY
        inner = [folder / name for name in names if not is_passed_over(name)][:_MOST_FOLDERS]
        if any(map(_is_pair, _pairs(names))) or any(
            any(map(_is_pair, _pairs(os.listdir(one)))) for one in inner if one.is_dir()
        ):
            return SAMPLES
        if any(_has(name, IMAGE_SUFFIXES) for name in names):
            return SAMPLES
        return MODELS if any(_has(name, MODEL_SUFFIXES) for name in names) else OTHER
    except OSError:
        return OTHER


def instead(path: str | os.PathLike[str], *, wanted: str, expected: str) -> str:
    """What a folder is in place of what was wanted, and what to do with it: a message, but for the path before it.

    Parameters
    ----------
    path : path-like
        The folder.
    wanted : str
        What was expected: `DATA_SET`, `SAMPLES`, or anything else.
    expected : str
        The same for people: "a folder that `uvgen build` made".

    Returns
    -------
    str
        ``"a report, expected a folder of photographs"``; "" if it is not recognized, or is what was wanted.
    """
    path = Path(path)
    if not path.is_dir():
        return ""
    kind = folder_kind(path)
    if kind != wanted and kind in (OTHER, SAMPLES, MODELS) and (inner := _data_sets_in(path)):
        return f"a folder of data sets, expected {expected}; those in it: {', '.join(inner)}"
    if kind in (wanted, OTHER, EMPTY):
        return ""
    advice = ""
    if wanted == DATA_SET and kind == SAMPLES:
        advice = f"; build a data set of it first: `uvgen build --data {typed(path)}`"
    elif wanted == DATA_SET and kind == REMAINS:
        advice = "; build the data set again with the command that made it"
    elif wanted == SAMPLES and kind == REGISTERED:
        advice = f"; give the scans' photographs, and `uvgen build --meshes {typed(path)}`"
    elif wanted == SAMPLES and kind in (DATA_SET, REMAINS):
        advice = "; it was built already: give what it was built from"
    return f"{kind}, expected {expected}{advice}"


def _data_sets_in(folder: Path, most: int = 3) -> list[str]:
    """The data sets that lie directly in a folder, the first few."""
    try:
        names = sorted(name for name in os.listdir(folder) if not is_passed_over(name))[:_MOST_FOLDERS]
    except OSError:
        return []
    found = [str(folder / name) for name in names if (folder / name / DATASET_INDEX).is_file()]
    return [*found[:most], *(["…"] if len(found) > most else [])]


def _kind_of(path: str | bytes | os.PathLike[str] | None) -> str:
    """What lies where a folder was expected: "a file", "a named pipe"."""
    try:
        return (irregular(os.stat(path).st_mode) if path is not None else None) or "a file"
    except (OSError, ValueError):  # a file further up in the path
        return "a file"


def unreadable(error: OSError, expected: str) -> str:
    """Why a folder cannot be listed: a message, but for the path before it.

    Parameters
    ----------
    error : OSError
        What listing it raised.
    expected : str
        "a folder of photographs".

    Returns
    -------
    str
        ``"no such folder, expected a folder of photographs"``.
    """
    why = {errno.ENOENT: "no such folder", errno.ENOTDIR: _kind_of(error.filename)}.get(error.errno or 0)
    return f"{why or f'cannot be read ({os_reason(error)})'}, expected {expected}"


def _pairs(names: list[str]) -> list[tuple[str, set[str]]]:
    """Names without their suffix, each with the suffixes that it has."""
    found: dict[str, set[str]] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        found.setdefault(stem, set()).add(suffix.lower())
    return [*found.items()]


def _is_pair(one: tuple[str, set[str]]) -> bool:
    return ".mat" in one[1] and not one[1].isdisjoint(IMAGE_SUFFIXES)


def _has(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not name.startswith(".")


def check_own_folder(out: Path, index: str) -> None:
    """Raise OutputError if a folder, without the index of a command's own, holds anything that is not passed over."""
    if not out.is_dir():
        return
    try:
        if (out / index).exists():
            return
        found = sorted(name for name in os.listdir(out) if not is_passed_over(name))
    except OSError as error:
        raise OutputError(f"{out}: cannot be read ({os_reason(error)}); choose another output folder") from error
    if found:
        more = f" and {len(found) - 1} more" if found[1:] else ""
        raise OutputError(
            f"{out}: holds something else ({printable(found[0])}{more}), expected a new or an empty folder; choose "
            "another"
        )
