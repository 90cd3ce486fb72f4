"""The order of a training epoch. Import it from `uvgen.torch`."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from uvgen.errors import InputError
from uvgen.randomness import keyed_generator


class HasShards(Protocol):
    """What a sampler asks of a data set."""

    @property
    def shard_samples(self) -> Sequence[int]:
        """How many samples each shard has, in the order of the samples."""


class ShardSampler(Sampler[int]):
    """Shuffles shards, then samples within a window, so that reading stays nearly sequential.

    The order depends on the seed and the epoch alone. Ranks of a distributed run take its samples in turn: together
    each exactly once, none twice.

    Parameters
    ----------
    data : ShardDataset, ShardReader, or any object with ``shard_samples``
        What is sampled: its `shard_samples` are the numbers of samples in each shard, in order.
    shuffle : bool
        False: in order.
    seed : int
        Of the order.
    window : int
        Samples that are shuffled with each other. Several shards' worth make a good shuffle.
    rank, n_ranks : int
        Which share of the samples to give, for distributed training.
    drop_last : bool
        Leave out the last few samples of an epoch (others in each), so that all ranks have equally many.

    Raises
    ------
    InputError
        Where a number is out of range.
    """

    def __init__(
        self,
        data: HasShards,
        *,
        shuffle: bool = True,
        seed: int = 0,
        window: int = 2048,
        rank: int = 0,
        n_ranks: int = 1,
        drop_last: bool = False,
    ) -> None:
        if window < 1:
            raise InputError(f"window: {window}, expected 1 sample or more")
        if not 0 <= rank < n_ranks:
            raise InputError(f"rank: {rank} of {n_ranks}, expected 0 to n_ranks - 1")
        self._shards = tuple(data.shard_samples)
        self.shuffle, self.seed, self.window = shuffle, seed, window
        self.rank, self.n_ranks, self.drop_last = rank, n_ranks, drop_last
        self.epoch = 0
        self._start = self._given = 0

    def __len__(self) -> int:
        """How many samples the next iteration gives."""
        return self._share(sum(self._shards)) - self._start

    def _share(self, n: int) -> int:
        return n // self.n_ranks if self.drop_last else len(range(self.rank, n, self.n_ranks))

    def __iter__(self) -> Iterator[int]:
        mine = self.order()[self.rank :: self.n_ranks]
        first, self._start = self._start, 0
        self._given = first
        for index in mine[first : self._share(sum(self._shards))].tolist():
            self._given += 1
            yield index

    def order(self) -> NDArray[np.int64]:
        """The epoch's order over all ranks: (n,) int64, each sample once."""
        starts = np.cumsum([0, *self._shards])
        samples = [np.arange(start, start + n) for start, n in zip(starts, self._shards, strict=False)]
        if not samples:
            return np.empty(0, np.int64)
        if not self.shuffle:
            return np.concatenate(samples)
        generator = keyed_generator(self.seed, "order", self.epoch)
        order = np.concatenate([samples[k] for k in generator.permutation(len(samples))])
        # The first window ends at a random place: otherwise the same borders would separate samples in each epoch.
        first = int(generator.integers(1, self.window + 1))
        for part in np.split(order, range(first, len(order), self.window)):
            generator.shuffle(part)
        return order

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; call it before each epoch, with the same number on all ranks.

        The epoch that `load_state_dict` named goes on where it was left.
        """
        if epoch != self.epoch:
            self._start = 0
        self.epoch, self._given = epoch, self._start

    def state_dict(self, n_used: int | None = None) -> dict[str, Any]:
        """Where the epoch stands.

        Parameters
        ----------
        n_used : int, optional
            Samples that this rank has trained on in this epoch. A data loader's workers fetch ahead: without this
            number, samples that were fetched and not used yet count as used.

        Returns
        -------
        dict
            Plain numbers, the same on all ranks where they are at the same step.

        Raises
        ------
        InputError
            Where `n_used` is negative.
        """
        position = self._given if n_used is None else n_used
        if position < 0:
            raise InputError(f"n_used: {position}, expected 0 or more")
        return {**self._identity(), "epoch": self.epoch, "position": position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken: the next iteration gives the rest of that epoch.

        Parameters
        ----------
        state : dict
            Of a sampler over the same data set with the same settings; the rank may differ.

        Raises
        ------
        InputError
            Where the state belongs to another order, or is none.
        """
        if not isinstance(state, Mapping):
            raise InputError(f"sampler state: {state!r}, expected what `state_dict` returned")
        for name in ("epoch", "position"):
            value = state.get(name)
            if not isinstance(value, int) or value < 0:
                raise InputError(f"sampler state: {name} is {value!r}, expected a whole number from 0")
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise InputError(f"sampler state: {name} is {state.get(name)!r}, this sampler's is {value!r}")
        self.epoch = state["epoch"]
        self._start = self._given = min(state["position"], self._share(sum(self._shards)))

    def _identity(self) -> dict[str, Any]:
        names = ("seed", "window", "shuffle", "n_ranks", "drop_last")
        shards = hashlib.sha256(str(tuple(self._shards)).encode()).hexdigest()[:16]
        return {**{name: getattr(self, name) for name in names}, "n_samples": sum(self._shards), "shards": shards}
