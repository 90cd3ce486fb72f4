"""Synthetic faces: labels that hold to the pixel, files like 300W-LP's, the same bytes always, nobody's data lost."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from support.folders import contents_below

import uvgen.synth.portrait as portrait
from uvgen import (
    PositionMapper,
    RunOptions,
    build_shards,
    find_samples,
    load_model,
    read_annotation,
    read_image,
    verify_shards,
)
from uvgen.datasets.config import BuildConfig
from uvgen.errors import DatasetError, InputError, ModelError, OutputError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.models.morphable import MorphableModel
from uvgen.randomness import keyed_generator
from uvgen.samples.read import Annotation
from uvgen.storage.files import temporary_name
from uvgen.synth import SUBSETS, SynthOptions, render_faces, sample_names
from uvgen.synth.faces import FaceParameters, FaceSource
from uvgen.synth.folder import _in_batches
from uvgen.synth.portrait import Painter
from uvgen.synth.scene import SceneLight

SIZE = 128  # of images where their detail does not matter


@pytest.fixture(scope="module")
def builtin() -> MorphableModel:
    return load_model("builtin")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight faces of the built-in model and their mirror images, in all subsets."""
    out = tmp_path_factory.mktemp("synth") / "faces"
    assert render_faces(out, 8, options=SynthOptions(seed=3)).samples == 16
    return out


def projected(model: MorphableModel, annotation: Annotation, size: int) -> NDArray[np.float64]:
    """Where the repository's own mapper puts the 68 landmarks, (68, 3)."""
    parameters = (annotation.shape[None], annotation.expression[None], annotation.pose[None])
    return PositionMapper(model, 32).image_landmarks(*parameters, size)[0]


# ---- labels


def test_pt2d_is_where_the_parameters_put_the_landmarks(faces: Path, builtin: MorphableModel) -> None:
    samples = find_samples(faces)
    assert len(samples) == 16
    for sample in samples:
        annotation = read_annotation(sample)
        assert annotation.landmarks_2d is not None
        np.testing.assert_allclose(annotation.landmarks_2d, projected(builtin, annotation, 450)[:, :2], atol=1e-3)


def test_flipped_sample_is_the_mirror_image_with_mirrored_labels(faces: Path) -> None:
    for left, right in zip(find_samples(faces / "IBUG"), find_samples(faces / "IBUG_Flip"), strict=True):
        difference = read_image(left).astype(int) - read_image(right)[:, ::-1]
        assert np.abs(difference).mean() < 4  # two JPEGs of one picture, of unlike quality
        original, mirrored = scipy.io.loadmat(left.parameters)["pt2d"], scipy.io.loadmat(right.parameters)["pt2d"]
        # 300W-LP does not re-order mirrored points: column i is what was i; 451 = 450 + 1 in MATLAB's pixels
        np.testing.assert_allclose(mirrored, [451 - original[0], original[1]], atol=1e-3)


def test_mirrored_parameters_give_the_mirrored_surface(builtin: MorphableModel) -> None:
    source, painter = FaceSource(builtin, 5, 450), Painter(builtin, 450)
    face = source.draw("IBUG/one")
    (vertices, mirrored), _ = painter.surfaces([face, source.mirror(face)])
    np.testing.assert_allclose(mirrored, vertices[builtin.mirror] * [-1, 1, 1], atol=0.05)  # µm


