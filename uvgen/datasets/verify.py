"""Checking a finished data set: what `uvgen verify` does."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from uvgen.augment.values import AugmentationDraw
from uvgen.datasets.annotations import in_image, label_nme
from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.fields import MAP_PARAMETERS
from uvgen.datasets.open import check_model, open_shards
from uvgen.datasets.quality import LabelQuality, label_quality
from uvgen.errors import InputError
from uvgen.fixed_point import decode
from uvgen.geometry import pose_to_image
from uvgen.maps.labels import crop_pose, mirror_landmarks, mirror_map
from uvgen.maps.mirror import TexelMirror
from uvgen.maps.position_mapper import PositionMapper
from uvgen.models.load import as_model
from uvgen.models.morphable import MorphableModel
from uvgen.shards.constants import CONSTANTS, read_constants
from uvgen.shards.index import DATASET_INDEX, Index, ShardEntry, data_folder
from uvgen.storage.files import sha256_file

_BATCH = 64
_N_TEXELS = 512  # compared of each map
_FLOAT_TOLERANCE = 1e-3  # px: 0 on the processor that made them; another's matrix product has other last bits


_NME_TOLERANCE = 1e-3  # relative: landmarks are stored as float32
_POSE_TOLERANCE = 1e-5  # of scale and shift: poses are stored as float32


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What `uvgen.verify_shards` checked and found.

    Attributes
    ----------
    samples : int
        In the whole data set.
    files : tuple of Path
        The shards.
    problems : tuple of str
        What is wrong, one line each, which names the shard.
    seconds : float
        What checking took.
    skipped : int
        Samples that were left out when the set was made.
    quality : LabelQuality or None
        How far the labels are from the annotations, where there are some and the shards are sound.
    """

    samples: int
    files: tuple[Path, ...]
    problems: tuple[str, ...]
    seconds: float
    skipped: int = 0
    quality: LabelQuality | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_shards(
    path: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    progress: Callable[[int], object] | None = None,
) -> VerifyResult:
    """Check every shard of a data set.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` made.
    model : MorphableModel or path-like, optional
        With it, every stored map is compared at sampled texels with the map made from the stored parameters,
        and the stored landmarks with those of the model.
    progress : callable, optional
        Called with the number of samples of each shard that was checked.

    Returns
    -------
    VerifyResult
        Without problems where all hashes, shapes, value ranges and labels are right.

    Raises
    ------
    DatasetError
        Where there is no readable index.
    ModelError
        Where the model is not the one that the set was built with.

    Examples
    --------
    >>> uvgen.verify_shards("shards/", model="bfm.h5").problems
    ()
    """
    started = time.perf_counter()
    folder = data_folder(path)
    index = Index.read(folder)
    mapper = None
    if model is not None:
        model, config = as_model(model), DatasetConfig.of_index(index, folder)
        check_model(model, folder, config)
        mapper = PositionMapper(model, config.build.uv_size, config.build.convention)
    problems: list[str] = []
    listed = {entry.file for entry in index.shards}
    for stray in sorted(file.name for file in folder.glob("[!.]*.h5") if file.name not in listed):
        problems.append(f"{folder / stray}: not listed in {DATASET_INDEX}")
    if index.missing:
        problems.append(f"{folder}: unfinished, {index.missing} samples are missing; run what made it again")
    if not index.n_samples and index.skipped:
        problems.append(
            f"{folder}: holds no samples, all {len(index.skipped)} were skipped, first {index.skipped[0].reason}"
        )
    problems += _check_constants(folder, index)
    for entry in index.shards:
        if entry.sha256 is not None:
            problems += [f"{folder / entry.file}: {what}" for what in _check_shard(folder, index, entry, mapper)]
        if progress is not None:
            progress(entry.samples)
    files = tuple(folder / entry.file for entry in index.shards if entry.samples)
    quality = None if problems else label_quality(open_shards(folder), model)
    seconds = time.perf_counter() - started
    return VerifyResult(index.n_samples, files, tuple(problems), seconds, len(index.skipped), quality)


