"""Morphable face models: the value that everything works with, reading, making and converting them.

It stands on `meshes` and `storage`. A file format is `formats/NAME.py` with `read(path) -> MorphableModel`, and a
line in `load.py`.
"""
