"""Landmarks that several images could take, because their files have the same name in different folders."""

from collections.abc import Callable, Sequence
from pathlib import Path

from uvgen.errors import InputError
from uvgen.samples.landmark_files import own_files
from uvgen.samples.landmark_names import parts_of
from uvgen.samples.landmark_schemes import NoLandmarks
from uvgen.samples.landmark_tables import LandmarkTable
from uvgen.samples.scan_landmarks import MARK, landmark_file
from uvgen.storage.names import printable, without_ending


def disputed_landmarks(
    images: Sequence[Path], where: Path | None = None, table: LandmarkTable | None = None
) -> dict[Path, str]:
    """Images whose landmarks are another one's, or may be: what is wrong with each.

    Parameters
    ----------
    images : sequence of Path
        All images that are to have landmarks.
    where : Path, optional
        Folder of landmark files; beside the images by default.
    table : LandmarkTable, optional
        In place of it.

    Returns
    -------
    dict of Path to str
        Of the images that want the same file or entry, the one that shares most folders with an entry has it, or the
        one whose folder all others lie in; the others have none. If there is no such image, none of them has it.
    """
    if table is not None:
        return _disputed(images, table.claim, table)
    return _disputed(images, lambda image: _file_claim(image, where))


def disputed_scan_landmarks(scans: Sequence[Path], folder: Path | None = None) -> dict[Path, str]:
    """The same of scans and the files of their landmarks, in a folder or beside them."""
    return _disputed(scans, lambda scan: _scan_claim(scan, folder))


_Claim = Callable[[Path], tuple[str, int] | None]
_MARKS = ("_pts", MARK)  # what files of landmarks have behind an image's name: a_pts.mat may be of a and of a_pts


def _disputed(images: Sequence[Path], claim_of: _Claim, table: LandmarkTable | None = None) -> dict[Path, str]:
    by_stem: dict[str, list[Path]] = {}
    for image in images:
        by_stem.setdefault(without_ending(_stem(image), _MARKS), []).append(image)
    wrong: dict[Path, str] = {}
    for alike in by_stem.values():
        if len(alike) > 1:
            wrong |= _disputed_of_one_name(alike, claim_of, table)
    return wrong


def _stem(image: Path) -> str:
    """What is alike of images that may want the same: a file in capitals may be of ı and of i."""
    return parts_of(image.name, image.suffix)[-1].upper().casefold()


def _disputed_of_one_name(images: Sequence[Path], claim_of: _Claim, table: LandmarkTable | None) -> dict[Path, str]:
    claims: dict[str, list[tuple[int, Path]]] = {}
    for image in images:
        claim = claim_of(image)
        if claim is not None:
            claims.setdefault(claim[0], []).append((claim[1], image))
    wrong: dict[Path, str] = {}
    for what, wanted in claims.items():
        most = max(shared for shared, _ in wanted)
        first = [image for shared, image in wanted if shared == most]
        top = min(first, key=lambda image: len(image.parts))
        owners = [top] if all(top.parent in other.parents and other.parent != top.parent and _stem(other) == _stem(top)
                              for other in first if other is not top) else []  # fmt: skip
        source = what if table is None else f"{table.path}, {what}"
        if len(wanted) == 1:
            continue
        for image in (image for _, image in wanted if owners != [image]):
            if owners:
                at = f"among the images of {table.path}" if table is not None else f"marked in {Path(what).parent}"
                wrong[image] = NoLandmarks(f"{image}: not {at}, whose {printable(what)} belongs to {owners[0]}")
                continue
            other = first[1] if image is first[0] else first[0]
            is_namesake = _stem(image) == _stem(other)
            cure = "landmarks that name the folder too" if is_namesake else "it to be of one; rename the other image"
            wrong[image] = f"{image}: {printable(source)} may be of {other} as well, expected {cure}"
    return wrong


def _file_claim(image: Path, where: Path | None) -> tuple[str, int] | None:
    """The file of an image's landmarks; one counts the more, the more folders around it are called as the image's."""
    files, place = own_files(image, where)
    return (str(files[0]), 0 if where is None else len(place.relative_to(where).parts)) if files else None


def _scan_claim(scan: Path, folder: Path | None) -> tuple[str, int] | None:
    """The file of a scan's landmarks, likewise; one of exactly the scan's name counts more, too. None if there are two,
    which is its own error."""
    try:
        file = landmark_file(scan, folder)
    except InputError:
        return None
    if file is None:
        return None
    depth = 0 if folder is None else len(file.parent.relative_to(folder).parts)
    return str(file), 2 * depth + file.name.startswith(scan.stem)
