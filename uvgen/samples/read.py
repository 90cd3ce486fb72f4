"""Reading a sample: its image, and what its `.mat` says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import SampleError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.images.codecs import decode_image
from uvgen.samples.find import Sample
from uvgen.samples.matfile import read_numeric


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """What a sample's ``.mat`` says.

    Attributes
    ----------
    shape, expression : (ks,), (ke,) float32
        Parameters that multiply the bases directly. They are rounded here, once: stored maps and maps that are made of
        stored parameters are then the same.
    pose : (7,) float32
        Pitch, yaw, roll (rad), tx, ty, tz (px), f (px/µm).
    landmarks_2d : (68, 2) float64 or None
        The annotated points, 0-based image px, in iBUG order also for flipped samples; None where the file
        has none or another number of them.
    """

    shape: NDArray[np.float32]
    expression: NDArray[np.float32]
    pose: NDArray[np.float32]
    landmarks_2d: NDArray[np.float64] | None


def read_annotation(sample: Sample) -> Annotation:
    """Read a sample's parameters.

    Parameters
    ----------
    sample : Sample
        As `find_samples` lists it.

    Returns
    -------
    Annotation

    Raises
    ------
    SampleError
        Where the file is missing, not a MATLAB file, lacks a key, or holds wrong counts, NaN or infinity.
    """
    path = sample.parameters
    if path is None:
        raise SampleError(f"{sample.image}: no .mat beside it; add the parameters or remove the image")
    try:
        content = read_numeric(path.read_bytes(), ("Pose_Para", "Shape_Para", "Exp_Para", "pt2d"))
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SampleError(f"{path}: not a readable MATLAB file ({error}); copy it again") from error
    values = {}
    for key in ("Pose_Para", "Shape_Para", "Exp_Para"):
        if key not in content:
            raise SampleError(f"{path}: {key} is missing; expected Pose_Para, Shape_Para and Exp_Para")
        array = content[key]
        if array is None:
            raise SampleError(f"{path}: {key} holds text, cells, structs or complex values, expected numbers")
        with np.errstate(over="ignore"):  # too large for float32: infinite, and refused as such
            values[key] = array.astype(np.float32).ravel()
        if not np.isfinite(values[key]).all():
            raise SampleError(f"{path}: {key} holds NaN or infinity; remove the sample or fit it again")
    if len(values["Pose_Para"]) != 7:
        raise SampleError(
            f"{path}: Pose_Para has {len(values['Pose_Para'])} numbers, expected 7 (3 angles, 3 shifts, scale)"
        )
    points = content.get("pt2d")
    landmarks = None
    if points is not None and points.shape == (2, 68):
        landmarks = points.T.astype(np.float64) - 1  # MATLAB counts pixels from 1
        if sample.flipped:
            landmarks = landmarks[LANDMARK_MIRROR]
    return Annotation(values["Shape_Para"], values["Exp_Para"], values["Pose_Para"], landmarks)


def read_image(sample: Sample) -> NDArray[np.uint8]:
    """Read a sample's image as RGB.

    Parameters
    ----------
    sample : Sample
        As `find_samples` lists it.

    Returns
    -------
    (h, w, 3) uint8
        RGB; grey, palette and CMYK images are converted.

    Raises
    ------
    SampleError
        Where the file is missing, unreadable, truncated, or has more than 8 bits a channel.
    """
    path = sample.image
    if path is None:
        raise SampleError(f"{sample.parameters}: no image beside it; add the .jpg or .png, or remove the .mat")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return decode_image(data)
    except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files, not all of them documented
        raise SampleError(f"{path}: not a readable image ({error}); copy it again") from error
