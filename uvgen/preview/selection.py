"""Which samples a sheet shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DatasetError
from uvgen.randomness import keyed_generator
from uvgen.samples.selection import like_names
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import brief


def spread(yaws_rad: NDArray[np.floating[Any]], names: Sequence[str], n: int, seed: int) -> list[int]:
    """Choose samples evenly over the range of yaw.

    Parameters
    ----------
    yaws_rad : (N,) float
        One a sample.
    names : sequence of str
        The samples' names; the choice does not depend on their order.
    n : int
        How many to choose.
    seed : int
        Which sample is taken among those within a step of the wished yaw.

    Returns
    -------
    list of int
        At most n indices, from the smallest yaw to the largest.
    """
    ranks = np.empty(len(names), np.int64)  # not an array of the names, in which each takes as much as the longest
    ranks[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    order = np.lexsort((ranks, yaws_rad))
    sorted_yaws = np.asarray(yaws_rad, np.float64)[order]
    if len(order) <= n:
        everything: list[int] = order.tolist()
        return everything
    edges = np.linspace(sorted_yaws[0], sorted_yaws[-1], n + 1)
    free = np.ones(len(order), bool)
    chosen = []
    for k in range(n):
        inside = np.flatnonzero(free & (sorted_yaws >= edges[k]) & (sorted_yaws <= edges[k + 1]))
        if len(inside):
            taken = int(inside[keyed_generator(seed, "preview", k).integers(len(inside))])
        else:  # no sample falls in this yaw bin: take the nearest unused one
            distance = np.abs(sorted_yaws - (edges[k] + edges[k + 1]) / 2)
            taken = int(np.where(free, distance, np.inf).argmin())
        free[taken] = False
        chosen.append(taken)
    spaced: list[int] = order[sorted(chosen)].tolist()
    return spaced


def numbers_of(reader: ShardReader, all_names: Sequence[str], names: Sequence[str]) -> list[int]:
    """Numbers of the samples of some names; DatasetError, which says what is like it, for a name that is not there."""
    position = {name: k for k, name in enumerate(all_names)}
    for name in names:
        if name not in position:
            raise DatasetError(f"{reader.folder}: no sample {brief(name)}; {like_names(name, all_names)}")
    return [position[name] for name in names]
