"""Predictions of every layout come out as they went in, and each way in which a file can be wrong is named."""

import json
import re
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from support.builds import SMALL, begun, have, make, seal
from support.toy import toy_model, write_tree

from uvgen import BuildConfig, build_shards, crop_to_image, export_shards, load_model, open_shards, save_model
from uvgen.errors import DatasetError, InputError, SampleError, UvgenError
from uvgen.evaluation.evaluate import evaluate_predictions
from uvgen.evaluation.prediction_files import files_of, files_of_predict, spelled_alike
from uvgen.evaluation.predictions import SHIFTS, Predictions, Reading
from uvgen.evaluation.truth import SampleTruth, open_truth
from uvgen.geometry import crop_affine, pose_to_image
from uvgen.meshes.read import read_mesh
from uvgen.normalization import Normalization
from uvgen.rasterize import write_obj


def mean(report, key="nme_dense_3d", truth="landmarks"):
    return report.results[truth].summaries[key].mean


def test_true_maps_have_no_dense_error_and_landmarks_read_from_them_a_small_one(shards, predict) -> None:
    report = evaluate_predictions(predict(), shards)
    assert mean(report) == 0 and report.complete and report.doubts == ()
    assert 0 < mean(report, "nme_68_2d") < 0.02  # texels of a coarse map
    assert list(report.results) == ["landmarks", "annotation"]
    assert 0.01 < mean(report, "nme_68_2d", "annotation") < 0.05  # annotations are half a pixel off


@pytest.mark.parametrize("change", [
    lambda m: np.moveaxis(m, -1, 0), lambda m: m[None].astype(np.float32), lambda m: np.moveaxis(m, -1, 0)[None],
])  # fmt: skip
def test_maps_are_taken_in_any_layout(shards, predict, change) -> None:
    assert mean(evaluate_predictions(predict(change), shards)) < 1e-7  # float32


@pytest.mark.parametrize("change", [lambda p: p, lambda p: p.T, lambda p: p[:, :2], lambda p: p[:, :2].T[None]])
def test_landmarks_are_taken_in_any_layout(shards, predict, change) -> None:
    report = evaluate_predictions(predict(change, field="landmarks"), shards)
    assert mean(report, "nme_68_2d") == 0
    assert "nme_dense_3d" not in report.result.summaries


@pytest.mark.parametrize(("scale", "divisor"), [(256, 256), (281.6, 281.6), (280.0, 280), (255, 255)])
def test_scaled_maps_are_read_with_their_divisor(shards, predict, scale: float, divisor: float) -> None:
    assert mean(evaluate_predictions(predict(lambda m: m / divisor), shards, reading=Reading(scale=scale))) < 1e-9


@pytest.mark.parametrize(
    "name", ["size", "prnet", *(pytest.param(n, marks=pytest.mark.slow) for n in ("reshow", "unit"))]
)
def test_maps_normalized_as_the_data_set_has_it_are_read_by_the_name(shards, predict, name: str) -> None:
    normalization = Normalization.of_maps(name, open_shards(shards).config.build.size)
    predictions = predict(lambda m: normalization.normalize(m.astype(np.float64)))
    assert mean(evaluate_predictions(predictions, shards, reading=Reading(scale=name))) < 1e-9
    assert mean(evaluate_predictions(predictions, shards)) > 0.1


@pytest.mark.parametrize("convention", list(SHIFTS))
def test_conventions_are_undone_in_pixels_of_the_image(shards, tmp_path, convention: str) -> None:
    for sample in open_shards(shards):
        path = tmp_path / f"{sample['name']}.npy"
        path.parent.mkdir(exist_ok=True)
        moved = sample["posmap"].astype(np.float64)
        moved[..., :2] += sample["image_to_crop"][:2, :2] @ SHIFTS[convention]
        np.save(path, moved)
    assert mean(evaluate_predictions(tmp_path, shards, reading=Reading(convention=convention))) < 1e-12
    assert (mean(evaluate_predictions(tmp_path, shards)) > 1e-3) is (convention != "exact")


