"""Labels against the annotations of the same samples: the measure, the causes, and who says so."""

import dataclasses
import errno
import json
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.builds import SMALL, make
from support.toy import HEIGHT, N_SHAPE, annotation, parameters, toy_model, write_sample

from uvgen import (
    Augmentation,
    augment_shards,
    build_shards,
    load_model,
    merge_shards,
    open_shards,
    render_preview,
    verify_shards,
)
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.quality import survey
from uvgen.datasets.quality.annotations import annotated_in_crop
from uvgen.datasets.quality.causes import find_cause
from uvgen.datasets.quality.label_columns import label_columns
from uvgen.datasets.quality.summary import common_shift, label_quality
from uvgen.datasets.selection import Criteria, select_names
from uvgen.errors import DatasetError, SampleError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.maps.labels import label_nme
from uvgen.samples.find import Sample
from uvgen.shards.index import Index

# The measure


def nme_by_hand(points: Any, truth: Any, chosen: range) -> float:
    """Point by point, as the definition says it."""
    known = [k for k in range(68) if all(math.isfinite(c) for c in truth[k][:2])]
    box = truth if len(known) == 68 else points
    sides = [max(p[axis] for p in box) - min(p[axis] for p in box) for axis in (0, 1)]
    if min(sides) < 1 or len([k for k in chosen if k in known]) < 5:
        return math.nan
    errors = [math.dist(points[k][:2], truth[k][:2]) for k in chosen if k in known]
    return sum(errors) / len(errors) / math.sqrt(sides[0] * sides[1]) if errors else math.nan


@given(
    points=arrays(np.float32, (68, 3), elements=st.floats(-50, 300, width=32), unique=True),
    missing=st.sets(st.integers(0, 67)),
    dimensions=st.sampled_from([2, 3]),
    seed=st.integers(0, 99),
)
def test_label_nme_equals_the_definition_point_by_point(
    points: np.ndarray[Any, Any], missing: set[int], dimensions: int, seed: int
) -> None:
    truth = (points + np.random.default_rng(seed).normal(0, 5, points.shape))[:, :dimensions].astype(np.float32)
    truth[list(missing)] = np.nan
    nme, jaw = label_nme(points[None], truth[None])
    assert nme.dtype == jaw.dtype == np.float32
    for found, chosen in ((nme, range(17, 68)), (jaw, range(17))):
        wanted = nme_by_hand(points.tolist(), truth.tolist(), chosen)
        np.testing.assert_allclose(found[0], wanted, rtol=1e-5, atol=1e-6)


def test_annotated_in_crop_moves_as_the_crop_does() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (68, 3))
    points[5] = np.nan
    similarity = np.array([[0.5, 0, 3], [0, 0.5, -4], [0, 0, 1.0]])
    found = annotated_in_crop(points, similarity, 7.0, 3)
    np.testing.assert_allclose(found, points * 0.5 + np.array([3, -4, 7]), rtol=1e-6)
    flat = annotated_in_crop(points[:, :2], similarity, 7.0, 3)
    assert np.isnan(flat[:, 2]).all() and np.isnan(flat[5]).all() and np.isfinite(flat[6, :2]).all()
    assert annotated_in_crop(None, similarity, 0.0, 2).shape == (68, 2)


# What a build stores


def test_build_stores_annotations_in_the_crop_and_their_distance(tree: Path, model_path: Path, tmp_path: Path) -> None:
    result = make(tree, model_path, tmp_path / "out")
    for sample in open_shards(tmp_path / "out"):
        file = sio.loadmat(tree / f"{sample['name']}.mat")
        in_image = file["pt2d"].T - 1
        if "_Flip" in sample["name"]:
            in_image = in_image[LANDMARK_MIRROR]
        wanted = in_image @ sample["image_to_crop"][:2, :2].T + sample["image_to_crop"][:2, 2]
        np.testing.assert_allclose(sample["annotated_landmarks"], wanted, atol=1e-3)
        by_hand = nme_by_hand(sample["landmarks"].tolist(), wanted.tolist(), range(17, 68))
        assert sample["label_nme"] == pytest.approx(by_hand, rel=1e-3)
        assert sample["label_nme"] < 0.02  # toy annotations lie half a pixel off
    quality = result.quality
    assert quality is not None and (quality.n_samples, quality.n_annotated, quality.warnings) == (9, 9, ())
    nmes = sorted((float(s["label_nme"]) for s in open_shards(tmp_path / "out")), reverse=True)
    assert [nme for _, nme in quality.worst] == nmes[:5]
    assert quality.median == pytest.approx(np.median(nmes))


def test_build_without_annotations_stores_nan_and_says_so(model_path: Path, tmp_path: Path) -> None:
    for k in range(3):
        write_sample(tmp_path / "data", f"a{k}", k)
        content = {key: v for key, v in parameters(k).items() if key.endswith("_Para")}
        sio.savemat(tmp_path / f"data/a{k}.mat", content)
    result = make(tmp_path / "data", model_path, tmp_path / "out")
    sample = open_shards(tmp_path / "out")[0]
    assert np.isnan(sample["annotated_landmarks"]).all() and np.isnan(sample["label_nme"])
    assert result.quality is not None and result.quality.n_annotated == 0 and result.quality.warnings == ()
    assert "none of 3 samples has annotated landmarks" in result.quality.summary()


