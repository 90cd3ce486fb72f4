"""Detectors: what each makes of its package's answers, with fakes in the package's place; dlib for real where it is."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from numpy.typing import NDArray
from PIL import Image

from uvgen.errors import DependencyError, InputError, UvgenError
from uvgen.fitting.detectors import (
    DETECTORS,
    FaceDetector,
    KnownDetector,
    as_detector,
    detector_settings,
    open_detector,
)
from uvgen.fitting.detectors.faces import failing_with, native_log_without, with_room
from uvgen.fitting.detectors.mediapipe import _START_LOG
from uvgen.samples.landmark_schemes import to_68

IMAGE = np.full((90, 120, 3), 100, np.uint8)
ROOM = 60  # half of the longer side
FACE = np.random.default_rng(0).uniform(20, 60, (478, 2))

Fake = Callable[..., None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a module of some attributes where a package would be."""

    def put(name: str, **attributes: Any) -> None:
        module = ModuleType(name)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)

    return put


def shares(points: NDArray[np.float64], shape: tuple[int, ...]) -> list[SimpleNamespace]:
    """Points in px as MediaPipe gives them."""
    return [SimpleNamespace(x=(x + 0.5) / shape[1], y=(y + 0.5) / shape[0]) for x, y in points]


def mesh_that_finds(find: Callable[[NDArray[np.uint8]], list[NDArray[np.float64]]], far: Any = None) -> Any:
    def process(image: NDArray[np.uint8]) -> SimpleNamespace:
        faces = [SimpleNamespace(landmark=shares(points, image.shape)) for points in find(image)]
        return SimpleNamespace(multi_face_landmarks=faces or None)

    mesh = SimpleNamespace(FaceMesh=lambda **_: SimpleNamespace(process=process))
    detection = SimpleNamespace(process=lambda _: SimpleNamespace(detections=far))
    return SimpleNamespace(
        face_mesh=mesh, face_detection=SimpleNamespace(FaceDetection=lambda model_selection: detection)
    )


def test_mediapipe_gives_478_points_in_px_largest_first(fake: Fake) -> None:
    fake("mediapipe", solutions=mesh_that_finds(lambda _: [FACE / 2, FACE]))
    detector = open_detector("mediapipe")
    large, small = detector(IMAGE)
    np.testing.assert_allclose(large.points, FACE, atol=1e-9)
    np.testing.assert_allclose(small.points, FACE / 2, atol=1e-9)
    assert large.scheme == "478" and detector.notice == "" and np.isfinite(to_68(large)[0]).all()


def test_mediapipe_looks_again_with_room_around_the_image(fake: Fake) -> None:
    fake("mediapipe", solutions=mesh_that_finds(lambda image: [FACE + ROOM] if len(image) > 90 else []))
    (face,) = open_detector("mediapipe")(IMAGE)
    np.testing.assert_allclose(face.points, FACE, atol=1e-9)


def test_mediapipe_looks_for_the_mesh_in_the_box_of_a_far_face(fake: Fake) -> None:
    box = SimpleNamespace(xmin=0.5, ymin=0.5, width=0.1, height=0.1)  # x 60 to 72, y 45 to 54
    far = [SimpleNamespace(location_data=SimpleNamespace(relative_bounding_box=box))]
    fake("mediapipe", solutions=mesh_that_finds(lambda image: [FACE / 8] if len(image) < 40 else [], far))
    (face,) = open_detector("mediapipe")(IMAGE)
    np.testing.assert_allclose(face.points, FACE / 8 + [48, 36], atol=1e-9)


def test_mediapipe_without_weights_asks_for_them(fake: Fake, tmp_path: Path) -> None:
    fake("mediapipe", __version__="0.10.30")
    with pytest.raises(InputError, match=r"mediapipe 0\.10\.30 carries no weights.*argument `weights` of FaceDet"):
        open_detector("mediapipe")
    with pytest.raises(InputError, match=r"no\.task: not there, expected MediaPipe's face_landmarker\.task"):
        open_detector("mediapipe", tmp_path / "no.task")


def test_mediapipe_with_a_task_file_uses_it(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "a.task").write_bytes(b"x")
    made = []

    def create(options: Any) -> Any:
        made.append(options)
        if len(made) > 1:
            raise RuntimeError("Unable to open zip archive.")
        return SimpleNamespace(detect=lambda picture: SimpleNamespace(face_landmarks=[shares(FACE, picture.shape)]))

    fake("mediapipe", Image=lambda image_format, data: data, ImageFormat=SimpleNamespace(SRGB=1))
    fake("mediapipe.tasks", python=None)
    fake("mediapipe.tasks.python", BaseOptions=lambda model_asset_path: model_asset_path)
    fake(
        "mediapipe.tasks.python.vision",
        FaceLandmarkerOptions=lambda **given: given,
        FaceLandmarker=SimpleNamespace(create_from_options=create),
    )
    (face,) = open_detector("mediapipe", tmp_path / "a.task")(IMAGE)
    np.testing.assert_allclose(face.points, FACE, atol=1e-9)
    assert made[0]["base_options"] == str(tmp_path / "a.task")
    with pytest.raises(InputError, match=r"a\.task: MediaPipe cannot use it \(Unable to open zip archive"):
        open_detector("mediapipe", tmp_path / "a.task")