def test_predictions_of_the_image_are_brought_into_the_crop(shards, tmp_path) -> None:
    for sample in open_shards(shards):
        path = tmp_path / f"{sample['name'].rpartition('/')[2]}.npy"  # in one folder, without that of the subset
        inverse = np.linalg.inv(sample["image_to_crop"])
        points = sample["landmarks"][:, :2].astype(np.float64) @ inverse[:2, :2].T + inverse[:2, 2]
        np.save(path, points)
    names = open_shards(shards).names
    report = evaluate_predictions(tmp_path, shards, reading=Reading(frame="image"))
    shared = {name.rpartition("/")[2] for name in names if sum(n.endswith(name.rpartition("/")[2]) for n in names) > 1}
    assert mean(report, "nme_68_2d") < 1e-7  # float32
    assert {name.rpartition("/")[2] for name in report.missing} == shared  # IBUG and IBUG_Flip have the same names


def test_one_file_has_all_faces_in_the_order_of_the_truth(shards, tmp_path) -> None:
    maps = open_shards(shards)[:]["posmap"]
    np.save(tmp_path / "all.npy", maps)
    assert mean(evaluate_predictions(tmp_path / "all.npy", shards)) == 0
    np.save(tmp_path / "fewer.npy", maps[1:])
    with pytest.raises(DatasetError, match=r"fewer\.npy: 8 x 48 x 48 x 3, expected predictions of 9 faces"):
        evaluate_predictions(tmp_path / "fewer.npy", shards)


def test_shards_are_predictions_too(shards) -> None:
    report = evaluate_predictions(shards, shards)
    assert mean(report) == 0 and report.complete


def test_of_shards_whose_maps_have_other_uv_only_landmarks_are_compared(shards, model, tmp_path) -> None:
    """Their texels are other points of the face: each would be compared with a wrong one."""
    other = replace(model, uv=1 - (1 - model.uv) ** 1.5, name="other")
    save_model(other, tmp_path / "other.h5")
    have(shards.with_name("300W_LP"), tmp_path / "other.h5", tmp_path / "shards")
    report = evaluate_predictions(tmp_path / "shards", shards)
    (doubt,) = [text for text in report.doubts if "UV" in text]
    assert "its maps are of other and have other UV than those of the truth" in doubt
    assert mean(report, "nme_68_2d") < 0.02 and "nme_dense_3d" not in report.result.summaries
    save_model(replace(model, basis=model.basis * np.float32(0.99)), tmp_path / "alike.h5")
    have(shards.with_name("300W_LP"), tmp_path / "alike.h5", tmp_path / "alike")
    assert evaluate_predictions(tmp_path / "alike", shards).complete


def test_shards_of_another_convention_are_read_as_they_say(shards, tmp_path, model_path) -> None:
    config = replace(SMALL, convention="face3d")
    have(shards.with_name("300W_LP"), model_path, tmp_path / "face3d", config)
    report = evaluate_predictions(tmp_path / "face3d", shards)
    assert mean(report) < 1e-3 and not report.doubts
    assert mean(evaluate_predictions(tmp_path / "face3d", shards, reading=Reading(convention="exact"))) > 5e-3


