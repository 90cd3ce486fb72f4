"""The photographs in a folder, the names of their samples, and which are fitted together."""

import os
import re
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from uvgen.errors import DatasetError, InputError
from uvgen.fitting.tasks import FitTask, Photograph
from uvgen.samples.image_folders import VIDEO_SUFFIXES
from uvgen.storage.folders import (
    EXPORT,
    EXPORT_MARK,
    FIT_INDEX,
    IMAGE_SUFFIXES,
    OTHER_PICTURES,
    PREDICT_INDEX,
    REGISTER_INDEX,
    REPORT,
    REPORT_PARTS,
    SAMPLES,
    folder_kind,
    goes_on_after,
    instead,
    is_index,
    is_passed_over,
    unreadable,
)  # fmt: skip
from uvgen.storage.kinds import is_image_that_is_read
from uvgen.storage.names import printable, same_name, shortened, without_ending
from uvgen.wording import are, count, have

_BATCH = 16  # photographs a task
_BESIDE = (".mat", ".npy", ".npz", ".txt", ".pts", ".json", ".csv", ".xml", ".obj", ".ply", ".xmp", *VIDEO_SUFFIXES)
"""Of files that may lie beside photographs in any number, and are not looked into."""

_READ = ", ".join(IMAGE_SUFFIXES)
_SECOND_FACE = re.compile(r"(.+)-face\d+", re.DOTALL)
_SAME_NAME = "another photograph has the same name, expected names that differ in more than suffix or case; rename one"


def find_photographs(
    root: Path, out: Path, faces: str = "largest", *, index: str = "", endings: Sequence[str] = ()
) -> list[Photograph]:
    """The images in a folder and the folders in it, by name, but not in `out` or in what commands made.

    Hidden ones are passed over; a folder that several links lead to counts once. `faces` is as for
    `uvgen.fit_photographs`; `index` and `endings` as for `folder_clashes`. Raises DatasetError if the folder is missing
    or unreadable, or holds no images.
    """
    if root.is_file() and root.suffix.lower() in VIDEO_SUFFIXES:
        raise DatasetError(f"{root}: a video, expected a folder of photographs; `uvgen fit --video` takes videos")
    paths = files_below(root, out, IMAGE_SUFFIXES, "a folder of photographs")
    if (not paths or folder_kind(root) in (REPORT, EXPORT)) and (
        found_instead := instead(root, wanted=SAMPLES, expected="a folder of photographs")
    ):
        raise DatasetError(f"{root}: {found_instead}")
    if not paths:
        others = about_other_pictures(root, out)
        raise DatasetError(f"{root}: {others[0] if others else 'no images in it, expected ' + _READ}")
    names = [_sample_name(path.relative_to(root)) for path in paths]
    keys = [name_key(name) for name in names]
    counts = Counter(keys)
    found = []
    for path, name, key, clash in zip(paths, names, keys, folder_clashes(names, index, endings), strict=True):
        problem = _SAME_NAME if counts[key] > 1 else clash
        if faces == "all" and (second := _SECOND_FACE.fullmatch(key)) and second[1] in counts:
            problem = problem or f"a further face of {printable(second[1])} would be called so too; rename it"
        found.append(Photograph(path, name, problem))
    return sorted(found, key=lambda one: (one.name, one.path))


def about_other_pictures(root: Path, out: Path) -> list[str]:
    """Warnings of pictures of kinds that are not read, such as phones make, if no image of the same name is, and of
    images whose names do not end as an image's."""
    what = "a folder of photographs"
    warnings = about_other_kinds(root, out, IMAGE_SUFFIXES, OTHER_PICTURES, what, of="image", cure="convert to JPEG")
    every = files_below(root, out, ("",), what)
    if called_otherwise := [path for path in every if _is_image_called_otherwise(path)]:
        n = len(called_otherwise)
        first = printable(called_otherwise[0].relative_to(root).as_posix())
        warnings.append(
            f"{count(n, 'image')} {have(n)} a name that does not end as an image's, first {first}, and {are(n)} not "
            f"read, expected {_READ} at its end; rename"
        )
    return warnings


def _is_image_called_otherwise(path: Path) -> bool:
    """Whether a file is an image by its content, or by a name that was made longer."""
    suffix = path.suffix.lower()
    if suffix in (*IMAGE_SUFFIXES, *OTHER_PICTURES):
        return False
    if goes_on_after(path.name, IMAGE_SUFFIXES):
        return True
    try:
        return suffix not in _BESIDE and not is_passed_over(path.name) and is_image_that_is_read(path)
    except OSError:
        return False


def about_longer_names(root: Path, out: Path, read: tuple[str, ...], what: str, *, of: str) -> list[str]:
    """A warning of files whose names go on after a suffix that is read."""
    every = files_below(root, out, ("",), what)
    paths = [path for path in every if path.suffix.lower() not in read and goes_on_after(path.name, read)]
    if not paths:
        return []
    files, first = f"{count(len(paths), of)} {have(len(paths))}", printable(paths[0].relative_to(root).as_posix())
    return [
        f"{files} a name that goes on after its suffix, first {first}, and {are(len(paths))} not read, expected "
        f"{', '.join(read)} at its end; rename"
    ]


