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
    """What crops and position maps of another program are, where their files do not say it.

    Attributes
    ----------
    layout : {"face3d", "prnet_pytorch", "uvgen", "reshow"}, optional
        Whose files these are; by default told by their names.
    scale : {"px", "size", "prnet", "reshow", "unit"} or float, optional
        What the maps' values were divided by, as `uvgen.Normalization.of_scale` has it, whose crops are each map's own;
        found if there are `originals`, else "px".
    convention : {"exact", "face3d"}, optional
        Pixel convention of the labels; stated by exports of uvgen's, found if there are `originals`, else the
        layout's.
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
