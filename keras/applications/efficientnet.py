"""EfficientNet (Tan and Le 2019, https://arxiv.org/abs/1905.11946): B0 to B7."""

from __future__ import annotations

import math
from typing import Any

from .. import initializers, layers
from .imagenet_utils import channel_axis, decode_predictions, model_of, padded_for_stride

__all__ = [
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "decode_predictions",
    "preprocess_input",
]

# Window, repeats, filters before and after, widening, stride (the paper's table 1).
_STAGES = (
    (3, 1, 32, 16, 1, 1),
    (3, 2, 16, 24, 6, 2),
    (5, 2, 24, 40, 6, 2),
    (3, 3, 40, 80, 6, 2),
    (5, 3, 80, 112, 6, 1),
    (5, 4, 112, 192, 6, 2),
    (3, 1, 192, 320, 6, 1),
)
# Width, depth, size of images, dropout.
_SCALES = (
    (1.0, 1.0, 224, 0.2),
    (1.0, 1.1, 240, 0.2),
    (1.1, 1.2, 260, 0.3),
    (1.2, 1.4, 300, 0.3),
    (1.4, 1.8, 380, 0.4),
    (1.6, 2.2, 456, 0.4),
    (1.8, 2.6, 528, 0.5),
    (2.0, 3.1, 600, 0.5),
)
_DROP_CONNECT, _SQUEEZE, _DIVISOR = 0.2, 0.25, 8


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """`x` itself: the model scales pixels in [0, 255]."""
    return x


def _kernels() -> Any:
    return initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")


def _normalised(x: Any, name: str) -> Any:
    return layers.BatchNormalization(axis=channel_axis(), name=name)(x)


def _convolved(x: Any, filters: int, name: str, **more: Any) -> Any:
    conv = layers.Conv2D(
        filters, 1, padding="same", kernel_initializer=_kernels(), name=name, **more
    )
    return conv(x)


def _block(inputs: Any, drop: float, name: str, stage: tuple[int, int, int, int, int]) -> Any:
    """Channels widened, convolved one by one, weighted by what is in them, narrowed again."""
    kernel_size, before, after, widening, stride = stage
    filters, x = before * widening, inputs
    if widening != 1:
        x = _convolved(x, filters, f"{name}expand_conv", use_bias=False)
        x = _normalised(x, f"{name}expand_bn")
        x = layers.Activation("swish", name=f"{name}expand_activation")(x)
    if stride == 2:
        x = layers.ZeroPadding2D(padded_for_stride(x, kernel_size), name=f"{name}dwconv_pad")(x)
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides=stride,
        padding="valid" if stride == 2 else "same",
        use_bias=False,
        depthwise_initializer=_kernels(),
        name=f"{name}dwconv",
    )(x)
    x = layers.Activation("swish", name=f"{name}activation")(_normalised(x, f"{name}bn"))
    weights = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    shape = (filters, 1, 1) if channel_axis() == 1 else (1, 1, filters)
    weights = layers.Reshape(shape, name=f"{name}se_reshape")(weights)
    narrow = max(1, int(before * _SQUEEZE))
    weights = _convolved(weights, narrow, f"{name}se_reduce", activation="swish")
    weights = _convolved(weights, filters, f"{name}se_expand", activation="sigmoid")
    x = layers.Multiply(name=f"{name}se_excite")([x, weights])
    x = _convolved(x, after, f"{name}project_conv", use_bias=False)
    x = _normalised(x, f"{name}project_bn")
    if stride == 1 and before == after:
        if drop > 0:
            x = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
        x = layers.Add(name=f"{name}add")([x, inputs])
    return x


def _rounded(filters: float) -> int:
    """The nearest multiple of 8, not less than nine tenths."""
    found = max(_DIVISOR, int(filters + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return found + _DIVISOR if found < 0.9 * filters else found


def _efficientnet(
    scale: int,
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Any:
    width, depth, size, dropout = _SCALES[scale]
    repeats = [math.ceil(depth * stage[1]) for stage in _STAGES]

    def body(x: Any) -> Any:
        x = layers.Rescaling(1.0 / 255.0)(x)
        x = layers.Normalization(axis=channel_axis())(x)
        x = layers.ZeroPadding2D(padded_for_stride(x, 3), name="stem_conv_pad")(x)
        stem = layers.Conv2D(
            _rounded(32 * width), 3, strides=2, padding="valid", use_bias=False,
            kernel_initializer=_kernels(), name="stem_conv",
        )  # fmt: skip
        x = layers.Activation("swish", name="stem_activation")(_normalised(stem(x), "stem_bn"))
        done = 0
        for i, ((kernel, _, before, after, widening, stride), count) in enumerate(
            zip(_STAGES, repeats, strict=True), 1
        ):
            before, after = _rounded(before * width), _rounded(after * width)
            for j in range(count):
                drop = _DROP_CONNECT * done / sum(repeats)
                one = (kernel, before, after, widening, stride)
                x = _block(x, drop, f"block{i}{chr(ord('a') + j)}_", one)
                before, stride = after, 1
                done += 1
        x = _convolved(x, _rounded(1280 * width), "top_conv", use_bias=False)
        return layers.Activation("swish", name="top_activation")(_normalised(x, "top_bn"))

    def top(x: Any) -> Any:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(dropout, name="top_dropout")(x)
        dense = layers.Dense(
            classes,
            activation=classifier_activation,
            kernel_initializer=initializers.VarianceScaling(1.0 / 3.0, "fan_out", "uniform"),
            name="predictions",
        )
        return dense(x)

    return model_of(
        body, default_size=size, top=top, name=name or f"efficientnetb{scale}",
        include_top=include_top, weights=weights, input_tensor=input_tensor,
        input_shape=input_shape, pooling=pooling,
    )  # fmt: skip


def EfficientNetB0(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb0",
) -> Any:
    """EfficientNet B0; pixels in [0, 255].

    Args:
        include_top: whether the classifier is on top.
        weights: None, or a file of weights.
        input_tensor: placeholder to start from.
        input_shape: of an image, at least 32 x 32.
        pooling: ``"avg"``, ``"max"`` or None, without the classifier.
        classes: of the classifier.
        classifier_activation: of the classifier.
        name: of the model.
    """
    return _efficientnet(
        0, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip


def EfficientNetB1(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb1",
) -> Any:
    """EfficientNet B1; see `EfficientNetB0`."""
    return _efficientnet(
        1, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip


def EfficientNetB2(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb2",
) -> Any:
    """EfficientNet B2; see `EfficientNetB0`."""
    return _efficientnet(
        2, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip


def EfficientNetB3(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb3",
) -> Any:
    """EfficientNet B3; see `EfficientNetB0`."""
    return _efficientnet(
        3, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip


def EfficientNetB4(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb4",
) -> Any:
    """EfficientNet B4; see `EfficientNetB0`."""
    return _efficientnet(
        4, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip


def EfficientNetB5(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb5",
) -> Any:
    """EfficientNet B5; see `EfficientNetB0`."""
    return _efficientnet(
        5, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip


def EfficientNetB6(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb6",
) -> Any:
    """EfficientNet B6; see `EfficientNetB0`."""
    return _efficientnet(
        6, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip


def EfficientNetB7(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb7",
) -> Any:
    """EfficientNet B7; see `EfficientNetB0`."""
    return _efficientnet(
        7, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
