"""A small data set and predictions of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.builds import have
from support.toy import write_tree

from uvgen import open_shards

Change = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    """Nine samples, crops of 32 px, maps of 48 texels."""
    folder = tmp_path_factory.mktemp("evaluation")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture
def predict(shards: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a prediction for each sample: its true map or landmarks after a change."""
    return predictor(shards, tmp_path)


@pytest.fixture(scope="module")
def predict_once(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """As `predict`, for fixtures of a whole file."""
    return predictor(shards, tmp_path_factory.mktemp("predicted"))


def predictor(shards: Path, place: Path) -> Callable[..., Path]:
    def write(change: Change = lambda values: values, *, field: str = "posmap", skip: int = 0) -> Path:
        folder = place / "predictions"
        for sample in list(open_shards(shards))[skip:]:
            path = folder / f"{sample['name']}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, change(sample[field].astype(np.float64)))
        return folder

    return write
