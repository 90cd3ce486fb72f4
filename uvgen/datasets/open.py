"""Opening a data set, and the model that it was built with."""

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_paths
from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.fields import MAP_PARAMETERS, excluded_fields, known_layouts, required_fields
from uvgen.datasets.split_files import find_split
from uvgen.errors import DatasetError, InputError, ModelError, UvgenError
from uvgen.normalization import AUTO, Normalization, image_choice
from uvgen.samples.selection import find_names
from uvgen.shards.index import Index, data_folder
from uvgen.shards.makers import Finish, Maker
from uvgen.shards.pool import ShardDemands
from uvgen.shards.reader import ShardReader, state_of

if TYPE_CHECKING:  # trainers that read stored maps need neither numba nor scipy
    from uvgen.maps.position_mapper import PositionMapper
    from uvgen.models.morphable import MorphableModel

ADDED = ("image_scale", "image_offset", "posmap_scale", "posmap_offset")
"""What is added to a sample whose images and maps are normalized: what leads back."""


def open_shards(
    path: str | os.PathLike[str],
    model: "MorphableModel | str | os.PathLike[str] | None" = None,
    *,
    names: Iterable[str] | str | os.PathLike[str] | None = None,
    split: str | None = None,
    check: bool = False,
    untrusted: bool = False,
    normalize: "str | Normalization | None" = None,
    image_normalize: str | None = AUTO,
) -> ShardReader:
    """Open a data set for reading.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` made, or its ``dataset.json``.
    model : MorphableModel or path-like, optional
        The model that the set was built with; needed for position maps if they are not stored
        (``--maps none``), which it then makes, a batch at a time for slices and `ShardReader.batch`.
    names : iterable of str, or path-like, optional
        Read these samples alone, in the order of the set; or those that a text file lists, one name per line.
    split : str, optional
        Read the samples of this part of the folder's ``splits.json`` alone, see `uvgen.split_shards`.
    check : bool
        Compare the SHA-256 of each file with that in the index before it is opened, in each process. Damaged files are
        then refused before HDF5 sees them; it costs one reading of each shard, see "Files from others" in the
        documentation of the format.
    untrusted : bool
        Read the shards, and `model` if it is a file, in a child process, one for each process that reads: a file
        that breaks or hangs HDF5 then ends as a `DatasetError` or `ModelError`. Reading a sample takes about a
        millisecond longer.
    normalize : {None, "size", "prnet", "reshow", "unit"} or uvgen.Normalization
        Normalization of the maps of samples and batches, stored ones and those that `model` makes, see
        `uvgen.Normalization.of_maps`; None: px. Samples then have ``posmap_scale`` and ``posmap_offset``, for
        `uvgen.denormalize`.
    image_normalize : {"auto", "unit", "imagenet", "standardize", None}
        Normalization of the images, see `uvgen.Normalization.of_image`; "auto" is "unit", or None if `normalize` is
        None. None: uint8 as they are. Otherwise float32, with ``image_scale`` and ``image_offset``.

    Returns
    -------
    ShardReader
        A sequence: ``len(reader)``, ``reader[i]``, ``reader[2:5]``, iteration.

    Raises
    ------
    DatasetError
        If the index is missing or damaged, or there is no usable ``splits.json``.
    ModelError
        If the model is not the set's.
    InputError
        If a name or the split is not in the set, or both are given; if a normalization is unknown, or an argument is of
        the wrong type.

    Examples
    --------
    >>> reader = uvgen.open_shards("shards/")
    >>> reader[0]["posmap"].shape, len(reader[0:16]["name"])
    ((256, 256, 3), 16)
    """
    check_paths(path=path)
    images = image_choice(image_normalize, normalize)
    Normalization.of_maps(normalize, 1)  # before anything is opened
    folder = data_folder(path)
    index = Index.read(folder)
    config = DatasetConfig.of_index(index, folder)
    made = {}
    if model is not None:
        from uvgen.models.load import as_model

        model = as_model(model, untrusted=untrusted)
        check_model(model, folder, config)
        made["posmap"] = MapMaker(model, config.build)
    finish = None if normalize is None and images is None else _Normalized(normalize, images, config.build.size)
    reader = reader_of(folder, index, config, made, check=check, untrusted=untrusted, finish=finish)
    if finish is not None:
        check_added(folder, reader.fields, ADDED)
    if names is None and split is None:
        return reader
    if names is not None and split is not None:
        raise InputError("names and split are both given, expected one of them")
    if split is not None:
        return reader.subset(find_split(folder, split, reader.names))
    return reader.subset(find_names(reader.names, () if names is None else names))


def reader_of(
    folder: Path,
    index: Index,
    config: DatasetConfig,
    made: Mapping[str, Maker] | None = None,
    *,
    check: bool = False,
    untrusted: bool = False,
    finish: Finish | None = None,
) -> ShardReader:
    """The reader of a data set whose index was read, which refuses shards without the fields of its configuration."""
    demands = ShardDemands(
        known_layouts(config.build), required_fields(config), excluded_fields(config),
        {**config.in_full, **index.config}, hashed=check, untrusted=untrusted,
    )  # fmt: skip
    return ShardReader(folder, index, config, made, demands, finish)