def test_build_with_3d_annotations_stores_depths_in_the_labels_frame(model_path: Path, tmp_path: Path) -> None:
    """`pt3d_68` of the same parameters is the label itself, z included."""
    model = toy_model()
    for k in range(3):
        content = parameters(k)
        joint = np.concatenate([content["Shape_Para"].ravel(), content["Exp_Para"].ravel()])
        vertices = model.mean[model.landmarks] + model.basis[model.landmarks] @ joint
        points = annotation(content) - 0.35
        pitch, yaw, roll = content["Pose_Para"][0, :3].astype(float)
        row = [
            np.cos(pitch) * np.sin(yaw) * np.cos(roll) + np.sin(pitch) * np.sin(roll),
            np.cos(pitch) * np.sin(yaw) * np.sin(roll) - np.sin(pitch) * np.cos(roll),
            np.cos(pitch) * np.cos(yaw),
        ]
        depth = content["Pose_Para"][0, 6] * (vertices @ row) + content["Pose_Para"][0, 5]
        write_sample(tmp_path / "data", f"a{k}", k, **content, pt3d_68=np.vstack([points, depth]))  # fmt: skip
    make(tmp_path / "data", model_path, tmp_path / "out")
    for sample in open_shards(tmp_path / "out"):
        assert sample["annotated_landmarks"].shape == (68, 3)
        np.testing.assert_allclose(sample["annotated_landmarks"], sample["landmarks"], atol=0.01)