def dlib_that_finds(find: Callable[[NDArray[np.uint8], int], list[Any]]) -> dict[str, Any]:
    def predict(image: NDArray[np.uint8], rectangle: NDArray[np.float64]) -> Any:
        return SimpleNamespace(parts=lambda: [SimpleNamespace(x=x, y=y) for x, y in rectangle])

    def predictor(path: str) -> Any:
        if "bad" in path:
            raise RuntimeError("Unexpected version found while deserializing")
        return predict

    return {"get_frontal_face_detector": lambda: find, "shape_predictor": predictor}


def test_dlib_gives_68_points_and_tells_the_license_of_its_weights(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "a.dat").touch()
    fake("dlib", **dlib_that_finds(lambda image, up: [FACE[:68]]))
    detector = open_detector("dlib", tmp_path / "a.dat")
    (face,) = detector(IMAGE)
    assert face.scheme == "68" and np.array_equal(face.points, FACE[:68])
    assert "research only" in detector.notice


def test_dlib_looks_again_larger_and_with_room(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "a.dat").touch()
    asked = []

    def find(image: NDArray[np.uint8], up: int) -> list[Any]:
        asked.append((image.shape[:2], up))
        return [FACE[:68] + ROOM] if len(asked) == 4 else []

    fake("dlib", **dlib_that_finds(find))
    (face,) = open_detector("dlib", tmp_path / "a.dat")(IMAGE)
    assert asked == [((90, 120), 0), ((90, 120), 1), ((210, 240), 0), ((210, 240), 1)]
    np.testing.assert_allclose(face.points, FACE[:68])


@pytest.mark.parametrize("shape", [(60000, 1), (2500, 9000)])
def test_with_room_around_a_large_image_it_is_made_smaller(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    image[4000 % shape[0] :, 5000 % shape[1] :][:200, :300] = 255
    asked = []

    def find(wide: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        asked.append(wide.shape[0] * wide.shape[1])
        rows, columns = np.nonzero(wide[..., 0])
        return [np.array([[columns.mean(), rows.mean()]])] if len(asked) > 1 else []

    (points,) = with_room(image, find, "constant")
    rows, columns = np.nonzero(image[..., 0])
    np.testing.assert_allclose(points, [[columns.mean(), rows.mean()]], atol=11)  # half a square of 22 px
    assert asked[0] == image[..., 0].size and asked[1] <= 1 << 24


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (MemoryError(), MemoryError, "memory ran out while dlib looked for faces in it"),
        (RuntimeError("CUDA out of memory"), UvgenError, r"dlib failed \(RuntimeError: CUDA out of memory\)"),
    ],
)
def test_a_detector_that_fails_names_the_image(
    tmp_path: Path, raised: Exception, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=rf"a\.jpg: {message}"), failing_with("dlib", tmp_path / "a.jpg"):
        raise raised


