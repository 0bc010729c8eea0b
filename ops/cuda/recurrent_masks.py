"""Masks of recurrent layers as cuDNN knows them: each row's shown steps are one run.

cuDNN takes rows that begin at the first step and end after a length of their own, so that the
shown steps of a right-padded mask are rows as they are; those of a mask that is padded at the
left (a sequence read backwards) are moved to the front, and the results back.  Masks with gaps,
or with a row that shows nothing, which cuDNN refuses, go the generic way, as in tf.keras.

Which of these a mask is decides on the host: it is read once per forward pass, a byte per step,
which waits for the work before it (tf.keras waits likewise).  The way back remembers what was
read for the mask's array.  A function in which that happens is not recorded as a CUDA graph.
"""

from __future__ import annotations

import functools
import threading
import weakref
from typing import Any

import numpy as np

from . import recording
from .device import current

__all__ = ["Runs", "read", "remembered"]


class Runs:
    """Where each row's shown steps are.

    Args:
        starts: int [batch], each row's first shown step.
        lengths: int [batch], how many there are, at least one.
        shown: bool [batch, steps] on the device: whether a step is one of them.
    """

    def __init__(self, starts: np.ndarray, lengths: np.ndarray, shown: Any):
        self.lengths, self.steps = lengths, shown.shape[1]
        self._starts, self._moved = starts, bool(starts.any())
        self._shown = shown[:, :, None]

    def _to_front(self, array: Any) -> Any:
        """[batch, steps, size] with the shown steps in front; behind them is anything."""
        if not self._moved:
            return array
        places = np.minimum(np.arange(self.steps) + self._starts[:, None], self.steps - 1)
        return self._taken(array, places)

    def _back(self, array: Any) -> Any:
        """The reverse, with anything at steps that are not shown."""
        if not self._moved:
            return array
        return self._taken(array, np.maximum(np.arange(self.steps) - self._starts[:, None], 0))

    def _taken(self, array: Any, places: np.ndarray) -> Any:
        xp = current().xp
        return xp.take_along_axis(array, xp.asarray(places)[:, :, None], 1)

    @functools.cached_property
    def _in_front(self) -> Any:
        """bool [batch, steps, 1]: the shown steps, moved to the front."""
        if not self._moved:
            return self._shown
        flags = np.arange(self.steps) < self.lengths[:, None]
        return current().xp.asarray(flags)[:, :, None]

    @functools.cached_property
    def _before(self) -> Any:
        """bool [batch, steps, 1]: the steps before the first shown one."""
        flags = np.arange(self.steps) < self._starts[:, None]
        return current().xp.asarray(flags)[:, :, None]

    def packed(self, array: Any) -> Any:
        """[batch, steps, size] as cuDNN takes it: rows from the first step on, then zeros."""
        xp = current().xp
        return xp.where(self._in_front, self._to_front(array), array.dtype.type(0))

    def spread(self, array: Any) -> Any:
        """What cuDNN made of such rows at their own places, and zeros elsewhere."""
        xp = current().xp
        return xp.where(self._shown, self._back(array), array.dtype.type(0))

    def outputs(self, array: Any, first: Any, last: Any) -> Any:
        """The outputs [batch, steps, units]: steps that are not shown repeat the state.

        Args:
            array: cuDNN's.
            first, last: states before the first step and behind the last, [batch, units].
        """
        xp = current().xp
        out = xp.where(self._shown, self._back(array), last[:, None])
        return xp.where(self._before, first[:, None], out) if self._moved else out

    def of_states(self, g: Any) -> tuple[Any, Any]:
        """Gradients of `first` and `last` from those of the outputs; the first may be None."""
        xp, zero = current().xp, g.dtype.type(0)
        if not self._moved:
            return None, xp.where(self._shown, zero, g).sum(1)
        behind = xp.where(self._shown | self._before, zero, g).sum(1)
        return xp.where(self._before, g, zero).sum(1), behind


_lock = threading.Lock()
_seen: dict[int, tuple[Any, Runs | None]] = {}


def read(mask: Any, what: str) -> Runs | None:
    """The runs of a mask [batch, steps]; None if a row's shown steps are none or not one run.

    Args:
        mask: above 0: shown.
        what: reads it, for messages.

    Raises:
        NotRecordable: a recording is under way.
    """
    if recording.current() is not None:
        raise recording.NotRecordable(
            f"{what} reads its mask on the host, to choose between cuDNN's form and its own"
        )
    shown = mask > 0
    host = np.asarray(shown.get() if hasattr(shown, "get") else shown)
    lengths, starts = host.sum(1), host.argmax(1)
    ends = host.shape[1] - host[:, ::-1].argmax(1)
    whole = bool((lengths > 0).all() and (ends - starts == lengths).all())
    found = Runs(starts, lengths, shown) if whole else None
    key = id(mask)

    def forget(reference: Any) -> None:
        with _lock:
            if key in _seen and _seen[key][0] is reference:
                del _seen[key]

    with _lock:
        _seen[key] = weakref.ref(mask, forget), found
    return found


def remembered(mask: Any, what: str) -> Runs | None:
    """What `read` found last for this array, or would find."""
    with _lock:
        reference, found = _seen.get(id(mask), (None, None))
    if reference is not None and reference() is mask:
        return found
    return read(mask, what)
