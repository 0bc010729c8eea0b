"""Packing: functions and their arguments, as they travel from the coordinator to workers.

Variables travel as references to where they lie; everything else by value: models, optimizers
and datasets as what they are made of, traced functions as their Python functions.
"""

from __future__ import annotations

import io
import weakref
from typing import Any

from ...ops.errors import InvalidArgumentError
from ...ops.function import Function
from ...ops.variable import Variable
from ..data_service.shipping import packer_class
from .server_variable import ServerVariable

__all__ = ["pack"]


def pack(what: str, value: Any) -> bytes:
    """`value` as bytes.

    Raises:
        ValueError: it holds a variable that was not made in the strategy's scope.
        InvalidArgumentError: it holds what cannot leave the process.
    """
    import cloudpickle

    sink = io.BytesIO()
    try:
        _class(cloudpickle)(sink).dump(value)
    except ValueError:
        raise
    except Exception as error:
        raise InvalidArgumentError(
            f"{what} cannot be sent to the workers: {error}; use only what can be pickled in "
            "it (no locks, open files, generators at work)"
        ) from error
    return sink.getvalue()


def _nothing_there() -> Any:
    """A weak reference to something that stayed behind."""
    return lambda: None


def _class(cloudpickle: Any) -> Any:
    base = packer_class(cloudpickle)

    class Packer(base):  # type: ignore[valid-type,misc]
        """The data service's packer; variables by reference."""

        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, ServerVariable):
                return value.__reduce__()
            if isinstance(value, Variable):
                raise ValueError(
                    f"variable {value.name!r} was not created in the scope of the "
                    "ParameterServerStrategy, so workers cannot reach it; make it inside "
                    "strategy.scope()"
                )
            if isinstance(value, weakref.ref):
                return _nothing_there, ()
            if isinstance(value, Function):
                return Function, (value.python_function, value.input_signature)
            return super().reducer_override(value)

    return Packer
