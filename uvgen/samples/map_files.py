"""Crops with finished position maps, as other programs write them: finding them in a folder, reading a map in px.

| layout | files of a sample | pixels of its labels |
| --- | --- | --- |
| face3d | ``NAME.jpg``, ``NAME.npy``, in any folders | face3d's convention |
| prnet_pytorch | a folder with ``original.jpg`` and ``uv_posmap.npy``, or one ``.npy`` | face3d's |
| uvgen | the same, of `uvgen export --to prnet` from a set of the exact convention | exact |
| reshow | ``NAME_cropped.jpg``, ``NAME_cropped_uv_posmap.npy`` and ``NAME_bbox_info.mat`` in ``NAME/`` | x 1 px right |

All four hold px of the crop; who trains on them divides at loading. A file that holds what was divided is read with the
divisor. What reshow counts otherwise is undone with `Tform` of its ``.mat``, whose scale is the crop's.
"""

import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import FARTHEST_PX, choice
from uvgen.errors import DatasetError, SampleError
from uvgen.normalization import MAP_SCALES
from uvgen.samples.find import Sample, told_apart
from uvgen.storage.folders import EXPORT_MARK, IMAGE_SUFFIXES, files_below
from uvgen.storage.matfile import read_numeric
from uvgen.storage.names import brief, os_reason, printable
from uvgen.storage.npy import read_npy_file
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import read_file

_MOST_BYTES = 1 << 28
_LARGEST_SCALE = 1e3
_WEIGHTS = "weight_mask.npy"  # the loss weights of texels, which `uvgen export` writes beside maps
_DIVIDED = 4.0  # a map whose values are all below that was divided by something
IMAGE_SHIFTS = {"exact": (0.0, 0.0), "face3d": (1.0, -1.0), "reshow": (1.0, 0.0)}
"""Pixels of the image, right and down, by which a program's labels lie beside the exact ones."""


@dataclass(frozen=True, slots=True)
class MapLayout:
    """How a program lays out its files.

    Attributes
    ----------
    map_ending, image_ending : str
        What follows a sample's name, without the image's suffix.
    convention : {"exact", "face3d"}
        Pixel convention of the labels, after `read_map`.
    folder_each : bool
        Whether each sample has a folder of its own, whose name is the sample's.
    named_maps : bool
        Whether the map may be the one ``.npy`` of an image's folder, named as the photograph: PRNet_PyTorch's older
        script wrote them so, with ``uv_posmap.jpg`` for show.
    for_show : tuple of str
        What follows a sample's name in pictures of its map, which are no crops.
    """

    map_ending: str
    image_ending: str
    convention: str
    folder_each: bool
    named_maps: bool = False
    for_show: tuple[str, ...] = ()


_FOR_SHOW = "uv_posmap.jpg"

LAYOUTS = {
    "reshow": MapLayout("_cropped_uv_posmap.npy", "_cropped", "exact", True),
    "prnet_pytorch": MapLayout("uv_posmap.npy", "original", "face3d", True, named_maps=True),
    "uvgen": MapLayout("uv_posmap.npy", "original", "exact", True),
    "face3d": MapLayout(".npy", "", "face3d", False, for_show=("_posmap", "_tex")),
}
"""Layouts by name; if none is named, the first of which there are files is taken."""


def find_maps(root: str | os.PathLike[str], layout: str | None = None) -> tuple[list[Sample], str]:
    """Crops with position maps in a folder and all folders in it.

    Parameters
    ----------
    root : path-like
        The folder.
    layout : str, optional
        One of `LAYOUTS`; by default the one whose files are there.

    Returns
    -------
    samples : list of Sample
        Sorted by name; `parameters` is the map's file. Maps without an image, and images without a map, are among them,
        and reading them says so.
    layout : str
        The layout that they have.

    Raises
    ------
    DatasetError
        If the folder cannot be read, holds no map of the layout, or maps of two layouts and none is named.
    """
    root = Path(os.path.abspath(root))
    files = sorted(files_below(root, "position maps"))
    for name in [layout] if layout is not None else LAYOUTS:
        if samples := _of_layout(root, files, LAYOUTS[name]):
            if layout is None:
                _check_alone(root, files, samples, name)
            return samples, name
    endings = "NAME.npy, uv_posmap.npy, NAME_cropped_uv_posmap.npy"
    expected = endings if layout is None else f"…{LAYOUTS[layout].map_ending} ({layout})"
    raise DatasetError(f"{root}: no position maps in it, expected {expected} beside their images")


def _check_alone(root: Path, files: list[Path], samples: list[Sample], layout: str) -> None:
    """Raise DatasetError if a folder holds crops with maps of another layout too, which would be left out."""
    taken = {sample.parameters for sample in samples}
    for name, other in LAYOUTS.items():
        pairs = _of_layout(root, files, other) if other.map_ending != LAYOUTS[layout].map_ending else []
        left = [one for one in pairs if one.image is not None and one.parameters not in {None, *taken}]
        if left:
            first, odd = (printable(str(one.parameters)) for one in (samples[0], left[0]))
            raise DatasetError(
                f"{root}: holds maps as {layout} names them ({first}) and {len(left)} as {name} does ({odd}), expected "
                "one layout; name it, which leaves out the others, or move them"
            )


