"""A sheet of what a network predicts, beside what is true: what `examples/train_minimal.py` draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_array
from uvgen.errors import InputError
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks
from uvgen.metrics import nme_2d
from uvgen.preview.layout import Header, Row, compose
from uvgen.preview.panels import SampleView, dense_panel, landmark_panel, map_panel
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import brief

_TITLES = ("68 points, predicted", "dense, predicted", "dense, true", "map, predicted", "map, true")


def prediction_sheet(
    reader: ShardReader,
    indices: Sequence[int],
    predicted: NDArray[np.floating[Any]],
    true: NDArray[np.floating[Any]] | None = None,
    *,
    title: str = "Predictions",
) -> NDArray[np.uint8]:
    """Draw predicted position maps and the true ones, a row a sample.

    Parameters
    ----------
    reader : ShardReader
        The set, from `uvgen.open_shards`.
    indices : sequence of int
        The samples, n of them.
    predicted : (n, U, U, 3) float
        Position maps, px of the crop, U as in the set.
    true : (n, U, U, 3) float, optional
        The true ones; those of the set by default, which then stores maps or was opened with a model.
    title : str
        Above all.

    Returns
    -------
    (h, w, 3) uint8
        RGB. Dots and lines are read from the predicted map, green crosses are the set's landmarks; beside a sample's
        name is the normalized mean error of these 68 points.

    Raises
    ------
    InputError
        Where shapes do not agree, a map is not finite, or there are no true maps.
    """
    constants = reader.constants
    size, n = len(constants["coverage"]), len(indices)
    samples = [reader[k] for k in indices]
    if true is None:
        if samples and "posmap" not in samples[0]:
            raise InputError("true: None, and the set stores no maps; expected maps, or a set opened with its model")
        true = np.stack([sample["posmap"] for sample in samples]) if samples else np.empty((0, size, size, 3))
    for name, maps in (("predicted", predicted), ("true", true)):
        check_array(maps, name, (n, size, size, 3), kind="real numbers", note="maps in px")
        for sample, position_map in zip(samples, maps, strict=True):
            if not np.isfinite(position_map).all():
                raise InputError(f"{name}: the map of {brief(sample['name'])} holds NaN or infinity, expected px")
    reading, texels, rows = LandmarkWeights.of_constants(constants), constants["landmark_texels"], []
    for sample, *pair in zip(samples, predicted, true, strict=True):
        shown = {**sample, "annotated_landmarks": sample["landmarks"]}
        views = [
            SampleView.of({**shown, "posmap": np.ascontiguousarray(m, np.float32)}, constants["coverage"],
                          constants["weight_mask"]) for m in pair
        ]  # fmt: skip
        error = nme_2d(read_landmarks(views[0].position_map, reading)[None], sample["landmarks"][None])[0]
        pictures = (
            landmark_panel(views[0], texels, reading),
            *(dense_panel(view, max(1, round(size / 42))) for view in views),
            *(map_panel(view) for view in views),
        )
        rows.append(Row(sample["name"], f"NME {error:.1%}", (), pictures))
    how = "dots and lines are read from the predicted map; green crosses are the true landmarks"
    return np.asarray(compose(Header(title, (), how, False, (), crosses="true"), _TITLES, rows))
