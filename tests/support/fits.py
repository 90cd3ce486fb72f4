"""Whether a model can be fitted at all."""

from pathlib import Path

import numpy as np

from uvgen import find_samples, fit_landmarks, read_annotation
from uvgen.geometry import rotation_matrices
from uvgen.models.morphable import MorphableModel


def assert_fits(model: MorphableModel, samples: Path) -> None:
    """A model fitted to the landmarks of its own faces goes through them, nearly."""
    said = [read_annotation(sample) for sample in find_samples(samples)]
    fit = fit_landmarks(np.stack([one.landmarks for one in said]), model, 64, jaw="fixed")
    assert fit.residual.max() < 0.03
    toward = rotation_matrices(fit.pose[:, :3]) @ np.swapaxes(rotation_matrices([one.pose[:3] for one in said]), 1, 2)
    assert ((np.trace(toward, axis1=1, axis2=2) - 1) / 2 > np.cos(np.deg2rad(25))).all()
