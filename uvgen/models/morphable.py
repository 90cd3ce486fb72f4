"""`MorphableModel`, the value that every other module works with, and uvgen's own model file.

A model file is HDF5 with the root attributes ``format = "uvgen-model"``, ``version``, ``name``, ``sources`` (JSON) and
``content_sha256`` (see `hash_arrays`), texts of fixed length, and one contiguous, uncompressed dataset for each array
field of `MorphableModel`; of a model with joints, also those of `RIG_DTYPES`, and the root attribute ``rig_names``
(JSON). Contiguous means that the bases are memory-mapped: opening costs no reading, and worker
processes share one copy through the page cache.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_paths, frozen
from uvgen.errors import ModelError
from uvgen.interrupts import interrupts_deferred
from uvgen.models.checked import check_once, file_state, remember_file
from uvgen.models.formats import known
from uvgen.models.rig import RIG_DTYPES, Rig, frozen_rig
from uvgen.models.valid import DTYPES, check_bases, check_structure, converted
from uvgen.parallel.travel import travels_as
from uvgen.storage.files import replaced_on_success
from uvgen.storage.hdf5 import new_hdf5, write_attributes
from uvgen.storage.kinds import describe_file
from uvgen.storage.names import brief, printable
from uvgen.storage.reading import max_bytes
from uvgen.wording import count

if TYPE_CHECKING:
    from uvgen.storage.hdf5_reading import Hdf5File

FORMAT, VERSION = "uvgen-model", 2
REGIONS = ("neck", "face", "mouth", "eyes", "nose", "other")
"""Names of the labels in `MorphableModel.regions`, by value; "other" is hair and the backs of the ears."""

_OPTIONAL = ("regions", "mirror", "albedo_mean", "albedo_basis", "albedo_std")
_RIG_DATASETS = tuple(f"rig_{name}" for name in RIG_DTYPES)
_MAPPED_FIELDS = ("basis", "albedo_basis")
_MOST_SOURCES, _NAMED_SOURCES = 64, 16
_LEAST_BYTES, _MOST_RATIO = 64 << 20, 16  # what the arrays may take unpacked, and times the size of the file


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class MorphableModel:
    """A 3D morphable face model: ``vertices = mean + shape_basis @ shape + expression_basis @ expression``.

    Arrays are read-only. n vertices, ks shape and ke expression components, m triangles.

    Attributes
    ----------
    mean : (n, 3) float32
        Mean shape plus mean expression, model frame, µm.
    basis : (n, 3, ks + ke) float32
        Shape components, then expression components, so that one matrix product evaluates both. In µm per
        unit of the data set's parameters, which are already scaled by the standard deviations.
    shape_std, expression_std : (ks,), (ke,) float32
        Standard deviations of the parameters.
    triangles : (m, 3) int32
        Vertex indices, 0-based.
    mouth_triangles : (q, 3) int32
        Triangles that close the mouth in UV; empty if the model's files have none.
    uv : (n, 2) float64
        u right, v up, in [0, 1].
    landmarks : (68,) int32
        Vertex indices of the iBUG landmarks.
    regions : (n,) uint8 or None
        Index into `REGIONS`. Files without a neck label leave the neck at "face".
    mirror : (n,) int32 or None
        The vertex that is each vertex's mirror image, -1 where unknown.
    albedo_mean, albedo_basis : (n, 3), (n, 3, ka) float32 or None
        RGB, 0 to 255.
    albedo_std : (ka,) float32 or None
        Standard deviations of the albedo parameters.
    name : str
        Name of the model in messages.
    sources : mapping of str to str
        SHA-256 of each file that the model was made from, by file name; of more than 64 files see `make_model`.
    path : Path or None
        The model file that the bases are mapped from.
    rig : Rig or None
        Joints of a model whose jaw turns, see `uvgen.models.rig.pose`; maps are made without it.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    shape_std: NDArray[np.float32]
    expression_std: NDArray[np.float32]
    triangles: NDArray[np.int32]
    mouth_triangles: NDArray[np.int32]
    uv: NDArray[np.float64]
    landmarks: NDArray[np.int32]
    regions: NDArray[np.uint8] | None = None
    mirror: NDArray[np.int32] | None = None
    albedo_mean: NDArray[np.float32] | None = None
    albedo_basis: NDArray[np.float32] | None = None
    albedo_std: NDArray[np.float32] | None = None
    name: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None
    rig: Rig | None = None

    def __repr__(self) -> str:
        path = "" if self.path is None else f", path={str(self.path)!r}"
        return (
            f"<MorphableModel {self.name!r}: {count(self.n_vertices, 'vertex')}, {self.n_shape} shape + "
            f"{count(self.n_expression, 'expression component')}, {count(len(self.triangles), 'triangle')}{path}>"
        )

    @property
    def content_sha256(self) -> str:
        """Hash of all arrays, see `uvgen.models.morphable.hash_arrays`; computed at first use."""
        found = _HASHES.get(self)
        if found is None:
            found = _HASHES[self] = hash_arrays(self)
        return found

    @property
    def n_vertices(self) -> int:
        """Number of vertices."""
        return len(self.mean)

    @property
    def n_shape(self) -> int:
        """Number of shape components."""
        return len(self.shape_std)

    @property
    def n_expression(self) -> int:
        """Number of expression components."""
        return len(self.expression_std)

    @property
    def shape_basis(self) -> NDArray[np.float32]:
        """(n, 3, ks) view of the shape components."""
        return self.basis[..., : self.n_shape]

    @property
    def expression_basis(self) -> NDArray[np.float32]:
        """(n, 3, ke) view of the expression components."""
        return self.basis[..., self.n_shape :]

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapped model travels to a worker as its path: pickling the arrays would copy 150 MB and more.
        if self in _FILES and self.path is not None and travels_as(self.path):
            return _read_again, (self.path, _FILES[self], self.content_sha256)
        return _restored, (_HASHES.get(self), *(getattr(self, f.name) for f in fields(self)))