def test_build_max_nme_leaves_out_the_far_by_name_and_keeps_the_unknown(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    far = annotation(parameters(1, yaw=-0.8)) + 8
    write_sample(tree / "AFW", "AFW_001_1_0", 1, pt2d=far)
    write_sample(tree / "AFW", "AFW_002_1_0", 2, pt2d=np.ones((2, 5)))  # not annotated in a way we know
    config = dataclasses.replace(SMALL, max_nme=0.05)
    result = make(tree, model_path, tmp_path / "out", config)
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_001_1_0"]
    assert "a label NME of" in result.skipped[0].reason and "expected 5.00% at most" in result.skipped[0].reason
    assert "AFW/AFW_002_1_0" in open_shards(tmp_path / "out").names


def test_build_keep_stores_what_else_the_files_hold(tree: Path, model_path: Path, tmp_path: Path) -> None:
    for k, path in enumerate(sorted(tree.rglob("*.mat"))):
        more = {"Tex_Para": np.full((7, 1), k + 0.5), "Illum_Para": np.full((1, 10), k)}
        write_sample(path.parent, path.stem, k, **(more if k != 4 else {"Tex_Para": np.ones((7, 1))}))
    config = dataclasses.replace(SMALL, keep=("tex", "illum"))
    make(tree, model_path, tmp_path / "out", config)
    samples = list(open_shards(tmp_path / "out"))
    np.testing.assert_array_equal(samples[2]["tex_parameters"], np.full(7, 2.5, np.float32))
    assert samples[2]["illum_parameters"].shape == (10,)
    assert np.isnan(samples[4]["illum_parameters"]).all()  # this file has none
    with pytest.raises(OSError, match="keep: color, expected files that have it; the first 9 lack Color_Para"):
        make(tree, model_path, tmp_path / "no", dataclasses.replace(SMALL, keep=("color",)))


def test_build_keep_with_another_count_costs_that_sample(tree: Path, model_path: Path, tmp_path: Path) -> None:
    for k, path in enumerate(sorted(tree.rglob("*.mat"))):
        write_sample(path.parent, path.stem, k, Tex_Para=np.ones((7 if k != 3 else 6, 1)))
    result = make(tree, model_path, tmp_path / "out", dataclasses.replace(SMALL, keep=("tex",)))
    assert [skip.reason.partition(": ")[2] for skip in result.skipped] == ["Tex_Para has 6 numbers, expected 7"]


@pytest.mark.parametrize("flip", [pytest.param(0, marks=[pytest.mark.slow, pytest.mark.long]), 1])
def test_augmented_annotations_move_with_the_label(tree: Path, model_path: Path, tmp_path: Path, flip: int) -> None:
    make(tree, model_path, tmp_path / "in")
    change = Augmentation(rotation_deg=(-40, 40), scale=(0.9, 1.2), translation=(-0.1, 0.1), flip=flip)
    model = load_model(model_path)
    augment_shards(tmp_path / "in", tmp_path / "out", change, model=model)
    built = {s["name"]: s for s in open_shards(tmp_path / "in")}
    for sample in open_shards(tmp_path / "out"):
        before = built[sample["name"].removesuffix("-0")]["label_nme"]
        offset = sample["annotated_landmarks"][:, :2] - sample["landmarks"][:, :2]
        assert np.abs(offset).max() < 1  # half an image px: each annotation is still beside its own landmark
        assert sample["label_nme"] == before  # of the image: a rotated crop has another box
    config = dataclasses.replace(SMALL, augmentation=change)
    make(tree, model_path, tmp_path / "at_once", config)
    for sample in open_shards(tmp_path / "at_once"):
        assert sample["label_nme"] == pytest.approx(built[sample["name"].removesuffix("-0")]["label_nme"], rel=1e-5)
        assert np.abs(sample["annotated_landmarks"][:, :2] - sample["landmarks"][:, :2]).max() < 1
    for folder in ("out", "at_once"):
        assert not verify_shards(tmp_path / folder, model=model).problems


# Causes


def rows_of(seeds: range, **changes: Any) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Fields of toy samples, and the annotation of their true parameters (n, 68, 2), image px."""
    contents = [parameters(seed, yaw=0.1 * (seed % 5) - 0.2) for seed in seeds]
    truth = np.stack([annotation(content).T - 1.35 for content in contents])
    rows = {
        "shape": np.stack([c["Shape_Para"].ravel() for c in contents]),
        "expression": np.stack([c["Exp_Para"].ravel() for c in contents]),
        "pose": np.concatenate([c["Pose_Para"] for c in contents]).astype(float),
        "image_height": np.full(len(contents), HEIGHT),
    }
    return rows, truth


def landmarks_of(rows: dict[str, Any]) -> np.ndarray[Any, Any]:
    names = {"Shape_Para": "shape", "Exp_Para": "expression", "Pose_Para": "pose"}
    contents = [{key: rows[name][k] for key, name in names.items()} for k in range(len(rows["pose"]))]
    return np.stack([annotation(content).T - 1.35 for content in contents])


def shifted(rows: dict[str, Any], part: slice, factor: float) -> dict[str, Any]:
    pose = rows["pose"].copy()
    pose[:, part] *= factor
    return {**rows, "pose": pose}


def upside(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.stack([points[..., 0], HEIGHT - 1 - points[..., 1]], axis=-1)


def across(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    mirrored = points[:, LANDMARK_MIRROR]
    return np.stack([159 - mirrored[..., 0], mirrored[..., 1]], axis=-1)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (lambda rows, truth: (rows, upside(truth)), "y counts from the other edge"),
        (lambda rows, truth: (rows, truth[:, LANDMARK_MIRROR]), "left and right landmarks are exchanged"),
        (lambda rows, truth: (rows, across(truth)), "images are mirrored, but their parameters are not"),
        (lambda rows, truth: (rows, truth + [1, -1]), r"shifted by \(\+1, -1\) px"),
        (lambda rows, truth: (rows, truth + [0, 1]), r"shifted by \(\+0, \+1\) px"),
        (lambda rows, truth: (shifted(rows, slice(0, 3), 180 / np.pi), truth), "in degrees"),
        (lambda rows, truth: (shifted(rows, slice(0, 3), -1), truth), "turn the other way"),
        (lambda rows, truth: (shifted(rows, slice(6, 7), 1e3), truth), "in px/mm"),
        (lambda rows, truth: (shifted(rows, slice(6, 7), 1e-3), truth), "1000 times too small"),
        (lambda rows, truth: (rows, truth * 0.7 + [10, 20]), "cropped or resized after the fit"),
        (lambda rows, truth: ({**rows, "shape": rows["shape"][::-1] * 8}, truth), "shape parameters belong to another"),
        (lambda rows, truth: ({**rows, "expression": rows["expression"] * -9}, truth), "expression parameters belong"),
    ],
)
def test_find_cause_of_one_fault_names_it(fault: Any, text: str) -> None:
    model = toy_model()
    rows, annotated = fault(*rows_of(range(20)))
    cause = find_cause(rows, landmarks_of(rows), annotated, model, "exact")
    assert re.search(text, cause.text), cause
    assert cause.nme < cause.nme_now


def test_find_cause_of_annotations_at_random_names_none() -> None:
    rows, truth = rows_of(range(20))
    annotated = np.random.default_rng(0).uniform(0, 120, truth.shape)
    cause = find_cause(rows, landmarks_of(rows), annotated, None, "exact")
    assert cause.text == "" and cause.nme == cause.nme_now


def test_find_cause_of_face3d_labels_is_no_shift() -> None:
    """Labels in face3d's convention are a pixel off on purpose; with that convention none is seen."""
    rows, truth = rows_of(range(20))
    off = truth + [1, -1]  # where face3d's labels lie
    cause = find_cause(rows, off, truth, toy_model(), "face3d")
    assert "(-1, +1) px" in cause.text


def turned(rows: dict[str, Any], *columns: int) -> dict[str, Any]:
    pose = rows["pose"].copy()
    pose[:, list(columns)] *= -1
    return {**rows, "pose": pose}


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (lambda rows, truth: (turned(rows, 0), truth), "pitch turns the other way"),
        (lambda rows, truth: (turned(rows, 1), truth), "yaw turns the other way"),
        (lambda rows, truth: (turned(rows, 2), truth), "roll turns the other way"),
        (lambda rows, truth: (rows, truth[..., ::-1]), "x and y of the annotated landmarks are exchanged"),
        (
            lambda rows, truth: (rows, np.stack([159 - truth[..., 0], truth[..., 1]], -1)),
            "and the order of their landmarks",
        ),
    ],
)
def test_find_cause_tells_like_faults_apart(fault: Any, text: str) -> None:
    rows, _ = rows_of(range(20))
    pose = rows["pose"].copy()
    pose[:, :3] = np.random.default_rng(3).uniform(-0.5, 0.5, (20, 3))
    rows = {**rows, "pose": pose}
    rows, annotated = fault(rows, landmarks_of(rows))
    cause = find_cause(rows, landmarks_of(rows), annotated, toy_model(), "exact")
    assert text in cause.text and cause.nme < 0.01


