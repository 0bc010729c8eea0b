"""The losses and metrics of `compile`, matched to the model's outputs.

What the user gives (a name, an object, a list, a dictionary by output name) is resolved on the
first batch, when the outputs' structure and shapes are known: ``"accuracy"`` means another
metric for another shape of target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import api as hr, nest
from ...ops.context import current
from .. import losses, metrics
from .tracking import is_metric

__all__ = ["LossContainer", "MetricsContainer", "apply_class_weight"]


def _output_names(y_pred: Any, known: list[str] | None) -> list[str]:
    """A name per output: dictionary keys, the model's names, or ``output_0``..."""
    if isinstance(y_pred, dict):
        return sorted(y_pred)
    if not isinstance(y_pred, (list, tuple)):
        return ["output"]
    if known is not None and len(known) == len(y_pred):
        return list(known)
    return [f"output_{i}" for i in range(len(y_pred))]


def _per_output(value: Any, names: list[str], what: str, alike: bool = False) -> list[Any]:
    """`value`'s part for every output; with `alike`, one value serves all.

    Raises:
        ValueError: its keys or its length do not fit the outputs.
    """
    if isinstance(value, dict):
        unknown = sorted(set(value) - set(names))
        if unknown and not (len(names) == 1 and len(value) == 1):
            raise ValueError(
                f"In the dict argument `{what}`, key {unknown[0]!r} does not correspond to any "
                f"model output. The outputs are {names}"
            )
        if unknown:
            return list(value.values())
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) == len(names):
            return list(value)
        raise ValueError(
            f"For a model with multiple outputs, `{what}` must have one entry per output. "
            f"Received {len(value)} entries for {len(names)} outputs {names}"
        )
    return [value] * len(names) if alike or value is None else [value]


class LossContainer:
    """The compiled loss: a weighted sum of the outputs' losses.

    Args:
        loss: a loss, name or function, or a list or dictionary of them.
        loss_weights: weights, in the same structure.
        output_names: names of a functional model's outputs.
    """

    def __init__(self, loss: Any, loss_weights: Any = None, output_names: Any = None):
        self._loss = loss
        self._weights = loss_weights
        self._known_names = output_names
        self.built = False
        self.metrics: list[Any] = []

    def build(self, y_pred: Any) -> None:
        """Resolve the losses for outputs of this structure."""
        self.names = _output_names(y_pred, self._known_names)
        single = len(self.names) == 1 and not isinstance(self._loss, (list, tuple, dict))
        given = (
            [self._loss] if single else _per_output(self._loss, self.names, "loss", alike=True)
        )
        self.functions = [_as_loss(g) for g in given]
        self.weights = (
            [None] * len(self.names)
            if self._weights is None
            else _per_output(self._weights, self.names, "loss_weights", alike=True)
        )
        if len(self.names) > 1:
            self.metrics = [
                metrics.Mean(name=f"{name}_loss") if f is not None else None
                for name, f in zip(self.names, self.functions, strict=True)
            ]
        self.built = True

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The total loss, a scalar; None if there is no loss at all."""
        if not self.built:
            self.build(y_pred)
        names = self.names
        preds = _aligned(y_pred, names, "y_pred")
        trues = _aligned(y_true, names, "y")
        nested = isinstance(sample_weight, (dict, list, tuple))
        weights = (
            _aligned(sample_weight, names, "sample_weight")
            if nested
            else ([sample_weight] * len(names))
        )
        total = None
        for i, function in enumerate(self.functions):
            if function is None:
                continue
            try:
                value = hr.cast(function(trues[i], preds[i], weights[i]), "float32")
            except Exception as error:
                error.add_note(
                    f"while computing the loss {getattr(function, 'name', function)!r} "
                    "of output "
                    f"{names[i]!r}: y_true {_described(trues[i])}, y_pred "
                    f"{_described(preds[i])}"
                )
                raise
            if self.metrics:
                batch = hr.cast(hr.shape(nest.flatten(preds[i])[0])[0], "float32")
                mean = value
                if current.replica is not None:  # the loss is a part of the global batch's
                    mean = hr.divide_no_nan(value, current.replica.batch_share(batch))
                self.metrics[i].update_state(mean, sample_weight=batch)
            weight = self.weights[i]
            if weight is not None:
                value = value * float(weight)
            total = value if total is None else total + value
        return total


def _described(value: Any) -> str:
    dtype = getattr(getattr(value, "dtype", None), "name", type(value).__name__)
    return f"(shape={getattr(value, 'shape', None)}, dtype={dtype})"


def _as_loss(given: Any) -> Callable[..., Any] | None:
    if given is None:
        return None
    found = losses.get(given)
    if isinstance(found, losses.Loss):
        return found
    return losses.LossFunctionWrapper(found, name=getattr(found, "__name__", None))


def _aligned(values: Any, names: list[str], what: str) -> list[Any]:
    """`values` as a list in the order of the outputs' names."""
    if values is None:
        return [None] * len(names)
    if isinstance(values, dict):
        missing = [name for name in names if name not in values]
        if missing and len(names) == 1 and len(values) == 1:
            return list(values.values())
        if missing:
            raise ValueError(
                f"`{what}` has no entry for output {missing[0]!r}: it has the keys "
                f"{sorted(values)}, the outputs are {names}"
            )
        return [values[name] for name in names]
    if isinstance(values, (list, tuple)):
        if len(values) == len(names):
            return list(values)
        raise ValueError(
            f"`{what}` has {len(values)} entries, but the model has {len(names)} outputs "
            f"{names}"
        )
    if len(names) == 1:
        return [values]
    raise ValueError(
        f"`{what}` must be a list or dict with one entry per output {names}, got a "
        "single tensor"
    )


