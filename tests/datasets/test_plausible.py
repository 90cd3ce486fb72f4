"""Parameters that cannot be meant: each kind costs its sample, with a message that names the cause."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builds import SMALL, make
from support.toy import HEIGHT, N_EXPRESSION, N_SHAPE, WIDTH, parameters, write_sample

from uvgen import open_shards
from uvgen.datasets.quality import plausible
from uvgen.errors import SampleError
from uvgen.samples.find import Sample

SAMPLE = Sample("AFW/a", "AFW", Path("a.jpg"), Path("a.mat"))
POSE = np.array([0.1, 0.3, -0.1, 80, 60, -20, 4.5e-4])


def pose(**changes: float) -> np.ndarray[Any, Any]:
    values = POSE.copy()
    for name, value in changes.items():
        values[["pitch", "yaw", "roll", "tx", "ty", "tz", "f"].index(name)] = value
    return values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"f": 0.0}, r"a\.mat: a scale of 0 px/µm turns the face inside out, expected more than 0"),
        ({"f": -4.5e-4}, r"a scale of -0\.00045 px/µm turns"),
        ({"yaw": 45.0}, r"angles of 0\.1, 45, -0\.1 \(pitch, yaw, roll\), expected radians .* degrees\? Multiply"),
        ({"roll": -6.4}, "expected radians of -2π to 2π"),
        ({"yaw": 2.5}, "turn the face away, expected one in view"),
        ({"pitch": -3.0}, "turn the face away"),
    ],
)
def test_check_pose_that_no_fit_gives_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(SampleError, match=message):
        plausible.check_pose(SAMPLE, pose(**changes))


@pytest.mark.parametrize(
    "angles", [(0, 1.5, 0), (0, -1.57, 3), (0, 2.07, 0), (np.pi, 3.27, 0), (0, -6.13, 0), (0.7, 0, 0)]
)
def test_check_pose_of_real_angles_passes(angles: tuple[float, float, float]) -> None:
    """AFLW2000-3D has yaws of 118.9°, 187.8° and -351.2°."""
    plausible.check_pose(SAMPLE, pose(pitch=angles[0], yaw=angles[1], roll=angles[2]))


@given(st.floats(0.1, 9.9), st.integers(0, 4), st.sampled_from([-1, 1]))
def test_check_deviations_within_ten_passes_and_beyond_is_refused(z: float, k: int, sign: int) -> None:
    std = np.array([5e5, 3e5, 1.0, 2.0, 1e-3])
    values = np.zeros(5)
    values[k] = sign * z * std[k]
    plausible.check_deviations(SAMPLE, "shape", values, std)
    values[k] = sign * (z + 10.01) * std[k]
    with pytest.raises(SampleError, match=rf"shape parameter {k} is .* standard deviations out, expected 10 at most"):
        plausible.check_deviations(SAMPLE, "shape", values, std)


def test_deviations_of_unknown_standard_deviations_are_zero() -> None:
    found = plausible.deviations(np.array([1e9, 1e9, -4.0]), np.array([0.0, np.nan, 2.0]))
    np.testing.assert_array_equal(found, [0, 0, 2])


@pytest.mark.parametrize(
    ("width", "message"),
    [
        (
            7.9,
            r"the face is 7\.9 px large in an image of 160×120, expected 8 to 480; is Pose_Para of this image",
        ),
        (8.1, None),
        (479, None),
        (481, r"481 px large .* is Pose_Para of this image"),
        (81_000, "1000 times too large, as if it were in px/mm; it counts px/µm"),
        (0.1, "1000 times too small"),
        (1e-5, "is Pose_Para of this image"),
    ],
)
def test_check_face_size_names_what_was_found(width: float, message: str | None) -> None:
    landmarks = np.zeros((68, 2))
    landmarks[1] = width, width / 2
    if message is None:
        plausible.check_face_size(SAMPLE, landmarks, (HEIGHT, WIDTH, 3))
        return
    with pytest.raises(SampleError, match=message):
        plausible.check_face_size(SAMPLE, landmarks, (HEIGHT, WIDTH, 3))


def with_value(key: str, k: int, value: float) -> dict[str, Any]:
    content = parameters(1)[key].copy()
    content.flat[k] = value
    return {key: content}


BAD = {
    "face of 5 px": (with_value("Pose_Para", 6, 2.5e-5), "px large"),
    "scale in px/mm": (with_value("Pose_Para", 6, 0.45), "as if it were in px/mm"),
    "shape of another fit": (with_value("Shape_Para", 2, 1e8), "shape parameter 2 is 1e\\+08, 200 standard"),
    "expression of another fit": (with_value("Exp_Para", 0, -40), "expression parameter 0 is -40, 40 standard"),
}


@pytest.mark.parametrize("kind", BAD)
def test_build_implausible_sample_is_skipped_or_kept_as_asked(
    tree: Path, model_path: Path, tmp_path: Path, kind: str
) -> None:
    changes, message = BAD[kind]
    write_sample(tree / "AFW", "AFW_001_1_0", 1, **changes)
    result = make(tree, model_path, tmp_path / "out")
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_001_1_0"]
    assert re.search(message, result.skipped[0].reason)
    kept = make(
        tree, model_path, tmp_path / "kept", dataclasses.replace(SMALL, implausible="keep", posmap_dtype="float32")
    )
    assert kept.skipped == ()


def test_build_with_deviations_of_another_unit_warns_and_does_not_check_them(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    """All samples beyond ten standard deviations: it is the model's that do not fit, not each sample."""
    for k, path in enumerate(sorted(tree.rglob("*.mat"))):
        write_sample(path.parent, path.stem, k, Exp_Para=np.full((N_EXPRESSION, 1), 30.0))
    result = make(tree, model_path, tmp_path / "out")
    assert result.samples == 9 and not result.skipped
    assert len(result.warnings) == 1 and result.warnings[0].startswith("expression parameters are usually 30 standard")
    assert open_shards(tmp_path / "out")[0]["expression"].shape == (N_EXPRESSION,)


