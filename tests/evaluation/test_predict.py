"""`uvgen.predict_photographs` and `uvgen predict`: networks on folders of photographs, whatever is wrong with some."""

import errno
import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.faults import fail_reads
from support.flushes import unflushed
from support.folders import contents_below
from support.onnx_models import constant_network, endless_network, identity_network, write_network
from support.photographs import write_photographs

from uvgen import (
    FaceDetector,
    NetworkOptions,
    PositionMapper,
    PredictOptions,
    RunOptions,
    crop_from_box,
    crop_from_landmarks,
    crop_similarity,
    crop_to_image,
    draw_alignment,
    landmark_weights,
    load_model,
    map_to_mesh,
    predict_photographs,
    read_landmarks,
)
from uvgen.errors import DatasetError, DependencyError, InputError, ModelError, OutputError, SettingsError
from uvgen.evaluation import network as networks
from uvgen.evaluation import network_trial, predict_worker
from uvgen.evaluation import predict as predicting
from uvgen.evaluation.predict_record import PredictRecord
from uvgen.fitting import detectors
from uvgen.fitting import photographs as listing
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.meshes.read import read_mesh
from uvgen.samples.box_tables import read_boxes
from uvgen.samples.landmark_files import read_landmarks as landmarks_of_file
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.folders import PREDICTIONS, folder_kind
from uvgen.storage.text import read_text

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'uvgen[onnx]'")

N, SIZE, U = 4, 64, 32
ALL = ("mesh", "landmarks", "pose", "map")
IN_SIZES = NetworkOptions(scale="size")


@pytest.fixture(scope="session")
def drawn_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs") / "photos", N)


@pytest.fixture
def photos(drawn_photos: Path, tmp_path: Path) -> Path:
    """Four photographs of 128 px, with their landmarks beside them."""
    return Path(shutil.copytree(drawn_photos, tmp_path / "photos"))


@pytest.fixture(scope="session")
def crop_map() -> np.ndarray:
    """The built-in model's mean face, turned by 0.3 rad, in a crop of 64 px: what the network always says."""
    model = load_model("builtin")
    mapper = PositionMapper(model, U)
    face = np.zeros((1, model.n_shape)), np.zeros((1, model.n_expression)), np.array([[0, 0.3, 0, 0, 0, 0, 1e-3]])
    similarity = crop_similarity(mapper.image_landmarks(*face, 256)[0], SIZE)
    return mapper(*face, similarity, 256)[0]


@pytest.fixture
def network(crop_map: np.ndarray, tmp_path: Path) -> Path:
    return constant_network(tmp_path / "net.onnx", np.ascontiguousarray(np.moveaxis(crop_map / SIZE, 2, 0)[None]), SIZE)


def first(photos: Path) -> Path:
    return sorted(photos.glob("*.jpg"))[0]


def points_of(photograph: Path) -> np.ndarray:
    return np.loadtxt(photograph.with_suffix(".txt"))


def map_of(out: Path, photograph: Path) -> np.ndarray:
    return np.load(out / f"{photograph.stem}.npy")


def test_files_are_on_the_disk_before_the_journal_lists_them(photos, network, tmp_path, monkeypatch) -> None:
    found, options = unflushed(monkeypatch), PredictOptions(write=ALL, draw=draw_alignment)
    result = predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES, options=options)
    assert result.new_samples == N and found == {tmp_path / "out": []}


def test_files_of_a_face_hold_the_map_brought_to_its_photograph(photos, network, crop_map, tmp_path) -> None:
    out, model = tmp_path / "out", load_model("builtin")
    result = predict_photographs(
        network,
        photos,
        out,
        network_options=IN_SIZES,
        options=PredictOptions(write=ALL, draw=draw_alignment, kind="mesh"),
    )
    assert len(result.faces) == result.new_samples == N and not result.skipped and result.detector is None
    assert (result.crop_size, result.uv_size) == (SIZE, U)
    for photograph in photos.glob("*.jpg"):
        similarity = crop_from_landmarks(points_of(photograph), SIZE)
        expected = crop_to_image(crop_map, similarity)
        np.testing.assert_allclose(map_of(out, photograph), expected, atol=1e-4)
        about = json.loads((out / f"{photograph.stem}.json").read_text())
        assert about["yaw_deg"] == pytest.approx(np.rad2deg(0.3), abs=1e-3) and abs(about["pitch_deg"]) < 1e-3
        assert about["image_size"] == [128, 128] and about["crop_size"] == SIZE
        np.testing.assert_allclose(about["image_to_crop"], similarity)
        landmarks = read_landmarks(expected, landmark_weights(model, U))
        np.testing.assert_allclose(np.loadtxt(out / f"{photograph.stem}.txt"), landmarks, atol=1e-3)
        (again,) = landmarks_of_file(out / f"{photograph.stem}.txt")
        np.testing.assert_allclose(again.points, landmarks[:, :2], atol=1e-3)
        vertices = read_mesh(out / f"{photograph.stem}.obj")[0] * [1, -1, 1]  # y up in the file
        np.testing.assert_allclose(vertices, map_to_mesh(expected, model)[0], atol=1e-4)
        with Image.open(out / f"{photograph.stem}.png") as picture, Image.open(photograph) as before:
            pixels = np.asarray(before.convert("RGB"))
            np.testing.assert_array_equal(
                np.asarray(picture), draw_alignment(pixels, map_of(out, photograph), "mesh", model=model)
            )


