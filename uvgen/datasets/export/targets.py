"""What a data set can be exported as: one entry of `EXPORT_TARGETS` per target, and what each needs and has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from uvgen.checks import choice
from uvgen.datasets.export import (
    croissant,
    deep3d,
    files,
    glb,
    huggingface,
    mds,
    obj,
    ply,
    prnet,
    reshow,
    stn,
    tfrecord,
    webdataset,
)
from uvgen.errors import InputError
from uvgen.shards.reader import ShardReader


@dataclass(frozen=True, slots=True, eq=False)
class ExportTarget:
    """A layout that data sets are exported to.

    Attributes
    ----------
    module : module
        What writes it, with `key`, `write` and `finish`: see `uvgen.datasets.export`.
    needs : mapping of str to str
        Arguments of an export that it cannot do without, "model" or "data", and what for. `module`'s `write` and
        `finish`, and `check_set`, get them as keywords.
    options : mapping of str to tuple of str
        Further arguments with their values, the default first; handed on likewise.
    labels : str
        Pixel convention of its labels, if it is not the set's.
    has_maps : bool
        Whether it writes position maps; else the set need not store them.
    has_jpeg : bool
        Whether it writes JPEG files.
    has_pixels : bool
        Whether it has a place for per-pixel targets (``uvgen build --targets``); if not, an export says so.
    has_parts : bool
        Whether it says which samples are for training and which for validation, as the set's splits do if it has some.
    is_whole : bool
        Whether it takes all samples of a set, and cannot have some of them.
    reserved : tuple of str
        Keys that no sample may have.
    own_files : tuple of str
        Files of the export's own, beside folders of samples, which may not have their names.
    endings : tuple of str
        Suffixes of files: a folder of samples may not have the name of such a file.
    check_packages : function, optional
        Raises DependencyError if a package is missing that uvgen does not install.
    check_set : function, optional
        Of the reader and the folder: raises what is wrong with them before any work.
    clean : function, optional
        Of the reader and the folder: removes, once the export is complete, what `finish` needs again where it was
        interrupted.
    inputs : function, optional
        Of the reader: what the files beside the set are now that it reads. An export that was interrupted does not go
        on with others.
    """

    module: ModuleType
    needs: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: str = ""
    has_maps: bool = True
    has_jpeg: bool = True
    has_pixels: bool = False
    has_parts: bool = False
    is_whole: bool = False
    reserved: tuple[str, ...] = ()
    own_files: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()
    check_packages: Callable[[], None] | None = None
    check_set: Callable[..., None] | None = None
    clean: Callable[[ShardReader, Path], None] | None = None
    inputs: Callable[..., str] | None = None

    @property
    def needs_model(self) -> bool:
        """Whether it can do nothing without the set's model."""
        return "model" in self.needs


EXPORT_TARGETS = {
    "webdataset": ExportTarget(webdataset, has_pixels=True),
    "npy": ExportTarget(
        files,
        has_pixels=True,
        reserved=("weight_mask", "samples", ".export"),
        endings=(".jpg", ".npy", ".npz", ".json"),
        clean=files.clean,
    ),
    "prnet": ExportTarget(prnet, needs={"model": "canonical_vertices.npy is its mean face"}),
    "reshow": ExportTarget(
        reshow,
        options={"convention": ("reshow", "exact", "face3d")},
        own_files=("uv_face_mask.png", "uv_weight_mask.png", "uv_kpt_ind.txt", "weight_mask.npy", "skipped.txt"),
        endings=("_cropped.jpg", "_cropped_uv_posmap.npy", "_bbox_info.mat"),
    ),
    "deep3d": ExportTarget(
        deep3d,
        needs={"data": "it takes whole images"},
        labels="exact",
        has_maps=False,
        has_parts=True,
        check_set=deep3d.check_set,
        inputs=deep3d.inputs,
    ),
    "stn": ExportTarget(
        stn, needs={"model": "it is resampled on a grid"}, has_parts=True, endings=(".jpg",), clean=stn.clean
    ),
    "huggingface": ExportTarget(huggingface, has_pixels=True, check_packages=huggingface.check_packages),
    "tfrecord": ExportTarget(tfrecord, has_pixels=True),
    "mds": ExportTarget(mds, has_pixels=True),
    "obj": ExportTarget(obj, has_jpeg=False, own_files=("weight_mask.npy",), endings=(".obj", ".mtl", ".png")),
    "ply": ExportTarget(ply, has_jpeg=False, own_files=("weight_mask.npy",), endings=(".ply", ".png")),
    "glb": ExportTarget(glb, has_jpeg=False, own_files=("weight_mask.npy",), endings=(".glb",)),
    "croissant": ExportTarget(croissant, has_maps=False, has_jpeg=False, has_pixels=True, is_whole=True),
}
"""What `uvgen.export_shards` takes for `to`. Per-pixel targets are `uvgen.maps.target_layouts.TARGETS`."""


def check_target(to: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a target takes of the arguments that are given; InputError if it needs one more, or does not take one."""
    target, taken = EXPORT_TARGETS[to], {}
    for name, value in given.items():
        if name in target.needs and value is None:
            raise InputError(f"{name}: none, expected one for {to}: {target.needs[name]}")
        if name in target.options:
            options = target.options[name]
            taken[name] = options[0] if value is None else choice(value, name, options)
        elif name in target.needs:
            taken[name] = value
        elif value is not None and name != "model":  # which makes maps, for any target
            raise InputError(f"{name}: given, expected none: {to} has no use for it")
    return taken
