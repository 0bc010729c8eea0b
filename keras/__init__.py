"""The Keras interface: `hr.keras`.

Layers, models, losses, metrics, optimizers, callbacks, saving: names and behaviour of tf.keras
2 and Keras 3 on Headrace's arrays, with one traced and compiled step per kind of batch.
"""

from ..ops import api as hr
from . import (
    activations,
    applications,
    backend,
    callbacks,
    config,
    constraints,
    dtype_policies,
    initializers,
    layers,
    losses,
    metrics,
    mixed_precision,
    models,
    ops,
    optimizers,
    preprocessing,
    random,
    regularizers,
    saving,
    tree,
    utils,
)
from .callbacks.callback import Callback
from .dtype_policies import DTypePolicy, FloatDTypePolicy
from .engine.input_layer import Input
from .engine.input_spec import InputSpec
from .engine.keras_tensor import KerasTensor
from .engine.layer import Layer
from .engine.operation import Operation
from .initializers.initializer import Initializer
from .losses.loss import Loss
from .metrics.metric import Metric
from .models import Functional, Model, Sequential
from .optimizers.optimizer import Optimizer
from .regularizers.regularizer import Regularizer

name_scope = hr.name_scope
device = hr.device
remat = hr.recompute_grad
Variable = hr.Variable


def version() -> str:
    """The version of Keras whose interface and files these are."""
    return "3.15.1"


__all__ = [
    "Callback",
    "DTypePolicy",
    "FloatDTypePolicy",
    "Functional",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Operation",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "Variable",
    "activations",
    "applications",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "device",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "name_scope",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "remat",
    "saving",
    "tree",
    "utils",
    "version",
]
