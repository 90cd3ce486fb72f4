"""Batches in, scores of all faces out."""

import numpy as np
import pytest

from uvgen import LandmarkWeights, open_shards
from uvgen.errors import InputError
from uvgen.evaluation.accumulate import Evaluation
from uvgen.evaluation.faces import Faces
from uvgen.metrics import nme_2d, nme_dense


def evaluation(constants, **options):
    reading = LandmarkWeights.of_constants(constants)
    return Evaluation(mask=constants["weight_mask"] > 0, crop_size=32, landmark_weights=reading, **options)


@pytest.fixture(scope="module")
def batch(shards):
    reader = open_shards(shards)
    rows = reader[:]
    rng = np.random.default_rng(0)
    predicted = rows["posmap"] + rng.normal(0, 0.5, rows["posmap"].shape).astype(np.float32)
    return reader.constants, rows, predicted


def test_batches_of_any_size_give_the_same_result(batch) -> None:
    constants, rows, predicted = batch
    results = []
    for size in (1, 4, 9):
        one = evaluation(constants)
        for k in range(0, 9, size):
            part = slice(k, k + size)
            one.add(predicted[part], rows["posmap"][part], names=rows["name"][part], yaw_deg=rows["pose"][part, 1] * 57)
        results.append(one.result())
    for other in results[1:]:
        assert other.names == results[0].names == tuple(rows["name"])
        assert other.values.keys() == results[0].values.keys() >= {"nme_68_2d", "nme_dense_3d", "ssim", "pose_error"}
        for key, values in other.values.items():
            np.testing.assert_allclose(values, results[0].values[key], rtol=1e-5)  # sums in float32
    assert results[0].summaries["nme_68_2d"].bins[0].n > 0


def test_values_are_those_of_the_metrics(batch) -> None:
    constants, rows, predicted = batch
    one = evaluation(constants)
    one.add(predicted, Faces(rows["landmarks"], rows["posmap"]))
    found = one.result()
    mask = constants["weight_mask"] > 0
    expected = nme_dense(predicted, rows["posmap"], mask, rows["landmarks"])
    np.testing.assert_array_equal(found.values["nme_dense_3d"], expected)
    assert found.summaries["nme_dense_3d"].mean == pytest.approx(float(np.mean(expected)))
    assert found.summaries["nme_dense_3d"].bins == ()  # no yaw was given


def test_landmarks_alone_have_the_scores_of_landmarks(batch) -> None:
    _, rows, _ = batch
    one = Evaluation()
    one.add(rows["landmarks"][..., :2] + 1, rows["landmarks"], names=rows["name"])
    found = one.result()
    assert list(found.values) == ["nme_68_2d"]
    np.testing.assert_allclose(found.values["nme_68_2d"], nme_2d(rows["landmarks"] + 1, rows["landmarks"]))


def test_faces_with_nan_are_named_and_in_no_mean(batch) -> None:
    constants, rows, predicted = batch
    whole, holed = evaluation(constants), evaluation(constants)
    broken = predicted.copy()
    broken[2, 5, 5, 1], broken[7, 0, 0, 0] = np.nan, np.inf
    holed.add(broken, rows["posmap"], names=rows["name"])
    rest = [k for k in range(9) if k not in (2, 7)]
    whole.add(predicted[rest], rows["posmap"][rest])
    found, expected = holed.result(), whole.result()
    assert found.not_finite == (rows["name"][2], rows["name"][7])
    for key, summary in found.summaries.items():
        assert summary.n == 7 and summary.mean == pytest.approx(expected.summaries[key].mean), key
        assert np.isnan(found.values[key][[2, 7]]).all()


@pytest.mark.torch
def test_tensors_in_half_precision_and_planar_maps_are_taken(batch) -> None:
    torch = pytest.importorskip("torch")
    constants, rows, predicted = batch
    one, other = evaluation(constants), evaluation(constants)
    one.add(predicted, rows["posmap"])
    planar = [torch.from_numpy(maps).permute(0, 3, 1, 2) for maps in (predicted, rows["posmap"])]
    planar[0].requires_grad_()
    other.add(*planar)
    for key, values in one.result().values.items():
        np.testing.assert_allclose(other.result().values[key], values, rtol=1e-4, atol=1e-7)
    half = evaluation(constants, scores=["nme_dense_2d"])
    half.add(planar[0].bfloat16(), planar[1].float())
    assert half.result().summaries["nme_dense_2d"].mean == pytest.approx(
        one.result().summaries["nme_dense_2d"].mean, rel=0.1
    )


