"""ResNet (He et al. 2015, https://arxiv.org/abs/1512.03385): 50, 101 and 152 layers."""

from __future__ import annotations

from typing import Any

from .. import layers
from . import imagenet_utils
from .imagenet_utils import channel_axis, decode_predictions, model_of

__all__ = ["ResNet50", "ResNet101", "ResNet152", "decode_predictions", "preprocess_input"]

_WIDTHS = (64, 128, 256, 512)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as blue, green, red, less the mean."""
    return imagenet_utils.preprocess_input(x, data_format, mode="caffe")


def _normalised(x: Any, name: str) -> Any:
    return layers.BatchNormalization(axis=channel_axis(), epsilon=1.001e-5, name=name)(x)


def _block(x: Any, filters: int, stride: int, projected: bool, name: str) -> Any:
    """Three convolutions beside a shortcut."""
    shortcut = x
    if projected:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = _normalised(shortcut, f"{name}_0_bn")
    x = layers.Conv2D(filters, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = layers.Activation("relu", name=f"{name}_1_relu")(_normalised(x, f"{name}_1_bn"))
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = layers.Activation("relu", name=f"{name}_2_relu")(_normalised(x, f"{name}_2_bn"))
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = _normalised(x, f"{name}_3_bn")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _resnet(
    depths: tuple[int, ...], classes: int, classifier_activation: Any, **arguments: Any
) -> Any:
    def body(x: Any) -> Any:
        x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)
        x = layers.Activation("relu", name="conv1_relu")(_normalised(x, "conv1_bn"))
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
        for stage, (filters, depth) in enumerate(zip(_WIDTHS, depths, strict=True), 2):
            for i in range(depth):
                stride = 2 if i == 0 and stage > 2 else 1
                x = _block(x, filters, stride, i == 0, f"conv{stage}_block{i + 1}")
        return x

    def top(x: Any) -> Any:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        dense = layers.Dense(classes, activation=classifier_activation, name="predictions")
        return dense(x)

    return model_of(body, default_size=224, top=top, **arguments)


def ResNet50(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet50",
) -> Any:
    """ResNet of 50 layers.

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
    return _resnet(
        (3, 4, 6, 3), classes, classifier_activation, include_top=include_top, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, name=name,
    )  # fmt: skip


def ResNet101(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet101",
) -> Any:
    """ResNet of 101 layers; see `ResNet50`."""
    return _resnet(
        (3, 4, 23, 3), classes, classifier_activation, include_top=include_top,
        weights=weights, input_tensor=input_tensor, input_shape=input_shape, pooling=pooling,
        name=name,
    )  # fmt: skip


def ResNet152(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet152",
) -> Any:
    """ResNet of 152 layers; see `ResNet50`."""
    return _resnet(
        (3, 8, 36, 3), classes, classifier_activation, include_top=include_top,
        weights=weights, input_tensor=input_tensor, input_shape=input_shape, pooling=pooling,
        name=name,
    )  # fmt: skip
