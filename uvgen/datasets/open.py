"""Opening a data set, and the model that it was built with."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uvgen.errors import ModelError
from uvgen.shards.index import Index, data_folder
from uvgen.shards.reader import ShardReader

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel


def open_shards(
    path: str | os.PathLike[str], model: "MorphableModel | str | os.PathLike[str] | None" = None
) -> ShardReader:
    """Open a data set for reading.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` made, or its ``dataset.json``.
    model : MorphableModel or path-like, optional
        The model that the set was built with; needed for position maps where they are not stored
        (``--maps none``), which it then makes, a batch at a time for slices and `ShardReader.batch`.

    Returns
    -------
    ShardReader
        A sequence: ``len(reader)``, ``reader[i]``, ``reader[2:5]``, iteration.

    Raises
    ------
    DatasetError
        Where the index is missing or damaged.
    ModelError
        Where the model is another than that of the set.
    """
    folder = data_folder(path)
    index = Index.read(folder)
    if model is None:
        return ShardReader(folder, index)
    from uvgen.models.load import load_model
    from uvgen.models.morphable import MorphableModel

    loaded = model if isinstance(model, MorphableModel) else load_model(model)
    check_model(loaded, folder, index.config)
    return ShardReader(folder, index, loaded)


def check_model(model: "MorphableModel", folder: Path, config: Mapping[str, Any]) -> None:
    """Raise ModelError unless a data set, of this configuration, was built with this model."""
    expected = config["model_sha256"]
    if model.content_sha256 != expected:
        raise ModelError(
            f"{model.path or model.name}: not the model of {folder} (content {model.content_sha256[:12]}…, "
            f"the set was built with {config['model']}, {expected[:12]}…); name that model's file"
        )
