"""`uvgen export --to deep3d` and `uvgen prepare deep3d`: folders read the way Deep3DFaceRecon's data set reads them."""

import dataclasses
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.builds import SMALL, have, seal, set_texts
from support.toy import write_tree

from uvgen import Augmentation, FaceDetector, export_shards, open_shards, prepare_deep3d, split_shards
from uvgen.datasets import prepare
from uvgen.datasets.augmented import augment_shards
from uvgen.datasets.export.deep3d import five_points, key
from uvgen.errors import DatasetError, InputError, ModelError
from uvgen.fitting import detectors
from uvgen.fitting.tasks import Photograph
from uvgen.images.skin import skin_mask
from uvgen.models.morphable import MorphableModel
from uvgen.samples import read as samples_read
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.storage.drafts import draft_of
from uvgen.storage.folders import EXPORT_MARK
from uvgen.storage.reading import read_file

N = 9
JPEG_ERROR = 3.0  # of 255


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture(scope="module")
def exported(built: Path) -> Path:
    export_shards(built, built.with_name("deep3d"), "deep3d", data=built.with_name("300W_LP"))
    return built.with_name("deep3d")


class Item:
    """An item of its `FlistDataset`, before alignment: all paths come from a line of masks.txt by replacement."""

    def __init__(self, root: Path, line: str) -> None:
        mask_path = f"./{line}"  # data_root is ./ by default
        self.image_path = root / mask_path.replace("mask/", "")
        landmarks = ".".join(mask_path.replace("mask", "landmarks").split(".")[:-1]) + ".txt"
        self.image = np.asarray(Image.open(self.image_path).convert("RGB"))
        self.mask = np.asarray(Image.open(root / mask_path).convert("RGB"))
        self.landmarks = np.loadtxt(root / landmarks).astype(np.float32)
        self.five = np.loadtxt(root / "detections" / f"{self.image_path.stem}.txt")

    @property
    def rows_down(self) -> NDArray[np.float32]:
        points: NDArray[np.float32] = self.landmarks * [1, -1] + [0, len(self.image) - 1]
        return points


def items(root: Path, part: str) -> list[Item]:
    return [Item(root, line.strip()) for line in (root / f"datalist/{part}/masks.txt").read_text().splitlines()]


def test_deep3d_export_is_read_by_its_rules(built: Path, exported: Path) -> None:
    assert not (exported / "weight_mask.npy").exists()
    names = dict(line.split(" ", 1) for line in (exported / "names.txt").read_text().splitlines())
    samples = {sample["name"]: sample for sample in open_shards(built)}
    found = items(exported, "train") + items(exported, "val")
    assert len(found) == N == len({item.image_path for item in found}) and len(items(exported, "val")) == 1
    for item in found:
        sample = samples[names[item.image_path.stem]]
        original = built.with_name("300W_LP") / sample["source"]
        assert item.image_path.read_bytes() == original.read_bytes()
        image_to_crop = sample["image_to_crop"]
        in_crop = np.column_stack([item.rows_down, np.ones(68)]) @ image_to_crop.T
        np.testing.assert_allclose(in_crop[:, :2], sample["landmarks"][:, :2], atol=1e-3)
        p = item.rows_down
        five = [(p[36] + p[39]) / 2, (p[42] + p[45]) / 2, p[30], p[48], p[54]]
        np.testing.assert_allclose(item.five, five, atol=1e-3)
        assert item.mask.shape == item.image.shape and (item.mask == item.mask[..., :1]).all()
        assert np.abs(item.mask[..., 0].astype(float) - skin_mask(item.image)).mean() < JPEG_ERROR


def test_deep3d_lists_name_files_that_are_there_and_nothing_else_has_mask_in_its_path(exported: Path) -> None:
    for part in ("train", "val"):
        lists = [
            (exported / f"datalist/{part}/{kind}.txt").read_text().splitlines()
            for kind in ("masks", "landmarks", "images")
        ]
        assert len({*map(len, lists)}) == 1
        assert all((exported / path).is_file() for lines in lists for path in lines)
    paths = [path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()]
    assert not [path for path in paths if "mask" in path.removeprefix("mask/") and not path.startswith("datalist/")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("IBUG/IBUG_1_0", "IBUG-IBUG_1_0"), ("a.v2", "a.v2"), ("mask/unmasked", "msk-unmsked"), (".hidden", "_.hidden")],
)
def test_deep3d_key_has_no_folder_no_mask_and_is_not_hidden(name: str, expected: str) -> None:
    assert key(name) == expected


