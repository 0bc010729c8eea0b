"""What the classifiers share: input shapes, weights, tops, pixels, names of classes.

No weights are fetched: a model begins with random ones, or with those of a file that Keras or
Headrace has written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops import api as hr
from .. import layers, settings
from ..models import Functional

__all__ = ["decode_predictions", "preprocess_input"]

_CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
_TORCH_MEAN, _TORCH_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def channel_axis() -> int:
    """Where the channels are in a batch of images."""
    return 1 if settings.image_data_format() == "channels_first" else 3


def model_of(
    body: Callable[[Any], Any],
    *,
    name: str,
    default_size: int,
    include_top: bool,
    weights: Any,
    input_tensor: Any,
    input_shape: Any,
    pooling: str | None,
    top: Callable[[Any], Any],
    pool_names: tuple[str | None, str | None] = ("avg_pool", "max_pool"),
) -> Any:
    """A model of `body`, with its classifier or a pooling on top.

    Args:
        body: from the placeholder of images to the last features.
        name: of the model.
        default_size: height and width with the classifier.
        include_top: whether `top` follows.
        weights: None, or a file of weights.
        input_tensor: placeholder to start from.
        input_shape: of an image.
        pooling: ``"avg"``, ``"max"`` or None, without the classifier.
        top: the classifier.
        pool_names: names of the pooling layers.

    Raises:
        ValueError: unusable arguments.
    """
    weights_file = _file_of(weights)
    if input_tensor is None:
        image = layers.Input(shape=_shape(input_shape, default_size, include_top))
        inputs = image
    else:
        image = input_tensor
        inputs = _sources(input_tensor)
    x = body(image)
    if include_top:
        x = top(x)
    elif pooling == "avg":
        x = layers.GlobalAveragePooling2D(name=pool_names[0])(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling2D(name=pool_names[1])(x)
    elif pooling is not None:
        raise ValueError(f"pooling must be 'avg', 'max' or None. Received: pooling={pooling}")
    model = Functional(inputs, x, name=name)
    if weights_file is not None:
        model.load_weights(weights_file)
    return model


def _file_of(weights: Any) -> Any:
    if weights is None:
        return None
    if weights == "imagenet":
        raise ValueError(
            "weights='imagenet' is not fetched by Headrace. Give a file: in Keras, "
            "`model.save_weights('name.weights.h5')` writes one that `weights=` reads; "
            "weights=None starts at random."
        )
    if not os.path.exists(weights):
        raise ValueError(
            "The `weights` argument should be either `None` (random initialization) or the "
            f"path to the weights file to be loaded. Received: weights={weights}"
        )
    return weights


def _shape(given: Any, default_size: int, include_top: bool) -> tuple[int | None, ...]:
    """The shape of an image; sizes are open without a classifier.

    Raises:
        ValueError: it has not three axes, is smaller than 32, or open with a classifier.
    """
    first = settings.image_data_format() == "channels_first"
    if given is None:
        size = default_size if include_top else None
        return (3, size, size) if first else (size, size, 3)
    if len(given) != 3:
        raise ValueError(f"`input_shape` must be a tuple of three integers. Received: {given}")
    space = given[1:] if first else given[:2]
    if any(n is not None and n < 32 for n in space):
        raise ValueError(f"Input size must be at least 32x32; Received: input_shape={given}")
    if include_top and None in given:
        raise ValueError(
            "If `include_top` is True, you should specify a static `input_shape`. Received: "
            f"input_shape={given}"
        )
    return tuple(given)


def _sources(tensor: Any) -> Any:
    """The inputs that a placeholder is computed from."""
    from ..utils.sources import get_source_inputs

    found = get_source_inputs(tensor)
    return found[0] if len(found) == 1 else found


def padded_for_stride(x: Any, kernel_size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Borders with which a window of `kernel_size` and stride 2 covers `x` from its first
    pixel on."""
    axis = 2 if settings.image_data_format() == "channels_first" else 1
    half = kernel_size // 2
    sizes = x.shape[axis : axis + 2]
    even = (1, 1) if sizes[0] is None else tuple(1 - n % 2 for n in sizes)
    return (half - even[0], half), (half - even[1], half)


