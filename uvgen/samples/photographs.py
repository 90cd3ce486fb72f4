"""The photograph that a sample comes from, by its name: 300W-LP's versions, mirror images, faces, frames of videos."""

import re

_FLIP = "_Flip"
_VERSION = re.compile(r"(.+_\d+)_(\d{1,255})(-\d+)?")  # no file's name is longer, and `int` reads 4300 digits at most
_FURTHER = re.compile(r"(.+)[-_]face\d+", re.DOTALL)  # of a photograph: by `uvgen fit --faces all`, or in a list
_FRAME = re.compile(r"(?:(.+)_)?frame_\d{6,}", re.DOTALL)  # of a video, by `uvgen fit --video`
_FACE = re.compile(r"(.+?_\d+)(?:_\d+)?_\d+")  # photograph, number of the face in it, version


def unflipped(subset: str) -> str:
    """A subset's name without ``_Flip``, in whatever case."""
    return subset[: -len(_FLIP)] if subset.lower().endswith(_FLIP.lower()) else subset


def photograph_of(name: str) -> tuple[str, int] | None:
    """Photograph and number of a turned version by a 300W-LP sample's name; None for another kind of name.

    ``IBUG/IBUG_image_008_1_0`` is version 0, which is not turned, of ``IBUG/IBUG_image_008_1``; names of augmented
    copies end in ``-0`` and so on besides.
    """
    found = _VERSION.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))


def source_photograph(name: str) -> str:
    """The photograph that a 300W-LP sample comes from, by its name; any other sample is a photograph of its own.

    Parameters
    ----------
    name : str
        Of a sample, not of an augmented copy.

    Returns
    -------
    str
        Equal for all turned versions, the mirror images and the several faces of a photograph:
        ``IBUG/IBUG_image_008`` for ``IBUG/IBUG_image_008_1_0``, ``IBUG/IBUG_image_008_2_3`` and
        ``IBUG_Flip/IBUG_image_008_1_0``. Only names that begin with their subset's are read so, as all of 300W-LP do.
        Of any name, what says that it is a further face, as in ``me/party-face2``, does not count. Frames of a video,
        ``clip/frame_000123``, come from one: ``clip``.
    """
    folder, slash, stem = name.rpartition("/")
    subset = unflipped(folder)
    if further := _FURTHER.fullmatch(stem):
        stem = further[1]
    if frame := _FRAME.fullmatch(stem):
        return f"{subset}{slash}{frame[1]}" if frame[1] else subset
    found = _FACE.fullmatch(stem) if stem.lower().startswith(f"{subset.lower()}_") else None
    return f"{subset}{slash}{found[1] if found else stem}"
