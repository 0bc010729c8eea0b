"""upper: names of `hr.data` that rooms above this one define.

A room does not import from above.  The package's root, which knows all rooms, says where these
names are; they are loaded when they are first used.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["upper"]


def upper(name: str) -> Any:
    """What is known as `name` (``"data.experimental.service"``) to the package's root."""
    return sys.modules[__name__.partition(".")[0]]._upper(name)