def plain_light(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lamp, no backdrop, no clothes, no camera: colors arrive as they are."""
    monkeypatch.setattr(portrait, "draw_color", lambda rng: np.zeros(3, np.float32))
    monkeypatch.setattr(portrait, "draw_backdrop", lambda rng, size, mirrored: np.zeros((size, size, 3), np.float32))
    monkeypatch.setattr(Painter, "_lit", lambda self, points, albedo, *_: 255 * (albedo / np.float32(255)) ** 2.2)
    monkeypatch.setattr(portrait, "photograph", lambda canvas, edges, rng: canvas)


@pytest.mark.parametrize("angles", [(0.1, 0.4, 0.2), (-0.2, -0.9, -0.1)])
@pytest.mark.slow
@pytest.mark.vital
def test_painted_marks_appear_at_the_labels(
    builtin: MorphableModel, angles: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each landmark's vertex is painted in one channel; the spot's center of mass must be where geometry has it.

    A vertex's color fades to nothing at its neighbors. Over a triangle (v, a, b) of area A such a slope weighs A / 3,
    and its center lies at (2 v + a + b) / 4. Only the label itself, v, comes from the repository's mapper.
    """
    plain_light(monkeypatch)
    size, painter = 700, Painter(builtin, 700)
    face = FaceSource(builtin, 3, size).draw("AFW/1")
    face = replace(face, pose=np.array([*angles, 350, 350, 0, 2e-3], np.float32))
    (vertices,), _ = painter.surfaces([face])
    points = by_hand(vertices.astype(np.float64), face.pose.astype(np.float64), size)
    labels = projected(builtin, annotation_of(face), size)[:, :2]
    closing = builtin.mouth_triangles
    triangles = np.concatenate([builtin.triangles, closing])
    errors = []
    for first in range(23):
        group = range(first, 68, 23)
        marks = np.zeros((builtin.n_vertices, 3), np.float32)
        for channel, k in enumerate(group):
            marks[builtin.landmarks[k], channel] = 255
        image = painter.paint(face, vertices, marks, keyed_generator(0, "x"))
        for channel, k in enumerate(group):
            ring = triangles[(triangles == builtin.landmarks[k]).any(axis=1)]
            ring = np.stack([np.roll(t, -int(np.argmax(t == builtin.landmarks[k]))) for t in ring])[:, 1:]
            a, b = points[ring[:, 0]], points[ring[:, 1]]
            u, v = a - labels[k], b - labels[k]
            area = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
            spot = image[..., channel].astype(np.float64)
            if abs(spot.sum() / 255 / (area.sum() / 3) - 1) > 0.1 or area.sum() < 12:  # hidden, or seen edge-on
                continue
            expected = np.average((2 * labels[k] + a + b) / 4, axis=0, weights=area)
            rows, columns = np.nonzero(spot)
            found = np.average(np.stack([columns, rows], 1), axis=0, weights=spot[rows, columns])
            errors.append(found - expected)
    assert len(errors) > 25
    assert np.linalg.norm(errors, axis=1).max() < 0.5
    assert np.abs(np.mean(errors, axis=0)).max() < 0.08  # what two samples per pixel leave; half a pixel would show


def by_hand(points: NDArray[np.float64], pose: NDArray[np.float64], height: int) -> NDArray[np.float64]:
    """Model points to pixels (n, 2), written out from docs/conventions.md."""
    (sp, sy, sr), (cp, cy, cr) = np.sin(pose[:3]), np.cos(pose[:3])
    rx = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    ry = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    rz = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    p = pose[6] * points @ (rx @ ry @ rz).T + pose[3:6]
    return np.stack([p[:, 0] - 1, height - p[:, 1]], axis=1)


def annotation_of(face: FaceParameters) -> Annotation:
    return Annotation(*(np.float64(array) for array in (face.shape, face.expression, face.pose)), None)


def test_silhouette_lies_where_the_mapper_puts_the_mesh(
    builtin: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An independent path: the position map's points fill the painted head, and reach its edges."""
    plain_light(monkeypatch)
    face = FaceSource(builtin, 3, 450).draw("HELEN/three")
    painter = Painter(builtin, 450)
    vertices, _ = painter.surfaces([face])
    white = np.full((builtin.n_vertices, 3), 255, np.float32)
    painter._figure.part[:] = 0  # clothes
    head = painter.paint(face, vertices[0], white, keyed_generator(0, "x"))[..., 0] > 127
    a = annotation_of(face)
    points = PositionMapper(builtin, 256)(a.shape[None], a.expression[None], a.pose[None], np.eye(3), 450)[0, ..., :2]
    columns = np.flatnonzero(head.any(axis=0))
    low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
    assert abs(columns.min() - low[0]) < 1 and abs(columns.max() - high[0]) < 1
    inside = np.rint(points).astype(int).reshape(-1, 2)
    inside = inside[((inside >= 0) & (inside < 450)).all(axis=1)]
    assert head[inside[:, 1], inside[:, 0]].mean() > 0.98


def test_maps_built_from_synthetic_samples_agree_with_their_parameters(
    faces: Path, builtin: MorphableModel, tmp_path: Path
) -> None:
    samples = find_samples(faces, ["IBUG"])
    config = BuildConfig(size=64, uv_size=64)
    result = build_shards(samples, tmp_path / "shards", model=builtin, config=config, root=faces)
    assert (result.samples, result.skipped) == (4, ())
    assert verify_shards(tmp_path / "shards", model=builtin).problems == ()


# ---- files


def variables(path: Path | None) -> dict[str, tuple[tuple[int, ...], str]]:
    assert path is not None
    return {k: (v.shape, v.dtype.str) for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}


@pytest.mark.parametrize(("subset", "fitted"), [("IBUG", "<f8"), ("IBUG_Flip", "<f4")])
def test_parameter_file_has_every_variable_of_300w_lp(faces: Path, subset: str, fitted: str) -> None:
    found = variables(find_samples(faces / subset)[0].parameters)
    assert found == {
        "pt2d": ((2, 68), "<f8"), "roi": ((1, 4), "<i2"), "Illum_Para": ((1, 10), "<f8"), "Color_Para": ((1, 7), "<f4"),
        "Tex_Para": ((12, 1), "<f8"), "Shape_Para": ((32, 1), fitted), "Exp_Para": ((12, 1), fitted),
        "Pose_Para": ((1, 7), "<f4"),
    }  # fmt: skip
    assert "".join(found).startswith("pt2droi")


def test_parameter_file_is_like_a_real_one(faces: Path, reference: Path) -> None:
    counts = {"Tex_Para", "Shape_Para", "Exp_Para"}  # of the model's own components
    for subset, real in (("AFW", "w300lp/AFW"), ("AFW_Flip", "w300lp/AFW_Flip")):
        ours = variables(find_samples(faces / subset)[0].parameters)
        theirs = variables(find_samples(reference / real)[0].parameters)
        assert list(ours) == list(theirs)
        for key in theirs:
            assert ours[key][1] == theirs[key][1], key
            assert key in counts or ours[key][0] == theirs[key][0], key


def test_tree_looks_like_300w_lp(faces: Path) -> None:
    folders = sorted(path.name for path in faces.iterdir() if path.is_dir())
    assert folders == sorted([*SUBSETS, *(f"{subset}_Flip" for subset in SUBSETS)])
    names = [sample.name for sample in find_samples(faces, ["IBUG"])]
    assert names == [f"{folder}/IBUG_image_000{k}_0" for folder in ("IBUG", "IBUG_Flip") for k in (1, 2)]
    assert read_image(find_samples(faces)[0]).shape == (450, 450, 3)


def test_backdrops_are_not_plain(faces: Path) -> None:
    for sample in find_samples(faces, flip=False):
        image = read_image(sample).astype(float)
        corners = np.concatenate([image[:60, :60].reshape(-1, 3), image[:60, -60:].reshape(-1, 3)])
        assert corners.std(axis=0).max() > 2


# ---- what is drawn


def test_poses_expressions_and_skin_span_the_human_range(builtin: MorphableModel) -> None:
    from uvgen.models.builtin import EXPRESSIONS

    source = FaceSource(builtin, 0, 450)
    drawn = [source.draw(f"AFW/{k}") for k in range(600)]
    pitch, yaw, roll = np.rad2deg([face.pose[:3] for face in drawn]).T
    assert np.abs(yaw).max() <= 90.001 and np.abs(yaw).max() > 80
    assert 0.06 < (np.abs(yaw) > 60).mean() < 0.25 and np.median(np.abs(yaw)) < 30 and abs(yaw.mean()) < 6
    assert np.abs(pitch).max() <= 30.001 and np.abs(roll).max() <= 35.001 and roll.std() > 5
    low, high = np.array([item[2:] for item in EXPRESSIONS]).T
    expressions = np.array([face.expression for face in drawn])
    assert (expressions >= low - 1e-6).all() and (expressions <= high + 1e-6).all()
    assert (expressions[:, 0] > 0.3).mean() > 0.03  # open mouths
    cheek = builtin.landmarks[2]
    assert builtin.albedo_basis is not None and builtin.albedo_mean is not None
    skin = builtin.albedo_mean[cheek] + np.array([builtin.albedo_basis[cheek] @ face.albedo for face in drawn])
    assert skin[:, 1].min() < 80 and skin[:, 1].max() > 190
    shape = np.array([face.shape for face in drawn]) / builtin.shape_std
    assert np.abs(shape).max() <= 2.21 and shape.std() > 0.7


def test_face_depends_on_its_name_and_the_seed_alone(builtin: MorphableModel) -> None:
    source = FaceSource(builtin, 1, 450)
    first = source.draw("AFW/1")
    source.draw("AFW/2")
    np.testing.assert_array_equal(source.draw("AFW/1").shape, first.shape)
    assert not np.array_equal(FaceSource(builtin, 2, 450).draw("AFW/1").shape, first.shape)


def test_light_from_the_left_lights_the_left(builtin: MorphableModel) -> None:
    painter = Painter(builtin, 450)
    face = replace(
        FaceSource(builtin, 1, 450).draw("AFW/1"),
        pose=np.array([0, 0, 0, 225, 225, 0, 1.3e-3], np.float32),
        light=SceneLight(0.2, -1.0, np.full(3, 0.2), np.full(3, 0.9), 0.05),
    )
    vertices, albedo = painter.surfaces([face])
    assert albedo is not None
    image = painter.paint(face, vertices[0], albedo[0], keyed_generator(0, "x")).astype(float)
    cheeks = projected(builtin, annotation_of(face), 450)[[2, 14]].astype(int)
    left, right = (image[y - 5 : y + 5, x - 5 : x + 5].mean() for x, y, _ in cheeks + [[12, 0, 0], [-12, 0, 0]])
    assert left > 1.5 * right


def test_any_model_can_be_rendered_also_without_mirror_images_of_all_its_faces(
    model: MorphableModel, tmp_path: Path
) -> None:
    render_faces(tmp_path / "toy", 4, model=model, options=SynthOptions(size=SIZE, subsets=["AFW"]))
    assert FaceSource(model, 0, SIZE).components is None
    for sample in find_samples(tmp_path / "toy"):
        annotation = read_annotation(sample)
        assert annotation.landmarks_2d is not None
        np.testing.assert_allclose(annotation.landmarks_2d, projected(model, annotation, SIZE)[:, :2], atol=1e-3)
    originals, mirrored = (find_samples(tmp_path / "toy" / folder) for folder in ("AFW", "AFW_Flip"))
    for left, right in zip(originals, mirrored, strict=True):
        difference = read_image(left)[:30].astype(int) - read_image(right)[:30, ::-1]
        assert np.abs(difference).mean() < 8  # the same backdrop, mirrored


def test_model_without_albedo_gets_gray_skin(model: MorphableModel, tmp_path: Path) -> None:
    bare = replace(model, albedo_mean=None, albedo_basis=None, albedo_std=None, path=None)
    render_faces(tmp_path, 1, model=bare, options=SynthOptions(size=SIZE, subsets=["AFW"], flip=False))
    (sample,) = find_samples(tmp_path)
    assert variables(sample.parameters)["Tex_Para"][0][0] == 0
    x, y = np.rint(read_annotation(sample).landmarks_2d[30]).astype(int)  # type: ignore[index]
    nose = read_image(sample)[y - 4 : y + 4, x - 4 : x + 4].reshape(-1, 3).mean(axis=0)
    assert np.ptp(nose) < 0.3 * nose.mean()  # but for the light's tint


@pytest.mark.slow
def test_stand_in_model_is_rendered(stand_in_model: MorphableModel, tmp_path: Path) -> None:
    render_faces(tmp_path, 2, model=stand_in_model, options=SynthOptions(subsets=["AFW"]))
    for sample in find_samples(tmp_path):
        annotation = read_annotation(sample)
        assert annotation.landmarks_2d is not None
        np.testing.assert_allclose(
            annotation.landmarks_2d, projected(stand_in_model, annotation, 450)[:, :2], atol=1e-2
        )
        assert variables(sample.parameters)["Shape_Para"][0] == (199, 1)


# ---- the same bytes


def small(
    out: Path, count: int = 6, *, model: MorphableModel | str = "builtin", run: RunOptions | None = None, **of: Any
) -> dict[str, str]:
    options = SynthOptions(**{"size": SIZE, "subsets": ["AFW", "IBUG"], **of})
    render_faces(out, count, model=model, options=options, run=run or RunOptions())
    return contents_below(out)


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    assert small(tmp_path / "one", 20) == small(tmp_path / "two", 20, run=RunOptions(2))


def test_run_that_fails_before_its_index_is_there_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DatasetError, match="No space left"):
            small(tmp_path / "out", 1, subsets=["IBUG"], flip=False)
    assert small(tmp_path / "out", 1, subsets=["IBUG"], flip=False)


@pytest.mark.slow
def test_bytes_do_not_depend_on_count_subsets_or_interruptions(tmp_path: Path) -> None:
    whole = small(tmp_path / "whole")
    assert small(tmp_path / "grown", 2) != whole
    assert small(tmp_path / "grown") == whole
    (tmp_path / "grown/AFW/AFW_image_0002_0.jpg").unlink()
    (tmp_path / "grown/IBUG_Flip/IBUG_image_0001_0.mat").write_bytes(b"cut short")
    jpeg = tmp_path / "grown/IBUG/IBUG_image_0003_0.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[:-100])
    zeroed = tmp_path / "grown/AFW_Flip/AFW_image_0003_0.mat"  # as a power failure may leave it
    zeroed.write_bytes(bytes(zeroed.stat().st_size))
    (tmp_path / "grown" / temporary_name("AFW_image_0001_0.jpg")).write_bytes(b"left by a killed run")
    assert small(tmp_path / "grown") == whole
    alone = small(tmp_path / "alone", 3, subsets=["IBUG"], flip=False)
    assert alone == {key: whole[key] for key in whole if key.startswith("IBUG/") or key == "synth.json"}


def test_another_seed_gives_other_faces(tmp_path: Path) -> None:
    first, second = small(tmp_path / "a", 1, seed=1), small(tmp_path / "b", 1, seed=2)
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_parameter_file_names_no_date(tmp_path: Path) -> None:
    small(tmp_path, 1)
    header = (tmp_path / "AFW/AFW_image_0001_0.mat").read_bytes()[:116].decode()
    assert header.startswith("MATLAB 5.0 MAT-file, made by uvgen") and "Created" not in header


def test_finished_samples_are_kept(tmp_path: Path) -> None:
    small(tmp_path, 2)
    path = tmp_path / "AFW/AFW_image_0001_0.jpg"
    before = path.stat().st_mtime_ns
    assert render_faces(tmp_path, 4, options=SynthOptions(size=SIZE, subsets=["AFW", "IBUG"])).new_samples == 4
    assert path.stat().st_mtime_ns == before
    assert render_faces(tmp_path, 4, options=SynthOptions(size=SIZE, subsets=["AFW", "IBUG"])).new_samples == 0


# ---- refusals


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "AFW").mkdir()
    (tmp_path / "AFW/AFW_image_0001_0.jpg").write_bytes(b"a photograph")
    before = contents_below(tmp_path)
    with pytest.raises(DatasetError, match=r"holds something else \(AFW\)"):
        render_faces(tmp_path, 1, options=SynthOptions(size=SIZE), overwrite=overwrite)
    assert contents_below(tmp_path) == before and sorted(p.name for p in tmp_path.iterdir()) == ["AFW"]


