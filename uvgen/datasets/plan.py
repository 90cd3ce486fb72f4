"""Which shards a build makes."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from uvgen.datasets.naming import copy_name, shard_file, shard_stem
from uvgen.samples.find import Sample


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard to make: its file name and samples, which augmented copy of them, and the only hash it may have."""

    file: str
    samples: tuple[Sample, ...]
    copy: int = 0
    trial: bool = False  # whether to try its samples and write nothing
    expected: str | None = None  # the only SHA-256 that the shard may have; None if it may have any

    @property
    def n_samples(self) -> int:
        """Number of samples in the shard, before any is skipped."""
        return len(self.samples)

    def names(self) -> frozenset[str]:
        """Names of the samples, by which some may be skipped."""
        return frozenset(sample.name for sample in self.samples)

    def stored_names(self, skipped: Set[str], *, augmented: bool) -> list[str]:
        """Names that the shard's samples have without the skipped ones; those of copies if the set is augmented."""
        names = [sample.name for sample in self.samples if sample.name not in skipped]
        return [copy_name(name, self.copy) for name in names] if augmented else names

    def parts(self) -> "list[ShardTask]":
        """Each of its samples alone, to be tried."""
        return [replace(self, samples=(sample,), trial=True) for sample in self.samples]

    def without(self, causes: Mapping[int, str]) -> "ShardTask":
        """The shard without the samples of these numbers: they are skipped, for these reasons, as any bad one is."""
        samples = [
            replace(sample, problem=f"{sample.image or sample.parameters}: {causes[k]}", deadly=True)
            if k in causes else sample
            for k, sample in enumerate(self.samples)
        ]  # fmt: skip
        return replace(self, samples=tuple(samples))

    def unopened(self) -> "ShardTask":
        """The shard such that nothing opens the files of samples at which processes died, not even for their hash."""
        samples = [replace(one, image=None, parameters=None) if one.deadly else one for one in self.samples]
        return replace(self, samples=tuple(samples))


def plan_shards(samples: Sequence[Sample], shard_size: int, copies: int = 1) -> list[ShardTask]:
    """Cut a sample list into shards, none across subsets.

    Parameters
    ----------
    samples : sequence of Sample
        Sorted, as `uvgen.samples.find.find_samples` returns them.
    shard_size : int
        Samples a shard.
    copies : int
        Shards from each block of samples, one an augmented copy.

    Returns
    -------
    list of ShardTask
        ``SUBSET-00000.h5`` and so on.
    """
    by_subset: dict[str, list[Sample]] = {}
    for sample in samples:
        by_subset.setdefault(sample.subset, []).append(sample)
    return [
        ShardTask(
            shard_file(shard_stem(subset), block * copies + copy), tuple(members[first : first + shard_size]), copy
        )
        for subset, members in by_subset.items()
        for block, first in enumerate(range(0, len(members), shard_size))
        for copy in range(copies)
    ]
