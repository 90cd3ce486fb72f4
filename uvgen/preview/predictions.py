"""A sheet of what a network predicts, beside what is true: what `examples/train_minimal.py` and `uvgen preview --pred`
draw.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_array, check_paths, check_several, number_in
from uvgen.datasets.open import open_shards, own_model
from uvgen.errors import DatasetError, InputError
from uvgen.evaluation.prediction_files import OF_PREDICT, StatedByPredict, files_of, stated_by_predict
from uvgen.evaluation.predictions import FARTHEST_PREDICTED_PX, moved, placing
from uvgen.evaluation.truth import crop_of_sample
from uvgen.evaluation.uv_doubts import doubts_of_uv
from uvgen.images.codecs import check_picture_name, save_picture
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks
from uvgen.metrics import nme_2d
from uvgen.models.load import as_model, check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.normalization import Normalization, check_scale
from uvgen.preview.layout import Header, Row, compose
from uvgen.preview.page import MOST, PreviewResult
from uvgen.preview.panels import dense_panel, landmark_panel, map_panel
from uvgen.preview.problems import check_has_pictures
from uvgen.preview.sample_view import SampleView
from uvgen.preview.selection import numbers_of, spread
from uvgen.progress import begin
from uvgen.samples.selection import checked_names
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import brief
from uvgen.storage.npy import as_float64, read_npy_file
from uvgen.wording import count, have

_TITLES = ("68 points, predicted", "dense, predicted", "dense, true", "map, predicted", "map, true")


def prediction_sheet(
    reader: ShardReader,
    indices: Sequence[int],
    predicted: NDArray[np.floating[Any]],
    true: NDArray[np.floating[Any]] | None = None,
    *,
    title: str = "Predictions",
) -> NDArray[np.uint8]:
    """Draw predicted position maps and the true ones, a row per sample.

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
        If shapes do not agree, a map is not finite, or there are no true maps.
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
        try:
            error = nme_2d(read_landmarks(views[0].position_map, reading)[None], sample["landmarks"][None])[0]
        except InputError as problem:  # of a damaged set
            raise InputError(
                f"{reader.folder}: the landmarks of {brief(sample['name'])} cannot be compared with ({problem}); run "
                f"`uvgen verify {reader.folder}`"
            ) from problem
        pictures = (
            landmark_panel(views[0], texels, reading),
            *(dense_panel(view, max(1, round(size / 42))) for view in views),
            *(map_panel(view) for view in views),
        )
        rows.append(Row(sample["name"], f"NME {error:.1%}", (), pictures))
    how = "dots and lines are read from the predicted map; green crosses are the true landmarks"
    return np.asarray(compose(Header(title, (), how, False, (), crosses="true"), _TITLES, rows))