@pytest.mark.parametrize("content", ["[]", "{}", "not JSON", '{"format": "other"}'])
def test_foreign_index_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "synth.json").write_text(content)
    with pytest.raises(DatasetError, match=r"synth\.json: (not made by|cannot be read)"):
        render_faces(tmp_path, 1, options=SynthOptions(size=SIZE), overwrite=True)
    assert (tmp_path / "synth.json").read_text() == content


@pytest.mark.parametrize(
    ("change", "match"),
    [({"seed": 9}, "seed = 0, now it is 9"), ({"size": 96}, "size = 128"), ({}, "1 sample more")],
)
def test_folder_made_otherwise_is_refused_until_overwritten(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    options = SynthOptions(size=SIZE, subsets=["AFW"], flip=False)
    count = 2 if change else 1
    render_faces(tmp_path, 2, options=options)
    (tmp_path / "AFW/notes.txt").write_text("mine")
    before = contents_below(tmp_path)
    with pytest.raises(DatasetError, match=match):
        render_faces(tmp_path, count, options=replace(options, **change))
    assert contents_below(tmp_path) == before
    render_faces(tmp_path, count, options=replace(options, **change), overwrite=True)
    after = contents_below(tmp_path)
    assert after["AFW/notes.txt"] == before["AFW/notes.txt"]
    assert len(after) == 2 + 2 * count


def test_another_models_samples_are_refused(tmp_path: Path, model: MorphableModel) -> None:
    small(tmp_path, 1)
    with pytest.raises(DatasetError, match="model = builtin, now it is toy"):
        small(tmp_path, 1, model=model)


def test_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DatasetError, match="out"):
        render_faces(tmp_path / "out", 1, options=SynthOptions(size=SIZE))
    assert (tmp_path / "out").read_text() == "mine"


