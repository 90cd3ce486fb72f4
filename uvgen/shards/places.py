"""Which row of which shard each sample of a reader is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SamplePlaces:
    """Where samples are, by their numbers: those of the first shard, then those of the next.

    Parameters
    ----------
    counts : sequence of int
        Samples of each shard.
    rows : (n,) int64, optional
        Each sample's row in its shard, if only some of a shard's samples are meant.

    Attributes
    ----------
    ends : (m,) int64
        Samples up to the end of each shard.
    """

    def __init__(self, counts: Sequence[int] | NDArray[np.integer[Any]], rows: NDArray[np.int64] | None = None) -> None:
        self.ends = np.cumsum(counts, dtype=np.int64)
        self._rows = rows

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def counts(self) -> tuple[int, ...]:
        """Samples of each shard."""
        return tuple(np.diff(self.ends, prepend=0).tolist())

    def subset(self, chosen: NDArray[np.intp]) -> tuple["SamplePlaces", list[int]]:
        """Places of some of the samples, ascending numbers; and the numbers of the shards that have some of them."""
        numbers = np.searchsorted(self.ends, chosen, "right")
        starts = np.concatenate([[0], self.ends])
        rows = chosen - starts[numbers] if self._rows is None else self._rows[chosen]
        there, counts = np.unique(numbers, return_counts=True)
        return SamplePlaces(counts, rows), there.tolist()

    def shard(self, sample: int) -> int:
        """The number of the shard that a sample is in."""
        return int(self.ends.searchsorted(sample, "right"))

    def first(self, shard: int) -> int:
        """A shard's first sample."""
        return int(self.ends[shard - 1]) if shard else 0

    def locate(self, sample: int) -> tuple[int, int]:
        """A sample's shard, and its row there."""
        shard = self.shard(sample)
        return shard, sample - self.first(shard) if self._rows is None else int(self._rows[sample])

    def chosen(self, shard: int, values: Any) -> Any:
        """Of the values of all rows of a shard, an array or a list, those of the reader's samples."""
        if self._rows is None:
            return values
        rows = self._rows[self.first(shard) : self.ends[shard]]
        return [values[row] for row in rows.tolist()] if isinstance(values, list) else values[rows]
