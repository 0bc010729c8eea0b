"""Optimizer: the base class. One step: clipping, weight decay, averaging, accumulation.

A subclass defines ``build(variables)`` (its slots), ``update_step(gradient, variable,
learning_rate)`` and ``get_config``.  All of it runs eagerly and inside a traced train step:
what happens at some steps only (accumulation, overwriting by averages) is selected by value
while tracing.

Variables come in the order ``iteration``, ``learning_rate`` (unless a schedule), averages,
accumulators, then the slots, interleaved per trained variable: saved optimizer states rely on
it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from ...ops import api as hr
from ...ops.context import current, executing_eagerly, same_on_all_replicas
from ..backend import floatx
from ..utils.naming import auto_name
from .clipping import clip_by_global_norm, clip_by_norm
from .replicas import (
    own_part,
    sharded,
    share_updates,
    sum_over_replicas,
    summed_by_replicas,
)
from .schedules import LearningRateSchedule
from .state import OptimizerState

__all__ = ["Optimizer"]


class Optimizer(OptimizerState):
    """Base class of the optimizers.

    Args:
        learning_rate: float, `LearningRateSchedule`, or a function without arguments.
        weight_decay: share of each weight (times the learning rate) taken off at each step.
        clipnorm: largest norm of each gradient.
        clipvalue: largest absolute value in any gradient.
        global_clipnorm: largest norm of all gradients together.
        use_ema: whether to keep moving averages of the weights.
        ema_momentum: share of the old average kept at each step.
        ema_overwrite_frequency: steps after which the averages replace the weights, or None.
        loss_scale_factor: `scale_loss` multiplies by it, `apply` divides gradients by it.
        gradient_accumulation_steps: number of steps whose mean gradient makes one update.
        name: default: the class's name in snake case.

    Raises:
        ValueError: more than one clip option, or a value out of range.
    """

    # Whether an update with a gradient of zero leaves a weight and its slots as they are, so
    # that sparse gradients need to touch their rows only.
    _sparse_rows = False

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        if kwargs.pop("decay", None) is not None:
            warnings.warn(
                "Argument `decay` is no longer supported and will be ignored.", stacklevel=3
            )
        if kwargs:
            raise ValueError(f"Argument(s) not recognized: {kwargs}")
        steps = gradient_accumulation_steps
        if steps and not steps >= 2:
            raise ValueError(
                "`gradient_accumulation_steps` must be an integer >= 2. Received: "
                f"gradient_accumulation_steps={steps}"
            )
        if use_ema:
            if not 0 <= ema_momentum <= 1:
                raise ValueError(
                    "`ema_momentum` must be in the range [0, 1]. Received: "
                    f"ema_momentum={ema_momentum}"
                )
            every = ema_overwrite_frequency
            if every and (not isinstance(every, int) or every < 1):
                raise ValueError(
                    "`ema_overwrite_frequency` must be an integer >= 1 or None. Received: "
                    f"ema_overwrite_frequency={every}"
                )
        if sum(a is not None for a in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. "
                f"Received: clipnorm={clipnorm}, clipvalue={clipvalue}, "
                f"global_clipnorm={global_clipnorm}"
            )
        self.name = name or auto_name(type(self).__name__)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = steps
        self.built = False
        self._variables: list[Any] = []
        self._trainable_variables: list[Any] = []
        self._indices: dict[int, int] = {}
        self._slot_of: dict[int, int] = {}  # ids of slots and of the variables they are for
        self._averages: list[Any] = []
        self._accumulators: list[Any] = []
        self._excluded: set[Any] = set()
        self._excluded_names: re.Pattern[str] | None = None
        self._shared: dict[Any, Any] | None = None
        self._iterations = self._scalar(0, hr.int64, "iteration")
        self._learning_rate: Any = None
        if isinstance(learning_rate, LearningRateSchedule) or callable(learning_rate):
            self._learning_rate = learning_rate
        elif isinstance(learning_rate, float):
            self._learning_rate = self._scalar(learning_rate, floatx(), "learning_rate")
        else:
            raise ValueError(
                "Argument `learning_rate` should be float, or an instance of "
                "LearningRateSchedule, or a callable (that takes in the current iteration "
                "value and returns the corresponding learning rate value). Received instead: "
                f"learning_rate={learning_rate}"
            )

    # -- updating -------------------------------------------------------------------------

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its slots."""
        raise NotImplementedError

    def assign(self, variable: Any, value: Any) -> None:
        """Set a variable or slot."""
        variable.assign(value)

    def assign_add(self, variable: Any, value: Any) -> None:
        """Add to a variable or slot."""
        variable.assign_add(value)

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a variable or slot."""
        variable.assign_sub(value)

    def minimize(
        self,
        loss: Any,
        var_list: Any,
        grad_loss: Any = None,
        name: Any = None,
        tape: Any = None,
    ) -> Any:
        """One step down `loss`, a function, or a tensor recorded on `tape`."""
        if callable(loss) and not isinstance(loss, hr.Tensor):
            with hr.GradientTape() as tape:
                loss = loss()
        if tape is None:
            raise ValueError(
                "`tape` is required when a `Tensor` loss is passed. Received: "
                f"loss={loss}, tape={tape}."
            )
        variables = var_list() if callable(var_list) else list(var_list)
        grads = tape.gradient(loss, variables, grad_loss)
        return self.apply_gradients(zip(grads, variables, strict=True))

    def apply_gradients(
        self, grads_and_vars: Iterable[Any], name: Any = None, **kwargs: Any
    ) -> Any:
        """Update from ``(gradient, variable)`` pairs; returns `iterations`."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    def apply(self, grads: Iterable[Any], trainable_variables: Any = None) -> None:
        """Update the variables from their gradients, in the order the optimizer was built with
        unless `trainable_variables` are given.

        Raises:
            ValueError: not built, unknown variables, or no gradient at all.
        """
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "When passing `grads` without `variables`, the optimizer must already be "
                    "built on a list of variables. Call `optimizer.build(trainable_variables)` "
                    "first. "
                )
            if len(grads) != len(self._trainable_variables):
                raise ValueError(
                    "When passing `grads` as a list of gradient tensors, the gradients must "
                    "match `optimizer.variables` one-to-on. Received a list of "
                    f"{len(grads)} gradients, but the optimizer is tracking "
                    f"{len(self._trainable_variables)} trainable variables."
                )
            variables = self._trainable_variables
        else:
            variables = list(trainable_variables)
            push = getattr(variables[0], "push_gradients", None) if variables else None
            if push is not None:  # they lie on parameter servers, which update them
                push(self, grads, variables)
                return
            if not self.built:
                self.build(variables)
                self.built = True
            for v in variables:
                if id(v) not in self._indices:
                    raise ValueError(
                        f"Unknown variable: {v}. This optimizer can only be called for the "
                        "variables it was originally built with. When working with a new set "
                        "of variables, you should recreate a new optimizer instance."
                    )
        grads, variables = _with_gradients(grads, variables)
        if current.replica is None:
            self._apply_summed(grads, variables)
            return
        if summed_by_replicas():
            grads = sum_over_replicas(grads, variables)
        with same_on_all_replicas():
            grads, own = self._own_part(grads, variables)
            self._apply_summed(grads, own)
            share_updates(variables, own, self._trainable_variables)

    def _own_part(self, grads: list[Any], variables: list[Any]) -> tuple[list[Any], list[Any]]:
        """What this replica updates: all, unless the slots are shared out."""
        if not sharded():
            return grads, variables
        if self.global_clipnorm and self.global_clipnorm > 0:
            if self.gradient_accumulation_steps:
                raise ValueError(
                    "`global_clipnorm` and `gradient_accumulation_steps` cannot be combined "
                    "with `shard_optimizer=True`: the norm is of all accumulated gradients, "
                    "which no replica holds. Leave one of them out."
                )
            grads = clip_by_global_norm(grads, self.global_clipnorm)
        return own_part(grads, variables, self._trainable_variables)

    def _apply_summed(self, grads: list[Any], variables: list[Any]) -> None:
        """Update from gradients that are those of all replicas together."""
        scale = self.loss_scale_factor
        grads = [self._prepared(g, scale) for g in grads]
        self._shared = {}
        try:
            if self.gradient_accumulation_steps:
                self._accumulate(grads, variables)
            else:
                self._update(grads, variables)
        finally:
            self._shared = None
        if self.use_ema:
            self._update_averages()
        for v in variables:
            if v.constraint is not None:
                v.assign(v.constraint(v))
        self._iterations.assign_add(1)

    def _prepared(self, grad: Any, scale: float | None) -> Any:
        """A gradient as the updates take it: dense, unless rows alone will do.

        Rows named twice add up first, as in tf.keras 2: a sparse gradient means the same as
        the dense one.  (Keras 3 squares and clips such rows apart.)
        """
        if isinstance(grad, hr.IndexedSlices):
            plain = scale is None and not self.gradient_accumulation_steps
            clips = (self.clipnorm, self.clipvalue, self.global_clipnorm)
            if self._sparse_rows and plain and not any(clips):
                return grad
        grad = hr.convert_to_tensor(grad)
        return grad if scale is None else grad / scale

    def _update(self, grads: list[Any], variables: list[Any]) -> None:
        grads = self._clip_gradients(grads)
        self._apply_weight_decay(variables)
        rate = self.learning_rate
        rate = hr.convert_to_tensor(rate) if isinstance(rate, hr.Variable) else rate
        self._update_all(grads, variables, rate)

    def _update_all(self, grads: list[Any], variables: list[Any], learning_rate: Any) -> None:
        for grad, variable in zip(grads, variables, strict=True):
            self.update_step(grad, variable, learning_rate)

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """``make()``, computed once per step for all variables."""
        if self._shared is None:
            return make()
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def _rate(self, learning_rate: Any, dtype: Any) -> Any:
        """The learning rate in `dtype`, cast once per step."""
        return self._once(("rate", dtype), lambda: hr.cast(learning_rate, dtype))

    def _accumulate(self, grads: list[Any], variables: list[Any]) -> None:
        """Add to the accumulators; every n-th step, update from their mean and clear them."""
        steps = self.gradient_accumulation_steps
        sums = [self._accumulators[self._get_variable_index(v)] for v in variables]
        now = hr.equal(
            hr.floormod(self._iterations + 1, hr.constant(steps, dtype=hr.int64)),
            hr.constant(0, dtype=hr.int64),
        )
        totals = [g + s for g, s in zip(grads, sums, strict=True)]
        if executing_eagerly():
            if bool(now):
                self._update([t / steps for t in totals], variables)
            for s, t in zip(sums, totals, strict=True):
                s.assign(hr.zeros_like(t) if bool(now) else t)
            return
        # While tracing, run the update and keep its result only where it is due.
        fixed = {id(v) for v in (self._iterations, self._learning_rate)}
        fixed |= {id(v) for v in (*self._accumulators, *self._averages)}
        # Of the slots, those of these variables: others may be another replica's.
        fixed |= self._slot_of.keys() - {
            slot for slot, v in self._slot_of.items() if any(v == id(own) for own in variables)
        }
        state = [*variables, *(v for v in self._variables if id(v) not in fixed)]
        before = [v.read_value() for v in state]
        self._update([t / steps for t in totals], variables)
        for v, old in zip(state, before, strict=True):
            v.assign(hr.where(now, v.read_value(), old))
        for s, t in zip(sums, totals, strict=True):
            s.assign(hr.where(now, hr.zeros_like(t), t))

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        if self.clipnorm and self.clipnorm > 0:
            return [clip_by_norm(g, self.clipnorm) for g in grads]
        if self.global_clipnorm and self.global_clipnorm > 0:
            return clip_by_global_norm(grads, self.global_clipnorm)
        if self.clipvalue and self.clipvalue > 0:
            limit = self.clipvalue
            return [hr.clip_by_value(g, -limit, limit) for g in grads]
        return grads

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Spare variables from weight decay, by themselves or by parts of their names.

        Raises:
            ValueError: the optimizer has been built already.
        """
        if self.built:
            raise ValueError(
                "`exclude_from_weight_decay()` can only be configured before the optimizer is "
                "built."
            )
        # Variables of servers have another identity in every process, but one name.
        self._excluded = {getattr(v, "server_name", id(v)) for v in var_list or ()}
        self._excluded_names = re.compile("|".join(sorted(var_names))) if var_names else None

    def _use_weight_decay(self, variable: Any) -> bool:
        if getattr(variable, "server_name", id(variable)) in self._excluded:
            return False
        names = self._excluded_names
        return names is None or names.search(variable.name) is None

    def _decay_of(self, variable: Any) -> float | None:
        """The weight decay of `variable`."""
        return self.weight_decay

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        for variable in variables:
            share = self._decay_of(variable)
            if share is not None and self._use_weight_decay(variable):
                rate = hr.cast(self.learning_rate, variable.dtype)
                decay = hr.cast(share, variable.dtype)
                value = variable.read_value()
                variable.assign(value - value * decay * rate)

    def _update_averages(self) -> None:
        later = hr.not_equal(self.iterations, hr.constant(0, dtype=hr.int64))
        every = self.ema_overwrite_frequency
        averages, variables = self._averages, self._trainable_variables
        if sharded():
            averages, variables = own_part(averages, variables, variables)
        for variable, average in zip(variables, averages, strict=True):
            # The first average is the weight itself.
            momentum = hr.cast(later, variable.dtype) * self.ema_momentum
            average.assign(momentum * average + (1.0 - momentum) * variable)
        if not every:
            return
        now = hr.equal(
            hr.floormod(self.iterations + 1, hr.constant(every, dtype=hr.int64)),
            hr.constant(0, dtype=hr.int64),
        )
        for variable, average in zip(variables, averages, strict=True):
            variable.assign(hr.where(now, average.read_value(), variable.read_value()))

    def finalize_variable_values(self, var_list: Any) -> None:
        """Replace the weights by their moving averages, if they are kept; after training."""
        if not self.use_ema:
            return
        var_list = list(var_list)
        take = getattr(var_list[0], "take_averages", None) if var_list else None
        if take is not None:  # they lie on parameter servers, and so do the averages
            take(self, var_list)
            return
        if len(var_list) != len(self._averages):
            raise ValueError(
                f"The length of model variables ({len(var_list)}) to override does not match "
                "the length of model variables stored in the optimizer "
                f"({len(self._averages)}). Please check if the optimizer was called on your "
                "model."
            )
        for variable, average in zip(var_list, self._averages, strict=True):
            variable.assign(average.read_value())

    def scale_loss(self, loss: Any) -> Any:
        """`loss` times `loss_scale_factor`, for the computation of gradients."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor


def _with_gradients(grads: list[Any], variables: list[Any]) -> tuple[list[Any], list[Any]]:
    """The pairs that have a gradient; warns about the others.

    Raises:
        ValueError: there is none.
    """
    if all(g is None for g in grads):
        raise ValueError("No gradients provided for any variable.")
    pairs = list(zip(grads, variables, strict=True))
    missing = [v.name.split(":")[0] for g, v in pairs if g is None]
    if missing:
        warnings.warn(
            f"Gradients do not exist for variables {missing} when minimizing the loss. If "
            "using `model.compile()`, did you forget to provide a `loss` argument?",
            stacklevel=4,
        )
        pairs = [(g, v) for g, v in pairs if g is not None]
    return [g for g, _ in pairs], [v for _, v in pairs]