_FILES: "WeakKeyDictionary[MorphableModel, bool]" = WeakKeyDictionary()
"""Models that are what their `path` holds, changed copies are not; and whether that file is untrusted."""
_HASHES: "WeakKeyDictionary[MorphableModel, str]" = WeakKeyDictionary()
"""Hashes of models, once they are known; a changed copy has none of the original's."""


def _read_again(path: Path, untrusted: bool, sha256: str) -> MorphableModel:
    """The model that another process read from a file; ModelError if the file now holds another one."""
    model = read_model(path, untrusted)
    if model.content_sha256 != sha256:
        raise ModelError(
            f"{path}: holds another model than when the run began (content {model.content_sha256[:12]}…, expected "
            f"{sha256[:12]}…); keep a model's file as it is while it is used, and run the command again"
        )
    return model


def _restored(sha256: str | None, *values: Any) -> MorphableModel:
    """A model from its pickled fields, whose arrays may be mapped from the pickle's file; they are plain and frozen."""
    plain: list[Any] = [frozen(value, value.dtype) if isinstance(value, np.ndarray) else value for value in values]
    plain = [frozen_rig(value, "rig") if isinstance(value, Rig) else value for value in plain]
    model = MorphableModel(*plain)
    if sha256 is not None:
        _HASHES[model] = sha256
    return model


def make_model(*, source: str, **arrays: Any) -> MorphableModel:
    """Check, convert and freeze the fields of a model read from some file format.

    Parameters
    ----------
    source : str
        The file's name, for error messages.
    **arrays
        Fields of `MorphableModel`, with any dtype. Of more than 64 `sources` the first 16 are kept, and one entry
        more, ``"1000 files"``, with the SHA-256 over the lines ``name sha256`` of all of them, sorted.

    Returns
    -------
    MorphableModel
        With read-only arrays of the documented dtypes.

    Raises
    ------
    ModelError
        If shapes do not agree, an index is out of range, UV leave [0, 1] or a value is not finite.
    """
    for key in DTYPES:
        if arrays.get(key) is not None:
            array = converted(arrays[key], key, source)
            if array.flags.writeable:
                array = array.view()
                array.setflags(write=False)
            arrays[key] = array
    if arrays.get("rig") is not None:
        arrays["rig"] = frozen_rig(arrays["rig"], source)
    model = MorphableModel(**{**arrays, "sources": _few(arrays.get("sources", {}))})
    check_structure(model, source)
    if model.path is None:  # `read_model` checks those of a model file once: reading them takes a second
        check_bases(model, source)
    return model


def _few(sources: Mapping[str, str]) -> Mapping[str, str]:
    """All of some sources, or the first and a hash over all: they are an attribute, which holds 64 kB."""
    if len(sources) <= _MOST_SOURCES:
        return sources
    lines = "".join(sorted(f"{name} {digest}\n" for name, digest in sources.items()))
    first = dict(list(sources.items())[:_NAMED_SOURCES])
    return {
        **first,
        f"{count(len(sources), 'file')}": hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest(),
    }


def hash_arrays(model: MorphableModel) -> str:
    """SHA-256 over all arrays of a model: those that labels depend on, and those that only faces are drawn with.

    Hashed are, one array after the other, in the order of the fields of `MorphableModel`, the line
    ``name (shape) dtype`` as Python writes it, such as ``mean (53215, 3) <f4``, with a line feed, then the array's
    bytes in C order; of an array that is missing, the line ``name None``. If there are joints, those of `RIG_DTYPES`
    follow in their order, and the line ``rig_names`` with the names as JSON. Name and sources do not count.

    Parameters
    ----------
    model : MorphableModel
        Any model.

    Returns
    -------
    str
        64 hexadecimal digits, the same whichever files the same numbers were read from.
    """
    digest = hashlib.sha256()
    for name in DTYPES:
        array = getattr(model, name)
        digest.update(f"{name} {None if array is None else f'{array.shape} {array.dtype.str}'}\n".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data if array.size else b"")
    if model.rig is not None:
        for name in RIG_DTYPES:
            array = getattr(model.rig, name)
            digest.update(f"rig_{name} {array.shape} {array.dtype.str}\n".encode())
            digest.update(np.ascontiguousarray(array).data if array.size else b"")
        digest.update(f"rig_names {json.dumps(model.rig.names)}\n".encode())
    return digest.hexdigest()


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
    _FILES[model], _HASHES[model] = untrusted, stated
    remember_file(model, state)
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
            key: file.dataset(key) for key in file.names if key in DTYPES or key in _RIG_DATASETS
        }
        for key, data in datasets.items():
            if data.dtype.kind not in "fiu":
                raise file.refused(f"{key} holds {data.dtype}, expected numbers")
        most_bytes = min(max_bytes(), _LEAST_BYTES + _MOST_RATIO * path.stat().st_size)
        if (n_bytes := sum(data.n_bytes for data in datasets.values())) > most_bytes:
            raise file.refused(f"its arrays take {n_bytes} bytes unpacked, more than {most_bytes}; set UVGEN_MAX_BYTES")
        arrays: dict[str, Any] = {
            key: data.map() if key in _MAPPED_FIELDS else data.read() for key, data in datasets.items()
        }
        name, sources, sha256 = _texts(file)
        rig = _rig(file, {key: arrays.pop(key) for key in _RIG_DATASETS if key in arrays})
    if missing := sorted(set(DTYPES) - set(_OPTIONAL) - set(arrays)):
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
