"""The user's cache folder: what is there may be deleted at any time."""

import os
from contextlib import suppress
from pathlib import Path

_NOWHERE = Path(os.devnull, "uvgen")  # cannot be made; a folder in /tmp that others may have made is not trusted


def cache_folder() -> Path:
    """``UVGEN_CACHE`` if it is set, else the user's cache folder for uvgen.

    A user that the system does not know, without ``HOME``, as containers may have, has none: a folder that cannot be
    made stands for it.
    """
    named = os.environ.get("UVGEN_CACHE")
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))  # noqa: PTH111 -- Path's raises for an unknown user
    from platformdirs import user_cache_dir

    with suppress(RuntimeError):  # no home; older releases return a path that begins with "~"
        found = Path(user_cache_dir("uvgen", appauthor=False))
        if found.is_absolute():
            return found
    return _NOWHERE
