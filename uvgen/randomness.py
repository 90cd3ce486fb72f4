"""Random numbers that depend on a seed and on names alone: never on order, process or position."""

import hashlib
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence


class _Key(ISeedSequence):
    """A key in the place of a seed: `Philox(key=…)` asks the system for entropy too, two thirds of its time."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The key, of which Philox takes two words of 64 bits."""
        return np.frombuffer(self._key, np.dtype(dtype).newbyteorder("<"), n_words).astype(dtype)


def keyed_generator(seed: int, *names: str | int) -> np.random.Generator:
    """Random generator for one thing: the same seed and names give the same numbers anywhere.

    Parameters
    ----------
    seed : int
        The data set's seed.
    *names : str or int
        What the numbers are for, for example a sample's name and the epoch.

    Returns
    -------
    numpy.random.Generator
        A counter-based Philox generator keyed by the SHA-256 of the arguments.
    """
    text = "\0".join(map(str, (seed, *names)))
    key: Any = _Key(hashlib.sha256(text.encode()).digest()[:16])  # NumPy takes it; its types name `SeedSequence` alone
    return np.random.Generator(np.random.Philox(key))
