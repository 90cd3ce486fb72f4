"""Names of synthetic faces, apart from what draws them: listing the built-in sample set imports only this."""

from collections.abc import Sequence

SUBSETS = ("AFW", "HELEN", "IBUG", "LFPW")
"""Folders that faces are spread over, named as those of 300W-LP are."""


def sample_names(count: int, subsets: Sequence[str] = SUBSETS, photographs: int = 1) -> list[str]:
    """Names of rendered samples, such as ``IBUG/IBUG_image_0001_0``, without those of the mirrored subsets.

    Parameters
    ----------
    count : int
        Number of faces.
    subsets : sequence of str
        Subsets, which take turns.
    photographs : int
        Photographs of each face; ``…_1`` is its second one.

    Returns
    -------
    list of str
        count * photographs names.
    """
    rounds = ((subsets[k % len(subsets)], k // len(subsets) + 1) for k in range(count))
    return [f"{subset}/{subset}_image_{number:04d}_{k}" for subset, number in rounds for k in range(photographs)]
