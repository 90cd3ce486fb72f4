"""What a `.mat` that is none is said to be."""

import gzip
import io

import numpy as np
import pytest
import scipy.io as sio
from PIL import Image

from uvgen.storage.matfile import read_numeric


def matlab4() -> bytes:
    stream = io.BytesIO()
    sio.savemat(stream, {"Pose_Para": np.zeros((1, 7))}, format="4")
    return stream.getvalue()


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (matlab4(), "^MATLAB 4 format; save it with '-v7'"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM", "^MATLAB 7.3 format; save it with '-v7'"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, "^MATLAB 7.3 format"),
        (b"<!DOCTYPE html><html>" + b" " * 300, "^an HTML page, .*, no MATLAB 5 header"),
        (b"", "^an empty file, no MATLAB 5 header"),
        (b"\0" * 9000, "^nothing but zero bytes"),
        (b"0.1 0.2 0.3", "^text, no MATLAB 5 header"),
        (png(), "^a PNG image"),
        (gzip.compress(bytes(range(256))), "^a gzip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "^a Git LFS pointer"),
    ],
)
def test_read_numeric_of_something_else_says_what_it_is(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_numeric(data, ("Pose_Para",))