def test_the_network_is_given_the_crop_of_the_photograph(photos, tmp_path, monkeypatch) -> None:
    """A network that says what it is given: its map is the crop."""
    from uvgen.images.warp import warp_image

    path = identity_network(tmp_path / "n.onnx", (1, 3, SIZE, SIZE))
    predict_photographs(
        path, photos, tmp_path / "out", network_options=NetworkOptions("bytes"), options=PredictOptions(write=["map"])
    )
    photograph = first(photos)
    similarity = crop_from_landmarks(points_of(photograph), SIZE)
    with Image.open(photograph) as picture:
        crop = warp_image(np.asarray(picture.convert("RGB")), similarity, SIZE)
    expected = crop_to_image(crop.astype(np.float32), similarity)
    np.testing.assert_allclose(map_of(tmp_path / "out", photograph), expected, atol=0.02)  # 1 level in another decoder


@pytest.mark.parametrize(("write", "block"), [(["map"], 2), (["map", "mesh"], 1)])
def test_crops_are_cut_from_reduced_photographs_where_no_pixel_is_needed(photos, tmp_path, monkeypatch, write, block):
    from uvgen.images import jpeg
    from uvgen.images.picture import Picture
    from uvgen.images.warp import warp_image

    monkeypatch.setattr(jpeg, "_LEAST_REDUCED", 1)
    path = identity_network(tmp_path / "n.onnx", (1, 3, SIZE, SIZE))
    options = NetworkOptions("bytes")
    predict_photographs(
        path, photos, tmp_path / "out", network_options=options, options=PredictOptions(write=write, crop="whole")
    )
    photograph, scale = first(photos), 63 / 127  # of 128 px
    similarity = np.diag([scale, scale, 1.0])
    pixels, found = Picture(photograph.read_bytes(), ValueError, decode="full" if block == 1 else "reduced").for_crop(
        1 / scale
    )
    expected = crop_to_image(warp_image(pixels, similarity, SIZE, reduced=found).astype(np.float32), similarity)
    np.testing.assert_allclose(map_of(tmp_path / "out", photograph), expected, atol=1e-3)
    stated = json.loads((tmp_path / "out" / "predict.json").read_text(encoding="utf-8"))
    assert found == block and ("reduced" in json.dumps(stated)) is (block == 2)


@pytest.mark.parametrize("crop", ["training", "prnet", "prnet-detector"])
@pytest.mark.parametrize("header", ["image,left,top,right,bottom", "name,x,y,width,height"])
def test_boxes_of_a_table_are_cropped_as_wished(photos, network, crop_map, tmp_path, crop, header) -> None:
    rows, similarities = [header], {}
    for k, photograph in enumerate(sorted(photos.glob("*.jpg"))[:3]):
        left, top, right, bottom = 20 + k, 25, 100.5, 110 - k
        numbers = (left, top, right - left, bottom - top) if "width" in header else (left, top, right, bottom)
        rows.append(",".join(map(str, (f"somewhere/{photograph.name}", *numbers))))
        similarities[photograph] = crop_from_box((left, top, right, bottom), SIZE, crop)
    (tmp_path / "boxes.csv").write_text("\n".join([*rows, f"{'x.jpg'},1,2,3,4"]))
    out = tmp_path / "out"
    result = predict_photographs(
        network,
        photos,
        out,
        network_options=IN_SIZES,
        options=PredictOptions(write=["map"], crop=crop),
        boxes=tmp_path / "boxes.csv",
    )
    assert len(result.faces) == 3
    (skip,) = result.skipped
    assert "not among the images of" in skip.reason
    for photograph, similarity in similarities.items():
        np.testing.assert_allclose(map_of(out, photograph), crop_to_image(crop_map, similarity), atol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda points: points / 128, "its landmarks lie within 8 px"),
        (lambda points: np.linspace([20, 20], [60, 70], 68), "its landmarks lie in one line"),
        (lambda points: points.mean(axis=0) + (points - points.mean(axis=0)) * 1e-300, "lie within 8 px"),
    ],
    ids=["shares", "line", "point"],
)
def test_landmarks_that_are_no_face_cost_their_photograph(photos, network, tmp_path, spoil, message: str) -> None:
    np.savetxt(first(photos).with_suffix(".txt"), spoil(points_of(first(photos))), fmt="%.18e")
    result = predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES, detector=None)
    assert len(result.faces) == N - 1 and [skip.name for skip in result.skipped] == [first(photos).stem]
    assert message in result.skipped[0].reason or "not in one place" in result.skipped[0].reason