def test_file_in_the_place_of_a_subset_is_refused(tmp_path: Path) -> None:
    small(tmp_path, 1)
    (tmp_path / "LFPW").write_text("mine")
    with pytest.raises(DatasetError, match="LFPW: cannot be made"):
        render_faces(tmp_path, 8, options=SynthOptions(size=SIZE))
    assert (tmp_path / "LFPW").read_text() == "mine"


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"count": 0}, "count: 0"), ({"run": 8}, "run: 8, expected RunOptions"),
     ({"count": 2.5}, "count: 2.5, expected a whole number")],
)  # fmt: skip
def test_argument_out_of_range_is_refused(tmp_path: Path, wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        render_faces(tmp_path / "out", **{"count": 1, **wrong})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"size": 10}, "size: 10"), ({"size": "64"}, "size: '64', expected a whole number"),
     ({"subsets": ["COFW"]}, "subsets: COFW"), ({"subsets": []}, "subsets: none"),
     ({"subsets": ["AFW", "AFW"]}, "each once"), ({"subsets": [3]}, "subsets: 3; expected some of AFW"),
     ({"seed": 0.5}, "seed: 0.5, expected a whole number"), ({"flip": "no"}, "flip: 'no', expected True or False"),
     ({"photographs": 0}, "photographs: 0, expected 1 to 1000")],
)  # fmt: skip
def test_option_out_of_range_is_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=f"^(subsets: AFW, AFW; .*)?{match}"):
        SynthOptions(**wrong)


