"""An autoencoder: pictures of digits through eight numbers and back.

    python examples/autoencoder.py [--out FOLDER]

The encoder squeezes 64 pixels into eight numbers, the decoder paints the digit from them.  As
both may bend where principal components are straight, the picture is closer than that of eight
components.  A digit that doesn't come back as it was is none: noise is told by its error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import headrace as hr

CODE = 8


def build_model() -> tuple[hr.keras.Model, hr.keras.Model, hr.keras.Model]:
    """The autoencoder, compiled; its encoder and its decoder, which share its weights."""
    layers = hr.keras.layers
    encoder = hr.keras.Sequential(
        [
            hr.keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(CODE),
        ],
        name="encoder",
    )
    decoder = hr.keras.Sequential(
        [
            hr.keras.Input((CODE,)),
            layers.Dense(4 * 4 * 32, activation="relu"),
            layers.Reshape((4, 4, 32)),
            layers.Conv2DTranspose(16, 3, activation="relu"),
            layers.Conv2DTranspose(1, 3, activation="sigmoid"),
        ],
        name="decoder",
    )
    image = hr.keras.Input((8, 8, 1))
    model = hr.keras.Model(image, decoder(encoder(image)), name="autoencoder")
    model.compile(hr.keras.optimizers.Adam(4e-3), "mse")
    return model, encoder, decoder


def principal_components(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """`test` from its first `CODE` principal components of `train`."""
    mean = train.reshape(len(train), -1).mean(0)
    _, _, axes = np.linalg.svd(train.reshape(len(train), -1) - mean, full_matrices=False)
    codes = (test.reshape(len(test), -1) - mean) @ axes[:CODE].T
    return (codes @ axes[:CODE] + mean).reshape(test.shape)


def side_by_side(*images: np.ndarray) -> str:
    """Pictures [8, 8, 1] as text."""
    ramp = np.array(list(" .:-=+*#%@"))
    rows = [ramp[(image[..., 0].clip(0, 0.999) * 10).astype(int)] for image in images]
    return "\n".join("   ".join("".join(np.repeat(r[i], 2)) for r in rows) for i in range(8))


def main(out: Path) -> None:
    """Trains on the first 1,500 digits, and looks at the others."""
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)
    images = (load_digits().images / 16.0).astype(np.float32)[..., None]
    train, test = images[:1500], images[1500:]

    model, encoder, decoder = build_model()
    slower = hr.keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=3)
    model.fit(train, train, batch_size=50, epochs=20, callbacks=[slower], verbose=2)
    encoder.save(out / "encoder.keras")
    decoder.save(out / "decoder.keras")

    again = decoder.predict(encoder.predict(test, verbose=0), verbose=0)
    linear = principal_components(train, test)
    print("a digit, from eight numbers, from eight principal components:")
    print(side_by_side(test[7], again[7], linear[7]))
    error, baseline = np.mean((again - test) ** 2), np.mean((linear - test) ** 2)
    print(f"squared error {error:.4f}; principal components {baseline:.4f}")

    rng = np.random.default_rng(0)
    shuffled = rng.permuted(test.reshape(len(test), 64), axis=1).reshape(test.shape)
    strange = np.mean((model.predict(shuffled, verbose=0) - shuffled) ** 2, axis=(1, 2, 3))
    usual = np.mean((again - test) ** 2, axis=(1, 2, 3))
    told = np.mean(strange > np.quantile(usual, 0.99))
    print(f"{told:.0%} of shuffled pictures have an error that 1 % of the digits have")
    if error > 0.9 * baseline or told < 0.95:
        raise SystemExit("the autoencoder must beat principal components by a tenth")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/autoencoder"))
    main(parser.parse_args().out)
