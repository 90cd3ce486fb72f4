"""uvgen: training data for networks that regress UV position maps.

The public names stand in `__init__.pyi`, which editors and mypy read; each is loaded on first use, so that
`import uvgen` costs nothing.
"""

import lazy_loader

from uvgen._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
