"""The order of a training epoch. Import it from `uvgen.torch`."""

import hashlib
import operator
from collections.abc import Iterator, Mapping, Sequence
from numbers import Number
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, Dataset, Sampler, Subset

from uvgen.checks import number_in, seed_number, shown, true_or_false
from uvgen.errors import InputError
from uvgen.randomness import keyed_generator
from uvgen.wording import count


class HasShards(Protocol):
    """The interface of a data set that a sampler needs."""

    @property
    def shard_samples(self) -> Sequence[int]:
        """Number of samples in each shard, in the order of the samples."""


class ShardSampler(Sampler[int]):
    """Shuffles samples over groups of shards, so that few files are read at a time.

    Shards are put in random order and divided into groups of up to 64; each group's samples are shuffled with each
    other before the next group begins. So each shard's file is opened once and read within its group's part of the
    epoch. A data set of up to 64 shards, or of up to `window` samples, is one group: its order is a uniform shuffle.

    With the 122,450 samples of 300W-LP in shards of 256 there are 8 groups of 60 shards: 60 shards are in flight, each
    read within an eighth of the epoch, and a batch of 16 holds 14.2 different ones on average (15.8 in a uniform
    shuffle). A reader keeps 64 files open.

    The order depends on the seed and the epoch alone. Ranks of a distributed run take its samples in turn: together
    each exactly once, none twice.

    Parameters
    ----------
    data : ShardDataset, ShardReader, or any object with ``shard_samples``
        The data to sample; its `shard_samples` are the numbers of samples in each shard, in order. Also a
        `torch.utils.data.Subset` or `ConcatDataset` of such data sets, and so what `random_split` makes; it does not
        keep the versions of a photograph together, which `uvgen.split_shards` does.
    shuffle : bool
        False: in order.
    seed : int
        Random seed of the order.
    window : int
        Samples that are shuffled with each other, at least about as many: if 64 shards have fewer, groups have
        more shards.
    rank, n_ranks : int
        Which share of the samples to give, for distributed training.
    drop_last : bool
        Leave out the last few samples of an epoch (others in each), so that all ranks have equally many.
    shards_at_once : int
        The largest number of shards in a group, unless `window` asks for more. With fewer, files are read more
        sequentially, which hard disks need; with more, a batch is more mixed.

    Raises
    ------
    InputError
        If a number is out of range, or `data` does not say what its shards are.
    """

    def __init__(
        self,
        data: "HasShards | Dataset[Any]",
        *,
        shuffle: bool = True,
        seed: int = 0,
        window: int = 2048,
        rank: int = 0,
        n_ranks: int = 1,
        drop_last: bool = False,
        shards_at_once: int = 64,
    ) -> None:
        self.window = number_in(window, "window", 1, unit="samples", whole=True)
        self.shards_at_once = number_in(shards_at_once, "shards_at_once", 1, unit="shards", whole=True)
        self.n_ranks = number_in(n_ranks, "n_ranks", 1, whole=True)
        self.rank = number_in(rank, "rank", 0, self.n_ranks - 1, whole=True)
        self.shuffle, self.drop_last = true_or_false(shuffle, "shuffle"), true_or_false(drop_last, "drop_last")
        self.seed = seed_number(seed)
        self._shards, self._positions = _shards_of(data)
        self._data = data
        self.epoch = 0
        self._start = self._given = 0

    def __repr__(self) -> str:
        order = f"seed={self.seed}, epoch={self.epoch}" if self.shuffle else "shuffle=False"
        rank = f", rank {self.rank} of {self.n_ranks}" if self.n_ranks > 1 else ""
        shards = count(len(self._shards), "shard")
        return f"<ShardSampler of {count(sum(self._shards), 'sample')} in {shards}, {order}{rank}>"

    def __len__(self) -> int:
        """Number of samples in the next iteration."""
        return self._share(sum(self._shards)) - self._start

    def _share(self, n: int) -> int:
        return n // self.n_ranks if self.drop_last else len(range(self.rank, n, self.n_ranks))

    def __iter__(self) -> Iterator[int]:
        mine = self.order()[self.rank :: self.n_ranks]
        first, self._start = self._start, 0
        self._given = first
        if self._positions is not None and self.shuffle:
            mine = self._positions[mine]
        mine = mine[first : self._share(sum(self._shards))]
        ahead = _read_ahead(self._data, mine)
        try:
            for index in mine.tolist():
                self._given += 1
                if ahead is not None:
                    ahead.given += 1
                yield index
        finally:
            if ahead is not None:
                ahead.close()

    def order(self) -> NDArray[np.int64]:
        """The epoch's order over all ranks: (n,) int64, each sample once, numbered shard by shard."""
        sizes = np.array(self._shards, np.int64)
        n, n_shards = int(sizes.sum()), len(sizes)
        if not self.shuffle or not n:
            return np.arange(n)
        generator = keyed_generator(self.seed, "order", self.epoch)
        shards = generator.permutation(n_shards)
        ends = np.cumsum(sizes[shards])  # of each shard in the order
        firsts = (np.cumsum(sizes) - sizes)[shards]  # samples
        order: NDArray[np.int64] = np.arange(n) + np.repeat(firsts - (ends - sizes[shards]), sizes[shards])
        # As many groups as leave each with no more shards than asked for, and no fewer samples than the window.
        n_groups = max(min(-(-n_shards // self.shards_at_once), n // self.window), 1)
        borders = [n_shards * k // n_groups for k in range(1, n_groups)]  # groups of equally many shards, but for one
        for group in np.split(order, ends[np.array(borders, np.int64) - 1]):
            generator.shuffle(group)
        return order

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; call it before each epoch, with the same number on all ranks.

        The epoch that `load_state_dict` named continues where it was left.
        """
        epoch = seed_number(epoch, "epoch")
        if epoch != self.epoch:
            self._start = 0
        self.epoch, self._given = epoch, self._start

    def state_dict(self, n_used: int | None = None) -> dict[str, Any]:
        """The position within the epoch.

        Parameters
        ----------
        n_used : int, optional
            Samples that this rank has trained on in this epoch. A data loader's workers fetch ahead: without this
            number, samples that were fetched and not used yet count as used.

        Returns
        -------
        dict
            Plain numbers, the same on all ranks if they are at the same step.

        Raises
        ------
        InputError
            If `n_used` is negative.
        """
        position = self._given if n_used is None else number_in(n_used, "n_used", 0, whole=True)
        return {**self._identity(), "epoch": self.epoch, "position": position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`: the next iteration gives the rest of that epoch.

        Parameters
        ----------
        state : dict
            State of a sampler over the same data set with the same settings; the rank may differ.

        Raises
        ------
        InputError
            If the state belongs to another order, or is not a sampler's state.
        """
        if not isinstance(state, Mapping):
            raise InputError(f"sampler state: {shown(state)}, expected what `state_dict` returned")
        for name in ("epoch", "position"):
            value = state.get(name)
            if not isinstance(value, int) or not 0 <= value < 1 << 63:
                raise InputError(f"sampler state: {name} is {shown(value)}, expected a whole number from 0 to 2^63 - 1")
        for name, value in self._identity().items():
            found = state.get(name)
            if not isinstance(found, Number | str | None) or found != value:  # tensors compare to tensors
                raise InputError(f"sampler state: {name} is {shown(found)}, expected this sampler's, {value!r}")
        self.epoch = state["epoch"]
        self._start = self._given = min(state["position"], self._share(sum(self._shards)))

    def _identity(self) -> dict[str, Any]:
        names = ("seed", "window", "shards_at_once", "shuffle", "n_ranks", "drop_last")
        digest = hashlib.sha256(str(tuple(self._shards)).encode())
        if self._positions is not None:
            digest.update(self._positions.tobytes())
        shards = digest.hexdigest()[:16]
        return {**{name: getattr(self, name) for name in names}, "n_samples": sum(self._shards), "shards": shards}


def _read_ahead(data: Any, indices: NDArray[np.int64]) -> Any:
    """The function that fetches the shards of samples ahead, in this order; None if no shard needs to be fetched."""
    if isinstance(data, Subset):
        return _read_ahead(data.dataset, np.asarray(data.indices, np.int64).reshape(-1)[indices])
    return data.read_ahead(indices) if hasattr(data, "read_ahead") else None


def _shards_of(data: Any) -> tuple[tuple[int, ...], NDArray[np.int64] | None]:
    """Samples in each shard, and the samples' numbers in `data`, shard by shard, if that is not their order."""
    if hasattr(data, "shard_samples"):
        try:
            sizes = tuple(operator.index(n) for n in data.shard_samples)
        except TypeError:
            sizes = (-1,)
        if min(sizes, default=0) < 0:
            found = shown(data.shard_samples)
            raise InputError(f"data: its shard_samples are {found}, expected a whole number for each shard")
        return sizes, None
    if isinstance(data, Subset):
        sizes, positions = _shards_of(data.dataset)
        inside = np.asarray(data.indices, np.int64).reshape(-1) % max(sum(sizes), 1)
        ends = np.cumsum(np.array(sizes, np.int64))
        place = inside  # of each sample, when they are numbered shard by shard
        if positions is not None:
            place = np.argsort(positions)[inside]
        numbers = np.searchsorted(ends, place, "right")
        order = np.argsort(numbers, kind="stable")
        return tuple(int(n) for n in np.bincount(numbers, minlength=1) if n), order
    if isinstance(data, ConcatDataset):
        parts = [_shards_of(part) for part in data.datasets]
        shards = tuple(n for sizes, _ in parts for n in sizes)
        if all(positions is None for _, positions in parts):
            return shards, None
        starts = np.cumsum([0, *(sum(sizes) for sizes, _ in parts)])
        each = [
            first + (np.arange(sum(sizes)) if positions is None else positions)
            for first, (sizes, positions) in zip(starts, parts, strict=False)
        ]
        return shards, np.concatenate(each)
    raise InputError(
        f"data: {type(data).__name__} without shard_samples, expected a ShardDataset, or a Subset or "
        "ConcatDataset of some"
    )
