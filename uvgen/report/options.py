"""Options that determine what a report shows: the settings of `uvgen.write_report`."""

from dataclasses import dataclass

from uvgen.checks import number_in, true_or_false
from uvgen.samples.selection import Names, checked_names

WORST = 1000
"""How many samples have pictures, by default."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report shows of a data set.

    Attributes
    ----------
    worst : int, optional
        How many samples get pictures: those farthest from their annotations, then those without one that are least like
        the others. All samples have their numbers anyway. None: all get pictures.
    names : iterable of str, or path-like, optional
        Samples that get pictures instead, or a text file of them, with or without a suffix; empty lines and those that
        begin with # are ignored.
    thumbnails : bool
        Whether all other samples get a thumbnail at least: 4.4 kB and some milliseconds each.
    verify : bool
        Whether to check the set as `uvgen.verify_shards` does, which reads all of it.

    Raises
    ------
    InputError
        If `worst` is out of range, or a value has the wrong type.

    Examples
    --------
    >>> uvgen.write_report("shards/", "report/", options=uvgen.ReportOptions(worst=100, thumbnails=True))
    """

    worst: int | None = WORST
    names: Names | None = None
    thumbnails: bool = False
    verify: bool = True

    def __post_init__(self) -> None:
        if self.worst is not None:
            object.__setattr__(self, "worst", number_in(self.worst, "worst", 0, whole=True))
        if self.names is not None:
            object.__setattr__(self, "names", checked_names(self.names, "names"))
        object.__setattr__(self, "thumbnails", true_or_false(self.thumbnails, "thumbnails"))
        object.__setattr__(self, "verify", true_or_false(self.verify, "verify"))