@pytest.mark.parametrize("known", [68, 51])
def test_landmarks_that_are_counted_otherwise_cost_their_photograph(photos, network, tmp_path, known: int) -> None:
    ways = [lambda p: p * [1, -1] + [0, 127], lambda p: p[:, ::-1], lambda p: p[LANDMARK_MIRROR]]
    for path, way in zip(sorted(photos.glob("*.txt")), ways, strict=False):
        marked = way(np.loadtxt(path))
        marked[known:] = -1
        np.savetxt(path, marked)
    result = predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES, detector=None)
    said = [skip.reason for skip in result.skipped]
    assert "_0001_0.txt: the points seem upside down: y seems to count from the bottom edge" in said[0]
    assert "the points seem with x and y exchanged" in said[1]
    # all points in the mirrored order lie where those in the right one do
    assert (len(said) == (2 if known == 68 else 3) and "mirrored" in said[-1]) or known == 68


def test_a_box_of_shares_of_the_image_costs_its_photograph(photos, network, tmp_path) -> None:
    boxes = [f"{path.name},20,25,100,110" for path in photos.glob("*.jpg") if path != first(photos)]
    boxes = ["image,left,top,right,bottom", *boxes, f"{first(photos).name},0.1,0.2,0.7,0.9"]
    (tmp_path / "boxes.csv").write_text("\n".join(boxes))
    result = predict_photographs(
        network,
        photos,
        tmp_path / "out",
        network_options=IN_SIZES,
        options=PredictOptions(crop="training"),
        boxes=tmp_path / "boxes.csv",
    )
    assert len(result.faces) == N - 1 and "a box within 8 px" in result.skipped[0].reason


def test_boxes_are_cropped_as_prnet_does_with_detections_unless_told_otherwise(photos, network, tmp_path) -> None:
    (tmp_path / "boxes.csv").write_text(f"image;left;top;right;bottom\n{first(photos).name};20;25;100;110\n")
    for crop in ("auto", "prnet-detector"):
        predict_photographs(
            network,
            photos,
            tmp_path / crop,
            network_options=IN_SIZES,
            options=PredictOptions(write=["map"], crop=crop),
            boxes=tmp_path / "boxes.csv",
        )
    np.testing.assert_array_equal(*[map_of(tmp_path / crop, first(photos)) for crop in ("auto", "prnet-detector")])


def test_whole_images_are_crops(photos, network, crop_map, tmp_path) -> None:
    for path in photos.glob("*.txt"):
        path.unlink()
    result = predict_photographs(
        network,
        photos,
        tmp_path / "out",
        network_options=IN_SIZES,
        options=PredictOptions(write=["map"], crop="whole"),
        detector=None,
    )
    assert len(result.faces) == N and result.faces[0].source == "whole"
    np.testing.assert_allclose(
        map_of(tmp_path / "out", first(photos)), crop_map * 127 / (SIZE - 1), rtol=1e-5, atol=1e-3
    )
    first(photos).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    predict_photographs(
        network,
        photos,
        tmp_path / "out",
        network_options=IN_SIZES,
        options=PredictOptions(write=["map"], crop="whole"),
        detector=None,
    )
    assert map_of(tmp_path / "out", first(photos)).shape == crop_map.shape  # not deleted


def test_five_points_are_cropped_around_the_fitted_68(photos, network, tmp_path) -> None:
    whole = tmp_path / "of_68"
    predict_photographs(network, photos, whole, network_options=IN_SIZES, options=PredictOptions(write=["map"]))
    for photograph in photos.glob("*.jpg"):
        points = points_of(photograph)
        five = [points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[30], points[48], points[54]]
        np.savetxt(photograph.with_suffix(".txt"), five)
    result = predict_photographs(
        network, photos, tmp_path / "out", network_options=IN_SIZES, options=PredictOptions(write=["map"])
    )
    assert len(result.faces) == N
    for photograph in photos.glob("*.jpg"):
        a, b = map_of(whole, photograph)[..., :2], map_of(tmp_path / "out", photograph)[..., :2]
        assert np.abs(a - b).max() < 30  # of 128: five points say less


def test_bad_photographs_cost_themselves_alone(photos, network, tmp_path) -> None:
    names = [path.stem for path in sorted(photos.glob("*.jpg"))]
    (photos / f"{names[0]}.jpg").write_bytes((photos / f"{names[0]}.jpg").read_bytes()[:500])
    np.savetxt(photos / f"{names[1]}.txt", np.loadtxt(photos / f"{names[1]}.txt") + 1000)
    (photos / f"{names[2]}.txt").write_text("1 2\n3 x\n")
    result = predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES, detector=None)
    assert [face.name for face in result.faces] == [names[3]]
    reasons = {skip.name: skip.reason for skip in result.skipped}
    assert "not a readable image" in reasons[names[0]]
    assert "px, beside the image of 128×128 px" in reasons[names[1]]
    assert names[2] in reasons[names[2]] and "expected" in reasons[names[2]]
    stated = json.loads((tmp_path / "out/predict.json").read_text())
    assert {skip["name"] for skip in stated["skipped"]} == set(names[:3])


