"""Triangle meshes without pixels: topology, flattening, harmonic maps, position maps as meshes, files.

It stands on `checks` and `storage`. A mesh format is a function pair in `files.py`, or a file of its own once that is
full.
"""
