"""`MorphableModel`, the value that every other module works with: making, checking and hashing it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import frozen, shown
from uvgen.errors import InputError, ModelError
from uvgen.models.rig import RIG_DTYPES, Rig, frozen_rig
from uvgen.models.valid import DTYPES, OPTIONAL, check_bases, check_structure, converted
from uvgen.parallel.travel import travels_as
from uvgen.wording import count

REGIONS = ("neck", "face", "mouth", "eyes", "nose", "other")
"""Names of the labels in `MorphableModel.regions`, by value; "other" is hair and the backs of the ears."""

_MOST_SOURCES, _NAMED_SOURCES = 64, 16


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
        if self in _READERS and self.path is not None and travels_as(self.path):
            return _READERS[self], (self.path,)
        return _restored, (_HASHES.get(self), *(getattr(self, f.name) for f in fields(self)))


_READERS: "WeakKeyDictionary[MorphableModel, Callable[[Path], MorphableModel]]" = WeakKeyDictionary()
"""Models that are what their `path` holds, changed copies are not; and what reads them again in another process."""
_HASHES: "WeakKeyDictionary[MorphableModel, str]" = WeakKeyDictionary()
"""Hashes of models, once they are known; a changed copy has none of the original's."""


_SOUND: "WeakSet[MorphableModel]" = WeakSet()
"""Models whose arrays were found to agree; those that a user put together are looked at before their first use."""


def check_sound(model: Any) -> None:
    """Raise InputError unless this is a model, and ModelError if its arrays do not agree, as after `replace`.

    Kernels take indices and lengths from them unasked. A model is looked at once.
    """
    if not isinstance(model, MorphableModel):
        raise InputError(f"model: {shown(model)}, expected a MorphableModel; uvgen.load_model reads one")
    if model in _SOUND:
        return
    for name, dtype in DTYPES.items():
        array = getattr(model, name)
        if array is None and name in OPTIONAL:
            continue
        whole = np.dtype(dtype).kind in "iu"
        if not isinstance(array, np.ndarray) or array.dtype.kind not in ("iu" if whole else "f"):
            raise ModelError(f"{model.name}: {name} is {shown(array)}, expected an array of {np.dtype(dtype)}")
    check_structure(model, model.name)
    _SOUND.add(model)


def remember_reader(model: MorphableModel, sha256: str, read_again: Callable[[Path], MorphableModel]) -> None:
    """Remember that a model is what its `path` holds, with its hash, and what to pickle in its place: what reads it."""
    _READERS[model], _HASHES[model] = read_again, sha256


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
    _SOUND.add(model)
    if model.path is None:  # `uvgen.models.model_file` checks those of a file once: reading them takes a second
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
