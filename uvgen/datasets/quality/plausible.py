"""Whether a sample's parameters can be what they are taken for: what is certainly wrong never becomes a label.

Scale and angles are always checked. The other limits are wide, because a data set may hold unusual faces; a sample
beyond them is left out, or kept if `BuildConfig.implausible` is "keep".
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError, SampleError
from uvgen.geometry import similarity_scale
from uvgen.models.morphable import MorphableModel
from uvgen.samples.find import Sample
from uvgen.samples.read import Annotation
from uvgen.wording import count

MOST_RAD = 2 * math.pi
"""Largest angle, either way: AFLW2000-3D has one of 351°."""

MOST = 1e6
"""Largest number of a pose, a crop's similarity or a landmark, px: beyond it, float32 says nothing of a face."""

MOST_DEVIATIONS = 10.0
"""Largest parameter in standard deviations; on 26 samples of 300W-LP and AFLW2000-3D the largest is 2.4."""

_FEWER_DEVIATIONS = 9.9  # certainly less than `MOST_DEVIATIONS`, however it is rounded

SMALLEST_FACE_PX = 8.0
"""Smallest face: the longer side of the box around its 68 landmarks, px of the image."""

LARGEST_FACE = 3.0
"""Largest face, as a multiple of the image's longer side."""

_AWAY = -0.5  # cosine between the face's direction and the viewer's: turned by more than 120°
_UNITS = {1e-3: "1000 times too large, as if it were in px/mm", 1e3: "1000 times too small"}


_NUMBERS = (
    "landmarks", "shape", "expression", "pose", "crop_pose", "camera", "image_to_crop", "image_height", "posmap",
)  # fmt: skip


def odd_numbers(sample: Mapping[str, Any]) -> str:
    """What of a stored sample's numbers can be none of a face, as in a set that `uvgen verify` refuses; or nothing.

    Fields that are not there, and maps as codes, are passed over.
    """
    for name in _NUMBERS:
        values = sample.get(name)
        if isinstance(values, np.ndarray | np.generic) and not np.isfinite(values).all():
            return f"{name} holds NaN or infinity, expected numbers"
    try:
        similarity_scale(sample["image_to_crop"])
    except InputError as error:
        return f"image_to_crop cannot be used ({error})"
    scale = float(sample["pose"][6])
    return "" if scale > 0 else f"pose has a scale of {scale:.4g} px/µm, expected more than 0"


def check_counts(sample: Sample, annotation: Annotation, model: MorphableModel) -> None:
    """Raise SampleError if a sample has other numbers of parameters than the model has components."""
    for what, found, expected in (
        ("shape", len(annotation.shape), model.n_shape),
        ("expression", len(annotation.expression), model.n_expression),
    ):
        if found != expected:
            raise SampleError(
                f"{sample.stated_in}: {found} {what} parameters, {model.name} has {count(expected, 'component')}; "
                "use the model that the parameters were fitted with"
            )


def check_pose(sample: Sample, pose: NDArray[np.floating[Any]]) -> None:
    """Raise SampleError if the scale is not positive, or the angles are none that a fit gives."""
    numbers = pose.tolist()
    angles, scale = numbers[:3], numbers[6]
    if scale <= 0:
        raise SampleError(
            f"{sample.stated_in}: a scale of {scale:.4g} px/µm turns the face inside out, expected more than 0; "
            "is the last number of Pose_Para the scale?"
        )
    if not all(abs(number) <= MOST for number in numbers[3:]):
        raise SampleError(
            f"{sample.stated_in}: shifts and a scale of up to {np.abs(pose[3:]).max():.3g}, expected {MOST:g} px at "
            "most; is it damaged?"
        )
    if max(map(abs, angles)) > MOST_RAD:
        raise SampleError(
            f"{sample.stated_in}: angles of {_listed(angles)} (pitch, yaw, roll), expected radians of -2π to 2π; "
            "are they in degrees? Multiply them by π/180"
        )
    if math.cos(angles[0]) * math.cos(angles[1]) < _AWAY:  # the rotated z axis' own z
        raise SampleError(
            f"{sample.stated_in}: angles of {_listed(angles)} rad (pitch, yaw, roll) turn the face away, expected one "
            "in view; are they in degrees, or in another order?"
        )


def _listed(angles: list[float]) -> str:
    return ", ".join(f"{angle:.4g}" for angle in angles)


def check_labels(sample: Sample, *labels: NDArray[Any]) -> None:
    """Raise SampleError if a number of a sample's labels is larger than any that a face has, or is none."""
    if not are_labels(*labels):
        most = max(float(np.abs(values).max()) for values in labels)
        raise SampleError(f"{sample.stated_in}: gives labels of up to {most:.3g} px, expected {MOST:g} at most")


def are_labels(*labels: NDArray[Any]) -> bool:
    """Whether all numbers, of one or more samples' labels, are of the size that a face has; NaN is not."""
    return all(values.min() >= -MOST and values.max() <= MOST for values in labels)


def deviations(values: NDArray[np.floating[Any]], std: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Parameters in standard deviations, as absolute values; 0 for components whose deviation is unknown."""
    known = np.isfinite(std) & (std > 0)
    sizes: NDArray[np.float64] = np.abs(
        np.divide(values, std, out=np.zeros(len(values)), where=known, dtype=np.float64)
    )
    return sizes


def check_deviations(sample: Sample, what: str, values: NDArray[Any], std: NDArray[Any]) -> None:
    """Raise SampleError if a parameter lies many standard deviations out."""
    if (np.abs(values) <= _FEWER_DEVIATIONS * std).all():  # half of the time; false where a deviation is unknown
        return
    out = deviations(values, std)
    if len(out) and out.max() > MOST_DEVIATIONS:
        k = int(out.argmax())
        raise SampleError(
            f"{sample.stated_in}: {what} parameter {k} is {values[k]:.4g}, {out[k]:.0f} standard deviations out, "
            f"expected {MOST_DEVIATIONS:g} at most; is it of another model, or a fit that failed?"
        )


def check_face_size(sample: Sample, landmarks: NDArray[np.float64], image_shape: tuple[int, ...]) -> None:
    """Raise SampleError if a face, its landmarks (68, 2) in image px, is far too small or large for its image."""
    face, most = float(np.ptp(landmarks, axis=0).max()), LARGEST_FACE * max(image_shape[:2])
    if SMALLEST_FACE_PX <= face <= most:
        return
    units = [text for factor, text in _UNITS.items() if SMALLEST_FACE_PX <= face * factor <= most]
    cause = f"its scale seems {units[0]}; it counts px/µm" if units else "is Pose_Para of this image?"
    raise SampleError(
        f"{sample.stated_in}: the face is {face:.3g} px large in an image of {image_shape[1]}×{image_shape[0]}, "
        f"expected {SMALLEST_FACE_PX:g} to {most:g}; {cause}"
    )


def check_inside(
    sample: Sample, low: NDArray[np.float64], high: NDArray[np.float64], image_shape: tuple[int, ...], advice: str
) -> None:
    """Raise SampleError if the box of a face's landmarks, from `low` to `high`, (2,) px, is beside its image."""
    height, width = image_shape[:2]
    if high.min() < 0 or low[0] > width - 1 or low[1] > height - 1:
        raise SampleError(
            f"{sample.image}: the face lies outside the image ({width}×{height}; landmarks around "
            f"x {low[0]:.0f} to {high[0]:.0f}, y {low[1]:.0f} to {high[1]:.0f}); {advice}"
        )
