"""What users give in addition to a model's own files."""

import os
from dataclasses import dataclass
from pathlib import Path

from uvgen.checks import shown
from uvgen.errors import InputError
from uvgen.models.morphable import MorphableModel


@dataclass(frozen=True, slots=True)
class Supplements:
    """What a model's own files lack, or what replaces something in them.

    Attributes
    ----------
    uv : path-like, optional
        UV of its vertices: ``.npy`` (n, 2), ``.mat`` with a variable UV, or ``.obj`` with texture coordinates.
    uv_from : MorphableModel or path-like, optional
        A larger model of the same mesh, of which it takes UV and mouth, and what else its own files lack: landmarks,
        regions, mirror pairs, albedo, standard deviations.
    indices : path-like, optional
        The vertex of `uv_from`, or row of `uv`, of each vertex; ``.npy`` and text count from 0, ``.mat`` from 1.
        Without it the vertices must be as many, or lie in the same places.
    landmarks : path-like, optional
        The vertices of the 68 iBUG points: text, ``.npy``, ``.mat`` or ``.anl``; or FLAME's file of points on
        triangles.

    Raises
    ------
    InputError
        If one of them has the wrong type.

    Examples
    --------
    >>> supplements = uvgen.Supplements(uv_from="bfm.h5")
    >>> uvgen.convert_model("tddfa.h5", "bfm_noneck_v3.pkl", supplements=supplements).model.n_vertices
    38365
    """

    uv: str | os.PathLike[str] | None = None
    uv_from: MorphableModel | str | os.PathLike[str] | None = None
    indices: str | os.PathLike[str] | None = None
    landmarks: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.uv_from, (MorphableModel, str, os.PathLike, type(None))):
            raise InputError(f"uv_from: {shown(self.uv_from)}, expected a model, the path of its file, or None")
        for name in ("uv", "indices", "landmarks"):
            object.__setattr__(self, name, optional_path(getattr(self, name), name))

    def names(self) -> list[str]:
        """Names of those that are given."""
        return [name for name in ("uv", "uv_from", "indices", "landmarks") if getattr(self, name) is not None]


def optional_path(value: object, name: str) -> Path | None:
    """A file that may be given, or None; InputError for what is no path."""
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{name}: {shown(value)}, expected the path of a file, or None")
    return Path(value)
