"""Reading a sample's parameters and its image."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from support.examples import examples
from support.toy import HEIGHT, N_EXPRESSION, N_SHAPE, WIDTH, parameters, picture

from uvgen.errors import InputError, SampleError
from uvgen.geometry import LANDMARK_MIRROR
from uvgen.samples.files import files_sha256
from uvgen.samples.find import Sample, find_samples
from uvgen.samples.read import read_annotation, read_image, read_oriented_image

# Parameters


def annotated(folder: Path, content: dict[str, Any], subset: str = "AFW", *, compressed: bool = False) -> Sample:
    sio.savemat(folder / "face.mat", content, do_compression=compressed)
    return Sample(f"{subset}/face", subset, folder / "face.jpg", folder / "face.mat")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_read_annotation_of_three_keys_rounds_to_float32(tmp_path: Path, dtype: type, compressed: bool) -> None:
    content = {k: parameters(3)[k].astype(dtype) for k in ("Pose_Para", "Shape_Para", "Exp_Para")}
    annotation = read_annotation(annotated(tmp_path, content, compressed=compressed))
    for key, found, n in (
        ("Pose_Para", annotation.pose, 7),
        ("Shape_Para", annotation.shape, N_SHAPE),
        ("Exp_Para", annotation.expression, N_EXPRESSION),
    ):
        assert found.shape == (n,) and found.dtype == np.float32
        np.testing.assert_array_equal(found, content[key].ravel().astype(np.float32))
    assert annotation.landmarks_2d is None


def test_read_annotation_counts_landmark_pixels_from_zero(tmp_path: Path) -> None:
    points = np.arange(136.0).reshape(2, 68)
    found = read_annotation(annotated(tmp_path, parameters() | {"pt2d": points})).landmarks_2d
    np.testing.assert_array_equal(found, points.T - 1)


@pytest.mark.parametrize("unmarked", [0, 1, 60])
def test_read_annotation_takes_points_in_one_place_for_none_whatever_is_unmarked(tmp_path: Path, unmarked: int) -> None:
    points = np.full((2, 68), 50.0)
    points[:, :unmarked] = -1
    found = read_annotation(annotated(tmp_path, parameters() | {"pt2d": points}))
    assert found.landmarks_2d is None and found.unused == "pt2d (all in one point or line)"


def test_read_annotation_keeps_few_marked_points_in_a_line(tmp_path: Path) -> None:
    points = np.full((2, 21), -1.0)
    points[:, :2] = [[50, 50], [30, 60]]
    found = read_annotation(annotated(tmp_path, parameters() | {"pt2d": points})).landmarks_21
    assert found is not None
    np.testing.assert_array_equal(found[:3], [[49, 29], [49, 59], [np.nan, np.nan]])


def test_read_annotation_of_flipped_subset_reorders_landmarks(tmp_path: Path) -> None:
    points = np.arange(136.0).reshape(2, 68)
    found = read_annotation(annotated(tmp_path, parameters() | {"pt2d": points}, "AFW_Flip")).landmarks_2d
    assert found is not None
    # the right end of the jaw in the original image is column 16, and 0 after mirroring; likewise the eyes' corners
    np.testing.assert_array_equal(found[[0, 36, 27, 66], 0] + 1, [16, 45, 27, 66])
    np.testing.assert_array_equal(found, points.T[LANDMARK_MIRROR] - 1)


def test_read_annotation_with_21_landmarks_of_aflw_takes_those_that_both_sets_have(tmp_path: Path) -> None:
    points = np.arange(42.0).reshape(2, 21) + 1
    points[:, 4] = -1  # not visible
    found = read_annotation(annotated(tmp_path, parameters() | {"pt2d": points}))
    assert found.landmarks_2d is None and found.landmarks_21 is not None and found.landmarks is not None
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found.landmarks_21).any(axis=1)), [4])
    np.testing.assert_array_equal(found.landmarks[30], [14, 35])  # the nose's tip is AFLW's point 15
    assert np.isfinite(found.landmarks).all(axis=1).sum() == 15  # 16 are in both, one of them hidden


def test_read_annotation_of_aflw2000_takes_its_68_points_in_space(tmp_path: Path) -> None:
    points = np.arange(204.0).reshape(3, 68)
    content = parameters() | {"pt2d": np.ones((2, 21)), "pt3d_68": points}
    found = read_annotation(annotated(tmp_path, content))
    np.testing.assert_array_equal(found.landmarks, points.T - [1, 1, 0])


@pytest.mark.parametrize("key", ["Pose_Para", "Shape_Para", "Exp_Para", "pt2d", "pt3d_68"])
def test_read_annotation_takes_rows_and_columns_alike(tmp_path: Path, key: str) -> None:
    content = parameters() | {"pt3d_68": np.arange(204.0).reshape(3, 68)}
    straight = read_annotation(annotated(tmp_path, content))
    turned = read_annotation(annotated(tmp_path, content | {key: content[key].T}))
    for name in ("pose", "shape", "expression", "landmarks_2d", "landmarks_3d"):
        np.testing.assert_array_equal(getattr(turned, name), getattr(straight, name))


def test_read_annotation_of_a_matrix_for_a_vector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"face\.mat: Exp_Para is a matrix of \(5, 2\), expected a row or a column"):
        read_annotation(annotated(tmp_path, parameters() | {"Exp_Para": np.ones((5, 2))}))


def test_read_annotation_reads_extras_that_are_asked_for(tmp_path: Path) -> None:
    sample = annotated(tmp_path, parameters() | {"Tex_Para": np.arange(9.0)[:, None], "Color_Para": np.ones((1, 7))})
    assert read_annotation(sample).extras == {}
    extras = read_annotation(sample, ("tex", "illum")).extras
    assert extras is not None and list(extras) == ["tex"]
    np.testing.assert_array_equal(extras["tex"], np.arange(9, dtype=np.float32))


def test_read_annotation_of_real_flips_mirrors_the_original_landmarks(reference: Path) -> None:
    samples = {sample.name: sample for sample in find_samples(reference / "w300lp")}
    pairs = [
        (s, samples[f"AFW_Flip/{n[4:]}"]) for n, s in samples.items() if f"AFW_Flip/{n.removeprefix('AFW/')}" in samples
    ]
    assert pairs
    for original, flipped in pairs:
        width = read_image(original).shape[1]
        left, right = read_annotation(original).landmarks_2d, read_annotation(flipped).landmarks_2d
        assert left is not None and right is not None
        mirrored = left[LANDMARK_MIRROR] * [-1, 1] + [width - 1, 0]
        np.testing.assert_allclose(right, mirrored, atol=1e-9)  # px; float64 either way


def test_read_annotation_of_real_files_gives_what_scipy_reads(reference: Path) -> None:
    samples = [s for folder in ("w300lp", "aflw2000", "minimal_mat") for s in find_samples(reference / folder)]
    assert len(samples) > 20
    for sample in samples:
        assert sample.parameters is not None
        expected, found = sio.loadmat(sample.parameters), read_annotation(sample)
        for key, values in (
            ("Shape_Para", found.shape), ("Exp_Para", found.expression), ("Pose_Para", found.pose)
        ):  # fmt: skip
            np.testing.assert_array_equal(values, expected[key].ravel().astype(np.float32))


@pytest.mark.parametrize("key", ["Pose_Para", "Shape_Para", "Exp_Para"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_read_annotation_not_finite_is_refused(tmp_path: Path, key: str, bad: float) -> None:
    content = parameters()
    content[key] = content[key].astype(np.float64)
    content[key].flat[-1] = bad
    with pytest.raises(SampleError, match=rf"face\.mat: {key} holds NaN or infinity; "):
        read_annotation(annotated(tmp_path, content))


@pytest.mark.parametrize("key", ["Pose_Para", "Shape_Para", "Exp_Para"])
def test_read_annotation_missing_key_is_refused(tmp_path: Path, key: str) -> None:
    content = parameters()
    del content[key]
    with pytest.raises(SampleError, match=rf"face\.mat: {key} is missing, expected"):
        read_annotation(annotated(tmp_path, content))


@pytest.mark.parametrize("n", [0, 6, 8])
def test_read_annotation_wrong_pose_count_is_refused(tmp_path: Path, n: int) -> None:
    with pytest.raises(SampleError, match=rf"face\.mat: Pose_Para has {n} numbers, expected 7"):
        read_annotation(annotated(tmp_path, parameters() | {"Pose_Para": np.zeros((1, n))}))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("0.1 0.2", id="text"),
        pytest.param(np.array([["a"], ["b"]], dtype=object), id="cell of text"),
        pytest.param(np.ones((1, 7)) * 1j, id="complex"),
        pytest.param({"pitch": 0.1}, id="struct"),
        pytest.param(scipy.sparse.csc_matrix(np.ones((1, 7))), id="sparse"),
    ],
)
def test_read_annotation_of_something_else_than_numbers_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(SampleError, match=r"face\.mat: Pose_Para"):
        read_annotation(annotated(tmp_path, parameters() | {"Pose_Para": value}))


def test_read_annotation_landmarks_of_text_do_not_break_the_reading(tmp_path: Path) -> None:
    """They are a by-product: a sample is as good without them."""
    cell = np.full((2, 68), "x", dtype=object)
    annotation = read_annotation(annotated(tmp_path, parameters() | {"pt2d": cell}))
    assert annotation.landmarks_2d is None
    np.testing.assert_array_equal(annotation.pose, parameters()["Pose_Para"].ravel())


@pytest.mark.parametrize("content", [b"", b"not a MATLAB file", b"\0" * 300, b"\x89HDF\r\n\x1a\n" + b"\0" * 600])
def test_read_annotation_not_a_matlab_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "face.mat").write_bytes(content)
    with pytest.raises(SampleError, match=r"face\.mat: .*; "):
        read_annotation(Sample("face", "AFW", None, tmp_path / "face.mat"))


@examples(40)
@given(kept=st.floats(0, 1, exclude_max=True))
def test_read_annotation_of_truncated_file_is_refused(tmp_path_factory: pytest.TempPathFactory, kept: float) -> None:
    content = {key: value for key, value in parameters().items() if key.endswith("Para")}  # none may be lost
    sample = annotated(tmp_path_factory.mktemp("truncated"), content)
    assert sample.parameters is not None
    whole = sample.parameters.read_bytes()
    sample.parameters.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(SampleError, match=r"face\.mat: "):
        read_annotation(sample)


_DAMAGE = """
import sys
from pathlib import Path
from uvgen.errors import SampleError
from uvgen.samples.find import Sample
from uvgen.samples.read import read_annotation

