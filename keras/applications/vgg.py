"""VGG (Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556): what both share."""

from __future__ import annotations

from typing import Any

from .. import layers
from .imagenet_utils import model_of

__all__ = ["vgg"]

_WIDTHS = (64, 128, 256, 512, 512)


def vgg(depths: tuple[int, ...], classes: int, classifier_activation: Any, **more: Any) -> Any:
    """Blocks of as many convolutions as `depths` says; the arguments of `VGG16`."""

    def body(x: Any) -> Any:
        for block, (filters, depth) in enumerate(zip(_WIDTHS, depths, strict=True), 1):
            for i in range(depth):
                conv = layers.Conv2D(
                    filters,
                    3,
                    activation="relu",
                    padding="same",
                    name=f"block{block}_conv{i + 1}",
                )
                x = conv(x)
            x = layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
        return x

    def top(x: Any) -> Any:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(4096, activation="relu", name="fc1")(x)
        x = layers.Dense(4096, activation="relu", name="fc2")(x)
        dense = layers.Dense(classes, activation=classifier_activation, name="predictions")
        return dense(x)

    return model_of(body, default_size=224, top=top, pool_names=(None, None), **more)
