"""What a reader is handed by those who open a data set: functions that make and change fields."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Maker(Protocol):
    """Makes a field that is not stored, of others."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields that it is made of, if the samples have them."""

    @property
    def layout(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of one sample's."""

    def __call__(self, rows: Mapping[str, Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The field of a batch, stacked along the first axis, in `out` if it is given."""


class Finish(Protocol):
    """Changes samples when all of their fields are there, before they are handed out."""

    def __call__(self, fields: dict[str, Any], *, batched: bool) -> dict[str, Any]:
        """The fields of one sample, or of several stacked along a new first axis, as they are handed out."""
