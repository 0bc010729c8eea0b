"""hr.debugging: checks of values, dtypes and shapes."""

from ..ops.debugging_asserts import *  # noqa: F403
from ..ops.debugging_ops import Assert as Assert
from ..ops.numerics import (
    disable_check_numerics as disable_check_numerics,
    enable_check_numerics as enable_check_numerics,
)
