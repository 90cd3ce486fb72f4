"""Readers of foreign morphable-model files, one module a format.

A module of `FORMATS` has `recognizes(path) -> bool`, true of a file or folder of its kind by what is in it, never an
error, and `read(path) -> AssembledModel`, which gives what the files bring, in µm; `uvgen.models.complete` adds the
rest. The two oldest, `face3d` and `bfm2009`, make a whole model themselves.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """A format of model files that `load_model` and `uvgen model convert` recognize.

    Attributes
    ----------
    module : str
        In this package; imported if a file may be of its kind.
    what : str
        Its file, for messages.
    folder : str
        What a folder of the format holds, for messages; empty if it is one file.
    """

    module: str
    what: str
    folder: str = ""

    def load(self) -> Any:
        """The module with `recognizes` and `read`."""
        return import_module(f"{__name__}.{self.module}")


FORMATS = (
    ModelFormat("tddfa_v2", "3DDFA_V2's bfm_noneck_v3.pkl with its tri.pkl", "3DDFA's .npy parts"),
    ModelFormat("deep3d", "Deep3DFaceRecon's BFM_model_front.mat", "the files that BFM_model_front.mat is made of"),
    ModelFormat("statismo", "the .h5 of the Basel Face Model of 2017 or 2019"),
    ModelFormat("flame", "FLAME's generic_model.pkl or .npz"),
    ModelFormat("gnm", "Google's gnm_head.npz"),
    ModelFormat("ict", "ICT-FaceKit's generic_neutral_mesh.obj", "ICT-FaceKit's FaceXModel"),
)
"""In the order in which they are tried; each is told apart by its own names of variables."""


FOLDERS = tuple(item.folder for item in FORMATS if item.folder)
"""What folders that are read hold, for messages."""


def format_of(path: Path) -> ModelFormat | None:
    """The first format whose module recognizes a file or folder; None if none does."""
    return next((item for item in FORMATS if item.load().recognizes(path)), None)
