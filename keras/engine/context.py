"""What is known during a call of a layer: the training flag, and who was called first.

Each thread has its own state, so that replicas may run models side by side.
"""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["CallContext", "current"]


class CallContext(threading.local):
    """State of the outermost layer call of this thread.

    Attributes:
        entry: the layer that was called first, or None outside of calls.
        training: the flag it was called with, inherited by the layers inside.
        inner: the innermost layer that is being called or built, or None.
        has_losses: whether any layer of this thread has ever called `add_loss`.
    """

    entry: Any = None
    training: bool | None = None
    inner: Any = None
    has_losses: bool = False


current = CallContext()
