"""Triangle meshes without pixels: topology, flattening, harmonic maps, position maps as meshes, files.

It builds on `checks` and `storage`. Meshes are written by `files.py` and read by `read.py`; a format more is a function
in each, or a file of its own once they are full.
"""
