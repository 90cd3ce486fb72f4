"""uvgen's own model file from the files that a model's authors distribute: the whole job of `uvgen model convert`."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from uvgen.checks import check_instance, check_paths, shown
from uvgen.described import described
from uvgen.errors import InputError, OutputError
from uvgen.models.complete import completed
from uvgen.models.formats import bfm2009, bfm_whole, known
from uvgen.models.load import as_model, load_model, read_foreign
from uvgen.models.model_file import save_model
from uvgen.models.morphable import MorphableModel
from uvgen.models.supplements import Supplements, optional_path
from uvgen.storage.isolated import reading_in_child

BASEL_FILES = {
    "bfm": "01_MorphableModel.mat", "expression": "Model_Expression.mat", "info": "model_info.mat", "uv": "BFM_UV.mat"
}  # fmt: skip
"""The files that the Basel model needs, by their names in `BaselFiles`."""


@dataclass(frozen=True, slots=True, eq=False)
class ConvertResult:
    """The result of `uvgen.convert_model`: the model, its file, and the seconds that it took."""

    model: MorphableModel
    file: Path
    seconds: float

    __repr__ = described


@dataclass(frozen=True, slots=True)
class BaselFiles:
    """The files of the Basel Face Model 2009, as 300W-LP's parameters need them.

    Attributes
    ----------
    bfm : path-like
        ``01_MorphableModel.mat``, from the University of Basel.
    expression, info : path-like
        ``Model_Expression.mat`` and ``model_info.mat``, from 3DDFA.
    uv : path-like
        ``BFM_UV.mat``, from 3DMMasSTN or face3d.
    mouth : path-like, optional
        ``Model_tri_mouth.mat``, from 3DDFA; without it the mouth is closed from the mesh's own hole.

    Raises
    ------
    InputError
        If one of them is not a path.

    Examples
    --------
    >>> files = uvgen.BaselFiles("01_MorphableModel.mat", "Model_Expression.mat", "model_info.mat", "BFM_UV.mat")
    >>> uvgen.convert_model("bfm.h5", basel=files).model.n_vertices
    53215
    """

    bfm: str | os.PathLike[str]
    expression: str | os.PathLike[str]
    info: str | os.PathLike[str]
    uv: str | os.PathLike[str]
    mouth: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        for name, file in BASEL_FILES.items():
            path = getattr(self, name)
            if not isinstance(path, (str, os.PathLike)):
                raise InputError(f"{name}: {shown(path)}, expected the path of {file}")
            object.__setattr__(self, name, Path(path))
        object.__setattr__(self, "mouth", optional_path(self.mouth, "mouth"))


def convert_model(
    out: str | os.PathLike[str],
    *files: str | os.PathLike[str],
    basel: BaselFiles | None = None,
    supplements: Supplements = Supplements(),
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
        A file or folder of any format that `load_model` reads, such as face3d's ``BFM.mat`` with ``BFM_UV.mat`` beside
        it; or the files of the Basel Face Model 2009 in any order, recognized by their content.
    basel : BaselFiles, optional
        These files by name, in place of `files`.
    supplements : Supplements
        With the file of another model: UV, landmarks and what else it lacks.
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
        If files are missing or given twice, arguments do not go together, or an argument is of the wrong type.
    ModelError
        If a file is missing, damaged or of another kind.
    OutputError
        If the file exists and `overwrite` is false, or it cannot be written.

    Examples
    --------
    >>> uvgen.convert_model("bfm.h5", "BFM.mat").model.n_vertices
    53215
    >>> supplements = uvgen.Supplements(uv_from="bfm.h5")
    >>> uvgen.convert_model("tddfa.h5", "bfm_noneck_v3.pkl", supplements=supplements).model.n_vertices
    38365
    """
    check_paths(out=out)
    for file in files:
        check_paths(files=file)
    started = time.perf_counter()
    if basel is not None:
        check_instance(basel, "basel", BaselFiles, "uvgen.BaselFiles(bfm=…, expression=…, info=…, uv=…)")
    check_instance(supplements, "supplements", Supplements, 'uvgen.Supplements(uv_from="bfm.h5")')
    out = Path(out)
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists, expected a new file; choose another, or overwrite this one")
    if basel is not None and files:
        raise InputError(f"basel: given with {files[0]}, expected one or the other")
    paths = [Path(path) for path in files]
    with reading_in_child(untrusted):
        if basel is None and (len(paths) > 1 or (paths and _part_of(paths[0]))):
            basel = _told_apart(paths)
        if basel is not None:
            _refuse("the files of the Basel Face Model 2009", supplements)
            read: Callable[..., MorphableModel] = bfm_whole.read if keep_all else bfm2009.read
            model = read(basel.bfm, basel.expression, basel.info, basel.uv, basel.mouth)
        elif not paths:
            raise InputError(
                f"files: none, expected a model's file or folder, or those of the Basel Face Model 2009, "
                f"{', '.join(BASEL_FILES.values())}"
            )
        elif keep_all:
            raise InputError(f"keep_all: given with {paths[0]}, expected the files of the Basel Face Model 2009")
        else:
            model = _foreign(paths[0], supplements, untrusted)
    save_model(model, out)
    return ConvertResult(model, out, time.perf_counter() - started)


def _part_of(path: Path) -> str:
    """The name in `BaselFiles` of a file that is one of the Basel model's; "" if it is none of them."""
    found = known.recognize(path) if path.is_file() else None
    name = "" if found is None else found[1]
    return name if name in (*BASEL_FILES, "mouth") else ""


def _refuse(what: str, supplements: Supplements) -> None:
    """Raise InputError if something is given that does not go with the model's files."""
    if given := supplements.names():
        raise InputError(f"{given[0]}: given with {what}, expected it with the file of another model alone")


def _told_apart(paths: Sequence[Path]) -> BaselFiles:
    """The Basel model's files, told by their variables."""
    found: dict[str, Path] = {}
    for path in paths:
        name = _part_of(path)
        if not name:
            advice = known.advice(path) if path.is_file() else ""
            raise InputError(
                f"{path}: not one of the files of the Basel Face Model 2009, expected these, or one model's file or "
                f"folder alone{advice}"
            )
        if name in found:
            raise InputError(f"{path}: a second file for argument `{name}`, expected one beside {found[name]}")
        found[name] = path
    if lacking := [file for name, file in BASEL_FILES.items() if name not in found]:
        raise InputError(
            f"{', '.join(map(str, paths))}: not all files of the Basel Face Model 2009, expected {', '.join(lacking)} "
            "too"
        )
    return BaselFiles(**found)


def _foreign(path: Path, supplements: Supplements, untrusted: bool) -> MorphableModel:
    """The model of one file or folder, with what the user gives beside it."""
    if not path.exists() or (assembled := read_foreign(path)) is None:
        model = load_model(path, untrusted=untrusted)  # first, to say what is wrong with a file that is no model
        _refuse(str(path), supplements)
        return model
    larger = supplements.uv_from
    opened = None if larger is None else as_model(larger, untrusted=untrusted)
    return completed(assembled, replace(supplements, uv_from=opened))
