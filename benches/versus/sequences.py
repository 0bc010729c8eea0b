"""Comparisons of training: recurrent layers, a Transformer block, a large embedding.

Each is `fit` over arrays in memory, with Adam, or with Adagrad for the embedding.  LSTM and GRU
are compared with torch too, whose loop is written as its manual has it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STEPS, FEATURES, UNITS, CLASSES = 28, 28, 128, 10
LENGTH, WIDTH, HEADS = 128, 256, 8
ROWS, SIZE, LOOKUPS = 1_000_000, 64, 26
BATCHES = 10

Prepare = Callable[[Any, Path], Callable[[], int]]


def recurrent(kind: str) -> Prepare:
    """A classifier of sequences [128, 28, 28] by an LSTM or GRU of 128 units."""

    def prepare(lib: Any, data: Path) -> Callable[[], int]:
        keras = lib.keras
        model = keras.Sequential(
            [
                keras.Input((STEPS, FEATURES)),
                getattr(keras.layers, kind)(UNITS),
                keras.layers.Dense(CLASSES),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(), loss)
        return _fitted(model, *_sequences(), 128)

    return prepare


def _sequences() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    count = 128 * BATCHES
    x = rng.random((count, STEPS, FEATURES), np.float32)
    return x, rng.integers(0, CLASSES, count)


def recurrent_against_torch(kind: str) -> Prepare:
    """The same; the peer is torch."""

    def prepare(lib: Any, data: Path) -> Callable[[], int]:
        return torch_loop(kind) if lib.__name__ == "tensorflow" else recurrent(kind)(lib, data)

    return prepare


def torch_loop(kind: str) -> Callable[[], int]:
    """Training by torch, eager."""
    import torch

    layer = getattr(torch.nn, kind)(FEATURES, UNITS, batch_first=True)
    dense = torch.nn.Linear(UNITS, CLASSES)
    optimizer = torch.optim.Adam([*layer.parameters(), *dense.parameters()])
    x, y = (torch.from_numpy(a) for a in _sequences())

    def run() -> int:
        for start in range(0, len(x), 128):
            optimizer.zero_grad()
            out, _ = layer(x[start : start + 128])
            loss = torch.nn.functional.cross_entropy(dense(out[:, -1]), y[start : start + 128])
            loss.backward()
            optimizer.step()
        return len(x)

    run()
    return run


def block(keras: Any) -> Any:
    """A Transformer block of width 256: 8 heads, and 1024 units with GELU."""
    layers = keras.layers
    x = keras.Input((LENGTH, WIDTH))
    seen = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x)
    h = layers.LayerNormalization()(layers.Add()([x, seen]))
    made = layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, activation="gelu")(h))
    return keras.Model(x, layers.LayerNormalization()(layers.Add()([h, made])))


def transformer(lib: Any, data: Path) -> Callable[[], int]:
    """Training of a Transformer block on [16, 128, 256]."""
    model = block(lib.keras)
    model.compile(lib.keras.optimizers.Adam(), "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16 * BATCHES, LENGTH, WIDTH)).astype(np.float32)
    return _fitted(model, x, x[::-1].copy(), 16)


def embedding(lib: Any, data: Path) -> Callable[[], int]:
    """Training of a table of 1M x 64 by 26 lookups per row, with Adagrad."""
    keras = lib.keras
    model = keras.Sequential(
        [
            keras.Input((LOOKUPS,), dtype="int64"),
            keras.layers.Embedding(ROWS, SIZE),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adagrad(0.01), loss)
    rng = np.random.default_rng(0)
    x = rng.integers(0, ROWS, (1024 * BATCHES, LOOKUPS))
    y = rng.integers(0, 2, (len(x), 1)).astype(np.float32)
    return _fitted(model, x, y, 1024)


def _fitted(model: Any, x: np.ndarray, y: np.ndarray, batch_size: int) -> Callable[[], int]:
    def run() -> int:
        model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0, shuffle=False)
        return len(x)

    model.fit(x[: 2 * batch_size], y[: 2 * batch_size], batch_size=batch_size, verbose=0)
    return run


def jobs(job: Any) -> dict[str, Any]:
    """The rows of the table, made with the class `job`."""
    found = (
        job("lstm", "`fit` of LSTM(128) on [128, 28, 28]", 1.8, "rows", recurrent("LSTM")),
        job("gru", "the same with GRU", 1.8, "rows", recurrent("GRU")),
        job("lstm-torch", "LSTM(128) on [128, 28, 28] against torch", 1.2, "rows",
            recurrent_against_torch("LSTM")),
        job("gru-torch", "the same with GRU", 1.2, "rows", recurrent_against_torch("GRU")),
        job("transformer", "`fit` of a Transformer block, width 256, 8 heads, [16, 128, 256]",
            1.4, "rows", transformer),
        job("embedding", "`fit` of an embedding of 1M x 64, 26 lookups, batch 1024, Adagrad", 6,
            "rows", embedding),
    )  # fmt: skip
    return {one.name: one for one in found}
