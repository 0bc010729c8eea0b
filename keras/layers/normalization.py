"""Normalizations over the batch (BatchNormalization) and over features (LayerNormalization,
RMSNormalization, UnitNormalization).
"""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.context import current
from ...ops.layer_norm import normalized_rows
from ...ops.norm_ops import batch_norm_training
from .. import backend, constraints, initializers, regularizers
from ..engine.input_spec import InputSpec
from ..engine.layer import Layer

__all__ = [
    "BatchNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
]


def _axes(axis: Any) -> list[int]:
    return list(axis) if isinstance(axis, list | tuple) else [axis]


def _spread(values: Any, axes: list[int], rank: int, shape: Any) -> Any:
    """`values` reshaped to broadcast along `axes` of a tensor of this rank and shape."""
    wanted = {a % rank for a in axes}
    if wanted == set(range(rank - len(wanted), rank)):
        return values
    return hr.reshape(values, [shape[i] if i in wanted else 1 for i in range(rank)])


class _Normalization(Layer):
    """A layer with gamma and beta whose output has its input's shape."""

    def __init__(
        self,
        axis: Any,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True
        self.gamma = None
        self.beta = None

    def _add_gamma_and_beta(self, shape: tuple[int, ...]) -> None:
        if self.scale:
            self.gamma = self.add_weight(
                shape=shape,
                name="gamma",
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False,
            )
        if self.center:
            self.beta = self.add_weight(
                shape=shape,
                name="beta",
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False,
            )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape.

        Raises:
            ValueError: it lacks an axis to normalize.
        """
        rank = len(input_shape)
        for axis in _axes(self.axis):
            if not -rank <= axis < rank:
                raise ValueError(
                    f"Axis {axis} is out of bounds for input shape {input_shape}. Received: "
                    f"axis={self.axis}"
                )
        return tuple(input_shape)

    def _learned_config(self) -> dict[str, Any]:
        return {
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }


class BatchNormalization(_Normalization):
    """Scales each feature to mean 0 and variance 1: over the batch in training, by moving
    averages otherwise (Ioffe & Szegedy 2015).

    Weights: gamma, beta, moving_mean, moving_variance.

    Args:
        axis: the features' axis.
        momentum: share of the moving averages kept at each step.
        epsilon: added to the variance.
        center: whether to add a learned offset.
        scale: whether to multiply by a learned factor.
        beta_initializer: of the offset.
        gamma_initializer: of the factor.
        moving_mean_initializer: of the moving mean.
        moving_variance_initializer: of the moving variance.
        beta_regularizer: penalty on the offset.
        gamma_regularizer: penalty on the factor.
        beta_constraint: projection of the offset.
        gamma_constraint: projection of the factor.
        renorm: not supported yet.
        renorm_clipping: kept for configs.
        renorm_momentum: kept for configs.
        synchronized: whether the statistics are those of all replicas' batches together; else
            each replica normalizes by its own, and the moving averages are the replicas' mean.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Any = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ):
        if renorm:
            raise NotImplementedError("`renorm=True` is not supported yet.")
        super().__init__(
            int(axis),
            float(epsilon),
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
        self.momentum = float(momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.renorm = renorm
        self.renorm_clipping = renorm_clipping
        self.renorm_momentum = renorm_momentum
        self.synchronized = synchronized

    def build(self, input_shape: Any) -> None:
        """Create the learned weights and the moving averages."""
        size = input_shape[self.axis]
        self._add_gamma_and_beta((size,))
        self.moving_mean = self.add_weight(
            shape=(size,),
            name="moving_mean",
            initializer=self.moving_mean_initializer,
            trainable=False,
            autocast=False,
            synchronization="on_read",
            aggregation="mean",
        )
        self.moving_variance = self.add_weight(
            shape=(size,),
            name="moving_variance",
            initializer=self.moving_variance_initializer,
            trainable=False,
            autocast=False,
            synchronization="on_read",
            aggregation="mean",
        )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})
        self.built = True

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """The inputs normalized; `mask` leaves samples out of the statistics."""
        if mask is not None and len(mask.shape) != len(inputs.shape) - 1:
            raise ValueError(
                "The mask provided should be one dimension less than the inputs. Received: "
                f"mask.shape={tuple(mask.shape)}, inputs.shape={tuple(inputs.shape)}"
            )
        learns = training and self.trainable
        together = current.replica if self.synchronized else None
        last = self.axis % len(inputs.shape) == len(inputs.shape) - 1
        one = learns and together is None and mask is None and last
        kind = hr.as_dtype(inputs.dtype)
        x = inputs
        if kind.size < 4 and not (one and kind.is_floating):
            # Half floats overflow in the sums of squares.
            x = hr.cast(inputs, hr.float32)
        mean, variance = self.moving_mean.read_value(), self.moving_variance.read_value()
        if learns:
            old_mean, old_variance = mean, variance
            fused = None
            if together is not None:
                mean, variance = self._moments_of_all(x, mask)
            elif one:
                fused, mean, variance = self._fused(x)
            else:
                mean, variance = self._moments(x, mask)
            keep, take = self.momentum, 1.0 - self.momentum
            if current.replica is not None and not self.synchronized:
                # One that got no rows has no statistics.
                some = hr.shape(x)[0] > 0
                mean = hr.where(some, mean, hr.cast(old_mean, mean.dtype))
                variance = hr.where(some, variance, hr.cast(old_variance, variance.dtype))
            self.moving_mean.assign(old_mean * keep + hr.cast(mean, old_mean.dtype) * take)
            self.moving_variance.assign(
                old_variance * keep + hr.cast(variance, old_variance.dtype) * take
            )
            if fused is not None:
                return hr.cast(fused, self.compute_dtype)
        factor = hr.rsqrt(hr.cast(variance, x.dtype) + self.epsilon)
        if self.gamma is not None:
            factor = factor * hr.cast(self.gamma, x.dtype)
        offset = -hr.cast(mean, x.dtype) * factor
        if self.beta is not None:
            offset = offset + hr.cast(self.beta, x.dtype)
        rank = len(x.shape)
        factor, offset = (_spread(v, [self.axis], rank, x.shape) for v in (factor, offset))
        return hr.cast(x * factor + offset, self.compute_dtype)

    def _fused(self, x: Any) -> tuple[Any, Any, Any]:
        """Result and statistics by one operation, for features on the last axis."""
        size = self.moving_mean.shape
        wide = hr.float32 if hr.as_dtype(x.dtype).size < 4 else x.dtype
        scale = hr.ones(size, wide) if self.gamma is None else hr.cast(self.gamma, wide)
        offset = hr.zeros(size, wide) if self.beta is None else hr.cast(self.beta, wide)
        return batch_norm_training(x, scale, offset, self.epsilon)

    def _moments_of_all(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """Mean and variance over the batches of all replicas."""
        rank = len(x.shape)
        axes = [i for i in range(rank) if i != self.axis % rank]
        weights = hr.ones_like(x)
        if mask is not None:
            weights = hr.cast(hr.expand_dims(mask, -1), x.dtype) * weights
        sums = [hr.reduce_sum(weights, axis=axes), hr.reduce_sum(x * weights, axis=axes)]
        count, total = current.replica.all_reduce("SUM", sums)
        mean = hr.divide_no_nan(total, count)
        centred = x - _spread(mean, [self.axis], rank, x.shape)
        spread = hr.reduce_sum(hr.square(centred) * weights, axis=axes)
        return mean, hr.divide_no_nan(current.replica.all_reduce("SUM", spread), count)

    def _moments(self, x: Any, mask: Any) -> tuple[Any, Any]:
        rank = len(x.shape)
        axes = [i for i in range(rank) if i != self.axis % rank]
        if mask is None:
            mean = hr.reduce_mean(x, axis=axes, keepdims=True)
            variance = hr.reduce_mean(hr.square(x - mean), axis=axes)
            return hr.reshape(mean, [-1]), variance
        weights = hr.cast(hr.expand_dims(mask, -1), x.dtype) * hr.ones_like(x)
        total = hr.reduce_sum(weights, axis=axes, keepdims=True) + backend.epsilon()
        mean = hr.reduce_sum(x * weights, axis=axes, keepdims=True) / total
        spread = hr.reduce_sum(hr.square(x - mean) * weights, axis=axes, keepdims=True) / total
        return hr.reshape(mean, [-1]), hr.reshape(spread, [-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(
                self.moving_variance_initializer
            ),
            **self._learned_config(),
            "synchronized": self.synchronized,
            "renorm": self.renorm,
            "renorm_clipping": self.renorm_clipping,
            "renorm_momentum": self.renorm_momentum,
        }


class LayerNormalization(_Normalization):
    """Scales each sample to mean 0 and variance 1 over `axis` (Ba et al. 2016).

    Args:
        axis: axis or axes to normalize over.
        epsilon: added to the variance.
        center: whether to add a learned offset.
        scale: whether to multiply by a learned factor.
        beta_initializer: of the offset.
        gamma_initializer: of the factor.
        beta_regularizer: penalty on the offset.
        gamma_regularizer: penalty on the factor.
        beta_constraint: projection of the offset.
        gamma_constraint: projection of the factor.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ):
        if kwargs.pop("rms_scaling", False):
            raise NotImplementedError(
                "`rms_scaling=True` is not supported; use RMSNormalization instead."
            )
        if not isinstance(axis, int | list | tuple):
            raise TypeError(
                "Expected an int or a list/tuple of ints for the argument 'axis', but "
                f"received: {axis!r}"
            )
        super().__init__(
            list(axis) if isinstance(axis, tuple) else axis,
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
        self.autocast = False

    def build(self, input_shape: Any) -> None:
        """Create the learned weights."""
        self.axis = sorted(_axes(self.axis))
        self._add_gamma_and_beta(tuple(input_shape[a] for a in self.axis))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs normalized."""
        x = hr.cast(inputs, hr.float32) if hr.as_dtype(inputs.dtype).size < 4 else inputs
        axes, rank = _axes(self.axis), len(x.shape)
        if {a % rank for a in axes} == {rank - 1}:
            out = normalized_rows(x, self.epsilon)
        else:
            mean = hr.reduce_mean(x, axis=axes, keepdims=True)
            centred = x - mean
            variance = hr.reduce_mean(hr.square(centred), axis=axes, keepdims=True)
            out = centred * hr.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            out = out * _spread(hr.cast(self.gamma, x.dtype), axes, rank, x.shape)
        if self.beta is not None:
            out = out + _spread(hr.cast(self.beta, x.dtype), axes, rank, x.shape)
        return hr.cast(out, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "rms_scaling": False,
            **self._learned_config(),
        }


class RMSNormalization(Layer):
    """Divides by the root of the mean square over `axis` (Zhang & Sennrich 2019).

    Args:
        axis: axis or axes to normalize over.
        epsilon: added to the mean square.
        **kwargs: see `Layer`.
    """

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        """Create the learned factor."""
        self.axis = sorted(_axes(self.axis))
        self.scale = self.add_weight(
            name="scale", shape=tuple(input_shape[a] for a in self.axis), initializer="ones"
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs normalized."""
        axes = _axes(self.axis)
        power = hr.reduce_mean(hr.square(inputs), axis=axes, keepdims=True)
        out = inputs * hr.rsqrt(power + self.epsilon)
        scale = hr.cast(self.scale, inputs.dtype)
        return out * _spread(scale, axes, len(inputs.shape), inputs.shape)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(Layer):
    """Scales to length 1 over `axis`.

    Args:
        axis: axis or axes to normalize over.
        **kwargs: see `Layer`.
    """

    def __init__(self, axis: Any = -1, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(axis, int | list | tuple):
            raise TypeError(
                "Invalid value for `axis` argument: expected an int or a list/tuple of ints. "
                f"Received: axis={axis}"
            )
        self.axis = list(axis) if isinstance(axis, tuple) else axis
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs normalized."""
        power = hr.reduce_sum(hr.square(inputs), axis=_axes(self.axis), keepdims=True)
        return inputs * hr.rsqrt(hr.maximum(power, hr.constant(1e-24, dtype=inputs.dtype)))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axis": self.axis}