# -- pixels, classes --------------------------------------------------------------------------


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Pixels in [0, 255] as the models were trained on them.

    Args:
        x: images, an array or a tensor; an array of floats is changed in place.
        data_format: where the channels are.
        mode: ``caffe`` (blue, green, red, less the mean), ``tf`` (-1 to 1) or ``torch``
            (0 to 1, normalised).

    Raises:
        ValueError: an unknown `mode` or `data_format`.
    """
    if mode not in ("caffe", "tf", "torch"):
        raise ValueError(
            f"Expected mode to be one of `caffe`, `tf` or `torch`. Received: mode={mode}"
        )
    data_format = data_format or settings.image_data_format()
    if data_format not in ("channels_first", "channels_last"):
        raise ValueError(
            "Expected data_format to be one of `channels_first` or `channels_last`. Received: "
            f"data_format={data_format}"
        )
    if isinstance(x, np.ndarray):
        return _of_array(x, data_format, mode)
    if hasattr(x, "_keras_history"):
        x, dtype = x, x.dtype
    else:
        x = hr.convert_to_tensor(x)
        if not x.dtype.is_floating:
            x = hr.cast(x, settings.floatx())
        dtype = x.dtype
    if mode == "tf":
        return x / 127.5 - 1.0
    rank = len(x.shape)
    axis = rank - 3 if data_format == "channels_first" else rank - 1
    if mode == "caffe":
        key: list[Any] = [slice(None)] * rank
        key[axis] = slice(None, None, -1)
        x = x[tuple(key)]
    means = _CAFFE_MEAN if mode == "caffe" else tuple(255 * m for m in _TORCH_MEAN)
    spread = [3 if a == axis else 1 for a in range(rank)]
    x = x - np.reshape(np.array(means, str(getattr(dtype, "name", dtype))), spread)
    if mode == "torch":
        deviation = np.array([255 * d for d in _TORCH_DEVIATION])
        x = x / np.reshape(deviation.astype(str(getattr(dtype, "name", dtype))), spread)
    return x


def _of_array(x: np.ndarray, data_format: str, mode: str) -> np.ndarray:
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(settings.floatx())
    if mode == "tf":
        x /= 127.5
        x -= 1.0
        return x
    channels = np.moveaxis(x, -3 if data_format == "channels_first" else -1, -1)
    if mode == "torch":
        channels /= 255.0
        channels -= np.array(_TORCH_MEAN, x.dtype)
        channels /= np.array(_TORCH_DEVIATION, x.dtype)
        return x
    if data_format == "channels_first":
        x = np.flip(x, axis=-3)
        channels = np.moveaxis(x, -3, -1)
    else:
        x = channels = x[..., ::-1]
    channels -= np.array(_CAFFE_MEAN, x.dtype)
    return x


def decode_predictions(
    preds: Any, top: int = 5, class_index: Any = None
) -> list[list[tuple[str, str, float]]]:
    """For each row of `preds` the `top` classes as ``(id, name, probability)``.

    Args:
        preds: ``[batch, 1000]``.
        top: how many.
        class_index: path of ``imagenet_class_index.json``, which lists ``[id, name]`` by
            number; by default that in Keras's cache (``~/.keras/models``).

    Raises:
        ValueError: another shape, or there is no file of names.
    """
    preds = np.asarray(preds)
    if preds.ndim != 2 or preds.shape[1] != 1000:
        raise ValueError(
            "`decode_predictions` expects a batch of predictions (i.e. a 2D array of shape "
            f"(samples, 1000)). Received array with shape: {preds.shape}"
        )
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    path = class_index or os.path.join(home, "models", "imagenet_class_index.json")
    if not os.path.exists(path):
        raise ValueError(
            f"There is no list of class names at {path!r}. Give class_index= the path of "
            "imagenet_class_index.json."
        )
    with open(path, encoding="utf-8") as file:
        names = json.load(file)
    best = np.argsort(preds, axis=-1)[:, ::-1][:, :top]
    return [
        [(*names[str(i)], float(row[i])) for i in places]
        for row, places in zip(preds, best, strict=True)
    ]