def test_deep3d_key_of_any_length_is_a_file_s() -> None:
    assert len(key("/".join(["é" * 100] * 4)).encode()) <= 230


def test_deep3d_takes_the_parts_of_splits_json(built: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(built, tmp_path / "shards"))
    split_shards(shards, {"train": 0.5, "val": 0.3, "test": 0.2})
    export_shards(shards, tmp_path / "out", "deep3d", data=built.with_name("300W_LP"))
    for part in ("train", "val"):
        expected = {key(name) for name in open_shards(shards, split=part).names}
        assert {item.image_path.stem for item in items(tmp_path / "out", part)} == expected


def test_deep3d_landmarks_of_face3d_s_convention_are_put_where_the_image_has_them(
    built: Path, exported: Path, tmp_path: Path, model_path: Path
) -> None:
    data = built.with_name("300W_LP")
    have(data, model_path, tmp_path / "shards", dataclasses.replace(SMALL, convention="face3d"))
    export_shards(tmp_path / "shards", tmp_path / "out", "deep3d", data=data)
    for path in (tmp_path / "out/landmarks").iterdir():
        np.testing.assert_allclose(np.loadtxt(path), np.loadtxt(exported / "landmarks" / path.name), atol=1e-2)
    assert json.loads((tmp_path / "out" / EXPORT_MARK).read_text())["labels"] == "exact"


