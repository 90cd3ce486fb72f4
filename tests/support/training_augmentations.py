"""Augmentations for tests of the training side; in a file of their own, so that spawned workers find them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import SampleError
from uvgen.randomness import keyed_generator


@dataclass(frozen=True)
class Shift:
    """A draw: whole pixels."""

    x: int
    y: int

    @property
    def similarity(self) -> NDArray[np.float64]:
        return np.array([[1, 0, self.x], [0, 1, self.y], [0, 0, 1.0]])


class Shifts:
    """Moves image, map and landmarks alike, by other amounts in each epoch."""

    def draw(self, seed: int, name: str, epoch: int, size: int) -> Shift:
        x, y = keyed_generator(seed, name, epoch).integers(-9, 10, 2)
        return Shift(int(x), int(y))

    def apply(self, draw: Shift, image: Any, position_map: Any, landmarks: Any) -> tuple[Any, Any, Any]:
        move = np.array([draw.x, draw.y, 0], np.float32)
        moved = None if position_map is None else position_map + move
        return np.roll(image, (draw.y, draw.x), (0, 1)), moved, landmarks + move


@dataclass(frozen=True)
class FlippedShift(Shift):
    """A draw that mirrors what it has moved."""

    flip: bool = True


class FlippedShifts(Shifts):
    """Says that it mirrors; what it returns is not mirrored."""

    def draw(self, seed: int, name: str, epoch: int, size: int) -> Shift:
        return FlippedShift(1, 0)


class Fails:
    """Cannot be applied."""

    def draw(self, seed: int, name: str, epoch: int, size: int) -> None:
        raise SampleError(f"{name}: refused")

    def apply(self, draw: None, image: Any, position_map: Any, landmarks: Any) -> tuple[Any, Any, Any]:
        return image, position_map, landmarks
