"""uvgen's own model file, read and written.

It is HDF5 with the root attributes ``format = "uvgen-model"``, ``version``, ``name``, ``sources`` (JSON) and
``content_sha256`` (see `uvgen.models.morphable.hash_arrays`), texts of fixed length, and one
contiguous, uncompressed dataset for each array field of `MorphableModel`; of a model with joints, also those of
`RIG_DTYPES`, and the root attribute ``rig_names`` (JSON). Contiguous means that the bases are memory-mapped: opening
costs no reading, and worker processes share one copy through the page cache.
"""

import json
import math
from dataclasses import fields
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uvgen.checks import check_instance, check_paths
from uvgen.errors import ModelError
from uvgen.interrupts import interrupts_deferred
from uvgen.models.checked import check_once, file_state, remember_file
from uvgen.models.formats import known
from uvgen.models.morphable import MorphableModel, hash_arrays, make_model, remember_reader
from uvgen.models.rig import RIG_DTYPES, Rig
from uvgen.models.valid import DTYPES, OPTIONAL, check_bases
from uvgen.storage.files import replaced_on_success
from uvgen.storage.hdf5 import new_hdf5, write_attributes
from uvgen.storage.kinds import describe_file
from uvgen.storage.names import brief, printable
from uvgen.storage.reading import max_bytes

if TYPE_CHECKING:
    from uvgen.storage.hdf5_reading import Hdf5File

FORMAT, VERSION = "uvgen-model", 2

_RIG_DATASETS = tuple(f"rig_{name}" for name in RIG_DTYPES)
_MAPPED_FIELDS = ("basis", "albedo_basis")
_LEAST_BYTES, _MOST_RATIO = 64 << 20, 16  # what the arrays may take unpacked, and times the size of the file


def read_model(path: str | PathLike[str], untrusted: bool = False) -> MorphableModel:
    """Open uvgen's own model file; the bases are mapped, not read.

    Parameters
    ----------
    path : path-like
        File that `save_model` wrote.
    untrusted : bool
        Read it in a child process, see `uvgen.load_model`.

    Returns
    -------
    MorphableModel

    Raises
    ------
    ModelError
        If the file is not such a file, of another version, or damaged.
    """
    from uvgen.storage.isolated import reading_in_child

    state = file_state(Path(path))
    with reading_in_child(untrusted):
        model, stated = _read(Path(path))
    check_once(Path(path), stated, lambda: _checked_hash(model, str(path)))
    remember_reader(model, stated, partial(_read_again, untrusted=untrusted, sha256=stated))
    remember_file(model, state)
    return model


def _read_again(path: Path, *, untrusted: bool, sha256: str) -> MorphableModel:
    """The model that another process read from a file; ModelError if the file now holds another one."""
    model = read_model(path, untrusted)
    if model.content_sha256 != sha256:
        raise ModelError(
            f"{path}: holds another model than when the run began (content {model.content_sha256[:12]}…, expected "
            f"{sha256[:12]}…); keep a model's file as it is while it is used, and run the command again"
        )
    return model


def _checked_hash(model: MorphableModel, source: str) -> str:
    check_bases(model, source)
    return hash_arrays(model)


