"""uvgen's own model file from the files that a model's authors distribute: the whole job of `uvgen model convert`."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvgen.checks import check_optional_paths, check_paths
from uvgen.described import described
from uvgen.errors import InputError, OutputError
from uvgen.models.complete import Supplements, completed
from uvgen.models.formats import bfm2009, bfm_whole, known
from uvgen.models.load import as_model, load_model, read_foreign
from uvgen.models.morphable import MorphableModel, save_model
from uvgen.storage.isolated import reading_in_child


@dataclass(frozen=True, slots=True, eq=False)
class ConvertResult:
    """The result of `uvgen.convert_model`: the model, its file, and the seconds that it took."""

    model: MorphableModel
    file: Path
    seconds: float

    __repr__ = described


def convert_model(
    out: str | os.PathLike[str],
    *files: str | os.PathLike[str],
    bfm: str | os.PathLike[str] | None = None,
    expression: str | os.PathLike[str] | None = None,
    info: str | os.PathLike[str] | None = None,
    uv: str | os.PathLike[str] | None = None,
    mouth: str | os.PathLike[str] | None = None,
    face3d: str | os.PathLike[str] | None = None,
    uv_from: MorphableModel | str | os.PathLike[str] | None = None,
    indices: str | os.PathLike[str] | None = None,
    landmarks: str | os.PathLike[str] | None = None,
    keep_all: bool = False,
    overwrite: bool = False,
    untrusted: bool = False,
) -> ConvertResult:
    """Make uvgen's own model file; MATLAB is not needed.

    Parameters
    ----------
    out : path-like
        The file to write, ``.h5``.
    *files : path-like
        A file or folder of any format that `load_model` reads; or, in any order, the files that `bfm` to `mouth`
        name, recognized by their content.
    bfm : path-like
        ``01_MorphableModel.mat``, from the University of Basel.
    expression, info : path-like
        ``Model_Expression.mat`` and ``model_info.mat``, from 3DDFA.
    uv : path-like
        ``BFM_UV.mat``, from 3DMMasSTN or face3d. With a foreign model: UV of its vertices in place of what its files
        bring, ``.npy`` (n, 2), ``.mat`` with a variable UV, or ``.obj`` with texture coordinates.
    mouth : path-like, optional
        ``Model_tri_mouth.mat``, from 3DDFA; without it the mouth is closed from the mesh's own hole.
    face3d : path-like
        In place of all these: face3d's ``BFM.mat``, with ``BFM_UV.mat`` beside it.
    uv_from : MorphableModel or path-like, optional
        With a foreign model: a larger model of the same mesh, of which it takes UV and mouth, and what else its own
        files lack: landmarks, regions, mirror pairs, albedo, standard deviations.
    indices : path-like, optional
        The vertex of `uv_from`, or row of `uv`, of each vertex; ``.npy`` and text count from 0, ``.mat`` from 1.
        Without it the vertices must be as many, or lie in the same places.
    landmarks : path-like, optional
        With a foreign model: the vertices of the 68 iBUG points; text, ``.npy``, ``.mat`` or ``.anl``.
    keep_all : bool
        With the files of the Basel model: keep all 53,490 vertices, where 3DDFA's trimmed model has 53,215.
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
        If files are missing, given beside `face3d` or twice, or arguments do not go together.
    ModelError
        If a file is missing, damaged or of another kind.
    OutputError
        If the file exists and `overwrite` is false, or it cannot be written.

    Examples
    --------
    >>> uvgen.convert_model("bfm.h5", face3d="BFM.mat").model.n_vertices
    53215
    >>> uvgen.convert_model("tddfa.h5", "bfm_noneck_v3.pkl", uv_from="bfm.h5").model.n_vertices
    38365
    """
    check_paths(out=out)
    for file in files:
        check_paths(files=file)
    check_optional_paths(
        bfm=bfm, expression=expression, info=info, uv=uv, mouth=mouth, face3d=face3d, indices=indices,
        landmarks=landmarks,
    )  # fmt: skip
    started = time.perf_counter()
    out = Path(out)
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists, expected a new file; choose another, or overwrite this one")
    given = {"bfm": bfm, "expression": expression, "info": info, "uv": uv, "mouth": mouth}
    parts = {name: Path(path) for name, path in given.items() if path is not None}
    supplements = {"uv_from": uv_from, "indices": indices, "landmarks": landmarks}
    with reading_in_child(untrusted):
        of_parts = len(files) > 1 or (len(files) == 1 and _part_of(Path(files[0])) != "")
        if of_parts:
            parts |= _told_apart([Path(path) for path in files], parts)
        if face3d is not None:
            if files or parts:
                raise InputError("face3d: given with other files, expected it alone or the others")
            _refuse("face3d", supplements | {"keep_all": keep_all or None})
            model = load_model(face3d, untrusted=untrusted)
        elif files and not of_parts:
            if set(parts) - {"uv"}:
                raise InputError(f"{min(set(parts) - {'uv'})}: given with {files[0]}, expected one model's files")
            model = _foreign(Path(files[0]), parts.get("uv"), supplements, keep_all, untrusted)
        else:
            _refuse("bfm", supplements)
            missing = [name for name in _PARTS if name not in parts]
            if missing:
                raise InputError(_missing(missing, files))
            read: Callable[..., MorphableModel] = bfm_whole.read if keep_all else bfm2009.read
            model = read(*(parts[name] for name in _PARTS), parts.get("mouth"))
    save_model(model, out)
    return ConvertResult(model, out, time.perf_counter() - started)


_PARTS = {
    "bfm": "01_MorphableModel.mat", "expression": "Model_Expression.mat", "info": "model_info.mat", "uv": "BFM_UV.mat"
}  # fmt: skip
"""Arguments that the Basel model needs, and the names of their files."""


def _missing(names: Sequence[str], files: Sequence[object]) -> str:
    """An error that names the files of the Basel model that were not given."""
    if not files:
        return f"{names[0]}: none, expected {', '.join(_PARTS)}, or face3d alone"
    found, lacking = ", ".join(str(file) for file in files), ", ".join(_PARTS[name] for name in names)
    return f"{found}: not all files of the Basel Face Model 2009, expected {lacking} too"


def _part_of(path: Path) -> str:
    """The argument that takes a file as one of the Basel model's; "" if it is none of them."""
    found = known.recognize(path) if path.is_file() else None
    name = "" if found is None else found[1]
    return name if name in (*_PARTS, "mouth") else ""


