"""The contents of a model's file, before missing parts are added: the value that readers of formats return.

A reader gives what is in its files, in uvgen's units and frame, and says nothing of the rest; `uvgen.models.complete`
adds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from uvgen.models.rig import Rig


@dataclass(frozen=True, slots=True, eq=False)
class AssembledModel:
    """Arrays of a face model, as `uvgen.models.morphable.MorphableModel` has them; None for what no file brings.

    n vertices, ks shape and ke expression components. Any real dtype.

    Attributes
    ----------
    source, name : str
        The file's path, for messages; what to call the model.
    mean : (n, 3)
        µm, model frame: x to the image's right, y up, z toward the viewer.
    shape_basis, expression_basis : (n, 3, ks), (n, 3, ke)
        µm per unit of the parameters.
    shape_std, expression_std : (ks,), (ke,)
        Standard deviations of the parameters: 1 if the bases are scaled already.
    triangles : (m, 3)
        Counted from 0.
    mouth_triangles, uv, landmarks, regions, mirror, albedo_mean, albedo_basis, albedo_std
        As of `MorphableModel`.
    sources : mapping of str to str
        SHA-256 of each file, by name.
    rig : Rig, optional
        Joints of a model whose jaw turns.
    """

    source: str
    name: str
    mean: NDArray[Any]
    shape_basis: NDArray[Any]
    expression_basis: NDArray[Any]
    shape_std: NDArray[Any]
    expression_std: NDArray[Any]
    triangles: NDArray[Any]
    mouth_triangles: NDArray[Any] | None = None
    uv: NDArray[Any] | None = None
    landmarks: NDArray[Any] | None = None
    regions: NDArray[Any] | None = None
    mirror: NDArray[Any] | None = None
    albedo_mean: NDArray[Any] | None = None
    albedo_basis: NDArray[Any] | None = None
    albedo_std: NDArray[Any] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    rig: Rig | None = None
