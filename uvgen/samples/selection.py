"""Samples picked by their names: as they are listed in a file, typed, or printed."""

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from uvgen.checks import number_in, shown, true_or_false
from uvgen.errors import InputError
from uvgen.samples.find import Sample
from uvgen.storage.folders import IMAGE_SUFFIXES
from uvgen.storage.names import brief, os_reason, same_name
from uvgen.storage.text import read_lines
from uvgen.wording import are, count

_LONGEST_COMPARED = 100  # characters of a name; comparing takes as long as it is
_MOST_COMPARED = 10_000  # names, with one that is not among them: a second

OfSample = TypeVar("OfSample", bound=Sample)

Names = Iterable[str] | str | os.PathLike[str]
"""Names of samples, or a text file of them, one per line."""


@dataclass(frozen=True, slots=True)
class SampleSelection:
    """Which of the samples that are found go into a data set.

    Attributes
    ----------
    flip : bool
        Whether to take mirrored subsets, ``IBUG_Flip``, too.
    names : iterable of str, or path-like, optional
        Take only these samples; or a text file of their names, one per line.
    exclude : iterable of str, or path-like
        Leave these out, which must be among the samples found, but need not be in `names` or in the subsets that are
        taken; or a text file of their names, such as a report's marks.
    limit : int, optional
        Take only the first samples, at most this many.

    Raises
    ------
    InputError
        If `limit` is out of range, or a value has the wrong type.

    Examples
    --------
    >>> select = uvgen.SampleSelection(exclude="bad.txt", limit=1000)
    >>> uvgen.build_shards("300W_LP/", "shards/", model="bfm.h5", select=select)
    """

    flip: bool = True
    names: Names | None = None
    exclude: Names = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "flip", true_or_false(self.flip, "flip"))
        if self.names is not None:
            object.__setattr__(self, "names", checked_names(self.names, "names"))
        object.__setattr__(self, "exclude", checked_names(self.exclude, "exclude"))
        check_limit(self.limit)

    def of(self, samples: Iterable[OfSample], *, all_subsets: bool = True) -> list[OfSample]:
        """The selected ones of some samples: those in `names`, or all, without those in `exclude`; the first `limit` of
        them.

        InputError as for `select_samples` and `exclude_samples`. `all_subsets` says whether these samples are of all
        subsets that there are, but for mirrored ones without `flip`.
        """
        samples = list(samples)
        wanted = range(len(samples)) if self.names is None else find_names([one.name for one in samples], self.names)
        return exclude_samples(samples, self.exclude, wanted, all_subsets=all_subsets and self.flip)[: self.limit]


def check_limit(limit: int | None) -> None:
    """Raise InputError unless `limit` can be how many samples to take, or None for all: -1 would leave the last out."""
    if limit is not None:
        number_in(limit, "limit", 1, unit="samples", whole=True)


def checked_names(names: Any, argument: str) -> tuple[str, ...] | str | os.PathLike[str]:
    """The path of a list of names as it is, names as a tuple, which can be read more than once; InputError otherwise.

    `argument` is what the names are given as.
    """
    if isinstance(names, (str, os.PathLike)):
        return names
    listed: tuple[Any, ...] | None = None
    if isinstance(names, Iterable) and not isinstance(names, bytes):
        try:
            listed = tuple(names)
        except (TypeError, RuntimeError):  # of an array without axes, a nested tensor
            listed = None
    if listed is None or not all(isinstance(name, str) for name in listed):
        raise InputError(f"{argument}: {shown(names)}, expected names of samples, or a text file of them, one per line")
    return listed


def select_samples(samples: Iterable[OfSample], names: Names) -> list[OfSample]:
    """The samples that a list of names picks.

    Parameters
    ----------
    samples : iterable of Sample
        What to pick from.
    names : iterable of str, or path-like
        Sample names, with or without a suffix, or a text file of them, one per line; empty lines and those that begin
        with # do not count.

    Returns
    -------
    list of Sample
        In the order of `samples`.

    Raises
    ------
    InputError
        If a name is not among the samples, or there is none.
    """
    samples = list(samples)
    return [samples[k] for k in find_names([sample.name for sample in samples], names)]


