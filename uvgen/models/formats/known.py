"""Files of face models by what is in them: so that an error names the one that was given, and where it belongs.

The parameters of 300W-LP and AFLW2000-3D belong to the Basel Face Model of 2009 as 3DDFA and face3d use it, which is
put together of several files; other models are read from theirs alone. Nothing here reads a model; the names of
variables are enough.
"""

from pathlib import Path

from uvgen.storage.kinds import describe_file
from uvgen.storage.matfile import variable_names

_OWN = (
    "a model of its own, which `uvgen model convert FILE` takes; the parameters of 300W-LP belong to the Basel Face "
    "Model of 2009"
)
TAKEN = "docs/models.md lists the files of models that are read"

_BY_VARIABLES = (
    ({"shapeMU", "shapePC"}, "01_MorphableModel.mat of the Basel Face Model 2009", "bfm"),
    ({"w_exp", "mu_exp"}, "3DDFA's Model_Expression.mat", "expression"),
    ({"trimIndex", "keypoints"}, "3DDFA's model_info.mat", "info"),
    ({"UV"}, "BFM_UV.mat", "uv"),
    ({"tri_mouth"}, "3DDFA's Model_tri_mouth.mat", "mouth"),
    ({"model"}, "face3d's BFM.mat", "face3d"),
    ({"model_info"}, "face3d's BFM_info.mat, which belongs beside its BFM.mat", ""),
    ({"meanshape", "idBase"}, f"Deep3DFaceRecon's BFM_model_front.mat, {_OWN}", ""),
    ({"point_buf", "keypoints"}, "Deep3DFaceRecon's facemodel_info.mat, a part of its model", ""),
    ({"vertex_code"}, "3DDFA's vertex_code.mat, not a model", ""),
    ({"Pose_Para", "Shape_Para"}, "the parameters of a sample, as 300W-LP has them, not a model", ""),
)
"""Variables that tell a MATLAB file, what it is, and the option of `uvgen model convert` that takes it."""

_BY_KIND = {
    "a Basel Face Model of 2017 or 2019": _OWN,
    "a Python pickle, 3DDFA_V2's face model": _OWN,
    "a Python pickle, a model of the FLAME or SMPL family": _OWN,
    "a Python pickle": "",
    "a PyTorch file": "",
    "an OBJ mesh": "`uvgen model parameterize` makes a model of a mesh",
    "a PLY mesh": "`uvgen model parameterize` makes a model of a mesh",
    "an OFF mesh": "`uvgen model parameterize` makes a model of a mesh",
    "a ZIP archive": "unpack it",
    "a tar archive": "unpack it",
    "a gzip archive": "unpack it",
    "a RAR archive": "unpack it",
    "a 7z archive": "unpack it",
    "a shard of a uvgen data set": "",
    "an HDF5 file": "",
}
"""Kinds of files, as `describe_file` names them, and what is to be known of them."""


def recognize(path: Path) -> tuple[str, str] | None:
    """What a model's MATLAB file is, and its option of `uvgen model convert` ("" for none); None if unknown."""
    names = variables(path)
    return next(((what, argument) for wanted, what, argument in _BY_VARIABLES if wanted <= names), None)


def advice(path: Path) -> str:
    """What a file is that was given where a part of a model is wanted, and which argument takes it: ``"; it is …"``.

    Empty if there is nothing to be said of it.
    """
    if (found := recognize(path)) is not None:
        what, argument = found
        where = f", the file for argument `{argument}` of `uvgen model convert`" if argument else ""
        return f"; it is {what}{where}"
    kind = describe_file(path)
    if kind in _BY_KIND:
        return f"; {_BY_KIND[kind] or TAKEN}"
    if kind.startswith("a MATLAB"):
        return ""
    failed = kind.startswith(("an HTML", "an empty", "nothing but", "a file of unknown kind", "a Git LFS"))
    return "; download it again" if failed else f"; {TAKEN}"


def variables(path: Path) -> set[str]:
    """Names of a MATLAB file's variables; none if it is no such file or damaged."""
    kind = describe_file(path)
    try:
        if kind == "a MATLAB 7.3 file":
            from uvgen.storage.hdf5_reading import open_hdf5

            with open_hdf5(path, user_block=512) as file:
                return set(file.names)
        if kind.startswith("a MATLAB"):
            return variable_names(path)
    except MemoryError:
        raise
    except Exception:  # a damaged file: errors of any type
        return set()
    return set()
