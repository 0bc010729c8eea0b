"""Names of the optimizers: `get`, `serialize`, `deserialize`."""

from __future__ import annotations

from typing import Any

from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from ..lookup import unknown_name
from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .adamax import Adamax
from .ftrl import Ftrl
from .lamb import Lamb
from .lion import Lion
from .loss_scale import LossScaleOptimizer
from .multi_optimizer import MultiOptimizer, OptimizerMap
from .muon import Muon
from .nadam import Nadam
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .schedule_free import ScheduleFreeAdamW
from .sgd import SGD

__all__ = ["deserialize", "get", "serialize"]

_CLASSES = (
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, LossScaleOptimizer,
    MultiOptimizer, Muon, Nadam, OptimizerMap, RMSprop, SGD, ScheduleFreeAdamW,
)  # fmt: skip
_BY_NAME = {cls.__name__.lower(): cls for cls in _CLASSES}


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """The config dictionary that `deserialize` turns back into the optimizer."""
    return serialize_keras_object(optimizer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The optimizer that `config` describes; class names are taken in any case."""
    config = {"class_name": config, "config": {}} if isinstance(config, str) else dict(config)
    name = config["class_name"]
    if name.lower() in _BY_NAME:
        config["class_name"] = name.lower()
    return deserialize_keras_object(
        config, module_objects=_BY_NAME, custom_objects=custom_objects
    )


def get(identifier: Any) -> Any:
    """The optimizer meant by a name, a config, or itself; None for None.

    Raises:
        ValueError: it is none of these.
    """
    if identifier is None:
        return None
    found = identifier
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        try:
            found = deserialize(identifier)
        except ValueError:
            raise ValueError(unknown_name("optimizer", identifier, _BY_NAME)) from None
    if isinstance(found, Optimizer):
        return found
    raise ValueError(f"Could not interpret optimizer identifier: {identifier}")
