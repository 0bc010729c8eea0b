"""Embedding: a table of vectors, looked up by number."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .. import constraints, initializers, regularizers
from ..engine.keras_tensor import KerasTensor
from ..engine.layer import Layer
from .dense import refuse_extras

__all__ = ["Embedding"]


class Embedding(Layer):
    """Rows of a table: integers ``[batch, ...]`` to floats ``[batch, ..., output_dim]``.

    The table's gradient is `IndexedSlices`: only the rows looked up are computed.

    Args:
        input_dim: number of rows; inputs are below it.
        output_dim: length of a row.
        embeddings_initializer: of the ``[input_dim, output_dim]`` table.
        embeddings_regularizer: penalty on the table.
        embeddings_constraint: projection of the table.
        mask_zero: whether 0 is padding, to be masked in the layers that follow.
        weights: first values of the table, an array or a list holding one.
        **kwargs: see `Layer`.

    >>> Embedding(10, 4)(hr.constant([[1, 5, 1]])).shape
    TensorShape([1, 3, 4])
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ):
        kwargs.pop("input_length", None)
        refuse_extras(lora_rank=lora_rank, quantization_config=quantization_config)
        super().__init__(**kwargs)
        for name, size in (("input_dim", input_dim), ("output_dim", output_dim)):
            if size <= 0:
                raise ValueError(f"`{name}` must be a positive integer, got {name}={size}")
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.autocast = False
        if weights is not None:
            self.build()
            table = weights[0] if isinstance(weights, list) and len(weights) == 1 else weights
            self.embeddings.assign(table)

    def build(self, input_shape: Any = None) -> None:
        """Create the table."""
        if self.built:
            return
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The rows, ``[batch, ..., output_dim]``."""
        inputs = hr.convert_to_tensor(inputs)
        if inputs.dtype not in (hr.int32, hr.int64):
            inputs = hr.cast(inputs, hr.int32)
        return hr.cast(hr.gather(self.embeddings, inputs), self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where the input is not 0, if `mask_zero`."""
        if not self.mask_zero:
            return None
        inputs = hr.convert_to_tensor(inputs)
        return hr.not_equal(inputs, hr.zeros_like(inputs))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape with an axis added."""
        return (*tuple(input_shape), self.output_dim)

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> KerasTensor:
        """A placeholder of the output's shape, in the compute dtype."""
        return KerasTensor((*inputs.shape, self.output_dim), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
            "quantization_config": None,
        }
