"""The order of training samples: how well it mixes, and how few shards it reads at a time."""

import math
from itertools import chain
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uvgen.errors import InputError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from uvgen.torch import ShardSampler  # noqa: E402


class Shards:
    """As much of a reader as the sampler needs."""

    def __init__(self, *shard_samples: int) -> None:
        self.shard_samples = shard_samples


FULL = Shards(*[256] * 478, 82)  # 122,450 samples: 300W-LP with its flips


def orders(data: Shards, n_epochs: int, **options: Any) -> NDArray[np.int64]:
    sampler, found = ShardSampler(data, **options), []
    for epoch in range(n_epochs):
        sampler.set_epoch(epoch)
        found.append(sampler.order())
    return np.array(found)


def shard_of(data: Shards, order: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(np.cumsum(data.shard_samples), order, side="right")


def stretches(shards: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and last place in the order at which each shard is read."""
    places: dict[int, tuple[int, int]] = {}
    for place, shard in enumerate(shards.tolist()):
        places[shard] = places.get(shard, (place,))[0], place
    return list(places.values())


def in_flight(shards: NDArray[np.int64]) -> int:
    """The largest number of shards that are begun and not done."""
    change = np.zeros(len(shards) + 1, int)
    for first, last in stretches(shards):
        change[first] += 1
        change[last + 1] -= 1
    return int(np.cumsum(change).max())


@pytest.mark.parametrize("sizes", [(4, 4, 4), (1, 7, 4), (12,), (1,) * 12, (0, 6, 0, 6)])
def test_order_of_one_window_is_a_uniform_shuffle(sizes: tuple[int, ...]) -> None:
    n_epochs, n = 1200, 12
    found = orders(Shards(*sizes), n_epochs, window=n, shards_at_once=2)
    counts = np.zeros((n, n))  # of each sample at each place
    np.add.at(counts, (found, np.arange(n)), 1)
    expected, freedom = n_epochs / n, (n - 1) ** 2
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - freedom) < 5 * math.sqrt(2 * freedom)  # five standard deviations
    # Two neighbors in the order are neighbors on disk as often as chance has it: 2 (n - 1) of n (n - 1) pairs.
    share = (np.abs(np.diff(found, axis=1)) == 1).mean()
    assert abs(share - 2 / n) < 5 * math.sqrt(2 / n / found.size)


def test_first_samples_of_a_small_set_come_at_any_place() -> None:
    n, n_first, n_epochs = 1500, 100, 200
    found = orders(Shards(*[256] * 5, 220), n_epochs)
    deviation = math.sqrt((n**2 - 1) / 12 * (1 - n_first / n) / n_first / n_epochs)  # of the mean without replacement
    places = np.argsort(found, axis=1)  # of each sample
    for part in (found[:, :n_first], places[:, :n_first], places[:, -n_first:]):
        assert abs(part.mean() - (n - 1) / 2) < 5 * deviation


def test_order_at_full_size_mixes_many_shards_of_few_in_flight() -> None:
    for epoch, order in enumerate(orders(FULL, 2)):
        assert np.array_equal(np.sort(order), np.arange(122450)), epoch
        shards = shard_of(FULL, order)
        batches = shards[: len(shards) // 16 * 16].reshape(-1, 16)
        distinct = np.mean([len(set(batch)) for batch in batches.tolist()])
        assert distinct > 14  # of 16; 7.4 with eight shards in flight, 15.8 with all
        assert in_flight(shards) <= 64
        longest = max(last - first + 1 for first, last in stretches(shards))
        assert longest <= 60 * 256  # an eighth of the epoch


def test_order_takes_other_groups_in_each_epoch() -> None:
    first, second = (shard_of(FULL, order) for order in orders(FULL, 2))
    groups = [np.unique(shards[:10_000]) for shards in (first, second)]
    assert len(np.intersect1d(*groups)) < 30  # 7.5 of 60 by chance


@pytest.mark.parametrize(
    ("data", "options", "most"),
    [
        (Shards(*[100] * 50), {"shards_at_once": 8, "window": 300}, 8),
        (Shards(*[100] * 50), {"shards_at_once": 1, "window": 1}, 1),
        (Shards(*[10] * 200, 0, 7), {"shards_at_once": 8, "window": 300}, 34),  # shards too small for the window
        (Shards(*[10] * 200, 0, 7), {"shards_at_once": 1000}, 201),
    ],
)
def test_order_has_each_sample_once_and_no_more_shards_in_flight_than_asked_for(
    data: Shards, options: dict[str, int], most: int
) -> None:
    for order in orders(data, 5, **options):
        assert np.array_equal(np.sort(order), np.arange(sum(data.shard_samples)))
        assert in_flight(shard_of(data, order)) <= most


def test_order_of_nothing_is_empty() -> None:
    for data in (Shards(), Shards(0, 0)):
        assert list(ShardSampler(data)) == [] and len(ShardSampler(data)) == 0


def test_ranks_share_the_order_of_many_groups() -> None:
    data = Shards(*[10] * 200, 7)
    shares = [list(ShardSampler(data, rank=k, n_ranks=3, window=100)) for k in range(3)]
    whole = ShardSampler(data, window=100).order().tolist()
    assert [shares[k % 3][k // 3] for k in range(len(whole))] == whole
    assert sorted(chain(*shares)) == list(range(2007))


@pytest.mark.parametrize(
    ("data", "options", "name"),
    [(Shards(*[50] * 100), {}, "shards"), (Shards(*[100] * 50), {"shards_at_once": 8}, "shards_at_once")],
)
def test_state_of_another_order_is_refused(data: Shards, options: dict[str, int], name: str) -> None:
    state = ShardSampler(Shards(*[100] * 50)).state_dict(n_used=4)
    with pytest.raises(InputError, match=f"sampler state: {name} is "):
        ShardSampler(data, **options).load_state_dict(state)  # type: ignore[arg-type]


def nested(depth: int = 5000) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "value", [nested(), torch.zeros(3), 10**5000, -(10**5000), "\x1b[31m", {}], ids=lambda v: type(v).__name__
)
@pytest.mark.parametrize("name", ["epoch", "position", "seed", "window", "shuffle", "n_samples", "shards"])
def test_states_from_elsewhere_are_refused(value: Any, name: str) -> None:
    sampler = ShardSampler(Shards(*[10] * 5))
    state = sampler.state_dict(n_used=4) | {name: value}
    with pytest.raises(InputError, match=f"sampler state: {name} is ") as caught:
        sampler.load_state_dict(state)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("state", [nested(), 10**5000, torch.zeros(3)], ids=lambda v: type(v).__name__)
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(InputError, match=r"sampler state: .*, expected what `state_dict` returned"):
        ShardSampler(Shards(10)).load_state_dict(state)


class Listed(torch.utils.data.Dataset):
    """A data set of numbers, with shards."""

    def __init__(self, *shard_samples: int) -> None:
        self.shard_samples = shard_samples

    def __len__(self) -> int:
        return sum(self.shard_samples)

    def __getitem__(self, key: int) -> int:
        return key


def test_sampler_takes_what_random_split_makes_and_reads_shard_by_shard() -> None:
    data = Listed(*[40] * 100)
    part, _ = torch.utils.data.random_split(data, [0.8, 0.2], torch.Generator().manual_seed(0))
    order = list(ShardSampler(part, seed=1, shards_at_once=10, window=1))
    assert sorted(order) == list(range(len(part)))
    shards = np.array([part.indices[k] // 40 for k in order])
    assert in_flight(shards) <= 10
    assert order != list(ShardSampler(part, seed=2, shards_at_once=10, window=1))


def test_sampler_over_subsets_of_concatenated_sets_gives_each_sample_once() -> None:
    first, second = Listed(3, 4), Listed(5)
    both = torch.utils.data.ConcatDataset([torch.utils.data.Subset(first, [6, 0, 1, 4]), second])
    part = torch.utils.data.Subset(both, [0, 8, 2, 3, -1])
    for data in (both, part):
        assert sorted(ShardSampler(data)) == list(range(len(data)))
        assert list(ShardSampler(data, shuffle=False)) == list(range(len(data)))
        ranks = [list(ShardSampler(data, rank=rank, n_ranks=2)) for rank in range(2)]
        assert sorted(ranks[0] + ranks[1]) == list(range(len(data)))


def test_sampler_state_belongs_to_one_subset() -> None:
    data = Listed(30, 30)
    state = ShardSampler(torch.utils.data.Subset(data, range(0, 60, 2))).state_dict(3)
    again = ShardSampler(torch.utils.data.Subset(data, range(0, 60, 2)))
    again.load_state_dict(state)
    assert len(again) == 27
    with pytest.raises(InputError, match="sampler state: shards is"):
        ShardSampler(torch.utils.data.Subset(data, list(range(59, -1, -2)))).load_state_dict(state)


def test_sampler_of_what_has_no_shards_says_what_is_expected() -> None:
    with pytest.raises(InputError, match="data: list without shard_samples, expected a ShardDataset, or a Subset"):
        ShardSampler([1, 2, 3])