def test_deep3d_leaves_out_images_that_are_missing_damaged_or_others(built: Path, tmp_path: Path, uvgen: Any) -> None:
    data = Path(shutil.copytree(built.with_name("300W_LP"), tmp_path / "300W_LP"))
    samples = list(open_shards(built))
    (data / samples[0]["source"]).unlink()
    (data / samples[2]["source"]).write_bytes(b"no image")
    Image.new("RGB", (160, 120), "blue").save(data / samples[4]["source"])
    Image.new("RGB", (160, 90), "blue").save(data / samples[6]["source"])
    result = uvgen("export", built, "--to", "deep3d", "--data", data, "--out", tmp_path / "out", "-j", 1)
    assert result.exit_code == 3 and f"{N - 4} samples as deep3d, 4 skipped" in result.stdout
    for k, words in (
        (0, "no such image, expected the set's; is data another folder?"),
        (2, "not a readable image"),
        (4, "not the image of the set's crop"),
        (6, "90 px high, expected 120 px"),
    ):
        assert f"{data / samples[k]['source']}: " in result.stderr and words in result.stderr
    lines = (tmp_path / "out/skipped.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == [samples[k]["name"] for k in (0, 2, 4, 6)]
    assert len(items(tmp_path / "out", "train") + items(tmp_path / "out", "val")) == N - 4


def test_deep3d_goes_on_after_an_interrupt_and_knows_what_it_left_out(built: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(built.with_name("300W_LP"), tmp_path / "300W_LP"))
    (data / open_shards(built)[0]["source"]).unlink()

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_shards(built, tmp_path / "out", "deep3d", data=data, progress=stop)
    result = export_shards(built, tmp_path / "out", "deep3d", data=data)
    assert result.samples == N - 1 and [skip.name for skip in result.skipped] == [open_shards(built).names[0]]


@pytest.mark.parametrize("change", ["repaired", "other images"])
def test_deep3d_does_not_go_on_with_other_images(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    for name in ("here", "there"):
        shutil.copytree(built.with_name("300W_LP"), tmp_path / name / "images")
    first = tmp_path / "here/images" / open_shards(built)[0]["source"]
    content = first.read_bytes()
    if change == "repaired":
        first.unlink()
    else:
        for path in (tmp_path / "there/images").glob("*/*.jpg"):
            path.write_bytes(path.read_bytes() + bytes(9))

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(KeyboardInterrupt):
        export_shards(built, tmp_path / "out", "deep3d", data="images", progress=stop)
    if change == "repaired":
        first.write_bytes(content)
    else:
        monkeypatch.chdir(tmp_path / "there")
    result = export_shards(built, tmp_path / "out", "deep3d", data="images")
    assert result.samples == N and not result.skipped
    images = {path.read_bytes() for path in (Path.cwd() / "images").glob("*/*.jpg")}
    assert all(path.read_bytes() in images for path in (tmp_path / "out").glob("*.jpg"))


def test_deep3d_leaves_out_a_sample_whose_source_no_system_takes(built: Path, tmp_path: Path) -> None:
    shards = Path(shutil.copytree(built, tmp_path / "shards"))
    sources = [sample["source"] for sample in open_shards(shards)][:2]
    set_texts(shards / "AFW-00000.h5", "source", ["x" * 5000, sources[1]])
    seal(shards)
    result = export_shards(shards, tmp_path / "out", "deep3d", data=built.with_name("300W_LP"))
    assert [skip.name for skip in result.skipped] == [open_shards(built).names[0]]


def test_deep3d_without_images_or_of_augmented_copies_is_refused(
    built: Path, tmp_path: Path, model: MorphableModel, uvgen: Any
) -> None:
    data = built.with_name("300W_LP")
    with pytest.raises(InputError, match="data: none, expected one for deep3d: it takes whole images"):
        export_shards(built, tmp_path / "out", "deep3d")
    assert uvgen("export", built, "--to", "deep3d", "--out", tmp_path / "out").exit_code == 2
    with pytest.raises(InputError, match="nowhere is not there, expected the folder of images"):
        export_shards(built, tmp_path / "out", "deep3d", data=tmp_path / "nowhere")
    for out in (tmp_path / "masked", tmp_path / "masks/out"):  # its own name, that of a folder around it
        with pytest.raises(InputError, match=rf"out: {out}, expected a path without 'mask'"):
            export_shards(built, out, "deep3d", data=data)
    other = write_tree(tmp_path / "other/deeper")
    with pytest.raises(DatasetError, match=r"none of 9 samples can be written as deep3d; the first, .*no such image"):
        export_shards(built, tmp_path / "out", "deep3d", data=other.parent)
    augment_shards(built, tmp_path / "copies", Augmentation(rotation_deg=(-30, 30)), model=model)
    with pytest.raises(InputError, match="copies: holds augmented copies, expected the set that they were made of"):
        export_shards(tmp_path / "copies", tmp_path / "out", "deep3d", data=data)
    assert not (tmp_path / "out").exists()


# uvgen prepare deep3d


class FakeDetector:
    """Finds in an image the faces that it is told."""

    name, notice = "fake", "for tests only"

    def __init__(self, faces: list[NDArray[np.float64]]) -> None:
        self._faces = faces

    def __call__(self, image: NDArray[np.uint8]) -> list[FaceLandmarks]:
        return [FaceLandmarks(points, None, "68", source=self.name) for points in self._faces]


@pytest.fixture
def photos(built: Path, exported: Path, tmp_path: Path) -> Path:
    """Four images of the set with 68 points each, y down, from 0."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for item in items(exported, "train")[:4]:
        shutil.copy(item.image_path, folder)
        np.savetxt(folder / f"{item.image_path.stem}.txt", item.rows_down)
    return folder


def test_prepare_writes_of_landmark_files_what_export_writes_of_the_set(
    photos: Path, exported: Path, tmp_path: Path, uvgen: Any
) -> None:
    result = uvgen("prepare", "deep3d", "--images", photos, "--detections", photos, "--out", tmp_path / "out", "-j", 1)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'out'}: 4 faces for Deep3DFaceRecon\n")
    found = items(tmp_path / "out", "train") + items(tmp_path / "out", "val")
    assert len(found) == 4
    for item in found:
        other = Item(exported, f"mask/{item.image_path.name}")
        np.testing.assert_allclose(item.landmarks, other.landmarks, atol=1e-4)
        np.testing.assert_allclose(item.five, other.five, atol=1e-4)
        np.testing.assert_array_equal(item.mask, other.mask)
        assert item.image_path.read_bytes() == other.image_path.read_bytes()


def test_prepare_names_photographs_of_kinds_that_are_not_read(photos: Path, tmp_path: Path, uvgen: Any) -> None:
    (photos / "IMG_1.HEIC").touch()
    result = uvgen("prepare", "deep3d", "--images", photos, "--detections", photos, "--out", tmp_path / "out", "-j", 1)
    assert result.exit_code == 0 and "1 image is of a kind that is not read, first IMG_1.HEIC" in result.stderr


@pytest.mark.parametrize("command", ["export", "prepare"])
def test_an_image_that_is_cut_short_after_it_was_read_is_written_whole(
    built: Path, exported: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """What is copied are the bytes whose pixels were looked at, not those of a second read."""
    data = Path(shutil.copytree(built.with_name("300W_LP"), tmp_path / "300W_LP"))

    def read(path: Path, *more: Any) -> bytes:
        content = read_file(path, *more)
        if path.suffix == ".jpg":
            path.write_bytes(content[: len(content) // 2])
        return content

    monkeypatch.setattr(samples_read, "read_file", read)
    if command == "export":
        export_shards(built, tmp_path / "out", "deep3d", data=data)
    else:
        prepare_deep3d(photos, tmp_path / "out", detections=photos)
    written = sorted((tmp_path / "out").glob("*.jpg"))
    assert len(written) == (N if command == "export" else 4)
    assert all(path.read_bytes() == (exported / path.name).read_bytes() for path in written)


def test_prepare_keeps_nothing_of_what_a_process_that_died_was_writing(photos: Path, tmp_path: Path) -> None:
    """It tries photographs one by one then, each in a folder of its own."""
    out = tmp_path / "out"

    def leave(_: int) -> None:
        stage = draft_of(out) / ".uvgen-part-0123456789abcdef"
        stage.mkdir()
        (stage / "half.jpg").touch()

    prepare_deep3d(photos, out, detections=photos, progress=leave)
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == [EXPORT_MARK]


def to_five(photos: Path) -> dict[str, NDArray[np.float64]]:
    """Leave five points in each landmark file; the 68 of each."""
    whole = {path.stem: np.loadtxt(path) for path in sorted(photos.glob("*.txt"))}
    for stem, points in whole.items():
        np.savetxt(photos / f"{stem}.txt", five_points(points))
    return whole


def test_prepare_of_five_points_alone_writes_all_but_landmarks_and_lists_nothing(
    photos: Path, tmp_path: Path, uvgen: Any
) -> None:
    whole = to_five(photos)
    result = uvgen("prepare", "deep3d", "--images", photos, "--detections", photos, "--out", tmp_path / "out", "-j", 1)
    assert result.exit_code == 3 and "0 faces for Deep3DFaceRecon, 4 skipped" in result.stdout
    assert "only five points, expected 68 landmarks or a detector; written without landmarks" in result.stderr
    out = tmp_path / "out"
    assert (out / "datalist/train/masks.txt").read_text() == "" and not list((out / "landmarks").iterdir())
    for stem, points in whole.items():
        np.testing.assert_allclose(np.loadtxt(out / f"detections/{stem}.txt"), five_points(points), atol=1e-5)
        assert (out / f"{stem}.jpg").exists() and (out / f"mask/{stem}.jpg").exists()


@pytest.mark.parametrize("five", [False, True])
def test_prepare_refuses_points_that_are_shares_of_the_image(photos: Path, tmp_path: Path, uvgen: Any, five) -> None:
    stem = next(iter(to_five(photos))) if five else next(photos.glob("*.txt")).stem
    np.savetxt(photos / f"{stem}.txt", np.loadtxt(photos / f"{stem}.txt")[:, :2] / 128)
    result = uvgen("prepare", "deep3d", "--images", photos, "--detections", photos, "--out", tmp_path / "out", "-j", 1)
    assert result.exit_code == 3 and f"{stem}.txt: its landmarks lie within 8 px" in result.stderr
    assert not (tmp_path / f"out/detections/{stem}.txt").exists()


def test_prepare_refuses_five_points_in_one_line(photos: Path, tmp_path: Path, uvgen: Any) -> None:
    stem = next(iter(to_five(photos)))
    np.savetxt(photos / f"{stem}.txt", np.linspace([20, 20], [60, 50], 5))
    result = uvgen("prepare", "deep3d", "--images", photos, "--detections", photos, "--out", tmp_path / "out", "-j", 1)
    assert f"{stem}.txt: points: in one line, expected eyes" in result.stderr
    assert not (tmp_path / f"out/detections/{stem}.txt").exists()


@pytest.mark.parametrize("turned", ["y up", "mirrored"])
def test_prepare_refuses_68_landmarks_of_another_order(photos: Path, tmp_path: Path, uvgen: Any, turned: str) -> None:
    path = next(photos.glob("*.txt"))
    points = np.loadtxt(path)
    axis = 1 if turned == "y up" else 0  # as in Deep3DFaceRecon's own folder of landmarks
    points[:, axis] = points[:, axis].min() + points[:, axis].max() - points[:, axis]
    np.savetxt(path, points)
    result = uvgen("prepare", "deep3d", "--images", photos, "--detections", photos, "--out", tmp_path / "deep3d")
    assert result.exit_code == 3
    assert f"{path.name}: of its landmarks, the five points: mirrored or in another order" in result.stderr


def test_prepare_takes_the_detected_face_that_has_the_file_s_five_points(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = to_five(photos)
    stem = next(iter(whole))
    for path in photos.iterdir():
        if path.stem != stem:
            path.unlink()
    other, own = whole[stem] + [40, 5], whole[stem] + [0.5, 0]
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: FakeDetector([other, own]))
    result = prepare_deep3d(photos, tmp_path / "out", detections=photos, detector="dlib")
    assert (result.faces, result.skipped, result.notice) == (1, (), "for tests only")
    (item,) = items(tmp_path / "out", "train")
    np.testing.assert_allclose(item.rows_down, own, atol=1e-4)
    np.testing.assert_allclose(item.five, five_points(whole[stem]), atol=1e-5)
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: FakeDetector([other]))
    with pytest.raises(DatasetError, match=r"dlib finds no face at the five points of .*, the nearest is 40 px away"):
        prepare_deep3d(photos, tmp_path / "none", detections=photos, detector="dlib")


@pytest.mark.parametrize("n_missing", [0, 1])
def test_prepare_says_what_users_of_a_detector_must_know_if_it_found_landmarks(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_missing: int
) -> None:
    marked = sorted(photos.glob("*.txt"))
    points = np.loadtxt(marked[0])
    for path in marked[:n_missing]:
        path.unlink()
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: FakeDetector([points]))
    result = prepare_deep3d(photos, tmp_path / "out", detections=photos, detector="dlib")
    assert (result.faces, result.notice) == (4, "for tests only" if n_missing else "")


def test_prepare_whose_detector_s_weights_are_replaced_ends(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, n_opened = tmp_path / "a.dat", itertools.count()
    points = np.loadtxt(sorted(photos.glob("*.txt"))[0])

    def opened(name: str, model: Path | None = None) -> FakeDetector:
        if next(n_opened):  # by a worker, after the command itself
            weights.write_bytes(b"2")
        return FakeDetector([points])

    weights.write_bytes(b"1")
    monkeypatch.setattr(detectors, "open_detector", opened)
    with pytest.raises(ModelError, match=r"a\.dat: has changed since the run began"):
        prepare_deep3d(photos, tmp_path / "out", detector=FaceDetector("dlib", weights))
    assert not (tmp_path / "out").exists()


def test_prepare_with_landmarks_of_other_photographs_takes_no_detector_for_them(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.loadtxt(sorted(photos.glob("*.txt"))[0])
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: FakeDetector([points]))
    (tmp_path / "empty").mkdir()  # as where a disk is not mounted
    with pytest.raises(InputError, match=r"detections: no landmark files of these photographs in .*empty, expected"):
        prepare_deep3d(photos, tmp_path / "out", detections=tmp_path / "empty", detector="dlib")


def test_prepare_names_photographs_in_which_no_face_is_found_and_keeps_the_others(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = sorted(photos.glob("*.txt"))
    points = np.loadtxt(marked[0])
    marked[0].unlink()
    marked[1].write_text("1 2\n")
    (photos / f"{marked[2].stem}.jpg").write_bytes(b"no image")
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: FakeDetector([]))
    result = prepare_deep3d(photos, tmp_path / "out", detections=photos, detector="dlib")
    reasons = {skip.name: skip.reason for skip in result.skipped}
    assert result.faces == 1 and "dlib finds no face in it" in reasons[marked[0].stem]
    assert "1 point, expected" in reasons[marked[1].stem] and "not a readable image" in reasons[marked[2].stem]
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: FakeDetector([points]))
    again = prepare_deep3d(photos, tmp_path / "again", detections=photos, detector="dlib")
    assert again.faces == 2 and len(items(tmp_path / "again", "train")) == 1 == len(items(tmp_path / "again", "val"))


def test_prepare_turns_photographs_upright_and_writes_png_of_what_is_neither(photos: Path, tmp_path: Path) -> None:
    jpegs = sorted(photos.glob("*.jpg"))
    exif = Image.Exif()
    exif[0x0112] = 3
    upright = np.asarray(Image.open(jpegs[0]))
    Image.fromarray(upright[::-1, ::-1].copy()).save(jpegs[0], exif=exif, quality=95)
    pixels = np.asarray(Image.open(jpegs[1]))
    Image.fromarray(pixels).save(jpegs[1].with_suffix(".bmp"))
    jpegs[1].unlink()
    assert prepare_deep3d(photos, tmp_path / "out", detections=photos).faces == 4
    turned = np.asarray(Image.open(tmp_path / "out" / jpegs[0].name))
    assert np.abs(turned.astype(float) - upright).mean() < JPEG_ERROR
    assert Image.open(tmp_path / "out" / jpegs[0].name).getexif().get(0x0112) is None
    png = tmp_path / "out" / f"{jpegs[1].stem}.png"
    np.testing.assert_array_equal(np.asarray(Image.open(png)), pixels)
    mask = np.asarray(Image.open(tmp_path / "out/mask" / png.name))
    np.testing.assert_array_equal(mask, np.repeat(skin_mask(pixels)[..., None], 3, axis=2))


def test_prepare_writes_transparent_png_as_it_is_seen(photos: Path, tmp_path: Path) -> None:
    """On black: Deep3D's loader would show the colors of what is transparent."""
    jpeg = min(photos.glob("*.jpg"))
    pixels = np.asarray(Image.open(jpeg))
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:5] = 0
    Image.fromarray(np.dstack([pixels, alpha])).save(jpeg.with_suffix(".png"))
    jpeg.unlink()
    assert prepare_deep3d(photos, tmp_path / "out", detections=photos).faces == 4
    found = np.asarray(Image.open(tmp_path / "out" / f"{jpeg.stem}.png").convert("RGB"))
    np.testing.assert_array_equal(found, pixels * (alpha > 0)[..., None])


def test_prepare_copies_png_without_texts_that_the_trainers_loader_refuses(photos: Path, tmp_path: Path) -> None:
    jpeg = min(photos.glob("*.jpg"))
    pixels = np.asarray(Image.open(jpeg))
    texts = PngInfo()
    texts.add_text("XML:com.adobe.xmp", "x" * (2 << 20), zip=True)
    Image.fromarray(pixels).save(jpeg.with_suffix(".png"), pnginfo=texts)
    jpeg.unlink()
    assert prepare_deep3d(photos, tmp_path / "out", detections=photos).faces == 4
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / f"{jpeg.stem}.png")), pixels)


