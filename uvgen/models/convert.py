"""uvgen's own model file from the files that a model's authors distribute: the whole job of `uvgen model convert`."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from uvgen.errors import InputError, OutputError
from uvgen.models.formats import bfm2009
from uvgen.models.load import load_model
from uvgen.models.morphable import MorphableModel, save_model
from uvgen.storage.isolated import reading_in_child


@dataclass(frozen=True, slots=True, eq=False)
class ConvertResult:
    """What `uvgen.convert_model` wrote: the model, its file, and the seconds that it took."""

    model: MorphableModel
    file: Path
    seconds: float


def convert_model(
    out: str | os.PathLike[str],
    *,
    bfm: str | os.PathLike[str] | None = None,
    expression: str | os.PathLike[str] | None = None,
    info: str | os.PathLike[str] | None = None,
    uv: str | os.PathLike[str] | None = None,
    mouth: str | os.PathLike[str] | None = None,
    face3d: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    untrusted: bool = False,
) -> ConvertResult:
    """Make uvgen's own model file; MATLAB is not needed.

    Parameters
    ----------
    out : path-like
        The file to write, ``.h5``.
    bfm : path-like
        ``01_MorphableModel.mat``, from the University of Basel.
    expression, info : path-like
        ``Model_Expression.mat`` and ``model_info.mat``, from 3DDFA.
    uv : path-like
        ``BFM_UV.mat``, from 3DMMasSTN or face3d.
    mouth : path-like, optional
        ``Model_tri_mouth.mat``, from 3DDFA; without it the mouth is closed from the mesh's own hole.
    face3d : path-like
        In place of all these: face3d's ``BFM.mat``, with ``BFM_UV.mat`` beside it.
    overwrite : bool
        Whether to replace an existing file.
    untrusted : bool
        Read HDF5 (MATLAB 7.3) in a child process, see `uvgen.load_model`.

    Returns
    -------
    ConvertResult

    Raises
    ------
    InputError
        Where files are missing, or given beside `face3d`.
    ModelError
        Where a file is missing, damaged or of another kind.
    OutputError
        Where the file exists and `overwrite` is false, or it cannot be written.

    Examples
    --------
    >>> uvgen.convert_model("bfm.h5", face3d="BFM.mat").model.n_vertices
    53215
    """
    started = time.perf_counter()
    out = Path(out)
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists, expected a new file; choose another, or overwrite this one")
    parts = {"bfm": bfm, "expression": expression, "info": info, "uv": uv}
    if face3d is not None:
        if mouth is not None or any(path is not None for path in parts.values()):
            raise InputError("face3d: given with other files, expected it alone or the others")
        model = load_model(face3d, untrusted=untrusted)
    else:
        missing = [name for name, path in parts.items() if path is None]
        if bfm is None or expression is None or info is None or uv is None:
            raise InputError(f"{missing[0]}: none, expected {', '.join(parts)}, or face3d alone")
        mouth = None if mouth is None else Path(mouth)
        with reading_in_child(untrusted):
            model = bfm2009.read(Path(bfm), Path(expression), Path(info), Path(uv), mouth)
    save_model(model, out)
    return ConvertResult(model, out, time.perf_counter() - started)
