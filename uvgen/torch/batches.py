"""Samples and batches between a data set and a training loop: read on first access, a batch at a time, and passed
between processes without copies."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from uvgen.torch.memory import Parcel


def as_tensors(large: dict[str, torch.Tensor], rows: dict[str, Any], interleaved: bool) -> dict[str, Any]:
    """A batch or a sample as users see it: tensors with the channel axis first, and texts."""
    result: dict[str, Any] = {
        name: torch.from_numpy(values) if isinstance(values, np.ndarray) else values for name, values in rows.items()
    }
    for name, tensor in large.items():
        result[name] = tensor.movedim(-1, -3) if interleaved and name in ("image", "posmap") else tensor
    return result


class LateDict(MutableMapping[str, Any]):
    """A dict that is loaded on first access; copies and unions of it are plain dicts."""

    @abstractmethod
    def _opened(self) -> dict[str, Any]:
        """The dict itself."""

    def __getitem__(self, name: str) -> Any:
        return self._opened()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._opened()[name] = value

    def __delitem__(self, name: str) -> None:
        del self._opened()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened())

    def __len__(self) -> int:
        return len(self._opened())

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self}

    def copy(self) -> dict[str, Any]:
        return dict(self)


class PackedBatch(LateDict):
    """A batch in a worker's shared memory; unpickled, it is the dict that `ShardDataset.batch` returns.

    A `collate_fn` that looks into it finds the same, in memory of its own.
    """

    def __init__(self, parcel: Parcel, rows: dict[str, Any], interleaved: bool) -> None:
        self._content: Any = parcel, rows, interleaved
        self._batch: dict[str, Any] | None = None

    def _opened(self) -> dict[str, Any]:
        if self._batch is None:
            parcel, rows, interleaved = self._content
            large = {name: tensor.clone() for name, tensor in parcel.tensors().items()}
            self._batch, self._content = as_tensors(large, rows, interleaved), None
        return self._batch

    def __reduce__(self) -> Any:
        return (as_tensors, self._content) if self._batch is None else (dict, (self._batch,))


class LazySamples(Sequence[MutableMapping[str, Any]]):
    """The samples of a batch. `default_collate` reads them all at once; a sample that is accessed is read by itself.

    Parameters
    ----------
    indices : list of int
        The samples.
    read_one : callable
        Reads one of them as a dict.
    read_all : callable
        Reads them as a batch, a dict or a `PackedBatch`.
    """

    def __init__(
        self, indices: list[int], read_one: Callable[[int], dict[str, Any]], read_all: Callable[[list[int]], Any]
    ) -> None:
        self._indices, self._read_all = indices, read_all
        self._samples = [_Sample(index, read_one) for index in indices]

    def batch(self) -> Any:
        """The batch, including changes that were made to its samples."""
        if any(sample.is_read for sample in self._samples):
            return default_collate([dict(sample) for sample in self._samples])
        return self._read_all(self._indices)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, k: Any) -> Any:
        return self._samples[k]

    def __add__(self, others: Sequence[Any]) -> list[Any]:
        return [*self._samples, *others]

    def __reduce__(self) -> Any:
        return list, ([dict(sample) for sample in self._samples],)


class _Sample(LateDict):
    """A sample of `LazySamples`. Its type makes `default_collate` use `LazySamples` to make the batch."""

    def __init__(self, index: int, read: Callable[[int], dict[str, Any]]) -> None:
        self._index, self._read = index, read
        self._content: dict[str, Any] | None = None

    @property
    def is_read(self) -> bool:
        return self._content is not None

    def _opened(self) -> dict[str, Any]:
        if self._content is None:
            self._content = self._read(self._index)
        return self._content

    def __reduce__(self) -> Any:
        return dict, (self._opened(),)


def _collate(samples: Any, *, collate_fn_map: Any = None) -> Any:
    return (
        samples.batch() if isinstance(samples, LazySamples) else default_collate([dict(sample) for sample in samples])
    )


try:
    # PyTorch's own documentation extends `default_collate` in this way, under a private module's name. If a version
    # lacks it, `default_collate` takes a `_Sample` for any mapping: it reads one by one and stacks, which is slower.
    from torch.utils.data._utils.collate import default_collate_fn_map
except ImportError:
    pass
else:
    default_collate_fn_map[_Sample] = _collate