def test_find_cause_on_improvements_of_nothing_names_none() -> None:
    """Faces turned upside down by their annotations: no parameters, and no shift or scale above 0, bring them near."""
    rows, truth = rows_of(range(20))
    annotated = np.random.default_rng(1).normal(0, 25, truth.shape) + truth
    assert find_cause(rows, landmarks_of(rows), annotated, toy_model(), "exact").text == ""


@pytest.mark.parametrize("seed", [0, 1, 4, 9, 10, 11, 14, 15, 28])
def test_find_cause_of_samples_with_faults_of_their_own_names_none(seed: int) -> None:
    """Some change brings the median down whatever is wrong; a cause is what brings most of the samples near."""
    random, n = np.random.default_rng(seed), 6
    rows, _ = rows_of(range(n))
    rows["pose"][:, :3] = random.uniform(-0.6, 0.6, (n, 3))
    truth, pose = landmarks_of(rows), rows["pose"].copy()
    for k in range(n):
        fault = random.integers(8)
        if fault == 0:
            pose[k, 1] *= -1
        elif fault == 1:
            pose[k, 3:5] += random.uniform(-40, 40, 2)
        elif fault == 2:
            pose[k, 6] *= random.uniform(1.5, 3)
        elif fault == 3:
            pose[k, :3] = random.uniform(-1, 1, 3)
        elif fault == 4:
            rows["shape"][k] = random.normal(size=N_SHAPE) * 3 * rows["shape"][k].std()
        elif fault == 5:
            truth[k] = truth[k, LANDMARK_MIRROR]
        elif fault == 6:
            pose[k, 6] /= 2
        else:
            truth[k] = upside(truth[k])
    rows = {**rows, "pose": pose}
    cause = find_cause(rows, landmarks_of(rows), truth, toy_model(), "exact")
    assert cause.text == "" and cause.nme == cause.nme_now


# Who says so


def faulty_tree(folder: Path, n: int = 12) -> Path:
    """A tree whose parameters belong to other bases: each sample has the annotation of other parameters."""
    for k in range(n):
        content = parameters(k, yaw=0.1)
        content["Shape_Para"] = content["Shape_Para"] * 0.05
        truth = annotation(content)
        content["Shape_Para"] = np.random.default_rng(k).normal(size=(N_SHAPE, 1)) * 1.5e6
        write_sample(folder / "AFW", f"AFW_{k:03d}_1_0", k, **{**content, "pt2d": truth})
    return folder


@pytest.mark.slow
def test_build_verify_and_preview_name_a_misfit_without_being_asked(
    model_path: Path, tmp_path: Path, uvgen: Any
) -> None:
    tree = faulty_tree(tmp_path / "data")
    built = uvgen("build", "--data", tree, "--model", model_path, "--size", 32, "--out", tmp_path / "out", "--quiet")
    assert built.exit_code == 0 and "probable cause: the shape parameters belong to another" in built.stderr
    verified = uvgen("verify", tmp_path / "out", "--model", model_path)
    assert verified.exit_code == 0 and "probable cause: the shape parameters" in verified.stderr
    assert "label NME: median" in verified.stdout
    blind = uvgen("verify", tmp_path / "out")
    assert "`uvgen verify --model` looks for more causes" in blind.stderr
    shown = uvgen("preview", tmp_path / "out", "--out", tmp_path / "p.png")
    assert "away from the annotations, expected 1 to 3%" in shown.stderr and "label NME: median" in shown.stdout
    sheet = render_preview(tmp_path / "out", tmp_path / "p.png")
    assert any("of the face's size away from the annotation" in problem for problem in sheet.problems)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_build_of_a_set_that_is_wrong_in_part_names_how_many_where_and_why(
    model_path: Path, tmp_path: Path, share: float
) -> None:
    for k in range(20):
        content = parameters(k, yaw=0.2)
        wrong = k < share * 20
        points = annotation(content)[:, LANDMARK_MIRROR] if wrong else annotation(content)
        write_sample(tmp_path / "data" / ("IBUG" if wrong else "AFW"), f"a_{k:03d}", k, **{**content, "pt2d": points})
    quality = make(tmp_path / "data", model_path, tmp_path / "out").quality
    assert quality is not None and len(quality.warnings) == 1
    n = int(share * 20)
    if share < 0.5:
        assert quality.warnings[0].startswith(f"{n} samples of 20 are more than 5% of the face's size away")
        assert f"{n} of them in IBUG" in quality.warnings[0]
    assert "left and right landmarks are exchanged" in quality.warnings[0]