def render_predictions(
    shards: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    out: str | os.PathLike[str],
    n_samples: int = 8,
    *,
    names: Sequence[str] = (),
    scale: str | float = "px",
    model: MorphableModel | str | os.PathLike[str] | None = None,
    seed: int = 0,
    untrusted: bool = False,
) -> PreviewResult:
    """Draw a network's predictions for samples of a data set beside the truth, into a file.

    Parameters
    ----------
    shards : path-like
        The data set's folder.
    predictions : path-like
        Folder of position maps (U, U, 3), NAME.npy as the set names its samples (``IBUG/IBUG_image_008_1_0.npy``), or
        without the folder, if only one sample is called so. In px of the crop; if `uvgen predict` wrote them, where it
        says.
    out : path-like
        The picture, which ends in .png or .jpg; an existing file is replaced.
    n_samples, names, seed
        As for `contact_sheet`; of samples that have a prediction.
    scale : {"px", "size", "prnet", "reshow", "unit"} or float
        Unit of the maps, as `uvgen.Normalization.of_scale` has it.
    model : MorphableModel or path-like, optional
        The one that the set was built with; makes the true maps if they are not stored.
    untrusted : bool
        Read the shards, and `model` if it is a file, in child processes: see `uvgen.open_shards`.

    Returns
    -------
    PreviewResult
        Its `problems` count the samples without a prediction, and say if the maps are of another model.

    Raises
    ------
    InputError
        If an argument is out of range or of the wrong type.
    DatasetError
        If the set is damaged, empty, or holds no maps and there is no model; no sample, or not a named one, has a
        prediction; or a prediction cannot be read, is not finite or of another size.
    ModelError
        If the model is not the set's.
    """
    check_paths(shards=shards, predictions=predictions, out=out)
    started = time.perf_counter()
    path, folder = Path(out), Path(predictions)
    check_picture_name(path)
    check_scale(scale)
    check_several(names, "names")
    checked_names(names, "names")
    number_in(n_samples, "n_samples", 1, MOST, whole=True)
    number_in(len(names), "names", 0, MOST, "samples")
    reader = open_shards(shards, untrusted=untrusted)
    opened = None
    if model is not None or reader.config.build.maps == "none":
        begin("reading the model")
        opened = own_model(reader.config) if model is None else as_model(model, untrusted=untrusted)
        reader = reader if opened is None else open_shards(shards, opened, untrusted=untrusted)
    check_has_pictures(reader)
    if "posmap" not in reader.fields and "posmap" not in reader.made:
        raise DatasetError(
            f"{reader.folder}: stores no maps, expected maps or a model; give the model that it was built with"
        )
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder, expected predicted maps, NAME.npy")
    all_names = reader.names
    files, _ = files_of(folder, all_names, (".npy",))
    if not files:
        raise DatasetError(
            f"{folder}: no predictions of {reader.folder}, expected {brief(all_names[0])}.npy and others"
        )
    numbers_of(reader, all_names, names)
    if lacking := [name for name in names if name not in files]:
        raise DatasetError(f"{folder}: no prediction of {brief(lacking[0])}, expected {brief(lacking[0])}.npy")
    predicted = [k for k, name in enumerate(all_names) if name in files]
    yaws = reader.column("crop_pose")[predicted, 1]
    choice = spread(yaws, [all_names[k] for k in predicted], n_samples, seed)
    chosen = numbers_of(reader, all_names, names) if names else [predicted[k] for k in choice]
    normalization = Normalization.of_scale(scale, reader.config.build.size)
    size = len(reader.constants["coverage"])
    maps = np.stack([_read(files[all_names[k]], size, normalization) for k in chosen])
    doubts: list[str] = []
    if (stated := stated_by_predict(folder)) is not None:
        doubts = [*stated.doubts, *doubts_of_uv(folder, stated.model, stated.model_sha256, reader)]
        maps = np.stack([_in_crop(*pair, reader, stated) for pair in zip(maps, chosen, strict=True)])
    begin("drawing")
    title = f"{brief(folder.name)}: predictions of {brief(reader.folder.name)}"
    picture = prediction_sheet(reader, chosen, maps, title=title)
    check_model_file(opened)
    save_picture(picture, path)
    missing = len(all_names) - len(files)
    said = f"{missing} of {count(len(all_names), 'sample')} {have(missing)} no prediction in {folder}"
    problems = (*doubts, *([said] if missing else []))
    shown = tuple(all_names[k] for k in chosen)
    height, width = picture.shape[:2]
    return PreviewResult(len(reader), shown, problems, (path,), (height, width), time.perf_counter() - started)


def _in_crop(values: NDArray[Any], number: int, reader: ShardReader, stated: StatedByPredict) -> NDArray[np.float32]:
    """A map that `uvgen predict` wrote, in the crop of its sample and in the set's convention."""
    sample = reader[number]
    to_crop = crop_of_sample(sample, reader.folder)
    if sample.get("flipped", False):
        raise DatasetError(
            f"{reader.folder}: {brief(sample['name'])} is mirrored, and `uvgen predict` predicted its photograph; name "
            "other samples"
        )
    matrix = to_crop if stated.frame == "image" else np.eye(3)
    how = placing(matrix, to_crop[:2, :2], OF_PREDICT, reader.config.build.convention)
    return moved(values, how).astype(np.float32)


def _read(path: Path, size: int, normalization: Normalization) -> NDArray[np.float32]:
    """A predicted map (size, size, 3), px."""
    expected = f"a position map ({size}, {size}, 3), as the set's are"
    values = read_npy_file(path, DatasetError, expected=expected)
    if values.shape != (size, size, 3) or values.dtype.kind == "b":
        raise DatasetError(f"{path}: {values.dtype} {values.shape}, expected {expected}")
    found = np.asarray(normalization.denormalize(as_float64(values).astype(np.float32)))
    if not np.isfinite(found).all():
        raise DatasetError(f"{path}: holds NaN or infinity, expected {expected}")
    if (far := float(np.abs(found).max())) > FARTHEST_PREDICTED_PX:
        raise DatasetError(f"{path}: leads {far:.3g} px away, expected px of a crop; is its scale another?")
    return found
