"""The scores: what each compares, what it is divided by, and what is aligned before. `SCORES` lists them.

A score is a function of predicted and true faces, B in and (B,) out. Those of PRNet's, 3DDFA's and reshow's tables are
here; those that compare shapes without correspondence are in `shape_scores.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import is_tensor
from uvgen.errors import InputError
from uvgen.evaluation.faces import Faces, as_numpy
from uvgen.evaluation.shape_scores import chamfer, ordinal_depth, ordinal_depth_as_coded, reconstruction
from uvgen.losses import ssim
from uvgen.metrics import nme_2d, nme_3d, nme_dense
from uvgen.samples.landmark_schemes import AFLW_21_FROM_68
from uvgen.similarity import align_points

_FACES_AT_ONCE = 32
"""On a GPU: some 250 MB at 256²."""

POINTS_21 = "21 points"
"""What a score of AFLW's points needs."""


class Surface(NamedTuple):
    """What holds for the maps of all faces."""

    mask: NDArray[np.bool_] | None
    """(U, U): texels of the face; None if there are no maps."""
    crop_size: int
    """px; the range of the maps' values."""


@dataclass(frozen=True, slots=True)
class Score:
    """The definition of a score: what it compares, by what it is divided, and what is aligned.

    Attributes
    ----------
    key, title : str
        In JSON and CSV; in tables.
    subset : str
        Points or texels that are compared.
    box : str
        What the error is divided by.
    alignment : str
        How the prediction is aligned first.
    needs : str
        "landmarks", "landmarks in 3D" or "maps", of both the prediction and the truth; or "21 points" of the truth,
        which no other score takes.
    measure : callable
        (predicted, truth, surface) → (B,) array or tensor.
    unit : str
        "share" of the box, printed as a percentage; "" for numbers that are printed as they are.
    better : {"lower", "higher"}
        Which values are the good ones.
    slow : bool
        Whether it takes a tenth of a second or more for each face.
    """

    key: str
    title: str
    subset: str
    box: str
    alignment: str
    needs: str
    measure: Callable[[Faces, Faces, Surface], Any]
    unit: str = "share"
    better: str = "lower"
    slow: bool = False

    def to_plain(self) -> dict[str, str]:
        """The definition as JSON holds it."""
        return {
            "title": self.title, "subset": self.subset, "box": self.box, "alignment": self.alignment,
            "unit": self.unit, "better": self.better,
        }  # fmt: skip

    def fits(self, predicted: Faces, truth: Faces) -> bool:
        """Whether prediction and truth have what the score needs."""
        if (truth.points_21 is not None) != (self.needs == POINTS_21):
            return False
        if self.needs == "maps":
            return predicted.maps is not None and truth.maps is not None
        return self.needs in ("landmarks", POINTS_21) or min(predicted.dimensions, truth.dimensions) == 3


def _nme_68_2d(predicted: Faces, truth: Faces, surface: Surface) -> Any:
    return nme_2d(predicted.landmarks[..., :2], truth.landmarks[..., :2])


def _nme_68_3d(predicted: Faces, truth: Faces, surface: Surface) -> Any:
    return nme_3d(predicted.landmarks, truth.landmarks)


def _nme_21_2d(predicted: Faces, truth: Faces, surface: Surface) -> NDArray[np.float64]:
    """As `calc_nme` of 3DDFA's `benchmark_aflw.py`; NaN for a face of whose points none is visible."""
    p, t = predicted.plain(), truth.plain()
    points = np.stack([p.landmarks[:, of, :2].mean(axis=1, dtype=np.float64) for of in AFLW_21_FROM_68], axis=1)
    visible = np.isfinite(t.points_21).all(axis=-1)
    distance = np.linalg.norm(np.where(visible[..., None], points - t.points_21, 0), axis=-1)
    size = np.sqrt(np.ptp(t.landmarks[..., :2].astype(np.float64), axis=1).prod(axis=-1))
    if not (size > 0).all():
        raise InputError(f"landmarks: those of face {int(np.argmin(size > 0))} have no box, which normalizes the error")
    with np.errstate(invalid="ignore"):
        return np.asarray(distance.sum(axis=1) / visible.sum(axis=1) / size, np.float64)


def _dense(dimensions: int, box: str) -> Callable[[Faces, Faces, Surface], Any]:
    def measure(predicted: Faces, truth: Faces, surface: Surface) -> Any:
        return nme_dense(predicted.maps, truth.maps, surface.mask, truth.landmarks, dimensions=dimensions, box=box)

    return measure


def turn_error(source: NDArray[Any], target: NDArray[Any]) -> float:
    """‖I − R‖, Frobenius, of the rotation R that a similarity takes (n, 3) points to others with: 0 to 2·√2."""
    return float(np.linalg.norm(np.eye(3) - align_points(source, target, scaled=True).rotation))


def _pose_of_maps(predicted: Faces, truth: Faces, surface: Surface) -> NDArray[np.float64]:
    a, b = predicted.plain().maps[:, surface.mask], truth.plain().maps[:, surface.mask]
    return np.array([turn_error(*pair) for pair in zip(b, a, strict=True)])


def _pose_of_landmarks(predicted: Faces, truth: Faces, surface: Surface) -> NDArray[np.float64]:
    pairs = zip(as_numpy(truth.landmarks), as_numpy(predicted.landmarks), strict=True)
    return np.array([turn_error(*pair) for pair in pairs])