def test_build_of_shapes_of_another_model_is_told_from_a_cropped_sample(model_path: Path, tmp_path: Path) -> None:
    """One far sample among many that are a little off: the parameters are the cause, not that sample's crop."""
    for k in range(20):
        content = parameters(k, yaw=0.1)
        truth = annotation(content) + (12 if k == 0 else 0)
        content["Shape_Para"] = content["Shape_Para"][::-1].copy()
        write_sample(tmp_path / "data/AFW", f"a_{k:03d}", k, **{**content, "pt2d": truth})
    quality = make(tmp_path / "data", model_path, tmp_path / "out").quality
    assert quality is not None and quality.median < 0.05
    assert any("shape parameters belong to another model than" in text for text in quality.warnings)
    assert not any("cropped or resized" in text for text in quality.warnings)


def test_build_with_the_jaws_alone_in_another_order_says_so(tree: Path, model_path: Path, tmp_path: Path) -> None:
    for k, path in enumerate(sorted(tree.rglob("*.mat"))):
        points = annotation(parameters(k, yaw=0.1))
        points[:, :17] = points[:, 16::-1]
        write_sample(path.parent, path.stem, k, **{**parameters(k, yaw=0.1), "pt2d": points})
    quality = make(tree, model_path, tmp_path / "out").quality
    assert quality is not None and any("the labels' jaws are" in text for text in quality.warnings)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kept", [0, 1, 4, 12, 30])
def test_build_of_partly_annotated_sets_prints_no_warning_of_numpy(
    tree: Path, model_path: Path, tmp_path: Path, kept: int
) -> None:
    for k, path in enumerate(sorted(tree.rglob("*.mat"))):
        points = 130 - annotation(parameters(k, yaw=0.1))
        points[:, : 68 - kept] = 1e200 if k % 2 else -1
        write_sample(path.parent, path.stem, k, **{**parameters(k, yaw=0.1), "pt2d": points})
    quality = make(tree, model_path, tmp_path / "out").quality
    assert quality is not None and quality.n_annotated == (9 if kept >= 5 else 0)


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (-1, 1), (0, -1)])
def test_build_whose_labels_all_lie_a_pixel_off_says_so(model_path: Path, tmp_path: Path, dx: int, dy: int) -> None:
    for k in range(6):
        content = parameters(k, yaw=0.2)
        points = annotation(content) - 0.35 + [[dx], [dy]]
        write_sample(tmp_path / "data/AFW", f"a_{k:03d}", k, **{**content, "pt2d": points})
    quality = make(tmp_path / "data", model_path, tmp_path / "out").quality
    assert quality is not None and quality.median < 0.05
    assert f"the annotations lie ({dx:+d}, {dy:+d}) px beside the labels" in quality.warnings[0]


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (np.ones((2, 66)) * 50, r"pt2d \(2, 66\)"),
        (np.ones((3, 68)) * 50, r"pt2d \(3, 68\)"),
        (np.full((2, 68), 50.0), r"pt2d \(all in one point or line\)"),
        (np.zeros((2, 68)), r"pt2d \(all in one point or line\)"),
        ("text", r"pt2d \(no real numbers\)"),
    ],
)
def test_build_names_landmarks_that_cannot_be_used(
    tree: Path, model_path: Path, tmp_path: Path, points: Any, text: str
) -> None:
    for k, path in enumerate(sorted(tree.rglob("*.mat"))):
        write_sample(path.parent, path.stem, k, pt2d=points)
    result = make(tree, model_path, tmp_path / "out")
    assert len(result.warnings) == 1
    assert re.match(
        rf"9 files hold {text}, which cannot be used as landmarks .* first AFW/AFW_000_1_0", result.warnings[0]
    )
    assert result.quality is not None and result.quality.n_annotated == 0


def test_quality_of_jaws_alone_is_said_and_warned_of(tree: Path, model_path: Path, tmp_path: Path) -> None:
    for k, path in enumerate(sorted(tree.rglob("*.mat"))):
        points = annotation(parameters(k, yaw=-1.2 + 0.4 * (k % 7)))
        points[:, 17:] = -1
        write_sample(path.parent, path.stem, k, pt2d=points + 40 * (points != -1))
    quality = make(tree, model_path, tmp_path / "out").quality
    assert quality is not None and quality.n_annotated == 0 and quality.jaw_median > 0.2
    assert "none of 9 samples has annotated landmarks but those of the jaw" in quality.summary()
    assert quality.warnings[0].startswith("the labels' jaws are")


