from .folder import SynthResult, render_faces
from .names import SUBSETS, sample_names
from .options import SynthOptions
from .sample_set import builtin_samples

__all__ = ["SUBSETS", "SynthOptions", "SynthResult", "builtin_samples", "render_faces", "sample_names"]
