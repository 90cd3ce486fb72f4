"""Photographs to fit: synthetic ones, each with its landmarks in a text file beside it."""

import shutil
from pathlib import Path

import numpy as np

from uvgen import SynthOptions, find_samples, read_annotation, render_faces


def write_photographs(folder: Path, count: int = 6) -> Path:
    """Write `count` pictures of 128 px, ``IBUG_image_0001_0.jpg`` and so on, and their ``.txt``; return the folder."""
    drawn = folder.with_name(f"{folder.name} drawn")
    render_faces(drawn, count, options=SynthOptions(size=128, subsets=("IBUG",), flip=False))
    folder.mkdir()
    for sample in find_samples(drawn):
        landmarks = read_annotation(sample).landmarks_2d
        assert sample.image is not None and landmarks is not None
        shutil.copy(sample.image, folder / sample.image.name)
        np.savetxt(folder / f"{sample.image.stem}.txt", landmarks, fmt="%.4f")
    shutil.rmtree(drawn)
    return folder
