"""Options that determine registered meshes: the settings of `uvgen.register_scans`."""

from dataclasses import dataclass

from uvgen.checks import choice, number_in
from uvgen.fitting.scans.registration import UNITS

FORMATS = ("obj", "ply", "glb", "npy")
"""Formats of registered meshes."""

FRAMES = ("scan", "model")
"""Where registered meshes lie."""


@dataclass(frozen=True, slots=True)
class RegisterOptions:
    """How scans are registered, and how their meshes are written.

    Attributes
    ----------
    format : {"obj", "ply", "glb", "npy"}
        Format of the meshes; "npy" holds only the vertices, (n, 3) float32.
    frame : {"scan", "model"}
        "scan": meshes lie on their scans, in their unit. "model": they are rotated and shifted to the model's mean, and
        are in mm; their size does not change.
    units : {"auto", "um", "mm", "cm", "m"}
        Unit of all scans; "auto" takes for each the one in which its face has a person's size.
    max_error_mm : float, optional
        Reject scans whose root mean square distance to their mesh is larger.

    Raises
    ------
    InputError
        If one of them is out of range.

    Examples
    --------
    >>> uvgen.register_scans("scans/", "meshes/", options=uvgen.RegisterOptions(format="glb"))
    """

    format: str = "obj"
    frame: str = "scan"
    units: str = "auto"
    max_error_mm: float | None = None

    def __post_init__(self) -> None:
        choice(self.format, "format", FORMATS)
        choice(self.frame, "frame", FRAMES)
        choice(self.units, "units", UNITS)
        if self.max_error_mm is not None:
            object.__setattr__(self, "max_error_mm", number_in(self.max_error_mm, "max_error_mm", 0, unit="mm"))
