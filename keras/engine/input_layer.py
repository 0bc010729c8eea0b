"""InputLayer and Input: where a functional model begins."""

from __future__ import annotations

from typing import Any

from ...ops import dtypes
from .. import backend
from .keras_tensor import KerasTensor
from .layer import Layer
from .symbolic import Node

__all__ = ["Input", "InputLayer"]


class InputLayer(Layer):
    """The layer behind an `Input`; passes its input on.

    Args:
        shape: shape without the batch axis.
        batch_size: size of the batch axis, or None.
        dtype: dtype of the input; `floatx` by default.
        sparse, ragged: kind of tensor expected.
        batch_shape: shape with the batch axis, instead of `shape` and `batch_size`.
        input_tensor: a `KerasTensor` to take shape and dtype from.
        optional: whether None may be passed for it.
        name: the input's name.
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ):
        batch_shape = kwargs.pop("batch_input_shape", batch_shape)
        shape = kwargs.pop("input_shape", shape)
        if input_tensor is not None:
            batch_shape, dtype = input_tensor.shape, dtype or input_tensor.dtype
        elif shape is None and batch_shape is None:
            raise ValueError("You must pass a `shape` argument.")
        elif shape is not None and batch_shape is not None:
            raise ValueError(
                "You cannot pass both `shape` and `batch_shape` at the same time. Received: "
                f"shape={shape}, batch_shape={batch_shape}"
            )
        super().__init__(name=name, **kwargs)
        if batch_shape is None:
            batch_shape = (batch_size, *((shape,) if isinstance(shape, int) else shape))
        self.batch_shape = tuple(batch_shape)
        self.sparse = bool(sparse)
        self.ragged = bool(ragged)
        self.optional = optional
        self._dtype_name = dtypes.as_dtype(dtype or backend.floatx()).name
        self.built = True
        output = KerasTensor(
            self.batch_shape, self._dtype_name, self.sparse, self.ragged, name=self.name
        )
        Node(self, (), {}, output)

    @property
    def dtype(self) -> str:
        """Name of the input's dtype."""
        return self._dtype_name

    def call(self) -> Any:
        """Not called: a model puts its inputs in the layer's place."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {
            "batch_shape": self.batch_shape,
            "dtype": self._dtype_name,
            "sparse": self.sparse,
            "ragged": self.ragged,
            "name": self.name,
        }
        if self.optional:
            config["optional"] = True
        return config


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
    ragged: bool | None = None,
    **kwargs: Any,
) -> KerasTensor:
    """A placeholder to start a functional model with.

    Args:
        shape: shape without the batch axis, e.g. ``(784,)``.
        batch_size: size of the batch axis, or None.
        dtype: dtype of the input; `floatx` by default.
        sparse, ragged: kind of tensor expected.
        batch_shape: shape with the batch axis, instead of `shape` and `batch_size`.
        name: the input's name; also its key in dict inputs.
        tensor: a `KerasTensor` to take shape and dtype from.
        optional: whether None may be passed for it.
        **kwargs: ``batch_input_shape``, as in Keras 2.

    >>> Input((784,)).shape
    (None, 784)
    """
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
        **kwargs,
    )
    return layer.output
