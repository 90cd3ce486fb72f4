"""What single change would bring labels and annotations together: the probable cause where they are apart."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.quality.annotations import image_landmarks
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.maps.labels import label_nme
from uvgen.models.morphable import MorphableModel

_CROPPED = "faces are shifted or of another size: were the images cropped or resized after the fit?"
_EXPLAINS = 0.5  # a change that leaves more than this share of the error explains nothing
_FITS = 0.25  # a shift and a scale of each face leave less than this, if they are all that is wrong
_SMALL = 0.05
_MOST = 2 / 3  # of the samples that are apart: what explains fewer of them is no cause common to them
_NEARLY_ALL = 0.9  # likewise, for a shift and a scale of each face, which fit much that is wrong otherwise
_OTHER_BASES = "another model than {}: without these parameters labels are closer"
_SEVERAL = 3  # samples: a shift and a scale bring any single face near
_WORSE_THAN_MEAN = 0.9  # the mean face is closer by a tenth: the parameters make it worse

Points = NDArray[np.float64]


class Cause(NamedTuple):
    """A cause of large label errors.

    Attributes
    ----------
    text : str
        What is probably wrong and what to do; empty if nothing explains the error.
    nme_now, nme : float
        Median NME as it is, and after the change.
    of_bases : bool
        Whether it is that the parameters make the label worse than the mean face is.
    """

    text: str
    nme_now: float
    nme: float
    of_bases: bool

    def __str__(self) -> str:
        """The cause with what it makes of the error, and what to do if the text does not say that."""
        advice = "; use the model that the parameters were fitted with" if self.of_bases else ""
        return f"{self.text} (label NME {self.nme:.2%} instead of {self.nme_now:.2%}){advice}"


def find_cause(
    rows: Mapping[str, Any], points: Points, annotated: Points, model: MorphableModel | None, convention: str
) -> Cause:
    """The single change that brings labels closest to annotations, if it does so for most of the samples.

    Parameters
    ----------
    rows : mapping
        Fields of n samples: shape, expression, pose, image_height.
    points, annotated : (n, 68, 2) float64
        The labels' landmarks and the annotated ones, px of the image; NaN where a point is not annotated.
    model : MorphableModel or None
        The set's; without it, changes of the parameters are not tried.
    convention : {"exact", "face3d"}
        Pixel convention of the labels.

    Returns
    -------
    Cause
    """
    before = label_nme(points, annotated)[0]
    now = _median_nme(points, annotated)

    def explains(changed: Points, share: float, most: float) -> bool:
        """Whether a change leaves less than this share of the error, of that many of the samples at least."""
        known = np.isfinite(before)
        better = label_nme(changed, annotated)[0][known] < share * before[known]
        return bool(len(better)) and float(better.mean()) >= most

    changes, without = _moved(rows, points, annotated), dict[str, Points]()
    if model is not None:
        changes |= _other_parameters(rows, model, convention)
        without = _without_parameters(rows, model, convention)
    tried = {text: _median_nme(moved, annotated) for text, moved in changes.items()}
    bases = {text: _median_nme(moved, annotated) for text, moved in without.items()}
    in_place = _fitted(points, annotated)
    fitted = _median_nme(in_place, annotated)
    best = min(tried, key=lambda text: tried[text])
    other_fit = fitted < _EXPLAINS * tried[best] and tried[best] > _SMALL
    if tried[best] < _EXPLAINS * now and not other_fit and explains(changes[best], _EXPLAINS, _MOST):
        return Cause(best, now, tried[best], False)
    closest = min(bases, key=lambda text: bases[text]) if bases else ""
    if (
        len(points) >= _SEVERAL
        and fitted < min(_FITS * now, _SMALL)
        and (not bases or fitted < _EXPLAINS * bases[closest])
        and explains(in_place, _FITS, _NEARLY_ALL)
    ):
        return Cause(_CROPPED, now, fitted, False)
    if bases and bases[closest] < _WORSE_THAN_MEAN * now and explains(without[closest], 1, _MOST):
        return Cause(closest, now, bases[closest], True)
    return Cause("", now, now, False)


def _median_nme(points: Points, annotated: Points) -> float:
    nme = label_nme(points, annotated)[0]
    return float(np.nanmedian(nme)) if np.isfinite(nme).any() else np.inf  # faces of no size


def _moved(rows: Mapping[str, Any], points: Points, annotated: Points) -> dict[str, Points]:
    """Changes of the labels' landmarks that need no model."""
    height = np.asarray(rows["image_height"], np.float64)[:, None]
    x, y = points[..., 0], points[..., 1]
    upside = np.stack([x, height - 1 - y], axis=-1)
    from_top = np.stack([x, y + 2 * rows["pose"][:, 4, None] - height], axis=-1)
    mirrored = points[:, LANDMARK_MIRROR]

    def across(moved: Points) -> Points:
        opposite = np.stack([-moved[..., 0], moved[..., 1]], axis=-1)
        offset = np.ma.masked_invalid(annotated[..., 0] - opposite[..., 0])  # the image's width is not known
        opposite[..., 0] += np.ma.median(offset, axis=1).filled(0)[:, None]
        return opposite

    found = {
        "y counts from the other edge (up instead of down): flip y in the annotations or in the poses": upside,
        "ty counts from the top edge, expected from the bottom": from_top,
        "left and right landmarks are exchanged (mirrored order)": mirrored,
        "images are mirrored, but their parameters are not": across(mirrored),
        "images are mirrored, but their parameters and the order of their landmarks are not": across(points),
        "x and y of the annotated landmarks are exchanged": points[..., ::-1],
    }
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            if dx or dy:
                shift = f"labels are shifted by ({dx:+d}, {dy:+d}) px"
                text = f"{shift}: pixels counted from 0 instead of 1, or another convention"
                found[text] = points + np.array([dx, dy], np.float64)
    return found


