"""The Keras interface: `hr.keras`.

Layers, models, losses, metrics, optimizers, callbacks, saving: names and behaviour of tf.keras
2 and Keras 3 on Headrace's arrays, with one traced and compiled step per kind of batch.
"""

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
    random,
    regularizers,
    saving,
    tree,
    utils,
)
from .callbacks.callback import Callback
from .dtype_policies import DTypePolicy
from .engine.input_layer import Input
from .engine.input_spec import InputSpec
from .engine.keras_tensor import KerasTensor
from .engine.layer import Layer
from .models import Functional, Model, Sequential

__all__ = [
    "Callback",
    "DTypePolicy",
    "Functional",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Model",
    "Sequential",
    "activations",
    "applications",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "saving",
    "tree",
    "utils",
]