def _check_constants(folder: Path, index: Index) -> list[str]:
    path = folder / CONSTANTS
    if not path.exists():
        return [f"{path}: missing; run what made the data set again"]
    if sha256_file(path) != index.constants_sha256:
        return [f"{path}: its SHA-256 is not the one in the index; damaged or changed"]
    weights = read_constants(folder).get("weight_mask")
    if weights is None:
        return [f"{path}: has no weight_mask"]
    sound = np.isfinite(weights).all() and weights.min(initial=0) >= 0
    return [] if sound else [f"{path}: weight_mask holds negative or non-finite values"]


def _check_shard(folder: Path, index: Index, entry: ShardEntry, mapper: PositionMapper | None) -> list[str]:
    path = folder / entry.file
    if not path.exists():
        return ["missing"]
    if path.stat().st_size != entry.size_bytes:
        return [f"{path.stat().st_size} bytes, expected {entry.size_bytes}; cut short?"]
    if sha256_file(path) != entry.sha256:
        return ["its SHA-256 is not the one in the index; damaged or changed"]
    try:
        with h5py.File(path, "r") as file:
            problems = _check_origin(file, index) or _check_shapes(file, entry)
            if not problems:
                problems = _check_values(file)
            if not problems and mapper is not None:
                problems = _check_labels(file, mapper)
            return problems or _check_nme(file)
    except (OSError, KeyError) as error:
        return [f"cannot be read ({error})"]


def _check_origin(file: h5py.File, index: Index) -> list[str]:
    """Whether the shard was made with the configuration that the index states."""
    made = {**json.loads(file.attrs["config"]), "model_sha256": file.attrs["model_sha256"]}
    return [
        f"made with {key} = {value}, {DATASET_INDEX} says {index.config.get(key)}"
        for key, value in made.items()
        if index.config.get(key) != value
    ]


def _check_shapes(file: h5py.File, entry: ShardEntry) -> list[str]:
    config = BuildConfig.from_plain(json.loads(file.attrs["config"]))
    expected = [
        "image" if config.image_codec == "raw" else "image_end",
        *MAP_PARAMETERS,
        "crop_pose",
        "landmarks",
        "name",
    ]
    expected += ["posmap"] if config.maps == "stored" else []
    missing = [name for name in expected if name not in file]
    if missing:
        return [f"no dataset {missing[0]}"]
    fields = [name for name in file if name not in ("image_data",)]
    problems = [
        f"{name} has {len(file[name])} rows, expected {entry.samples}"
        for name in fields
        if len(file[name]) != entry.samples
    ]
    if not problems and entry.names is not None and entry.names != "\n".join(file["name"].asstr()[()]):
        problems.append(f"its samples have other names than {DATASET_INDEX} says")
    return problems


def _check_values(file: h5py.File) -> list[str]:
    problems = []
    for name in ("shape", "expression", "pose", "image_to_crop", "crop_pose", "landmarks"):
        if not np.isfinite(file[name][()]).all():
            problems.append(f"{name} holds NaN or infinity")
    if "posmap" in file and file["posmap"].dtype.kind == "f":
        for k in range(len(file["posmap"])):
            if not np.isfinite(file["posmap"][k]).all():
                problems.append(f"posmap of {file['name'].asstr()[k]} holds NaN or infinity")
    return problems + _check_draws(file)


