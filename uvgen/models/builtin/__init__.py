"""The built-in model: a head modelled by formulas, free of any licence.

`_surface` holds the skull, jaw and neck, `_features` nose, eyes, lips and ears, `_mesh` the vertices, triangles and UV,
`_albedo`, `_identity` and `_expression` the components, `_model` puts them together.
"""

from uvgen.models.builtin.albedo import ALBEDO_NAMES
from uvgen.models.builtin.expression import EXPRESSION_NAMES, EXPRESSIONS
from uvgen.models.builtin.identity import IDENTITY_NAMES
from uvgen.models.builtin.model import builtin_model

__all__ = ["ALBEDO_NAMES", "EXPRESSIONS", "EXPRESSION_NAMES", "IDENTITY_NAMES", "builtin_model"]