@pytest.mark.slow
def test_parameters_and_meshes_need_the_model_and_are_right_with_it(shards, tmp_path, model_path) -> None:
    model = load_model(model_path)
    folder = tmp_path / "parameters"
    for k, sample in enumerate(open_shards(shards)):
        path = folder / f"{sample['name']}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        if k % 2:
            np.save(path, np.concatenate([sample["shape"], sample["expression"], sample["pose"]]))
            continue
        to_image = pose_to_image(sample["pose"][None], sample["image_height"])
        affine = crop_affine(to_image, sample["image_to_crop"][None])[0]
        points = model.mean + model.basis @ np.concatenate([sample["shape"], sample["expression"]])
        write_obj(path.with_suffix(".obj"), points @ affine[:, :3].T + affine[:, 3], model.triangles)
    report = evaluate_predictions(folder, shards, model=model)
    assert report.complete and mean(report) < 1e-4  # meshes are text
    with pytest.raises(InputError, match=r"none of 9 predictions can be used; the first, .*expected the model too"):
        evaluate_predictions(folder, shards)
    sample = open_shards(shards)[1]
    far = np.concatenate([sample["shape"], sample["expression"], sample["pose"]])
    far[-4] = 1e12  # px to the right
    np.save(folder / f"{sample['name']}.npy", far)
    ((name, why),) = evaluate_predictions(folder, shards, model=model).unread
    assert name == sample["name"] and "px away, expected px of a face" in why
    mesh = folder / f"{next(iter(open_shards(shards)))['name']}.obj"
    vertices, triangles = read_mesh(mesh)
    order = np.random.default_rng(0).permutation(len(vertices))
    write_obj(mesh, vertices[order], np.argsort(order)[triangles], frame="raw")  # the same surface, in another order
    assert any(
        why.startswith(f"{mesh}: ") and "are not among" in why
        for _, why in evaluate_predictions(folder, shards, model=model).unread
    )


def test_missing_faces_are_named_and_in_no_mean(shards, predict) -> None:
    folder = predict(lambda m: m + [1, 0, 0], skip=2)
    np.save(folder / "nobody.npy", np.zeros((68, 2)))
    report = evaluate_predictions(folder, shards)
    names = open_shards(shards).names
    assert report.missing == tuple(names[:2]) and report.faces == 9 and not report.complete
    assert report.unexpected == ("nobody",)
    assert report.result.summaries["nme_68_2d"].n == 7
    assert report.worst_first()[:2] == names[:2]


def test_names_whose_accents_are_composed_otherwise_are_the_same(tmp_path) -> None:
    names = ["é/a", "b/ü", "ö", "o\u0308"]  # the last two are one, and neither is taken for the other
    for name in names[:3]:
        path = tmp_path / unicodedata.normalize("NFD", f"{name.removeprefix('b/')}.npy")
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.zeros((68, 2)))
    found, others = files_of(tmp_path, names)
    assert [*found] == ["é/a", "o\u0308", "b/ü"] and not others
    assert spelled_alike(["e\u0301", "x"], ["é", "y"]) == {"é": "e\u0301"}  # as names in shards


def test_predictions_that_all_hold_no_numbers_are_none(shards, predict) -> None:
    with pytest.raises(
        InputError, match=r"none of 9 predictions can be used; the first, AFW/.*: holds NaN or infinity"
    ):
        evaluate_predictions(predict(lambda m: m * np.nan), shards)


def test_a_file_of_exports_beside_maps_is_a_face_where_predict_wrote_it(tmp_path) -> None:
    for name in ("weight_mask", "other"):
        np.save(tmp_path / f"{name}.npy", np.zeros((68, 2)))
    assert list(files_of(tmp_path, ["other"])[0]) == ["other"] and not files_of(tmp_path, ["other"])[1]
    (tmp_path / "predict.json").touch()
    assert list(files_of(tmp_path, ["other", "weight_mask"])[0]) == ["other", "weight_mask"]


