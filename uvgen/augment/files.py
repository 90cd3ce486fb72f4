"""Augmentations by name, and from JSON files: the one way in which commands and training programs read them."""

import os
from pathlib import Path

from uvgen.augment.values import PRESETS, Augmentation
from uvgen.checks import check_paths, choice
from uvgen.errors import InputError
from uvgen.storage.names import os_reason
from uvgen.storage.text import read_text


def read_augmentation(source: str | os.PathLike[str], base: str = "prnet") -> Augmentation:
    """Read an augmentation: a preset, or a JSON file whose ranges replace some of a preset's.

    Parameters
    ----------
    source : str or path-like
        The name of a preset, see `Augmentation.preset`; or a JSON file, see `Augmentation.from_json`.
    base : str
        The preset that supplies ranges which the file does not state, unless it names a ``"preset"``.

    Returns
    -------
    Augmentation

    Raises
    ------
    InputError
        If the source is neither a preset nor a file that can be read, or a value in the file is out of range.

    Examples
    --------
    >>> uvgen.read_augmentation("prnet").rotation_deg
    (-45.0, 45.0)
    """
    check_paths(source=source)
    if isinstance(source, str) and source in PRESETS:
        return PRESETS[source]
    preset = PRESETS[choice(base, "base", sorted(PRESETS))]
    path = Path(source)
    try:
        text = read_text(path, "a JSON object of ranges")
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: neither a preset ({', '.join(sorted(PRESETS))}) nor a file, expected one of them"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os_reason(error)}), expected a JSON object of ranges") from error
    try:
        return Augmentation.from_json(text, preset)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
