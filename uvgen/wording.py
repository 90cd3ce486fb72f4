"""Parts of messages: a count with its noun and its verb, sizes of files, paths in commands to type."""

import os
import re
import shlex

_SAYS_EXPECTED = re.compile(r", expected \D")
_PLURALS = {
    "boundary": "boundaries",
    "copy": "copies",
    "entry": "entries",
    "mesh": "meshes",
    "vertex": "vertices",
}


def count(n: int, what: str) -> str:
    """``1 sample``, ``2 samples``; ``what`` is the noun for one, perhaps after adjectives."""
    return f"{n} {what if n == 1 else plural(what)}"


def plural(what: str) -> str:
    """``registered meshes`` of ``registered mesh``."""
    before, space, noun = what.rpartition(" ")
    return f"{before}{space}{_PLURALS.get(noun, f'{noun}s')}"


def are(n: int) -> str:
    """The verb that goes with `count`."""
    return "is" if n == 1 else "are"


def have(n: int) -> str:
    """The verb that goes with `count`."""
    return "has" if n == 1 else "have"


def none_can_be(done: str, n: int, what: str, reason: str, first: str = "") -> str:
    """``none of 3 scans can be used; the first, a.ply: its reason``, or the same of the only one.

    `first` is left out if `reason` begins with its path anyway.
    """
    start = reason.partition(": ")[0]
    is_named = start != reason and f"/{start}".endswith(f"/{first}")
    why = f"{first}: {reason}" if first and not is_named else reason
    if n == 1:
        return f"the only {what} cannot be {done}{why and f': {why}'}"
    return f"none of {count(n, what)} can be {done}{why and f'; the first, {why}'}"


def shown_size(n_bytes: float, digits: int = 1) -> str:
    """``12.3 MB``; a size of which so many digits would say nothing gets one more, or is in kB."""
    if n_bytes / 1e6 >= 0.5 * 10.0**-digits:
        return f"{n_bytes / 1e6:.{digits}f} MB"
    return shown_size(n_bytes, digits + 1) if digits < 1 else f"{n_bytes / 1e3:.{0 if n_bytes >= 500 else 1}f} kB"


def typed(path: str | os.PathLike[str]) -> str:
    """A path as it is typed in a shell: in quotes if it has spaces or the like."""
    return shlex.quote(os.fspath(path))


def expecting(problem: object, what: str) -> str:
    """A problem, and what was expected unless `what` is empty or the problem says so itself, in words: numbers, as in
    "expected 8 bytes", do not say which file it was to be."""
    text = str(problem)
    return text if not what or _SAYS_EXPECTED.search(text) else f"{text}, expected {what}"