def test_a_network_that_says_no_face_is_named_and_nothing_is_averaged_over(photos, crop_map, tmp_path) -> None:
    path = constant_network(tmp_path / "n.onnx", np.ascontiguousarray((crop_map / SIZE)[None]), SIZE)
    with pytest.raises(DatasetError, match=r"none of 4 photographs can be used; the first, .* is its unit another"):
        predict_photographs(path, photos, tmp_path / "out")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=[pytest.mark.slow, pytest.mark.long])])
def test_interrupted_runs_go_on_to_the_same_bytes(photos, network, tmp_path, monkeypatch, workers) -> None:
    monkeypatch.setattr(listing, "_BATCH", 1)
    arguments: dict[str, Any] = {"network_options": IN_SIZES, "options": PredictOptions(write=ALL, draw=draw_alignment)}
    predict_photographs(network, photos, tmp_path / "whole", **arguments)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            predict_photographs(network, photos, tmp_path / "out", run=RunOptions(workers), progress=stop, **arguments)
    result = predict_photographs(network, photos, tmp_path / "out", run=RunOptions(workers), **arguments)
    assert 0 < result.new_samples < N == len(result.faces)
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "whole")
    assert predict_photographs(network, photos, tmp_path / "out", **arguments).new_samples == 0


@pytest.mark.parametrize(("unread", "number"), [
    (".jpg", errno.EIO), (".jpg", errno.ESTALE), (".jpg", errno.EMFILE), (".txt", errno.EIO),
])  # fmt: skip
def test_photographs_whose_disk_does_not_answer_cost_no_finished_face(
    photos, network, tmp_path, monkeypatch, number, unread
) -> None:
    predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES)
    before = contents_below(tmp_path / "out")
    with monkeypatch.context() as patch:
        fail_reads(patch, unread, number)
        if number == errno.EMFILE:
            with pytest.raises(DatasetError, match=r"cannot be read \(Too many open files\); raise the limit"):
                predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES)
        else:
            assert predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES).new_samples == 0
    assert contents_below(tmp_path / "out") == before


def test_what_changed_is_predicted_anew(photos, network, tmp_path) -> None:
    predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES)
    one, two, *_ = sorted(photos.glob("*.jpg"))
    np.savetxt(one.with_suffix(".txt"), points_of(one) + 2)
    (tmp_path / "out" / f"{two.stem}.obj").unlink()
    assert predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES).new_samples == 2
    predict_photographs(network, photos, tmp_path / "whole", network_options=IN_SIZES)
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "whole")


def test_a_face_is_predicted_anew_if_its_table_states_another_size_of_the_photograph(photos, network, tmp_path) -> None:
    boxes = tmp_path / "boxes.csv"
    skipped = []
    for size in ("0,0", "900,900"):
        rows = [
            f"{path.name},{size if path == first(photos) else '0,0'},20,25,100,110" for path in photos.glob("*.jpg")
        ]
        boxes.write_text("\n".join(["image,width,height,left,top,right,bottom", *rows]))
        result = predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES, boxes=boxes)
        skipped.append([skip.image for skip in result.skipped])
    assert skipped == [[], [first(photos).name]]


def test_somebodys_files_of_other_kinds_stay_when_a_photograph_is_predicted_anew(photos, network, tmp_path) -> None:
    out, options = tmp_path / "out", PredictOptions(write=["landmarks"])
    predict_photographs(network, photos, out, network_options=IN_SIZES, options=options)
    one = sorted(photos.glob("*.jpg"))[0]
    mine = [out / f"{one.stem}{end}" for end in (".png", ".obj", ".json", ".npy")]
    for path in mine:
        path.write_bytes(b"mine")
    np.savetxt(one.with_suffix(".txt"), points_of(one) + 2)
    assert predict_photographs(network, photos, out, network_options=IN_SIZES, options=options).new_samples == 1
    one.with_suffix(".txt").write_text("1 2\n")
    assert predict_photographs(network, photos, out, network_options=IN_SIZES, options=options).skipped
    assert [path.read_bytes() for path in mine] == [b"mine"] * 4


def test_a_photograph_whose_files_would_replace_somebodys_is_left_out(photos, network, tmp_path) -> None:
    out, options = tmp_path / "out", PredictOptions(write=["landmarks"])
    first, *others = [path.stem for path in sorted(photos.glob("*.jpg"))]
    predict_photographs(network, photos, out, network_options=IN_SIZES, options=options)
    kept = (out / f"{first}.txt").read_bytes()
    (out / f"{first}.npy").write_bytes(b"mine")  # none of the files that are wanted
    result = predict_photographs(network, photos, out, network_options=IN_SIZES, options=options, overwrite=True)
    assert len(result.faces) == len(others) + 1 and (out / f"{first}.txt").read_bytes() == kept
    shutil.copy(photos / f"{first}.jpg", photos / "more.jpg")
    shutil.copy(photos / f"{first}.txt", photos / "more.txt")
    (out / "more.txt").write_bytes(b"mine")
    result = predict_photographs(network, photos, out, network_options=IN_SIZES, options=options)
    assert [skip.name for skip in result.skipped] == ["more"] and "would be replaced" in result.skipped[0].reason
    assert (out / "more.txt").read_bytes() == b"mine" and result.new_samples == 0


