"""What MultiHeadAttention and GroupedQueryAttention share: projections, masks, attention.

Where weights are neither wanted nor dropped, heads run as one operation (`ops.attention`).
"""

from __future__ import annotations

import math
import string
from typing import Any

from ...ops import api as hr
from ...ops.attention import dot_product_attention
from .. import constraints, initializers, regularizers
from ..engine.layer import Layer
from ..engine.masks import set_mask
from .activations import Softmax
from .einsum_dense import EinsumDense
from .regularization import Dropout

__all__ = ["AttentionHeads", "attention_equations", "check_lengths"]

_DENSE = (
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)


def _module(name: str) -> Any:
    what = name.rsplit("_", 1)[1]
    return {"initializer": initializers, "regularizer": regularizers}.get(what, constraints)


class AttentionHeads(Layer):
    """What both layers share: the projections' arguments, masks, and the attention itself."""

    _scale: float
    _window: int | None
    _rate: float
    _flash: bool
    _axes: Any
    _softmax: Any
    _dropout_layer: Any

    def _set_dense(self, prefix: str, arguments: dict[str, Any]) -> None:
        for name in _DENSE:
            setattr(self, prefix + name, _module(name).get(arguments[name]))
        self._prefix = prefix

    def _set_attention(
        self, head_size: int, dropout: float, window: Any, flash: Any, seed: int | None
    ) -> None:
        if window is not None and (not isinstance(window, int) or window <= 0):
            raise ValueError(
                "`sliding_window` must be `None` or a positive integer. Received: "
                f"sliding_window={window}"
            )
        self._flash = bool(flash)
        if self._flash and dropout > 0.0:
            raise ValueError(
                "Dropout is not supported when flash attention is enabled. Please set dropout "
                "to 0.0 to use flash attention."
            )
        self._window = window
        self._rate = dropout
        self._scale = 1.0 / math.sqrt(float(head_size))
        self.seed = seed
        self.supports_masking = True

    def _dense(
        self,
        name: str,
        equation: str,
        sizes: Any,
        bias_axes: str | None,
        activation: Any = None,
    ) -> Any:
        """A projection; initializers are cloned, or all would begin with the same values."""
        arguments = {n: getattr(self, self._prefix + n) for n in _DENSE}
        for n in ("kernel_initializer", "bias_initializer"):
            arguments[n] = arguments[n].clone()
        made = EinsumDense(
            equation,
            output_shape=sizes,
            bias_axes=bias_axes,
            activation=activation,
            name=name,
            dtype=self.dtype_policy,
            **arguments,
        )
        made.supports_masking = True  # what comes in may carry a mask, which this layer uses
        return made

    def _make_weighting(self, axes: Any) -> None:
        self._softmax = Softmax(axis=axes, dtype=self.dtype_policy)
        self._dropout_layer = Dropout(self._rate, dtype=self.dtype_policy, seed=self.seed)

    # -- masks ----------------------------------------------------------------------------

    def _whole_mask(
        self, query: Any, value: Any, masks: tuple[Any, Any, Any], given: Any, causal: bool
    ) -> Any:
        """bool ``[batch or 1, queries or 1, values]`` from the tensors' masks and the rest;
        None if nothing is masked."""
        query_mask, value_mask, key_mask = masks
        parts = [] if given is None else [hr.cast(given, hr.bool)]
        if query_mask is not None:
            parts.append(hr.expand_dims(hr.cast(query_mask, hr.bool), -1))
        for mask in (value_mask, key_mask):
            if mask is not None:
                parts.append(hr.expand_dims(hr.cast(mask, hr.bool), -2))
        if causal:
            parts.append(self._compute_causal_mask(query, value))
        if self._window is not None:
            parts.append(self._compute_sliding_window_mask(query, value))
        whole = None
        for part in parts:
            whole = part if whole is None else hr.logical_and(whole, part)
        return whole

    def _places(self, query: Any, value: Any) -> tuple[Any, Any]:
        rows, columns = (
            hr.range(hr.shape(t)[1] if t.shape[1] is None else t.shape[1])
            for t in (query, query if value is None else value)
        )
        return rows[None, :, None], columns[None, None, :]

    def _compute_causal_mask(self, query: Any, value: Any = None) -> Any:
        """bool ``[1, queries, values]``: no value behind the query's own place."""
        rows, columns = self._places(query, value)
        return hr.greater_equal(rows, columns)

    def _compute_sliding_window_mask(self, query: Any, value: Any = None) -> Any:
        """bool ``[1, queries, values]``: only values near the query's own place."""
        rows, columns = self._places(query, value)
        return hr.abs(rows - columns) < self._window

    # -- attention ------------------------------------------------------------------------

    def _attend(
        self,
        query: Any,
        key: Any,
        value: Any,
        mask: Any,
        training: Any,
        wanted: bool,
        causal: bool,
        equations: tuple[str, str],
    ) -> tuple[Any, Any]:
        """The heads' results, and the weights where they had to be made."""
        if self._flash and wanted:
            raise ValueError(
                "Returning attention scores is not supported when flash attention is enabled. "
                "Please disable flash attention to access attention scores."
            )
        drops = self._rate > 0 and (training or mask is not None)
        if not (drops or wanted) and len(query.shape) == 4:
            if mask is not None:
                mask = self._over_heads(mask, 4)
            return dot_product_attention(
                query, key, value, mask=mask, scale=self._scale, is_causal=causal
            ), None
        if causal:
            seen = self._compute_causal_mask(query, value)
            mask = seen if mask is None else hr.logical_and(mask, seen)
        query = query * hr.cast(self._scale, query.dtype)
        scores = hr.einsum(equations[0], key, query)
        if mask is not None:
            mask = self._over_heads(mask, len(scores.shape))
        weights = self._softmax(scores, mask=mask)
        set_mask(weights, None)  # its own mask is none of a sequence
        dropped = self._dropout_layer(weights, training=training) if self._rate else weights
        return hr.einsum(equations[1], dropped, value), weights

    def _over_heads(self, mask: Any, rank: int) -> Any:
        """`mask` with axes for the heads, in front of the attention's."""
        place = -2 * len(self._axes) - 1
        for _ in range(rank - len(mask.shape)):
            mask = hr.expand_dims(mask, place)
        return mask

    def _dense_config(self) -> dict[str, Any]:
        return {
            name: _module(name).serialize(getattr(self, self._prefix + name)) for name in _DENSE
        }


def check_lengths(value_shape: Any, key_shape: Any) -> None:
    """Raise ValueError if there are not as many keys as values."""
    if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
        raise ValueError(
            "All dimensions of `value` and `key`, except the last one, must be equal. "
            f"Received: value_shape={tuple(value_shape)} and key_shape={tuple(key_shape)}"
        )


def attention_equations(rank: int, axes: tuple[int, ...]) -> tuple[tuple[str, str], int]:
    """The products of keys and queries, and of weights and values, of tensors ``[batch, ...,
    heads, size]`` that are attended over `axes`; and the rank of the weights."""
    target = string.ascii_lowercase[:rank]
    fresh = iter(string.ascii_lowercase[rank:])
    source = "".join(next(fresh) if i in axes else c for i, c in enumerate(target))
    kept = "".join(c for i, c in enumerate(target[:-1]) if i not in axes)
    weights = kept + "".join(target[a] for a in axes) + "".join(source[a] for a in axes)
    return (f"{source},{target}->{weights}", f"{weights},{source}->{target}"), len(weights)
