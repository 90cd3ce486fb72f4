"""Opening a face model, whatever format its file has."""

from os import PathLike
from pathlib import Path

from uvgen.errors import ModelError
from uvgen.models.morphable import MorphableModel, read_model
from uvgen.storage.folders import MODELS, OTHER, folder_kind
from uvgen.storage.kinds import describe_file
from uvgen.storage.reading import irregular

BUILTIN = "builtin"
"""What `load_model` takes for the model that comes with uvgen."""


def load_model(path: str | PathLike[str], *, untrusted: bool = False) -> MorphableModel:
    """Read a morphable model: uvgen's own ``.h5``, face3d's ``BFM.mat``, or the built-in one.

    Parameters
    ----------
    path : path-like
        ``"builtin"``, uvgen's own model; ``model.h5`` as `save_model` or ``uvgen model convert`` write it
        (opened in milliseconds, the bases stay on disk); or face3d's ``BFM.mat`` with ``BFM_UV.mat`` and, where
        present, ``BFM_info.mat`` beside it (read whole).
    untrusted : bool
        Read HDF5 in a child process: a file that breaks or hangs it then ends as a `ModelError`. It takes about half a
        second longer.

    Returns
    -------
    MorphableModel

    Raises
    ------
    ModelError
        Where the file is missing, of another kind, or damaged; the message says what it is and what takes it.

    Examples
    --------
    >>> uvgen.load_model("builtin").n_shape
    32
    """
    if path == BUILTIN:
        from uvgen.models.builtin import builtin_model

        return builtin_model()
    from uvgen.storage.isolated import reading_in_child

    with reading_in_child(untrusted):
        return _load(Path(path), untrusted=untrusted)


def _load(path: Path, *, untrusted: bool) -> MorphableModel:
    if path.is_dir():
        found = folder_kind(path)
        advice = "; name the one in it" if found in (OTHER, MODELS) else ""
        raise ModelError(f"{path}: is {found}, expected a model file (BFM.mat or a .h5){advice}")
    if not path.exists():
        raise ModelError(f"{path}: no such file, expected a model (BFM.mat or a .h5)")
    if (kind := irregular(path.stat().st_mode)) is not None:
        raise ModelError(f"{path}: {kind}, expected a model file (BFM.mat or a .h5)")
    if path.suffix.lower() == ".mat" or describe_file(path).startswith("a MATLAB"):
        from uvgen.models.formats import face3d

        return face3d.read(path)
    return read_model(path, untrusted=untrusted)


def as_model(model: MorphableModel | str | PathLike[str], *, untrusted: bool = False) -> MorphableModel:
    """A model itself, or the one that `load_model` reads from a file."""
    return model if isinstance(model, MorphableModel) else load_model(model, untrusted=untrusted)
