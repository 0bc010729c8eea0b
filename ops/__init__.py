"""Floor 1: dtypes, tensors, variables, primitives, gradients, graphs and their compiler.

The public operations are listed, flat, in `headrace.ops.api`.
"""

from . import operators as _operators  # noqa: F401  (a tensor always has its operators)
