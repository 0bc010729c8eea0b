"""Models: `keras.models`."""

from . import callbacks as _callbacks  # noqa: F401 - before the models, which they know
from .engine.cloning import clone_model
from .engine.functional import Functional
from .engine.model import Model, model_from_config, model_from_json
from .engine.sequential import Sequential
from .saving.model_file import load_model, save_model

__all__ = [
    "Functional",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_config",
    "model_from_json",
    "save_model",
]
