"""GroupedQueryAttention: heads that share keys and values in groups."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..engine.keras_tensor import KerasTensor
from .attention_parts import AttentionHeads, attention_equations, check_lengths

__all__ = ["GroupedQueryAttention"]


class GroupedQueryAttention(AttentionHeads):
    """Attention whose heads share keys and values in groups (Ainslie et al. 2023).

    Args:
        head_dim: size of a head.
        num_query_heads: number of the query's heads.
        num_key_value_heads: number of keys' and values' heads, which divides the former.
        dropout: share of the weights dropped in training.
        use_bias: whether projections have a bias.
        sliding_window: each query sees only values less than this far from its own place.
        flash_attention: accepted for Keras's sake.
        kernel_initializer: of the projections' kernels.
        bias_initializer: of the projections' biases.
        kernel_regularizer: penalty on the kernels.
        bias_regularizer: penalty on the biases.
        activity_regularizer: penalty on the projections' outputs.
        kernel_constraint: projection of the kernels.
        bias_constraint: projection of the biases.
        use_gate: whether the heads' results are multiplied with a sigmoid of the query.
        seed: Python int for repeatable dropout.
        **kwargs: see `Layer`.

    Call arguments are those of `MultiHeadAttention`.
    """

    _public_name = "GroupQueryAttention"

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.head_dim = head_dim
        self.num_query_heads = num_query_heads
        self.num_key_value_heads = num_key_value_heads
        if num_query_heads % num_key_value_heads != 0:
            raise ValueError(
                "`num_query_heads` must be divisible by `num_key_value_heads`. Received: "
                f"num_query_heads={num_query_heads}, num_key_value_heads={num_key_value_heads}"
            )
        self.num_repeats = num_query_heads // num_key_value_heads
        self.dropout = dropout
        self.use_bias = use_bias
        self.use_gate = use_gate
        self.sliding_window = sliding_window
        self._axes = (1,)
        self._set_attention(head_dim, dropout, sliding_window, flash_attention, seed)
        self._set_dense(
            "",
            {
                "kernel_initializer": kernel_initializer,
                "bias_initializer": bias_initializer,
                "kernel_regularizer": kernel_regularizer,
                "bias_regularizer": bias_regularizer,
                "activity_regularizer": activity_regularizer,
                "kernel_constraint": kernel_constraint,
                "bias_constraint": bias_constraint,
            },
        )

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Create the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        self.feature_dim = query_shape[-1]

        def into_heads(name: str, shape: Any, heads: int, activation: Any = None) -> Any:
            made = self._dense(
                name,
                "abc,cde->abde",
                (None, heads, self.head_dim),
                "de" if self.use_bias else None,
                activation,
            )
            made.build(shape)
            return made

        self._query_dense = into_heads("query", query_shape, self.num_query_heads)
        self._key_dense = into_heads("key", key_shape, self.num_key_value_heads)
        if self.use_gate:
            self._gate_dense = into_heads("gate", query_shape, self.num_query_heads, "sigmoid")
        self._value_dense = into_heads("value", value_shape, self.num_key_value_heads)
        self._make_weighting(-1)
        self._output_dense = self._dense(
            "attention_output", "abcd,cde->abe", (None, self.feature_dim),
            "e" if self.use_bias else None,
        )  # fmt: skip
        self._output_dense.build((None, None, self.num_query_heads, self.head_dim))
        self.built = True

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """The results, of the query's shape; with the weights if asked for."""
        key = value if key is None else key
        masks = (query_mask, value_mask, key_mask)
        alone = all(m is None for m in (*masks, attention_mask, self._window))
        if not (use_causal_mask and alone):
            attention_mask = self._whole_mask(
                query, value, masks, attention_mask, use_causal_mask
            )
        gate = self._gate_dense(query) if self.use_gate else None
        query, key, value = (
            self._query_dense(query),
            self._key_dense(key),
            self._value_dense(value),
        )
        if self.num_repeats > 1:
            key, value = (hr.repeat(t, self.num_repeats, axis=2) for t in (key, value))
        equations, _ = attention_equations(4, self._axes)
        output, weights = self._attend(
            query, key, value, attention_mask, training, return_attention_scores,
            use_causal_mask and alone, equations,
        )  # fmt: skip
        output = self._output_dense(output if gate is None else output * gate)
        return (output, weights) if return_attention_scores else output

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> tuple[int | None, ...]:
        """The query's shape."""
        if query_shape[-1] != value_shape[-1]:
            raise ValueError(
                "The last dimension of `query_shape` and `value_shape` must be equal, but are "
                f"{query_shape[-1]}, {value_shape[-1]}. Received: "
                f"query_shape={tuple(query_shape)}, value_shape={tuple(value_shape)}"
            )
        check_lengths(value_shape, value_shape if key_shape is None else key_shape)
        return tuple(query_shape)

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Placeholders of the results' shapes."""
        shape = self.compute_output_shape(
            query.shape, value.shape, None if key is None else key.shape
        )
        output = KerasTensor(shape, self.compute_dtype)
        if not return_attention_scores:
            return output
        full = (query.shape[0], self.num_query_heads, query.shape[1], value.shape[1])
        return output, KerasTensor(full, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "use_bias": self.use_bias,
            "use_gate": self.use_gate,
            "sliding_window": self.sliding_window,
            "dropout": self.dropout,
            **self._dense_config(),
            "seed": self.seed,
        }
