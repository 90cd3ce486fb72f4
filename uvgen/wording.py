"""Numbers of things in messages: the noun, and the verb, that go with a count."""

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
