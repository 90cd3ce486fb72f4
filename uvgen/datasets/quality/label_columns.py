"""What annotations say of each sample's label, and which samples hold the annotation of another version.

In some copies of 300W-LP all turned versions of a photograph have the `pt2d` of the first.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.naming import original_name
from uvgen.datasets.quality.annotations import in_image
from uvgen.samples.photographs import photograph_of
from uvgen.shards.index import Index
from uvgen.shards.reader import ShardReader, naming

POINT_FIELDS = ("image_to_crop", "landmarks", "annotated_landmarks", "flipped")
"""What `image_points` needs, as far as it is stored."""

_COMPARED = [0, 8, 16, 30, 36, 45, 48, 54]  # landmarks
_SAME_PX, _TURNED_RAD = 0.05, 0.01

REPEATED = "repeated_annotations"
"""In a copy's plan: its samples that hold the annotation of another version, which a copy of a part may lack."""


def stored_of(reader: ShardReader, *names: str) -> list[str]:
    """Those of some fields that the set stores."""
    return [name for name in names if name in reader.fields]


def image_points(reader: ShardReader, rows: dict[str, Any], name: str) -> NDArray[np.float64]:
    """Points of crops, in px of the original images."""
    flipped = rows.get("flipped", np.zeros(len(rows[name]), bool))
    with naming(reader.folder):
        return in_image(rows[name], rows["image_to_crop"], flipped, reader.config.build.size)


class LabelColumns(NamedTuple):
    """What annotations say of each sample's label.

    Attributes
    ----------
    nme, jaw : (N,) float32
        The fields `label_nme` and `label_nme_jaw`.
    repeated : (N,) bool
        Samples that hold the `pt2d` of another version of their photograph: in some copies of 300W-LP all turned
        versions have the annotation of the first. Their NME means nothing.
    n_photographs : int
        How many photographs do so.
    """

    nme: NDArray[np.float32]
    jaw: NDArray[np.float32]
    repeated: NDArray[np.bool_]
    n_photographs: int


def label_columns(reader: ShardReader) -> LabelColumns:
    """Of a set that stores `label_nme`, in one pass over its shards."""
    names = reader.names
    versions: dict[str, list[int]] = defaultdict(list)
    unturned = set[str]()
    for k, name in enumerate(names):
        if found := photograph_of(name):
            versions[found[0]].append(k)
            if found[1] == 0:
                unturned.add(found[0])
    several = [keys for keys in versions.values() if len(keys) > 1]
    fields = ["label_nme", "label_nme_jaw"] + ["pose", *stored_of(reader, *POINT_FIELDS)] * bool(several)
    nmes, jaws, yaws, points = [], [], [], []
    for columns in reader.shard_columns(fields):
        nmes.append(columns["label_nme"])
        jaws.append(columns["label_nme_jaw"])
        if several:
            yaws.append(columns["pose"][:, 1])
            points.append(image_points(reader, columns, "annotated_landmarks")[:, _COMPARED])
    nme, jaw = np.concatenate(nmes), np.concatenate(jaws)
    repeated = _stated(reader)
    n_photographs = len({found[0] for k in np.flatnonzero(repeated) if (found := photograph_of(names[k]))})
    if (most := reader.config.build.max_nme) is not None:
        # `max_nme` leaves turned versions alone if it knows that the annotation is another's: one that is farther
        # off is such a version, and the one that it could be compared with may have been left out
        subsets = _surveyed(Index.read(reader.folder))
        for photograph, keys in versions.items():
            if repeated[keys].any() or not (subsets is None or photograph.rpartition("/")[0] in subsets):
                continue
            if photograph not in unturned and (farther := [k for k in keys if nme[k] > most]):
                repeated[farther] = True
                n_photographs += 1
    several = [keys for keys in several if not repeated[keys].any()]
    if several:
        n_photographs += _mark_repeated(several, np.concatenate(yaws), np.concatenate(points), repeated)
    return LabelColumns(nme, jaw, repeated, n_photographs)


def _surveyed(index: Index) -> set[str] | None:
    """Subsets of which a set's index says that turned versions hold another's annotation, as samples' names have them;
    None if it says nothing.
    """
    survey = index.plan.get("survey")
    if not isinstance(survey, dict) or "repeated" not in survey:
        return None
    stated = survey["repeated"]
    if stated is True:  # of sets from before subsets were told apart
        return None
    return {*map(str, stated), ""} if isinstance(stated, list) else set()


def stated_repeated(index: Index) -> set[str]:
    """The samples of which a copy's index says that they hold another version's annotation."""
    stated = index.plan.get(REPEATED)
    return {name for name in stated if isinstance(name, str)} if isinstance(stated, list) else set()


def _stated(reader: ShardReader) -> NDArray[np.bool_]:
    stated = stated_repeated(Index.read(reader.folder))
    if not stated:
        return np.zeros(len(reader), bool)
    augmented = reader.config.augmentation is not None  # their names end in -0 and so on
    return np.array([name in stated or (augmented and original_name(name) in stated) for name in reader.names], bool)


def repeated_names(reader: ShardReader, chosen: Sequence[str]) -> list[str]:
    """Those of some samples that hold the annotation of another version of their photograph, in order.

    A set of these alone need not show it, as if the version with that annotation is left out.

    Parameters
    ----------
    reader : ShardReader
        The set.
    chosen : sequence of str
        Names of its samples.

    Returns
    -------
    list of str
    """
    photographs = {found[0] for name in chosen if (found := photograph_of(name))}
    keys = [k for k, name in enumerate(reader.names) if (found := photograph_of(name)) and found[0] in photographs]
    if not keys or "label_nme" not in reader.fields:
        return []
    versions = reader.subset(keys)
    there = versions.names
    marked = {there[k] for k in np.flatnonzero(label_columns(versions).repeated)}
    return [name for name in chosen if name in marked]


def _mark_repeated(
    several: list[list[int]], yaws: NDArray[Any], points: NDArray[np.float64], repeated: NDArray[np.bool_]
) -> int:
    """Mark samples that have another version's annotation, of photographs with several; return of how many of these."""
    n_photographs = 0
    for keys in several:
        turned = np.abs(yaws[keys] - yaws[keys[0]]) > _TURNED_RAD
        same = np.abs(points[keys] - points[keys[0]]).max(axis=(1, 2)) < _SAME_PX  # False for NaN
        if turned.any() and same[turned].all():
            repeated[np.array(keys)[turned]] = True
            n_photographs += 1
    return n_photographs
