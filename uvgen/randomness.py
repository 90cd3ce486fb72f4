"""Random numbers that depend on a seed and on names alone: never on order, process or position."""

import hashlib

import numpy as np


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
    text = "\0".join(str(part) for part in (seed, *names))
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))
