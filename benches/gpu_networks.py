"""The networks of `gpu_train_steps.py`, in Headrace's keras and in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["NETWORKS", "Network", "resnet", "transformer"]


class Network(NamedTuple):
    """A network and what it is trained on.

    Attributes:
        keras: makes it with ``hr.keras``.
        torch: makes it with ``torch`` and its ``nn``.
        shape: of an example, channels last.
        classes: of a label.
        batch: examples per step.
        bf16: whether both compute in bfloat16 on float32 weights.
        first: whether torch takes channels behind the batch.
        aims: at least this times torch eager, and torch.compile.
        mode: of torch.compile: "reduce-overhead" replays CUDA graphs.
        operations: of the products of a step per example; 0 where nothing is said of them.
        share: at least this part of the device's bfloat16 peak.
    """

    keras: Callable[[Any], Any]
    torch: Callable[[Any], Any]
    shape: tuple[int, ...]
    classes: int
    batch: int
    bf16: bool
    first: bool
    aims: tuple[float | None, float | None]
    mode: str = "default"
    operations: float = 0.0
    share: float | None = None


def _mlp(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((784,)), layers.Dense(512, activation="relu"),
         layers.Dense(512, activation="relu"), layers.Dense(10)]
    )  # fmt: skip


def _torch_mlp(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                         nn.Linear(512, 10))  # fmt: skip


def _cnn(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Conv2D(32, 3, activation="relu"),
         layers.MaxPooling2D(), layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(),
         layers.Flatten(), layers.Dense(10)]
    )  # fmt: skip


def _torch_cnn(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1600, 10),
    )  # fmt: skip


def _lstm(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([keras.Input((28, 28)), layers.LSTM(128), layers.Dense(10)])


def _torch_lstm(torch: Any) -> Any:
    nn = torch.nn

    class Last(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.dense = nn.LSTM(28, 128, batch_first=True), nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.dense(self.lstm(x)[0][:, -1])

    return Last()


def resnet(keras: Any, depths: tuple[int, ...] = (3, 4, 6, 3)) -> Any:
    """ResNet-50, or one of other depths."""
    layers = keras.layers

    def normed(h: Any, filters: int, size: int, strides: int = 1) -> Any:
        h = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(h)
        return layers.BatchNormalization()(h)

    inputs = keras.Input((224, 224, 3))
    h = layers.ReLU()(normed(inputs, 64, 7, 2))
    h = layers.MaxPooling2D(3, 2, padding="same")(h)
    for stage, blocks in enumerate(depths):
        filters = 64 << stage
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            inner = layers.ReLU()(normed(h, filters, 1))
            inner = layers.ReLU()(normed(inner, filters, 3, strides))
            inner = normed(inner, 4 * filters, 1)
            if not block:
                h = normed(h, 4 * filters, 1, strides)
            h = layers.ReLU()(layers.Add()([inner, h]))
    h = layers.GlobalAveragePooling2D()(h)
    return keras.Model(inputs, layers.Dense(1000, dtype="float32")(h))


def _torch_resnet50(torch: Any) -> Any:
    from torchvision.models import resnet50

    return resnet50().to(memory_format=torch.channels_last)


def transformer(keras: Any, depth: int = 12) -> Any:
    """A Transformer's encoder of `depth` layers."""
    layers = keras.layers
    h = inputs = keras.Input((512, 768))
    for _ in range(depth):
        inner = layers.LayerNormalization(epsilon=1e-5)(h)
        inner = layers.MultiHeadAttention(12, 64)(inner, inner)
        h = layers.Add()([h, inner])
        inner = layers.LayerNormalization(epsilon=1e-5)(h)
        inner = layers.Dense(768)(layers.Dense(3072, activation="gelu")(inner))
        h = layers.Add()([h, inner])
    h = layers.GlobalAveragePooling1D()(h)
    return keras.Model(inputs, layers.Dense(1000, dtype="float32")(h))


def _torch_transformer(torch: Any) -> Any:
    nn = torch.nn

    class Encoder(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(
                768, 12, 3072, 0.0, "gelu", batch_first=True, norm_first=True
            )
            self.layers = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)
            self.dense = nn.Linear(768, 1000)

        def forward(self, x: Any) -> Any:
            return self.dense(self.layers(x).mean(1))

    return Encoder()


_WIDE, _DEEP = 8192, 4


def _products(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((_WIDE,)), *[layers.Dense(_WIDE, activation="relu") for _ in range(_DEEP)],
         layers.Dense(16, dtype="float32")]
    )  # fmt: skip


def _torch_products(torch: Any) -> Any:
    nn = torch.nn
    parts = [part for _ in range(_DEEP) for part in (nn.Linear(_WIDE, _WIDE), nn.ReLU())]
    return nn.Sequential(*parts, nn.Linear(_WIDE, 16))


# Forward, and back to the weights and, but for the first layer, to the inputs.
_OPERATIONS = 2.0 * _WIDE * _WIDE * (3 * _DEEP - 1)

NETWORKS = {
    "mlp": Network(
        _mlp, _torch_mlp, (784,), 10, 128, False, False, (2.0, 1.0), "reduce-overhead"
    ),
    "cnn": Network(
        _cnn, _torch_cnn, (28, 28, 1), 10, 128, False, True, (2.0, 1.0), "reduce-overhead"
    ),
    "lstm": Network(
        _lstm, _torch_lstm, (28, 28), 10, 128, False, False, (2.0, 1.0), "reduce-overhead"
    ),
    "products": Network(
        _products, _torch_products, (_WIDE,), 16, 8192, True, False, (None, None),
        operations=_OPERATIONS, share=0.7,
    ),
    "resnet50": Network(
        resnet, _torch_resnet50, (224, 224, 3), 1000, 256, True, True, (None, 0.9)
    ),
    "transformer": Network(
        transformer, _torch_transformer, (512, 768), 1000, 32, True, False, (None, 0.9)
    ),
}  # fmt: skip
