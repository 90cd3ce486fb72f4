from .folder import SynthResult, render_faces
from .names import SUBSETS, sample_names
from .sample_set import builtin_samples

__all__ = ["SUBSETS", "SynthResult", "builtin_samples", "render_faces", "sample_names"]