def test_prepare_leaves_out_photographs_whose_files_would_have_the_same_name(photos: Path, tmp_path: Path) -> None:
    jpeg = min(photos.glob("*.jpg"))
    (photos / "deeper").mkdir()
    for path in (jpeg, jpeg.with_suffix(".txt")):
        shutil.copy(path, photos / "deeper" / path.name)
        shutil.copy(path, photos / f"deeper-{path.name}")
    result = prepare_deep3d(photos, tmp_path / "out", detections=photos)
    assert result.faces == 4 and [skip.name for skip in result.skipped] == [
        f"deeper-{jpeg.stem}",
        f"deeper/{jpeg.stem}",
    ]
    assert all("its files would have the names of another photograph's" in skip.reason for skip in result.skipped)


def test_prepare_gives_landmarks_that_may_be_of_two_photographs_to_neither(photos: Path, tmp_path: Path) -> None:
    jpeg = min(photos.glob("*.jpg"))
    for person in ("ann", "bob"):
        (tmp_path / "people" / person).mkdir(parents=True)
        shutil.copy(jpeg, tmp_path / "people" / person / "1.jpg")
    (tmp_path / "marks").mkdir()
    shutil.copy(jpeg.with_suffix(".txt"), tmp_path / "marks" / "1.txt")
    with pytest.raises(DatasetError, match=r"none of 2 photographs can be used; .*marks/1\.txt may be of .*bob/1\.jpg"):
        prepare_deep3d(tmp_path / "people", tmp_path / "out", detections=tmp_path / "marks")
    shutil.copy(jpeg, tmp_path / "people" / "1.jpg")  # in the folder of both
    result = prepare_deep3d(tmp_path / "people", tmp_path / "out", detections=tmp_path / "marks")
    assert result.faces == 1 and [skip.name for skip in result.skipped] == ["ann/1", "bob/1"]
    assert all("whose" in skip.reason and "belongs to" in skip.reason for skip in result.skipped)


