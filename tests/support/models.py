"""The built-in model, made once in a process."""

from functools import cache

from uvgen.models import builtin

builtin_model = cache(builtin.builtin_model)
"""The same object each time: making it takes a quarter of a second."""
