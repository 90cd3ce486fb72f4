"""Choosing samples of a data set by what is known of them: what `uvgen select` and `uvgen drop` do."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_instance, check_paths, check_several
from uvgen.datasets.naming import subset_of_shard
from uvgen.datasets.open import open_shards
from uvgen.datasets.quality.label_columns import label_columns
from uvgen.datasets.split_files import find_split
from uvgen.datasets.splits import group_samples
from uvgen.described import described
from uvgen.errors import InputError
from uvgen.geometry import wrapped_deg
from uvgen.samples.selection import find_names
from uvgen.shards.reader import ShardReader


@dataclass(frozen=True, slots=True)
class Criteria:
    """Criteria for the choice of samples. A sample is chosen if it meets all that are given.

    Attributes
    ----------
    names : sequence of str or path-like, optional
        Names of samples, or a text file that lists them.
    split : str, optional
        A part of ``splits.json``.
    subsets : sequence of str
        Names of subsets. ``IBUG`` does not include ``IBUG_Flip``.
    min_nme, max_nme : float, optional
        Range of `label_nme`, ends included; 0.05 is 5%. Samples whose `label_nme` is not known are not chosen, and
        neither are samples that have the annotation of another version of their photograph.
    min_yaw_deg, max_yaw_deg : float, optional
        Range of the absolute yaw, as the picture shows it, ends included.
    flipped : bool, optional
        Whether an augmentation mirrored the sample.
    """

    names: Sequence[str] | str | os.PathLike[str] | None = None
    split: str | None = None
    subsets: Sequence[str] = ()
    min_nme: float | None = None
    max_nme: float | None = None
    min_yaw_deg: float | None = None
    max_yaw_deg: float | None = None
    flipped: bool | None = None

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The criteria that are given, as ``splits.json`` states them: shares, degrees, and the name of a file of
        names."""
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "names" and value is not None:
                value = Path(value).name if isinstance(value, str | os.PathLike) else [*value]
            if value not in (None, ()):
                found[field.name] = list(value) if field.name == "subsets" else value
        return found


def select_names(
    path: str | os.PathLike[str],
    criteria: Criteria,
    *,
    drop: bool = False,
    whole_photographs: bool = False,
    untrusted: bool = False,
) -> list[str]:
    """Names of the samples that meet some criteria, or of all others.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` or ``uvgen augment`` made.
    criteria : Criteria
        Which samples.
    drop : bool
        Whether to name the others instead.
    whole_photographs : bool
        Whether a sample that meets them brings along all versions of its photograph, see `uvgen.split_shards`.
    untrusted : bool
        Read the shards in a child process: see `uvgen.open_shards`.

    Returns
    -------
    list of str
        In the order of the data set; empty if none meets them.

    Raises
    ------
    InputError
        If a name, a subset or the split is not in the set, a range is empty, the set is empty or has no such field, or
        an argument is of the wrong type.
    DatasetError
        If the folder is not a data set, or a shard cannot be read.
    """
    check_paths(path=path)
    check_instance(criteria, "criteria", Criteria, "uvgen.Criteria(max_nme=0.05)")
    reader = open_shards(path, untrusted=untrusted)
    names = reader.names
    if not names:
        raise InputError(f"{reader.folder}: holds no samples, expected some to choose from")
    chosen = np.ones(len(names), bool)
    if criteria.names is not None:
        chosen &= np.isin(np.arange(len(names)), find_names(names, criteria.names))
    if criteria.split is not None:
        chosen &= np.isin(np.arange(len(names)), find_split(reader.folder, criteria.split, names))
    if criteria.subsets:
        chosen &= _of_subsets(reader, criteria.subsets)
    chosen &= _in_range(reader, "label_nme", criteria.min_nme, criteria.max_nme)
    chosen &= _in_range(reader, "crop_pose", criteria.min_yaw_deg, criteria.max_yaw_deg)
    if criteria.flipped is not None:
        flipped = reader.column("flipped") if "flipped" in reader.fields else np.zeros(len(names), bool)
        chosen &= flipped == criteria.flipped
    if whole_photographs:
        groups = group_samples(names, copies=reader.config.augmentation is not None)
        met = {name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen}
        brought = {name for group in groups.values() if not met.isdisjoint(group) for name in group}
        chosen = np.array([name in brought for name in names], bool)
    return [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen != drop]


def _of_subsets(reader: ShardReader, subsets: Sequence[str]) -> NDArray[np.bool_]:
    check_several(subsets, "subsets")
    of_shard = [subset_of_shard(file) for file in reader.files]
    if unknown := [subset for subset in subsets if subset not in of_shard]:
        raise InputError(f"subset {unknown[0]!r}: not in the set, which has {', '.join(dict.fromkeys(of_shard))}")
    return np.repeat([subset in subsets for subset in of_shard], reader.shard_samples)


def _in_range(reader: ShardReader, field: str, low: float | None, high: float | None) -> Any:
    if low is None and high is None:
        return True
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    what = "label NME" if field == "label_nme" else "yaw"
    if not low <= high:
        raise InputError(f"{what}: from {low:g} to {high:g}, expected a range")
    if field not in reader.fields:
        raise InputError(f"{reader.folder}: stores no {field}, expected a set with it; build it again")
    values = reader.column(field)
    if field == "label_nme":
        if not np.isfinite(values).any():
            raise InputError(
                f"{reader.folder}: no sample has a label NME, since the samples' files hold no landmarks; choose by "
                "something else"
            )
        values = np.where(label_columns(reader).repeated, np.nan, values)
    if field == "crop_pose":
        values = np.abs(wrapped_deg(np.degrees(values[:, 1].astype(np.float64))))
    return (values >= low) & (values <= high)
