"""The built-in model: a head modeled by formulas, free of any license.

`surface.py` holds the skull, jaw and neck; `features.py` nose, eyes, lips and ears; `mesh.py` vertices, triangles and
UV; `albedo.py`, `identity.py` and `expression.py` the components. `model.py` puts them together.
"""

from uvgen.models.builtin.albedo import ALBEDO_NAMES
from uvgen.models.builtin.expression import EXPRESSION_NAMES, EXPRESSIONS
from uvgen.models.builtin.identity import IDENTITY_NAMES
from uvgen.models.builtin.model import builtin_model

__all__ = ["ALBEDO_NAMES", "EXPRESSIONS", "EXPRESSION_NAMES", "IDENTITY_NAMES", "builtin_model"]
