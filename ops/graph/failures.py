"""What a user sees when a call of a compiled graph fails: the node, its inputs, his own line.

While a graph runs, errors come from raw array functions, which know neither names nor
TensorFlow's wording.  The shape rule of the failing primitive does: it is asked again with the
shapes that were there.
"""

from __future__ import annotations

from typing import Any

from ..cuda import recording
from ..errors import InvalidArgumentError, OpError
from ..string_array import StringArray
from ..tensor import Tensor
from .graph import Origin

__all__ = ["located"]


def located(error: Exception, origin: Origin, inputs: tuple[Any, ...]) -> Exception:
    """`error` with the node's name, the shapes of its inputs and the user's line; as one of
    `hr.errors` where it comes from an array function.

    Args:
        error: what was raised.
        origin: of the call.
        inputs: raw arrays it was given.
    """
    if getattr(error, "is_located", False):
        return error  # by the graph of a branch or a loop, which stands closer
    if recording.current() is not None:
        return recording.refused(error, origin.name, origin.place)
    found = error
    if not isinstance(error, OpError):
        if not isinstance(error, (ValueError, IndexError, TypeError, ArithmeticError)):
            return error
        found = _by_the_rule(origin, inputs) or InvalidArgumentError(str(error), op=origin.name)
    assert isinstance(found, OpError)
    found.locate(
        origin.primitive.name,
        f"node {origin.name}, inputs: {', '.join(_shown(a) for a in inputs) or 'none'}",
        origin.place,
    )
    return found


def _by_the_rule(origin: Origin, inputs: tuple[Any, ...]) -> OpError | None:
    """The error of the shape rule for such inputs; None if it has none."""
    try:
        origin.primitive.shape(*[Tensor.of(a) for a in inputs], **origin.attrs)
    except OpError as error:
        return error
    except Exception:
        return None  # a rule that cannot say what is wrong; the array function's text can
    return None


def _shown(value: Any) -> str:
    """Dtype and shape of a raw array, as in ``float32[2,3]``."""
    kind = "string" if isinstance(value, StringArray) else getattr(value, "dtype", "?")
    return f"{kind}[{','.join(map(str, getattr(value, 'shape', ())))}]"
