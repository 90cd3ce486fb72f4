"""Looking at a data set: the contact sheet, on which wrong labels show.

`selection.py` chooses samples, `problems.py` says what is wrong with them, `panels.py` draws a sample with the means of
`drawing.py`, `captions.py` describes it, `layout.py` puts a sheet together, `predictions.py` sets a network's maps
beside the true ones. It builds on `datasets`. A report of another kind is a file of its own beside `page.py`,
over the same panels.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