path = Path(sys.argv[1])
whole = path.read_bytes()
for k in range(len(whole)):
    path.write_bytes(whole[:k] + bytes([whole[k] ^ 0xFF]) + whole[k + 1 :])
    print(k, flush=True)
    try:
        read_annotation(Sample("face", "AFW", None, path))
    except SampleError as error:
        assert "face.mat: " in str(error), error
"""


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.slow
def test_read_annotation_with_any_byte_damaged_neither_crashes_nor_raises_another_error(
    tmp_path: Path, compressed: bool
) -> None:
    """In a process of its own: SciPy's reader dies of some damages, and would take the whole build along."""
    sample = annotated(tmp_path, parameters(), compressed=compressed)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _DAMAGE, str(sample.parameters)], capture_output=True, text=True
    )
    assert run.returncode == 0, f"byte {run.stdout.split()[-1:]}: status {run.returncode}\n{run.stderr[-2000:]}"


# Images


def of_image(path: Path) -> Sample:
    return Sample("AFW/face", "AFW", path, None)


def png_with_header(width: int, height: int, bits: int, color: int, data: bytes) -> bytes:
    """A PNG put together by hand, as no writer would make it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("suffix", "convert", "tolerance"),
    [
        # gray levels, on average over the image: JPEG at quality 95 of a smooth picture; lossless PNG
        pytest.param(".jpg", lambda image: image, 3, id="RGB JPEG"),
        pytest.param(".jpg", lambda image: image.convert("CMYK"), 3, id="CMYK JPEG"),
        pytest.param(".png", lambda image: image, 0, id="RGB PNG"),
        pytest.param(".png", lambda image: image.convert("RGBA"), 0, id="RGBA PNG"),
        pytest.param(".png", lambda image: image.convert("L"), 0, id="gray PNG"),
        pytest.param(".jpg", lambda image: image.convert("L"), 3, id="gray JPEG"),
        pytest.param(".png", lambda image: image.convert("P"), 0, id="palette PNG"),
        pytest.param(".png", lambda image: image.convert("1"), 0, id="black and white PNG"),
    ],
)
def test_read_image_of_any_mode_gives_rgb(
    tmp_path: Path, suffix: str, convert: Callable[[Image.Image], Image.Image], tolerance: float
) -> None:
    image = convert(Image.fromarray(picture(4)))
    image.save(tmp_path / f"face{suffix}", **({"quality": 95} if suffix == ".jpg" else {}))
    found = read_image(of_image(tmp_path / f"face{suffix}"))
    assert found.shape == (HEIGHT, WIDTH, 3) and found.dtype == np.uint8
    expected = np.asarray(image.convert("RGB"), dtype=float)
    assert np.abs(found - expected).mean() <= tolerance


def test_read_image_with_jpeg_in_a_png_name_is_read(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "face.png", format="JPEG")
    assert read_image(of_image(tmp_path / "face.png")).shape == (HEIGHT, WIDTH, 3)


def bad_image(kind: str) -> bytes:
    whole = io.BytesIO()
    Image.fromarray(picture()).save(whole, format="PNG" if "PNG" in kind else "JPEG")
    return {
        "empty": b"",
        "text": b"<html>404 Not Found</html>",
        "JPEG cut in half": whole.getvalue()[: whole.tell() // 2],
        "JPEG cut in its header": whole.getvalue()[:20],
        "PNG cut in half": whole.getvalue()[: whole.tell() // 2],
        "PNG of 16 bits": png_with_header(5, 3, 16, 0, b"\0" + b"\0" * 10 + b"\0" + b"\0" * 10 + b"\0" + b"\0" * 10),
        "PNG that claims to be huge": png_with_header(60000, 60000, 8, 2, b"\0" * 100),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["empty", "text", "JPEG cut in half", "JPEG cut in its header", "PNG cut in half", "PNG of 16 bits",
     "PNG that claims to be huge"],
)  # fmt: skip
def test_read_image_that_is_bad_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "face.jpg").write_bytes(bad_image(kind))
    with pytest.raises(SampleError, match=r"face\.jpg: not a readable image .*(copy it again|expected)"):
        read_image(of_image(tmp_path / "face.jpg"))


def test_read_image_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    for name in ("gone.jpg", "."):
        with pytest.raises(SampleError, match="cannot be read"):
            read_image(of_image(tmp_path / name))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_image_with_exif_orientation_is_turned_where_that_is_asked_for(
    tmp_path: Path, kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "face.jpg"
    Image.fromarray(picture()).save(path, kind, quality=95, exif=exif.tobytes())
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    stored, found = read_oriented_image(of_image(path))
    assert found == orientation and stored.shape == (HEIGHT, WIDTH, 3)
    turned = read_image(of_image(path), exif="apply")
    assert turned.shape == expected.shape and np.abs(turned - expected).max() <= 2  # two decoders
    assert turned.flags.c_contiguous


def test_read_image_finds_exif_behind_fill_bytes_and_other_segments(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / "face.jpg"
    Image.fromarray(picture()).save(path, quality=95, exif=exif.tobytes(), icc_profile=b"profile" * 5000)
    data = path.read_bytes()
    start = data.index(b"\xff\xe1")
    comment = b"\xff\xfe\x00\x06Exif"
    path.write_bytes(data[:2] + comment + data[2:start] + b"\xff\xff" + data[start:])
    assert read_oriented_image(of_image(path))[1] == 3


def test_read_image_with_damaged_exif_is_read_as_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "face.jpg"
    Image.fromarray(picture()).save(path, quality=95, exif=exif.tobytes())
    data = path.read_bytes()
    for k in range(data.index(b"Exif") + 6, data.index(b"Exif") + 30):
        path.write_bytes(data[:k] + bytes([data[k] ^ 0xFF]) + data[k + 1 :])
        assert read_image(of_image(path)).shape == (HEIGHT, WIDTH, 3)


def test_read_image_with_unknown_exif_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exif: 'turn', expected 'ignore' or 'apply'"):
        read_image(of_image(tmp_path / "face.jpg"), exif="turn")


def test_hash_of_a_samples_files_is_another_one_with_another_bound_of_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a picture that was too large is tried again when the bound is raised, as its message says."""
    (tmp_path / "a.jpg").write_bytes(b"1")
    sample = Sample("a", "", tmp_path / "a.jpg", None)
    found = files_sha256(sample)
    monkeypatch.setenv("UVGEN_MAX_PIXELS", "500000000")
    assert files_sha256(sample) != found
