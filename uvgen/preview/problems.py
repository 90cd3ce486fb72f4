"""What is certainly wrong with a set or its labels, as far as a program can tell."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks
from uvgen.models.morphable import MorphableModel
from uvgen.preview.sample_view import SampleView
from uvgen.shards.reader import ShardReader

_MOVED = 0.01  # of the crop's width: stored landmarks and map differ by more only if one of them is wrong


def check_has_pictures(reader: ShardReader) -> None:
    """Raise DatasetError if a set holds no sample, or no images."""
    if not len(reader):
        raise DatasetError(f"{reader.folder}: holds no sample to show, expected one or more")
    if "image" not in reader.fields:
        raise DatasetError(f"{reader.folder}: has no images to show, expected a set with images")


def label_problems(face: SampleView, landmarks: NDArray[np.floating[Any]], read: LandmarkWeights) -> list[str]:
    """What is certainly wrong with a sample's labels.

    Parameters
    ----------
    face : SampleView
        The sample.
    landmarks : (68, 3) float
        As stored, crop px.
    read : LandmarkWeights
        Of the map's size.

    Returns
    -------
    list of str
        A few words each; empty if nothing is.
    """
    problems = []
    points = face.points[face.face]
    outward = np.einsum("nc,nc->n", points - points.mean(axis=0), face.normals[face.face]).mean()
    if outward < 0:
        problems.append("the map is inside out (mirrored?)")
    size = face.crop.shape[0]
    found = read_landmarks(face.position_map, read)[:, :2]
    moved = float(np.median(np.linalg.norm(found - landmarks[:, :2], axis=1)))
    if moved > _MOVED * size:
        problems.append(f"map and stored landmarks are {moved:.1f} px apart")
    inside = ((found >= 0) & (found <= size - 1)).all(axis=1)
    if inside.sum() < 34:
        problems.append(f"{68 - int(inside.sum())} of 68 points lie outside the crop")
    return problems


def model_problems(reader: ShardReader, model: MorphableModel | None) -> list[str]:
    """What is to be said of a model that is not the set's; nothing without a model."""
    if model is None or model.content_sha256 == reader.config.model_sha256:
        return []
    return [f"{model.name} is not the model that the set was built with"]
