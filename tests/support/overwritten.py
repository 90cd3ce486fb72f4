"""A model whose file is overwritten while it is in use."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from uvgen import load_model, save_model
from uvgen.models.morphable import MorphableModel


def overwritten(model: MorphableModel, folder: Path) -> MorphableModel:
    """The model, mapped from a file that holds another one by now."""
    path, other = folder / "model.h5", folder / "other.h5"
    save_model(model, path)
    save_model(dataclasses.replace(model, basis=model.basis * np.float32(1.5)), other)
    mapped = load_model(path)
    path.write_bytes(other.read_bytes())
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    return mapped
