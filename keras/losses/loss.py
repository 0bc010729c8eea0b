"""Loss: the base class, and the wrapper that makes a loss of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import api as hr, nest
from ...ops.context import current
from .. import dtype_policies
from ..backend import floatx
from ..engine.masks import get_mask
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from ..utils.naming import auto_name
from .reduction import (
    reduce_weighted_values,
    share_of_replicas,
    squeeze_or_expand_to_same_rank,
    standardize_reduction,
)

__all__ = ["Loss", "LossFunctionWrapper", "PlainLoss"]


_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


class Loss:
    """Base class: override ``call(y_true, y_pred)`` to return one loss per sample.

    Args:
        name: default: the class's name in snake case.
        reduction: ``"sum_over_batch_size"`` (the mean over all samples), ``"sum"``,
            ``"mean"``, ``"mean_with_sample_weight"``, ``"none"`` or None.
        dtype: a dtype or policy in which the loss is computed; default `floatx()`.

    >>> class Worst(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return hr.reduce_max(hr.abs(y_true - y_pred), axis=-1)
    >>> Worst()([[0.0, 0.0]], [[1.0, -3.0]]).numpy()
    np.float32(3.0)
    """

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ):
        self.name = name or auto_name(type(self).__name__)
        self.reduction = standardize_reduction(reduction)
        self._dtype = dtype_policies.get(dtype or floatx()).compute_dtype

    @property
    def dtype(self) -> str:
        """Name of the dtype the loss is computed in."""
        return self._dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss, a scalar unless `reduction` is none."""
        in_mask = get_mask(y_pred)
        y_pred = _each_tensor(self._convert, y_pred)
        y_true = _each_tensor(self._convert_target, y_true)
        values = self.call(y_true, y_pred)
        out_mask = get_mask(values)
        if in_mask is not None and out_mask is not None:
            mask = hr.logical_and(in_mask, out_mask)
        else:
            mask = out_mask if in_mask is None else in_mask
        loss = reduce_weighted_values(
            values, sample_weight, mask, reduction=self.reduction, dtype=self._dtype
        )
        if current.replica is not None and self.reduction in _MEANS:
            if hr.convert_to_tensor(values).shape.rank == 0:  # `call` has made the mean
                rows = hr.shape(nest.flatten(y_pred)[0])[0]
                return share_of_replicas(loss, hr.cast(rows, "float32"))
        return loss

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One loss per sample."""
        raise NotImplementedError

    def _convert(self, x: Any) -> Any:
        return hr.cast(hr.convert_to_tensor(x), self._dtype)

    def _convert_target(self, x: Any) -> Any:
        return self._convert(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """The loss that `config` describes."""
        return cls(**config)


def _each_tensor(convert: Callable[[Any], Any], values: Any) -> Any:
    """`convert` applied to a tensor, to each of several, or to a list of plain numbers."""
    if not isinstance(values, list | tuple | dict):
        return convert(values)
    if not isinstance(values, dict) and all(
        isinstance(leaf, int | float) for leaf in nest.flatten(values)
    ):
        return convert(values)
    return nest.map_structure(convert, values)


class LossFunctionWrapper(Loss):
    """A loss made of a function of ``(y_true, y_pred)``.

    Args:
        fn: returns one loss per sample.
        reduction: see `Loss`.
        name: default: `fn`'s name.
        dtype: see `Loss`.
        **kwargs: passed on to `fn`.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs
        self._integer_targets = getattr(fn, "_integer_targets", False)

    def _convert_target(self, x: Any) -> Any:
        # Class numbers stay integers: a float32 holds them only up to 2 ** 24.
        x = hr.convert_to_tensor(x)
        return x if self._integer_targets and x.dtype.is_integer else self._convert(x)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """`fn` of both, brought to the same rank first."""
        if nest.is_nested(y_true) or nest.is_nested(y_pred):
            nest.assert_same_structure(y_true, y_pred)
            pairs = [
                squeeze_or_expand_to_same_rank(true, pred)
                for true, pred in zip(nest.flatten(y_true), nest.flatten(y_pred), strict=True)
            ]
            y_true = nest.pack_sequence_as(y_true, [true for true, _ in pairs])
            y_pred = nest.pack_sequence_as(y_pred, [pred for _, pred in pairs])
        else:
            y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """The function, its arguments, name and reduction."""
        config = {"fn": serialize_keras_object(self.fn)}
        config.update({k: serialize_keras_object(v) for k, v in self._fn_kwargs.items()})
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """The loss that `config` describes."""
        if "fn" in config:
            config = {**config, "fn": deserialize_keras_object(config["fn"])}
        return cls(**config)

    def __repr__(self) -> str:
        return f"<LossFunctionWrapper({self.fn}, kwargs={self._fn_kwargs})>"


class PlainLoss(LossFunctionWrapper):
    """A wrapper whose class fixes the function.

    The function's arguments are attributes of the loss; its config holds them, name and
    reduction.  (Keras leaves some of them out of some configs, but takes them all.)

    Args:
        fn: see `LossFunctionWrapper`.
        reduction: see `Loss`.
        name: of the loss.
        dtype: see `Loss`.
        **kwargs: passed on to `fn`.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None,
        name: str,
        dtype: Any,
        **kwargs: Any,
    ):
        super().__init__(fn, reduction=reduction, name=name, dtype=dtype, **kwargs)
        for key, value in kwargs.items():
            setattr(self, key, value)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "reduction": self.reduction, **self._fn_kwargs}
