"""What scores compare: landmarks and position maps of a batch of faces, of NumPy or of PyTorch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_array, check_same_library, is_tensor
from uvgen.errors import InputError
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """B faces in one frame, px: x right, y down, z toward the viewer from any origin.

    Attributes
    ----------
    landmarks : (B, 68, 2) or (B, 68, 3) float array or tensor
        iBUG's 68 points.
    maps : (B, U, U, 3) or (B, 3, U, U) float array or tensor, or None
        Position maps.
    points_21 : (B, 21, 2) float array or tensor, or None
        Only of a truth: AFLW's points, NaN for those that are not visible. If a truth has them, its `landmarks` are
        what the error is divided by, and are not compared.
    """

    landmarks: Any
    maps: Any = None
    points_21: Any = None

    @classmethod
    def of(cls, value: Any, reading: LandmarkWeights | None = None, name: str = "predicted") -> "Faces":
        """Faces of maps or landmarks, told apart by their shape; landmarks of maps are read with `reading`.

        Raises
        ------
        InputError
            If it is neither, is not of real numbers, or is of maps and there is no `reading` for maps of their size.
        """
        if isinstance(value, Faces):
            return value
        check_same_library(**{name: value})
        check_array(
            value, name, ("B", 68, 2), ("B", 68, 3), ("B", "U", "U", 3), ("B", 3, "U", "U"), note="points or maps, px"
        )
        if value.ndim == 3:
            return cls(value)
        if reading is None:
            raise InputError(f"{name}: maps, expected landmarks, or landmark_weights that say how maps are read")
        return cls(read_landmarks(value, reading), value)

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def dimensions(self) -> int:
        """Number of the landmarks' coordinates, 2 or 3."""
        return int(self.landmarks.shape[-1])

    def plain(self) -> "Faces":
        """The same as NumPy arrays, maps with channels last."""
        landmarks, maps = as_numpy(self.landmarks), None if self.maps is None else as_numpy(self.maps)
        if maps is not None and maps.shape[-1] != 3:
            maps = np.moveaxis(maps, 1, -1)
        return Faces(landmarks, maps, None if self.points_21 is None else as_numpy(self.points_21))

    def chosen(self, which: NDArray[np.bool_]) -> "Faces":
        """Some of the faces, by a (B,) mask."""
        if which.all():
            return self
        rows = np.flatnonzero(which).tolist()
        others = (None if values is None else values[rows] for values in (self.maps, self.points_21))
        return Faces(self.landmarks[rows], *others)

    def finite(self) -> NDArray[np.bool_]:
        """(B,) bool: which faces have neither NaN nor infinity in landmarks and maps."""
        good = np.ones(len(self), np.bool_)
        for values in (self.landmarks, self.maps):
            if values is not None:
                flat = values.reshape(len(values), -1)
                good &= as_numpy(abs(flat) < float("inf")).all(axis=1)
        return good


def as_numpy(values: Any) -> NDArray[Any]:
    """An array of a tensor's values, from wherever it lies."""
    if not is_tensor(values):
        return np.asarray(values)
    values = values.detach().cpu()
    is_half = values.is_floating_point() and values.element_size() < 4
    array: NDArray[Any] = (values.float() if is_half else values).numpy()
    return array
