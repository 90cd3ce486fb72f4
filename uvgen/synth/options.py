"""Options that determine which faces are rendered, and how: the settings of `uvgen.render_faces`."""

from collections.abc import Sequence
from dataclasses import dataclass

from uvgen.checks import check_several, number_in, seed_number, true_or_false
from uvgen.errors import InputError
from uvgen.synth.names import SUBSETS


@dataclass(frozen=True, slots=True)
class SynthOptions:
    """Which faces are rendered, and the size of their images.

    Attributes
    ----------
    seed : int
        Random seed: another seed gives other faces.
    size : int
        Pixels along each side of the images, 64 to 4096.
    subsets : sequence of str
        Some of `uvgen.synth.SUBSETS`.
    flip : bool
        Whether to make the mirrored subsets too.
    photographs : int
        Photographs of each face, 1 to 1000, named as 300W-LP's versions of a photograph are, ``IBUG_image_0001_0``,
        ``…_1``: shape and colors are the person's; pose, expression, light and backdrop are each photograph's own.

    Raises
    ------
    InputError
        If one of them is out of range.

    Examples
    --------
    >>> uvgen.render_faces("faces/", 1000, options=uvgen.SynthOptions(seed=1, subsets=["IBUG"]))
    """

    seed: int = 0
    size: int = 450
    subsets: Sequence[str] = SUBSETS
    flip: bool = True
    photographs: int = 1

    def __post_init__(self) -> None:
        check_several(self.subsets, "subsets")
        subsets = tuple(self.subsets)
        if not subsets or len(set(subsets)) < len(subsets) or not set(subsets) <= set(SUBSETS):
            found = ", ".join(map(str, subsets)) or "none"
            raise InputError(f"subsets: {found}; expected some of {', '.join(SUBSETS)}, each once")
        for name, value in {
            "seed": seed_number(self.seed),
            "size": number_in(self.size, "size", 64, 4096, whole=True),
            "subsets": subsets,
            "flip": true_or_false(self.flip, "flip"),
            "photographs": number_in(self.photographs, "photographs", 1, 1000, whole=True),
        }.items():
            object.__setattr__(self, name, value)
