"""Synthetic faces with exact labels, as a folder that looks like 300W-LP.

`_folder` plans and makes the folder, `_worker` writes samples, `_faces` draws parameters, `_portrait` paints, `_scene`
holds backdrops, light and camera, `_mannequin` clothes and hair, `_scene_kernels` the compiled code.
"""

from uvgen.synth.folder import INDEX, SUBSETS, SynthResult, sample_names, synth

__all__ = ["INDEX", "SUBSETS", "SynthResult", "sample_names", "synth"]
