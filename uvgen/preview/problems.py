"""What is certainly wrong with labels, as far as a program can tell."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.models.morphable import MorphableModel
from uvgen.preview.panels import SampleView
from uvgen.shards.reader import ShardReader

_MOVED = 0.01  # of the crop's width: stored landmarks and map differ by more only where one of them is wrong


def label_problems(
    face: SampleView, landmarks: NDArray[np.floating[Any]], texels: NDArray[np.integer[Any]]
) -> list[str]:
    """What is certainly wrong with a sample's labels.

    Parameters
    ----------
    face : SampleView
        The sample.
    landmarks : (68, 3) float
        As stored, crop px.
    texels : (68, 2) int
        Rows and columns of the landmarks.

    Returns
    -------
    list of str
        A few words each; empty where nothing is.
    """
    problems = []
    points = face.points[face.face]
    outward = np.einsum("nc,nc->n", points - points.mean(axis=0), face.normals[face.face]).mean()
    if outward < 0:
        problems.append("the map is inside out (mirrored?)")
    size = face.crop.shape[0]
    at_texels = face.position_map[texels[:, 0], texels[:, 1], :2]
    moved = float(np.median(np.linalg.norm(at_texels - landmarks[:, :2], axis=1)))
    steps = np.linalg.norm(np.diff(face.position_map[..., :2], axis=1), axis=2)
    if moved > _MOVED * size + 0.6 * float(np.median(steps)):  # a texel's centre may be half a step away
        problems.append(f"map and stored landmarks are {moved:.1f} px apart")
    inside = ((at_texels >= 0) & (at_texels <= size - 1)).all(axis=1)
    if inside.sum() < 34:
        problems.append(f"{68 - int(inside.sum())} of 68 points lie outside the crop")
    return problems


def _model_problems(reader: ShardReader, model: MorphableModel | None) -> list[str]:
    if model is None or model.content_sha256 == reader.config.model_sha256:
        return []
    return [f"{model.name} is not the model that the set was built with"]
