"""The Basel Face Models of 2017 and 2019, as the University of Basel distributes them: statismo's ``.h5``.

- ``shape/model/mean`` (3n,), x, y, z of one vertex after the other, mm; ``shape/model/pcaBasis`` (3n, 199), columns of
  length 1; ``shape/model/pcaVariance`` (199,), mm²; ``noiseVariance`` (1,), which nothing here needs
- ``expression/model/…`` likewise, (3n, 100): what an expression adds to a face, also on average (its mean)
- ``color/model/…`` likewise, (3n, 199): red, green and blue from 0 to 1
- ``shape/representer/cells`` (3, m): triangles, counted from 0; ``representer/points`` (3, n): the reference mesh

Vectors may be (k, 1). ``model2017-1_bfm_nomouth.h5`` has 53,149 vertices, ``model2017-1_face12_nomouth.h5`` 28,588, and
the files of 2019 are like them. Of the three groups only ``shape`` must be there.

No file has UV coordinates, mirror pairs or the 68 landmarks. The landmarks in ``metadata/landmarks/json`` are other
points, in a text of variable length, which uvgen reads from no HDF5 file.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import ModelError
from uvgen.meshes.topology import is_same_mesh
from uvgen.models.assembled import AssembledModel
from uvgen.storage.files import sha256_file
from uvgen.storage.hdf5_reading import Hdf5File, open_hdf5
from uvgen.storage.kinds import describe_file
from uvgen.storage.reading import max_bytes
from uvgen.wording import count

_UM_PER_MM = 1000.0
_HINT = (
    "; download this Basel Face Model of 2017 or 2019 again, or name another file (the parameters of 300W-LP belong to "
    "that of 2009)"
)
_MOST_COMPONENTS = 4096
_READ = {"model": ("mean", "pcaBasis", "pcaVariance"), "representer": ("cells",)}
_LEAST_ITEM = 4  # bytes of a number, as arrays are held
_LEAST_BYTES, _MOST_RATIO = 64 << 20, 16  # what the arrays may take unpacked, and times the size of the file
_LONGEST = 1.01  # of a basis's columns
_BRIGHTEST = 2.0  # of mean colors from 0 to 1, which may leave them a little


def recognizes(path: Path) -> bool:
    """Whether a file is one of these models, by its groups."""
    return describe_file(path) == "a Basel Face Model of 2017 or 2019"


def read(path: Path) -> AssembledModel:
    """Read a Basel Face Model of 2017 or 2019.

    Parameters
    ----------
    path : Path
        The ``.h5`` file.

    Returns
    -------
    AssembledModel
        Parameters in standard deviations; without UV and landmarks.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or lacks a part.
    """
    with open_hdf5(path, ModelError, _HINT) as file:
        _check_size(file)
        mean, shape_basis = _model(file, "shape")
        n = len(mean)
        triangles = _triangles(file, n)
        for group in ("expression", "color"):
            _check_same_mesh(file, group, triangles, n)
        if _has(file, "expression"):
            mean_expression, expression_basis = _model(file, "expression", n)
            mean = mean + mean_expression
        else:
            expression_basis = np.zeros((n, 3, 0), np.float32)
        albedo_mean = albedo_basis = albedo_std = None
        if _has(file, "color"):
            albedo_mean, albedo_basis = _model(file, "color", n)
            if (brightest := float(np.abs(albedo_mean).max())) > _BRIGHTEST:
                raise file.refused(f"color/model/mean has colors of {brightest:.4g}, expected 0 to 1")
            albedo_std = np.ones(albedo_basis.shape[2])
            albedo_mean, albedo_basis = _in_place(albedo_mean, 255.0), _in_place(albedo_basis, 255.0)
    return AssembledModel(
        source=str(path),
        name=f"Basel Face Model ({path.name})",
        mean=_in_place(mean, _UM_PER_MM),
        shape_basis=_in_place(shape_basis, _UM_PER_MM),
        expression_basis=_in_place(expression_basis, _UM_PER_MM),
        shape_std=np.ones(shape_basis.shape[2]),
        expression_std=np.ones(expression_basis.shape[2]),
        triangles=triangles,
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
        albedo_std=albedo_std,
        sources={path.name: sha256_file(path)},
    )


def _has(file: Hdf5File, group: str) -> bool:
    return group in file.names and file.is_group(group) and "model" in file.members(group)


def _check_size(file: Hdf5File) -> None:
    """Refuse arrays that take far more memory than the file: packed zeros take a thousandth."""
    taken = 0
    for group in ("shape", "expression", "color"):
        if group not in file.names or not file.is_group(group):
            continue
        for part in (f"{group}/{name}" for name in file.members(group) if name in _READ):
            if file.is_group(part):
                there = [name for name in file.members(part) if name in _READ[part.partition("/")[2]]]
                found = [file.safe_dataset(f"{part}/{name}") for name in there]
                taken += sum(math.prod(data.shape) * max(data.dtype.itemsize, _LEAST_ITEM) for data in found)
    if taken > (most := min(max_bytes(), _LEAST_BYTES + _MOST_RATIO * (size := file.path.stat().st_size))):
        raise file.refused(f"has arrays of {taken} bytes unpacked, expected {most} at most in {size} bytes")


def _in_place(values: NDArray[Any], factor: float) -> NDArray[Any]:
    values *= factor
    return values


def _model(file: Hdf5File, group: str, n: int | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean (n, 3) and basis (n, 3, k) of a group, whose columns are one standard deviation long."""
    mean = _vector(file, f"{group}/model/mean")
    expected = len(mean) if n is None else 3 * n
    if not len(mean) or len(mean) % 3 or len(mean) != expected:
        wanted = "three a vertex" if n is None else f"{expected}, as shape/model/mean has"
        raise file.refused(f"{group}/model/mean has {count(len(mean), 'number')}, expected {wanted}")
    variance = _vector(file, f"{group}/model/pcaVariance")
    if len(variance) > _MOST_COMPONENTS:
        raise file.refused(
            f"{group}/model/pcaVariance has {count(len(variance), 'number')}, expected {_MOST_COMPONENTS} at most"
        )
    if not (np.isfinite(variance) & (variance >= 0)).all():
        raise file.refused(f"{group}/model/pcaVariance holds NaN, infinity or negative numbers, expected variances")
    data = file.safe_dataset(f"{group}/model/pcaBasis")
    if data.shape != (len(mean), len(variance)) or data.dtype.kind not in "fiu":
        raise file.refused(
            f"{group}/model/pcaBasis holds {data.dtype} {data.shape}, expected numbers {(len(mean), len(variance))}"
        )
    basis = np.asarray(data.read(), np.float64 if data.dtype.itemsize > 4 else np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused where models are checked
        longest = float(np.linalg.norm(basis, axis=0).max(initial=0))
        if longest > _LONGEST:  # shorter ones may be of a part of a model
            raise file.refused(
                f"{group}/model/pcaBasis has a column {longest:.4g} long, expected columns of length 1, which are "
                "not multiplied by the standard deviations"
            )
        basis = basis * np.sqrt(variance).astype(basis.dtype)
    return mean.reshape(-1, 3), basis.reshape(len(mean) // 3, 3, -1)


def _vector(file: Hdf5File, name: str) -> NDArray[np.float64]:
    data = file.safe_dataset(name)
    if data.dtype.kind not in "fiu" or max(data.shape, default=0) != data.n_bytes // data.dtype.itemsize:
        raise file.refused(f"{name} holds {data.dtype} {data.shape}, expected a row or column of numbers")
    return np.array(data.read(), np.float64).reshape(-1)


def _check_same_mesh(file: Hdf5File, group: str, triangles: NDArray[Any], n: int) -> None:
    """Refuse expressions or colors whose own triangles join other vertices than those of the shapes do: they are of
    another mesh, or in another order."""
    if not (_has(file, group) and "representer" in file.members(group)):
        return
    if not (file.is_group(f"{group}/representer") and "cells" in file.members(f"{group}/representer")):
        return
    if not is_same_mesh(triangles, _triangles(file, n, group), n):
        raise file.refused(
            f"{group}/representer/cells join other vertices than shape/representer/cells do, expected the same mesh"
        )


def _triangles(file: Hdf5File, n: int, group: str = "shape") -> NDArray[Any]:
    name = f"{group}/representer/cells"
    data = file.safe_dataset(name)
    if len(data.shape) != 2 or 3 not in data.shape or data.dtype.kind not in "iu":
        raise file.refused(f"{name} holds {data.dtype} {data.shape}, expected whole numbers (3, m): triangles")
    cells = data.read()
    triangles = cells.T if cells.shape[0] == 3 else cells
    if not triangles.size or triangles.min() < 0 or triangles.max() >= n:
        found = f"{triangles.min()} to {triangles.max()}" if triangles.size else "none"
        raise file.refused(f"{name} names vertices {found}, expected 0 to {n - 1}")
    return np.ascontiguousarray(triangles)
