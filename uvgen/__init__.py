"""uvgen: training data for networks that regress UV position maps.

The public names stand in `__init__.pyi`, which editors and mypy read; each is loaded on first use, so that
`import uvgen` costs nothing.
"""

from pathlib import Path
from typing import Any

from uvgen._version import __version__ as __version__

try:
    import lazy_loader
except ModuleNotFoundError as error:  # the command can still start, and say so: see `uvgen.__main__`
    _missing = error.name

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        reason = f"{_missing} is not installed, which uvgen needs; install uvgen again with its dependencies"
        raise ModuleNotFoundError(reason, name=_missing)

else:
    __getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# In a checkout, `cli` and `uv_data` lie beside this folder; `uvgen.cli` and `uvgen.uv_data` are these, never those of
# an installed copy.
_checkout = Path(__file__).resolve().parents[1]
if __name__ == "uvgen" and (_checkout / "pyproject.toml").is_file() and (_checkout / "uv_data").is_dir():
    __path__.append(str(_checkout))
