"""How many examples a property is tested with, where Hypothesis's own number would take long."""

from hypothesis import settings


def examples(n: int) -> settings:
    """Decorates a property: `n` examples where others have 100 (``--hypothesis-profile=full``), else the same share."""
    return settings(max_examples=-(-n * settings().max_examples // 100))