@pytest.mark.parametrize(("array", "message"), [
    (np.zeros((40, 40, 3)), "a map of 40 texels per side, expected 48, the truth's"),
    (np.zeros((5, 2)), "5 x 2, expected a map of U x U x 3 or 68 points of 2 or 3 numbers"),
    (np.zeros((68, 2), bool), "bool, expected numbers"),
    (np.full((68, 2), 1e200), "1e+200 for a place, expected 1e+09 px at most"),
    (np.zeros(22), "parameters or a mesh, expected the model too"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_with_its_reason(shards, predict, array, message) -> None:
    folder = predict()
    name = open_shards(shards).names[4]
    np.save(folder / f"{name}.npy", array)
    report = evaluate_predictions(folder, shards)
    assert [bad for bad, _ in report.unread] == [name] and message in report.unread[0][1]
    assert report.result.summaries["nme_dense_3d"].n == 8


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_or_infinity_in_a_prediction_is_named(shards, predict, value: float) -> None:
    folder = predict()
    name = open_shards(shards).names[4]
    broken = np.load(folder / f"{name}.npy")
    broken[0, 0, 0] = value
    np.save(folder / f"{name}.npy", broken)
    report = evaluate_predictions(folder, shards)
    assert report.not_finite == (name,) and not report.complete
    assert report.result.summaries["nme_dense_3d"].n == 8


def test_wrong_places_and_options_are_errors(shards, predict, tmp_path) -> None:
    for call, kind, message in (
        (lambda: evaluate_predictions(tmp_path / "none", shards), DatasetError, "none: no such file or folder"),
        (
            lambda: evaluate_predictions(predict(), shards, reading=Reading(scale="2")),
            InputError,
            "scale: '2', expected 'px'",
        ),
        (
            lambda: evaluate_predictions(predict(), shards, reading=Reading(frame="face")),
            InputError,
            "frame: 'face', expected None",
        ),
        (lambda: evaluate_predictions(predict(), shards, protocol="x"), InputError, "protocol: 'x', expected None"),
        (lambda: evaluate_predictions(predict(), shards, protocol="prnet", scores="all"), InputError, "one of them"),
        (lambda: evaluate_predictions(predict(), shards, model="builtin"), Exception, "not the model of"),
    ):
        with pytest.raises(kind, match=message):
            call()
    other = tmp_path / "other"
    other.mkdir()
    np.save(other / "x.npy", np.zeros((68, 2)))
    with pytest.raises(
        DatasetError, match=r"no prediction for any of 9 faces, expected names such as AFW/.*; there is x"
    ):
        evaluate_predictions(other, shards)
    (other / "x.obj").write_text("v 0 0 0\n")
    with pytest.raises(DatasetError, match=r"x\.obj: x\.npy has the same name, expected one file for each face"):
        evaluate_predictions(other, shards)


def test_files_of_predict_are_of_the_kind_that_it_says_whatever_else_is_there_or_lost(tmp_path: Path) -> None:
    names, both = ["a", "b", "c"], frozenset({"map", "landmarks"})
    for name in names:
        (tmp_path / f"{name}.npy").touch()
        (tmp_path / f"{name}.txt").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "a.npy").unlink()
    suffix, found, others = files_of_predict(tmp_path, names, both, has_maps=True)
    assert (suffix, [*found], others) == (".npy", ["b", "c"], ["notes.txt"])
    assert files_of_predict(tmp_path, names, frozenset({"landmarks"}), has_maps=True)[0] == ".txt"
    assert files_of_predict(tmp_path, names, both, has_maps=False)[0] == ".txt"
    assert files_of_predict(tmp_path, names, frozenset(), has_maps=True)[0] == ".txt"  # most, if it does not say
    for name in names[1:]:
        (tmp_path / f"{name}.npy").unlink()
    assert files_of_predict(tmp_path, names, both, has_maps=True)[0] == ".txt"


def test_predictions_in_folders_that_links_lead_to_are_found(tmp_path: Path) -> None:
    """One subset's may lie on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "predicted").mkdir()
    (tmp_path / "disk/x.npy").touch()
    (tmp_path / "predicted/AFW").symlink_to(tmp_path / "disk")
    assert files_of(tmp_path / "predicted", ["AFW/x"]) == ({"AFW/x": tmp_path / "predicted/AFW/x.npy"}, [])


def test_what_predict_wrote_is_read_as_maps_or_landmarks_of_the_photographs(shards, tmp_path) -> None:
    folder = tmp_path / "predicted"
    folder.mkdir()
    (folder / "predict.json").write_text('{"format": "uvgen-predict"}')
    (folder / "x.obj").write_text("v 0 0 0\n")
    with pytest.raises(DatasetError, match=r"predicted: no landmarks, expected what `uvgen predict --write landmarks`"):
        evaluate_predictions(folder, shards)
    for sample in open_shards(shards):
        path = folder / f"{sample['name']}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, crop_to_image(sample["landmarks"], sample["image_to_crop"]), "%.17g")
        for other in (".obj", ".json"):
            path.with_suffix(other).write_text("not read\n")
    (folder / ".trash").mkdir()
    np.save(folder / ".trash/x.npy", np.zeros(3))  # hidden: no map, though one of this kind would count before points
    report = evaluate_predictions(folder, shards, reading=Reading(frame="image"))
    assert mean(report, "nme_68_3d") < 1e-6 and report.complete and report.unexpected == ()
    np.save(folder / "mine.npy", np.zeros(3))
    report = evaluate_predictions(folder, shards, reading=Reading(frame="image"))
    assert mean(report, "nme_68_3d") < 1e-6 and report.complete and report.unexpected == ("mine.npy",)
    (folder / "mine.npy").unlink()
    for sample in open_shards(shards):
        np.save(folder / f"{sample['name']}.npy", crop_to_image(sample["posmap"], sample["image_to_crop"]))
    # the maps count, though landmarks are there; the folder says that they are of photographs
    assert mean(evaluate_predictions(folder, shards, reading=Reading(frame="image"))) < 1e-6
    assert mean(evaluate_predictions(folder, shards)) < 1e-6
    (folder / "predict.json").write_text('{"format": "uvgen-predict", "crop": "auto"}')
    assert evaluate_predictions(folder, shards).doubts == ()
    for damage in ('{"format": "uvgen-predict", "crop": "auto"', '{"format": "uvgen-predict", "crop": 5}'):
        (folder / "predict.json").write_text(damage)
        report = evaluate_predictions(folder, shards)
        assert mean(report) < 1e-6
        (doubt,) = report.doubts
        assert "predict.json: is damaged, and does not say whether predictions are in px of the photographs" in doubt
        assert evaluate_predictions(folder, shards, reading=Reading(frame="image")).doubts == ()
    assert mean(evaluate_predictions(folder, shards, reading=Reading(frame="crop"))) > 0.01


def test_what_predict_wrote_of_photographs_of_another_size_is_refused(shards, tmp_path) -> None:
    (index := tmp_path / "predict.json").write_text('{"format": "uvgen-predict", "crop": "auto"}')
    for sample in open_shards(shards):
        path = tmp_path / f"{sample['name']}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, crop_to_image(sample["landmarks"], sample["image_to_crop"]), "%.17g")
        height = int(sample["image_height"])
        path.with_suffix(".json").write_text(json.dumps({"image_size": [height, 7]}))
    assert evaluate_predictions(tmp_path, shards).complete
    path.with_suffix(".json").write_text(json.dumps({"image_size": [2 * height, 7]}))
    ((_, reason),) = evaluate_predictions(tmp_path, shards).unread
    assert f"was predicted of a photograph that is {2 * height} px high, expected the truth's, {height} px" in reason
    index.write_text('{"format": "uvgen-predict", "crop": "whole"}')
    with pytest.raises(InputError, match=r"none of 9 .* of a whole picture of 7×\d+ px, expected the truth's crop, 32"):
        evaluate_predictions(tmp_path, shards)
    path.with_suffix(".json").write_text(json.dumps({"image_size": [32, 32]}))
    assert evaluate_predictions(tmp_path, shards).result.names == (sample["name"],)


def test_predictions_in_shards_of_photographs_of_another_size_are_refused(shards, tmp_path) -> None:
    larger = Path(shutil.copytree(shards, tmp_path / "larger"))
    assert evaluate_predictions(larger, shards).complete
    with h5py.File(next(larger.glob("AFW-*.h5")), "r+") as file:
        file["image_to_crop"][0, :2, :2] /= 2
        file["image_height"][0] *= 2
        name = file["name"][0].decode()
    seal(larger)
    ((unread, reason),) = evaluate_predictions(larger, shards).unread
    assert unread == name and "px high, expected the truth's, " in reason


def test_what_predict_wrote_of_whole_crops_is_read_as_px_of_the_crops(shards, tmp_path) -> None:
    (tmp_path / "predict.json").write_text('{"format": "uvgen-predict", "crop": "whole"}')
    for sample in open_shards(shards):
        path = tmp_path / f"{sample['name']}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, sample["landmarks"], "%.17g")
    assert mean(evaluate_predictions(tmp_path, shards), "nme_68_3d") < 1e-6


@pytest.mark.parametrize("text", ["1 2 3\n4 5\n", "1_0 2 3\n" * 68, "1 2 3\n" * 67, ""])
def test_landmark_lines_that_are_none_are_named(shards, tmp_path, text: str) -> None:
    (tmp_path / "predict.json").write_text('{"format": "uvgen-predict"}')
    name = open_shards(shards).names[0]
    (tmp_path / name).parent.mkdir()
    (tmp_path / f"{name}.txt").write_text(text)
    with pytest.raises(UvgenError, match=r"\.txt: .*expected .*68 (landmarks|points)"):
        evaluate_predictions(tmp_path, shards, reading=Reading(frame="image"))


def test_a_file_of_landmarks_that_cannot_be_read_costs_its_own_face(shards, tmp_path) -> None:
    (tmp_path / "predict.json").write_text('{"format": "uvgen-predict"}')
    for number, sample in enumerate(open_shards(shards)):
        path = tmp_path / f"{sample['name']}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, sample["landmarks"], "%.17g") if number else path.symlink_to("nowhere")
    report = evaluate_predictions(tmp_path, shards)
    assert len(report.result.names) == len(open_shards(shards)) - 1 and not report.complete
    ((name, reason),) = report.unread
    assert name == open_shards(shards).names[0] and "cannot be read (No such file" in reason


@pytest.mark.filterwarnings("error")
def test_huge_parameters_cost_their_own_face_without_a_warning(shards, model, tmp_path) -> None:
    face = open_truth(shards).face(0)
    path = tmp_path / f"{face.name}.mat"
    path.parent.mkdir(parents=True)
    savemat(path, {
        "Shape_Para": np.full((model.n_shape, 1), 3e38), "Exp_Para": np.zeros((model.n_expression, 1)),
        "Pose_Para": np.append(face.row["pose"][:6], 1e30)[None],
    })  # fmt: skip
    found = Predictions(tmp_path, open_truth(shards), model=model)
    assert not found.read(face).finite()[0]


def test_mirrored_samples_have_no_image_frame(shards, tmp_path) -> None:
    truth = open_truth(shards)
    face = truth.face(0)
    face.row["flipped"] = True
    del face.frames["image"]
    np.save(tmp_path / "all.npy", open_shards(shards)[:]["landmarks"])
    found = Predictions(tmp_path / "all.npy", truth, Reading(frame="image"))
    with pytest.raises(SampleError, match="said to be in the image, and this sample is mirrored"):
        found.read(face)


def test_a_file_of_another_kind_is_named(shards: Path) -> None:
    with pytest.raises(InputError, match=r"test_predictions\.py: \.py, expected a \.npy file, a folder or shards"):
        evaluate_predictions(__file__, shards)


@pytest.mark.parametrize("change", [0, 1e200, -1e12])
@pytest.mark.parametrize("field", ["landmarks", "posmap"])
def test_a_prediction_without_extent_or_far_away_costs_its_face_alone(shards, predict, field, change: float) -> None:
    folder = predict(field=field)
    path = folder / "AFW/AFW_001_1_0.npy"
    np.save(path, np.load(path) * change)
    report = evaluate_predictions(folder, shards)
    assert [name for name, _ in report.unread] == ["AFW/AFW_001_1_0"] and not report.complete
    assert {len(values) for values in report.result.values.values()} == {8} == {len(report.result.names)}


def test_scores_that_some_faces_have_not_are_named(shards, predict) -> None:
    folder = predict(field="landmarks")
    path = folder / "AFW/AFW_001_1_0.npy"
    np.save(path, np.load(path)[:, :2])
    (doubt,) = evaluate_predictions(folder, shards).doubts
    assert "nme_68_3d, pose_error_68 (landmarks) of 8 faces only" in doubt and "first AFW/AFW_001_1_0" in doubt


def test_predictions_in_shards_of_other_crops_are_moved_to_the_truths(tmp_path, model_path) -> None:
    tree = write_tree(tmp_path / "300W_LP")
    have(tree, model_path, tmp_path / "true")
    have(tree, model_path, tmp_path / "others", replace(SMALL, size=64, seed=5))
    report = evaluate_predictions(tmp_path / "others", tmp_path / "true")
    assert report.complete and report.doubts == ()
    assert mean(report) < 1e-3 and mean(report, "nme_dense_2d") < 1e-3  # maps are stored to 1/500 px and more


def test_truth_without_samples_is_refused(shards, tmp_path) -> None:
    with pytest.raises(DatasetError, match="begun: holds no face, expected one or more"):
        evaluate_predictions(shards, begun(shards, tmp_path / "begun"))


def test_parameters_that_are_no_numbers_cost_their_own_face(shards, model, tmp_path) -> None:
    for name in open_shards(shards).names:
        path = tmp_path / f"{name}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.ones(model.n_shape + model.n_expression + 7, bool))
    with pytest.raises(InputError, match="bool, expected numbers"):
        evaluate_predictions(tmp_path, shards, model=model)


@pytest.fixture
def face3ds(tmp_path: Path, model_path: Path) -> Path:
    """Samples whose labels lie one pixel of the image right of and above the exact ones."""
    tree = write_tree(tmp_path / "300W_LP", 1)
    build_shards(tree, tmp_path / "face3ds", model=model_path, config=replace(SMALL, convention="face3d"))
    return tmp_path / "face3ds"


def test_what_predict_wrote_counts_pixels_exactly_whatever_the_truth_does(face3ds, tmp_path) -> None:
    folder, points = tmp_path / "predicted", np.random.default_rng(0).uniform(20, 200, (2, 3, 68))
    folder.mkdir()
    (folder / "predict.json").write_text('{"format": "uvgen-predict", "crop": "auto"}')
    for sample in open_shards(face3ds):
        path = folder / f"{sample['name']}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, crop_to_image(sample["landmarks"], sample["image_to_crop"]) - [1, -1, 0], "%.17g")
    assert mean(evaluate_predictions(folder, face3ds), "nme_68_3d") < 1e-5
    np.save(tmp_path / "AFLW2000-3D.pts68.npy", points)  # which counts from 1, as MATLAB
    np.save(tmp_path / "AFLW2000-3D.pose.npy", np.zeros(2))
    for k, face in enumerate(points):
        np.savetxt(folder / f"0000{k}.txt", face.T - [1, 1, 0], "%.17g")
    assert mean(evaluate_predictions(folder, tmp_path), "nme_68_3d") < 1e-9
    named = evaluate_predictions(folder, tmp_path, reading=Reading(convention="matlab"))
    assert mean(named, "nme_68_3d") > 1e-3


def test_exported_maps_are_read_in_the_convention_that_the_export_states(face3ds, shards, tmp_path) -> None:
    export_shards(face3ds, tmp_path / "maps", "npy")
    found = Predictions(tmp_path / "maps", truth := open_truth(shards))
    face = truth.face(list(truth.names).index(name := open_shards(face3ds).names[0]))
    stored = np.load(tmp_path / "maps" / f"{name}.npy")
    np.testing.assert_allclose(
        found.read(face).maps[0][..., :2] - stored[..., :2],
        np.broadcast_to(face.image_to_truth @ [-1, 1], (*stored.shape[:2], 2)), atol=1e-5,
    )  # fmt: skip


def test_maps_of_another_model_are_doubted_and_landmarks_read_where_it_has_them(shards, tmp_path) -> None:
    model = toy_model()
    other = replace(model, uv=model.uv**1.02)
    tree = write_tree(tmp_path / "300W_LP")
    build_shards(tree, tmp_path / "other", model=other, config=SMALL)
    report = evaluate_predictions(tmp_path / "other", shards)
    assert mean(report, "nme_68_2d") < 0.02 and mean(report) > 0
    (doubt,) = [text for text in report.doubts if "UV" in text]
    assert "the data set's that of" in doubt and doubt.endswith("is it the same UV?")
    assert not any("UV" in text for text in evaluate_predictions(shards, shards).doubts)


def test_maps_that_predict_made_with_another_model_are_doubted(shards, predict) -> None:
    folder = predict()
    (folder / "predict.json").write_text(
        '{"format": "uvgen-predict", "crop": "whole", "model": "Other", "model_sha256": "0123456789abcdef"}'
    )
    (doubt,) = evaluate_predictions(folder, shards).doubts
    assert "its maps have the UV of Other (0123456789ab), the data set's that of" in doubt


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("image_to_crop", 0, "its image_to_crop in .* cannot be used"),
        ("image_to_crop", np.nan, "its image_to_crop in .* cannot be used"),
        ("image_to_crop", 1e300, "its image_to_crop in .* cannot be used"),
        ("pose", np.nan, "its yaw in .* is nan, expected an angle"),
    ],
)
def test_damaged_sample_of_a_truth_costs_itself(
    shards, predict, tmp_path, field: str, value: float, words: str
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "damaged"))
    with h5py.File(next(folder.glob("IBUG-*.h5")), "r+") as file:
        file[field][0] = value
    seal(folder)
    report = evaluate_predictions(predict(), folder)
    ((name, reason),) = report.unread
    assert name.startswith("IBUG/") and re.search(words, reason)
    assert len(report.result.names) == 8 and sum(one.n for one in report.result.summaries["nme_68_2d"].bins) == 8
    if field == "image_to_crop":  # as predictions too
        ((name, reason),) = evaluate_predictions(folder, shards).unread
        assert name.startswith("IBUG/") and re.search(words, reason)


def test_another_programs_predict_json_says_nothing_of_predictions(shards, predict) -> None:
    folder = predict()
    (folder / "predict.json").write_text('{"network": "resnet50", "crop": "center", "epoch": 30}')
    result = evaluate_predictions(folder, shards)
    assert not result.doubts and mean(result) < 1e-6


def test_annotated_landmarks_are_compared_in_the_sets_convention(tmp_path, model_path) -> None:
    """They mark pixels: labels of face3d's convention lie beside them, and so do the predictions that they train."""
    tree, found = write_tree(tmp_path / "tree"), {}
    for convention in ("exact", "face3d"):
        make(tree, model_path, tmp_path / convention, BuildConfig(size=64, uv_size=48, jitter=0, convention=convention))
    for convention in ("exact", "face3d"):
        result = evaluate_predictions(tmp_path / "exact", tmp_path / convention)
        found[convention] = mean(result, "nme_68_2d", "annotation")
    assert found["face3d"] == pytest.approx(found["exact"], rel=0.02)


def test_what_predict_wrote_of_a_folder_s_photographs_of_another_size_is_refused(tree: Path, tmp_path: Path) -> None:
    truth = SampleTruth(tree)
    (tmp_path / "predict.json").write_text('{"format": "uvgen-predict", "crop": "auto"}')
    for k, name in enumerate(truth.names):
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        face = truth.face(k)
        height, width = face.image_size() or (0, 0)
        np.savetxt(path, np.column_stack([face.truths["annotation"].landmarks[0, :, :2], np.zeros(68)]), "%.17g")
        path.with_suffix(".json").write_text(json.dumps({"image_size": [height, width]}))
    assert evaluate_predictions(tmp_path, tree).complete
    path.with_suffix(".json").write_text(json.dumps({"image_size": [width, height]}))  # turned upright
    assert evaluate_predictions(tmp_path, tree).complete
    for other in ([2 * height, 2 * width], [height, width - 9]):
        path.with_suffix(".json").write_text(json.dumps({"image_size": other}))
        ((name, reason),) = evaluate_predictions(tmp_path, tree).unread
        assert name == truth.names[-1] and f"was predicted of a photograph of {other[1]}×{other[0]} px" in reason