class MetricsContainer:
    """The compiled metrics of all outputs.

    Args:
        metrics: metrics, names or functions: a list for one output, a list of lists or a
            dictionary by output name for several.
        weighted_metrics: the same, for metrics that take sample weights into account.
        output_names: names of a functional model's outputs.
    """

    def __init__(self, metrics: Any, weighted_metrics: Any = None, output_names: Any = None):
        self._metrics = metrics
        self._weighted = weighted_metrics
        self._known_names = output_names
        self.built = False
        self.entries: list[tuple[int, str, Any, bool]] = []

    @property
    def metrics(self) -> list[Any]:
        """The metric objects, in order."""
        if not self.built:
            return [m for m in nest.flatten([self._metrics, self._weighted]) if is_metric(m)]
        return [metric for _, _, metric, _ in self.entries]

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Resolve the metrics for targets and outputs like these."""
        self.names = _output_names(y_pred, self._known_names)
        preds, trues = _aligned(y_pred, self.names, "y_pred"), _aligned(y_true, self.names, "y")
        for given, weighted in ((self._metrics, False), (self._weighted, True)):
            per_output = self._listed(given, "weighted_metrics" if weighted else "metrics")
            for i, wanted in enumerate(per_output):
                for one in wanted:
                    metric = _as_metric(one, trues[i], preds[i])
                    if metric is None:
                        continue
                    name = metric.name
                    if len(self.names) > 1:
                        name = f"{self.names[i]}_{name}"
                    if any(name == taken for _, taken, _, _ in self.entries):
                        name = f"weighted_{name}" if weighted else f"{name}_{len(self.entries)}"
                    self.entries.append((i, name, metric, weighted))
        self.built = True

    def _listed(self, given: Any, what: str) -> list[list[Any]]:
        count = len(self.names)
        if given is None:
            return [[] for _ in range(count)]
        if isinstance(given, dict):
            found = _per_output(given, self.names, what)
        elif not isinstance(given, (list, tuple)):
            raise ValueError(
                f"Expected `{what}` argument to be a list, tuple, or dict. Received instead: "
                f"{what}={given} of type {type(given)}"
            )
        elif count == 1:
            found = [given[0] if given and isinstance(given[0], (list, tuple)) else given]
        elif len(given) == count and all(
            isinstance(g, (list, tuple)) or g is None for g in given
        ):
            found = list(given)
        elif any(isinstance(g, (list, tuple)) for g in given):
            raise ValueError(
                f"`{what}` must have one entry per output. Received {len(given)} entries for "
                f"{count} outputs {self.names}"
            )
        elif len(given) == count:
            found = [[g] for g in given]
        else:
            raise ValueError(
                f"For a model with multiple outputs, `{what}` must be a list with one "
                "entry per "
                f"output or a dict by output name. Received {given} for outputs {self.names}"
            )
        return [
            [] if f is None else list(f) if isinstance(f, (list, tuple)) else [f] for f in found
        ]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account."""
        if not self.built:
            self.build(y_true, y_pred)
        if not self.entries:
            return
        preds, trues = _aligned(y_pred, self.names, "y_pred"), _aligned(y_true, self.names, "y")
        nested = isinstance(sample_weight, (dict, list, tuple))
        weights = (
            _aligned(sample_weight, self.names, "sample_weight")
            if nested
            else ([sample_weight] * len(self.names))
        )
        for i, _, metric, weighted in self.entries:
            if weighted:
                metric.update_state(trues[i], preds[i], sample_weight=weights[i])
            else:
                metric.update_state(trues[i], preds[i])

    def results(self) -> dict[str, Any]:
        """The metrics' values by name."""
        if not self.built:
            return {}
        found: dict[str, Any] = {}
        for _, name, metric, _ in self.entries:
            value = metric.result()
            found.update(value if isinstance(value, dict) else {name: value})
        return found


def _as_metric(given: Any, y_true: Any, y_pred: Any) -> Any:
    """The metric that `given` means for these targets and outputs."""
    if given is None or is_metric(given):
        return given
    if given in ("accuracy", "acc", "crossentropy", "ce"):
        return _by_shape(given, y_true, y_pred)
    found = metrics.get(given)
    if is_metric(found):
        if isinstance(given, str):
            found.name = given  # logs show the name that the user wrote
        return found
    name = given if isinstance(given, str) else getattr(found, "__name__", "metric")
    return metrics.MeanMetricWrapper(found, name=name)


def _by_shape(name: str, y_true: Any, y_pred: Any) -> Any:
    pred, true = tuple(y_pred.shape), tuple(y_true.shape)
    if pred and pred[-1] == 1:
        kind = "Binary"
    elif len(true) < len(pred) or (true and true[-1] == 1):
        kind = "SparseCategorical"
    else:
        kind = "Categorical"
    suffix = "Accuracy" if name in ("accuracy", "acc") else "Crossentropy"
    return getattr(metrics, f"{kind}{suffix}")(name=name)


def apply_class_weight(y: Any, class_weight: dict[int, float]) -> Any:
    """The sample weights, an array, that `class_weight` means for the targets `y`."""
    import numpy as np

    if isinstance(y, (dict, list, tuple)):
        raise ValueError("`class_weight` is only supported for Models with a single output.")
    labels = np.asarray(y)
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] != 1 else labels[..., 0]
    labels = np.round(labels).astype("int64")
    weights = np.ones(labels.shape, "float32")
    for label, weight in class_weight.items():
        weights[labels == int(label)] = weight
    return weights