def _check_nme(file: h5py.File) -> list[str]:
    """Whether the stored NME is that of the stored landmarks."""
    if "label_nme" not in file:  # made before annotations were stored
        return []
    problems = []
    flipped = file["flipped"][()] if "flipped" in file else np.zeros(len(file["name"]), bool)
    points, annotated = (
        in_image(file[name][()], file["image_to_crop"][()], flipped, int(file.attrs["size"]))
        for name in ("landmarks", "annotated_landmarks")
    )
    for name, wanted in zip(("label_nme", "label_nme_jaw"), label_nme(points, annotated), strict=True):
        found = file[name][()]
        same = np.isclose(found, wanted, rtol=_NME_TOLERANCE, atol=1e-5, equal_nan=True)
        if not same.all():
            k = int(np.flatnonzero(~same)[0])
            problems.append(
                f"{name} of {file['name'].asstr()[k]} is {found[k]:.4f}, its landmarks give {wanted[k]:.4f}"
            )
    return problems


def _check_draws(file: h5py.File) -> list[str]:
    """Whether the samples of an augmented shard say what was done to them, and `flipped` agrees."""
    if "augmentation" not in file:
        return []
    problems = []
    columns = (file["name"].asstr()[()], file["augmentation"].asstr()[()], file["flipped"][()])
    for name, text, flipped in zip(*columns, strict=True):
        try:
            if AugmentationDraw.from_json(text).flip != flipped:
                problems.append(f"{name}: flipped is {bool(flipped)}, its augmentation says otherwise")
        except InputError as error:
            problems.append(f"{name}: {error}")
    return problems


def _apart(stored: NDArray[np.floating[Any]], poses: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(B,) how far the maps of poses into a crop of `size` px differ, as a share of their scale and shift."""
    found, wanted = pose_to_image(stored, size), pose_to_image(poses, size)
    span = np.abs(wanted).max(axis=1, keepdims=True)
    span[:, :, :3] = poses[:, None, None, 6]
    return np.asarray((np.abs(found - wanted) / np.maximum(span, 1e-12)).max(axis=(1, 2)))


def _check_labels(file: h5py.File, mapper: PositionMapper) -> list[str]:
    attributes = dict(file["posmap"].attrs) if "posmap" in file else {}
    tolerance = attributes.get("rounding", attributes.get("scale_factor", 0) / 2) + _FLOAT_TOLERANCE
    size = int(file.attrs["size"])
    flipped = file["flipped"][()] if "flipped" in file else np.zeros(len(file["name"]), bool)
    mirror = TexelMirror.of_model(mapper.model, mapper.size, mapper.convention) if flipped.any() else None
    texels = np.linspace(0, mapper.size**2 - 1, _N_TEXELS).astype(int)
    problems = []
    names = file["name"].asstr()[()]
    for first in range(0, len(names), _BATCH):
        part = slice(first, first + _BATCH)
        maps, landmarks = mapper.maps_and_landmarks(*(file[key][part] for key in MAP_PARAMETERS))
        for k in np.flatnonzero(flipped[part]):
            maps[k] = mirror_map(maps[k], size, mirror)
            landmarks[k] = mirror_landmarks(landmarks[k], size)
        offset = np.zeros(len(maps))
        if "posmap" in file:
            stored = decode(file["posmap"][part].reshape(len(maps), -1, 3)[:, texels], attributes)
            offset = np.abs(stored - maps.reshape(len(maps), -1, 3)[:, texels]).max(axis=(1, 2))
        moved = np.abs(file["landmarks"][part] - landmarks).max(axis=(1, 2))
        similarity, height = file["image_to_crop"][part], file["image_height"][part]
        poses = crop_pose(file["pose"][part], similarity, height, size, mapper.convention, flipped[part])
        turned = _apart(file["crop_pose"][part], poses, size)
        for name, of_map, of_landmarks, of_pose in zip(names[part], offset, moved, turned, strict=True):
            if of_map > tolerance:
                problems.append(f"{name}: map is off by {of_map:.3f} px from its parameters")
            if of_landmarks > _FLOAT_TOLERANCE:
                problems.append(f"{name}: landmarks are off by {of_landmarks:.3f} px from its parameters")
            if of_pose > _POSE_TOLERANCE:
                problems.append(f"{name}: crop_pose is not that of its pose")
    return problems
