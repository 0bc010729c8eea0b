"""MultiHeadAttention: attention in several heads between projections."""

from __future__ import annotations

import string
from typing import Any

from ..engine.keras_tensor import KerasTensor
from .attention_parts import AttentionHeads, attention_equations, check_lengths

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(AttentionHeads):
    """Attention in several heads between learned projections (Vaswani et al. 2017).

    Args:
        num_heads: number of heads.
        key_dim: size of a head's queries and keys.
        value_dim: size of a head's values; `key_dim` if None.
        dropout: share of the weights dropped in training.
        use_bias: whether projections have a bias.
        output_shape: sizes of the result behind the sequence axes; the query's if None.
        attention_axes: axes that are attended over; all but batch and features if None.
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

    Call arguments:
        query: ``[batch, queries, size]``.
        value: ``[batch, values, size]``.
        key: ``[batch, values, size]``; `value` if None.
        query_mask, value_mask, key_mask: bool ``[batch, ...]``; the tensors' own masks if None.
        attention_mask: bool ``[batch, queries, values]``, or with an axis for the heads.
        return_attention_scores: whether to return the weights too, ``[batch, heads, queries,
            values]``.
        training: whether weights are dropped.
        use_causal_mask: whether a query sees no value behind its own place.

    >>> import headrace as hr
    >>> x = hr.zeros([2, 3, 8])
    >>> MultiHeadAttention(num_heads=2, key_dim=4)(x, x).shape
    TensorShape([2, 3, 8])
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
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
        for name, size in (("num_heads", num_heads), ("key_dim", key_dim)):
            if not isinstance(size, int) or size <= 0:
                raise ValueError(
                    f"Received an invalid value for argument `{name}`, expected a positive "
                    f"integer. Received: {name}={size}"
                )
        if value_dim is not None and (not isinstance(value_dim, int) or value_dim <= 0):
            raise ValueError(
                "Received an invalid value for argument `value_dim`, expected a positive "
                f"integer or `None`. Received: value_dim={value_dim}"
            )
        super().__init__(**kwargs)
        self._num_heads = num_heads
        self._key_dim = key_dim
        self._value_dim = value_dim or key_dim
        self._use_bias = use_bias
        self._use_gate = use_gate
        if isinstance(output_shape, int):
            output_shape = (output_shape,)
        if output_shape and not isinstance(output_shape, (list, tuple)):
            raise ValueError(
                f"Invalid `output_shape`: {output_shape}. When specified, the `output_shape` "
                "should be of type tuple, list, or int."
            )
        self._output_shape = tuple(output_shape) if output_shape else None
        if isinstance(attention_axes, int):
            attention_axes = (attention_axes,)
        elif attention_axes and not isinstance(attention_axes, (list, tuple)):
            raise ValueError(
                "`attention_axes` must be an int, list, or tuple. Received: "
                f"attention_axes={attention_axes}"
            )
        self._axes = None if attention_axes is None else tuple(attention_axes)
        self._set_attention(key_dim, dropout, sliding_window, flash_attention, seed)
        self._set_dense(
            "_",
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

    num_heads = property(lambda self: self._num_heads, doc="Number of heads.")
    key_dim = property(lambda self: self._key_dim, doc="Size of a head's queries and keys.")
    value_dim = property(lambda self: self._value_dim, doc="Size of a head's values.")
    dropout = property(lambda self: self._rate, doc="Share of the weights dropped.")
    use_bias = property(lambda self: self._use_bias, doc="Whether projections have a bias.")
    attention_axes = property(lambda self: self._axes, doc="Axes that are attended over.")
    query_dense = property(lambda self: self._query_dense, doc="The query's projection.")
    key_dense = property(lambda self: self._key_dense, doc="The key's projection.")
    value_dense = property(lambda self: self._value_dense, doc="The value's projection.")
    output_dense = property(lambda self: self._output_dense, doc="The last projection.")

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Create the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        check_lengths(value_shape, key_shape)
        rank = len(query_shape)

        def into_heads(name: str, shape: Any, size: int, activation: Any = None) -> Any:
            free = string.ascii_lowercase[: len(shape) - 1]
            one, n, h = string.ascii_lowercase[len(shape) - 1 : len(shape) + 2]
            made = self._dense(
                name,
                f"{free}{one},{one}{n}{h}->{free}{n}{h}",
                [None] * (len(shape) - 2) + [self._num_heads, size],
                n + h if self._use_bias else None,
                activation,
            )
            made.build(shape)
            return made

        self._query_dense = into_heads("query", query_shape, self._key_dim)
        self._key_dense = into_heads("key", key_shape, self._key_dim)
        if self._use_gate:
            self._gate_dense = into_heads("gate", query_shape, self._value_dim, "sigmoid")
        self._value_dense = into_heads("value", value_shape, self._value_dim)
        if self._axes is None:
            self._axes = tuple(range(1, len(value_shape) - 1))
        else:
            self._axes = tuple(a if a >= 0 else len(value_shape) + a for a in self._axes)
        self._equations, scores = attention_equations(len(value_shape) + 1, self._axes)
        self._make_weighting(tuple(range(scores - len(self._axes), scores)))
        sizes = self._output_shape or (query_shape[-1],)
        free = string.ascii_lowercase[: rank - 1]
        heads = string.ascii_lowercase[rank - 1 : rank + 1]
        made = string.ascii_lowercase[rank + 1 : rank + 1 + len(sizes)]
        self._output_dense = self._dense(
            "attention_output",
            f"{free}{heads},{heads}{made}->{free}{made}",
            [None] * (rank - 2) + list(sizes),
            made if self._use_bias else None,
        )
        self._output_dense.build((*query_shape[:-1], self._num_heads, self._value_dim))
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
        """The results, of the query's shape or `output_shape`; the weights if asked for."""
        key = value if key is None else key
        masks = (query_mask, value_mask, key_mask)
        alone = all(m is None for m in (*masks, attention_mask, self._window))
        if not (use_causal_mask and alone):
            attention_mask = self._whole_mask(
                query, value, masks, attention_mask, use_causal_mask
            )
        gate = self._gate_dense(query) if self._use_gate else None
        output, weights = self._compute_attention(
            self._query_dense(query),
            self._key_dense(key),
            self._value_dense(value),
            attention_mask,
            training,
            return_attention_scores,
            **({"use_causal_mask": True} if use_causal_mask and alone else {}),
        )
        output = self._output_dense(output if gate is None else output * gate)
        return (output, weights) if return_attention_scores else output

    def _compute_attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        training: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> tuple[Any, Any]:
        """The heads' results and weights; subclasses may override it."""
        return self._attend(
            query, key, value, attention_mask, training, return_attention_scores,
            use_causal_mask, self._equations,
        )  # fmt: skip

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> tuple[int | None, ...]:
        """The query's shape, or `output_shape` behind its sequence axes."""
        check_lengths(value_shape, value_shape if key_shape is None else key_shape)
        if self._output_shape:
            return (*query_shape[:-1], *self._output_shape)
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
        rows = tuple(query.shape[a] for a in self._axes)
        columns = tuple(value.shape[a] for a in self._axes)
        others = tuple(
            d for i, d in enumerate(query.shape[:-1]) if i not in self._axes
        )  # the batch and what is not attended over
        full = (*others, self._num_heads, *rows, *columns)
        return output, KerasTensor(full, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self._num_heads,
            "key_dim": self._key_dim,
            "value_dim": self._value_dim,
            "dropout": self._rate,
            "use_bias": self._use_bias,
            "use_gate": self._use_gate,
            "output_shape": self._output_shape,
            "attention_axes": self._axes,
            "sliding_window": self._window,
            **self._dense_config(),
            "seed": self.seed,
        }
