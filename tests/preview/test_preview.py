"""Contact sheets: what is chosen, what is drawn where, and what counts as certainly wrong."""

import dataclasses
import re
import shutil
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from support.builds import SMALL, begun, have, seal
from support.toy import annotation, parameters, write_sample, write_tree

from uvgen import (
    Augmentation,
    AugmentationDraw,
    LandmarkWeights,
    PositionMapper,
    contact_sheet,
    crop_to_image,
    load_model,
    open_shards,
    render_predictions,
)
from uvgen.datasets.augmented import augment_shards
from uvgen.errors import DatasetError, InputError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.images.codecs import save_picture
from uvgen.preview import captions, drawing, layout, page, panels, predictions, problems
from uvgen.preview.drawing import PANEL
from uvgen.preview.layout import THUMB, yaw_histogram
from uvgen.preview.page import mean_texture
from uvgen.preview.problems import label_problems
from uvgen.preview.sample_view import SampleView
from uvgen.preview.selection import spread
from uvgen.progress import shown_on
from uvgen.shards.places import SamplePlaces
from uvgen.shards.reader import ShardReader


@pytest.fixture(scope="module")
def shards(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preview")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", dataclasses.replace(SMALL, size=64))
    return folder / "shards"


@pytest.fixture
def reader(shards: Path) -> ShardReader:
    return open_shards(shards)


@pytest.fixture
def texels(reader: ShardReader) -> Any:
    return reader.constants["landmark_texels"]


class Changed(ShardReader):
    """A data set whose samples are changed as they are read."""

    change: Any = None

    def __getitem__(self, key: Any) -> Any:
        sample = super().__getitem__(key)
        return {**sample, **type(self).change(sample)}


def changed(shards: Path, change: Any) -> ShardReader:
    reader = open_shards(shards)
    reader.__class__ = type("Changed", (Changed,), {"change": staticmethod(change)})
    return reader


def face_of(reader: ShardReader, key: int = 0, **changes: Any) -> SampleView:
    constants = reader.constants
    return SampleView.of({**reader[key], **changes}, constants["coverage"], constants["weight_mask"])


def flat_face(size: int = 64, n_texels: int = 33) -> SampleView:
    """A map that lies flat over the crop: texel (row, column) at a place proportional to it."""
    place = np.linspace(0, size - 1, n_texels, dtype=np.float32)
    x, y = np.meshgrid(place, place)
    position_map = np.stack([x, y, np.zeros_like(x)], axis=-1)
    crop = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    everywhere = np.ones((n_texels, n_texels), bool)
    return SampleView.of(
        {"image": crop, "posmap": position_map, "crop_pose": np.zeros(7), "name": "flat"}, everywhere, everywhere
    )


def test_contact_sheet_twice_gives_the_same_bytes_and_no_problems(reader: ShardReader, shards: Path) -> None:
    sheet, again = contact_sheet(reader, 3), contact_sheet(open_shards(shards), 3)
    np.testing.assert_array_equal(sheet.picture, again.picture, strict=True)
    assert sheet.names == again.names and len(set(sheet.names)) == 3
    assert sheet.problems == ()
    assert sheet.picture.dtype == np.uint8 and sheet.picture.shape[2] == 3


def test_contact_sheet_rows_go_from_the_smallest_yaw_to_the_largest(reader: ShardReader) -> None:
    yaw = dict(zip(reader.names, reader.column("pose")[:, 1], strict=True))
    shown = [yaw[name] for name in contact_sheet(reader, 5).names]
    assert shown == sorted(shown)


@pytest.mark.parametrize("n", [1, 2, pytest.param(24, marks=pytest.mark.slow)])
def test_contact_sheet_grows_by_a_row_a_sample(reader: ShardReader, n: int) -> None:
    one, sheet = contact_sheet(reader, 1).picture, contact_sheet(reader, n)
    assert len(sheet.names) == min(n, len(reader))
    assert sheet.picture.shape[1] == one.shape[1]
    grown = sheet.picture.shape[0] - one.shape[0]
    assert PANEL * (len(sheet.names) - 1) < grown + 1 <= 1.25 * PANEL * (len(sheet.names) - 1) + 1


