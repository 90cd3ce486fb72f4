"""What `uvgen verify` checks of each shard."""

from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.augment.draws import AugmentationDraw
from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.fields import (
    MAP_PARAMETERS,
    excluded_fields,
    known_layouts,
    odd_codes,
    odd_targets,
    required_fields,
    target_fields,
)
from uvgen.datasets.quality.annotations import in_image
from uvgen.datasets.quality.plausible import MOST
from uvgen.errors import DatasetError, InputError, with_urls
from uvgen.fixed_point import decode
from uvgen.geometry import pose_to_image
from uvgen.maps.labels import crop_pose, label_nme
from uvgen.maps.landmarks import LandmarkWeights, read_landmarks
from uvgen.maps.target_layouts import PARTS
from uvgen.samples.files import check_machine
from uvgen.shards.constants import read_constants
from uvgen.shards.index import Index, ShardEntry
from uvgen.shards.shard import OpenShard
from uvgen.shards.stored import with_shard
from uvgen.storage.files import check_readable, sha256_file
from uvgen.storage.isolated import Hdf5Process
from uvgen.storage.names import os_reason, printable
from uvgen.storage.reading import irregular, max_bytes
from uvgen.storage.urls import shown_path
from uvgen.wording import typed

if TYPE_CHECKING:  # without a model, shards are checked without numba
    from uvgen.maps.position_mapper import PositionMapper
    from uvgen.maps.targets import TargetMaker

_BATCH = 64
_N_TEXELS = 512  # compared of each map
_FLOAT_TOLERANCE = 1e-3  # px: 0 on the processor that made them; another's matrix product has other last bits
_LAST_BITS = 2.0**-22  # of z before it is counted from the smallest, as a share: float32's last two
_NME_TOLERANCE = 1e-3  # relative: landmarks are stored as float32
_TARGET_STEP = 1  # codes: another processor's last bits round to the code beside
_OTHER_PIXELS = 0.005  # share of a target's values: on edges of triangles, last bits decide which one a pixel shows
_NEAR_TEXELS = 2.0  # measured: 0.5 px from 256 texels in a crop of 256, 1.5 from 128, 4.2 from 64
_POSE_TOLERANCE = 1e-5  # of scale and shift: poses are stored as float32


class Checked(NamedTuple):
    """What is wrong with a shard, a line each without its path; and whether its bytes are others than they were."""

    problems: tuple[str, ...]
    damaged: bool = False


def check_shard(
    folder: Path,
    index: Index,
    entry: ShardEntry,
    mapper: "PositionMapper | None",
    process: Hdf5Process | None,
    targets: "TargetMaker | None" = None,
) -> Checked:
    """Find what is wrong with one shard of a data set.

    Parameters
    ----------
    folder, index, entry : Path, Index, ShardEntry
        The set's folder, what its `dataset.json` says, and what that says of the shard.
    mapper : PositionMapper or None
        Of the set's model, to compare labels with parameters.
    process : Hdf5Process or None
        Reads the shard, if it is not trusted.
    targets : TargetMaker or None
        Of the set's model, if it has per-pixel targets.
    """

    def checked(path: Path) -> Checked:
        if (kind := irregular_at(path)) is not None:
            return Checked((kind,))
        if (damage := damage_of(path, entry.sha256, entry.size_bytes)) is not None:
            return Checked((damage,), damaged=True)
        return Checked(tuple(_problems(path, folder, index, entry, mapper, process, targets)))

    try:
        return with_shard(folder, entry, checked, anew=True, failed=lambda found: found.problems)
    except DatasetError as error:  # it cannot be fetched
        check_machine(error)
        return Checked((str(error).removeprefix(f"{shown_path(folder / entry.file)}: "),))


def irregular_at(path: Path) -> str | None:
    """What is at a file's place, if it is no file; None if it is one, or nothing is there."""
    kind = irregular(path.stat().st_mode) if path.exists() else None
    return None if kind is None else f"{kind}, expected a file"


