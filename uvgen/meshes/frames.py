"""Whether two meshes of the same vertices lie in one frame: in one unit, at one place, with the same axes."""

import numpy as np
from numpy.typing import NDArray

_OTHER_UNIT = 3.0  # faces differ less in size than units do
_MOST_APART = 0.5  # of the size of the face
_OTHER_AXES_DEG = 45.0  # heads turn less in a set, and axes are exchanged by 90
_FLAT = 1e-4  # of the squared size of a mesh; a face has a hundredth


def about_frame(vertices: NDArray[np.float64], others: NDArray[np.float64], name: str, kind: str) -> str | None:
    """What contradicts that two meshes lie in one frame, as a sentence's end; None if nothing does.

    Parameters
    ----------
    vertices : (n, 3) float64
        The mesh that is looked at.
    others : (n, 3) float64
        Where the same vertices lie on a mesh beside it.
    name, kind : str
        What the message calls the other mesh, and meshes like the first.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what is infinite compares as too much
        size = max(float(np.ptp(others, axis=0).max()), 1e-300)
        ratio = float(np.ptp(vertices, axis=0).max()) / size
        if not 1 / _OTHER_UNIT < ratio < _OTHER_UNIT:
            return f"{ratio:.3g} times as large as {name}, expected {kind} in the same unit"
        ours, theirs = vertices / size, others / size
        apart = float(np.linalg.norm(ours.mean(axis=0) - theirs.mean(axis=0)))
    if not apart <= _MOST_APART:
        return f"lies {apart:.1f} sizes of the face beside {name}, expected {kind} in the same frame"
    turn, mirrored = _turn_between(theirs, ours)
    if mirrored or turn > _OTHER_AXES_DEG:
        how = "mirrored" if mirrored else f"turned by {turn:.0f}°"
        return f"{how} against {name}, expected {kind} in the same frame; export it with those axes"
    return None


def _turn_between(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, bool]:
    """The angle in degrees by which a mesh (n, 3) is turned against another, and whether it is rather mirrored.

    By Kabsch's algorithm: Acta Crystallographica A 32 (1976) 922.
    """
    left, strengths, right = np.linalg.svd((one - one.mean(axis=0)).T @ (other - other.mean(axis=0)))
    rotation = left @ right
    if strengths[2] < _FLAT * strengths[0]:  # a plane has two sides alike
        return 0.0, False
    cosine = (np.trace(rotation) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), bool(np.linalg.det(rotation) < 0)
