"""Headrace: tf.data's interface on a columnar engine, with a Keras-style model library.

`import headrace as hr` reads like TensorFlow 2.  This module is names only: a room or an
operation is loaded when its name is first used, so importing the package costs next to
nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> module of the package.  Every other public name is one of `ops.api`.
_MODULES = {
    "audio": ".face.audio",
    "autodiff": ".face.autodiff",
    "autograph": ".face.autograph",
    "bitwise": ".face.bitwise",
    "config": ".face.config",
    "data": ".data",
    "debugging": ".face.debugging",
    "distribute": ".distribute",
    "dtypes": ".ops.dtypes",
    "errors": ".ops.errors",
    "feature_column": ".keras.feature_column",
    "experimental": ".face.experimental",
    "image": ".face.image",
    "io": ".io",
    "keras": ".keras",
    "linalg": ".face.linalg",
    "lookup": ".face.lookup",
    "math": ".face.math",
    "nest": ".ops.nest",
    "nn": ".face.nn",
    "random": ".face.random",
    "profiler": ".face.profiler",
    "ragged": ".ops.ragged_ops",
    "raw_ops": ".face.raw_ops",
    "sets": ".face.sets",
    "signal": ".face.signal",
    "sparse": ".ops.sparse_ops",
    "strings": ".face.strings",
    "summary": ".face.summary",
    "test": ".face.test",
    "train": ".face.train",
    "types": ".face.types",
    "version": ".face.version",
    # As in TensorFlow, these are Keras's.
    "initializers": ".keras.initializers",
    "losses": ".keras.losses",
    "metrics": ".keras.metrics",
    "optimizers": ".keras.optimizers",
}

# Public names that are no modules, and where they are defined.
_NAMES = {
    **dict.fromkeys(("make_ndarray", "make_tensor_proto"), ".io.tensor_proto"),
    **dict.fromkeys(
        (
            "get_logger",
            "get_static_value",
            "is_symbolic_tensor",
            "newaxis",
            "no_gradient",
            "timestamp",
        ),
        ".face.general",
    ),
}

# What a room offers in its name though a room above defines it.
_UPPER = {
    "data.experimental.service": ".distribute.data_service",
    "data.save.shards": ".distribute.sharded_save",
}

if TYPE_CHECKING:
    from . import data as data, distribute as distribute, io as io, keras as keras
    from .face import (
        audio as audio,
        autodiff as autodiff,
        autograph as autograph,
        bitwise as bitwise,
        config as config,
        debugging as debugging,
        experimental as experimental,
        image as image,
        linalg as linalg,
        lookup as lookup,
        math as math,
        nn as nn,
        profiler as profiler,
        random as random,
        raw_ops as raw_ops,
        sets as sets,
        signal as signal,
        strings as strings,
        summary as summary,
        test as test,
        train as train,
        types as types,
        version as version,
    )
    from .face.general import (
        get_logger as get_logger,
        get_static_value as get_static_value,
        is_symbolic_tensor as is_symbolic_tensor,
        newaxis as newaxis,
        no_gradient as no_gradient,
        timestamp as timestamp,
    )
    from .io.tensor_proto import (
        make_ndarray as make_ndarray,
        make_tensor_proto as make_tensor_proto,
    )
    from .keras import (
        initializers as initializers,
        losses as losses,
        metrics as metrics,
        optimizers as optimizers,
    )
    from .ops import (
        dtypes as dtypes,
        errors as errors,
        nest as nest,
        ragged_ops as ragged,  # noqa: F401
        sparse_ops as sparse,  # noqa: F401
    )
    from .ops.api import *  # noqa: F403


def _upper(name: str) -> Any:
    return importlib.import_module(_UPPER[name], __name__)


def _unknown(name: str) -> AttributeError:
    import difflib

    names = __dir__()
    near = difflib.get_close_matches(name, names, n=3)
    homes = [
        f"{home}.{name}"
        for home, module in _MODULES.items()
        if module.startswith(".face")
        and hasattr(importlib.import_module(module, __name__), name)
    ]
    found = [f"hr.{each}" for each in (*homes, *near)]
    remedy = (
        f" Did you mean {' or '.join(found)}?" if found else " dir(headrace) lists its names."
    )
    return AttributeError(f"headrace has no attribute {name!r}.{remedy}", name=name)


if not TYPE_CHECKING:  # a type checker would take any wrong name for a right one

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            value: Any = importlib.import_module(_MODULES[name], __name__)
        elif name in _NAMES:
            value = getattr(importlib.import_module(_NAMES[name], __name__), name)
        elif name.startswith("_"):
            raise AttributeError(f"headrace has no attribute {name!r}", name=name)
        else:
            try:
                value = getattr(importlib.import_module(".ops.api", __name__), name)
            except AttributeError:
                raise _unknown(name) from None
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    api = importlib.import_module(".ops.api", __name__)
    operations = {n for n in vars(api) if not n.startswith("_")}
    return sorted({*_MODULES, *_NAMES, "__version__"} | operations)
