"""The model that a folder of samples was made with, where its folder says so: `uvgen fit` and `uvgen synth` do."""

import os
from pathlib import Path

from uvgen.errors import InputError, ModelError
from uvgen.fitting.folder import FIT_INDEX
from uvgen.models.load import BUILTIN, load_model
from uvgen.models.morphable import MorphableModel
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
    for name in (FIT_INDEX, SYNTH_INDEX):
        path = Path(folder) / name
        try:
            content = parse_json(read_text(path, "what uvgen wrote"))
            stated, sha256 = content["model"], content["model_sha256"]
            file = content.get("model_file")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
            continue
        if not isinstance(file, str | None) or not isinstance(stated, str):
            continue
        try:
            model = load_model(file if file is not None else BUILTIN, untrusted=untrusted)
        except ModelError as error:
            raise InputError(f"model: none; {path} says {file}, which cannot be used ({error}); give model") from error
        if model.content_sha256 == sha256:
            return model
        if file is not None:
            raise InputError(f"model: none; {path} says {file}, which has changed since; give model")
        raise InputError(f"model: none; {path} says {stated}, expected its file; give model")
    return None