def test_contact_sheet_of_many_samples_is_no_wider_than_a_screen_and_repeats_its_titles(
    reader: ShardReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    text = layout.ImageDraw.ImageDraw.text

    def record(self: Any, place: Any, words: str, *rest: Any, **options: Any) -> None:
        drawn.append(words)
        text(self, place, words, *rest, **options)

    monkeypatch.setattr(layout.ImageDraw.ImageDraw, "text", record)
    repeated = [reader.names[k % len(reader)] for k in range(24)]
    assert contact_sheet(reader, names=repeated).picture.shape[1] <= 1920
    assert drawn.count("crop") == 4


def test_compose_breaks_long_captions_into_lines_within_the_margins() -> None:
    panel = Image.new("RGB", (PANEL, PANEL), (0, 0, 0))
    name, problem = "IBUG/" + "long_" * 60, "the label is far from the annotation, as this says at length"
    thumb = panel.resize((THUMB, THUMB))
    header = layout.Header("title " * 40, ("a line of the header " * 20,), "verdict " * 60, True, ((thumb, "x"),))
    short = layout.compose(header, ("one", "two", "three"), [layout.Row("name", "remark", (), (panel,) * 3)])
    sheet = layout.compose(header, ("one", "two", "three"), [layout.Row(name, "remark", (problem,) * 4, (panel,) * 3)])
    pixels = np.asarray(sheet)
    assert (pixels[:, -20:] == drawing.PAPER).all() and (pixels[:, :20] == drawing.PAPER).all()
    assert sheet.height > short.height  # further lines
    black = (pixels == 0).all(axis=2)
    rows = np.flatnonzero(black.sum(axis=1) >= 3 * PANEL)
    assert len(rows) == PANEL and rows[-1] - rows[0] == PANEL - 1  # nothing is written over the pictures


def test_documented_numbers_are_those_of_the_sheet(reader: ShardReader) -> None:
    text = (Path(__file__).parents[2] / "docs/preview.md").read_text(encoding="utf-8")

    def number(pattern: str) -> float:
        (found,) = re.findall(pattern, text)
        return float(found)

    assert number(r"takes 1 to (\d+)") == page.MOST
    assert number(r"the sheet is (\d+) px wide") == contact_sheet(reader, 1).picture.shape[1]
    assert number(r"eyes and mouth, ([\d.]+) times as large") == panels._ZOOM
    assert number(r"turned by (\d+)°") == panels.TURN_DEG
    assert number(r"and up to (\d+) others") == page._MEAN_SAMPLES
    assert number(r"apart than (\d+)% of the crop") == 100 * problems._MOVED
    assert number(r"more than (\d+)% of the face's size") == 100 * captions.HIGH_NME


def test_wrapped_lines_hold_all_words_in_order_and_are_no_wider_than_asked() -> None:
    words = [f"word{k}" for k in range(40)]
    lines = layout._wrapped(
        [(" ".join(words[:9]), (0, 0, 0)), ("", (1, 1, 1)), (" ".join(words[9:]), (2, 2, 2))], 19, 300
    )
    assert [text for line in lines for _, text, _ in line] == words
    assert len(lines) > 5
    assert all(x + layout._font(19).getlength(text) <= 300 for line in lines for x, text, _ in line)


@pytest.mark.parametrize(("filled", "words"), [
    ([], "coverage 100%"), ([(7, 100)], "99.9%, 1 filled"), ([(0, k) for k in range(256)], "99.6%, 256 filled"),
])  # fmt: skip
def test_coverage_panel_shows_the_last_filled_texel_and_a_number_where_there_is_none(
    filled: list[tuple[int, int]], words: str
) -> None:
    coverage = np.ones((256, 256), bool)
    for texel in filled:
        coverage[texel] = False
    assert captions.covered(coverage) == words
    picture = np.asarray(panels.coverage_panel(coverage, THUMB))
    dark = (picture == 40).all(axis=2)
    if filled:
        assert dark[round(filled[0][0] * THUMB / 256), round(filled[0][1] * THUMB / 256)]
        assert not dark[THUMB // 2 :].any()
    else:
        assert not dark.any() and (picture < 60).any()  # the number's ink


def test_contact_sheet_shows_named_samples_in_the_order_given(reader: ShardReader) -> None:
    wanted = [reader.names[4], reader.names[1]]
    assert contact_sheet(reader, names=wanted).names == tuple(wanted)
    with pytest.raises(DatasetError, match=r"no sample IBUG/none; names look like AFW/"):
        contact_sheet(reader, names=["IBUG/none"])


@pytest.mark.parametrize(("options", "message"), [
    ({"n_samples": 0}, "n_samples: 0, expected 1 to 24"), ({"n_samples": 25}, "n_samples: 25, expected 1 to 24"),
    ({"names": ["a"] * 25}, "names: 25 samples, expected 0 to 24"), ({"every": 0}, "every: 0 texels, expected 1"),
    ({"names": "IBUG/a"}, r"names: 'IBUG/a', expected a list of names, such as \['IBUG/a'\]"),
])  # fmt: skip
def test_contact_sheet_refuses_numbers_out_of_range(reader: ShardReader, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        contact_sheet(reader, **options)


def test_contact_sheet_of_a_set_without_samples_says_so(reader: ShardReader) -> None:
    reader._pool.entries, reader._places = [], SamplePlaces([])
    with pytest.raises(DatasetError, match="holds no sample to show"):
        contact_sheet(reader)


def test_predictions_for_a_set_without_samples_are_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="begun: holds no sample to show"):
        render_predictions(begun(shards, tmp_path / "begun"), tmp_path, tmp_path / "sheet.png")


def test_predictions_for_a_set_without_maps_ask_for_the_model(model_path: Path, tmp_path: Path) -> None:
    have(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "lean", dataclasses.replace(SMALL, maps="none"))
    name = open_shards(tmp_path / "lean").names[0]
    path = tmp_path / "predicted" / f"{name}.npy"
    path.parent.mkdir(parents=True)
    np.save(path, np.zeros((48, 48, 3), np.float32))
    with pytest.raises(DatasetError, match="lean: stores no maps, expected maps or a model; give the model"):
        render_predictions(tmp_path / "lean", tmp_path / "predicted", tmp_path / "sheet.png")


def test_predictions_of_bool_are_refused(shards: Path, tmp_path: Path) -> None:
    reader = open_shards(shards)
    size = len(reader.constants["coverage"])
    for name in reader.names:
        path = tmp_path / "predicted" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.ones((size, size, 3), bool))
    with pytest.raises(DatasetError, match=r"\.npy: bool \(\d+, \d+, 3\), expected a position map"):
        render_predictions(shards, tmp_path / "predicted", tmp_path / "sheet.png")


def test_contact_sheet_of_a_map_with_nan_names_the_sample(shards: Path) -> None:
    broken = changed(shards, lambda sample: {"posmap": sample["posmap"] * np.nan})
    with pytest.raises(DatasetError, match=r"_1_0: its map holds NaN"):
        contact_sheet(broken, 1)


@pytest.mark.slow
def test_contact_sheet_of_augmented_samples_says_what_was_done(shards: Path, model: Any, tmp_path: Path) -> None:
    augmentation = Augmentation(rotation_deg=(-45, 45), scale=(0.9, 1.2), flip=0.5, occlusion=0.5)
    augment_shards(shards, tmp_path / "copies", augmentation, model=model)
    reader = open_shards(tmp_path / "copies")
    constants = reader.constants
    for sample in reader:
        draw = AugmentationDraw.from_json(sample["augmentation"])
        pitch, yaw, roll = (f"{round(float(angle)):+d}°" for angle in shown_angles_deg(sample, constants, model))
        row = captions.row_of(sample, SampleView.of(sample, constants["coverage"], constants["weight_mask"]),
                           constants["landmark_texels"], LandmarkWeights.of_constants(constants), 4)  # fmt: skip
        assert f"yaw {yaw}   pitch {pitch}   roll {roll}" in row.remark
        assert f"augmented: rotated {draw.rotation_deg:+.0f}°, scaled {draw.scale:.2f}" in row.remark
        assert ("mirrored" in row.remark) == draw.flip and ("occluded" in row.remark) == bool(draw.occluders)
    assert {bool(sample["flipped"]) for sample in reader} == {False, True}
    assert contact_sheet(reader, 9).problems == ()


def shown_angles_deg(sample: dict[str, Any], constants: Any, model: Any) -> NDArray[np.float64]:
    """Pitch, yaw and roll of the head in the picture, from its map alone: the rotation that best takes the face of
    the model, with the sample's parameters, mirrored where it is, to the texels. In the head's frame y is up."""
    size = len(sample["posmap"])
    upright = np.array([[0, 0, 0, 0, 0, 0, 1e-3]])
    mapper = PositionMapper(model, size, crop_size=64)
    flipped = np.array([sample["flipped"]])
    own = mapper(sample["shape"][None], sample["expression"][None], upright, np.eye(3), 64, flipped=flipped)[0]
    cloud = [points[constants["coverage"]].astype(np.float64) * [1, -1, 1] for points in (own, sample["posmap"])]
    centered = [points - points.mean(axis=0) for points in cloud]
    left, _, right = np.linalg.svd(centered[1].T @ centered[0])
    rotation = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    pitch, yaw = np.arctan2(rotation[1, 2], rotation[2, 2]), -np.arcsin(rotation[0, 2])
    return np.rad2deg([pitch, yaw, np.arctan2(rotation[0, 1], rotation[0, 0])])


def test_contact_sheet_of_a_set_without_images_says_so(reader: ShardReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(reader), "fields", {"posmap": ((48, 48, 3), np.uint16)})
    with pytest.raises(DatasetError, match="has no images to show"):
        contact_sheet(reader, 1)


def test_contact_sheet_with_another_model_says_so(reader: ShardReader, model_path: Path) -> None:
    model = load_model(model_path)
    assert contact_sheet(reader, 1, model=model).problems == ()
    other = dataclasses.replace(model, name="other.h5", shape_std=2 * model.shape_std)
    assert contact_sheet(reader, 1, model=other).problems == ("other.h5 is not the model that the set was built with",)


@pytest.mark.slow
def test_contact_sheet_of_a_set_without_maps_needs_its_model(
    model_path: Path, reader: ShardReader, tmp_path: Path
) -> None:
    config = dataclasses.replace(SMALL, size=64, maps="none", image_codec="jpeg")
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "shards", config)
    with pytest.raises(DatasetError, match=r"stores no maps, expected maps or a model; open it with"):
        contact_sheet(open_shards(tmp_path / "shards"))
    sheet = contact_sheet(open_shards(tmp_path / "shards", model_path), 2)
    assert sheet.names == contact_sheet(reader, 2).names and sheet.problems == ()