@pytest.mark.parametrize("end", ["ends", "is stopped"])
def test_files_of_yours_that_come_while_photographs_are_predicted_are_kept(
    photos, network, tmp_path, monkeypatch, end
) -> None:
    out, names = tmp_path / "out", [path.stem for path in sorted(photos.glob("*.jpg"))]
    options = PredictOptions(write=ALL, faces="all")
    taken = {f"{name}{suffix}" for name, suffix in zip(names[1:], (".obj", ".json", ".npy", ".txt"), strict=False)}
    mine = taken | {f"{names[0]}-face2.txt", f"{names[1]}-face2.obj", f"{names[0]}.png"}
    monkeypatch.setattr(listing, "_BATCH", 1)

    def predict(folder: Path, **more: Any) -> Any:
        return predict_photographs(network, photos, folder, network_options=IN_SIZES, options=options, **more)

    def come(_: object) -> None:
        for name in mine:
            (out / name).write_bytes(b"mine")
        if end == "is stopped":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) if end == "is stopped" else nullcontext():
        predict(out, progress=come)
    result = predict(out)
    assert sorted(skip.name for skip in result.skipped) == sorted(os.path.splitext(name)[0] for name in taken)
    assert all("would be replaced" in skip.reason for skip in result.skipped)
    assert all((out / name).read_bytes() == b"mine" for name in mine)
    for name in mine:
        (out / name).unlink()
    assert predict(out).new_samples == len(taken)
    predict(tmp_path / "whole")
    assert contents_below(out) == contents_below(tmp_path / "whole")


def test_other_settings_need_another_folder_or_overwriting(photos, network, crop_map, tmp_path) -> None:
    out = tmp_path / "out"
    predict_photographs(network, photos, out, network_options=IN_SIZES, options=PredictOptions(write=ALL))
    for more, message in (
        ({"network_options": NetworkOptions(scale="prnet")}, "was made with scale = size, now it is prnet"),
        (
            {"network_options": NetworkOptions(scale="size", convention="face3d")},
            "was made with convention = exact, now it is face3d",
        ),
        ({"options": PredictOptions(crop="prnet", write=ALL)}, "was made with crop = auto, now it is prnet"),
        ({"options": PredictOptions(write=["map"])}, "was made with write = "),
        ({"options": PredictOptions(write=ALL, draw=draw_alignment)}, "was made with drawing = None, now it is sparse"),
    ):
        with pytest.raises(SettingsError, match=message):
            arguments = {"network_options": IN_SIZES, "options": PredictOptions(write=ALL), **more}
            predict_photographs(network, photos, out, **arguments)
    constant_network(network, np.ascontiguousarray(crop_map[None] / SIZE + 0.01), SIZE)
    with pytest.raises(SettingsError, match="was made with another network"):
        predict_photographs(network, photos, out, network_options=IN_SIZES, options=PredictOptions(write=ALL))
    (out / "mine.txt").write_text("mine")
    result = predict_photographs(
        network, photos, out, network_options=IN_SIZES, options=PredictOptions(write=["map"]), overwrite=True
    )
    assert result.new_samples == N and not list(out.glob("*.obj")) and (out / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "damage", ["{", '{"format": "uvgen-fit"}', '{"format": "uvgen-predict", "faces": [{"name": 1}]}']
)
def test_folders_of_others_are_left_alone(photos, network, tmp_path, damage) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.txt").write_text("a")
    with pytest.raises(OutputError, match=r"holds something else \(a.txt\)"):
        predict_photographs(network, photos, tmp_path / "other", network_options=IN_SIZES)
    (tmp_path / "other/predict.json").write_text(damage)
    with pytest.raises(SettingsError, match=r"predict\.json: cannot be read"):
        predict_photographs(network, photos, tmp_path / "other", network_options=IN_SIZES)


def test_a_folder_whose_index_is_larger_than_other_texts_may_be_is_continued(
    photos, network, tmp_path, monkeypatch
) -> None:
    made = predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES)
    monkeypatch.setitem(read_text.__kwdefaults__ or {}, "most_bytes", 100)
    again = predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES)
    assert again.new_samples == 0 and again.faces == made.faces


def test_drawings_are_no_photographs_of_the_next_run(photos, network, tmp_path) -> None:
    predict_photographs(
        network, photos, photos / "out", network_options=IN_SIZES, options=PredictOptions(draw=draw_alignment)
    )
    assert len(predict_photographs(network, photos, tmp_path / "next", network_options=IN_SIZES).faces) == N


