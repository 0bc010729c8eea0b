"""VGG of 19 layers."""

from __future__ import annotations

from typing import Any

from . import imagenet_utils
from .imagenet_utils import decode_predictions
from .vgg import vgg

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as blue, green, red, less the mean."""
    return imagenet_utils.preprocess_input(x, data_format, mode="caffe")


def VGG19(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "vgg19",
) -> Any:
    """VGG of 19 layers.

    Args:
        include_top: whether the classifier is on top.
        weights: None, or a file of weights.
        input_tensor: placeholder to start from.
        input_shape: of an image, at least 32 x 32; 224 x 224 x 3 with the classifier.
        pooling: ``"avg"``, ``"max"`` or None, without the classifier.
        classes: of the classifier.
        classifier_activation: of the classifier.
        name: of the model.
    """
    return vgg(
        (2, 2, 4, 4, 4), classes, classifier_activation, include_top=include_top,
        weights=weights, input_tensor=input_tensor, input_shape=input_shape, pooling=pooling,
        name=name,
    )  # fmt: skip
