"""What a data set holds: what `uvgen info` prints."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uvgen.checks import check_paths
from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.naming import subset_of_shard
from uvgen.datasets.open import reader_of
from uvgen.datasets.quality.summary import LabelQuality, label_quality
from uvgen.datasets.split_files import SPLITS, read_splits
from uvgen.datasets.splits import group_samples
from uvgen.described import described
from uvgen.geometry import wrapped_deg
from uvgen.shards.index import Index, data_folder
from uvgen.shards.reader import ShardReader
from uvgen.storage.urls import shown_path

YAW_STEP_DEG = 15
"""Width of the yaw bins, which begin at multiples of it."""


@dataclass(frozen=True, slots=True, eq=False)
class DatasetInfo:
    """A description of a data set.

    Attributes
    ----------
    folder : Path
        The data set's folder.
    samples, missing : int
        Number of samples, and of those that an unfinished set still lacks.
    photographs : int
        How many photographs they come from, as `uvgen.split_shards` counts them.
    subsets : mapping of str to int
        Samples of each subset.
    shards, size_bytes : int
        Number of shards, and the size of them all.
    fields : mapping of str to (shape, dtype)
        Shape and type of each field of one sample, as stored.
    config : DatasetConfig
        What it was made with.
    uvgen : str
        The version that made it.
    yaws : mapping of int to int
        Samples by yaw as the picture shows it: key is the lower end of a bin of `YAW_STEP_DEG` degrees.
    quality : LabelQuality or None
        How far labels are from annotations.
    skipped : mapping of str to int
        How many samples were left out for each kind of reason.
    splits : mapping of str to int
        Samples of each part in ``splits.json``.
    """

    folder: Path
    samples: int
    missing: int
    photographs: int
    subsets: Mapping[str, int]
    shards: int
    size_bytes: int
    fields: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
    config: DatasetConfig
    uvgen: str
    yaws: Mapping[int, int]
    quality: LabelQuality | None
    skipped: Mapping[str, int]
    splits: Mapping[str, int]

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen info --json` prints it."""
        return {
            "folder": shown_path(self.folder),
            "uvgen": self.uvgen,
            "samples": self.samples,
            "missing": self.missing,
            "photographs": self.photographs,
            "subsets": dict(self.subsets),
            "shards": self.shards,
            "size_bytes": self.size_bytes,
            "fields": {
                name: {"shape": list(shape), "dtype": "text" if dtype.kind == "S" else dtype.name}
                for name, (shape, dtype) in self.fields.items()
            },
            "config": self.config.to_plain(),
            "yaw_deg": {str(low): n for low, n in self.yaws.items()},
            "label_nme": None if self.quality is None else self.quality.to_plain(),
            "skipped": dict(self.skipped),
            "splits": dict(self.splits),
        }


def describe_shards(path: str | os.PathLike[str], *, untrusted: bool = False) -> DatasetInfo:
    """Describe a data set.

    Parameters
    ----------
    path : path-like
        Folder that ``uvgen build`` or ``uvgen augment`` made, finished or not.
    untrusted : bool
        Read the shards in a child process: see `uvgen.open_shards`.

    Returns
    -------
    DatasetInfo

    Raises
    ------
    DatasetError
        If the folder is not a data set, or a shard cannot be read.
    InputError
        If `path` is not a path.

    Examples
    --------
    >>> uvgen.describe_shards("shards/").subsets
    {'IBUG': 64, 'IBUG_Flip': 64}
    """
    check_paths(path=path)
    folder = data_folder(path)
    index = Index.read(folder)
    config = DatasetConfig.of_index(index, folder)
    reader = reader_of(folder, index, config, untrusted=untrusted)
    subsets = Counter[str]()
    for entry in sorted(index.shards, key=lambda entry: entry.file):
        if entry.samples:
            subsets[subset_of_shard(entry.file)] += entry.samples
    groups = group_samples(reader.names, copies=config.augmentation is not None)
    splits = read_splits(folder / SPLITS) if (folder / SPLITS).exists() else {}
    return DatasetInfo(
        folder=folder,
        samples=index.n_samples,
        missing=index.missing,
        photographs=len(groups),
        subsets=dict(subsets),
        shards=len(reader.files),
        size_bytes=sum(entry.size_bytes for entry in index.shards),
        fields=reader.fields,
        config=config,
        uvgen=index.uvgen,
        yaws=_yaws(reader),
        quality=label_quality(reader),
        skipped=by_reason([skip.reason for skip in index.skipped]),
        splits={name: len(split.samples) for name, split in splits.items()},
    )


def _yaws(reader: ShardReader) -> dict[int, int]:
    if "crop_pose" not in reader.fields:
        return {}
    yaws = wrapped_deg(np.degrees(reader.column("crop_pose")[:, 1].astype(np.float64)))
    yaws = yaws[np.isfinite(yaws)]
    bins = np.floor(yaws / YAW_STEP_DEG).astype(int) * YAW_STEP_DEG
    if not len(bins):
        return {}
    counts = Counter(bins.tolist())
    return {low: counts[low] for low in range(min(counts), max(counts) + 1, YAW_STEP_DEG)}  # empty ones between too


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def by_reason(reasons: list[str]) -> dict[str, int]:
    """How often there is each kind of reason, the most frequent first.

    Reasons of one kind differ in file names, which are left out, and in numbers, which are N where they differ:
    "MATLAB 5" keeps its 5.
    """
    texts = [_without_files(reason) for reason in reasons]
    numbers: dict[tuple[str, ...], list[str]] = {}  # of the text between them
    kinds = [tuple(_NUMBER.split(text)) for text in texts]
    for text, kind in zip(texts, kinds, strict=True):
        own = _NUMBER.findall(text)
        numbers[kind] = [a if a == b else "N" for a, b in zip(numbers.get(kind, own), own, strict=True)]
    counts = Counter[str]()
    for kind in kinds:
        counts["".join(part for pair in zip(kind, [*numbers[kind], ""], strict=True) for part in pair)] += 1
    return dict(counts.most_common())


def _without_files(reason: str) -> str:
    # word by word: one expression for both would try each of many slashes with each other
    return " ".join(word for word in reason.split(" ") if not (word.endswith(":") and "/" in word[:-2]))
