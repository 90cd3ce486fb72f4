"""uvgen: training data for networks that regress UV position maps.

The public names stand in `__init__.pyi`, which editors and mypy read; each is loaded on first use, so that
`import uvgen` costs nothing.
"""

from pathlib import Path

import lazy_loader

from uvgen._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# In a checkout, `cli` and `uv_data` lie beside this folder; `uvgen.cli` and `uvgen.uv_data` are these, never those of
# an installed copy.
_checkout = Path(__file__).resolve().parents[1]
if __name__ == "uvgen" and (_checkout / "pyproject.toml").is_file() and (_checkout / "uv_data").is_dir():
    __path__.append(str(_checkout))
