"""Attention and AdditiveAttention: weighted means of values, without projections."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.attention import attention, causal_mask
from ..engine.keras_tensor import KerasTensor
from ..engine.layer import Layer
from ..random import SeedGenerator

__all__ = ["AdditiveAttention", "Attention"]


class Attention(Layer):
    """``softmax(query @ key.T) @ value`` (Luong et al. 2015).

    Args:
        use_scale: whether to multiply the scores by a learned scalar.
        score_mode: "dot", or "concat" for ``sum(tanh(query + key))`` times a learned scalar.
        dropout: share of the weights dropped in training.
        seed: Python int for repeatable dropout.
        **kwargs: see `Layer`.

    Call arguments:
        inputs: list ``[query, value]`` or ``[query, value, key]``: query ``[batch, queries,
            size]``, value and key ``[batch, values, size]``.
        mask: list ``[query_mask, value_mask]``, bool; queries that are masked give zeros,
            values that are masked are left out.
        training: whether weights are dropped.
        return_attention_scores: whether to return the weights ``[batch, queries, values]`` too.
        use_causal_mask: whether a query sees no value behind its own place.

    >>> Attention()([hr.zeros([2, 3, 4]), hr.ones([2, 5, 4])]).shape
    TensorShape([2, 3, 4])
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.use_scale = use_scale
        self.score_mode = score_mode
        self.dropout = dropout
        self.seed = seed
        if dropout > 0:
            self.seed_generator = SeedGenerator(seed)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                "Invalid value for argument score_mode. Expected one of {'dot', 'concat'}. "
                f"Received: score_mode={score_mode}"
            )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create the learned scalars."""
        self._check(input_shape)
        self.scale = None
        self.concat_score_weight = None
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )
        self.built = True

    def _scores(self, query: Any, key: Any) -> Any:
        """``[batch, queries, keys]``."""
        scale = None if self.scale is None else hr.cast(self.scale, query.dtype)
        if self.score_mode == "dot":
            scores = hr.matmul(query, key, transpose_b=True)
            return scores if scale is None else scores * scale
        both = hr.expand_dims(query, -2) + hr.expand_dims(key, -3)
        both = both if scale is None else scale * both
        weight = hr.cast(self.concat_score_weight, query.dtype)
        return weight * hr.reduce_sum(hr.tanh(both), -1)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: Any = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The results ``[batch, queries, size]``; with the weights if asked for."""
        self._check(inputs, mask)
        query, value, key = inputs[0], inputs[1], inputs[-1]
        query_mask = mask[0] if mask else None
        seen = mask[1] if mask else None
        drops = training and self.dropout > 0
        plain = type(self) is Attention and self.score_mode == "dot" and self.scale is None
        if (
            plain and seen is None and not drops and not return_attention_scores
            and len(query.shape) == 3 and query.dtype == hr.float32
        ):  # fmt: skip
            one = [hr.expand_dims(t, 2) for t in (query, key, value)]
            output = hr.squeeze(attention(*one, causal=bool(use_causal_mask))[0], 2)
            weights = None
        else:
            if seen is not None:
                seen = hr.cast(seen, hr.bool)
                seen = hr.expand_dims(seen, -2) if len(seen.shape) == 2 else seen
            if use_causal_mask:
                causal = causal_mask(query, key)
                seen = causal if seen is None else hr.logical_and(seen, causal)
            output, weights = self._weighted(self._scores(query, key), value, seen, drops)
        if query_mask is not None:
            shown = hr.expand_dims(hr.cast(query_mask, hr.bool), -1)
            output = hr.where(shown, output, hr.zeros_like(output))
        return (output, weights) if return_attention_scores else output

    def _weighted(self, scores: Any, value: Any, seen: Any, drops: Any) -> tuple[Any, Any]:
        if seen is not None:
            # 65504 is float16's largest number.
            low = 65504.0 if scores.dtype == hr.float16 else 1.0e9
            scores = hr.where(seen, scores, scores - hr.cast(low, scores.dtype))
        weights = hr.softmax(scores, axis=-1)
        if drops:
            kept = hr.stateless_uniform(hr.shape(weights), self.seed_generator.next())
            kept = hr.cast(kept >= self.dropout, weights.dtype)
            weights = weights * (kept * hr.cast(1.0 / (1.0 - self.dropout), weights.dtype))
        return hr.matmul(weights, value), weights

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The query's mask."""
        self._check(inputs, mask)
        if mask is None or mask[0] is None:
            return None
        return hr.convert_to_tensor(mask[0])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The query's shape with the value's size."""
        return (*input_shape[0][:-1], input_shape[1][-1])

    def compute_output_spec(
        self,
        inputs: Any,
        mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Placeholders of the results' shapes."""
        self._check(inputs, mask)
        query, value, key = inputs[0], inputs[1], inputs[-1]
        shape = self.compute_output_shape([t.shape for t in (query, value, key)])
        output = KerasTensor(shape, self.compute_dtype)
        if not return_attention_scores:
            return output
        weights = KerasTensor((*query.shape[:-1], key.shape[-2]), self.compute_dtype)
        return output, weights

    def _check(self, inputs: Any, mask: Any = None) -> None:
        name = type(self).__name__
        if not isinstance(inputs, list):
            raise ValueError(
                f"{name} layer must be called on a list of inputs, namely [query, value] or "
                f"[query, value, key]. Received: inputs={inputs}."
            )
        if len(inputs) not in (2, 3):
            raise ValueError(
                f"{name} layer accepts inputs list of length 2 or 3, namely [query, value] or "
                f"[query, value, key]. Received length: {len(inputs)}."
            )
        if mask is None:
            return
        if not isinstance(mask, list):
            raise ValueError(
                f"{name} layer mask must be a list, namely [query_mask, value_mask]. Received: "
                f"mask={mask}."
            )
        if len(mask) not in (2, 3):
            raise ValueError(
                f"{name} layer accepts mask list of length 2 or 3. Received: inputs={inputs}, "
                f"mask={mask}."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "use_scale": self.use_scale,
            "score_mode": self.score_mode,
            "dropout": self.dropout,
            "seed": self.seed,
        }


class AdditiveAttention(Attention):
    """``softmax(sum(scale * tanh(query + key))) @ value`` (Bahdanau et al. 2014).

    Args:
        use_scale: whether ``scale``, of the query's size, is learned; else it is 1.
        dropout: share of the weights dropped in training.
        **kwargs: ``seed`` (see `Attention`), and see `Layer`.

    Call arguments are those of `Attention`.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the learned scale."""
        self._check(input_shape)
        self.scale = None
        if self.use_scale:
            self.scale = self.add_weight(
                name="scale", shape=(input_shape[0][-1],), initializer="glorot_uniform"
            )
        self.built = True

    def _scores(self, query: Any, key: Any) -> Any:
        made = hr.tanh(hr.expand_dims(query, -2) + hr.expand_dims(key, -3))
        if self.scale is not None:
            made = hr.cast(self.scale, query.dtype) * made
        return hr.reduce_sum(made, -1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["score_mode"]
        return config