def test_contact_sheet_with_a_mask_of_zeros_draws_the_coverage(shards: Path) -> None:
    reader = open_shards(shards)
    zeros = {**reader.constants, "weight_mask": np.zeros((48, 48), np.float32)}
    reader.__class__ = type("Zeros", (ShardReader,), {"constants": property(lambda self: zeros)})
    assert contact_sheet(reader, 1).problems == ()
    face = face_of(reader)
    assert face.face.any()
    np.testing.assert_array_equal(face.face, face.coverage)


@pytest.mark.parametrize(("change", "problem"), [
    (lambda s: {"posmap": np.ascontiguousarray(s["posmap"][:, ::-1])}, "inside out"),
    pytest.param(lambda s: {"posmap": np.ascontiguousarray(s["posmap"].transpose(1, 0, 2))}, "inside out",
                 marks=pytest.mark.slow),
    pytest.param(lambda s: {"posmap": s["posmap"] * np.float32([1, 1, -1])}, "inside out", marks=pytest.mark.slow),
    (lambda s: {"posmap": s["posmap"] + np.float32([5, 0, 0])}, r"landmarks are 5\.\d px apart"),
    (lambda s: {"posmap": s["posmap"] + np.float32([50, 0, 0]), "landmarks": s["landmarks"] + np.float32([50, 0, 0])},
     "of 68 points lie outside the crop"),
])  # fmt: skip
def test_contact_sheet_reports_labels_that_cannot_be_right(shards: Path, change: Any, problem: str) -> None:
    reader = changed(shards, change)
    sheet = contact_sheet(reader, 6)
    for name in sheet.names:
        assert any(line.startswith(f"{name}: ") and re.search(problem, line) for line in sheet.problems), name


