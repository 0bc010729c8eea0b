"""Names of the losses: `get`, `serialize`, `deserialize`."""

from __future__ import annotations

from typing import Any

from ..lookup import Lookup
from . import (
    circle_loss,
    crossentropy,
    ctc_loss,
    divergence,
    focal,
    hinges,
    overlap,
    regression,
)
from .loss import Loss, LossFunctionWrapper

__all__ = ["deserialize", "get", "serialize"]

_public = [
    getattr(module, name)
    for module in (
        circle_loss, crossentropy, ctc_loss, divergence, focal, hinges, overlap, regression,
    )
    for name in module.__all__
]  # fmt: skip
# Classes first: a function's name wins over the snake-case name of its class.
_lookup = Lookup(
    "loss",
    Loss,
    [Loss, LossFunctionWrapper, *sorted(_public, key=lambda o: not isinstance(o, type))],
    {
        "bce": crossentropy.binary_crossentropy,
        "BCE": crossentropy.binary_crossentropy,
        "huber_loss": regression.huber,
        "kld": divergence.kl_divergence,
        "KLD": divergence.kl_divergence,
        "kullback_leibler_divergence": divergence.kl_divergence,
        "logcosh": regression.log_cosh,
        "mae": regression.mean_absolute_error,
        "MAE": regression.mean_absolute_error,
        "mape": regression.mean_absolute_percentage_error,
        "MAPE": regression.mean_absolute_percentage_error,
        "mse": regression.mean_squared_error,
        "MSE": regression.mean_squared_error,
        "msle": regression.mean_squared_logarithmic_error,
        "MSLE": regression.mean_squared_logarithmic_error,
    },
)


def serialize(loss: Any) -> Any:
    """The config dictionary that `deserialize` turns back into `loss`."""
    return _lookup.serialize(loss)


def deserialize(name: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The loss that `name`, a name or a config dictionary, describes."""
    return _lookup.deserialize(name, custom_objects)


def get(identifier: Any) -> Any:
    """The loss object or function meant by a name, a config, a class or a callable.

    Raises:
        ValueError: the name is unknown or the type is not one of those.
    """
    return _lookup.get(identifier)