def test_max_nme_leaves_turned_versions_with_another_versions_annotation_alone(
    model_path: Path, tmp_path: Path
) -> None:
    for photograph in range(3):
        first = parameters(photograph, yaw=0.0)
        for step, yaw in enumerate((0.0, 0.5, 1.0)):
            content = {**parameters(photograph, yaw=yaw), "pt2d": annotation(first)}
            write_sample(tmp_path / "data/AFW", f"AFW_{photograph}_1_{step}", photograph, **content)
    config = dataclasses.replace(SMALL, max_nme=0.05)
    result = make(tmp_path / "data", model_path, tmp_path / "out", config)
    assert result.samples == 9 and not result.skipped
    assert result.quality is not None and result.quality.warnings[0].startswith("3 photographs")


def test_max_nme_counts_for_turned_versions_although_one_file_has_another_versions_annotation(
    model_path: Path, tmp_path: Path
) -> None:
    """As one that was copied over another; in copies of 300W-LP with that fault, all turned versions have it."""
    for photograph in range(3):
        first = parameters(photograph, yaw=0.0)
        for step, yaw in enumerate((0.0, 0.4, 0.8)):
            own = parameters(photograph, yaw=yaw)
            points = annotation(first if (photograph, step) == (0, 1) else own)
            if (photograph, step) == (2, 2):
                points = points + 9
            write_sample(tmp_path / "data/AFW", f"AFW_{photograph}_1_{step}", photograph, **{**own, "pt2d": points})
    result = make(tmp_path / "data", model_path, tmp_path / "out", dataclasses.replace(SMALL, max_nme=0.05))
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_0_1_1", "AFW/AFW_2_1_2"]


def test_max_nme_counts_for_turned_versions_of_subsets_without_that_fault(model_path: Path, tmp_path: Path) -> None:
    """As where one subset is of a sound copy of 300W-LP, and most are not."""
    for subset, is_sound in (("AFW", True), ("HELEN", False), ("LFPW", False)):
        for photograph in range(3):
            first = parameters(photograph, yaw=0.0)
            for step, yaw in enumerate((0.0, 0.4, 0.8)):
                own = parameters(photograph, yaw=yaw)
                points = annotation(own if is_sound else first) + (
                    9 if is_sound and (photograph, step) == (1, 2) else 0
                )
                name = f"{subset}_{photograph}_1_{step}"
                write_sample(tmp_path / "data" / subset, name, photograph, **{**own, "pt2d": points})
    result = make(tmp_path / "data", model_path, tmp_path / "out", dataclasses.replace(SMALL, max_nme=0.05))
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_1_1_2"]
    assert result.quality is not None and "6 photographs: the same pt2d" in result.quality.repeated
    assert _index(tmp_path / "out")["plan"]["survey"]["repeated"] == ["HELEN", "LFPW"]
    make(tmp_path / "data", model_path, tmp_path / "out", dataclasses.replace(SMALL, max_nme=0.05))


def test_max_nme_that_leaves_out_the_annotated_version_does_not_count_the_others_annotation(
    model_path: Path, tmp_path: Path
) -> None:
    for photograph in range(3):
        first = parameters(photograph, yaw=0.0)
        for step, yaw in enumerate((0.0, 0.5)):
            content = {**parameters(photograph, yaw=yaw), "pt2d": annotation(first)}
            if photograph == 1:
                content["pt2d"] = content["pt2d"] + 40.0 * (np.arange(68) % 2)  # too far off in both
            write_sample(tmp_path / "data/AFW", f"AFW_{photograph}_1_{step}", photograph, **content)
    config = dataclasses.replace(SMALL, max_nme=0.05)
    result = make(tmp_path / "data", model_path, tmp_path / "out", config)
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_1_1_0"]
    quality = result.quality
    assert quality is not None and (quality.n_samples, quality.n_annotated) == (5, 2)
    assert quality.median < 0.05
    (said,) = quality.warnings
    assert said.startswith("3 photographs: the same pt2d") and "3 turned versions" in said


def test_select_by_nme_knows_nothing_of_versions_with_another_versions_annotation(
    model_path: Path, tmp_path: Path
) -> None:
    first = parameters(0, yaw=0.0)
    for step, yaw in enumerate((0.0, 0.5)):
        content = {**parameters(0, yaw=yaw), "pt2d": annotation(first)}
        write_sample(tmp_path / "data/AFW", f"AFW_0_1_{step}", 0, **content)
    make(tmp_path / "data", model_path, tmp_path / "out")
    assert open_shards(tmp_path / "out").column("label_nme")[1] > 0.05
    assert select_names(tmp_path / "out", Criteria(min_nme=0.05)) == []
    assert select_names(tmp_path / "out", Criteria(max_nme=10)) == ["AFW/AFW_0_1_0"]
    assert len(select_names(tmp_path / "out", Criteria(min_nme=0.05), drop=True)) == 2


@pytest.fixture
def one_annotation(model_path: Path, tmp_path: Path) -> Path:
    """A set of photographs whose turned versions have the annotation of the first."""
    for photograph in range(3):
        first = parameters(photograph, yaw=0.0)
        for step, yaw in enumerate((0.0, 0.4, 0.8)):
            content = {**parameters(photograph, yaw=yaw), "pt2d": annotation(first)}
            write_sample(tmp_path / "data/AFW", f"AFW_{photograph}_1_{step}", photograph, **content)
    make(tmp_path / "data", model_path, tmp_path / "whole")
    return tmp_path / "whole"


