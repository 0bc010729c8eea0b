"""Trainer: compiling, the steps on one batch, and the entry points of the training loops.

The loops themselves are in `training_loop.py`.  `train_step`, `test_step`, `predict_step`,
`compute_loss` and `compute_metrics` may be overridden; the loops call them once to trace them
(`step_function.py`), or for every batch with `run_eagerly`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...distribute.context import get_strategy, has_strategy
from ...distribute.parameter_server import ParameterServerStrategy
from ...ops import api as hr, nest
from ...ops.context import current as recorder
from .. import metrics as metrics_module, optimizers
from . import training_loop
from .compile_utils import LossContainer, MetricsContainer, apply_class_weight
from .data_adapter import to_tensors, unpack_x_y_sample_weight
from .replicated_step import ReplicatedStep, traces_needed
from .scheduled_step import ScheduledStep
from .serialization import deserialize_keras_object, serialize_keras_object
from .step_function import StepFunction
from .tracking import unique

__all__ = ["Trainer"]


class Trainer:
    """The training side of `Model`."""

    def __init__(self) -> None:
        self.optimizer: Any = None
        self.compiled = False
        self.stop_training = False
        self.run_eagerly = False
        self.steps_per_execution = 1
        self.loss: Any = None
        self.history: Any = None
        self._compile_config: dict[str, Any] | None = None
        self._compile_loss: LossContainer | None = None
        self._compile_metrics: MetricsContainer | None = None
        self._loss_tracker: Any = None
        self._strategy: Any = get_strategy()
        self._initial_epoch: int | None = None
        self._initial_batch: int | None = None
        self._reset_functions()

    def _reset_functions(self) -> None:
        self.train_function: Any = None
        self.test_function: Any = None
        self.predict_function: Any = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool | None = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        **kwargs: Any,
    ) -> None:
        """Configure training.

        Args:
            optimizer: an optimizer or its name.
            loss: a loss, name or function; a list or dictionary of them for several outputs.
            loss_weights: weights of the outputs' losses, in the same structure.
            metrics: metrics, names or functions, per output where there are several.
            weighted_metrics: metrics that take sample weights into account.
            run_eagerly: never trace; every step runs as plain Python.
            steps_per_execution: steps between two calls of the callbacks' batch hooks.
            jit_compile: accepted; steps are always compiled.
            auto_scale_loss: under the policy ``mixed_float16``, put a `LossScaleOptimizer`
                around the optimizer.
            **kwargs: Keras 2's further arguments, ignored.
        """
        _ignore_keras2(kwargs, "compile")
        if not isinstance(steps_per_execution, int) or steps_per_execution < 1:
            raise ValueError(
                "steps_per_execution must be a positive integer, got "
                f"steps_per_execution={steps_per_execution!r}"
            )
        if has_strategy():
            self._strategy = get_strategy()
        with self._strategy_scope():
            self._compile(optimizer, loss, loss_weights, metrics, weighted_metrics,
                          run_eagerly, steps_per_execution, auto_scale_loss)  # fmt: skip

    @property
    def distribute_strategy(self) -> Any:
        """The strategy whose scope the model was compiled (or made) in."""
        return self._strategy

    def _strategy_scope(self) -> Any:
        """The scope of the model's strategy, entered unless it is the one in force."""
        if self._strategy is get_strategy():
            return contextlib.nullcontext()
        return self._strategy.scope()

    def _replicated(self) -> bool:
        return self._strategy.num_replicas_in_sync > 1

    def _compile(
        self,
        optimizer: Any,
        loss: Any,
        loss_weights: Any,
        metrics: Any,
        weighted_metrics: Any,
        run_eagerly: bool | None,
        steps_per_execution: int,
        auto_scale_loss: bool,
    ) -> None:
        self.optimizer = optimizers.get(optimizer)
        policy = getattr(self, "dtype_policy", None)
        if auto_scale_loss and policy is not None and policy.name == "mixed_float16":
            if self.optimizer and not isinstance(self.optimizer, optimizers.LossScaleOptimizer):
                self.optimizer = optimizers.LossScaleOptimizer(
                    self.optimizer, name="loss_scale_optimizer"
                )
        self.loss = loss
        self.run_eagerly = bool(run_eagerly)
        self.steps_per_execution = steps_per_execution
        names = getattr(self, "output_names", None)
        self._compile_loss = None if loss is None else LossContainer(loss, loss_weights, names)
        self._compile_metrics = (
            None
            if metrics is None and weighted_metrics is None
            else MetricsContainer(metrics, weighted_metrics, names)
        )
        self._loss_tracker = metrics_module.Mean(name="loss")
        self._compile_config = {
            "optimizer": self.optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": False,
        }
        self.compiled = True
        self.stop_training = False
        self._reset_functions()

    def get_compile_config(self) -> dict[str, Any] | None:
        """The arguments of `compile`, JSON-ready; None before it."""
        if not self.compiled:
            return None
        return {k: serialize_keras_object(v) for k, v in (self._compile_config or {}).items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with what `get_compile_config` gave."""
        self.compile(**{k: deserialize_keras_object(v) for k, v in config.items()})

    def _assert_compiled(self, method: str) -> None:
        if not self.compiled:
            raise ValueError(
                f"You must call `compile()` before calling `{method}()` on model "
                f"'{getattr(self, 'name', '')}'."
            )

    # -- metrics --------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Any]:
        """The loss's running mean, the compiled metrics, and the layers' own."""
        found = [self._loss_tracker] if self._loss_tracker is not None else []
        if self._compile_metrics is not None:
            found.extend(self._compile_metrics.metrics)
        if self._compile_loss is not None:
            found.extend(m for m in self._compile_loss.metrics if m is not None)
        return unique([*found, *super().metrics])  # type: ignore[misc]

    @property
    def metrics_names(self) -> list[str]:
        """Names of `metrics`."""
        return [m.name for m in self.metrics]

    def reset_metrics(self) -> None:
        """Forget what the metrics have seen."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics' values by name."""
        return self._results_of(self.metrics)

    def _results_reader(self) -> Callable[[], dict[str, Any]]:
        """`get_metrics_result` for the steps of one epoch.

        After the first no metric is new: finding them walks the whole model, which takes longer
        than a small step.
        """
        if type(self).get_metrics_result is not Trainer.get_metrics_result:
            return self.get_metrics_result
        known: list[Any] = []

        def read() -> dict[str, Any]:
            if not known:
                known.extend(self.metrics)
            return self._results_of(known)

        return read

    def _results_of(self, metrics: list[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        compiled: set[int] = set()
        if self._compile_metrics is not None:
            compiled = {id(m) for m in self._compile_metrics.metrics}
        for metric in metrics:
            if id(metric) in compiled:
                continue
            value = metric.result()
            found.update(value if isinstance(value, dict) else {metric.name: value})
        if self._compile_metrics is not None:
            found.update(self._compile_metrics.results())
        return found

    # -- one batch ------------------------------------------------------------------------

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The compiled loss plus what layers added; a scalar.

        Raises:
            ValueError: there is no loss at all, or no target for the compiled one.
        """
        terms = []
        added = self.losses  # type: ignore[attr-defined]
        if self._compile_loss is not None:
            if y is None and not added:
                raise ValueError(
                    "A `loss` was passed to `compile()`, but the data has no targets: "
                    "pass `y`, "
                    "or batches of the form (x, y)."
                )
            loss = None if y is None else self._compile_loss(y, y_pred, sample_weight)
            if loss is not None:
                terms.append(loss)
        extra = [hr.cast(hr.reduce_sum(term), "float32") for term in added]
        if extra and recorder.replica is not None:  # the replicas' losses are added up
            share = recorder.replica.batch_share(_batch_rows((x, y, y_pred)))
            extra = [term * share for term in extra]
        terms.extend(extra)
        if not terms:
            if training:
                raise ValueError(
                    "No loss to compute. Provide a `loss` argument in `compile()`, or call "
                    "`self.add_loss()` in a layer."
                )
            return hr.constant(0.0)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the compiled metrics and return all metrics' values."""
        if self._compile_metrics is not None and y is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def _track_loss(self, x: Any, loss: Any) -> None:
        size = _batch_rows(x)
        if recorder.replica is not None:  # the loss is a part of the global batch's
            loss = hr.divide_no_nan(
                loss, hr.cast(recorder.replica.batch_share(size), loss.dtype)
            )
        self._loss_tracker.update_state(loss, sample_weight=size)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One update on one batch; the metrics' values.  Override it for a step of your own."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with hr.GradientTape() as tape:
            y_pred = self(x, training=True)  # type: ignore[operator]
            with _part("loss"):
                loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
            self._build_optimizer()
            scale = getattr(self.optimizer, "scale_loss", None)
            scaled = loss if scale is None else scale(loss)
        with _part("metrics"):
            self._track_loss(x, loss)
        variables = self.trainable_weights  # type: ignore[attr-defined]
        if variables:
            gradients = tape.gradient(scaled, variables)
            with _part(self.optimizer.name):
                self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        with _part("metrics"):
            return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _build_optimizer(self) -> None:
        """Create the optimizer's variables: a scale of the loss that changes is one of them,
        which a trace must not take for a number."""
        optimizer = self.optimizer
        if not getattr(optimizer, "built", True) and hasattr(optimizer, "build"):
            optimizer.build(self.trainable_weights)  # type: ignore[attr-defined]

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluation of one batch; the metrics' values."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)  # type: ignore[operator]
        loss = self.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=False
        )
        self._track_loss(x, loss)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for one batch."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)  # type: ignore[operator]

    # -- functions ------------------------------------------------------------------------

    def _step_function(self, method: str, keep_results: bool = True) -> Any:
        if method == "train_step" and isinstance(self._strategy, ParameterServerStrategy):
            return ScheduledStep(self, self._strategy)
        name = f"{method} of model {self.name!r}"  # type: ignore[attr-defined]
        step = StepFunction(getattr(self, method), name, self.run_eagerly, keep_results)
        if not self._replicated():
            return step
        more = [
            StepFunction(getattr(self, method), name, self.run_eagerly, keep_results)
            for _ in range(traces_needed(self._strategy) - 1)
        ]
        joined = method == "predict_step"
        return ReplicatedStep(self._strategy, [step, *more], joined)

    def _plain_metrics(self, step: str) -> bool:
        """Whether `step` is Keras's own, whose result is the metrics' values."""
        cls = type(self)
        return (
            getattr(cls, step) is getattr(Trainer, step)
            and cls.compute_metrics is Trainer.compute_metrics
        )

    def make_train_function(self, force: bool = False) -> Any:
        """The function that runs `train_step` on a batch."""
        if self.train_function is None or force:
            keep = not self._plain_metrics("train_step")
            self.train_function = self._step_function("train_step", keep)
            if isinstance(self.optimizer, optimizers.Optimizer):
                self.optimizer.retrace_on_change(self.train_function)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """The function that runs `test_step` on a batch."""
        if self.test_function is None or force:
            keep = not self._plain_metrics("test_step")
            self.test_function = self._step_function("test_step", keep)
        return self.test_function

    def make_predict_function(self, force: bool = False) -> Any:
        """The function that runs `predict_step` on a batch."""
        if self.predict_function is None or force:
            self.predict_function = self._step_function("predict_step")
        return self.predict_function

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "run_eagerly" and getattr(self, "train_function", None) is not None:
            self._reset_functions()

    # -- single batches -------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """One update on one batch; the loss, or ``[loss, *metrics]``, or a dictionary: of this
        batch alone, as in Keras 3."""
        self._assert_compiled("train_on_batch")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    "Arguments `sample_weight` and `class_weight` cannot be specified at "
                    "the same "
                    f"time. Received: sample_weight={sample_weight}, "
                    f"class_weight={class_weight}"
                )
            sample_weight = apply_class_weight(y, class_weight)
        with self._strategy_scope():
            batch = _batch(x, y, sample_weight)
            training_loop.symbolic_build(self, batch)
            self.reset_metrics()
            logs = self.make_train_function()(batch)
            return self._logs_of_batch(logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Evaluation of one batch; the loss, or ``[loss, *metrics]``, or a dictionary: of this
        batch alone, as in Keras 3."""
        self._assert_compiled("test_on_batch")
        with self._strategy_scope():
            batch = _batch(x, y, sample_weight)
            training_loop.symbolic_build(self, batch)
            self.reset_metrics()
            logs = self.make_test_function()(batch)
            return self._logs_of_batch(logs, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as arrays."""
        with self._strategy_scope():
            outputs = self.make_predict_function()(_batch(x, None, None))
        return nest.map_structure(training_loop.as_array, outputs)

    def _logs_of_batch(self, logs: Any, return_dict: bool) -> Any:
        logs = self._pythonify(self.get_metrics_result() if logs is None else logs)
        return logs if return_dict else self._flatten_logs(logs)

    def _flatten_logs(self, logs: dict[str, Any]) -> Any:
        """Values in the order of `metrics`; a single one by itself."""
        names = [n for n in self.metrics_names if n in logs]
        values = [logs[n] for n in (*names, *(n for n in logs if n not in names))]
        return values[0] if len(values) == 1 else values

    @staticmethod
    def _pythonify(logs: Any) -> dict[str, Any]:
        """Logs as Python numbers (arrays where they are no scalars), by sorted name."""
        found = {}
        for name in sorted(logs or {}):
            value = np.asarray(logs[name])
            found[name] = float(value) if value.ndim == 0 else value
        return found

    # -- loops ----------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        **kwargs: Any,
    ) -> Any:
        """Train for `epochs` epochs; the `History`.

        Args:
            x, y, sample_weight: arrays or nested arrays; or `x` a `Dataset`, a generator or a
                `Sequence` of ``(x, y)`` or ``(x, y, sample_weight)`` batches.
            batch_size: rows per batch of arrays; 32 by default.
            epochs: the number of the last epoch.
            verbose: 0 silent, 1 a progress bar, 2 a line per epoch, ``"auto"`` is 1.
            callbacks: callbacks, besides `History` and the progress bar.
            validation_split: share of the arrays' last rows to validate on.
            validation_data: what to validate on after each epoch.
            shuffle: whether rows (of arrays) or batches (of a `Sequence`) are shuffled.
            class_weight: a weight per class, applied to the loss.
            initial_epoch: the number of the first epoch.
            steps_per_epoch: batches per epoch; needed for endless data.
            validation_steps: batches per validation.
            validation_batch_size: rows per validation batch.
            validation_freq: validate every so many epochs, or the list of epochs (from 1).
            **kwargs: Keras 2's ``workers``, ``max_queue_size`` and ``use_multiprocessing``,
                accepted and ignored.

        Raises:
            ValueError: the model is not compiled, or the data does not fit the arguments.
        """
        _ignore_keras2(kwargs, "fit")
        self._assert_compiled("fit")
        with self._strategy_scope():
            return training_loop.fit(
                self, x, y, batch_size, epochs, verbose, callbacks, validation_split,
                validation_data, shuffle, class_weight, sample_weight, initial_epoch,
                steps_per_epoch, validation_steps, validation_batch_size, validation_freq,
            )  # fmt: skip

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Loss and metrics on the data: a number, a list, or (`return_dict`) a dictionary."""
        _ignore_keras2(kwargs, "evaluate")
        self._assert_compiled("evaluate")
        with self._strategy_scope():
            logs = training_loop.evaluate(
                self, x, y, batch_size, verbose, sample_weight, steps, callbacks
            )
        return logs if return_dict else self._flatten_logs(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The outputs for all of the data, as arrays."""
        _ignore_keras2(kwargs, "predict")
        with self._strategy_scope():
            return training_loop.predict(self, x, batch_size, verbose, steps, callbacks)


@contextlib.contextmanager
def _part(name: str) -> Iterator[None]:
    """What the block traces is in the scope `name`, where graphs are shown."""
    graph = recorder.trace
    if graph is None:
        yield
        return
    outer, graph.scope = graph.scope, name
    try:
        yield
    finally:
        graph.scope = outer


def _batch_rows(batch: Any) -> Any:
    """The number of rows of a batch, a float32 scalar."""
    size = hr.shape(next(t for t in nest.flatten(batch) if t is not None))[0]
    return hr.cast(size, "float32")


def _batch(x: Any, y: Any, sample_weight: Any) -> Any:
    parts: tuple[Any, ...] = (x,) if y is None else (x, y)
    if sample_weight is not None:
        parts = (x, y, sample_weight)
    return to_tensors(parts)


_KERAS2 = ("workers", "max_queue_size", "use_multiprocessing")
_KERAS2_COMPILE = (
    "distribute", "experimental_run_tf_function", "pss_evaluation_shards", "sample_weight_mode",
    "target_tensors",
)  # fmt: skip


def _ignore_keras2(kwargs: dict[str, Any], method: str) -> None:
    for name in _KERAS2_COMPILE if method == "compile" else _KERAS2:
        kwargs.pop(name, None)
    if kwargs:
        raise TypeError(f"{method}() got unexpected keyword arguments: {sorted(kwargs)}")
