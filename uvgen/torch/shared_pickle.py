"""A pickled value whose arrays lie in memory that all worker processes of a data loader share."""

import pickle
from typing import Any

import numpy as np
import torch

_ALIGNMENT = 64


class SharedPickle:
    """A value as bytes and as one piece of shared memory; each process that gets it makes the value again.

    A process that is spawned gets the bytes, which are few, and a handle of the memory: that takes as long for a large
    value as for a small one.

    Parameters
    ----------
    value : object
        Its arrays are shared if they are pickled out of band, as NumPy's are. The copies are not to be written to.
    """

    def __init__(self, value: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        self._data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        arrays = [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]
        sizes = np.array([len(array) for array in arrays], np.int64)
        stops = np.cumsum(-(-sizes // _ALIGNMENT) * _ALIGNMENT)
        starts = stops - -(-sizes // _ALIGNMENT) * _ALIGNMENT
        self._places = [*zip(starts.tolist(), (starts + sizes).tolist(), strict=True)]
        self._memory = torch.empty(int(stops[-1]) if len(stops) else 0, dtype=torch.uint8).share_memory_()
        for (start, stop), array in zip(self._places, arrays, strict=True):
            self._memory.numpy()[start:stop] = array

    def load(self) -> Any:
        """The value; its arrays are views of the shared memory."""
        memory = self._memory.numpy()
        memory.flags.writeable = False
        return pickle.loads(self._data, buffers=[memory[start:stop] for start, stop in self._places])
