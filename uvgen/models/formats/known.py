"""Files of face models by what is in them: so that an error names the one that was given, and where it belongs.

uvgen reads one family of models, the Basel Face Model of 2009 as 3DDFA and face3d use it, since the parameters of
300W-LP and AFLW2000-3D belong to it. Nothing here reads a model; the names of variables are enough.
"""

from pathlib import Path

from uvgen.storage.kinds import describe_file
from uvgen.storage.matfile import variable_names

_TAKEN = "uvgen takes the Basel Face Model of 2009, to which the parameters of 300W-LP belong"

_BY_VARIABLES = (
    ({"shapeMU", "shapePC"}, "01_MorphableModel.mat of the Basel Face Model 2009", "--bfm"),
    ({"w_exp", "mu_exp"}, "3DDFA's Model_Expression.mat", "--expression"),
    ({"trimIndex", "keypoints"}, "3DDFA's model_info.mat", "--info"),
    ({"UV"}, "BFM_UV.mat", "--uv"),
    ({"tri_mouth"}, "3DDFA's Model_tri_mouth.mat", "--mouth"),
    ({"model"}, "face3d's BFM.mat", "--face3d"),
    ({"model_info"}, "face3d's BFM_info.mat, which belongs beside its BFM.mat", ""),
    ({"meanshape", "idBase"}, "Deep3DFaceRecon's BFM_model_front.mat, another model", ""),
    ({"point_buf", "keypoints"}, "Deep3DFaceRecon's facemodel_info.mat, not a model", ""),
    ({"vertex_code"}, "3DDFA's vertex_code.mat, not a model", ""),
    ({"Pose_Para", "Shape_Para"}, "the parameters of a sample, as 300W-LP has them, not a model", ""),
)
"""Variables that tell a MATLAB file, what it is, and the option of `uvgen model convert` that takes it."""

_BY_KIND = {
    "a Basel Face Model of 2017 or 2019": "another model than the one of 2009",
    "a Python pickle, 3DDFA_V2's face model": "made of the model of 2009, but with fewer components",
    "a Python pickle, a model of the FLAME or SMPL family": "another model than the one of 2009",
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
    """What a model's MATLAB file is, and its option of `uvgen model convert` ("" for none); None where unknown."""
    names = _variables(path)
    return next(((what, option) for wanted, what, option in _BY_VARIABLES if wanted <= names), None)


def advice(path: Path) -> str:
    """What a file is that was given where a part of a model is wanted, and which option takes it: ``"; it is …"``.

    Empty where there is nothing to be said of it.
    """
    if (found := recognize(path)) is not None:
        what, option = found
        where = f", the file for {option} of `uvgen model convert`" if option else ""
        where += f"; {_TAKEN}" * ("another model" in what)
        return f"; it is {what}{where}"
    kind = describe_file(path)
    if kind in _BY_KIND:
        return "".join(f"; {part}" for part in (_BY_KIND[kind], _TAKEN) if part)
    return "" if kind.startswith("a MATLAB") else "; download it again"


def _variables(path: Path) -> set[str]:
    """Names of a MATLAB file's variables; none where it is no such file or damaged."""
    kind = describe_file(path)
    try:
        if kind == "a MATLAB 7.3 file":
            from uvgen.storage.hdf5_reading import open_hdf5

            with open_hdf5(path, user_block=512) as file:
                return set(file.names)
        if kind.startswith("a MATLAB"):
            return variable_names(path)
    except Exception:  # a damaged file: errors of any type
        return set()
    return set()
