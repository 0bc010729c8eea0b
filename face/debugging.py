"""hr.debugging: checks of values, dtypes and shapes."""

from ..ops.debugging_asserts import *  # noqa: F403
from ..ops.debugging_ops import Assert as Assert