def check_same_set(reader: ShardReader, state: str) -> None:
    """Raise DatasetError unless the set that a process opened again is the one of this `state_of`."""
    if state_of(reader) != state:
        raise DatasetError(
            f"{reader.folder}: was made again or replaced while it was read; run the command again once it stays as "
            "it is"
        )


def check_added(path: str | os.PathLike[str], fields: Iterable[str], added: Collection[str]) -> None:
    """Raise InputError if a set's own fields have names of what is `added` to its samples."""
    if taken := [name for name in fields if name in added]:
        raise InputError(
            f"{path}: its shards hold a field {taken[0]!r}, which is the name of what is added to each sample; rename "
            f"it{', or pass weight_mask=False' * (taken[0] == 'weight_mask')}"
        )


class _Normalized:
    """Normalizes the maps and images that a reader hands out."""

    def __init__(self, normalize: "str | Normalization | None", images: str | None, size: int) -> None:
        self._maps = None if normalize is None else Normalization.of_maps(normalize, size)
        self._images = images

    def __call__(self, fields: dict[str, Any], *, batched: bool) -> dict[str, Any]:
        """The fields, with normalized maps and images and the numbers that lead back."""
        for name, wanted in (("posmap", self._maps), ("image", self._images)):
            if wanted is None or name not in fields:
                continue
            values = fields[name] if batched else fields[name][None]
            used = [
                wanted if isinstance(wanted, Normalization) else Normalization.of_image(wanted, one) for one in values
            ]
            fields[name] = np.stack([each.normalize(one) for each, one in zip(used, values, strict=True)])
            scales = np.array([np.broadcast_to(each.scale, each.shape or 1) for each in used], np.float32)
            offsets = np.array([np.broadcast_to(each.offset, each.shape or 1) for each in used], np.float32)
            shape = (len(values), *used[0].shape)
            fields[f"{name}_scale"], fields[f"{name}_offset"] = scales.reshape(shape), offsets.reshape(shape)
            if not batched:
                for key in (name, f"{name}_scale", f"{name}_offset"):
                    fields[key] = fields[key][0]
        return fields


def check_model(model: "MorphableModel", folder: Path, config: DatasetConfig) -> None:
    """Raise ModelError unless a data set, of this configuration, was built with this model."""
    if model.content_sha256 != config.model_sha256:
        raise ModelError(
            f"{model.path or model.name}: not the model of {folder} (content {model.content_sha256[:12]}…, "
            f"the set was built with {config.model}, {config.model_sha256[:12]}…); name that model's file"
        )


def own_model(config: DatasetConfig) -> "MorphableModel | None":
    """The built-in model, if a set of this configuration stores no maps and was built with it."""
    return builtin_of(config) if config.build.maps == "none" else None


def builtin_of(config: DatasetConfig) -> "MorphableModel | None":
    """The built-in model, if a set says, by name and hash, that it was built with it: then none need be named."""
    from uvgen.models.load import BUILTIN, load_model

    if config.model != BUILTIN:
        return None
    model = load_model(BUILTIN)
    return model if model.content_sha256 == config.model_sha256 else None


def builtin_of_set(path: str | os.PathLike[str]) -> "MorphableModel | None":
    """`builtin_of` a data set's folder; None if the path is none."""
    try:
        folder = data_folder(path)
        return builtin_of(DatasetConfig.of_index(Index.read(folder), folder))
    except UvgenError:
        return None


class MapMaker:
    """Makes position maps of a data set's samples from their parameters, mirrored if the samples are.

    Parameters
    ----------
    model : MorphableModel
        The one that the set was built with.
    config : BuildConfig
        The set's.

    Attributes
    ----------
    needs : tuple of str
        Fields that a call reads, if present.
    layout : (shape, dtype)
        Of one map.
    """

    needs = (*MAP_PARAMETERS, "flipped")

    def __init__(self, model: "MorphableModel", config: BuildConfig) -> None:
        self._model, self._config = model, config
        self.layout = (config.uv_size, config.uv_size, 3), np.dtype(np.float32)
        self._mapper: PositionMapper | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapper": None}  # each process makes its own

    def __call__(
        self, rows: Mapping[str, NDArray[Any]], *, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Position maps of some samples.

        Parameters
        ----------
        rows : mapping of str to ndarray
            The fields `needs` of B samples.
        out : (B, U, U, 3) float32, C-contiguous, optional
            Buffer to fill and return.

        Returns
        -------
        (B, U, U, 3) float32
            Crop px, as `uvgen.PositionMapper` makes them; mirrored if `flipped`.
        """
        config = self._config
        if self._mapper is None:
            from uvgen.maps.position_mapper import PositionMapper

            self._mapper = PositionMapper(self._model, config.uv_size, config.convention, crop_size=config.size)
        return self._mapper(*(rows[name] for name in MAP_PARAMETERS), flipped=rows.get("flipped"), out=out)