def test_build_with_counts_of_another_model_ends_before_any_work(tree: Path, model_path: Path, tmp_path: Path) -> None:
    for path in tree.rglob("*.mat"):
        write_sample(path.parent, path.stem, 1, Shape_Para=np.zeros((N_SHAPE + 1, 1)))
    with pytest.raises(
        OSError, match=rf"none of 9 samples.*{N_SHAPE + 1} shape parameters, .* has {N_SHAPE} components"
    ):
        make(tree, model_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_build_with_one_usable_sample_among_many_bad_ones_makes_it(model_path: Path, tmp_path: Path) -> None:
    """The survey looks at a few; where none of them can be used, the rest decides."""
    for k in range(40):
        write_sample(tmp_path / "data/AFW", f"AFW_{k:02d}", k, **({} if k == 13 else {"Pose_Para": np.zeros((1, 7))}))
    result = make(tmp_path / "data", model_path, tmp_path / "out")
    assert (result.samples, len(result.skipped)) == (1, 39)


def test_checks_of_a_list_s_sample_name_its_row() -> None:
    sample = Sample("a", "a", Path("a.jpg"), Path("list.csv"), row=4)
    for check in (
        lambda: plausible.check_pose(sample, pose(f=0)),
        lambda: plausible.check_pose(sample, pose(tx=1e7)),
        lambda: plausible.check_pose(sample, pose(yaw=9)),
        lambda: plausible.check_labels(sample, np.full((68, 3), 1e7)),
        lambda: plausible.check_deviations(sample, "shape", np.array([99.0]), np.ones(1)),
        lambda: plausible.check_face_size(sample, np.zeros((68, 2)), (100, 100)),
    ):
        with pytest.raises(SampleError, match=r"^list\.csv, row 5: "):
            check()
