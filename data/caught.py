"""Caught: an error on its way to the place where it is raised.

An error refers, by its traceback, to the frames it passed through and to those that called
them.  If one of these has the error in a variable, the two keep each other alive, and with them
the stages, their blocks and the iterator, until the garbage collector comes by.  So what
catches an error in order to raise it later hands on a `Caught`, which `take` empties.

If it is a later call that takes it, or none, because the iterator is dropped before, even the
frames of that iterator's user would be kept: `put_off` lets go of them.
"""

from __future__ import annotations

import traceback

__all__ = ["Caught"]


class Caught:
    """Holds `error` until it is taken; frames hold this, and never the error itself."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception):
        self._error: Exception | None = error

    @property
    def error(self) -> Exception:
        """The error, to look at; not to be kept in a variable."""
        assert self._error is not None, "the error has been taken"
        return self._error

    def put_off(self) -> Caught:
        """This, without the frames; what they tell of the user's code becomes a note."""
        todo: list[BaseException | None] = [self.error]
        seen: set[int] = set()
        while todo:
            error = todo.pop()
            if error is None or id(error) in seen:
                continue
            seen.add(id(error))
            frames = [
                traceback.FrameSummary(frame.f_code.co_filename, line, frame.f_code.co_name)
                for frame, line in traceback.walk_tb(error.__traceback__)
                if not frame.f_globals.get("__name__", "").startswith("headrace.")
            ]
            if frames:
                lines = "".join(traceback.format_list(frames))
                error.add_note(f"raised at (most recent call last):\n{lines}".rstrip())
            error.__traceback__ = None
            todo += [error.__cause__, error.__context__]
        return self

    def take(self) -> Exception:
        """The error, to be raised at once: ``raise caught.take()``."""
        error, self._error = self.error, None
        return error