def about_other_kinds(
    root: Path, out: Path, read: tuple[str, ...], others: tuple[str, ...], what: str, *, of: str, cure: str
) -> list[str]:
    """A warning of files with suffixes that are not read, if none of the same name has one that is."""
    named = {os.path.splitext(path)[0] for path in files_below(root, out, read, what)}
    paths = [path for path in files_below(root, out, others, what) if without_ending(str(path), others) not in named]
    if not paths:
        return []
    files = f"{count(len(paths), of)} {are(len(paths))}"
    first = printable(paths[0].relative_to(root).as_posix())
    return [f"{files} of a kind that is not read, first {first}, expected {', '.join(read)}; {cure}"]


def files_below(root: Path, out: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    """Files with these suffixes in a folder and the folders in it, but not in `out` or in what commands made.

    Folders themselves come before those that links lead to, so that each has one name, whatever links there
    are. Raises DatasetError, which says what was expected, if a folder cannot be listed, and InputError if it lies in
    `out`: what is made would take the place of what it is made of.
    """

    def fail(error: OSError) -> None:
        raise DatasetError(f"{printable(str(error.filename))}: {unreadable(error, what)}") from error

    check_outside(root, out, what)
    paths, seen = list[Path](), {os.path.realpath(out)}
    queue = deque([root])
    while queue:
        start = queue.popleft()
        if start != root and os.path.realpath(start) in seen:
            continue
        for folder, names, files in os.walk(start, onerror=fail):
            seen.add(os.path.realpath(folder))
            inner = [Path(folder, name) for name in sorted(names) if not is_passed_over(name)]
            queue += [path for path in inner if path.is_symlink()]
            names[:] = [
                path.name
                for path in inner
                if not path.is_symlink() and os.path.realpath(path) not in seen and not _is_written(path)
            ]
            paths += [
                Path(folder, name)
                for name in sorted(files)
                if name.lower().endswith(suffixes) and not name.startswith(".")
            ]
    return paths


def check_outside(folder: Path, out: Path, what: str) -> None:
    """Raise InputError if a folder is that which is filled, or lies in it: files that are needed would be replaced."""
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(out)):
        shown, held = printable(str(out)), printable(str(folder))
        raise InputError(f"out: {shown} is or holds {what}, {held}; choose another folder")


def _is_written(folder: Path) -> bool:
    """Whether an earlier command wrote its pictures."""
    indices = [folder / name for name in (FIT_INDEX, PREDICT_INDEX, REGISTER_INDEX) if (folder / name).is_file()]
    return (
        any(map(is_index, indices))
        or (folder / EXPORT_MARK).is_file()
        or all((folder / part).is_file() for part in REPORT_PARTS)
    )


def _sample_name(path: Path) -> str:
    """The sample name of a photograph, from its path below the root: at most one folder, only printable."""
    stem = shortened(printable(os.path.splitext(path.name)[0]))
    return f"{folder_name(path.parts[:-1])}/{stem}" if path.parts[1:] else stem


def folder_name(parts: Sequence[str]) -> str:
    """The name of the folder for samples, from where their photographs are."""
    subset = shortened(printable("-".join(part.lstrip(".") or "_" for part in parts)))
    return f"{subset}{'-' * subset.lower().endswith('_flip')}"  # 300W-LP's mirrored subsets end so


def name_key(name: str) -> str:
    """The form in which names are compared: some file systems, and lists of samples, take these names for the same."""
    return same_name(name).casefold()


def folder_clashes(names: Sequence[str], index: str, endings: Sequence[str]) -> list[str]:
    """What is wrong with each name whose folder could not be made; "" if nothing is.

    Parameters
    ----------
    names : sequence of str
        Of all that is written, without endings, with slashes.
    index : str
        File beside them.
    endings : sequence of str
        Of the files that are written under each name, and under those of its further faces.
    """
    keys = {name_key(name) for name in names}
    known: dict[str, str] = {"": ""}

    def clash_of(folder: str) -> str:
        if folder not in known:
            key, file = name_key(folder), ""
            for ending in endings if key != name_key(index) else ():
                stem = key.removesuffix(ending)
                second = _SECOND_FACE.fullmatch(stem)
                if stem != key and (stem in keys or (second is not None and second[1] in keys)):
                    file = f"a file of {printable(folder.removesuffix(ending))}"
            file = "the index" if key == name_key(index) else file
            text = f"its folder, {printable(folder)}, would have the name of {file}; rename the folder"
            known[folder] = text if file else clash_of(folder.rpartition("/")[0])
        return known[folder]

    return [clash_of(name.rpartition("/")[0]) for name in names]


def units_of(photographs: Sequence[Photograph], *, same_person: bool) -> list[FitTask]:
    """Groups of photographs that are finished as a whole: each photograph, or all of a person."""
    if not same_person:
        return [FitTask((one,)) for one in photographs]
    people: dict[str, list[Photograph]] = {}
    for one in photographs:
        people.setdefault(str(one.path.parent), []).append(one)
    return [FitTask(tuple(members), same_person=True) for members in people.values()]


def in_batches(units: list[FitTask]) -> list[FitTask]:
    """A few photographs at once; those of one person stay together, and alone."""
    if units and units[0].same_person:
        return units
    photographs = [unit.photographs[0] for unit in units]
    return [FitTask(tuple(photographs[first : first + _BATCH])) for first in range(0, len(photographs), _BATCH)]
