"""ReversibleEmbedding: a table of vectors, and logits over its rows from vectors."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..engine.keras_tensor import KerasTensor
from ..engine.masks import set_mask
from .embedding import Embedding

__all__ = ["ReversibleEmbedding"]


class ReversibleEmbedding(Embedding):
    """An `Embedding` that also projects vectors back on its rows.

    Args:
        input_dim: number of rows.
        output_dim: length of a row.
        tie_weights: whether the way back takes the table's transpose, or weights of its own.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint, mask_zero: see
            `Embedding`.
        reverse_dtype: dtype of the projection.
        logit_soft_cap: c, to squash logits x to ``c tanh(x / c)``.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
            mask_zero=mask_zero,
            **kwargs,
        )
        self.tie_weights = tie_weights
        self.reverse_dtype = reverse_dtype
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: Any = None) -> None:
        """Create the table, and the weights of the way back."""
        if self.built:
            return
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
                name="reverse_embeddings",
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        """Rows of the table, or with `reverse` logits ``[..., input_dim]``."""
        if not reverse:
            found = super().call(inputs)
            set_mask(found, super().compute_mask(inputs))
            return found
        tied = self.tie_weights
        kernel = hr.transpose(self.embeddings) if tied else self.reverse_embeddings.read_value()
        dtype = self.reverse_dtype or self.compute_dtype
        logits = hr.matmul(hr.cast(inputs, dtype), hr.cast(kernel, dtype))
        if self.logit_soft_cap is not None:
            cap = hr.cast(self.logit_soft_cap, logits.dtype)
            logits = hr.tanh(logits / cap) * cap
        return logits

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: `call` attaches the mask, which logits have none of."""
        return None

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> Any:
        """The shape of rows, or of logits."""
        shape = tuple(input_shape)
        return (*shape[:-1], self.input_dim) if reverse else (*shape, self.output_dim)

    def compute_output_spec(self, inputs: Any, reverse: bool = False) -> KerasTensor:
        """A placeholder for rows, or for logits."""
        shape = self.compute_output_shape(inputs.shape, reverse)
        dtype = self.reverse_dtype if reverse and self.reverse_dtype else self.compute_dtype
        return KerasTensor(shape, dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "tie_weights": self.tie_weights,
            "reverse_dtype": self.reverse_dtype,
            "logit_soft_cap": self.logit_soft_cap,
        }