def damage_of(path: Path, sha256: str | None, size_bytes: int | None = None) -> str | None:
    """How a file differs from what the index says of it, which `repair_shards` undoes; None if it does not."""
    if not path.exists():
        return "missing"
    size = path.stat().st_size
    if size_bytes is not None and size != size_bytes:
        return f"{size} bytes, expected {size_bytes}{'; cut short?' if size < size_bytes else ''}"
    is_giant = size_bytes is None and size > max_bytes()  # shards may have any size, read in parts
    try:
        differs = is_giant or sha256_file(path) != sha256
    except OSError as error:
        check_readable(path, error)
        return f"cannot be read ({os_reason(error)}); damaged there"
    if differs:
        return "its SHA-256 is not the one in the index; damaged or changed"
    return None


def _problems(
    path: Path,
    folder: Path,
    index: Index,
    entry: ShardEntry,
    mapper: "PositionMapper | None",
    process: Hdf5Process | None,
    targets: "TargetMaker | None",
) -> list[str]:
    """What is wrong with a shard's content, although its bytes are what they were."""
    place = folder / entry.file
    try:
        config = DatasetConfig.of_index(index, folder)
        required, excluded = required_fields(config), excluded_fields(config)
        with OpenShard(
            path, entry.samples, process=process, required=required, excluded=excluded, place=place
        ) as shard:  # fmt: skip
            problems = shard.other_origin(index.config)
            if not problems:
                shard.check_layouts(known_layouts(config.build))
                problems = _check_fields(shard, entry, config)
            if not problems:
                problems = _check_values(shard, config)
            if not problems and not config.build.has_parameters:
                problems = _check_read_landmarks(shard, folder, config) + _check_crop_pose(shard, config)
            elif not problems and mapper is not None:
                problems = _check_labels(shard, mapper)
            if not problems and targets is not None and config.build.has_parameters:
                problems = _check_targets(shard, targets)
            return problems or _check_nme(shard)
    except DatasetError as error:
        check_machine(error)  # whose shortage is no damage
        said = str(error).removesuffix(with_urls(f"; run `uvgen verify {typed(folder)}`"))
        for lead in (f"{path}: ", with_urls(f"copy of {place}: "), with_urls(f"{place}: ")):
            said = said.removeprefix(lead)
        return [said]
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        return [f"its fields cannot be what they stand for ({error})"]


def _check_fields(shard: OpenShard, entry: ShardEntry, config: DatasetConfig) -> list[str]:
    if "posmap" in shard.fields and (wrong := odd_codes(config, shard.attributes["posmap"])):
        return [f"posmap holds {wrong}"]
    if wrong := odd_targets(config.build, shard.attributes):
        return [wrong]
    for name, layout in known_layouts(config.build).items():
        stored = name in shard.layouts and not (name == "image" and shard.has_jpegs)
        if stored and (name in shard.chunked) != layout.chunked:
            how = "one sample a chunk" if layout.chunked else "all samples in one piece"
            return [f"{name} is not stored as {how}; make the shard again"]
    shard.check_names(entry.names)
    odd = next((name for name in shard.texts("name") if not name or name != printable(name)), None)
    return [] if odd is None else [f"a sample is called {odd!r}, expected names that can be printed"]


def _check_values(shard: OpenShard, config: DatasetConfig) -> list[str]:
    problems = []
    images = ("image", "posmap", *target_fields(config.build))
    names = ("shape", "expression", "pose", "camera", "image_to_crop", "crop_pose", "landmarks")
    for name in (name for name in names if name in shard.fields):
        values = shard.column(name)
        if not np.isfinite(values).all():
            problems.append(f"{name} holds NaN or infinity")
        elif name not in ("shape", "expression", "camera") and np.abs(values).max(initial=0) > MOST:
            problems.append(f"{name} holds {np.abs(values).max():g}, which no image has")
    for name in (name for name in shard.fields if name not in (*images, *names)):  # any others: whether they are read
        if name in shard.chunked:
            for k in range(shard.n_samples):
                shard.read(name, k)
        elif shard.layouts[name][1].kind == "S":
            shard.texts(name)
        else:
            shard.column(name)
    heights = shard.column("image_height")
    if not ((heights > 0) & (heights < MOST)).all():
        problems.append(f"image_height holds {heights.min()} to {heights.max()} px")
    for k, sample in enumerate(shard.texts("name")):
        for name in images:  # read, whatever is in them: a chunk may be damaged, a JPEG be none
            values = shard.read(name, k) if name in shard.fields else np.zeros(0)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                problems.append(f"{name} of {sample} holds NaN or infinity")
            elif values.dtype.kind == "f" and np.abs(values).max(initial=0) > MOST:
                problems.append(f"{name} of {sample} holds {np.abs(values).max():g}, which no image has")
            elif name == "parts" and values.max() >= len(PARTS):
                problems.append(f"parts of {sample} holds {values.max()}, expected labels of 0 to {len(PARTS) - 1}")
    return problems + _check_draws(shard)


