"""Landmarks of scans by detectors of photographs: with a fake that knows where they are, and with MediaPipe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from support.models import builtin_model
from support.scans import face_of
from support.toy import toy_model

from uvgen import FaceDetector, register_scans
from uvgen.errors import DatasetError, InputError, SettingsError
from uvgen.fitting import detectors
from uvgen.fitting.detectors import open_detector
from uvgen.fitting.scans import pictures
from uvgen.fitting.scans.pictures import detected_landmarks
from uvgen.fitting.scans.template import Template
from uvgen.models.morphable import MorphableModel
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.similarity import Similarity

LYING = Similarity(1e-3, Rotation.from_euler("xz", [-90, 20], degrees=True).as_matrix(), np.array([0.1, 2.0, 0.3]))


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return toy_model()


@pytest.fixture
def finder(model: MorphableModel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes detectors that find a face where it is upright and seen from the front, and say where its marks are."""
    seen: list[Similarity] = []
    look = pictures._found_in

    def spy(points: Any, triangles: Any, view: Similarity, find: Any) -> Any:
        seen.append(view)
        return look(points, triangles, view, find)

    monkeypatch.setattr(pictures, "_found_in", spy)

    def make(marks: NDArray[np.float64], rotation: NDArray[np.float64], most: int = 2) -> Any:
        found: list[int] = []

        def find(image: NDArray[np.uint8]) -> list[FaceLandmarks]:
            assert image.shape == (512, 512, 3) and np.ptp(image) > 100
            turned = seen[-1].rotation @ rotation
            if turned[1, 1] < 0.9 or turned[2, 2] < 0.9 or len(found) == most:
                return []
            found.append(len(seen))
            flat = seen[-1].apply(marks)[:, :2] * [1, -1] + 256
            return [FaceLandmarks(flat, None, "68")]

        return find

    return make


@pytest.mark.parametrize("most", [2, 1])  # with and without a second look from the front
def test_landmarks_are_found_however_a_scan_is_turned(model: MorphableModel, finder: Any, most: int) -> None:
    face = face_of(model, 1)
    scan, marks = LYING.apply(face), LYING.apply(face[model.landmarks])
    found = detected_landmarks(Template(model), scan, model.triangles[:, ::-1], finder(marks, LYING.rotation, most))
    off = np.linalg.norm(found - marks, axis=1)[17:] * 1e3
    assert np.isnan(found[:17]).all()
    assert off.mean() < 0.6 and off.max() < 3  # mm; a pixel is 0.5 mm


def test_points_beside_the_scan_are_not_marked() -> None:
    covered = np.zeros((512, 512), bool)
    covered[:, :100] = True
    flat = np.array([[50.2, 7.0], [101.0, 20.0], [110.0, 20.0], [-1e9, 3.0], [np.nan, 1.0], [-1.0, 4.0]])
    places = np.stack([*np.meshgrid(np.arange(512.0), np.arange(512.0)), np.zeros((512, 512))], axis=2)
    found = pictures._lifted(flat, covered, places.astype(np.float32))
    np.testing.assert_array_equal(found[[0, 1, 5]], [[50, 7, 0], [99, 20, 0], [0, 4, 0]])
    assert np.isnan(found[2:5]).all()


def test_scans_without_a_face_and_point_clouds_are_errors(model: MorphableModel) -> None:
    template, calls = Template(model), []
    with pytest.raises(InputError, match="no face is found in pictures of the scan from all sides"):
        detected_landmarks(template, template.mean, model.triangles, lambda image: calls.append(image) or [])
    assert len(calls) == 24 and len({image.tobytes() for image in calls}) > 20
    with pytest.raises(InputError, match="a point cloud cannot be drawn"):
        detected_landmarks(template, template.mean, None, lambda image: [])


def test_scans_whose_triangles_lie_over_each_other_are_not_drawn(model: MorphableModel) -> None:
    """Each would take as long as a picture of its own, and a small file states thousands."""
    template = Template(model)
    x, y = template.mean[:, 0], template.mean[:, 1]
    large = np.tile([x.argmin(), x.argmax(), y.argmax()], (9000, 1))
    with pytest.raises(InputError, match=r"triangles: cover a picture of the scan \d{4} times"):
        detected_landmarks(template, template.mean, np.concatenate([model.triangles, large]), lambda image: [])


def test_folders_take_a_detector_for_scans_without_landmarks(
    model: MorphableModel, finder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uvgen.rasterize import write_obj

    (tmp_path / "scans").mkdir()
    face = face_of(model, 2)
    write_obj(tmp_path / "scans/a.obj", face, model.triangles, frame="raw")
    find = finder(face[model.landmarks], np.eye(3))
    find.notice = "for research only"
    monkeypatch.setattr(detectors, "open_detector", lambda name, weights: find)
    result = register_scans(tmp_path / "scans", tmp_path / "out", model=model, detector="dlib")
    assert result.scans[0].source == "dlib" and result.notice == "for research only"
    assert register_scans(tmp_path / "scans", tmp_path / "out", model=model, detector="dlib").new_samples == 0
    (tmp_path / "a.dat").write_bytes(b"1")
    with pytest.raises(SettingsError, match="was made with other weights of the detector"):
        register_scans(
            tmp_path / "scans", tmp_path / "out", model=model, detector=FaceDetector("dlib", tmp_path / "a.dat")
        )
    with pytest.raises(DatasetError, match=r"a\.obj: no landmarks in"):
        register_scans(tmp_path / "scans", tmp_path / "other", model=model)


@pytest.mark.slow
def test_mediapipe_finds_landmarks_on_a_drawn_scan() -> None:
    pytest.importorskip("mediapipe")
    model = builtin_model()
    face = face_of(model, 1)
    found = detected_landmarks(Template(model), face, model.triangles, open_detector("mediapipe"))
    off = np.linalg.norm(found - face[model.landmarks], axis=1)[17:]
    assert np.nanmedian(off) < 6  # mm; the built-in face is a plain one
