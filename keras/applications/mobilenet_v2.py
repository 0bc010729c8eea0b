"""MobileNetV2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381)."""

from __future__ import annotations

from typing import Any

from .. import layers
from . import imagenet_utils
from .imagenet_utils import channel_axis, decode_predictions, model_of, padded_for_stride

__all__ = ["MobileNetV2", "decode_predictions", "preprocess_input"]

# Filters, stride of the first block, number of blocks.
_STAGES = ((16, 1, 1), (24, 2, 2), (32, 2, 3), (64, 2, 4), (96, 1, 3), (160, 2, 3), (320, 1, 1))


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as numbers in [-1, 1]."""
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")


def _divisible(filters: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, not less than nine tenths."""
    found = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return found + divisor if found < 0.9 * filters else found


def _normalised(x: Any, name: str) -> Any:
    axis = 1 if channel_axis() == 1 else -1
    return layers.BatchNormalization(axis=axis, epsilon=1e-3, momentum=0.999, name=name)(x)


def _block(inputs: Any, filters: int, stride: int, index: int) -> Any:
    """Channels widened, convolved one by one, and narrowed again."""
    channels = inputs.shape[channel_axis()]
    prefix = f"block_{index}_" if index else "expanded_conv_"
    x = inputs
    if index:
        x = layers.Conv2D(
            6 * channels, 1, padding="same", use_bias=False, name=f"{prefix}expand"
        )(x)
        x = layers.ReLU(6.0, name=f"{prefix}expand_relu")(_normalised(x, f"{prefix}expand_BN"))
    if stride == 2:
        x = layers.ZeroPadding2D(padded_for_stride(x, 3), name=f"{prefix}pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        use_bias=False,
        padding="same" if stride == 1 else "valid",
        name=f"{prefix}depthwise",
    )(x)
    x = _normalised(x, f"{prefix}depthwise_BN")
    x = layers.ReLU(6.0, name=f"{prefix}depthwise_relu")(x)
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(x)
    x = _normalised(x, f"{prefix}project_BN")
    if channels == filters and stride == 1:
        return layers.Add(name=f"{prefix}add")([inputs, x])
    return x


def MobileNetV2(
    input_shape: Any = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Any:
    """MobileNetV2.

    Args:
        input_shape: of an image, at least 32 x 32; 224 x 224 x 3 with the classifier.
        alpha: how wide the layers are.
        include_top: whether the classifier is on top.
        weights: None, or a file of weights.
        input_tensor: placeholder to start from.
        pooling: ``"avg"``, ``"max"`` or None, without the classifier.
        classes: of the classifier.
        classifier_activation: of the classifier.
        name: of the model; by default made of `alpha` and the size.
    """

    def body(x: Any) -> Any:
        x = layers.Conv2D(
            _divisible(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="Conv1"
        )(x)
        x = layers.ReLU(6.0, name="Conv1_relu")(_normalised(x, "bn_Conv1"))
        index = 0
        for filters, first, count in _STAGES:
            for i in range(count):
                x = _block(x, _divisible(int(filters * alpha)), first if i == 0 else 1, index)
                index += 1
        last = _divisible(1280 * alpha) if alpha > 1.0 else 1280
        x = layers.Conv2D(last, 1, use_bias=False, name="Conv_1")(x)
        return layers.ReLU(6.0, name="out_relu")(_normalised(x, "Conv_1_bn"))

    def top(x: Any) -> Any:
        x = layers.GlobalAveragePooling2D()(x)
        dense = layers.Dense(classes, activation=classifier_activation, name="predictions")
        return dense(x)

    if name is None:
        shape = input_shape or (None if input_tensor is None else input_tensor.shape[1:])
        axis = 1 if channel_axis() == 1 else 0
        rows = 224 if shape is None and include_top else None if shape is None else shape[axis]
        name = f"mobilenetv2_{alpha:0.2f}_{rows}"
    return model_of(
        body, default_size=224, top=top, name=name, include_top=include_top, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling,
        pool_names=(None, None),
    )  # fmt: skip