def test_progress_counts_every_sample(tmp_path: Path) -> None:
    counted: list[int] = []
    render_faces(tmp_path, 18, options=SynthOptions(size=SIZE, subsets=["AFW"]), progress=counted.append)
    assert counted == [32, 4]


def test_index_says_how_the_folder_was_made(faces: Path, builtin: MorphableModel) -> None:
    index = json.loads((faces / "synth.json").read_text())
    assert index["format"] == "uvgen-synth" and index["seed"] == 3 and index["model"] == builtin.name


@pytest.mark.parametrize("overwrite", [False, True])
def test_render_faces_into_a_folder_whose_subset_is_a_link_writes_nothing_behind_it(
    faces: Path, tmp_path: Path, overwrite: bool
) -> None:
    (tmp_path / "else").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(faces / "synth.json", out)
    (out / "AFW_Flip").symlink_to(tmp_path / "else")
    with pytest.raises(OutputError, match=r"AFW_Flip: is a link, expected a folder of .*out; remove it"):
        render_faces(out, 2, options=SynthOptions(seed=3), overwrite=overwrite)
    assert not any((tmp_path / "else").iterdir())


def test_sample_names_take_turns() -> None:
    assert sample_names(5) == [
        "AFW/AFW_image_0001_0", "HELEN/HELEN_image_0001_0", "IBUG/IBUG_image_0001_0", "LFPW/LFPW_image_0001_0",
        "AFW/AFW_image_0002_0",
    ]  # fmt: skip


