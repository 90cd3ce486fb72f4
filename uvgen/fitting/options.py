"""Options that determine how faces are fitted: the settings of `uvgen.fit_photographs` and `uvgen.fit_video`."""

from dataclasses import dataclass

from uvgen.checks import choice, number_in, true_or_false
from uvgen.errors import InputError
from uvgen.fitting.landmarks import JAWS
from uvgen.samples.read import EXIF

FACES = ("largest", "all")


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How faces in photographs are fitted.

    Attributes
    ----------
    faces : {"largest", "all"}
        Which faces of a photograph to fit.
    jaw : {"contour", "fixed"}
        See `uvgen.fit_landmarks`.
    same_person : bool
        Whether the photographs in each folder show one person, and one shape is fitted to all of them; only with the
        largest faces.
    refine : bool
        Whether faces are brought closer to their photographs, by the colors that the model gives them; it needs an
        albedo. See `uvgen.fitting.refine`.
    max_residual : float, optional
        Leave out faces with a larger residual, as a share of the face's size: 0.05 is 5%. The default is 0.15, above
        which landmarks are not a face's.
    exif : {"apply", "ignore"}
        Whether photographs are turned upright as their EXIF orientation says, and written so. Landmark files
        refer to the photographs as written.

    Raises
    ------
    InputError
        If one of them is out of range, or two exclude each other.

    Examples
    --------
    >>> uvgen.fit_photographs("photos/", "fitted/", options=uvgen.FitOptions(faces="all"))
    """

    faces: str = "largest"
    jaw: str = "contour"
    same_person: bool = False
    refine: bool = False
    max_residual: float | None = None
    exif: str = "apply"

    def __post_init__(self) -> None:
        choice(self.faces, "faces", FACES)
        choice(self.jaw, "jaw", JAWS)
        choice(self.exif, "exif", EXIF)
        object.__setattr__(self, "same_person", true_or_false(self.same_person, "same_person"))
        object.__setattr__(self, "refine", true_or_false(self.refine, "refine"))
        if self.same_person and self.faces == "all":
            raise InputError("same_person: with faces = all, expected largest: others in the pictures are other people")
        if self.max_residual is not None:
            object.__setattr__(self, "max_residual", number_in(self.max_residual, "max_residual", 0))
        if self.refine and self.same_person:
            raise InputError("refine: does not go with same_person, which gives all photographs one shape")


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """How the face of a video is fitted.

    Attributes
    ----------
    jaw : {"contour", "fixed"}
        See `uvgen.fit_landmarks`.
    smoothness : float
        1 fits how people usually move. More makes pose and expression smoother; 0 fits each frame on its own.
    fps : float, optional
        Frames per second: of a folder of frames, 25 by default; of a video file, in place of its own times.
    max_residual : float, optional
        Leave out frames with a larger residual, as a share of the face's size: 0.05 is 5%. The default is 0.15, above
        which landmarks are not a face's.
    exif : {"apply", "ignore"}
        Whether pictures are turned upright as the video, or the frame's EXIF orientation, says.

    Raises
    ------
    InputError
        If one of them is out of range.

    Examples
    --------
    >>> uvgen.fit_video("clip.mp4", "fitted/", options=uvgen.VideoOptions(smoothness=2))
    """

    jaw: str = "contour"
    smoothness: float = 1.0
    fps: float | None = None
    max_residual: float | None = None
    exif: str = "apply"

    def __post_init__(self) -> None:
        choice(self.jaw, "jaw", JAWS)
        choice(self.exif, "exif", EXIF)
        object.__setattr__(self, "smoothness", float(number_in(self.smoothness, "smoothness", 0)))
        if self.fps is not None:
            object.__setattr__(self, "fps", float(number_in(self.fps, "fps", 0.001, 100_000)))
        if self.max_residual is not None:
            object.__setattr__(self, "max_residual", number_in(self.max_residual, "max_residual", 0))
