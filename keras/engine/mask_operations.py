"""Operations on masks, as Keras's functional models hold them.

Keras writes the operations that make a mask (of an Embedding, of a Masking) into a model's
config where the mask reaches a layer.  Ours carry masks beside tensors: these serve to read its
files.
"""

from __future__ import annotations

import typing

from ...ops import api as hr
from .operation import Operation

__all__ = ["Any", "ConvertToTensor", "LogicalAnd", "LogicalNot", "LogicalOr", "NotEqual"]


class NotEqual(Operation):
    """`hr.not_equal` in a functional model."""

    def call(self, x: typing.Any, y: typing.Any) -> typing.Any:
        """Where the two differ."""
        return hr.not_equal(x, y)


class LogicalAnd(Operation):
    """`hr.logical_and` in a functional model."""

    def call(self, x: typing.Any, y: typing.Any) -> typing.Any:
        """Where both hold."""
        return hr.logical_and(x, y)


class LogicalOr(Operation):
    """`hr.logical_or` in a functional model."""

    def call(self, x: typing.Any, y: typing.Any) -> typing.Any:
        """Where either holds."""
        return hr.logical_or(x, y)


class LogicalNot(Operation):
    """`hr.logical_not` in a functional model."""

    def call(self, x: typing.Any) -> typing.Any:
        """Where it does not hold."""
        return hr.logical_not(x)


class Any(Operation):
    """`hr.reduce_any` in a functional model.

    Args:
        axis: axis or axes; all if None.
        keepdims: whether they are kept with size 1.
        name: its name in the model.
    """

    def __init__(
        self, axis: typing.Any = None, keepdims: bool = False, name: str | None = None
    ):
        super().__init__(name)
        self.axis = axis
        self.keepdims = keepdims

    def call(self, x: typing.Any) -> typing.Any:
        """Whether any holds along `axis`."""
        return hr.reduce_any(x, axis=self.axis, keepdims=self.keepdims)

    def get_config(self) -> dict[str, typing.Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axis": self.axis, "keepdims": self.keepdims}


class ConvertToTensor(Operation):
    """`hr.convert_to_tensor` in a functional model.

    Args:
        dtype: of the tensor; the value's own if None.
        sparse, ragged: accepted for Keras's sake.
        name: its name in the model.
    """

    def __init__(
        self,
        dtype: typing.Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        name: str | None = None,
    ):
        super().__init__(name)
        self.dtype = dtype

    def call(self, x: typing.Any) -> typing.Any:
        """`x` as a tensor."""
        x = hr.convert_to_tensor(x)
        return x if self.dtype is None else hr.cast(x, self.dtype)

    def get_config(self) -> dict[str, typing.Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "dtype": self.dtype}
