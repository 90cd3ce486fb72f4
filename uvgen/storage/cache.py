"""The user's cache folder: what is there may be deleted at any time."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``UVGEN_CACHE`` if it is set, else the user's cache folder for uvgen."""
    named = os.environ.get("UVGEN_CACHE")
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))  # noqa: PTH111 -- Path's raises for an unknown user
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("uvgen", appauthor=False))
