"""The model that a folder was made with, if it says so: those of `uvgen fit`, `synth` and `register` do."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, ModelError
from uvgen.models.load import BUILTIN, load_model
from uvgen.models.morphable import MorphableModel
from uvgen.storage.folders import FIT_INDEX, REGISTER_INDEX, SYNTH_INDEX, is_index
from uvgen.storage.journal import JOURNAL
from uvgen.storage.objects import fetch
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import max_bytes
from uvgen.storage.text import read_text
from uvgen.storage.transfers import MissingError
from uvgen.storage.urls import local_path, url_of

_ROWS = 4096  # vertices that are compared at once
_LAST_BITS = 1e-5  # of the largest number


def model_of_samples(folder: str | os.PathLike[str], *, untrusted: bool = False) -> MorphableModel | None:
    """The model that a folder's samples were fitted or drawn with, or its meshes registered to.

    Parameters
    ----------
    folder : path-like
        Of samples or meshes.
    untrusted : bool
        See `uvgen.load_model`.

    Returns
    -------
    MorphableModel or None
        None if the folder does not say it: 300W-LP's does not.

    Raises
    ------
    InputError
        If it says a model that is not there any more, or has changed, or is damaged where it says it.
    """
    stated, damaged = _read(folder)
    if stated is None and damaged is not None:
        raise InputError(f"model: none, and {damaged}, which should name it, is damaged; give the model")
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
    return any(_read(folder))


def about_another_model(folder: str | os.PathLike[str], model: MorphableModel) -> list[str]:
    """Warnings if a folder, or one in it, says that its samples or meshes are of a model by which they are other faces,
    or does not say it any more.

    That model is read to tell: one that differs in its UV, its mouth or its landmarks alone means the same. Nothing is
    said if it cannot be read any more, or has another number of vertices, as a resampled one has.
    """
    place = local_path(folder)
    inner = [one for one in _made(folder, FIT_INDEX) if one != place]
    return [warning for one in (place, *inner) for warning in _about_model_of(one, model)]


def _about_model_of(folder: Path, model: MorphableModel) -> list[str]:
    stated, damaged = _read(folder)
    if stated is None and damaged is not None:
        return [f"{damaged}: is damaged, and does not say which model the folder was made with; was it {model.name}?"]
    if stated is None or stated.sha256 == model.content_sha256 or (stated.file is None and stated.name != BUILTIN):
        return []
    try:
        own = load_model(stated.file or BUILTIN, untrusted=stated.file is not None)  # which the user did not name
    except (ModelError, InputError):
        return []
    known = stated.file in (None, BUILTIN) or own.content_sha256 == stated.sha256
    if not known or own.n_vertices != model.n_vertices:
        return []
    if stated.where.name == REGISTER_INDEX:
        ours, theirs = (np.unique(np.sort(one.triangles, axis=1), axis=0) for one in (own, model))
        if np.array_equal(ours, theirs):
            return []
        return [f"{stated.where}: its meshes have the vertices of {stated.name}, but {model.name} joins others"]
    if _alike(own.mean, model.mean) and _alike(own.basis, model.basis):
        return []
    return [
        f"{stated.where}: its parameters belong to {stated.name}, but {model.name} has another mean face or other "
        "components: maps that are made with it are of other faces"
    ]


def about_unfinished(folder: str | os.PathLike[str]) -> list[str]:
    """A warning if the command that makes a folder of samples or meshes was interrupted: it may lack some."""
    return [
        f"{one}: `uvgen {command}` has not finished; run it again, or this lacks what it has not made"
        for one in _made(folder, JOURNAL)
        for command, index in (("fit", FIT_INDEX), ("register", REGISTER_INDEX))
        if is_index(one / index)
    ]


def _made(folder: str | os.PathLike[str], file: str) -> list[Path]:
    """Of a folder and those in it, which may each be a subset, the ones with a file; a store's is not looked into."""
    place = local_path(folder)
    if url_of(place) is not None:
        return []
    try:
        inner = sorted(entry.path for entry in os.scandir(place) if entry.is_dir())
    except OSError:
        return []
    there = (place, *map(Path, inner))
    return [one for one in there if os.path.isfile(one / file)]  # noqa: PTH113 - Path's raises where it may not look


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two arrays (n, 3) or (n, 3, k) hold the same but for their last bits, those of each component, of which
    parameters of any size may be; looked at some thousand rows at a time."""
    if one.shape != other.shape:
        return False
    rows = range(0, len(one), _ROWS)
    flat = [array.reshape(len(array) * 3, -1) for array in (one, other)]
    largest = np.max([np.abs(flat[0][3 * k : 3 * (k + _ROWS)]).max(axis=0, initial=0) for k in rows], axis=0, initial=0)
    return all(
        (np.abs(np.subtract(*(part[3 * k : 3 * (k + _ROWS)] for part in flat))) <= _LAST_BITS * largest).all()
        for k in rows
    )


class _Stated(NamedTuple):
    where: Path
    name: str
    file: str | None
    sha256: str


_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, InputError)


def _content(path: Path) -> Any:
    return parse_json(read_text(path, "what uvgen wrote", most_bytes=max_bytes()))


def lie_in_the_models_frame(meshes: str | os.PathLike[str]) -> bool:
    """Whether a folder's meshes were moved away from their scans: ``uvgen register --frame model`` does."""
    try:
        return bool(_content(Path(meshes) / REGISTER_INDEX)["frame"] == "model")
    except _UNREADABLE:
        return False


def _read(folder: str | os.PathLike[str]) -> tuple[_Stated | None, Path | None]:
    """What a folder says of its model, and an index that should say it and does not: that of another program need
    not."""
    folder, damaged = local_path(folder), None
    for name in (FIT_INDEX, SYNTH_INDEX, REGISTER_INDEX):
        path = folder / name
        if url_of(path):
            try:
                fetch(path)
            except MissingError:
                continue
        try:
            content = _content(path)
            found = _Stated(path, content["model"], content.get("model_file"), content["model_sha256"])
        except _UNREADABLE:
            damaged = path if is_index(path) else damaged
            continue
        if isinstance(found.name, str) and isinstance(found.file, str | None):
            return found, None
    return None, damaged