class _Found:
    """A detector that finds two faces in every photograph."""

    name, notice = "dlib", "for research only"

    def __call__(self, image: np.ndarray) -> list[FaceLandmarks]:
        points = np.random.default_rng(0).uniform(20, 100, (68, 2))
        return [
            FaceLandmarks(points, None, "68", source="dlib"),
            FaceLandmarks(points / 2 + 20, None, "68", source="dlib"),
        ]


@pytest.mark.parametrize(("faces", "count"), [("largest", N), ("all", 2 * N)])
def test_detectors_find_faces_where_no_file_has_them(photos, network, tmp_path, monkeypatch, faces, count) -> None:
    for path in photos.glob("*.txt"):
        path.unlink()
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: _Found())
    result = predict_photographs(
        network,
        photos,
        tmp_path / "out",
        network_options=IN_SIZES,
        detector="dlib",
        options=PredictOptions(faces=faces),
    )
    assert len(result.faces) == count and result.detector == "dlib" and result.notice == "for research only"
    assert {face.source for face in result.faces} == {"dlib"}
    (tmp_path / "a.dat").write_bytes(b"1")
    with pytest.raises(SettingsError, match="was made with other weights of the detector"):
        predict_photographs(
            network, photos, tmp_path / "out", network_options=IN_SIZES, options=PredictOptions(faces=faces),
            detector=FaceDetector("dlib", tmp_path / "a.dat"),
        )  # fmt: skip
    resume = PredictRecord.resume
    with monkeypatch.context() as patch, pytest.raises(ModelError, match=r"a\.dat: has changed since the run began"):
        patch.setattr(PredictRecord, "resume", lambda one: (resume(one), (tmp_path / "a.dat").write_bytes(b"2")))
        predict_photographs(
            network, photos, tmp_path / "new", network_options=IN_SIZES, options=PredictOptions(faces=faces),
            detector=FaceDetector("dlib", tmp_path / "a.dat"),
        )  # fmt: skip
    monkeypatch.setattr(_Found, "__call__", lambda self, image: [])
    with pytest.raises(DatasetError, match="dlib finds no face in it"):
        predict_photographs(network, photos, tmp_path / "none", network_options=IN_SIZES, detector="dlib")


def test_a_detector_that_no_photograph_needed_is_not_reported(photos, network, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: _Found())
    result = predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES, detector="dlib")
    assert (len(result.faces), result.detector, result.notice) == (N, None, "")


def test_wrong_arguments_raise_before_anything_is_written(photos, network, tmp_path) -> None:
    (tmp_path / "boxes.csv").write_text("image,left\na.jpg,1\n")
    for more, error, message in (
        (
            {"boxes": tmp_path / "boxes.csv", "options": PredictOptions(crop="whole")},
            InputError,
            "boxes: given with crop = whole, expected one",
        ),
        ({"boxes": tmp_path / "boxes.csv", "landmarks": photos}, InputError, "boxes: given with landmarks"),
        ({"boxes": tmp_path / "boxes.csv"}, InputError, "boxes.csv: columns image, left, expected a CSV with columns"),
        ({"boxes": tmp_path / "none.csv"}, InputError, "none.csv: cannot be read"),
        ({"run": 8}, InputError, "run: 8, expected RunOptions"),
    ):
        with pytest.raises(error, match=message):
            predict_photographs(network, photos, tmp_path / "out", **{"network_options": IN_SIZES, **more})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("wrong", "message"), [
    ({"crop": "tight"}, "crop: 'tight', expected 'auto', 'training'"),
    ({"faces": "some"}, "faces: 'some'"),
    ({"write": ["texture"]}, "write: 'texture', expected 'mesh', 'landmarks', 'pose' or 'map'"),
    ({"write": "mesh"}, "write: 'mesh', expected a list of names"),
    ({"write": []}, "write: nothing, and no drawing"),
])  # fmt: skip
def test_wrong_options_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PredictOptions(**wrong)


def test_a_box_that_may_be_of_two_photographs_is_nobodys(photos, network, tmp_path) -> None:
    for person in ("ann", "bob", "carl"):
        (tmp_path / "people" / person).mkdir(parents=True)
        shutil.copy(first(photos), tmp_path / "people" / person / ("2.jpg" if person == "carl" else "1.jpg"))
    (tmp_path / "boxes.csv").write_text("image,left,top,right,bottom\n1.jpg,20,25,100,110\n2.jpg,20,25,100,110\n")
    result = predict_photographs(
        network, tmp_path / "people", tmp_path / "out", network_options=IN_SIZES, boxes=tmp_path / "boxes.csv"
    )
    assert [face.name for face in result.faces] == ["carl/2"]
    assert [skip.name for skip in result.skipped] == ["ann/1", "bob/1"]
    assert all("boxes.csv, 1.jpg may be of" in skip.reason for skip in result.skipped)