def exported_conventions(samples: Sequence[Sample]) -> dict[str | None, Sample]:
    """The pixel conventions of the labels of samples that lie in exports of uvgen's, each with a sample that has it.

    They are keys of `IMAGE_SHIFTS`, and None for samples that lie in other folders. An export says it in its own
    folder, however deep in it the samples lie, also where links lead there.

    Raises DatasetError if what an export says of itself cannot be read.
    """
    found: dict[str | None, Sample] = {}
    known: dict[Path, str | None] = {}
    for sample in samples:
        if (path := sample.parameters or sample.image) is not None:
            stated = _stated_around(path.parent, known)
            if stated is None and (real := path.parent.resolve()) != path.parent:
                stated = known[path.parent] = _stated_around(real, known)
            found.setdefault(stated, sample)
    return found


def _stated_around(folder: Path, known: dict[Path, str | None]) -> str | None:
    """What the export says that a folder lies in, by its path; None without one. `known` are folders looked at."""
    passed = []
    for place in (folder, *folder.parents):
        if place in known:
            stated = known[place]
            break
        passed.append(place)
        if (stated := stated_convention(place / EXPORT_MARK)) is not None:
            break
    known.update(dict.fromkeys(passed, stated))
    return stated


def stated_convention(mark: Path) -> str | None:
    """The convention of an export's labels by the file in which it says so; None if there is no such file."""
    if not mark.is_file() or mark.is_symlink():
        return None
    try:
        stated = parse_json(read_file(mark, _MOST_BYTES).decode())["labels"]
        return str(choice(stated, "labels", tuple(IMAGE_SHIFTS)))
    except OSError as error:
        raise DatasetError(f"{mark}: cannot be read ({os_reason(error)})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{mark}: does not say its labels' convention, expected an export of this version; export again"
        ) from error


def _of_layout(root: Path, files: list[Path], layout: MapLayout) -> list[Sample]:
    maps, images = dict[Path, list[Path]](), dict[Path, list[Path]]()
    for path in files:
        stem, suffix = os.path.splitext(path.name)
        if path.name.endswith(layout.map_ending):
            maps.setdefault(_key(path, path.name.removesuffix(layout.map_ending)), []).append(path)
        elif suffix.lower() in IMAGE_SUFFIXES and stem.endswith(layout.image_ending):
            images.setdefault(_key(path, stem.removesuffix(layout.image_ending)), []).append(path)
    if layout.named_maps:
        shown = {path.parent for path in files if path.name == _FOR_SHOW}
        older = shown if maps else {*images, *shown}  # beside newer ones, a map may be missing
        maps |= _named_maps(files, older - maps.keys())
    maps = {key: paths for key, paths in maps.items() if key in images or paths[0].name != _WEIGHTS}
    if not maps:
        return []
    there = {*maps, *images}
    keys = sorted(key for key in there if key in maps or not _is_for_show(key, there, layout))
    samples = [_sample(root, key, maps.get(key, []), images.get(key, []), layout) for key in keys]
    return told_apart(samples, lambda one: f"{one.parameters or one.image}: another sample has this name; rename one")


def _named_maps(files: list[Path], folders: Set[Path]) -> dict[Path, list[Path]]:
    """The maps of folders that hold one ``.npy``, unless an image of its name lies beside it, as in other layouts."""
    pictures = {path.with_suffix("") for path in files if path.suffix.lower() in IMAGE_SUFFIXES}
    found: dict[Path, list[Path]] = {}
    for path in files:
        if path.suffix == ".npy" and path.parent in folders:
            found.setdefault(path.parent, []).append(path)
    return {key: paths for key, paths in found.items() if len(paths) == 1 and paths[0].with_suffix("") not in pictures}


def _is_for_show(key: Path, samples: Set[Path], layout: MapLayout) -> bool:
    """Whether an image without a map is a picture of that of another sample."""
    return any(
        key.name.endswith(ending) and key.with_name(name) in samples
        for ending in layout.for_show
        if (name := key.name.removesuffix(ending))
    )


def _key(path: Path, name: str) -> Path:
    """What the files of a sample have in common: a name in their folder, or the folder itself."""
    return path.with_name(name) if name else path.parent


