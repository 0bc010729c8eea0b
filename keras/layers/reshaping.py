"""Layers that move elements about: Flatten, Reshape, Permute, RepeatVector."""

from __future__ import annotations

import math
from typing import Any

from ...ops import api as hr
from .. import backend
from ..engine.input_spec import InputSpec
from ..engine.keras_tensor import KerasTensor
from ..engine.layer import Layer

__all__ = ["Flatten", "Permute", "RepeatVector", "Reshape"]


class _Rearranging(Layer):
    """A layer that keeps its input's dtype."""

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> KerasTensor:
        """A placeholder of the output's shape and the input's dtype."""
        return KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)


class Flatten(_Rearranging):
    """``[batch, ...]`` to ``[batch, size]``.

    Args:
        data_format: ``"channels_first"`` moves channels last before flattening.
        **kwargs: see `Layer`.

    >>> Flatten()(hr.zeros([2, 3, 4])).shape
    TensorShape([2, 12])
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = data_format or backend.image_data_format()
        if self.data_format not in ("channels_first", "channels_last"):
            raise ValueError(
                'The `data_format` argument must be one of "channels_first", '
                f'"channels_last". Received: {data_format}'
            )
        self.input_spec = InputSpec(min_ndim=1)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs as ``[batch, size]``."""
        shape = tuple(inputs.shape)
        if self.data_format == "channels_first" and len(shape) > 1:
            inputs = hr.transpose(inputs, [0, *range(2, len(shape)), 1])
            shape = tuple(inputs.shape)
        if None not in shape[1:]:
            batch = -1 if shape[0] is None else shape[0]
            return hr.reshape(inputs, [batch, math.prod(shape[1:])])
        return hr.reshape(inputs, hr.stack([hr.shape(inputs)[0], -1]))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(batch, product of the rest)``."""
        batch, *rest = tuple(input_shape)
        return (batch, None if None in rest else math.prod(rest))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(_Rearranging):
    """``[batch, ...]`` to ``[batch, *target_shape]``.

    Args:
        target_shape: sizes without the batch; one may be -1 and is then computed.
        **kwargs: see `Layer`.
    """

    def __init__(self, target_shape: Any, **kwargs: Any):
        super().__init__(**kwargs)
        target_shape = tuple(target_shape)
        if sum(1 for d in target_shape if d == -1) > 1:
            raise ValueError(
                "The `target_shape` argument must not contain more than one `-1` value. "
                f"Received: target_shape={target_shape}"
            )
        self.target_shape = target_shape
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs as ``[batch, *target_shape]``."""
        batch = inputs.shape[0]
        target = self.compute_output_shape(inputs.shape)[1:]
        unknown = sum(d is None for d in target)
        if batch is not None and unknown <= 1:
            return hr.reshape(inputs, [batch, *(-1 if d is None else d for d in target)])
        if unknown == 0:
            return hr.reshape(inputs, [-1, *target])
        return hr.reshape(inputs, hr.stack([hr.shape(inputs)[0], *self.target_shape]))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The batch and the target shape, -1 replaced where it can be computed."""
        batch, *rest = tuple(input_shape)
        size = None if None in rest else math.prod(rest)
        known = math.prod(d for d in self.target_shape if d != -1)
        if size is not None:
            free = -1 in self.target_shape
            fits = known != 0 and size % known == 0 if free else size == known
            if not fits:
                raise ValueError(
                    "The total size of the tensor must be unchanged. Received: "
                    f"input_shape={tuple(rest)}, target_shape={self.target_shape}"
                )
        missing = None if size is None or known == 0 else size // known
        return (batch, *(missing if d == -1 else d for d in self.target_shape))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(_Rearranging):
    """Axes in another order.

    Args:
        dims: for each output axis the input axis it comes from, counted from 1.
        **kwargs: see `Layer`.
    """

    def __init__(self, dims: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in "
                f"`dims` must be consecutive and start from 1. Received dims={dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs transposed."""
        return hr.transpose(inputs, [0, *self.dims])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The sizes in the new order."""
        shape = tuple(input_shape)
        return (shape[0], *(shape[d] for d in self.dims))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(_Rearranging):
    """``[batch, features]`` to ``[batch, n, features]``.

    Args:
        n: number of repetitions.
        **kwargs: see `Layer`.
    """

    def __init__(self, n: int, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(n, int):
            raise TypeError(f"Expected an integer value for `n`, got {type(n)}.")
        self.n = n
        self.input_spec = InputSpec(ndim=2)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs repeated along a new axis."""
        return hr.tile(hr.expand_dims(inputs, 1), [1, self.n, 1])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(batch, n, features)``."""
        batch, features = tuple(input_shape)
        return (batch, self.n, features)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "n": self.n}
