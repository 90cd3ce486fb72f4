"""Morphable face models: the value that all of uvgen works with; reading, making and converting models.

It builds on `meshes` and `storage`. `model_file.py` reads and writes uvgen's own model file. A foreign format is
`formats/NAME.py` with `recognizes` and `read`, and a line of `FORMATS` in `formats/__init__.py`; what its files lack is
added by `complete.py`.
"""