def test_mirror_of_a_mirror_is_the_face(builtin: MorphableModel) -> None:
    source = FaceSource(builtin, 0, 450)
    face = source.draw("AFW/7")
    twice = source.mirror(source.mirror(face))
    np.testing.assert_array_equal(twice.shape, face.shape)
    np.testing.assert_array_equal(twice.expression, face.expression)
    np.testing.assert_allclose(twice.pose, face.pose, atol=1e-4)
    assert (LANDMARK_MIRROR[LANDMARK_MIRROR] == np.arange(68)).all()


def test_photographs_of_a_face_share_shape_and_colors(tmp_path: Path, builtin: MorphableModel) -> None:
    """The first is the one that is made alone; the others differ in pose, expression, light and backdrop."""
    alone = small(tmp_path / "one", 2, model=builtin, subsets=["IBUG"], flip=False)
    several = small(tmp_path / "two", 2, model=builtin, subsets=["IBUG"], flip=False, photographs=2)
    shared = alone.keys() - {"synth.json"}
    assert len(shared) == 4 and {name: several[name] for name in shared} == {name: alone[name] for name in shared}
    assert sample_names(2, ["IBUG"], 2) == [f"IBUG/IBUG_image_000{p}_{k}" for p in (1, 2) for k in (0, 1)]
    samples = {sample.name: sample for sample in find_samples(tmp_path / "two")}
    content = {name: scipy.io.loadmat(str(sample.parameters)) for name, sample in samples.items()}
    first, second, other = (content[f"IBUG/IBUG_image_000{p}_{k}"] for p, k in ((1, 0), (1, 1), (2, 0)))
    for key in ("Shape_Para", "Tex_Para"):
        np.testing.assert_array_equal(first[key], second[key])
        assert not np.array_equal(first[key], other[key])
    for key in ("Exp_Para", "Pose_Para", "Illum_Para"):
        assert not np.array_equal(first[key], second[key])
    assert small(tmp_path / "two", 2, model=builtin, subsets=["IBUG"], flip=False, photographs=2) == several
    with pytest.raises(DatasetError, match="holds 2 samples more than asked for"):
        small(tmp_path / "two", 2, model=builtin, subsets=["IBUG"], flip=False)


