"""CategoryEncoding: category numbers as one-hot rows, multi-hot rows or counts."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..engine.keras_tensor import KerasTensor
from .preprocessing_base import DataLayer, as_tensor, encode, encoded_shape

__all__ = ["CategoryEncoding"]


class CategoryEncoding(DataLayer):
    """Integers from 0 to ``num_tokens - 1`` as rows of ``num_tokens`` numbers.

    Args:
        num_tokens: how many categories there are.
        output_mode: ``"one_hot"``: a row per integer; ``"multi_hot"``: for each sample, 1 at
            the integers it holds; ``"count"``: how often it holds them.
        sparse: give a `SparseTensor`.
        **kwargs: see `Layer`.

    >>> CategoryEncoding(3, output_mode="count")([[0, 2, 2]]).numpy()
    array([[1., 0., 2.]], dtype=float32)
    """

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if output_mode == "binary":
            output_mode = "multi_hot"
        if output_mode not in ("count", "one_hot", "multi_hot"):
            raise ValueError(f"Unknown arg for output_mode: {output_mode}")
        if num_tokens is None:
            raise ValueError(
                "num_tokens must be set to use this layer. If the number of tokens is not "
                "known beforehand, use the IntegerLookup layer instead."
            )
        if num_tokens < 1:
            raise ValueError(f"`num_tokens` must be >= 1. Received: num_tokens={num_tokens}.")
        self.num_tokens = num_tokens
        self.output_mode = output_mode
        self.sparse = sparse
        self.built = True

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        """The rows.

        Args:
            inputs: integers.
            count_weights: what each counts, with ``output_mode="count"``.
        """
        if count_weights is not None:
            if self.output_mode != "count":
                raise ValueError(
                    "`count_weights` is not used when `output_mode` is not `'count'`. Received "
                    f"`count_weights={count_weights}`."
                )
            count_weights = hr.cast(as_tensor(count_weights), self.compute_dtype)
        ids = as_tensor(inputs)
        if not ids.dtype.is_integer:
            ids = as_tensor(ids, "int32")
        return encode(
            ids, self.output_mode, self.num_tokens, self.dtype, self.sparse, count_weights
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The shape of the rows for inputs of `input_shape`."""
        return encoded_shape(input_shape, self.output_mode, self.num_tokens)

    def compute_output_spec(self, inputs: Any, count_weights: Any = None) -> Any:
        """A placeholder for the rows."""
        shape = self.compute_output_shape(inputs.shape)
        return KerasTensor(shape, self.compute_dtype, sparse=self.sparse)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "output_mode": self.output_mode,
        }