def test_rows_that_are_no_boxes_cost_their_photographs(photos, network, tmp_path) -> None:
    names = [path.name for path in sorted(photos.glob("*.jpg"))]
    (tmp_path / "boxes.csv").write_text(
        f"image,left,top,right,bottom\n{names[0]},20,20,100,100\n{names[1]},20,20,10,100\n{names[2]},1,2,x,4\n{names[3]},1\n"
    )
    result = predict_photographs(
        network, photos, tmp_path / "out", network_options=IN_SIZES, boxes=tmp_path / "boxes.csv"
    )
    reasons = [skip.reason for skip in result.skipped]
    assert len(result.faces) == 1
    assert r"row 3: a box from (20, 20) to (10, 100), expected a face's" in reasons[0]
    assert "row 4: 1, 2, x, 4, expected four numbers" in reasons[1] and "row 5: 1" in reasons[2]


def test_tables_of_two_boxes_for_each_face_are_refused(tmp_path) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text("image,left,top,right,bottom,x,y,width,height\na.jpg,9,9,99,99,0,0,50,50\n")
    with pytest.raises(InputError, match=r"left, top, right, bottom and x, y, width, height, which are two boxes"):
        read_boxes(table)


def test_tables_of_boxes_whose_columns_or_cells_are_not_what_they_seem_are_refused(photos, tmp_path) -> None:
    image, table = photos / "a.jpg", tmp_path / "boxes.csv"
    for row, message in (
        ("20,5,20,100,100", "6 cells, expected 5 as in the first line"),
        ("1_0,20,100,100", "1_0, 20"),
    ):
        table.write_text(f"image,left,top,right,bottom\na.jpg,{row}\n")
        assert message in read_boxes(table).of_image(image)
    table.write_text("image,left,left,top,right,bottom\na.jpg,1,2,3,40,50\n")
    with pytest.raises(InputError, match="column left is there twice"):
        read_boxes(table)


@pytest.mark.parametrize("when", ["after it was tried", "as it is opened"])
def test_a_network_that_changes_after_the_run_began_is_refused(
    photos, network, crop_map, tmp_path, monkeypatch, when
) -> None:
    def replace() -> None:
        constant_network(network, np.ascontiguousarray(np.moveaxis(2 * crop_map / SIZE, 2, 0)[None]), SIZE)

    def tried(*arguments: Any) -> Any:
        sizes = network_trial.try_network(*arguments)
        replace()
        return sizes

    def opened(*arguments: Any) -> Any:
        replace()
        return networks.Network(*arguments)

    if when == "as it is opened":
        monkeypatch.setattr(predict_worker, "Network", opened)
    else:
        monkeypatch.setattr(predicting, "try_network", tried)
    with pytest.raises(InputError, match=r"net\.onnx: has changed since the run began"):
        predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES)


def test_command_predicts_and_says_what_it_did(uvgen, photos, network, tmp_path) -> None:
    done = uvgen("predict", network, photos, "--scale", "size", "--out", tmp_path / "out", "--draw", "pose", "-v")
    assert done.exit_code == 0, done.output
    assert "yaw 17°" in done.stderr
    assert "4 faces, 0 skipped; this run 4 faces" in done.stdout and "crops of 64 px, maps of 32² texels" in done.stdout
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".obj", ".txt", ".json", ".png"}
    first(photos).write_bytes(b"broken")
    again = uvgen("predict", network, photos, "--scale", "size", "--out", tmp_path / "new", "--write", "map",
                  "--draw", "none", "--json")  # fmt: skip
    assert again.exit_code == 3 and "not a readable image" in again.stderr
    plain = json.loads(again.stdout)
    assert len(plain["faces"]) == 3 and len(plain["skipped"]) == 1 and plain["uv_size"] == U
    number = uvgen("predict", network, photos, "--scale", SIZE, "--out", tmp_path / "number", "-q")
    assert number.exit_code == 3 and not number.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--scale", "cm"], 2, "'cm', expected px, size, prnet, reshow, unit or a number"),
        (["--write", "map,texture"], 2, "--write: texture, expected one or more of mesh, landmarks"),
        (["--size", "100"], 1, "size: 100 px, expected 64: input 'image' is"),
        (["--boxes", "none.csv"], 1, "none.csv: no such file, expected a file for --boxes"),
    ],
)
def test_command_with_wrong_options_says_so(uvgen, photos, network, tmp_path, arguments, status, message) -> None:
    done = uvgen("predict", network, photos, "--out", tmp_path / "out", *arguments)
    assert done.exit_code == status and message in done.stderr and not (tmp_path / "out").exists()


def test_command_without_onnxruntime_says_what_to_install(uvgen, photos, network, tmp_path, monkeypatch) -> None:
    def missing(path: Path) -> None:
        raise DependencyError('network: onnxruntime is not installed; pip install ".[onnx]"')

    monkeypatch.setattr(networks, "_opened", missing)
    done = uvgen("predict", network, photos, "--out", tmp_path / "out")
    assert done.exit_code == 1 and 'pip install ".[onnx]"' in done.stderr


