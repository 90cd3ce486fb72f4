"""Model files that are overwritten while a command uses them: nothing is written of what they held in between."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.builds import SMALL, have
from support.overwritten import overwritten
from support.photographs import write_photographs
from support.scans import write_scans
from support.toy import write_tree

from uvgen import (
    Augmentation,
    evaluate_predictions,
    export_shards,
    fit_photographs,
    load_model,
    register_scans,
    render_faces,
    render_preview,
    verify_shards,
    write_report,
)
from uvgen.datasets.augmented import augment_shards
from uvgen.errors import ModelError
from uvgen.models.morphable import MorphableModel


def made(out: Path) -> list[Path]:
    """Files that show that something was made: all but hidden ones, an index and constants, which come first."""
    first = ("dataset.json", "fit.json", "synth.json", "register.json", "constants.npz")
    return [path for path in out.rglob("*") if path.is_file() and path.name not in first and path.name[0] != "."]


WORK: dict[str, Callable[[Path, Path, MorphableModel], Any]] = {
    "export": lambda shards, out, model: export_shards(shards, out, "npy", model=model),
    "report": lambda shards, out, model: write_report(shards, out, model=model),
    "preview": lambda shards, out, model: render_preview(shards, out / "sheet.png", model=model),
    "verify": lambda shards, out, model: verify_shards(shards, model=model),
    "evaluate": lambda shards, out, model: evaluate_predictions(shards, shards, model=model),
    "augment": lambda shards, out, model: augment_shards(shards, out, Augmentation(flip=1.0), model=model),
}


@pytest.mark.parametrize("what", sorted(WORK))
def test_work_on_a_set_with_a_model_that_is_overwritten_ends_with_an_error(
    model: MorphableModel, model_path: Path, tmp_path: Path, what: str
) -> None:
    config = dataclasses.replace(SMALL, maps="stored" if what == "augment" else "none")
    have(write_tree(tmp_path / "data", 1), model_path, tmp_path / "shards", config)
    out = tmp_path / "out"
    with pytest.raises(ModelError, match=r"model\.h5: was written to while it was in use; run the command again"):
        WORK[what](tmp_path / "shards", out, overwritten(model, tmp_path))
    assert made(out) == []


@pytest.mark.parametrize("what", ["fit", "synth", pytest.param("register", marks=pytest.mark.slow)])
def test_samples_of_a_model_that_is_overwritten_are_not_written(tmp_path: Path, what: str) -> None:
    builtin = load_model("builtin")
    model, out = overwritten(builtin, tmp_path), tmp_path / "out"
    with pytest.raises(ModelError, match=r"model\.h5: was written to while it was in use; run the command again"):
        if what == "fit":
            fit_photographs(write_photographs(tmp_path / "photos", 2), out, model=model, detector=None)
        elif what == "synth":
            render_faces(out, 1, model=model)
        else:
            register_scans(write_scans(tmp_path / "scans", builtin, 1), out, model=model)
    assert made(out) == []
