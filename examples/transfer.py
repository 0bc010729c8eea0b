"""Transfer: a network that can read digits learns quickly which of two is greater.

    python examples/transfer.py [--out FOLDER]

A network learns ten digits and is saved as a `.keras` file, which Keras 3 could read, too.
Loaded again and frozen, it looks at two pictures at once; a new layer learns from a hundred
pairs which digit is greater.  Then all of it is tuned, slowly.  The baseline is the same
network from scratch: a hundred pairs don't teach it to read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import headrace as hr

PAIRS = 100


def reader() -> hr.keras.Model:
    """Pictures [8, 8, 1] to the odds of ten digits."""
    layers = hr.keras.layers
    return hr.keras.Sequential(
        [
            hr.keras.Input((8, 8, 1)),
            layers.Conv2D(24, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ],
        name="reader",
    )


def comparer(base: hr.keras.Model) -> hr.keras.Model:
    """Two pictures to the probability that the left digit is greater; `base` sees both."""
    left, right = (
        hr.keras.Input((8, 8, 1), name="left"),
        hr.keras.Input((8, 8, 1), name="right"),
    )
    # training=False: normalisation goes on with the statistics that it has.
    score = hr.keras.layers.Dense(1, name="score")
    difference = score(base(left, training=False)) - score(base(right, training=False))
    return hr.keras.Model([left, right], hr.keras.layers.Activation("sigmoid")(difference))


def compiled(model: hr.keras.Model, rate: float, loss: str) -> hr.keras.Model:
    """`model`, compiled; needed again whenever what is frozen changes."""
    model.compile(hr.keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def main(out: Path) -> None:
    """Learns to read, then to compare."""
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)
    digits = load_digits()
    images, labels = (digits.images / 16.0).astype(np.float32)[..., None], digits.target
    path = out / "reader.keras"
    model = compiled(reader(), 2e-3, "sparse_categorical_crossentropy")
    model.fit(images[:1200], labels[:1200], epochs=12, verbose=2)
    model.save(path)

    def pairs(
        first: int, last: int, count: int, seed: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Pairs of different digits from these pictures, and whether the left is greater."""
        left, right = np.random.default_rng(seed).integers(first, last, (2, 2 * count))
        kept = np.flatnonzero(labels[left] != labels[right])[:count]
        left, right = left[kept], right[kept]
        return [images[left], images[right]], (labels[left] > labels[right]).astype(np.float32)

    x, y = pairs(1200, 1400, PAIRS, seed=5)
    test_x, test_y = pairs(1400, len(labels), 1000, seed=3)

    def learn(model: hr.keras.Model, rate: float, epochs: int) -> float:
        compiled(model, rate, "binary_crossentropy")
        model.fit(x, y, batch_size=10, epochs=epochs, verbose=0)
        return model.evaluate(test_x, test_y, verbose=0)[1]

    base = hr.keras.models.load_model(path)
    base.trainable = False
    model = comparer(base)
    model.summary()
    frozen = learn(model, 0.1, 30)
    base.trainable = True
    tuned = learn(model, 1e-4, 20)

    scratch = learn(comparer(reader()), 2e-3, 50)
    guess = max(test_y.mean(), 1 - test_y.mean())
    print(
        f"accuracy: always the same {guess:.3f}, from scratch {scratch:.3f}, "
        f"frozen base {frozen:.3f}, tuned {tuned:.3f}"
    )
    if frozen < scratch + 0.03 or tuned < 0.85:
        raise SystemExit("what was learned before must help")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/transfer"))
    main(parser.parse_args().out)