def _index(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "dataset.json").read_text())
    return content


def test_copies_of_a_part_know_whose_annotation_is_another_versions(one_annotation: Path, tmp_path: Path) -> None:
    """Without the first version, nothing in the copy shows it."""
    turned = [f"AFW/AFW_{photograph}_1_{step}" for photograph in range(3) for step in (1, 2)]
    for k, names in enumerate((turned, turned[::2])):
        result = merge_shards(one_annotation, tmp_path / f"part{k}", names=names)
        quality = result.quality
        assert quality is not None and (quality.n_samples, quality.n_annotated) == (len(names), 0)
        assert quality.repeated.startswith("3 photographs: the same pt2d") and quality.repeated in quality.warnings
        assert "has annotated landmarks of its own" in quality.summary()
        assert select_names(tmp_path / f"part{k}", Criteria(min_nme=0.0)) == []
    again = merge_shards(tmp_path / "part0", tmp_path / "again", names=turned[1:4])
    assert again.quality is not None and again.quality.n_annotated == 0
    other = merge_shards(one_annotation, tmp_path / "other", names=[turned[0], turned[5]]).quality
    both = merge_shards([tmp_path / "again", tmp_path / "other"], tmp_path / "both").quality
    assert other is not None and both is not None
    assert (both.n_samples, both.n_annotated) == (5, 0)
    augmented = augment_shards(tmp_path / "part1", tmp_path / "augmented", Augmentation(), copies=2)
    assert augmented.quality is not None and augmented.quality.n_annotated == 0


def test_copies_have_the_keys_of_the_index_that_they_come_from(one_annotation: Path, tmp_path: Path) -> None:
    whole = _index(one_annotation)
    merge_shards(one_annotation, tmp_path / "all")
    merge_shards(one_annotation, tmp_path / "part", names=["AFW/AFW_0_1_0", "AFW/AFW_0_1_1"])
    for copied in (_index(tmp_path / "all"), _index(tmp_path / "part")):
        assert copied.keys() == whole.keys()
        same = ("format", "version", "uvgen", "config", "constants_sha256")
        assert {key: copied[key] for key in same} == {key: whole[key] for key in same}
        assert copied["plan"]["annotated_dimensions"] == whole["plan"]["annotated_dimensions"]
    assert {*_index(tmp_path / "all")["plan"]} == {*whole["plan"], "merged_from"}
    assert _index(tmp_path / "all")["plan"]["names_sha256"] == whole["plan"]["names_sha256"]
    assert _index(tmp_path / "part")["plan"]["repeated_annotations"] == ["AFW/AFW_0_1_1"]
    assert [entry["sha256"] for entry in _index(tmp_path / "all")["shards"]] == [s["sha256"] for s in whole["shards"]]


def test_an_index_with_something_else_for_the_samples_with_other_annotations_is_read(
    one_annotation: Path, tmp_path: Path
) -> None:
    index = Index.read(one_annotation)
    for odd in (7, "AFW/AFW_0_1_0", [["AFW"], 3, None], {"a": 1}):
        index.plan["repeated_annotations"] = odd
        index.write(one_annotation)
        assert label_columns(open_shards(one_annotation)).n_photographs == 3


def test_build_warns_of_folders_too_deep_to_be_read(tree: Path, model_path: Path, tmp_path: Path) -> None:
    write_sample(tree / "AFW/AFW", "deep")
    result = build_shards(tree, tmp_path / "out", model=model_path, config=SMALL)
    assert result.samples == 9
    assert result.warnings == (f"1 folder with images below the subsets' folders is not read, first {tree}/AFW/AFW",)


