"""Options that determine how finished maps are read: the settings of `uvgen.import_maps`."""

import os
from dataclasses import dataclass
from pathlib import Path

from uvgen.checks import choice, shown
from uvgen.errors import InputError
from uvgen.geometry import CONVENTIONS
from uvgen.normalization import DIVISORS, check_scale
from uvgen.samples.map_files import LAYOUTS


@dataclass(frozen=True, slots=True)
class MapOptions:
    """Layout, scale and pixel convention of another program's crops and position maps, where the files do not state
    them.

    Attributes
    ----------
    layout : {"face3d", "prnet_pytorch", "uvgen", "reshow"}, optional
        The program that wrote the files; by default recognized by their names.
    scale : {"px", "size", "prnet", "reshow", "unit"} or float, optional
        How the maps' values are normalized, see `uvgen.Normalization.of_scale`; R is the size of each map's own crop.
        By default, found with `originals` if they are given, else "px".
    convention : {"exact", "face3d"}, optional
        Pixel convention of the labels. By default, the one that an export of uvgen states; else found with `originals`
        if they are given; else the layout's.
    originals : path-like, optional
        Folder of the images with ``.mat`` files that the crops were made of, under the same names: a few crops are made
        again from them to find `scale` and `convention`.

    Raises
    ------
    InputError
        If one of them is out of range.

    Examples
    --------
    >>> options = uvgen.MapOptions(layout="face3d", scale="prnet")
    >>> uvgen.import_maps("posmaps/", "shards/", model="bfm.h5", options=options)
    """

    layout: str | None = None
    scale: str | float | None = None
    convention: str | None = None
    originals: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        choice(self.layout, "layout", (None, *LAYOUTS))
        if isinstance(self.scale, str) and self.scale in {f"{divisor:g}" for divisor in DIVISORS}:
            object.__setattr__(self, "scale", float(self.scale))  # as they were named before numbers were taken
        check_scale("px" if self.scale is None else self.scale)
        choice(self.convention, "convention", (None, *CONVENTIONS))
        if self.originals is not None:
            if not isinstance(self.originals, (str, os.PathLike)):
                raise InputError(f"originals: {shown(self.originals)}, expected the path of a folder, or None")
            object.__setattr__(self, "originals", Path(self.originals))
