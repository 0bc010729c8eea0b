"""Headrace's errors: TensorFlow's kinds, each also the built-in kind a Python user would catch.

Every error carries a message that says where and what to do.  The classes hold TensorFlow's
canonical codes so that code written against ``tf.errors`` keeps working.
"""

from __future__ import annotations

__all__ = [
    "ABORTED",
    "ALREADY_EXISTS",
    "CANCELLED",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "OK",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
    "UNKNOWN",
    "AbortedError",
    "AlreadyExistsError",
    "CancelledError",
    "DTypeMismatchError",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "OpError",
    "OperatorNotAllowedInGraphError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "UntraceableError",
]


# The canonical status codes.
OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = range(6)
ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION = range(6, 10)
ABORTED, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS = range(10, 16)
UNAUTHENTICATED = 16


class OpError(Exception):
    """Base of all errors raised while an operation or a pipeline stage runs.

    Attributes:
        message: what went wrong, where, and the remedy.
        op: name of the operation or stage, or None.
        place: the user's file and line whose call failed; None where it is not known.
        is_located: whether `locate` was called.
        error_code: TensorFlow's canonical status code (int).
    """

    error_code = 2

    def __init__(self, message: str, op: str | None = None):
        super().__init__(message)
        self.message = message
        self.op = op
        self.place: tuple[str, int] | None = None
        self.is_located = False

    def locate(self, op: str, where: str, place: tuple[str, int] | None) -> None:
        """Add what the raiser did not know: the operation, the call, the user's line.

        Args:
            op: the primitive's name.
            where: the node of a graph and its inputs; empty for an eager call.
            place: the user's file and line.
        """
        if self.is_located:
            return
        self.place, self.is_located = place, True
        if self.op is None:
            self.op = op
        if "[Op:" not in self.message:
            self.message += f" [Op:{op}]"
        line = "" if place is None else f"{place[0]}:{place[1]}"
        if where:
            self.message += f" ({where}{'; traced at ' + line if line else ''})"
        elif line:
            self.add_note(f"Called at {line}")

    def __str__(self) -> str:
        return self.message


class CancelledError(OpError):
    """The operation was cancelled before it finished."""

    error_code = 1


class UnknownError(OpError, RuntimeError):
    """An error of no known kind; usually a Python exception inside a user's function."""

    error_code = 2


class InvalidArgumentError(OpError, ValueError):
    """An operation received an argument it cannot take: a wrong shape, value or dtype."""

    error_code = 3


class DTypeMismatchError(InvalidArgumentError, TypeError):
    """Inputs of one operation differ in dtype.  TensorFlow gives InvalidArgumentError for it
    eagerly and TypeError while a function is traced; this is both."""


class DeadlineExceededError(OpError, TimeoutError):
    """An operation did not finish in its time limit."""

    error_code = 4


class NotFoundError(OpError, FileNotFoundError):
    """A file, key or resource does not exist."""

    error_code = 5


class AlreadyExistsError(OpError, FileExistsError):
    """A file or resource that was to be created exists already."""

    error_code = 6


class PermissionDeniedError(OpError, PermissionError):
    """The caller may not read or write the named file."""

    error_code = 7


class ResourceExhaustedError(OpError, MemoryError):
    """Memory, disk or a budget is used up."""

    error_code = 8


class FailedPreconditionError(OpError, RuntimeError):
    """The system is not in the state the operation needs, e.g. an uninitialised variable."""

    error_code = 9


class AbortedError(OpError, RuntimeError):
    """The operation was stopped by a conflicting one."""

    error_code = 10


class OutOfRangeError(OpError, IndexError):
    """An operation went past a valid end, e.g. of an iterator."""

    error_code = 11


class UnimplementedError(OpError, NotImplementedError):
    """The operation or the combination of arguments is not implemented."""

    error_code = 12


class InternalError(OpError, RuntimeError):
    """A bug of Headrace's own; please report it."""

    error_code = 13


class UnavailableError(OpError, ConnectionError):
    """A service cannot be reached at present."""

    error_code = 14


class DataLossError(OpError, OSError):
    """Unrecoverable loss or corruption of data, e.g. a damaged record."""

    error_code = 15


class UnauthenticatedError(OpError, PermissionError):
    """The caller has not said who they are."""

    error_code = 16


class OperatorNotAllowedInGraphError(TypeError):
    """A tensor without a value was used where Python needs one, such as in `if`."""


class UntraceableError(OperatorNotAllowedInGraphError):
    """A Python construct met a symbolic tensor and needs its value, so tracing cannot go on.

    ``Dataset.map`` catches it and runs the function element by element; ``explain()`` then
    shows its text as the reason.
    """
