"""Whether predicted maps have the UV of the truth: if not, their texels are other points of the face."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uvgen.evaluation.truth import ShardTruth, Truth
from uvgen.maps.landmarks import LandmarkWeights
from uvgen.shards.reader import ShardReader

_OTHER_UV = 1.0  # texels between the landmarks of two sets' maps, in the median, from which their UV are others


def doubts_of_shards(shards: ShardReader, truth: Truth) -> tuple[bool, list[str]]:
    """Whether the maps of a data set have other UV than the truth's, as far as landmarks tell, and what to say of it.

    Models that were converted from other files of the same one differ in their hashes alone. If the UV are others,
    texels are other points of the face, and only landmarks can be compared.
    """
    if not isinstance(truth, ShardTruth) or not len(shards) or not len(truth.reader):
        return False, []
    own, true = shards.config, truth.reader.config
    if own.model_sha256 == true.model_sha256 or own.build.uv_size != true.build.uv_size:
        return False, []
    (rows, columns), (true_rows, true_columns) = map(_places, (shards, truth.reader))
    apart = np.hypot(rows - true_rows, columns - true_columns)
    if not apart.any():
        return False, []
    if (usual := float(np.median(apart))) <= _OTHER_UV:
        return False, doubts_of_uv(shards.folder, own.model, own.model_sha256, truth.reader)
    return True, [
        f"{shards.folder}: its maps are of {own.model} and have other UV than those of the truth, landmarks "
        f"{usual:.3g} texels elsewhere; only landmarks are compared"
    ]


def _places(shards: ShardReader) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns of the landmarks in the maps of a data set."""
    weights = LandmarkWeights.of_constants(shards.constants)
    rows, columns = np.divmod(weights.indices, weights.size)
    return (rows * weights.weights).sum(axis=1), (columns * weights.weights).sum(axis=1)


def doubts_of_uv(where: Path, model: str, model_sha256: str, true: ShardReader) -> list[str]:
    """A question if maps are of another model than the data set's; none if nothing says which model theirs is."""
    if model_sha256 in ("", true.config.model_sha256):
        return []
    return [
        f"{where}: its maps have the UV of {model or 'another model'} ({model_sha256[:12]}), the data set's that of "
        f"{true.config.model} ({true.config.model_sha256[:12]}): is it the same UV?"
    ]