def _ssim(predicted: Faces, truth: Faces, surface: Surface) -> NDArray[np.float64]:
    size, mask = float(surface.crop_size), surface.mask
    maps = predicted.maps, truth.maps
    if _on_accelerator(*maps) and maps[0].shape == maps[1].shape:
        # a face at a time, as below, would keep a GPU waiting for thousands of small operations
        weights = maps[0].new_tensor(mask)
        batches = zip(*(values.split(_FACES_AT_ONCE) for values in maps), strict=True)
        found = [as_numpy(ssim(*batch, data_range=size, weights=weights, each=True)) for batch in batches]
        return np.concatenate(found).astype(np.float64)
    pairs = zip(predicted.plain().maps, truth.plain().maps, strict=True)
    return np.array([ssim(a, b, data_range=size, weights=mask) for a, b in pairs])


def _on_accelerator(*values: Any) -> bool:
    return all(is_tensor(value) and value.device.type != "cpu" for value in values)


def _of_maps(measure: Callable[..., float], **options: Any) -> Callable[[Faces, Faces, Surface], Any]:
    """A score of face texels as points, with both faces' landmarks, one face after the other."""

    def of_batch(predicted: Faces, truth: Faces, surface: Surface) -> NDArray[np.float64]:
        p, t = predicted.plain(), truth.plain()
        points = p.maps[:, surface.mask].astype(np.float64), t.maps[:, surface.mask].astype(np.float64)
        rows = zip(*points, p.landmarks, t.landmarks, strict=True)
        return np.array([measure(*row, **options) for row in rows])

    return of_batch


_AFLW_21 = (
    "those of AFLW's 21 points that are visible, x y; of the 68 they are points 17 19 21 22 24 26 36 39 42 45 31 30 35 "
    "48 54 8, means of 36 to 41, 42 to 47 and 60 to 67 in the middles of eyes and mouth, and 2 and 14 at the ears"
)
_BOX_68, _BOX_DENSE = "√(w·h) of the true 68 points' box", "√(w·h) of the true face texels' box"
_TEXELS = "face texels"
_MIDDLE = "z centered on its mean, of both"

SCORES = {
    score.key: score
    for score in (
        Score("nme_68_2d", "NME 68, 2D", "68 points, x y", _BOX_68, "none", "landmarks", _nme_68_2d),
        Score("nme_68_3d", "NME 68, 3D", "68 points, x y z", _BOX_68, _MIDDLE, "landmarks in 3D", _nme_68_3d),
        Score("nme_21_2d", "NME 21, 2D", _AFLW_21, _BOX_68, "none", POINTS_21, _nme_21_2d),
        Score("nme_dense_2d", "NME dense, 2D", f"{_TEXELS}, x y", _BOX_68, "none", "maps", _dense(2, "landmarks")),
        Score("nme_dense_3d", "NME dense, 3D", f"{_TEXELS}, x y z", _BOX_68, _MIDDLE, "maps", _dense(3, "landmarks")),
        Score("nme_dense_2d_dense_box", "NME dense, 2D, dense box", f"{_TEXELS}, x y", _BOX_DENSE, "none", "maps",
              _dense(2, "dense")),
        Score("nme_dense_3d_dense_box", "NME dense, 3D, dense box", f"{_TEXELS}, x y z", _BOX_DENSE, _MIDDLE, "maps",
              _dense(3, "dense")),
        Score("reconstruction", "Reconstruction error", "from each true face texel to the nearest predicted one",
              "distance of the true outer corners of the eyes (36, 45) in space",
              "rigid ICP, started at the 68 points", "maps", _of_maps(reconstruction, scaled=False), slow=True),
        Score("reconstruction_scaled", "Reconstruction error, scaled",
              "from each true face texel to the nearest predicted one",
              "distance of the true outer corners of the eyes (36, 45) in space",
              "similarity by ICP, started at the 68 points", "maps", _of_maps(reconstruction, scaled=True), slow=True),
        Score("pose_error", "Pose error", f"{_TEXELS}, x y z", "none",
              "‖I − R‖ of the rotation from true to predicted points", "maps", _pose_of_maps, unit=""),
        Score("pose_error_68", "Pose error, 68", "68 points, x y z", "none",
              "‖I − R‖ of the rotation from true to predicted points", "landmarks in 3D", _pose_of_landmarks, unit=""),
        Score("ordinal_depth", "Ordinal depth Z5", f"{_TEXELS}: each and its 5 nearest in the truth", "none", "none",
              "maps", _of_maps(ordinal_depth), better="higher", slow=True),
        Score("ordinal_depth_as_coded", "Ordinal depth Z5, as DAD-3DHeads' code",
              f"{_TEXELS}: the k-th and the k-th nearest of points 1 to 5", "none", "none",
              "maps", _of_maps(ordinal_depth_as_coded), better="higher", slow=True),
        Score("chamfer", "Chamfer", "from each true face texel to the nearest predicted one, squared",
              "true inner corners of the eyes (39, 42) are 20 apart",
              "similarity of 7 points (36 39 42 45 33 48 54), reflections too", "maps", _of_maps(chamfer), unit="",
              slow=True),
        Score("ssim", "SSIM", "windows of 11 x 11 texels around face texels, x y z", "the size of the crop", "none",
              "maps", _ssim, unit="", better="higher"),
    )
}  # fmt: skip
"""All scores by key, in the order of tables."""
