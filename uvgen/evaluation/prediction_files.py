"""The files of predictions: which are there, whose they are, and the points of those that hold nothing else."""

from collections import Counter
from collections.abc import Collection, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.meshes.read import MESH_SUFFIXES
from uvgen.storage.folders import PREDICT_INDEX, files_below, is_index
from uvgen.storage.names import brief, os_reason, same_name
from uvgen.storage.npy import read_npy_file
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import max_bytes
from uvgen.storage.text import number_of, read_text
from uvgen.wording import count

MOST_BYTES = 1 << 34
"""Size up to which an array of predictions is read."""

OF_PREDICT = "exact"
"""The pixel convention of what `uvgen predict` writes: it undoes that of the network's labels."""

_OF_EXPORTS = "weight_mask.npy"  # lies beside the maps that `uvgen export` writes
_SUFFIXES = (".npy", ".mat", *MESH_SUFFIXES)
_MOST_TEXT = 1 << 20  # of 68 lines


class StatedByPredict(NamedTuple):
    """What `predict.json` says of the files beside it."""

    frame: str
    """Where they count: "image", or "crop" if the photographs were said to be crops already."""
    model: str
    model_sha256: str
    """The model whose UV the maps have; "" if it is not stated."""
    written: frozenset[str] = frozenset()
    """What was written of each face, such as "map"; empty if that is not stated."""
    doubts: tuple[str, ...] = ()
    """That it does not say where they count, if it does not."""


def array_of_faces(path: Path, n: int) -> NDArray[Any]:
    """The array of all faces of a file."""
    if path.suffix.lower() != ".npy":
        raise InputError(f"{path}: {path.suffix or 'no suffix'}, expected a .npy file, a folder or shards")
    array = read_npy_file(path, DatasetError, most_bytes=MOST_BYTES)
    if array.ndim not in (3, 4) or len(array) != n:
        shape = " x ".join(map(str, array.shape)) or "one number"
        raise DatasetError(f"{path}: {shape}, expected predictions of {count(n, 'face')} in the truth's order, N first")
    return array


def files_of_predict(
    folder: Path, names: Sequence[str], written: Set[str], *, has_maps: bool
) -> tuple[str, dict[str, Path], list[str]]:
    """The files to compare of those that `uvgen predict` writes for each face: their suffix, and as `files_of`.

    They are maps rather than landmarks if both were `written`, and if that is not stated, of the kind that most faces
    have: others may have come there since, and some be lost.
    """
    kinds = {suffix: files_of(folder, names, (suffix,)) for suffix in ((".npy", ".txt") if has_maps else (".txt",))}
    stated = [suffix for suffix, what in ((".npy", "map"), (".txt", "landmarks")) if what in written]
    likely = [suffix for suffix in stated if suffix in kinds and kinds[suffix][0]] or [*kinds]
    suffix = likely[0] if stated else max(kinds, key=lambda one: (len(kinds[one][0]), len(kinds[one][1])))
    matched, others = kinds.pop(suffix)
    if not matched and not others:
        raise DatasetError(f"{folder}: no landmarks, expected what `uvgen predict --write landmarks` writes")
    known = {*matched, *others}
    strays = [f"{name}{end}" for end, (_, found) in kinds.items() for name in found if name not in known]
    return suffix, matched, [*others, *strays]


def stated_by_predict(folder: Path) -> StatedByPredict | None:
    """What the folder that `uvgen predict` wrote says of its files; None if another program made it."""
    if not (folder / PREDICT_INDEX).exists() or not is_index(folder / PREDICT_INDEX):
        return None
    try:
        content = parse_json(read_text(folder / PREDICT_INDEX, "what `uvgen predict` wrote", most_bytes=max_bytes()))
    except (InputError, OSError, ValueError):  # the results count, whatever became of it
        content = None
    doubts: tuple[str, ...] = ()
    if not isinstance(content, dict) or not isinstance(content.get("crop"), str):
        doubts = (
            f"{folder / PREDICT_INDEX}: is damaged, and does not say whether predictions are in px of the photographs "
            "or of crops; taken as those of photographs",
        )
    stated = content if isinstance(content, dict) else {}
    model, sha256 = (one if isinstance(one := stated.get(key), str) else "" for key in ("model", "model_sha256"))
    write = stated.get("write")
    written = frozenset(map(str, write)) if isinstance(write, list) else frozenset[str]()
    return StatedByPredict("crop" if stated.get("crop") == "whole" else "image", brief(model), sha256, written, doubts)


def stated_size(path: Path) -> tuple[int, int] | None:
    """Height and width of the photograph of a face, as the file states in which `uvgen predict` writes its pose; None
    without one that does."""
    try:
        height, width = parse_json(read_text(path, "a pose", most_bytes=_MOST_TEXT))["image_size"]
    except (InputError, OSError, ValueError, KeyError, TypeError):
        return None
    return (height, width) if type(height) is type(width) is int else None


def points_of_lines(path: Path) -> NDArray[np.float64]:
    """The points of a file with a line `x y z` each."""
    what = "68 landmarks, a line x y z each"
    try:
        lines = read_text(path, what, most_bytes=_MOST_TEXT).splitlines()
        points = [[number_of(word) for word in line.split()] for line in lines if line.strip()]
    except InputError as error:
        raise SampleError(str(error)) from error
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({os_reason(error)}), expected {what}") from error
    except ValueError as error:
        raise SampleError(f"{path}: {brief(error)}, expected {what}") from error
    if len(lengths := {len(point) for point in points}) > 1:
        raise SampleError(f"{path}: lines of {min(lengths)} to {max(lengths)} numbers, expected {what}")
    return np.array(points, np.float64)


def files_of(
    root: Path, names: Sequence[str], suffixes: tuple[str, ...] | None = None
) -> tuple[dict[str, Path], list[str]]:
    """The files in a folder that are predictions, by the faces that they are for, and those that are for none.

    A file without its face's folder counts if no other face is called so. DatasetError if two are for one face.
    """
    return _match(_files(root, _SUFFIXES if suffixes is None else suffixes), names)


def _files(root: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files of predictions by their path in the folder, without the suffix."""
    found: dict[str, Path] = {}
    of_export = None if (root / PREDICT_INDEX).exists() else root / _OF_EXPORTS

    for path in sorted(files_below(root, "predictions")):
        if path.suffix.lower() not in suffixes or path == of_export:
            continue
        key = path.relative_to(root).with_suffix("").as_posix()
        if key in found:
            raise DatasetError(f"{path}: {found[key].name} has the same name, expected one file for each face")
        found[key] = path
    return found


def _match(files: dict[str, Path], names: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """Files by the names of the faces that they are for, and files for no face."""
    shorts = {name: name.rpartition("/")[2] for name in names}
    last = Counter(map(same_name, shorts.values()))
    keys = spelled_alike(files, names)
    without = {name: short for name, short in shorts.items() if name not in keys and last[same_name(short)] == 1}
    alone = spelled_alike(files, [*without.values()])
    keys |= {name: alone[short] for name, short in without.items() if short in alone}
    return {name: files[key] for name, key in keys.items()}, sorted(set(files) - set(keys.values()))


def spelled_alike(there: Collection[str], names: Sequence[str]) -> dict[str, str]:
    """Faces that something is there for, and what it is called: as the face, or as others write its accents."""
    alike = {same_name(one): one for one in there}
    wanted = Counter(map(same_name, names))
    found = dict[str, str]()
    for name in names:
        if name in there:
            found[name] = name
        elif wanted[key := same_name(name)] == 1 and key in alike:
            found[name] = alike[key]
    return found