def test_bad_arguments_are_named(batch) -> None:
    constants, rows, predicted = batch
    one = evaluation(constants)
    maps = rows["posmap"]
    for message, call in {
        "scores: 'nme', expected one of nme_68_2d": lambda: Evaluation(scores=["nme"]),
        "scores: 'ssim', expected a list of names": lambda: Evaluation(scores="ssim"),
        "predicted: 2 faces, expected those of truth, 9": lambda: one.add(predicted[:2], maps),
        "mask: None, expected face texels": lambda: Evaluation(
            landmark_weights=LandmarkWeights.of_constants(constants)).add(predicted, maps),
        "predicted: maps, expected landmarks, or landmark_weights": lambda: Evaluation().add(predicted, maps),
        "truth: face 3 holds NaN or infinity": lambda: one.add(
            predicted, np.where(np.arange(9)[:, None, None, None] == 3, np.nan, maps)),
        "names: 1, expected 9": lambda: one.add(predicted, maps, names=["a"]),
        "yaw_deg: float64 .1,., expected .9,.": lambda: one.add(predicted, maps, yaw_deg=np.zeros(1)),
        "predicted: float64 .9, 60, 2.": lambda: one.add(np.zeros((9, 60, 2)), maps),
        "predicted: 'list'|expected a NumPy array or a PyTorch tensor": lambda: one.add([1], maps),
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=message):
            call()
    assert one.result().names == ()


@pytest.mark.parametrize(("change", "message"), [(0, "in one place"), (1e200, "is not a number")])
def test_batch_with_a_score_that_cannot_be_measured_counts_not_at_all(change: float, message: str) -> None:
    evaluation, points = Evaluation(), np.random.default_rng(3).uniform(20, 200, (2, 68, 3))
    with pytest.raises(InputError, match=message):
        evaluation.add(points * np.array([1, change])[:, None, None], points, yaw_deg=np.zeros(2))
    evaluation.add(points, points, names=["a", "b"], yaw_deg=np.array([0.0, 40]))
    result = evaluation.result()
    assert result.names == ("a", "b") and {len(values) for values in result.values.values()} == {2}
    assert result.summaries["nme_68_2d"].mean == 0


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_maps_in_crop_widths_are_refused(batch, kind: str) -> None:
    """Ranges of 1 px have an SSIM near 1, whatever is predicted."""
    constants, rows, _ = batch
    one = Evaluation(mask=constants["weight_mask"] > 0, landmark_weights=LandmarkWeights.of_constants(constants))
    maps = rows["posmap"] / 32
    if kind == "torch":
        maps = pytest.importorskip("torch").from_numpy(maps)
    with pytest.raises(InputError, match=r"truth: the map of face 0 spans [\d.]+ px, expected px of a crop of 256"):
        one.add(maps, maps)
    assert one.result().names == ()
    one.add(256 * maps, 256 * maps)
    assert len(one.result().names) == 9


@pytest.mark.parametrize("squash", [[1e-160, 1e-160, 1], [1e-300, 1, 1]])
def test_truth_whose_box_is_nothing_is_refused(squash: list[float]) -> None:
    """Shares of it are numbers whose squares are none: their spread would be infinite, which no JSON holds."""
    evaluation, points = Evaluation(), np.random.default_rng(3).uniform(20, 200, (2, 68, 3))
    tiny = points * np.array([[1, 1, 1], squash])[:, None]
    with pytest.raises(InputError, match=r"truth: the box of face 1's 68 points is \S+ px large, expected a face's"):
        evaluation.add(points, tiny)
    evaluation.add(points / 200, points / 200)  # of another unit
    assert evaluation.result().summaries["nme_68_2d"].mean == 0
