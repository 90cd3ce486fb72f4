"""The model that a folder of samples was made with, where its folder says so: `uvgen fit` and `uvgen synth` do."""

import os
from pathlib import Path
from typing import NamedTuple

from uvgen.errors import InputError, ModelError
from uvgen.models.load import BUILTIN, load_model
from uvgen.models.morphable import MorphableModel
from uvgen.storage.folders import FIT_INDEX
from uvgen.storage.plain_json import parse_json
from uvgen.storage.text import read_text
from uvgen.synth.folder import SYNTH_INDEX


def model_of_samples(folder: str | os.PathLike[str], *, untrusted: bool = False) -> MorphableModel | None:
    """The model that a folder's samples were fitted or drawn with.

    Parameters
    ----------
    folder : path-like
        Of samples.
    untrusted : bool
        See `uvgen.load_model`.

    Returns
    -------
    MorphableModel or None
        None where the folder does not say it: 300W-LP's does not.

    Raises
    ------
    InputError
        Where it says a model that is not there any more, or has changed.
    """
    stated = _stated(folder)
    if stated is None:
        return None
    try:
        model = load_model(BUILTIN if stated.file is None else stated.file, untrusted=untrusted)
    except ModelError as error:
        raise InputError(
            f"model: none, and {stated.where} names {stated.file}, which cannot be read ({error}); give the model"
        ) from error
    if stated.file == BUILTIN or model.content_sha256 == stated.sha256:  # another machine's differs in last bits
        return model
    if stated.file is None:
        what = f"expected the file of {stated.name}, of which {stated.where} says that it was made"
    else:
        what = f"and {stated.where} names {stated.file}, which has changed since"
    raise InputError(f"model: none, {what}; give the model")


def says_its_model(folder: str | os.PathLike[str]) -> bool:
    """Whether `model_of_samples` has something to go by."""
    return _stated(folder) is not None


class _Stated(NamedTuple):
    where: Path
    name: str
    file: str | None
    sha256: str


def _stated(folder: str | os.PathLike[str]) -> _Stated | None:
    for name in (FIT_INDEX, SYNTH_INDEX):
        path = Path(folder) / name
        try:
            content = parse_json(read_text(path, "what uvgen wrote"))
            found = _Stated(path, content["model"], content.get("model_file"), content["model_sha256"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
            continue
        if isinstance(found.name, str) and isinstance(found.file, str | None):
            return found
    return None
