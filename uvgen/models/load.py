"""Opening a face model, whatever format its file has."""

from os import PathLike
from pathlib import Path

import numpy as np

from uvgen.checks import shown
from uvgen.errors import InputError, ModelError, UvgenError
from uvgen.models.assembled import AssembledModel
from uvgen.models.checked import check_unchanged
from uvgen.models.complete import completed
from uvgen.models.folders import check_one_model, refuse_folder
from uvgen.models.formats import format_of
from uvgen.models.model_file import read_model
from uvgen.models.morphable import MorphableModel, hash_arrays
from uvgen.storage.kinds import describe_file
from uvgen.storage.names import os_reason
from uvgen.storage.reading import irregular

BUILTIN = "builtin"
"""The name by which `load_model` knows the model that comes with uvgen."""

_EXPECTED = "BFM.mat, a .h5 or another of those that docs/models.md lists"


def load_model(path: str | PathLike[str], *, untrusted: bool = False) -> MorphableModel:
    """Read a morphable model: uvgen's own ``.h5``, the built-in one, or a file or folder of a foreign format.

    Parameters
    ----------
    path : path-like
        ``"builtin"``, uvgen's own model; ``model.h5`` as `save_model` or ``uvgen model convert`` write it
        (opened in milliseconds, the bases stay on disk); face3d's ``BFM.mat`` with ``BFM_UV.mat`` and, where
        present, ``BFM_info.mat`` beside it; or a file or folder of a format that docs/models.md lists, recognized by
        its content. Foreign files are read whole, and what they lack, such as UV, is made again each time, which takes
        seconds: convert them once.
    untrusted : bool
        Read HDF5 in a child process: a file that breaks or hangs it then ends as a `ModelError`. It takes about half a
        second longer.

    Returns
    -------
    MorphableModel

    Raises
    ------
    InputError
        If `path` is not a path.
    ModelError
        If the file is missing, of another kind, or damaged; the message says what it is and what takes it. Also if
        it has no landmarks, or neither UV nor a mesh that UV can be made for; the message then names the option of
        ``uvgen model convert`` that adds them.

    Examples
    --------
    >>> uvgen.load_model("builtin").n_shape
    32
    """
    if not isinstance(path, (str, PathLike)):
        raise InputError(f"model: {shown(path)}, expected a MorphableModel, or the path of one")
    if path == BUILTIN:
        from uvgen.models.builtin import builtin_model

        return builtin_model()
    from uvgen.storage.isolated import reading_in_child

    with reading_in_child(untrusted):
        try:
            return _load(Path(path), untrusted=untrusted)
        except OSError as error:  # of looking at it: a folder that may not be entered, a name that is too long
            if isinstance(error, UvgenError):
                raise
            why = f"cannot be read ({os_reason(error)}), expected a model ({_EXPECTED})"
            raise ModelError(f"{error.filename or path}: {why}") from error


def where_read(given: MorphableModel | str | PathLike[str], model: MorphableModel) -> str | None:
    """Where a model, given as this, can be read again: its file, "builtin", or nowhere."""
    if given == BUILTIN:
        return BUILTIN
    return None if model.path is None else str(model.path)


def _load(path: Path, *, untrusted: bool) -> MorphableModel:
    if not path.exists():
        raise ModelError(f"{path}: no such file, expected a model ({_EXPECTED})")
    is_folder = path.is_dir()
    if not is_folder and (kind := irregular(path.stat().st_mode)) is not None:
        raise ModelError(f"{path}: {kind}, expected a model file ({_EXPECTED})")
    kind = "" if is_folder else describe_file(path)
    if kind != "a uvgen model" and (assembled := read_foreign(path)) is not None:
        return completed(assembled)
    if is_folder:
        raise refuse_folder(path)
    if path.suffix.lower() == ".mat" or kind.startswith("a MATLAB"):
        from uvgen.models.formats import face3d

        return face3d.read(path)
    return read_model(path, untrusted=untrusted)


def read_foreign(path: Path) -> AssembledModel | None:
    """What a file or folder of one of `uvgen.models.formats.FORMATS` brings; None if it is of none of them."""
    found = format_of(path)
    if found is None:
        return None
    if path.is_dir():
        check_one_model(path)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused later, by name
        assembled: AssembledModel = found.load().read(path)
    return assembled


def as_model(model: MorphableModel | str | PathLike[str], *, untrusted: bool = False) -> MorphableModel:
    """A model itself, or the one that `load_model` reads from a file."""
    return model if isinstance(model, MorphableModel) else load_model(model, untrusted=untrusted)


def check_model_file(model: MorphableModel | None) -> None:
    """Raise ModelError if a model's file, which its bases are mapped from, was overwritten since it was read.

    Call it between the last use of the bases and the first file that is written of what they gave.
    """
    if model is not None:
        check_unchanged(model, hash_arrays)