def test_build_warns_of_folders_without_images_and_of_links_to_disks_that_are_away(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    """All that was in them would be missing without a word."""
    write_sample(tree / "HELEN", "other")
    (tree / "HELEN/other.jpg").rename(tree / "HELEN/other.jfif")
    (tree / "LFPW").symlink_to(tmp_path / "disk/LFPW")
    for folder in ("AFW_only_mat", "Code"):  # 300W-LP's own has the model's files
        (tree / folder).mkdir(exist_ok=True)
    shutil.copy(tree / "HELEN/other.mat", tree / "AFW_only_mat/other.mat")
    sio.savemat(tree / "Code/Model_Exp.mat", {"w_exp": np.ones((6, 2))})
    (tree / "notes.txt").symlink_to(tmp_path / "nowhere")  # a file's
    result = build_shards(tree, tmp_path / "out", model=model_path, config=SMALL)
    assert result.samples == 9
    images, links = result.warnings
    said = f"2 folders with .mat files and no images are not read, first {tree}/AFW_only_mat; images are .jpg"
    assert images.startswith(said)
    assert links == f"1 link to what is not there is not followed, first {tree}/LFPW; is a disk not mounted?"


def test_quality_of_a_copy_with_one_annotation_for_all_turned_versions_leaves_them_out(
    model_path: Path, tmp_path: Path
) -> None:
    for photograph in range(4):
        first = parameters(photograph, yaw=0.0)
        for step, yaw in enumerate((0.0, 0.4, 0.8)):
            content = {**parameters(photograph, yaw=yaw), "pt2d": annotation(first)}
            write_sample(tmp_path / "data/AFW", f"AFW_{photograph}_1_{step}", photograph, **content)
    result = make(tmp_path / "data", model_path, tmp_path / "out")
    quality = result.quality
    assert quality is not None and (quality.n_samples, quality.n_annotated) == (12, 4)
    assert quality.median < 0.02
    assert quality.warnings[0].startswith("4 photographs: the same pt2d in all turned versions")
    assert "8 turned versions" in quality.warnings[0]


def test_quality_of_turned_versions_with_their_own_annotations_says_nothing(model_path: Path, tmp_path: Path) -> None:
    for step, yaw in enumerate((0.0, 0.4, 0.8)):
        content = parameters(3, yaw=yaw)
        write_sample(tmp_path / "data/AFW", f"AFW_3_1_{step}", 3, **{**content, "pt2d": annotation(content)})
    quality = make(tmp_path / "data", model_path, tmp_path / "out").quality
    assert quality is not None and (quality.n_annotated, quality.warnings) == (3, ())


def test_verify_finds_a_stored_nme_that_is_not_its_landmarks(tree: Path, model_path: Path, tmp_path: Path) -> None:
    import h5py

    from uvgen.datasets.shard_checks import _check_nme
    from uvgen.shards.shard import OpenShard

    make(tree, model_path, tmp_path / "out")
    path = tmp_path / "out/AFW-00000.h5"
    with OpenShard(path, 2) as shard:
        assert _check_nme(shard) == []
    with h5py.File(path, "r+") as file:
        file["label_nme"][1] = 0.5
    with OpenShard(path, 2) as shard:
        assert _check_nme(shard)[0].startswith("label_nme of AFW/AFW_001_1_0 is 0.5000, its landmarks give 0.0")


# Real files


@pytest.mark.slow
@pytest.mark.parametrize("data", ["w300lp", "aflw2000"])
def test_real_samples_with_made_up_bases_are_reported(
    reference: Path, stand_in_model: Any, tmp_path: Path, data: str
) -> None:
    result = build_shards(
        reference / data, tmp_path / "out", model=stand_in_model, config=BuildConfig(size=64, uv_size=64)
    )
    assert result.quality is not None and any("another model than" in text for text in result.quality.warnings)
    quality = label_quality(open_shards(tmp_path / "out"), stand_in_model)
    assert quality == result.quality
    reader = open_shards(tmp_path / "out")
    if data == "aflw2000":  # the real mean face: depths agree with the annotated ones to a few percent of the face
        depth = reader.column("annotated_landmarks")[..., 2] - reader.column("landmarks")[..., 2]
        assert np.abs(np.median(depth)) < 3 and np.abs(depth).mean() < 6
    else:
        assert reader[0]["annotated_landmarks"].shape == (68, 2)


def test_cause_that_is_found_among_some_of_the_samples_says_of_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    from uvgen.datasets.quality import summary
    from uvgen.datasets.quality.causes import Cause

    reader: Any = SimpleNamespace(config=SimpleNamespace(build=SimpleNamespace(convention="exact")))
    monkeypatch.setattr(summary, "_sampled", lambda *_: ({}, None, None))
    monkeypatch.setattr(summary, "find_cause", lambda *_: Cause("degrees", 0.0596, 0.01, False))
    known, names = np.arange(6), [f"AFW/{k}" for k in range(6)]
    text, _ = summary._far(reader, known, known[:5], 0.0558, names, None)
    assert "5.58% of the face's size" in text and "instead of 5.96%" in text
    assert "probable cause, of the 5 of 6 samples that are more than 5% away: degrees" in text
    text, _ = summary._far(reader, known, known, 0.0596, names, None)
    assert "; probable cause: degrees" in text


def test_annotations_that_the_machine_cannot_read_end_the_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether versions of a photograph are compared, and so what `max_nme` leaves out, must not depend on it."""
    cause = OSError(errno.EMFILE, "Too many open files")

    def refused(sample: Sample) -> None:
        raise SampleError(f"{sample.name}: cannot be read") from cause

    monkeypatch.setattr(survey, "read_annotation", refused)
    sample = Sample("AFW/a_1", "AFW", None, None)
    with pytest.raises(DatasetError, match="a_1: cannot be read; raise the limit"):
        survey._annotations([sample])
    cause.errno = errno.EIO  # of this file
    assert survey._annotations([sample]) == [None]


def test_common_shift_passes_over_faces_with_infinite_points() -> None:
    """Somebody else's set may hold them; NumPy's warnings, which are errors in tests, would be all that it says."""
    points = np.random.default_rng(0).uniform(20, 90, (20, 68, 2))
    annotated = points + [1, -1]
    points[3, 5], annotated[4, 40], annotated[5] = np.inf, -np.inf, np.nan
    assert common_shift(points, annotated) == (1, -1)
    assert common_shift(points[3:6], annotated[3:6]) is None
