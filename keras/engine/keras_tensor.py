"""KerasTensor: a tensor to come in a functional model."""

from __future__ import annotations

from typing import Any

from ...ops import dtypes
from ...ops.tensor_spec import TensorSpec
from ..utils.naming import auto_name

__all__ = ["KerasTensor", "any_symbolic", "is_keras_tensor"]


class KerasTensor:
    """Shape and dtype of a value that flows through a functional model.

    Attributes:
        shape: tuple of sizes, None where unknown.
        dtype: name of the dtype.
        name: name, for messages.
        mask: the placeholder of its mask, or None.
        _keras_history: ``(layer, node_index, tensor_index)`` of the call that makes it.
    """

    _keras_history: tuple[Any, int, int]
    __array_ufunc__ = None  # NumPy's operators leave arrays beside placeholders to us

    def __init__(
        self,
        shape: Any,
        dtype: Any = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
    ):
        self.shape = tuple(shape)
        self.dtype = dtypes.as_dtype(dtype).name
        self.sparse = bool(sparse)
        self.ragged = bool(ragged)
        self.record_history = record_history
        self.mask: Any = None
        self.name = name or auto_name(type(self).__name__)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    rank = ndim

    @property
    def spec(self) -> TensorSpec:
        """The tensor's `TensorSpec`."""
        return TensorSpec(self.shape, self.dtype)

    def get_shape(self) -> tuple[int | None, ...]:
        """The shape, in TensorFlow's older spelling."""
        return self.shape

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(
            "A KerasTensor is symbolic: it's a placeholder for a shape and a dtype. It doesn't "
            "have any actual numerical value. You cannot convert it to a NumPy array. Use a "
            "function of `hr.keras.ops`, which takes placeholders, or write the operation in a "
            "layer of your own."
        )

    def __bool__(self) -> bool:
        raise TypeError("A symbolic KerasTensor cannot be used as a boolean.")

    def __iter__(self) -> Any:
        raise TypeError("Iterating over a symbolic KerasTensor is not supported.")

    def __int__(self) -> int:
        raise ValueError("A KerasTensor has no value, so it cannot be converted to an int.")

    def __float__(self) -> float:
        raise ValueError("A KerasTensor has no value, so it cannot be converted to a float.")

    def __repr__(self) -> str:
        extra = "".join(f", {k}=True" for k in ("sparse", "ragged") if getattr(self, k))
        return (
            f"<KerasTensor shape={self.shape}, dtype={self.dtype}, sparse={self.sparse}, "
            f"ragged={self.ragged}, name={self.name}>"
            if extra
            else f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"
        )


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a placeholder of a functional model."""
    return isinstance(x, KerasTensor)


def any_symbolic(leaves: Any) -> bool:
    """Whether any of the leaves is a `KerasTensor`."""
    return any(isinstance(x, KerasTensor) for x in leaves)