@pytest.mark.slow
def test_label_problems_of_right_labels_are_none_at_any_size(model_path: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    for size, uv_size in ((64, 256), (256, 64), (128, 17)):
        config = dataclasses.replace(SMALL, size=size, uv_size=uv_size, shard_size=9)
        have(tree, model_path, tmp_path / f"{size}", config)
        reader = open_shards(tmp_path / f"{size}")
        for k, sample in enumerate(reader):
            assert not label_problems(
                face_of(reader, k), sample["landmarks"], LandmarkWeights.of_constants(reader.constants)
            ), (size, uv_size)  # fmt: skip


def test_spread_covers_the_range_of_yaw_though_most_samples_are_frontal() -> None:
    rng = np.random.default_rng(1)
    yaws = np.concatenate([rng.normal(0, 0.05, 995), [-1.5, -1.0, 0.9, 1.4, 1.5]])
    names = [f"s{k}" for k in range(1000)]
    chosen = spread(yaws, names, 6, seed=0)
    assert yaws[chosen[0]] < -1.4 and yaws[chosen[-1]] > 1.3
    assert len(set(chosen)) == 6 and (np.diff(yaws[chosen]) > 0).all()


def test_spread_depends_on_the_seed_and_not_on_the_order() -> None:
    rng = np.random.default_rng(2)
    yaws, names = rng.uniform(-1, 1, 200), [f"s{k}" for k in range(200)]
    order = rng.permutation(200)
    chosen = [names[k] for k in spread(yaws, names, 8, seed=0)]
    assert [names[order[k]] for k in spread(yaws[order], [names[k] for k in order], 8, seed=0)] == chosen
    assert [names[k] for k in spread(yaws, names, 8, seed=1)] != chosen


def test_spread_of_one_long_name_among_many_takes_memory_for_each_name_alone() -> None:
    names = ["x" * 65_000, *(f"s{k}" for k in range(20_000))]
    tracemalloc.start()
    chosen = spread(np.zeros(len(names)), names, 3, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(chosen) == 3 and peak < 50_000_000


@pytest.mark.parametrize("yaws", [np.zeros(9), np.array([0.1]), np.array([-1.0, 1.0])])
def test_spread_of_few_or_equal_yaws_takes_each_sample_once(yaws: Any) -> None:
    chosen = spread(yaws, [f"s{k}" for k in range(len(yaws))], 5, seed=3)
    assert len(chosen) == len(set(chosen)) == min(5, len(yaws))


def test_landmark_colors_change_sides_under_mirroring() -> None:
    sides = drawing.landmark_colors()
    swapped = {
        drawing.RIGHT: drawing.LEFT,
        drawing.LEFT: drawing.RIGHT,
        drawing.MIDDLE: drawing.MIDDLE,
    }
    assert [swapped[sides[k]] for k in LANDMARK_MIRROR] == sides
    assert sides[0] == sides[36] == drawing.RIGHT and sides[16] == sides[45] == drawing.LEFT


def test_draw_landmarks_puts_each_dot_on_its_point() -> None:
    grid = np.stack(np.meshgrid(np.linspace(20, 235, 9), np.linspace(20, 235, 8)), axis=-1).reshape(-1, 2)[:68]
    grid += np.random.default_rng(0).uniform(-1, 1, grid.shape)
    drawn = drawing.draw_landmarks(Image.new("RGB", (PANEL, PANEL)), grid, np.ones(68, bool))
    for point, side in zip(grid, drawing.landmark_colors(), strict=True):
        x, y = np.rint(point).astype(int)
        np.testing.assert_allclose(np.asarray(drawn)[y, x], side, atol=2)  # rounding of the averages


def test_dots_are_centered_on_their_points_to_an_eighth_of_a_pixel() -> None:
    for x, y in ((100.0, 50.0), (100.5, 50.25), (99.9, 50.7)):
        layer = Image.new("RGBA", (PANEL * 4, PANEL * 4))
        drawing.draw_dot(
            drawing.ImageDraw.Draw(layer), drawing.fine_points(np.array([[x, y]]))[0], 3, (255, 255, 255, 255)
        )
        alpha = np.asarray(layer.reduce(4))[..., 3].astype(float)
        rows, columns = np.indices(alpha.shape)
        assert abs((alpha * columns).sum() / alpha.sum() - x) < 0.13
        assert abs((alpha * rows).sum() / alpha.sum() - y) < 0.13


def spot(x: int, y: int, size: int = 64) -> NDArray[np.uint8]:
    """A dark crop with a bright pixel."""
    crop = np.zeros((size, size, 3), np.uint8)
    crop[y, x] = 255
    return crop


def centroid(picture: Image.Image) -> NDArray[np.float64]:
    """Where a picture is bright, (x, y)."""
    light = np.asarray(picture).astype(float).sum(axis=2)
    rows, columns = np.indices(light.shape)
    return np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()


@pytest.mark.parametrize("size", [64, 256, 300])
def test_face_points_lie_on_the_pixels_that_they_label(size: int) -> None:
    x, y = size // 5, size // 2
    face = dataclasses.replace(flat_face(size, size), crop=spot(x, y, size))
    np.testing.assert_allclose(
        centroid(panels.crop_panel(face)), face.points[y, x, :2], atol=0.06
    )  # 8 bits cut the overshoot


def scattered_texels() -> NDArray[np.int64]:
    """68 texels of a 33 × 33 map, not symmetric in rows and columns, no two of them close."""
    places = np.stack(np.meshgrid(np.arange(2, 32, 3), np.arange(1, 22, 3)), axis=-1).reshape(-1, 2)
    return np.random.default_rng(0).permutation(places)[:68]


def at_texels(texels: NDArray[np.integer[Any]], size: int) -> LandmarkWeights:
    """Landmarks that lie on texels."""
    indices = np.repeat((texels @ [size, 1])[:, None], 4, axis=1).astype(np.int32)
    return LandmarkWeights(size, indices, np.tile(np.float32([1, 0, 0, 0]), (68, 1)))


def test_landmark_panel_shows_the_points_that_are_read_from_the_map() -> None:
    face, texels = flat_face(), scattered_texels()
    picture = np.asarray(panels.landmark_panel(face, texels, at_texels(texels, 33)))
    for (row, column), side in zip(texels, drawing.landmark_colors(), strict=True):
        x, y = np.rint(face.points[row, column, :2]).astype(int)  # a flat map: x grows with the column
        np.testing.assert_allclose(picture[y, x], side, atol=3)
        assert x == pytest.approx(column * 8, abs=4) and y == pytest.approx(row * 8, abs=4)


def test_zoom_panel_enlarges_picture_and_points_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def record(part: Image.Image, points: Any, seen: Any, annotated: Any) -> Image.Image:
        drawn.append((part, points))
        np.testing.assert_allclose(annotated, points, atol=1e-4)
        return part

    monkeypatch.setattr(panels, "draw_landmarks", record)
    face = dataclasses.replace(flat_face(64, 64), crop=spot(30, 20))
    texels = np.full((68, 2), [20, 30])  # row and column
    texels[37:48] += np.array([[1, 2]]) * np.arange(-5, 6)[:, None]  # eyes around the bright pixel
    face = dataclasses.replace(face, annotated=face.points[texels[:, 0], texels[:, 1], :2])
    panels.zoom_panel(face, texels, at_texels(texels, 64))
    (eyes, points), (mouth, mouth_points) = drawn
    np.testing.assert_allclose(centroid(eyes), points[36], atol=0.05)
    np.testing.assert_allclose(centroid(mouth), mouth_points[60], atol=0.05)
    scale = (points[38] - points[37]) / (face.points[tuple(texels[38])][:2] - face.points[tuple(texels[37])][:2])
    np.testing.assert_allclose(scale, 2.2, rtol=1e-5)


def test_draw_landmarks_puts_a_cross_on_each_annotated_point_that_is_there() -> None:
    points = np.full((68, 2), 10.0)
    annotated = np.full((68, 2), np.nan)
    annotated[30] = 60.0, 40.0
    sample = Image.new("RGB", (100, 80))
    with_cross = np.asarray(drawing.draw_landmarks(sample, points, np.ones(68, bool), annotated)).astype(int)
    without = np.asarray(drawing.draw_landmarks(sample, points, np.ones(68, bool)))
    changed = np.argwhere(np.abs(with_cross - without).sum(axis=2) > 100)
    np.testing.assert_allclose(changed.mean(axis=0), [40, 60], atol=0.3)
    assert with_cross[40, 60, 1] > 150 and len(changed) < 30


def test_draw_guide_lies_on_the_landmark_texels() -> None:
    texels = scattered_texels()
    picture = np.asarray(drawing.draw_guide(Image.new("RGB", (PANEL, PANEL)), texels, 33)).sum(axis=2)
    for row, column in ((texels[17:60] + 0.5) * PANEL / 33).astype(int):
        assert picture[row - 1 : row + 2, column - 1 : column + 2].max() > 250
    assert (picture > 250).mean() < 0.2


@pytest.mark.parametrize(("yaw", "side"), [(0.5, 1), (0.0, 1), (-0.5, -1)])
def test_turned_panel_turns_against_the_yaw(yaw: float, side: int) -> None:
    """What is raised toward the viewer moves to the right where the face looks to the left, and back."""
    face = dataclasses.replace(
        flat_face(64, 64), crop=np.zeros((64, 64, 3), np.uint8), angles_rad=np.array([0, yaw, 0])
    )
    face.crop[30:34, 30:34] = 255
    raised = face.points.copy()
    raised[24:40, 24:40, 2] += 60
    turned = np.asarray(panels.turned_panel(dataclasses.replace(face, points=raised)))
    surface = (turned != drawing.EMPTY).any(axis=2)
    bright = (turned.min(axis=2) > 150) & surface
    middle = np.flatnonzero(surface.any(axis=0))[[0, -1]].mean()
    assert 10 < side * (np.nonzero(bright)[1].mean() - middle) < 40


def test_map_panel_of_a_flat_map_shows_the_crop_s_coordinates_and_its_grid() -> None:
    picture = np.asarray(panels.map_panel(flat_face())).astype(float)
    middle = picture[PANEL // 16 :: PANEL // 8, PANEL // 16 :: PANEL // 8]  # between the lines
    expected = (np.arange(8) + 0.5) / 8 * 255
    np.testing.assert_allclose(middle[:, :, 0], np.tile(expected, (8, 1)), atol=6)  # 63/64: texels are at the rim
    np.testing.assert_allclose(middle[:, :, 1], np.tile(expected[:, None], (1, 8)), atol=6)
    row = picture[PANEL // 16, :, 2]  # blue is z, 0 but for the lines
    inner = row[8:-8] > 60
    assert np.count_nonzero(np.diff(inner.astype(int)) == 1) == 7


def test_dense_panel_dots_are_every_kth_texel_and_hidden_ones_differ() -> None:
    face = flat_face()
    base, drawn = np.asarray(panels.dense_panel(face, 1000)), np.asarray(panels.dense_panel(face, 8))
    assert 10 < (np.abs(drawn.astype(int) - base).sum(axis=2) > 60).sum() < 16 * 16
    hidden = dataclasses.replace(face, seen=np.zeros_like(face.seen))
    assert (np.asarray(panels.dense_panel(hidden, 8)) != drawn).any()


def test_texture_panel_of_a_flat_map_is_the_crop() -> None:
    face = flat_face()
    colors, valid, seen = panels.texture(face)
    assert valid.all() and seen[4:-4, 4:-4].all()
    crop = np.asarray(panels.crop_panel(face)).astype(float)
    smooth = [np.asarray(Image.fromarray(np.uint8(p)).resize((16, 16), Image.Resampling.BOX)) for p in (colors, crop)]
    assert np.abs(smooth[0].astype(float) - smooth[1]).mean() < 12  # texels' centers lie on the rim, pixels' do not


def test_turned_panel_of_a_mirrored_map_is_dark(reader: ShardReader) -> None:
    sample = reader[2]
    right = np.asarray(panels.turned_panel(face_of(reader, 2)))
    wrong = np.asarray(panels.turned_panel(face_of(reader, 2, posmap=np.ascontiguousarray(sample["posmap"][:, ::-1]))))
    surface = (wrong != drawing.EMPTY).any(axis=2)
    assert surface.mean() > 0.1
    assert np.median(wrong[surface]) < 70 < np.median(right[(right != drawing.EMPTY).any(axis=2)])


def test_turned_panel_holds_the_whole_mesh_however_large(reader: ShardReader) -> None:
    huge = np.asarray(panels.turned_panel(face_of(reader, posmap=reader[0]["posmap"] * 30)))
    rim = np.concatenate([huge[:3].reshape(-1, 3), huge[-3:].reshape(-1, 3), huge[:, 0], huge[:, -1]])
    assert (rim == drawing.EMPTY).all()


def test_mean_texture_averages_what_is_seen_and_is_pale_elsewhere() -> None:
    colors = np.zeros((2, 4, 4, 3), np.float32)
    colors[0], colors[1] = 100, 200
    seen = np.zeros((2, 4, 4), bool)
    seen[0, :2], seen[1, :1] = True, True
    mean = np.asarray(mean_texture([(colors[k], seen[k], seen[k]) for k in range(2)]))
    assert (mean[0] == 150).all() and (mean[1] == 100).all() and (mean[2:] == drawing.EMPTY).all()


def test_ramp_goes_from_dark_to_light() -> None:
    brightness = drawing.ramp(np.linspace(-0.5, 1.5, 30)).astype(int).sum(axis=1)
    assert (np.diff(brightness) >= 0).all() and brightness[0] == sum(drawing.NEAR_FAR[0])


def test_yaw_histogram_of_turns_more_or_less_is_the_same() -> None:
    yaws = np.array([-60.0, 10, 170])
    straight, turned = (np.asarray(yaw_histogram(yaws + turn, yaws[:1] + turn)) for turn in (0, 3 * 360))
    np.testing.assert_array_equal(turned, straight)


def test_yaw_histogram_has_bars_where_samples_are() -> None:
    picture = np.asarray(yaw_histogram(np.array([-60.0, -60, 60, 170]), np.array([-60.0])))
    assert picture.shape == (THUMB, THUMB, 3)
    bars = (picture[THUMB - 32] == (128, 146, 170)).all(axis=1)  # a row just above the base
    assert np.count_nonzero(np.diff(bars.astype(int)) == 1) == 3


def test_save_picture_round_trips_and_refuses_other_endings(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    save_picture(picture, tmp_path / "new" / "a.PNG")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "a.PNG")), picture)
    save_picture(picture, tmp_path / "a.jpg")
    assert Image.open(tmp_path / "a.jpg").format == "JPEG"
    with pytest.raises(InputError, match=r"a\.gif: expected a name that ends in \.png or"):
        save_picture(picture, tmp_path / "a.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be written"):
        save_picture(picture, tmp_path / "file" / "a.png")


def test_prediction_sheet_of_the_true_maps_has_no_error_and_of_moved_ones_their_shift(
    reader: ShardReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = []
    compose = predictions.compose
    monkeypatch.setattr(predictions, "compose", lambda header, titles, all_rows: (
        rows.extend(all_rows), compose(header, titles, all_rows))[1])  # fmt: skip
    maps = np.stack([reader[k]["posmap"] for k in (0, 3)])
    moved = maps + np.float32([3, 4, 0])
    sheet = predictions.prediction_sheet(reader, [0, 3], moved)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert (predictions.prediction_sheet(reader, [0, 3], maps) != sheet).any()
    for k, row in zip((0, 3), rows, strict=False):
        points = reader[k]["landmarks"][:, :2]
        error = 5 / np.sqrt(np.prod(np.ptp(points, axis=0)))  # all points are 5 px off
        assert row.name == reader.names[k] and float(row.remark.split()[1][:-1]) == pytest.approx(100 * error, abs=0.2)
    assert [row.remark for row in rows[2:]] == ["NME 0.0%", "NME 0.0%"]


def test_legend_calls_crosses_what_they_are_on_the_sheet(reader: ShardReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The true landmarks beside predictions, annotated ones on a contact sheet."""
    drawn = list[str]()
    monkeypatch.setattr(layout, "_draw_legend", lambda draw, x, y, crosses: drawn.append(crosses))
    predictions.prediction_sheet(reader, [0], reader[0:1]["posmap"])
    contact_sheet(reader, n_samples=1)
    assert drawn == ["true", "annotated"]


def test_legend_has_every_color_of_dots() -> None:
    """Also the white ones of the midline."""
    picture = Image.new("RGB", (700, 40), layout.PAPER)
    layout._draw_legend(ImageDraw.Draw(picture), 10, 10, "true")
    # the middle of the entries' dots: whatever the paper, each is edged
    row = np.asarray(picture)[19]
    edges = np.flatnonzero((row == layout._INK).all(axis=1))
    inner = {tuple(row[x + 5].tolist()) for x in edges}
    assert {layout.RIGHT, layout.MIDDLE, layout.LEFT} <= inner


def test_contact_sheet_says_what_it_draws(reader: ShardReader) -> None:
    phases = list[tuple[str, int | None, str]]()
    display = SimpleNamespace(
        begin=lambda what, total, first, of: phases.append((what, total, of)), advance=lambda n, starting=False: None
    )
    with shown_on(display):
        contact_sheet(reader, n_samples=2)
    assert ("drawing", 2, "row") in phases and phases[-1][:2] == ("putting the sheet together", None)


def test_prediction_sheet_refuses_other_shapes_and_numbers_that_are_none(reader: ShardReader) -> None:
    maps = np.stack([reader[0]["posmap"]])
    with pytest.raises(InputError, match=r"predicted: float32 \(1, 48, 48, 3\), expected .*\(2, 48, 48, 3\)"):
        predictions.prediction_sheet(reader, [0, 1], maps)
    with pytest.raises(InputError, match=r"predicted: the map of AFW/\S+ holds NaN or infinity"):
        predictions.prediction_sheet(reader, [0], maps * np.nan)
    with pytest.raises(InputError, match=r"true: float32 \(1, 48, 48, 2\)"):
        predictions.prediction_sheet(reader, [0], maps, maps[..., :2])


def test_sheet_leaves_out_annotations_of_another_version(model_path: Any, tmp_path: Any) -> None:
    for photograph in range(2):
        first = parameters(photograph, yaw=0.0)
        for step, yaw in enumerate((0.0, 0.8)):
            content = {**parameters(photograph, yaw=yaw), "pt2d": annotation(first)}
            write_sample(tmp_path / "data/AFW", f"AFW_{photograph}_1_{step}", photograph, **content)
    have(tmp_path / "data", model_path, tmp_path / "out")
    reader = open_shards(tmp_path / "out")
    assert reader.column("label_nme").max() > 0.05
    sheet = contact_sheet(reader)
    assert len(sheet.names) == 4 and not any("away from the annotation" in problem for problem in sheet.problems)
    assert sheet.quality is not None and sheet.quality.warnings == (sheet.quality.repeated,)


@pytest.mark.parametrize(
    "name, drawn",
    [
        ("AFW/AFW_1_0", "AFW/AFW_1_0"),
        ("Urlaub Köln/Größe 1", "Urlaub Koln/Grosse 1"),
        ("Køb Łódź", "Kob Lodz"),
        ("A\u030angstrom", "Angstrom"),
        ("人/a", "\\u4eba/a"),
        ("yaw 30°", "yaw 30°"),
    ],
)
def test_names_are_drawn_in_letters_that_the_font_has(name: str, drawn: str) -> None:
    assert layout.drawable(name) == drawn


def test_predictions_that_predict_wrote_are_drawn_where_they_lie_in_the_crop(shards: Path, tmp_path: Path) -> None:
    # They count in the photograph, unless the photographs were crops.
    sheets = []
    for place, stated in (("a/maps", None), ("b/maps", "auto"), ("c/maps", "whole")):
        folder = tmp_path / place
        for sample in open_shards(shards):
            path = folder / f"{sample['name']}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            in_image = crop_to_image(sample["posmap"].astype(np.float64), sample["image_to_crop"])
            np.save(path, in_image if stated == "auto" else sample["posmap"])
        if stated is not None:
            (folder / "predict.json").write_text(f'{{"format": "uvgen-predict", "crop": "{stated}"}}')
        assert render_predictions(shards, folder, folder / "sheet.png", 1).problems == ()
        with Image.open(folder / "sheet.png") as picture:
            sheets.append(np.asarray(picture).astype(int))
    assert all(np.abs(sheet - sheets[0]).max() < 60 and np.abs(sheet - sheets[0]).mean() < 0.1 for sheet in sheets)


def test_predictions_for_a_sample_whose_landmarks_are_none_name_it(shards: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "damaged"))
    with h5py.File(next(folder.glob("IBUG-*.h5")), "r+") as file:
        file["landmarks"][0] = 0
        name = file["name"][0].decode()
    seal(folder)
    reader = open_shards(folder)
    k = list(reader.names).index(name)
    with pytest.raises(InputError, match=rf"damaged: the landmarks of {name} cannot be compared with"):
        predictions.prediction_sheet(reader, [k], reader[k : k + 1]["posmap"])
