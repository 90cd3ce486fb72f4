"""AFLW2000-3D's files and 3DDFA's benchmark."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.builds import have
from support.oracles import nme_21
from support.toy import HEIGHT, parameters, write_sample

from uvgen import open_shards
from uvgen.errors import DatasetError, InputError, UvgenError
from uvgen.evaluation import Reading
from uvgen.evaluation.evaluate import evaluate_predictions
from uvgen.evaluation.tables import lines_of_3ddfa
from uvgen.evaluation.truth import open_truth
from uvgen.geometry import pose_to_image

# What benchmark_aflw2000.py of cleardusk/3DDFA (3545f355) gives for `perturbed`: bins, mean, their std, plain mean.
OF_3DDFA = {
    "landmarks": (
        [3.1785125732421875, 3.6844146251678467, 3.7470805644989014, 3.5366694927215576, 0.25454390048980713],
        0.03362099453806877,
        "[ 0, 30]\tMean: 3.179, Std: 0.685\n[30, 60]\tMean: 3.684, Std: 0.829\n[60, 90]\tMean: 3.747, Std: 0.854\n"
        "[ 0, 90]\tMean: 3.537, Std: 0.255",
    ),
    "reannotated": (
        [4.299261569976807, 4.973443984985352, 5.858123779296875, 5.043609619140625, 0.6383339166641235],
        0.04666093364357948,
        "[ 0, 30]\tMean: 4.299, Std: 2.104\n[30, 60]\tMean: 4.973, Std: 1.092\n[60, 90]\tMean: 5.858, Std: 1.710\n"
        "[ 0, 90]\tMean: 5.044, Std: 0.638",
    ),
}


def perturbed(folder: Path) -> np.ndarray:
    """(2000, 3, 68): the truth, each point off by 4 px and each face by 3."""
    points = np.load(folder / "AFLW2000-3D.pts68.npy").astype(np.float64)
    rng = np.random.default_rng(20190915)
    return points + rng.normal(0, 4, points.shape) + rng.normal(0, 3, (len(points), 3, 1))


@pytest.mark.parametrize("frame", [pytest.param("image", marks=[pytest.mark.slow, pytest.mark.long]), "crop"])
def test_numbers_are_those_of_3ddfas_own_program(reference: Path, tmp_path: Path, frame: str) -> None:
    folder = reference / "aflw2000_eval"
    points = perturbed(folder)
    if frame == "crop":  # px of its crops of 120
        boxes = np.load(folder / "AFLW2000-3D_crop.roi_box.npy").astype(np.float64)[:, :, None]
        x, y = (
            (points[:, k] - boxes[:, k]) / (boxes[:, k + 2] - boxes[:, k]) * 120 for k in (0, 1)
        )  # fmt: skip
        points = np.stack([x, y], axis=1)
    np.save(tmp_path / "points.npy", points)
    report = evaluate_predictions(tmp_path / "points.npy", folder, protocol="3ddfa", reading=Reading(frame=frame))
    assert report.complete and report.doubts == ()
    for name, (percent, plain, printed) in OF_3DDFA.items():
        found = report.results[name].summaries["nme_68_2d"]
        assert [one.n for one in found.bins] == [1312, 383, 305]
        shares = [*(one.mean for one in found.bins), found.balanced_mean, found.balanced_std]
        np.testing.assert_allclose(shares, np.array(percent) / 100, atol=1e-6)  # it calculates in float32
        assert found.mean == pytest.approx(plain, abs=1e-6)
        assert lines_of_3ddfa(found) == printed


@pytest.mark.slow
def test_a_doubt_about_matlabs_pixels_is_raised_where_predictions_count_from_zero(
    reference: Path, tmp_path: Path
) -> None:
    folder = reference / "aflw2000_eval"
    np.save(tmp_path / "points.npy", perturbed(folder) - np.array([1.0, 1.0, 0.0])[:, None])
    (doubt,) = evaluate_predictions(tmp_path / "points.npy", folder).doubts
    assert re.search(r"px left and .* px up of the truth: the exact convention\?", doubt)
    assert evaluate_predictions(tmp_path / "points.npy", folder, reading=Reading(convention="exact")).doubts == ()


def test_aflw2000s_folder_is_a_truth_in_pixels_of_the_image(reference: Path, tmp_path: Path) -> None:
    truth = open_truth(reference / "aflw2000")
    assert len(truth.names) == 16
    for k, name in enumerate(truth.names):
        np.save(tmp_path / f"{name}.npy", truth.face(k).truths["annotation"].landmarks[0] + [3, 4, 50])
    report = evaluate_predictions(tmp_path, reference / "aflw2000")
    assert report.results.keys() == {"annotation", "aflw21"} and report.complete
    found = report.result.values["nme_68_3d"]
    boxes = [np.sqrt(np.ptp(truth.face(k).truths["annotation"].landmarks[0, :, :2], axis=0).prod()) for k in range(16)]
    np.testing.assert_allclose(found, 5 / np.array(boxes))
    assert "landmarks" not in report.results  # no model, no labels


def write_benchmark(folder: Path, n: int = 4) -> np.ndarray:
    rng = np.random.default_rng(0)
    points = rng.uniform(10, 90, (n, 3, 68)).astype(np.float32)
    folder.mkdir(exist_ok=True)
    np.save(folder / "AFLW2000-3D.pts68.npy", points)
    np.save(folder / "AFLW2000-3D.pose.npy", np.linspace(-80, 80, n).astype(np.float32))
    return points


def test_benchmark_without_the_other_files_has_one_truth_and_the_names_of_its_list(tmp_path: Path) -> None:
    points = write_benchmark(tmp_path / "truth")
    np.save(tmp_path / "all.npy", points)
    report = evaluate_predictions(tmp_path / "all.npy", tmp_path / "truth")
    assert report.result.names == ("00000", "00001", "00002", "00003") and list(report.results) == ["landmarks"]
    assert report.result.summaries["nme_68_3d"].mean == 0
    (tmp_path / "truth/AFLW2000-3D_crop.list").write_text("image7.jpg\nimage8.jpg\nimage9.jpg\nimage10.jpg\n")
    assert open_truth(tmp_path / "truth").names == ["image7", "image8", "image9", "image10"]
    with pytest.raises(InputError, match="said to be in the crop, and the truth has no such frame"):
        evaluate_predictions(tmp_path / "all.npy", tmp_path / "truth", reading=Reading(frame="crop"))


def test_boxes_without_an_area_make_no_crop(tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", write_benchmark(tmp_path / "truth"))
    np.save(tmp_path / "truth/AFLW2000-3D_crop.roi_box.npy", np.tile([90.0, 10, 10, 90], (4, 1)))
    with pytest.raises(UvgenError, match="said to be in the crop, and the truth has no such frame"):
        evaluate_predictions(tmp_path / "all.npy", tmp_path / "truth", reading=Reading(frame="crop"))
    assert evaluate_predictions(tmp_path / "all.npy", tmp_path / "truth").complete


@pytest.mark.parametrize(("name", "array", "message"), [
    ("AFLW2000-3D.pts68.npy", np.zeros((4, 2, 68)), "4 x 2 x 68, expected N x 3 x 68"),
    ("AFLW2000-3D.pose.npy", np.zeros(3), "3, expected 4, as in 3DDFA's benchmark"),
    ("AFLW2000-3D-Reannotated.pts68.npy", np.zeros((4, 3, 68)), "4 x 3 x 68, expected 4 x 2 x 68"),
    ("AFLW2000-3D_crop.roi_box.npy", np.full((4, 4), np.nan), "holds NaN or infinity"),
    ("AFLW2000-3D_crop.roi_box.npy", np.full((4, 4), 1e30), r"holds 1e\+30, expected px, 1e\+06 at most"),
    ("AFLW2000-3D.pts68.npy", np.full((4, 3, 68), -2e6), r"holds 2e\+06, expected px, 1e\+06 at most"),
    ("AFLW2000-3D.pts68.npy", np.ones((4, 3, 68), bool), "bool, expected px"),
    ("AFLW2000-3D.pose.npy", np.array([0, 0, 361, 0]), "holds 361, expected degrees, 360 at most"),
])  # fmt: skip
def test_benchmark_of_other_arrays_is_an_error(tmp_path: Path, name: str, array: np.ndarray, message: str) -> None:
    write_benchmark(tmp_path)
    np.save(tmp_path / name, array)
    with pytest.raises(DatasetError, match=message):
        open_truth(tmp_path)


def test_points_in_3d_are_a_truth_in_3d_of_shards(tmp_path: Path, model_path: Path, model) -> None:
    for k in range(3):
        content = parameters(k)
        vertices = model.mean[model.landmarks] + model.basis[model.landmarks] @ np.concatenate(
            [np.ravel(content[key]) for key in ("Shape_Para", "Exp_Para")]
        )
        affine = pose_to_image(content["Pose_Para"], HEIGHT)[0]
        points = vertices @ affine[:, :3].T + affine[:, 3] + [1, 1, 0]  # as MATLAB counts
        write_sample(tmp_path / "AFLW2000", f"image0000{k}", k, **content, pt3d_68=points.T)
    have(tmp_path / "AFLW2000", model_path, tmp_path / "shards")
    reader = open_shards(tmp_path / "shards")
    folder = tmp_path / "predictions"
    folder.mkdir()
    for sample in reader:
        np.save(folder / f"{sample['name']}.npy", sample["landmarks"] + [3, 4, 50])
    report = evaluate_predictions(folder, tmp_path / "shards")
    found = report.results["annotation"].values["nme_68_3d"]
    boxes = [np.sqrt(np.ptp(sample["annotated_landmarks"][:, :2], axis=0).prod()) for sample in reader]
    np.testing.assert_allclose(found, 5 / np.array(boxes), rtol=1e-3)  # float32 and the files' rounding


def test_aflws_points_are_scored_where_they_are_visible_as_a_slow_loop_does(reference: Path, tmp_path: Path, uvgen):
    from scipy.io import loadmat

    folder, rng = reference / "aflw2000", np.random.default_rng(2)
    truth, expected, visible = open_truth(folder), {}, {}
    for name in truth.names:
        content = loadmat(folder / f"{name}.mat")
        points = content["pt3d_68"].T.astype(float) + rng.normal(0, 3, (68, 3))
        np.save(tmp_path / f"{name}.npy", points - [1, 1, 0])
        expected[name] = nme_21(points, content["pt2d"].T, content["pt3d_68"].T)
        visible[name] = int((content["pt2d"] != -1).all(axis=0).sum())
    report = evaluate_predictions(tmp_path, folder)
    found = report.results["aflw21"]
    assert list(found.values) == ["nme_21_2d"] and "nme_21_2d" not in report.results["annotation"].values
    assert found.values["nme_21_2d"] == pytest.approx([expected[name] for name in found.names], rel=1e-6)
    assert report.visible == visible and report.to_plain()["visible"] == visible
    seen, partly = sum(visible.values()), sum(n < 21 for n in visible.values())
    assert (
        f"aflw21: 16 of 16 faces have visible points, {partly} of them not all 21; {seen} of 336 points are compared"
        in (report.notes)
    )
    alone = evaluate_predictions(tmp_path, folder, scores=["nme_21_2d"])
    assert list(alone.results) == ["aflw21"] and list(
        evaluate_predictions(tmp_path, folder, protocol="prnet").results
    ) == ["annotation"]
    done = uvgen("evaluate", "--pred", tmp_path, "--truth", folder, "--protocol", "3ddfa")
    assert done.exit_code == 0 and "aflw21, as benchmark_aflw.py prints it:\n[ 0, 30]\tMean:" in done.stdout
    assert "those of AFLW's 21 points that are visible" in done.stdout and report.notes[0] in done.stderr


def write_aflw(folder: Path, n: int = 5) -> np.ndarray:
    rng = np.random.default_rng(1)
    points = rng.uniform(10, 90, (n, 3, 68)).astype(np.float32)
    marked = rng.uniform(10, 90, (n, 2, 21)).astype(np.float32)
    marked[0, :, 3:] = -1
    marked[1, 0, ::2] = -1  # as in its files: x is -1, and y, counted from below, one more than the height
    marked[2] = -1
    folder.mkdir(exist_ok=True)
    boxes = np.array([[10 + k, 20, 130 + 3 * k, 140 + 2 * k] for k in range(n)], np.uint16)
    for name, array in (("pts68", points), ("pts21", marked), ("crop_yaws", np.linspace(-80, 80, n)),
                        ("crop_roi_box", boxes)):  # fmt: skip
        np.save(folder / f"AFLW_GT_{name}.npy", array)
    return points + rng.normal(0, 2, points.shape)


def test_aflws_benchmark_is_a_truth_beside_aflw2000s(tmp_path: Path) -> None:
    folder = tmp_path / "truth"
    write_benchmark(folder)
    points = write_aflw(folder)
    marked, box = np.load(folder / "AFLW_GT_pts21.npy"), np.load(folder / "AFLW_GT_pts68.npy")
    np.save(tmp_path / "points.npy", points)
    report = evaluate_predictions(tmp_path / "points.npy", folder / "AFLW_GT_pts21.npy", protocol="3ddfa")
    assert [name for name, _ in report.unread] == ["00002"] and not report.complete
    assert "none of AFLW's 21 points is visible" in report.unread[0][1]
    expected = [nme_21(points[k].T, marked[k].T, box[k].T) for k in (0, 1, 3, 4)]
    assert report.results["aflw21"].values["nme_21_2d"] == pytest.approx(expected, rel=1e-6)
    assert report.visible == {"00000": 3, "00001": 10, "00003": 21, "00004": 21}
    boxes = np.load(folder / "AFLW_GT_crop_roi_box.npy").astype(float)[:, :, None]
    np.save(tmp_path / "crops.npy", (points[:, :2] - boxes[:, :2]) / (boxes[:, 2:] - boxes[:, :2]) * 120)
    crops = evaluate_predictions(tmp_path / "crops.npy", folder / "AFLW_GT_pts21.npy", reading=Reading(frame="crop"))
    assert crops.results["aflw21"].values["nme_21_2d"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="has only AFLW's 21 points, expected nme_21_2d among the scores"):
        evaluate_predictions(tmp_path / "points.npy", folder / "AFLW_GT_pts21.npy", scores=["nme_68_2d"])
    np.save(folder / "AFLW_GT_pts68.npy", box[:, :, :60])
    with pytest.raises(DatasetError, match="5 x 3 x 60, expected N x N x 68"):
        open_truth(folder / "AFLW_GT_pts21.npy")


def test_faces_with_some_of_the_points_are_counted_and_named(shards: Path, predict, tmp_path: Path, uvgen) -> None:
    import h5py

    partly = shutil.copytree(shards, tmp_path / "partly")
    with h5py.File(partly / "IBUG-00000.h5", "a") as file:
        file["annotated_landmarks"][0, 3:] = np.nan  # some
        file["annotated_landmarks"][1] = np.nan  # none
        name, none = file["name"].asstr()[:2]
    report = evaluate_predictions(predict(), partly)
    assert report.partial == {"annotation": (name,)} and none not in report.results["annotation"].names
    assert report.notes == ["annotation: 7 of 9 faces have all 68 points; 1 partly, not scored: names in the JSON"]
    assert report.to_plain()["partial"] == {"annotation": [name]} and report.complete
    result = uvgen("evaluate", "--pred", predict(), "--truth", partly, "--scores", "nme_68_2d")
    assert result.exit_code == 0 and f"note: {report.notes[0]}\n" in result.stderr


def test_scale_of_a_crop_is_refused_where_the_truth_has_no_crops(tmp_path: Path) -> None:
    points = write_benchmark(tmp_path / "truth")
    np.save(tmp_path / "predictions.npy", points)
    message = "scale: 'size', expected a number, since the truth is not a data set with crops"
    with pytest.raises(InputError, match=message):
        evaluate_predictions(tmp_path / "predictions.npy", tmp_path / "truth", reading=Reading(scale="size"))
    halved = tmp_path / "halved.npy"
    np.save(halved, points / 2)
    report = evaluate_predictions(halved, tmp_path / "truth", reading=Reading(scale=2.0))
    whole = evaluate_predictions(tmp_path / "predictions.npy", tmp_path / "truth")
    assert report.result.summaries["nme_68_3d"].mean == pytest.approx(whole.result.summaries["nme_68_3d"].mean)


def _benchmark(folder: Path, names: str) -> Path:
    folder.mkdir()
    np.save(folder / "AFLW2000-3D.pts68.npy", np.random.default_rng(0).uniform(20, 200, (3, 3, 68)))
    np.save(folder / "AFLW2000-3D.pose.npy", np.zeros(3))
    (folder / "AFLW2000-3D_crop.list").write_text(names)
    return folder


@pytest.mark.parametrize("names", ["a.jpg a.jpg b.jpg", "a.jpg a.png b.jpg"])
def test_names_that_stand_twice_in_a_list_are_refused(tmp_path: Path, names: str) -> None:
    with pytest.raises(DatasetError, match="a is listed twice, expected each face once"):
        open_truth(_benchmark(tmp_path / "truth", names))


def test_names_of_a_list_are_any_words(tmp_path: Path) -> None:
    assert open_truth(_benchmark(tmp_path / "truth", ". / a.b.jpg")).names == [".", "/", "a.b"]


def test_names_of_a_list_may_be_paths_of_windows(tmp_path: Path) -> None:
    truth, folder = _benchmark(tmp_path / "truth", "C:\\x.y\\a.jpg .\\b.jpg ..\\c"), tmp_path / "predictions"
    folder.mkdir()
    for name, points in zip("abc", np.load(truth / "AFLW2000-3D.pts68.npy"), strict=True):
        np.save(folder / f"{name}.npy", points)
    assert evaluate_predictions(folder, truth).complete


def test_face_counts_for_all_of_its_truths_or_for_none(tmp_path: Path) -> None:
    truth = _benchmark(tmp_path / "truth", "a.jpg b.jpg c.jpg")
    points = np.load(truth / "AFLW2000-3D.pts68.npy")
    again = points[:, :2].copy()
    again[1] = 7
    np.save(truth / "AFLW2000-3D-Reannotated.pts68.npy", again)
    np.save(tmp_path / "all.npy", points)
    report = evaluate_predictions(tmp_path / "all.npy", truth)
    assert [name for name, _ in report.unread] == ["b"]
    assert all(result.names == ("a", "c") for result in report.results.values())


@pytest.mark.parametrize(
    ("n", "factor", "doubted"), [(40, np.pi / 180, True), (40, 1, False), (20, np.pi / 180, False)]
)
def test_yaws_of_a_benchmark_that_may_be_radians_are_doubted(
    tmp_path: Path, n: int, factor: float, doubted: bool
) -> None:
    np.save(tmp_path / "all.npy", write_benchmark(tmp_path / "truth", n))
    path = tmp_path / "truth/AFLW2000-3D.pose.npy"
    np.save(path, np.load(path) * factor)
    report = evaluate_predictions(tmp_path / "all.npy", tmp_path / "truth")
    expected = (f"{path}: yaws of -1.4 to 1.4 degrees, of all 40 faces: are they radians?",)
    assert report.doubts == (expected if doubted else ())