def _check_nme(shard: OpenShard) -> list[str]:
    """Whether the stored NME is that of the stored landmarks."""
    problems = []
    flipped, size = _flipped(shard), _size(shard)
    points, annotated = (
        in_image(shard.column(name), shard.column("image_to_crop"), flipped, size)
        for name in ("landmarks", "annotated_landmarks")
    )
    for name, wanted in zip(("label_nme", "label_nme_jaw"), label_nme(points, annotated), strict=True):
        found = shard.column(name)
        same = np.isclose(found, wanted, rtol=_NME_TOLERANCE, atol=1e-5, equal_nan=True)
        if not same.all():
            k = int(np.flatnonzero(~same)[0])
            problems.append(f"{name} of {shard.texts('name')[k]} is {found[k]:.4f}, its landmarks give {wanted[k]:.4f}")
    return problems


def _flipped(shard: OpenShard) -> NDArray[np.bool_]:
    return shard.column("flipped") if "flipped" in shard.fields else np.zeros(shard.n_samples, np.bool_)


def _size(shard: OpenShard) -> int:
    return int(shard.file_attributes["size"])


def _check_draws(shard: OpenShard) -> list[str]:
    """Whether the samples of an augmented shard say what was done to them, and `flipped` agrees."""
    if "augmentation" not in shard.fields:
        return []
    problems = []
    columns = (shard.texts("name"), shard.texts("augmentation"), shard.column("flipped"))
    for name, text, flipped in zip(*columns, strict=True):
        try:
            if AugmentationDraw.from_json(text).flip != flipped:
                problems.append(f"{name}: flipped is {bool(flipped)}, its augmentation says otherwise")
        except InputError as error:
            problems.append(f"{name}: {error}")
    return problems


def farthest_from_map(config: BuildConfig) -> float:
    """Px that landmarks of a mesh, which are vertices, may be away from where the texels around them show them."""
    return _NEAR_TEXELS * config.size / config.uv_size


def _check_read_landmarks(shard: OpenShard, folder: Path, config: DatasetConfig) -> list[str]:
    """Whether landmarks are those of the stored maps, from which they were read; near them, if they are a mesh's."""
    weights = LandmarkWeights.of_constants(read_constants(folder, config.build.uv_size))
    attributes = shard.attributes["posmap"]
    texel = attributes.get("rounding", attributes.get("scale_factor", 0) / 2)
    tolerance = texel * np.abs(weights.weights).sum(axis=1).max() + _FLOAT_TOLERANCE
    if config.build.meshes:
        tolerance += farthest_from_map(config.build)
    problems = []
    rows = zip(shard.texts("name"), shard.column("landmarks"), _flipped(shard), strict=True)
    for k, (name, stored, flipped) in enumerate(rows):
        if flipped:
            continue
        found = read_landmarks(decode(shard.read("posmap", k), attributes), weights)
        if not (apart := np.abs(found - stored).max()) <= tolerance:
            problems.append(f"{name}: landmarks are off by {apart:.3f} px from its map")
    return problems


def _check_crop_pose(shard: OpenShard, config: DatasetConfig) -> list[str]:
    """Whether poses in the crop are those of the poses in the image."""
    names = ("pose", "image_to_crop", "image_height", "crop_pose")
    pose, similarity, height, stored = (shard.column(name) for name in names)
    size = config.build.size
    poses = crop_pose(pose, similarity, height, size, config.build.convention, _flipped(shard))
    good = _apart(stored, poses, size) <= _POSE_TOLERANCE
    return [f"{name}: crop_pose is not that of its pose" for name in compress(shard.texts("name"), ~good)]