def _refuse(what: str, unwanted: Mapping[str, object]) -> None:
    """Raise InputError if something is given that does not go with the model's files."""
    found = next((name for name, value in unwanted.items() if value is not None), None)
    if found is not None:
        raise InputError(f"{found}: given with {what}, expected it with the file of another model alone")


def _told_apart(files: list[Path], parts: Mapping[str, Path]) -> dict[str, Path]:
    """The Basel model's files by the arguments that take them, told by their variables."""
    found: dict[str, Path] = {}
    for path in files:
        name = _part_of(path)
        if not name:
            advice = known.advice(path) if path.is_file() else ""
            raise InputError(
                f"{path}: not one of the files of the Basel Face Model 2009, expected these, or one model's file or "
                f"folder alone{advice}"
            )
        if name in found or name in parts:
            raise InputError(
                f"{path}: a second file for argument `{name}`, expected one beside {found.get(name, parts.get(name))}"
            )
        found[name] = path
    return found


def _foreign(
    path: Path, uv: Path | None, supplements: Mapping[str, Any], keep_all: bool, untrusted: bool
) -> MorphableModel:
    """The model of one file or folder, with what the user gives beside it."""
    if keep_all:
        raise InputError(f"keep_all: given with {path}, expected the files of the Basel Face Model 2009")
    if not path.exists() or (assembled := read_foreign(path)) is None:
        model = load_model(path, untrusted=untrusted)  # first, to say what is wrong with a file that is no model
        _refuse(str(path), {"uv": uv, **supplements})
        return model
    larger, indices, landmarks = supplements["uv_from"], supplements["indices"], supplements["landmarks"]
    return completed(
        assembled,
        Supplements(
            uv=uv,
            uv_from=None if larger is None else as_model(larger, untrusted=untrusted),
            indices=None if indices is None else Path(indices),
            landmarks=None if landmarks is None else Path(landmarks),
        ),
    )
