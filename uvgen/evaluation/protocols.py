"""Which scores a published table has, by the name of what published it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Protocol:
    """The numbers of a table.

    Attributes
    ----------
    title : str
        What it is of.
    scores : tuple of str
        Keys of `uvgen.evaluation.scores.SCORES`.
    """

    title: str
    scores: tuple[str, ...]


PROTOCOLS = {
    "prnet": Protocol(
        "PRNet's tables on AFLW2000-3D and Florence (Feng et al., ECCV 2018)",
        ("nme_68_2d", "nme_68_3d", "nme_dense_2d", "nme_dense_3d", "reconstruction"),
    ),
    "3ddfa": Protocol(
        "the benchmark of 3DDFA and 3DDFA_V2 (benchmark_aflw2000.py, benchmark_aflw.py)", ("nme_68_2d", "nme_21_2d")
    ),
    "reshow": Protocol(
        "the log of reshow/PRNet-PyTorch's trainer (loss.py)", ("nme_dense_2d_dense_box", "nme_dense_3d_dense_box")
    ),
}
