"""What a folder holds of face models, so that one of several is named and none is chosen silently."""

from pathlib import Path

from uvgen.errors import ModelError
from uvgen.models.formats import FOLDERS, format_of, known
from uvgen.storage.folders import EMPTY, MODEL_SUFFIXES, MODELS, OTHER, folder_kind, is_passed_over
from uvgen.storage.kinds import describe_file

_MOST_FILES = 64  # that are looked into; a folder of samples has more
_MOST_FOLDERS = 16  # subfolders of one folder
_MOST_OF_A_LEVEL = 64
_MOST_LEVELS = 4  # below the folder
_MOST_NAMED = 4  # of their models


def models_in(folder: Path) -> list[Path]:
    """Files directly in a folder that are whole models, of any format that is read, in the order of their names."""
    return [path for path in _files(folder) if _is_whole(path)]


def parts_in(folder: Path) -> list[tuple[Path, str]]:
    """Files directly in a folder that are parts of the Basel Face Model, and the arguments that take them."""
    found = [(path, known.recognize(path)) for path in _files(folder) if path.suffix.lower() == ".mat"]
    return [(path, part[1]) for path, part in found if part is not None and part[1] not in ("", "face3d")]


def models_below(folder: Path) -> list[tuple[Path, str]]:
    """Models and parts of the Basel Face Model in the subfolders of a folder, and the arguments that take the parts.

    "" for a model, which needs none. Of the uppermost level that has any, a few levels deep.
    """
    subfolders = _subfolders(folder)
    for _ in range(_MOST_LEVELS):
        if not {folder_kind(inner) for inner in subfolders} <= {MODELS, OTHER, EMPTY}:
            return []  # data sets among them, whose folder it is rather
        if found := _models_of(subfolders):
            return found
        subfolders = [below for inner in subfolders for below in _subfolders(inner)][:_MOST_OF_A_LEVEL]
    return []


def _models_of(folders: list[Path]) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    for inner in folders:
        if whole := models_in(inner):
            found += [(path, "") for path in whole]
        elif format_of(inner) is not None:
            found.append((inner, ""))
        else:
            found += parts_in(inner)
    return sorted(found, key=lambda one: bool(one[1]))  # models before parts


def check_one_model(folder: Path) -> None:
    """Raise ModelError where a folder that a format recognizes holds another model too."""
    whole = models_in(folder)
    if len(whole) > 1 or (whole and format_of(whole[0]) is not format_of(folder)):
        raise ModelError(f"{folder}: {_several(folder, whole)}")


def refuse_folder(folder: Path) -> ModelError:
    """The error of a folder that no format recognizes."""
    whole, parts = models_in(folder), parts_in(folder)
    if len(whole) > 1:
        return ModelError(f"{folder}: {_several(folder, whole)}")
    if whole:
        return ModelError(
            f"{folder}: is {folder_kind(folder)}, expected a model's file; name the one in it: {whole[0]}"
        )
    if parts:
        arguments = ", ".join(f"{path.name} (argument `{argument}`)" for path, argument in parts)
        return ModelError(
            f"{folder}: holds parts of the Basel Face Model, expected a model's file; `uvgen model convert` makes one "
            f"of them: {arguments}"
        )
    if below := models_below(folder):
        named = [f"{path} (argument `{name}` of `uvgen model convert`)" if name else str(path) for path, name in below]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        return ModelError(
            f"{folder}: its subfolders hold face models, expected a model's file; name one of them: "
            f"{', '.join(named[:_MOST_NAMED])}{more}"
        )
    return ModelError(
        f"{folder}: is {folder_kind(folder)}, expected a model's file; name the one in it (BFM.mat or a .h5), or a "
        f"folder of {', of '.join(FOLDERS[:-1])} or of {FOLDERS[-1]}"
    )


def _several(folder: Path, whole: list[Path]) -> str:
    found = [str(path) for path in whole]
    if len(found) == 1:  # the folder is another one by its parts
        return f"holds {whole[0].name} and the parts of another model, expected one model; name {found[0]}, or move it"
    return (
        f"holds {len(found)} models, expected one; name the one that is meant: {', '.join(found[:-1])} or {found[-1]}"
    )


def _files(folder: Path) -> list[Path]:
    try:
        there = sorted(path for path in folder.iterdir() if path.suffix.lower() in MODEL_SUFFIXES and path.is_file())
    except OSError:
        return []
    return there[:_MOST_FILES]


def _subfolders(folder: Path) -> list[Path]:
    try:
        there = sorted(path for path in folder.iterdir() if not is_passed_over(path.name) and path.is_dir())
    except OSError:
        return []
    return there[:_MOST_FOLDERS]


def _is_whole(path: Path) -> bool:
    if path.suffix.lower() == ".mat" and (part := known.recognize(path)) is not None and part[1] == "face3d":
        return True
    return describe_file(path) == "a uvgen model" or format_of(path) is not None