@pytest.mark.parametrize("stem", ["Predict", "dataset"])
def test_photograph_called_like_an_index_is_named_and_costs_itself(
    photos: Path, network: Path, tmp_path: Path, stem: str
) -> None:
    for path in photos.glob(f"{first(photos).stem}.*"):
        path.rename(path.with_stem(stem))
    result = predict_photographs(network, photos, tmp_path / "out", network_options=IN_SIZES)
    (skip,) = result.skipped
    assert skip.name == stem and f"its pose would be {stem.lower()}.json" in skip.reason
    assert folder_kind(tmp_path / "out") == PREDICTIONS
    assert len(result.faces) == N - 1
    others = predict_photographs(
        network, photos, tmp_path / "other", network_options=IN_SIZES, options=PredictOptions(write=("landmarks",))
    )
    assert len(others.faces) == N


def test_a_folder_called_like_a_file_that_is_written_costs_its_own_photographs(photos, network, tmp_path) -> None:
    names = sorted(path.stem for path in photos.glob("*.jpg"))
    for folder in ("predict.json", f"{names[0]}.obj"):
        (photos / folder).mkdir()
        shutil.copy(photos / f"{names[0]}.jpg", photos / folder / "other.jpg")
    options = PredictOptions(write=["mesh"])
    result = predict_photographs(
        network, photos, tmp_path / "out", network_options=IN_SIZES, detector=None, options=options
    )
    assert [face.name for face in result.faces] == names
    reasons = {skip.name: skip.reason for skip in result.skipped}
    assert "would have the name of the index" in reasons["predict.json/other"]
    assert f"would have the name of a file of {names[0]}" in reasons[f"{names[0]}.obj/other"]


def test_index_that_lists_itself_as_a_face_is_not_removed_as_one(photos: Path, network: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_photographs(network, photos, out, network_options=IN_SIZES, options=PredictOptions(write=("landmarks",)))
    index = json.loads((out / "predict.json").read_text())
    index["faces"][0] |= {"name": "predict", "photograph": "predict"}
    (out / "predict.json").write_text(json.dumps(index))
    again = predict_photographs(
        network, photos, out, network_options=IN_SIZES, options=PredictOptions(write=("landmarks",)), overwrite=True
    )
    assert len(again.faces) == N - 1 and "would be replaced" in again.skipped[0].reason  # the one not listed any more
    assert len(json.loads((out / "predict.json").read_text())["faces"]) == N - 1


def test_a_network_that_never_ends_is_refused_before_any_work(photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(network_trial, "MAX_SECONDS", 0.5)
    path = endless_network(tmp_path / "endless.onnx", SIZE, U)
    with pytest.raises(InputError, match=r"endless\.onnx: .* on a black crop took longer than 0\.5 s, expected"):
        predict_photographs(path, photos, tmp_path / "out", network_options=IN_SIZES, detector=None)
    assert not (tmp_path / "out").exists()


def test_a_network_whose_maps_are_random_is_refused_before_any_work(photos, tmp_path) -> None:
    shapes = [("image", (1, 3, SIZE, SIZE), np.float32)], [("position_map", (1, 3, SIZE, SIZE), np.float32)]
    path = write_network(tmp_path / "n.onnx", [("RandomUniformLike", ["image"], "position_map")], *shapes)
    with pytest.raises(InputError, match=r"n\.onnx: its map of a crop is another one when it is run again, expected"):
        predict_photographs(path, photos, tmp_path / "out", network_options=IN_SIZES, detector=None)
    assert not (tmp_path / "out").exists()


def test_a_network_that_was_tried_is_not_tried_again(network, monkeypatch) -> None:
    sha256 = networks.hash_network(network)
    assert network_trial.try_network(network, sha256, IN_SIZES) == (SIZE, U)
    monkeypatch.setattr(network_trial, "Workers", None)
    assert network_trial.try_network(network, sha256, NetworkOptions(scale=3.0, convention="face3d")) == (SIZE, U)
    with pytest.raises(TypeError):
        network_trial.try_network(network, sha256, NetworkOptions(layout="NHWC"))


def test_predict_refuses_options_that_find_faces_where_none_is_looked_for(uvgen, photos, network, tmp_path) -> None:
    (tmp_path / "boxes.csv").write_text("image,left,top,right,bottom\n")
    for more, words in (
        (("--crop", "whole", "--detector", "dlib"), "--detector does not go with --crop whole"),
        (("--crop", "whole", "--landmarks", photos), "--landmarks does not go with --crop whole"),
        (("--crop", "whole", "--faces", "all"), "--faces does not go with --crop whole"),
        (("--boxes", tmp_path / "boxes.csv", "--detector", "dlib"), "--detector does not go with --boxes"),
    ):
        done = uvgen("predict", network, photos, "--out", tmp_path / "out", *more)
        assert done.exit_code == 2 and words in " ".join(done.stderr.split())
    with pytest.raises(InputError, match="landmarks: given with crop = whole"):
        predict_photographs(
            network,
            photos,
            tmp_path / "out",
            network_options=IN_SIZES,
            options=PredictOptions(crop="whole"),
            landmarks=photos,
        )
    assert not (tmp_path / "out").exists()
