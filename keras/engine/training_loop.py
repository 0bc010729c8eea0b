"""The loops of `fit`, `evaluate` and `predict`.

A step must cost little beyond the compiled graph: metrics stay variables, and their values are
computed only when a callback or the progress bar asks for them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ...distribute.timeline import recorded
from ...distribute.values import select
from ...ops import nest
from ...ops.convert import convert_to_tensor as to_tensor
from ...ops.profiling import now_ns, profiling
from ...ops.string_array import StringArray
from ...ops.tensor import Tensor
from .. import settings
from ..callbacks.callback_list import CallbackList
from ..optimizers.optimizer import Optimizer
from .array_adapter import split_validation
from .data_adapter import unpack_x_y_sample_weight
from .epochs import EpochIterator, limited, make_adapter
from .keras_tensor import KerasTensor
from .replicated_step import check_variables
from .scheduled_step import ScheduledStep
from .symbolic import infer_specs, map_leaves
from .worker_data import for_workers

__all__ = ["as_array", "evaluate", "fit", "predict", "symbolic_build"]


def fit(
    model: Any,
    x: Any,
    y: Any,
    batch_size: int | None,
    epochs: int,
    verbose: Any,
    callbacks: Any,
    validation_split: float,
    validation_data: Any,
    shuffle: Any,
    class_weight: Any,
    sample_weight: Any,
    initial_epoch: int,
    steps_per_epoch: int | None,
    validation_steps: int | None,
    validation_batch_size: int | None,
    validation_freq: Any,
) -> Any:
    """See `Trainer.fit`."""
    if validation_split and validation_data is None:
        (x, y, sample_weight), validation_data = split_validation(
            (x, y, sample_weight), validation_split
        )
    strategy = model.distribute_strategy
    verbose = _verbosity(verbose, strategy)
    epochs = limited("epochs", epochs, settings.max_epochs())  # type: ignore[assignment]
    adapter = make_adapter(x, y, sample_weight, batch_size, shuffle, class_weight)
    data = EpochIterator(for_workers(adapter, strategy), steps_per_epoch)
    validation = None
    if validation_data is not None:
        validation = _validation(
            validation_data, validation_batch_size or batch_size, validation_steps, strategy
        )
    hooks = CallbackList.of(
        callbacks,
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=data.num_batches,
        model=model,
    )
    symbolic_build(model, data.peek())
    check_variables(model)
    if model._replicated() and model.built:  # before there are replicas
        model._build_optimizer()
    for each in (data, validation):
        if each is not None:
            each.feed(model)
    step = model.make_train_function()
    model.stop_training = False
    model._initial_epoch = model._initial_batch = None
    hooks.on_train_begin()
    if model._initial_batch is not None:
        data.resume(model._initial_epoch or 0, model._initial_batch)
    logs: dict[str, Any] = {}
    # A callback that restores an interrupted run sets the first one.
    for epoch in range(model._initial_epoch or initial_epoch, epochs):
        model.reset_metrics()
        hooks.on_epoch_begin(epoch)
        last = _run_epoch(
            model, step, data, hooks.on_train_batch_begin, hooks.on_train_batch_end
        )
        logs = _epoch_logs(model, last)
        if validation is not None and _validates(epoch, validation_freq):
            found = _run_evaluation(model, validation, hooks)
            logs.update({f"val_{name}": value for name, value in found.items()})
        hooks.on_epoch_end(epoch, logs)
        if stops(model):
            break
    if logs and isinstance(model.optimizer, Optimizer):
        model.optimizer.finalize_variable_values(model.trainable_weights)
    hooks.on_train_end(logs)
    model.history = hooks.history
    return hooks.history


def _run_epoch(
    model: Any, step: Any, data: EpochIterator, before: Any, after: Callable[..., None]
) -> Any:
    """All steps of one epoch; the last step's own result, if it has one.

    Raises:
        ValueError: the epoch had no batch.
    """
    last = None
    index = -1
    every = model.steps_per_execution

    results = model._results_reader()

    def logs() -> dict[str, Any]:
        # Of several workers, each may look at another time: it sees its own part.
        with model.distribute_strategy.extended.reading_own():
            return model._pythonify(results() if last is None else last)

    name = "train" if step is model.train_function else "test"
    begin = data.first
    if every == 1:
        for index, batch in enumerate(_profiled(data, name), begin):
            if before is not None:
                before(index)
            last = step(batch)
            after(index, logs)
            if stops(model):
                break
    else:
        for first, index, batches in executions(_profiled(data, name), every, begin):
            if before is not None:
                before(first)
            for batch in batches:
                last = step(batch)
            after(index, logs)
            if stops(model):
                break
    if isinstance(step, ScheduledStep):
        step.finish()
    if index < 0 and not begin:
        raise ValueError(
            "The data gave no batch in this epoch; check that it is not empty, and that a "
            "generator is not exhausted (it gives one pass only)."
        )
    return last


def _profiled(data: Iterable[Any], name: str) -> Iterator[Any]:
    """The batches; a profile under way shows steps, and in each the wait for its batch."""
    iterator = iter(data)
    while True:
        began = now_ns() if profiling.running else 0
        with recorded("input", "next batch"):
            batch = next(iterator, _END)
        if batch is _END:
            return
        if began:
            profiling.add("IteratorGetNext", began)
        yield batch
        if began and profiling.running:
            profiling.step(name, began)


_END = object()


def stops(model: Any) -> bool:
    """Whether training is to stop; all of several workers stop when one does."""
    strategy = model.distribute_strategy
    if strategy.extended.several_workers and strategy.num_replicas_in_sync > 1:
        model.stop_training = strategy.extended.any_worker(model.stop_training)
    return model.stop_training


def executions(
    data: Iterable[Any], steps: int, first: int = 0
) -> Iterator[tuple[int, int, list[Any]]]:
    """``(first step, last step, batches)`` of each execution: `steps` batches or, at the end,
    fewer; steps are numbered from `first`."""
    iterator = iter(data)
    while batches := list(itertools.islice(iterator, steps)):
        yield first, first + len(batches) - 1, batches
        first += len(batches)


def _epoch_logs(model: Any, last: Any) -> dict[str, Any]:
    """The metrics' values, or what the user's own step returned last."""
    results = model.get_metrics_result()
    if last is None or set(results) == set(last):
        return model._pythonify(results)
    return model._pythonify(last)


def _validation(
    data: Any, batch_size: int | None, steps: int | None, strategy: Any
) -> EpochIterator:
    if isinstance(data, (tuple, list)):
        if not 1 < len(data) <= 3:
            raise ValueError(
                "validation_data must be (x, y) or (x, y, sample_weight), a Dataset or a "
                f"generator of batches; got a {type(data).__name__} of length {len(data)}"
            )
        x, y, weight = unpack_x_y_sample_weight(tuple(data))
        adapter = make_adapter(x, y, weight, batch_size)
    else:
        adapter = make_adapter(data)
    return EpochIterator(for_workers(adapter, strategy), steps)


def _validates(epoch: int, frequency: Any) -> bool:
    if isinstance(frequency, (int, np.integer)):
        if frequency < 1:
            raise ValueError(
                "validation_freq must be a positive integer or a list of epochs, got "
                f"{frequency}"
            )
        return (epoch + 1) % frequency == 0
    return (epoch + 1) in frequency


def _run_evaluation(model: Any, data: EpochIterator, hooks: CallbackList) -> dict[str, Any]:
    step = model.make_test_function()
    model.reset_metrics()
    hooks.on_test_begin()
    stopped, model.stop_training = model.stop_training, False
    # Each evaluation starts at the data's beginning, also under `validation_steps`.
    data._open = None
    last = _run_epoch(model, step, data, hooks.on_test_batch_begin, hooks.on_test_batch_end)
    model.stop_training = stopped
    logs = _epoch_logs(model, last)
    hooks.on_test_end(logs)
    return logs


def evaluate(
    model: Any,
    x: Any,
    y: Any,
    batch_size: int | None,
    verbose: Any,
    sample_weight: Any,
    steps: int | None,
    callbacks: Any,
) -> dict[str, Any]:
    """See `Trainer.evaluate`; always the dictionary."""
    strategy = model.distribute_strategy
    verbose = _verbosity(verbose, strategy)
    adapter = make_adapter(x, y, sample_weight, batch_size)
    data = EpochIterator(for_workers(adapter, strategy), steps)
    hooks = CallbackList.of(
        callbacks,
        add_history=False,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=1,
        steps=data.num_batches,
        model=model,
    )
    return _run_evaluation(model, data.feed(model), hooks)


def predict(
    model: Any, x: Any, batch_size: int | None, verbose: Any, steps: int | None, callbacks: Any
) -> Any:
    """See `Trainer.predict`."""
    strategy = model.distribute_strategy
    verbose = _verbosity(verbose, strategy)
    adapter = make_adapter(x, None, None, batch_size)
    data = EpochIterator(for_workers(adapter, strategy), steps)
    hooks = CallbackList.of(
        callbacks,
        add_history=False,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=1,
        steps=data.num_batches,
        model=model,
    )
    data.feed(model)
    step = model.make_predict_function()
    hooks.on_predict_begin()
    parts: list[list[Any]] = []
    structure: Any = None
    for first, last, batches in executions(data, model.steps_per_execution):
        if hooks.on_predict_batch_begin is not None:
            hooks.on_predict_batch_begin(first)
        for batch in batches:
            outputs = step(batch)
            leaves, structure = nest.flatten_with_spec(outputs)
            parts.append([as_array(leaf) for leaf in leaves])
        if len(batches) == 1:
            found = functools.partial(dict, outputs=outputs)
        else:
            found = functools.partial(_outputs, structure, parts[-len(batches) :])
        hooks.on_predict_batch_end(last, found)
    hooks.on_predict_end()
    if not parts:
        raise ValueError("predict received no data: the input gave no batch.")
    return _joined(structure, parts)


def _joined(structure: Any, parts: list[list[Any]]) -> Any:
    """Outputs of several batches as one."""
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return nest.pack_sequence_as(structure, joined)


def _outputs(structure: Any, parts: list[list[Any]]) -> dict[str, Any]:
    """The logs of an execution of `predict`, of several batches."""
    return {"outputs": nest.map_structure(to_tensor, _joined(structure, parts))}


def as_array(leaf: Any) -> Any:
    """A result as a NumPy array, without a copy where possible."""
    value = getattr(leaf, "_value", leaf)
    return leaf.numpy() if isinstance(value, StringArray) else np.asarray(leaf)


def _verbosity(verbose: Any, strategy: Any) -> int:
    """What to show; of several workers only the chief shows anything."""
    if not strategy.extended.is_chief:
        return 0
    if verbose == "auto":
        return 1 if settings.is_interactive_logging_enabled() else 2
    return int(verbose)


def symbolic_build(model: Any, batch: Any) -> None:
    """Create what the first step would create: a subclassed model's weights, and the metrics
    that depend on the shapes of targets and outputs.

    The trace of the step then finds them, and so do callbacks and steps of the user's own.
    """
    losses, metrics = model._compile_loss, model._compile_metrics
    known = all(c is None or c.built for c in (losses, metrics))
    if model.run_eagerly or (model.built and known):
        return
    x, y, _ = unpack_x_y_sample_weight(select(batch, 0))

    def run(x: Any, y: Any) -> Any:
        y_pred = model(x, training=False)
        if not known and y is not None:
            if losses is not None and not losses.built:
                losses.build(y_pred)
            if metrics is not None and not metrics.built:
                metrics.build(y, y_pred)
        return None

    try:
        infer_specs(
            run, (map_leaves(_placeholder, x), map_leaves(_placeholder, y)), {}, "the model"
        )
    except Exception:
        # The step will raise it again if it matters: a `train_step` of the user's own may take
        # batches of another kind, and a model that cannot be traced is built by its first step.
        return


def _placeholder(leaf: Any) -> Any:
    """A placeholder like `leaf`, its batch size left open."""
    if not isinstance(leaf, Tensor):
        return leaf
    shape = tuple(leaf.shape)
    return KerasTensor((None, *shape[1:]) if shape else shape, leaf.dtype)
