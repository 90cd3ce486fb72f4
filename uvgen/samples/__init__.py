"""Images and parameters on disk, as data sets publish them.

It builds on `images` and `geometry`. Another data set's layout is a file beside `find.py` and `read.py`, which gives
the same `Sample` and `Annotation`; foreign keys stay in that file.
"""