def test_prepare_leaves_out_a_photograph_at_which_processes_die_alone(photos: Path, tmp_path: Path) -> None:
    job = prepare.PrepareJob(tmp_path / "out", photos, None, "ignore", 95)
    job.draft.mkdir()
    jpegs = sorted(photos.glob("*.jpg"))
    batch = prepare.Batch("00000000", tuple(Photograph(path, path.stem) for path in jpegs))
    write = job.open()
    for path, part in zip(jpegs, job.parts(batch), strict=True):
        assert [name for name, *_ in write(part).files if "/" not in name] == [path.name]
    done = write(job.without(batch, {1: "its process was killed"}))
    assert [tuple(skip) for skip in done.skipped] == [(jpegs[1].stem, f"{jpegs[1]}: its process was killed")]
    assert [name for name, *_ in done.files if "/" not in name] == [path.name for path in jpegs if path != jpegs[1]]


def test_prepare_continues_where_it_was_interrupted(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_BATCH", 1)
    seen = []

    def stop(n: int) -> None:
        seen.append(n)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_deep3d(photos, tmp_path / "out", detections=photos, progress=stop)
    assert not (tmp_path / "out").exists()
    again: list[int] = []
    assert prepare_deep3d(photos, tmp_path / "out", detections=photos, progress=again.append).faces == 4
    assert len(again) == 2
    prepare_deep3d(photos, tmp_path / "whole", detections=photos)
    left, right = (
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*.*") if p.is_file()}
        for f in (tmp_path / "out", tmp_path / "whole")
    )
    assert left == right


@pytest.mark.parametrize("changed", ["landmarks", "photograph"])
def test_prepare_starts_anew_if_what_an_interrupted_run_was_made_of_has_changed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    monkeypatch.setattr(prepare, "_BATCH", 1)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_deep3d(photos, tmp_path / "out", detections=photos, progress=stop)
    first = sorted(photos.rglob("*.jpg"))[0]
    if changed == "landmarks":
        file = first.with_suffix(".txt")
        np.savetxt(file, np.loadtxt(file) + 3)
    else:
        Image.open(first).save(first.with_suffix(".png"))
        first.unlink()
    prepare_deep3d(photos, tmp_path / "out", detections=photos)
    prepare_deep3d(photos, tmp_path / "whole", detections=photos)
    left, right = (
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*.*") if p.is_file()}
        for f in (tmp_path / "out", tmp_path / "whole")
    )
    assert left == right


def test_prepare_replaces_what_it_made_of_any_number_of_photographs(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_deep3d(photos, tmp_path / "out", detections=photos)
    stated = (tmp_path / "out" / EXPORT_MARK).read_text()
    assert not any(path.stem in stated for path in photos.rglob("*.jpg"))
    monkeypatch.setattr(prepare, "_digest", lambda lines: [*lines] * 10_000)
    for _ in range(2):  # also what an earlier version stated, which was long
        prepare_deep3d(photos, tmp_path / "out", detections=photos, overwrite=True)
    assert (tmp_path / "out" / EXPORT_MARK).stat().st_size > 1 << 17


def test_export_does_not_go_on_with_what_another_version_began(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("uvgen.datasets.export.folder.__version__", "0.0.1")
        with pytest.raises(KeyboardInterrupt):
            export_shards(built, tmp_path / "out", "npy", progress=stop)
    counts: list[int] = []
    result = export_shards(built, tmp_path / "out", "npy", progress=counts.append)
    assert sum(counts) == result.samples


def test_prepare_refuses_what_gives_no_landmarks_before_any_work(photos: Path, tmp_path: Path, uvgen: Any) -> None:
    result = uvgen("prepare", "deep3d", "--images", photos, "--out", tmp_path / "out")
    assert result.exit_code == 2 and "--detections: none, and no --detector, expected one of them" in result.stderr
    with pytest.raises(InputError, match="detections: none, and no detector"):
        prepare_deep3d(photos, tmp_path / "out")
    with pytest.raises(InputError, match="nowhere"):
        prepare_deep3d(photos, tmp_path / "out", detections=tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="no images in it"):
        prepare_deep3d(empty, tmp_path / "out", detections=photos)
    assert not (tmp_path / "out").exists()
