"""Naming files by their content: one file of each kind, made by the program that makes such files."""

import gzip
import io
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io as sio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.toy import toy_model

from uvgen import save_model
from uvgen.storage.kinds import describe_file, describe_head, describe_non_text


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(stream, kind)
    return stream.getvalue()


def matlab(**options: str) -> bytes:
    stream = io.BytesIO()
    sio.savemat(stream, {"x": np.ones((2, 3))}, **options)
    return stream.getvalue()


def archive(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(name, b"content")
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        file.addfile(tarfile.TarInfo("a"), None)
    return stream.getvalue()


def array(save: object) -> bytes:
    stream = io.BytesIO()
    save(stream, np.ones(3))  # type: ignore[operator]
    return stream.getvalue()


BINARY_STL = b"solid is no sign".ljust(80) + (2).to_bytes(4, "little") + b"\0" * 100
CONTENT = {
    "empty": (b"", "an empty file"),
    "zeros": (b"\0" * 10_000, "nothing but zero bytes"),
    "PNG": (picture("PNG"), "a PNG image"),
    "JPEG": (picture("JPEG"), "a JPEG image"),
    "PPM": (picture("PPM"), "a PPM image"),
    "GIF": (picture("GIF"), "a GIF image"),
    "TIFF": (picture("TIFF"), "a TIFF image"),
    "BMP": (picture("BMP"), "a BMP image"),
    "WebP": (picture("WEBP"), "a WebP image"),
    "MATLAB 5": (matlab(), "a MATLAB 5 to 7 file"),
    "MATLAB 4": (matlab(format="4"), "a MATLAB 4 file"),
    "MATLAB 7.3": (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "a MATLAB 7.3 file"),
    "npy": (array(np.save), "a NumPy .npy array"),
    "npz": (array(np.savez), "a NumPy .npz archive"),
    "ZIP": (archive("a.txt"), "a ZIP archive"),
    "PyTorch": (archive("model/data.pkl"), "a PyTorch file"),
    "gzip": (gzip.compress(b"x"), "a gzip archive"),
    "tar": (tar(), "a tar archive"),
    "RAR": (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
    "PDF": (b"%PDF-1.7\n", "a PDF document"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript document"),
    "HTML": (b"\n <!-- x --> <HTML lang='en'>", "an HTML page"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
    "XML": (b"<?xml version='1.0'?>", "an XML document"),
    "JSON": (b'{"a": 1}', "a JSON document"),
    "text": ("Zoë\nb\n".encode(), "text"),
    "UTF-16": ("Zoë\nb\n".encode("utf-16"), "text"),
    "pickle": (pickle.dumps({"a": np.ones(3)}), "a Python pickle"),
    "pickle 0": (pickle.dumps([1, 2], 0), "a Python pickle"),
    "pickle of Python 2, protocol 1": (b"}q\x01(U\x01aK\x01u.", "a Python pickle"),
    "pickle of an OrderedDict": (pickle.dumps(OrderedDict(a=1), 0), "a Python pickle"),
    "FLAME": (pickle.dumps({"shapedirs": 1, "kintree_table": 2}, 2), "a Python pickle, a model of the FLAME"),
    "3DDFA_V2": (pickle.dumps({"u": 1, "w_shp": 2, "w_exp": 3}), "a Python pickle, 3DDFA_V2's face model"),
    "OBJ": (b"# x\nv 0 0 1.5\nv 1 0 0\n", "an OBJ mesh"),
    "OFF": (b"OFF\n3 1 0\n", "an OFF mesh"),
    "PLY": (b"ply\nformat ascii 1.0\n", "a PLY mesh"),
    "STL": (b"solid a\nfacet normal 0 0 1\n", "an ASCII STL mesh"),
    "binary STL": (BINARY_STL, "a binary STL mesh"),
    "GLB": (b"glTF\2\0\0\0" + b"\x40\1\0\0", "a GLB mesh"),
    "AppleDouble": (b"\0\5\x16\7\0\2\0\0Mac OS X        ", "a macOS AppleDouble file"),
    "program": (b"\x7fELF\2\1\1\0" + bytes(range(90)), "a file of unknown kind"),
}


@pytest.mark.parametrize("kind", CONTENT)
def test_describe_file_names_each_kind(tmp_path: Path, kind: str) -> None:
    content, expected = CONTENT[kind]
    (tmp_path / "file").write_bytes(content)
    assert describe_file(tmp_path / "file").startswith(expected)
    assert sum(describe_head(content).startswith(other) for _, other in CONTENT.values()) >= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("order", ["<", ">"])
def test_describe_file_knows_matlab_4_of_both_byte_orders(order: str, dtype: type) -> None:
    kind = {np.uint8: 50, np.float32: 10}[dtype] + (1000 if order == ">" else 0)
    head = np.array([kind, 1, 7, 0, 10], order + "i4").tobytes() + b"Pose_Para\0"
    assert describe_head(head + b"\0" * 28) == "a MATLAB 4 file"


@pytest.mark.parametrize(
    "text", ["GIF8_1.jpg", "BM_1", "OFF/a", "ply_1", "solid", "c1.jpg", "copy", "PK1", "8BPS", "MM*"]
)
def test_names_that_begin_like_a_binary_file_are_text(text: str) -> None:
    assert describe_head(f"{text}\nb\n".encode()) == "text"
    assert describe_non_text(f"{text}\nb\n".encode()) is None


@pytest.mark.parametrize("text", ["IMG_0001", "MI/face_1", "custard_1"])
def test_text_with_the_letters_of_a_binary_file_anywhere_in_it_is_text(text: str) -> None:
    for start in range(len(text) + 1):
        data = ("x" * start + f"\n{text}" * 40).encode()
        assert describe_non_text(data) is None, start


def test_describe_file_opens_hdf5_for_its_names(tmp_path: Path) -> None:
    save_model(toy_model(), tmp_path / "own.h5")
    assert describe_file(tmp_path / "own.h5") == "a uvgen model"
    for name, expected in (("shape/model/mean", "a Basel Face Model of 2017 or 2019"), ("x", "an HDF5 file")):
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file[name] = np.ones(3)
        assert describe_file(tmp_path / "other.h5") == expected
    whole = (tmp_path / "own.h5").read_bytes()
    (tmp_path / "own.h5").write_bytes(whole[: len(whole) // 2])
    assert describe_file(tmp_path / "own.h5") == "an HDF5 file"


def test_describe_file_of_damaged_hdf5_files_raises_nothing(reference: Path) -> None:
    paths = sorted((reference / "hdf5_cve").glob("*.h5"))
    assert len(paths) > 100
    assert {describe_file(path) for path in paths} == {"an HDF5 file", "a MATLAB 7.3 file"}


def test_describe_file_of_a_folder_and_of_nothing(tmp_path: Path) -> None:
    assert describe_file(tmp_path) == "a folder"
    assert describe_file(tmp_path / "gone") == "a file that cannot be read"


@given(st.binary(max_size=300))
def test_describe_head_of_any_bytes_gives_a_name(head: bytes) -> None:
    kind = describe_head(head)
    assert kind.split()[0] in ("a", "an", "text", "nothing")