def exclude_samples(
    samples: Iterable[OfSample], names: Names, wanted: Sequence[int] | None = None, *, all_subsets: bool = True
) -> list[OfSample]:
    """The samples that a list of names does not name; the list may be empty.

    Parameters and order as for `select_samples`; only samples of the numbers `wanted` are taken, by default all.
    InputError if a name is not among the samples, or all that are wanted are named. Without `all_subsets`, names in
    subsets that have no sample here are passed over: other subsets were not looked for.
    """
    samples = list(samples)
    wanted = range(len(samples)) if wanted is None else wanted
    # The marks of a whole set are left out of a part of it too, so that their names need not be in the part.
    unwanted = set(_numbers([sample.name for sample in samples], names, all_subsets=all_subsets))
    left = [samples[k] for k in wanted if k not in unwanted]
    if wanted and not left:
        raise InputError(
            f"all {count(len(wanted), 'sample')} {are(len(wanted))} excluded, expected one or more that are left"
        )
    return left


def find_names(there: Sequence[str], names: Names) -> list[int]:
    """Which samples a list of names picks.

    Parameters
    ----------
    there : sequence of str
        All samples' names.
    names : iterable of str, or path-like
        See `select_samples`.

    Returns
    -------
    list of int
        Their numbers in `there`, ascending.

    Raises
    ------
    InputError
        If a name is not among them, or none is given.
    """
    if not (found := _numbers(there, names)):
        raise InputError(f"{_origin(names)}names none, expected one or more, one name per line")
    return found


def _origin(names: Names) -> str:
    return f"{os.fspath(names)}: " if isinstance(names, (str, os.PathLike)) else "the list of samples "


def _numbers(there: Sequence[str], names: Names, *, all_subsets: bool = True) -> list[int]:
    """As `find_names`; perhaps none. For `all_subsets` see `exclude_samples`."""
    keys = [same_name(name) for name in there]
    known = set(keys)
    listed = checked_names(names, "names")
    given: Iterable[str] = listed if isinstance(listed, tuple) else read_names(listed)
    lines, exact = {line.rstrip("\r\n") for line in given}, set(there)
    spelled = lines & exact  # two names may differ in how accents are composed alone
    wanted = {_listed(line, known) for line in lines - exact} - {""}
    missing = sorted(wanted - known)
    if not all_subsets:
        subsets = {_subset(key) for key in known}
        missing = [key for key in missing if _subset(key) in subsets]
    if missing:
        which = f"{count(len(missing), 'listed sample')} {are(len(missing))}"
        origin = _origin(names) if isinstance(names, (str, os.PathLike)) else ""
        raise InputError(f"{origin}{which} not there, first {brief(missing[0])}; {like_names(missing[0], there)}")
    return [k for k, key in enumerate(keys) if there[k] in spelled or key in wanted]


def _subset(name: str) -> str:
    return name.rpartition("/")[0]


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file of sample names."""
    try:
        return read_lines(path, "one sample name per line")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os_reason(error)}), expected one sample name per line") from error


def like_names(name: str, there: Sequence[str]) -> str:
    """What to say of a name that is not among others: the ones it may stand for, or what they look like."""
    key = same_name(name)
    if len(key) > _LONGEST_COMPARED:  # no name that somebody typed
        return f"names look like {brief(there[0]) if there else 'none'}"
    stem = key.rpartition("/")[2]
    near = [known for known in there if same_name(known).rpartition("/")[2] == stem][:3]
    if not near:
        keys = {same_name(known).casefold(): known for known in there}
        close = difflib.get_close_matches(key.casefold(), list(keys)[:_MOST_COMPARED], n=1, cutoff=0.9)
        near = [keys[found] for found in close if not _differ_in_number(key, found)]
    if near:
        return f"did you mean {' or '.join(map(brief, near))}?"
    return f"names look like {brief(there[0]) if there else 'none'}"


def _differ_in_number(name: str, other: str) -> bool:
    """Whether two names are those of different numbers and otherwise the same: then neither is meant for the other."""
    words, others = re.split(r"(\d+)", name.casefold()), re.split(r"(\d+)", other)
    return words[::2] == others[::2] and [*map(int, words[1::2])] != [*map(int, others[1::2])]


def _listed(line: str, there: set[str]) -> str:
    """The name that a line of a list means, "" for none: as it stands, or without what a shell or an editor adds."""
    if same_name(line) in there:
        return same_name(line)
    text = line.strip()
    if not text or text.startswith("#"):
        return ""
    text = text.replace("\\", "/").removeprefix("./") if same_name(text) not in there else text
    stem, suffix = os.path.splitext(text)
    return same_name(stem if suffix.lower() in (*IMAGE_SUFFIXES, ".mat") and same_name(text) not in there else text)