def _sample(root: Path, key: Path, maps: list[Path], images: list[Path], layout: MapLayout) -> Sample:
    relative = key.relative_to(root)
    if layout.folder_each and len(relative.parts) > 1 and relative.parts[-1] == relative.parts[-2]:
        relative = relative.parent  # reshow's NAME/NAME
    subset = printable(relative.parts[-2]) if len(relative.parts) > 1 else printable(root.name)
    if maps and not maps[0].name.endswith(layout.map_ending):
        relative /= maps[0].stem  # the photograph's name: the folder's is a number
    name = printable(relative.as_posix()) if relative.parts else printable(root.name)
    problem = ""
    if not maps:
        problem = f"{images[0]}: no position map beside it, expected …{layout.map_ending}"
    elif len(maps) > 1:
        problem = f"{maps[0]}: {maps[1]} is of the same name, expected one map; rename the wrong one"
    elif not images:
        wanted = f"{layout.image_ending or key.name}.jpg (or {', '.join(IMAGE_SUFFIXES[1:])})"
        problem = f"{maps[0]}: no image beside it, expected …{printable(wanted)}"
    elif len(images) > 1:
        problem = (
            f"{images[0]}: {printable(images[1].name)} has the same name, expected one image; remove the wrong one"
        )
    return Sample(name, subset, images[0] if images else None, maps[0] if maps else None, problem)


def lasting_name(sample: Sample, layout: str) -> str:
    """A sample's name, less what only its map is named by: it stays the same if a missing map is added, or one of two
    removed."""
    stated, path = LAYOUTS[layout], sample.parameters
    if stated.named_maps and path is not None and not path.name.endswith(stated.map_ending):
        return sample.name.rpartition("/")[0]
    return sample.name


def read_map(sample: Sample, layout: str, scale: float = 1.0, offset: float = 0.0) -> NDArray[np.float32]:
    """A sample's position map.

    Parameters
    ----------
    sample : Sample
        As `find_maps` lists it.
    layout : str
        One of `LAYOUTS`.
    scale, offset : float
        What leads from the values to px, ``value * scale + offset``: see `uvgen.Normalization.of_scale`.

    Returns
    -------
    (U, U, 3) float32
        Crop px: x right, y down, z toward the viewer, in the layout's convention.

    Raises
    ------
    SampleError
        If the file is missing, no ``.npy``, of another shape, holds NaN, infinity or more than 1e6 px,
        or was divided by something else.
    """
    path = sample.parameters
    if sample.problem or path is None:
        raise SampleError(sample.problem or f"{sample.image}: no position map beside it")
    array = read_npy_file(path, SampleError, most_bytes=_MOST_BYTES)
    square = array.ndim == 3 and 0 < array.shape[0] == array.shape[1] and array.shape[2] == 3
    if not square or array.dtype.kind not in "fiu":
        shape = " × ".join(map(str, array.shape)) or "one number"
        raise SampleError(f"{path}: {array.dtype} {shape}, expected a position map, U × U × 3 numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        values = array.astype(np.float32) * np.float32(scale)
        if offset:
            values += np.float32(offset)
    if not np.isfinite(values).all():
        raise SampleError(f"{path}: holds NaN or infinity, expected px")
    if np.abs(values).max(initial=0) < _DIVIDED:
        names = ", ".join(name for name in MAP_SCALES if name != "px")
        raise SampleError(
            f"{path}: values of {values.min():.3g} to {values.max():.3g}, expected px; if they were divided by "
            f"something, name it as the maps' scale: {names} or a number"
        )
    if layout == "reshow":
        values[..., :2] -= (_image_to_crop(path) @ IMAGE_SHIFTS["reshow"]).astype(np.float32)
    if np.abs(values).max() > FARTHEST_PX:
        raise SampleError(f"{path}: values of {values.min():.3g} to {values.max():.3g}, expected px of the crop")
    return values


def more_files(sample: Sample, layout: str) -> list[Path]:
    """What else a sample of a layout is made of, beside its image and map: reshow's ``.mat``."""
    return [_box_file(sample.parameters)] if layout == "reshow" and sample.parameters is not None else []


def _box_file(path: Path) -> Path:
    """The ``.mat`` beside reshow's map."""
    return path.with_name(f"{path.name.removesuffix(LAYOUTS['reshow'].map_ending)}_bbox_info.mat")


def _image_to_crop(path: Path) -> NDArray[np.float64]:
    """What becomes of a step in the image (2, 2), by the ``.mat`` of reshow's map; SampleError if that lacks it."""
    mat = _box_file(path)
    try:
        content = read_numeric(read_file(mat, _MOST_BYTES), ("Tform",))
    except OSError as error:
        raise SampleError(
            f"{mat}: cannot be read ({os_reason(error)}), expected reshow's Tform of {path.name}"
        ) from error
    except ValueError as error:
        raise SampleError(f"{mat}: {brief(error)}, expected reshow's Tform of {path.name}") from error
    tform: Any = content.get("Tform")
    if tform is None or tform.shape != (3, 3):
        raise SampleError(f"{mat}: no Tform of 3 × 3, expected reshow's; the map {path.name} needs its scale")
    linear: NDArray[np.float64] = tform[:2, :2].astype(np.float64)
    if not np.abs(linear).max() < _LARGEST_SCALE:
        raise SampleError(f"{mat}: Tform holds {np.abs(linear).max():.4g}, expected a crop's, below {_LARGEST_SCALE:g}")
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    if not 1 / _LARGEST_SCALE < scale < _LARGEST_SCALE:
        raise SampleError(f"{mat}: Tform scales by {scale:.4g}, expected a crop's 0.001 to 1000")
    return linear