def _landmarks(rows: Mapping[str, Any], model: MorphableModel, convention: str, **changes: Any) -> Points:
    """(n, 68, 2) landmarks of a model in the image frame; `changes` replace fields."""
    values = {**rows, **changes}
    return image_landmarks(
        model, values["shape"], values["expression"], values["pose"], values["image_height"], convention
    )


def _other_parameters(rows: Mapping[str, Any], model: MorphableModel, convention: str) -> dict[str, Points]:
    """Poses in other units."""
    pose = rows["pose"].astype(np.float64)

    def scaled(part: slice, factor: float) -> Points:
        changed = pose.copy()
        changed[:, part] *= factor
        return _landmarks(rows, model, convention, pose=changed)

    angles, scale = slice(0, 3), slice(6, 7)
    exchanged = pose.copy()
    exchanged[:, [0, 1]] = pose[:, [1, 0]]
    return {
        **{
            f"{name} turns the other way, expected the signs of 300W-LP": scaled(slice(k, k + 1), -1)
            for k, name in enumerate(("pitch", "yaw", "roll"))
        },
        "pitch and yaw are exchanged": _landmarks(rows, model, convention, pose=exchanged),
        "angles are in degrees, expected radians": scaled(angles, np.pi / 180),
        "angles turn the other way, expected the signs of 300W-LP": scaled(angles, -1),
        "the scale is in px/mm, expected px/µm (1000 times less)": scaled(scale, 1e-3),
        "the scale is 1000 times too small, expected px/µm": scaled(scale, 1e3),
        "the scale is 10 times too large, expected px/µm": scaled(scale, 0.1),
        "the scale is 10 times too small, expected px/µm": scaled(scale, 10),
    }


def _without_parameters(rows: Mapping[str, Any], model: MorphableModel, convention: str) -> dict[str, Points]:
    """Faces without what the bases do: closer only if the parameters belong to other bases."""
    none = {name: np.zeros_like(rows[name]) for name in ("shape", "expression")}
    return {
        f"the parameters belong to {_OTHER_BASES.format(model.name)}":
            _landmarks(rows, model, convention, **none),
        f"the expression parameters belong to {_OTHER_BASES.format(model.name)}":
            _landmarks(rows, model, convention, expression=none["expression"]),
        f"the shape parameters belong to {_OTHER_BASES.format(model.name)}":
            _landmarks(rows, model, convention, shape=none["shape"]),
    }  # fmt: skip


def _fitted(points: Points, annotated: Points) -> Points:
    """Each face shifted and scaled to its annotation, by least squares over the annotated points."""
    known = np.asarray(np.isfinite(annotated).all(axis=2))[..., None]
    n = np.maximum(known.sum(axis=1, keepdims=True), 1)
    truth = np.where(known, annotated, 0)
    mean, true_mean = (np.where(known, p, 0).sum(axis=1, keepdims=True) / n for p in (points, truth))
    a, b = np.where(known, points - mean, 0), np.where(known, truth - true_mean, 0)
    scale = np.clip((a * b).sum(axis=(1, 2)) / np.maximum((a * a).sum(axis=(1, 2)), 1e-12), 0.1, 10)
    fitted: Points = (points - mean) * scale[:, None, None] + true_mean
    return fitted
