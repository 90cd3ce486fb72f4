"""What the arrays of a model must be: their types, shapes and values, whichever file they come from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import shown
from uvgen.errors import ModelError
from uvgen.wording import count

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel

DTYPES = {
    "mean": np.float32, "basis": np.float32, "shape_std": np.float32, "expression_std": np.float32,
    "triangles": np.int32, "mouth_triangles": np.int32, "uv": np.float64, "landmarks": np.int32,
    "regions": np.uint8, "mirror": np.int32, "albedo_mean": np.float32, "albedo_basis": np.float32,
    "albedo_std": np.float32,
}  # fmt: skip
"""Each array field of `MorphableModel`, and the type of its numbers."""

OPTIONAL = ("regions", "mirror", "albedo_mean", "albedo_basis", "albedo_std")
"""Those of the fields that a model may lack."""

N_REGIONS = 6  # names in `uvgen.models.morphable.REGIONS`
LARGEST = 1e12  # µm, of a coordinate: products with parameters stay far from float32's end
_FREE_COMPONENTS, _MOST_COMPONENTS = 512, 4096  # of models of few vertices, which have no use for many; of any
_FLATTEST = 1e-6  # extent of the landmarks in x or y, as a share of that in the other: fits divide by both
_BLOCK = 1 << 22  # numbers that are looked at in one go


def converted(values: Any, name: str, source: str) -> NDArray[Any]:
    """A field in its type, C-contiguous, not copied if it is so already.

    Parameters
    ----------
    values : array-like
        Real numbers.
    name : str
        The field of `MorphableModel`.
    source : str
        The file's name, for the error.

    Returns
    -------
    ndarray

    Raises
    ------
    ModelError
        If the values are not real numbers, or no whole ones for a field of indices or labels.
    """
    given, dtype = np.asanyarray(values), DTYPES[name]  # a map stays one
    if given.dtype.kind not in "fiub":
        raise ModelError(f"{source}: {name} is {shown(given)}, expected real numbers")
    with np.errstate(over="ignore", invalid="ignore"):  # what has become infinite is refused later
        array = np.ascontiguousarray(given, dtype)
    if array.dtype.kind in "iu" and given.dtype != array.dtype and not np.array_equal(array, given):
        raise ModelError(f"{source}: {name} holds numbers that {array.dtype} cannot, expected whole ones in its range")
    return array


def check_structure(model: "MorphableModel", source: str) -> None:
    """Raise ModelError if shapes do not agree, an index is out of range, or a value is not usable; see `make_model`.

    The bases' values, which may be mapped and large, are checked by `check_bases`.
    """

    def require(ok: Any, what: str) -> None:
        if not ok:
            raise ModelError(f"{source}: {what}")

    for name in ("shape_std", "expression_std", "albedo_std"):
        array = getattr(model, name)
        if array is not None:
            require(array.ndim == 1, f"{name} is {array.shape}, expected (k,): a number per component")
            good = np.isfinite(array).all() and (array >= 0).all()
            require(good, f"{name} holds NaN, infinity or negative numbers, expected standard deviations of 0 or more")
    require(model.mean.ndim == 2, f"mean shape is {model.mean.shape}, expected (n, 3)")
    n, k = model.n_vertices, model.n_shape + model.n_expression
    require(model.mean.shape == (n, 3) and n > 2, f"mean shape is {model.mean.shape}, expected (n, 3)")
    require(model.basis.shape == (n, 3, k), f"bases are {model.basis.shape}, expected ({n}, 3, {k})")
    most = min(max(_FREE_COMPONENTS, 3 * n), _MOST_COMPONENTS)  # a fit solves systems of as many equations
    require(k <= most, f"{k} components for {count(n, 'vertex')}, expected {most} at most")
    require(model.uv.shape == (n, 2), f"UV coordinates are {model.uv.shape}, expected ({n}, 2): one per vertex")
    check_numbers(model.mean, "mean shape", source, LARGEST)
    require(np.isfinite(model.uv).all(), "UV coordinates hold NaN or infinity, expected finite numbers")
    require(
        model.uv.min() >= 0 and model.uv.max() <= 1, "UV coordinates leave [0, 1], expected the unit square; scale them"
    )
    require(model.landmarks.shape == (68,), f"landmarks are {model.landmarks.shape}, expected (68,): the iBUG points")
    for name in ("triangles", "mouth_triangles"):
        array = getattr(model, name)
        require(array.ndim == 2 and array.shape[1] == 3, f"{name} are {array.shape}, expected (m, 3)")
    require(len(model.triangles), "there are no triangles, expected one or more")
    for name in ("triangles", "mouth_triangles", "landmarks"):
        array = getattr(model, name)
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        inside = low >= 0 and high < n
        require(inside, f"{name} name a vertex that does not exist, {low} to {high}, expected 0 to {n - 1}")
    low_xy, high_xy = (function(model.mean[model.landmarks, :2], axis=0) for function in (np.min, np.max))
    extents = np.sort(high_xy.astype(np.float64) - low_xy)
    spread = extents[0] > _FLATTEST * extents[1]
    require(spread, "all landmarks of the mean face lie in one point, or in a row or column, expected those of a face")
    mean, basis, std = model.albedo_mean, model.albedo_basis, model.albedo_std
    if mean is not None:
        require(mean.shape == (n, 3), f"albedo_mean is {mean.shape}, expected ({n}, 3)")
        check_numbers(mean, "albedo_mean", source, LARGEST)
    together = (basis is None) == (std is None) and (basis is None or mean is not None)
    require(together, "albedo_basis, _mean and _std: not all given, expected all, albedo_mean alone or none")
    if basis is not None and std is not None:
        require(std.size <= most, f"{std.size} components of albedo for {count(n, 'vertex')}, expected {most} at most")
        require(basis.shape == (n, 3, std.size), f"albedo_basis is {basis.shape}, expected ({n}, 3, {std.size})")
    for name in ("regions", "mirror"):
        array = getattr(model, name)
        if array is not None:
            require(array.shape == (n,), f"{name} are {array.shape}, expected ({n},): one per vertex")
    if model.rig is not None:
        found = (len(model.rig.weights), model.rig.joint_basis.shape[2])
        fits = found == (n, model.basis.shape[2])
        require(
            fits,
            f"rig is of {count(found[0], 'vertex')} and {count(found[1], 'component')}, expected {n} and "
            f"{model.basis.shape[2]}",
        )
    if model.mirror is not None:
        low, high = int(model.mirror.min()), int(model.mirror.max())
        inside = low >= -1 and high < n
        require(inside, f"mirror pairs name a vertex that does not exist, {low} to {high}, expected -1 to {n - 1}")
    if model.regions is not None:
        highest = int(model.regions.max())
        require(highest < N_REGIONS, f"regions hold the label {highest}, expected 0 to {N_REGIONS - 1}")


def check_bases(model: "MorphableModel", source: str) -> None:
    """Raise ModelError if a basis, read to its end, holds what is not finite or larger than any face."""
    check_numbers(model.basis, "bases", source, LARGEST)
    if model.albedo_basis is not None:
        check_numbers(model.albedo_basis, "albedo_basis", source, LARGEST)


def check_numbers(array: NDArray[Any], what: str, source: str, largest: float) -> None:
    """Raise ModelError if a contiguous array holds what is not finite or larger than `largest`."""
    for part in _parts(array):
        low, high = part.min(), part.max()  # NaN if one is
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ModelError(f"{source}: {what} hold{_s(what)} NaN or infinity, expected finite numbers")
        if max(-low, high) > largest:
            raise ModelError(
                f"{source}: {what} hold{_s(what)} {max(-low, high):.2g}, expected numbers of {largest:.0e} at most"
            )


def _s(what: str) -> str:
    return "" if what == "bases" else "s"


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """A contiguous array in pieces of some MB, of which nothing is copied."""
    flat = array.reshape(-1)
    return (flat[k : k + _BLOCK] for k in range(0, flat.size, _BLOCK))
