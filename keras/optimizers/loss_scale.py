"""LossScaleOptimizer: training in float16, whose small gradients would be zero.

The loss is multiplied by a large scale before it is differentiated, and the gradients are
divided by it before they are used.  The scale is found while training: halved when a gradient
overflows, in a step that then changes nothing else, and doubled after many steps in which none
did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ops import api as hr
from ...ops.context import executing_eagerly, same_on_all_replicas
from .. import initializers
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .optimizer import Optimizer
from .replicas import sum_over_replicas, summed_by_replicas

__all__ = ["LossScaleOptimizer"]

# What Keras once wrote into configs, though none of it has an effect here.
_UNUSED = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class LossScaleOptimizer(Optimizer):
    """An optimizer around another one, that scales the loss dynamically.

    `Model.compile` puts it around the optimizer of a model whose policy is ``mixed_float16``.

    Args:
        inner_optimizer: what updates the variables; its own `loss_scale_factor` is switched
            off.
        initial_scale: the first scale.  Too high a one is lowered at once, too low a one
            raised slowly.
        dynamic_growth_steps: finite steps after which the scale is doubled.
        name: the optimizer's name.

    Raises:
        ValueError: an argument that belongs to the inner optimizer.

    >>> import headrace as hr
    >>> LossScaleOptimizer(hr.keras.optimizers.SGD(0.1)).initial_scale
    32768.0
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ):
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer no longer supports `dynamic=False`. Instead, simply set "
                "`loss_scale_factor` directly on the `inner_optimizer`."
            )
        for key, default in _UNUSED.items():
            if kwargs.pop(key, default) != default:
                raise ValueError(
                    f"LossScaleOptimizer does not support `{key}`. Instead, set `{key}` on "
                    "the `inner_optimizer`."
                )
        if kwargs:
            raise ValueError(
                f"LossScaleOptimizer does not support arguments: `{'`, `'.join(kwargs)}`."
            )
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        self.step_counter: Any = None
        self.dynamic_scale: Any = None
        inner_optimizer.loss_scale_factor = None  # gradients would be divided twice

    def build(self, variables: Iterable[Any]) -> None:
        """Create the scale, the counter of finite steps and the inner optimizer's slots."""
        if self.built:
            return
        variables = list(variables)
        self.step_counter = self.add_variable((), dtype="int64", name="step_counter")
        self.dynamic_scale = self.add_variable(
            (),
            initializers.Constant(self.initial_scale),
            dtype="float32",
            name="dynamic_scale",
        )
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[Any]:
        """Its own variables, then the inner optimizer's."""
        return [*self._variables, *self.inner_optimizer.variables]

    def apply(self, grads: Iterable[Any], trainable_variables: Any = None) -> None:
        """Update from the gradients of the scaled loss, unless one of them is not finite."""
        grads = list(grads)
        variables = None if trainable_variables is None else list(trainable_variables)
        push = getattr(variables[0], "push_gradients", None) if variables else None
        if push is not None:  # parameter servers say that they cannot
            push(self, grads, variables)
            return
        if not self.built:
            self.build(variables or ())
        # The inner optimizer creates its slots here, not inside a branch.
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(self._trainable_variables)

        if not summed_by_replicas():
            self._apply_summed(grads, variables)
            return
        trained = self._trainable_variables if variables is None else variables
        grads = sum_over_replicas(grads, trained)
        with same_on_all_replicas():
            self._apply_summed(grads, variables)

    def _apply_summed(self, grads: list[Any], variables: Any) -> None:
        """Update, or not, from gradients that are those of all replicas together."""
        finite = self.check_finite(grads)
        if executing_eagerly():
            (self._update_unscaled if bool(finite) else self._shrink)(grads, variables)
            return

        def update() -> Any:
            self._update_unscaled(grads, variables)
            return hr.constant(0)

        def shrink() -> Any:
            self._shrink(grads, variables)
            return hr.constant(0)

        hr.cond(finite, update, shrink)

    def check_finite(self, grads: Iterable[Any]) -> Any:
        """bool: whether no gradient holds an infinity or NaN."""
        values = [g.values if isinstance(g, hr.IndexedSlices) else g for g in grads
                  if g is not None]  # fmt: skip
        found = [hr.reduce_all(hr.is_finite(v)) for v in values]
        return hr.reduce_all(hr.stack(found)) if found else hr.constant(True)

    def _update_unscaled(self, grads: list[Any], variables: Any) -> None:
        scale = self.dynamic_scale.read_value()
        self.inner_optimizer.apply([_divided(g, scale) for g in grads], variables)
        grows = hr.equal(
            self.step_counter.read_value(),
            hr.constant(self.dynamic_growth_steps - 1, dtype=hr.int64),
        )
        count = self.step_counter.read_value()
        self.step_counter.assign(hr.where(grows, hr.zeros_like(count), count + 1))
        self.dynamic_scale.assign(hr.where(grows, scale * 2.0, scale))

    def _shrink(self, grads: list[Any], variables: Any) -> None:
        self.step_counter.assign(hr.zeros_like(self.step_counter.read_value()))
        self.dynamic_scale.assign(self.dynamic_scale.read_value() * 0.5)

    def scale_loss(self, loss: Any) -> Any:
        """`loss` times the present scale, in the loss's dtype."""
        scale = self.dynamic_scale.read_value() if self.built else self.initial_scale
        return loss * hr.cast(scale, loss.dtype)

    def finalize_variable_values(self, var_list: Any) -> None:
        """See `Optimizer.finalize_variable_values`; the inner optimizer's."""
        self.inner_optimizer.finalize_variable_values(var_list)

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Updates made; skipped steps do not count."""
        return self.inner_optimizer.iterations

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "name": self.name,
            "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> LossScaleOptimizer:
        """The optimizer that `config` describes."""
        config = dict(config)
        inner = deserialize_keras_object(
            config.pop("inner_optimizer"), custom_objects=custom_objects
        )
        return cls(inner, **config)


def _divided(grad: Any, scale: Any) -> Any:
    if grad is None:
        return None
    if isinstance(grad, hr.IndexedSlices):
        values = grad.values / hr.cast(scale, grad.values.dtype)
        return hr.IndexedSlices(values, grad.indices, grad.dense_shape)
    return grad / hr.cast(scale, grad.dtype)