def test_dlib_finds_packaged_weights_without_importing_them(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("dlib", **dlib_that_finds(lambda image, up: []))
    package = tmp_path / "face_recognition_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match=r"no weights of dlib's 68 points.*pip install .\.\[dlib\]. in uvgen"):
        open_detector("dlib")
    (package / "models/shape_predictor_68_face_landmarks.dat").touch()
    assert open_detector("dlib")(IMAGE) == []


def test_dlib_with_wrong_weights_names_them(fake: Fake, tmp_path: Path) -> None:
    fake("dlib", **dlib_that_finds(lambda image, up: [FACE[:5]]))
    (tmp_path / "bad.dat").touch()
    with pytest.raises(InputError, match=r"bad\.dat: dlib cannot use it \(Unexpected version"):
        open_detector("dlib", tmp_path / "bad.dat")
    (tmp_path / "five.dat").touch()
    with pytest.raises(InputError, match="weights give 5 points, expected those of 68"):
        open_detector("dlib", tmp_path / "five.dat")(IMAGE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_weights_that_are_no_file_are_called_what_they_are(fake: Fake, tmp_path: Path) -> None:
    fake("dlib", **dlib_that_finds(lambda image, up: []))
    os.mkfifo(tmp_path / "pipe.dat")
    for name, what in (("pipe.dat", "a named pipe"), (".", "a folder"), ("none.dat", "not there")):
        with pytest.raises(InputError, match=rf": {what}, expected dlib's shape_predictor_68"):
            open_detector("dlib", tmp_path / name)


def test_face_alignment_gives_scored_points_and_boxes(fake: Fake) -> None:
    boxes = [[1, 2, 9, 12, 0.9]] * 2
    answers = iter([([FACE[:68] / 2, FACE[:68]], [np.full((68, 1), 1.2), np.full(68, 0.5)], boxes), None])
    network = SimpleNamespace(get_landmarks_from_image=lambda image, **_: next(answers))
    fake("torch", cuda=SimpleNamespace(is_available=lambda: False))
    fake("face_alignment", LandmarksType=SimpleNamespace(_2D=1), FaceAlignment=lambda kind, **_: network)
    detector = open_detector("face-alignment")
    large, small = detector(IMAGE)
    assert large.scores is not None and small.scores is not None and large.box is not None
    assert large.scores.tolist() == [0.5] * 68 and small.scores.tolist() == [1] * 68
    assert large.box.tolist() == [1, 2, 8, 10] and np.array_equal(large.points, FACE[:68])
    assert detector(IMAGE) == [] and "downloads" in detector.notice


def test_face_alignment_that_cannot_download_says_so(fake: Fake, tmp_path: Path) -> None:
    def fails(kind: int, **_: Any) -> None:
        raise OSError("no route")

    fake("torch", cuda=SimpleNamespace(is_available=lambda: False))
    fake("face_alignment", LandmarksType=SimpleNamespace(TWO_D=1), FaceAlignment=fails)
    with pytest.raises(DependencyError, match=r"cannot be opened \(no route\); it downloads its weights"):
        open_detector("face-alignment")
    with pytest.raises(InputError, match="expected no file of weights"):
        open_detector("face-alignment", tmp_path)


@pytest.mark.parametrize("name", DETECTORS)
def test_open_detector_without_its_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = DETECTORS[name]
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not there
    wanted = "face-alignment" if name == "face-alignment" else f'".[{name}]"'
    with pytest.raises(DependencyError) as caught:
        open_detector(name)
    assert f"detector: {package} is not installed; pip install {wanted}" in str(caught.value)


def test_native_log_without_a_pattern_shows_the_rest_of_what_was_said(capfd: pytest.CaptureFixture[str]) -> None:
    with native_log_without(_START_LOG):
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nfitting 3 of 9\r")
        os.write(2, b"W0000 00:00:1795747983.060966    4055 manager.cc:114] Disabling.\nE0000 00:00:1 no disk\n")
    os.write(2, b"then\n")
    assert capfd.readouterr().err == "fitting 3 of 9\rE0000 00:00:1 no disk\nthen\n"
    with pytest.raises(ValueError, match="own"), native_log_without(b"why"):
        os.write(2, b"why it failed")
        raise ValueError("own")
    assert capfd.readouterr().err == " it failed"


def test_face_detector_names_its_weights_wherever_work_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.dat").write_bytes(b"1")
    detector = FaceDetector("dlib", "a.dat")
    monkeypatch.chdir("/")
    assert detector.weights == tmp_path / "a.dat" and detector == FaceDetector("dlib", tmp_path / "a.dat")
    stated = detector_settings(detector)
    assert stated == {"detector": "dlib", "detector_sha256": hashlib.sha256(b"1").hexdigest()}
    assert detector_settings(FaceDetector("dlib")) == {"detector": "dlib", "detector_sha256": None}
    assert detector_settings(None) == {"detector": None, "detector_sha256": None}


def test_what_is_no_detector_is_refused() -> None:
    assert as_detector("dlib") == KnownDetector("dlib") and as_detector(None) is None
    with pytest.raises(InputError, match="detector: 8, expected its name, a FaceDetector, or None"):
        as_detector(8)


def test_open_detector_of_another_name_lists_them() -> None:
    with pytest.raises(InputError, match=r"mtcnn', expected 'mediapipe', 'dlib' or"):
        open_detector("mtcnn")


def test_detectors_refuse_what_is_no_rgb_image(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "a.dat").touch()
    fake("dlib", **dlib_that_finds(lambda image, up: []))
    with pytest.raises(InputError, match="image: float64"):
        open_detector("dlib", tmp_path / "a.dat")(np.ones((9, 9, 3)))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dlib", "mediapipe"])
def test_detector_finds_the_faces_of_real_photographs(name: str, reference: Path) -> None:
    if importlib.util.find_spec(DETECTORS[name]) is None:
        pytest.skip(f"{name} is not installed")
    detector = open_detector(name)
    assert detector(np.full((150, 100, 3), 128, np.uint8)) == []
    errors = []
    for path in sorted((reference / "aflw2000").glob("*.jpg")):
        truth = sio.loadmat(path.with_suffix(".mat"))["pt3d_68"][:2].T - 1.0
        faces = detector(np.array(Image.open(path).convert("RGB")))
        if faces:
            error = np.linalg.norm(to_68(faces[0])[0] - truth, axis=1)[17:].mean()
            errors.append(error / np.sqrt(np.ptp(truth, axis=0).prod()))
    assert len(errors) >= (12 if name == "dlib" else 16)
    assert np.median(errors) < 0.035