def _check_targets(shard: OpenShard, maker: "TargetMaker") -> list[str]:
    """Whether per-pixel targets are those of the parameters."""
    problems, names, flipped = [], shard.texts("name"), _flipped(shard)
    columns = {name: shard.column(name) for name in MAP_PARAMETERS}
    for first in range(0, len(names), _BATCH):
        part = slice(first, first + _BATCH)
        with np.errstate(all="ignore"):  # of parameters that no face has
            wanted, _ = maker(*(columns[key][part] for key in MAP_PARAMETERS), flipped=flipped[part])
        for k, name in enumerate(names[part]):
            for target, values in wanted.items():
                found = shard.read(target, first + k)
                step = 0 if maker.layouts[target].codes is None else _TARGET_STEP
                apart = np.abs(found.astype(np.int32) - values[k]) > step
                if (share := float(apart.mean())) > _OTHER_PIXELS:
                    problems.append(f"{name}: {target} is not that of its parameters in {share:.1%} of its values")
    return problems


def _apart(stored: NDArray[np.floating[Any]], poses: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(B,) how far the maps of poses into a crop of `size` px differ, as a share of their scale and shift."""
    found, wanted = pose_to_image(stored, size), pose_to_image(poses, size)
    span = np.abs(wanted).max(axis=1, keepdims=True)
    span[:, :, :3] = poses[:, None, None, 6]
    return np.asarray((np.abs(found - wanted) / np.maximum(span, 1e-12)).max(axis=(1, 2)))


def _check_labels(shard: OpenShard, mapper: "PositionMapper") -> list[str]:
    attributes = shard.attributes.get("posmap", {})
    rounding = attributes.get("scale_factor", 0) / 2
    size, flipped = _size(shard), _flipped(shard)
    # maps of mirrored samples are made of their parameters; those of other augmented ones, of rounded maps
    tolerances = np.where(flipped, rounding, attributes.get("rounding", rounding)) + _FLOAT_TOLERANCE
    texels = np.linspace(0, mapper.size**2 - 1, _N_TEXELS).astype(int)
    problems = []
    names = shard.texts("name")
    columns = {name: shard.column(name) for name in (*MAP_PARAMETERS, "landmarks", "crop_pose")}
    for first in range(0, len(names), _BATCH):
        part = slice(first, first + _BATCH)
        with np.errstate(all="ignore"):  # of parameters that no face has
            maps, landmarks = mapper.maps_and_landmarks(
                *(columns[key][part] for key in MAP_PARAMETERS), flipped=flipped[part]
            )
        offset = np.zeros(len(maps))
        if "posmap" in shard.fields:
            rows = (shard.read("posmap", first + k).reshape(-1, 3)[texels] for k in range(len(maps)))
            stored = decode(np.stack([*rows]), attributes)
            offset = np.abs(stored - maps.reshape(len(maps), -1, 3)[:, texels]).max(axis=(1, 2))
        moved = np.abs(columns["landmarks"][part] - landmarks).max(axis=(1, 2))
        similarity, height = columns["image_to_crop"][part], columns["image_height"][part]
        poses = crop_pose(columns["pose"][part], similarity, height, size, mapper.convention, flipped[part])
        turned = _apart(columns["crop_pose"][part], poses, size)
        deep = np.abs(poses[:, 5]) * _LAST_BITS  # much where a crop enlarges a tiny face a thousand times
        for name, of_map, tolerance, of_landmarks, of_pose, lost in zip(
            names[part], offset, tolerances[part], moved, turned, deep, strict=True
        ):
            if not of_map <= tolerance + lost:  # NaN is not
                problems.append(f"{name}: map is off by {of_map:.3f} px from its parameters")
            if not of_landmarks <= _FLOAT_TOLERANCE + lost:
                problems.append(f"{name}: landmarks are off by {of_landmarks:.3f} px from its parameters")
            if not of_pose <= _POSE_TOLERANCE:
                problems.append(f"{name}: crop_pose is not that of its pose")
    return problems
