"""Rows of samples beside what their files say: annotated landmarks, and how far the labels' are from them."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.quality.annotations import annotated_in_crop
from uvgen.datasets.quality.survey import Survey
from uvgen.errors import SampleError
from uvgen.geometry import similarity_scale
from uvgen.maps.labels import label_nme
from uvgen.samples.find import Sample
from uvgen.samples.photographs import photograph_of
from uvgen.samples.read import Annotation


class Kept(NamedTuple):
    """A sample that can be used: what it says, and where its crop is from."""

    sample: Sample
    annotation: Annotation
    image_height: int
    similarity: NDArray[np.float64]
    landmarks: NDArray[np.float64]  # of the label, (68, 3) image px
    unseen: NDArray[np.bool_] | None = None  # texels
    first_nme: float | None = None  # of the photograph, if its face is turned


def add_annotations(rows: dict[str, Any], kept: Sequence[Kept], survey: Survey) -> None:
    """Add annotated landmarks, not mirrored yet, how far the labels' are from them, and what else the files hold.

    Parameters
    ----------
    rows : dict
        Fields of the samples: ``landmarks`` is read, ``annotated_landmarks``, ``label_nme``, ``label_nme_jaw`` and
        ``NAME_parameters`` are added.
    kept : sequence of Kept
        The samples.
    survey : Survey
        What all samples of the data set have in common.
    """
    annotated = np.empty((len(kept), 68, survey.dimensions), np.float32)
    for k, one in enumerate(kept):
        z_shift = rows["landmarks"][k, 0, 2] - one.landmarks[0, 2] * similarity_scale(one.similarity)
        annotated[k] = annotated_in_crop(one.annotation.landmarks, one.similarity, z_shift, survey.dimensions)
    rows["annotated_landmarks"] = annotated
    found = nme_of(np.stack([one.landmarks for one in kept]), [one.annotation for one in kept])
    rows["label_nme"], rows["label_nme_jaw"] = found
    for name, n in survey.extras:
        rows[f"{name}_parameters"] = np.full((len(kept), n), np.nan, np.float32)
        for k, one in enumerate(kept):
            if one.annotation.extras and name in one.annotation.extras:
                rows[f"{name}_parameters"][k] = one.annotation.extras[name]


def near_annotations(
    kept: Sequence[Kept], nme: NDArray[np.float32], most: float | None, *, repeated: Collection[str],
    skip: Callable[[Sample, Exception], None],
) -> NDArray[np.bool_]:  # fmt: skip
    """Which samples are not too far from their annotations; the others are skipped.

    Parameters
    ----------
    kept : sequence of Kept
        The samples.
    nme : (n,) float32
        Label NME of each; NaN where a sample is not annotated.
    most : float, optional
        The largest that is kept (`max_nme`); any without it.
    repeated : collection of str
        Subsets in which turned versions of a photograph have the annotation of another version, which is no measure.
    skip : callable
        Called with each of the others, and why.

    Returns
    -------
    (n,) bool
    """
    nme = np.array([value if one.first_nme is None else one.first_nme for one, value in zip(kept, nme, strict=True)])
    near = np.ones(len(kept), bool) if most is None else ~(nme > most)  # NaN: not annotated
    if repeated:  # turned versions have the annotation of another
        near |= np.array([
            one.sample.subset in repeated and (photograph_of(one.sample.name) or ("", 0))[1] > 0 for one in kept
        ])  # fmt: skip
    for k in np.flatnonzero(~near).tolist():
        skip(kept[k].sample, SampleError(
            f"{kept[k].sample.stated_in}: a label NME of {nme[k]:.2%}, expected {most:.2%} at most (max_nme)"
        ))  # fmt: skip
    return near


def nme_of(
    landmarks: NDArray[np.float64], faces: Sequence[Annotation]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Label NME, and that of the jaw, of faces whose label's landmarks (b, 68, 3) are in the image frame."""
    return label_nme(landmarks, np.stack([annotated_in_crop(face.landmarks, np.eye(3), 0, 2) for face in faces]))