def _read(path: Path) -> tuple[MorphableModel, str]:
    """What a model file holds, and the hash that it states."""
    from uvgen.storage.hdf5_reading import open_hdf5

    kind = describe_file(path) if path.is_file() else ""
    if kind and "HDF5" not in kind and "uvgen" not in kind:
        raise ModelError(_other_kind(path, f"not a readable model file ({kind})"))
    hint = ", expected uvgen's .h5, or another model that docs/models.md lists"
    with open_hdf5(path, ModelError, hint, "not a readable model file: ") as file:
        stated = file.attributes
        if stated.get("format") != FORMAT:
            raise ModelError(_other_kind(path, f"not a uvgen model ({kind})"))
        version = stated.get("version")
        if not isinstance(version, (int, np.integer)):
            raise file.refused(f"attribute version is {version!r}")
        if version != VERSION:
            advice = "update uvgen" if version > VERSION else "make the file again"
            raise ModelError(f"{path}: model format {version}, expected {VERSION}; {advice}")
        datasets = {  # what else another program wrote is its own
            key: file.safe_dataset(key) for key in file.names if key in DTYPES or key in _RIG_DATASETS
        }
        for key, data in datasets.items():
            if data.dtype.kind not in "fiu":
                raise file.refused(f"{key} holds {data.dtype}, expected numbers")
        most_bytes = min(max_bytes(), _LEAST_BYTES + _MOST_RATIO * path.stat().st_size)
        n_bytes = sum(  # as they are held: a byte of a file may become eight
            math.prod(data.shape) * max(data.dtype.itemsize, np.dtype(DTYPES.get(key, np.float64)).itemsize)
            for key, data in datasets.items()
        )
        if n_bytes > most_bytes:
            raise file.refused(f"its arrays take {n_bytes} bytes unpacked, more than {most_bytes}; set UVGEN_MAX_BYTES")
        arrays: dict[str, Any] = {
            key: data.map() if key in _MAPPED_FIELDS else data.read() for key, data in datasets.items()
        }
        name, sources, sha256 = _texts(file)
        rig = _rig(file, {key: arrays.pop(key) for key in _RIG_DATASETS if key in arrays})
    if missing := sorted(set(DTYPES) - set(OPTIONAL) - set(arrays)):
        raise ModelError(f"{path}: dataset {missing[0]} is missing, expected a whole model; convert it again")
    with file.guarded("the model"):
        stated = {"name": name, "sources": sources, "path": path.resolve(), "rig": rig}
        return make_model(source=str(path), **arrays, **stated), sha256


def _rig(file: "Hdf5File", arrays: dict[str, Any]) -> Rig | None:
    """The joints in a model file; None if it has none."""
    if not arrays:
        return None
    if missing := [key for key in _RIG_DATASETS if key not in arrays]:
        raise file.refused(f"dataset {missing[0]} is missing, the joints are not whole")
    with file.guarded("attribute rig_names"):
        names = json.loads(str(file.attributes.get("rig_names")))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("no JSON list of texts")
    return Rig(tuple(printable(name) for name in names), **{key.removeprefix("rig_"): a for key, a in arrays.items()})


def _other_kind(path: Path, problem: str) -> str:
    """The message for a file that is something else, with what takes it."""
    advice = known.advice(path).replace(f"; {known.TAKEN}", "")  # said below
    if "uvgen model" not in advice:
        advice += "; `uvgen model convert` makes a .h5 of the files of the Basel Face Model 2009"
    return f"{path}: {problem}, expected uvgen's .h5, or another model that docs/models.md lists{advice}"


def _texts(file: "Hdf5File") -> tuple[str, dict[str, str], str]:
    """Name of a model, the hashes of its sources, and its own."""
    stated = file.attributes
    for key in ("name", "content_sha256", "sources"):
        if not isinstance(stated.get(key), str):
            raise file.refused(f"attribute {key} is {stated.get(key)!r}")
    with file.guarded("attribute sources"):
        sources = json.loads(stated["sources"])
        if not isinstance(sources, dict) or not all(isinstance(value, str) for value in sources.values()):
            raise ValueError("no JSON object of texts")
    sources = {printable(name): printable(digest) for name, digest in sources.items()}
    return brief(stated["name"]), sources, stated["content_sha256"]


def save_model(model: MorphableModel, path: str | PathLike[str]) -> None:
    """Write a model in uvgen's own format. The file appears when it is complete; an interrupted run leaves nothing.

    Parameters
    ----------
    model : MorphableModel
        What to write.
    path : path-like
        The file to write; an existing one is replaced.

    Raises
    ------
    DatasetError
        If the folder cannot be written, or the name or the sources are longer than HDF5 can keep.
    InputError
        If `path` is not a path.
    """
    check_paths(path=path)
    check_instance(model, "model", MorphableModel, "uvgen.load_model(path)")
    with interrupts_deferred(), replaced_on_success(Path(path)) as temporary, new_hdf5(temporary) as file:
        stated = {"name": model.name, "sources": json.dumps(dict(model.sources), sort_keys=True)}
        hashed = {"content_sha256": model.content_sha256}
        joints = {} if model.rig is None else {"rig_names": json.dumps(model.rig.names)}
        write_attributes(file, {"format": FORMAT, "version": VERSION, **stated, **hashed, **joints})
        for item in fields(model):
            array = getattr(model, item.name)
            if isinstance(array, np.ndarray):
                file.create_dataset(item.name, data=array)
        for name in RIG_DTYPES if model.rig is not None else ():
            file.create_dataset(f"rig_{name}", data=getattr(model.rig, name))
