"""What decides the results of `uvgen.predict_photographs`, beside network, model and faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_several, choice, shown
from uvgen.errors import InputError
from uvgen.fitting.options import FACES
from uvgen.images.crop import CROP_METHODS
from uvgen.models.morphable import MorphableModel
from uvgen.samples.read import EXIF

WRITTEN = {"mesh": ".obj", "landmarks": ".txt", "pose": ".json", "map": ".npy"}
"""What can be written of a face, and the suffix of its file. A drawing is a .png."""

CROPS = ("auto", *CROP_METHODS, "whole")
"""Where a face's crop comes from, see `predict_photographs`."""


class Drawing(Protocol):
    """What draws a face over its photograph: `uvgen.draw_alignment`."""

    def __call__(
        self, image: NDArray[np.uint8], face: NDArray[np.float32], kind: str, *, model: MorphableModel
    ) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """How faces are cropped, and which files are written for them.

    Attributes
    ----------
    faces : {"largest", "all"}
        Which faces of a photograph to process.
    crop : {"auto", "training", "prnet", "prnet-detector", "whole"}
        "training" is the training sets' square around the landmarks or box, "prnet" and "prnet-detector" PRNet's, see
        `uvgen.crop_from_box`. "auto": the first around landmarks, the last around boxes. "whole": photographs are crops
        already, and no face is looked for. If a face has not all of the 68 landmarks, the model is fitted to those
        that it has.
    exif : {"apply", "ignore"}
        Whether photographs are turned upright as their EXIF orientation says; results refer to the upright photograph.
    write : sequence of str
        Some of `WRITTEN`: "mesh", the face as .obj with the photograph's colors; "landmarks", 68 lines of x y z, px;
        "pose", angles, crop and more as .json; "map", the position map as .npy. All in px of the photograph.
    draw, kind
        `uvgen.draw_alignment`, or another function with its arguments, and the `kind` that it is given; without one,
        nothing is drawn.

    Raises
    ------
    InputError
        If one of them is out of range, or nothing is written or drawn.

    Examples
    --------
    >>> options = uvgen.PredictOptions(write=["map"], draw=uvgen.draw_alignment, kind="mesh")
    >>> uvgen.predict_photographs("network.onnx", "photos/", "predicted/", options=options)
    """

    faces: str = "largest"
    crop: str = "auto"
    exif: str = "apply"
    write: Sequence[str] = ("mesh", "landmarks", "pose")
    draw: Drawing | None = None
    kind: str = "sparse"

    def __post_init__(self) -> None:
        for value, name, allowed in (
            (self.faces, "faces", FACES), (self.crop, "crop", CROPS), (self.exif, "exif", EXIF),
        ):  # fmt: skip
            choice(value, name, allowed)
        check_several(self.write, "write")
        written = tuple(self.write)
        for item in written:
            choice(item, "write", tuple(WRITTEN))
        object.__setattr__(self, "write", tuple(dict.fromkeys(written)))
        if self.draw is not None and not callable(self.draw):
            raise InputError(f"draw: {shown(self.draw)}, expected a function such as uvgen.draw_alignment, or None")
        if not self.write and self.draw is None:
            raise InputError("write: nothing, and no drawing, expected one of them")
