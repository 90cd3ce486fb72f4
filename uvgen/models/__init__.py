"""Morphable face models: the value that everything works with, reading, making and converting them.

It stands on `meshes` and `storage`. A file format is `formats/NAME.py` with `recognizes` and `read`, and a line of
`FORMATS` in `formats/__init__.py`; what its files lack is added by `complete.py`.
"""
