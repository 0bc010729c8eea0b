"""The training and eager jobs compared; `lib` is headrace or tensorflow."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pipelines
import records

ROWS = 25_600


def mlp(lib: Any) -> Any:
    """A compiled 784-512-10 perceptron."""
    keras = lib.keras
    model = keras.Sequential(
        [
            keras.Input((records.PIXELS,)),
            keras.layers.Dense(512, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def fit_arrays(lib: Any, data: Path, batch_size: int) -> Callable[[], int]:
    rng = np.random.Generator(np.random.PCG64(4))
    x = rng.random((ROWS, records.PIXELS), np.float32)
    y = rng.integers(0, 10, ROWS)
    model = mlp(lib)

    def run() -> int:
        model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)
        return ROWS

    model.fit(x[: 4 * batch_size], y[: 4 * batch_size], batch_size=batch_size, verbose=0)
    return run


def fit_files(lib: Any, data: Path) -> Callable[[], int]:
    model = mlp(lib)
    dataset = pipelines.images_as_written(lib, data, parallel=True)
    batches = ROWS // pipelines.BATCH

    def run() -> int:
        model.fit(dataset.take(batches), epochs=1, verbose=0)
        return ROWS

    model.fit(dataset.take(4), verbose=0)
    return run


def add_eager(lib: Any, data: Path) -> Callable[[], int]:
    a = lib.convert_to_tensor(np.ones((8, 8), np.float32))
    b = lib.convert_to_tensor(np.full((8, 8), 2, np.float32))
    calls = 20_000

    def run() -> int:
        add = lib.add
        for _ in range(calls):
            add(a, b)
        return calls

    return run


fit_arrays_128 = functools.partial(fit_arrays, batch_size=128)
fit_arrays_32 = functools.partial(fit_arrays, batch_size=32)