@pytest.mark.parametrize(
    ("count", "photographs", "message"),
    [
        (10**20, 1, r"count: 1\d+, expected 10000000 photographs at most"),
        (10_001, 1000, "count: 10001 of 1000 photographs each, expected 10000000 photographs at most"),
    ],
)
def test_synth_of_more_faces_than_can_be_listed_is_refused_at_once(tmp_path, count, photographs, message) -> None:
    with pytest.raises(InputError, match=message):
        render_faces(tmp_path / "out", count, options=SynthOptions(photographs=photographs))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("n", "workers", "largest"), [(16, 1, 16), (100, 8, 16), (200, 2, 16), (1000, 4, 48)])
def test_tasks_are_large_where_there_are_four_for_each_worker(n: int, workers: int, largest: int) -> None:
    names = [str(k) for k in range(n)]
    tasks = _in_batches(names, workers)
    assert [name for task in tasks for name in task] == names
    assert max(map(len, tasks)) == largest
    assert largest == 16 or len(tasks) >= 4 * workers


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": lambda values: (values * 1e-42).astype(np.float32)},
        {"shape_std": lambda values: np.full_like(values, 3e38)},
        {"albedo_std": lambda values: np.full_like(values, 3e38)},
    ],
    ids=["mean", "shape", "albedo"],
)
@pytest.mark.filterwarnings("error")
def test_render_faces_of_numbers_that_no_face_has_writes_none(model, tmp_path, changes) -> None:
    (name, change), *_ = changes.items()
    odd = replace(model, **{name: change(getattr(model, name))})
    with pytest.raises(ModelError, match=r"toy: its face of IBUG/.* holds NaN or infinity"):
        render_faces(tmp_path / "out", 1, model=odd, options=SynthOptions(subsets=("IBUG",), size=SIZE))
    assert not [*(tmp_path / "out").rglob("*.jpg")]


def test_render_faces_of_a_model_without_components(model, tmp_path) -> None:
    none = np.zeros(0, np.float32)
    single = replace(model, basis=model.basis[..., :0], shape_std=none, expression_std=none)
    assert (
        render_faces(tmp_path / "out", 1, model=single, options=SynthOptions(subsets=("IBUG",), size=SIZE)).samples == 2
    )
