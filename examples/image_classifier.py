"""Images in TFRecord files to a trained convolutional network, augmented in the pipeline.

    python examples/image_classifier.py [--out FOLDER]

Pictures of discs, squares and triangles in random colours, sizes and places are written as JPEG
into TFRecord files.  Reading decodes them; turning, flipping and changing the contrast are
Keras layers inside `Dataset.map`: the engine's threads do it while the model trains, and no
picture comes twice the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import headrace as hr

SIDE, KINDS = 32, ("disc", "square", "triangle")
FEATURES = {
    "jpeg": hr.io.FixedLenFeature([], hr.string),
    "kind": hr.io.FixedLenFeature([], hr.int64),
}


def picture(kind: int, rng: np.random.Generator) -> np.ndarray:
    """One shape [SIDE, SIDE, 3] uint8 on a ground of another colour."""
    y, x = np.mgrid[:SIDE, :SIDE] - rng.uniform(11, 21, (2, 1, 1))
    radius = rng.uniform(6, 10)
    inside = (
        np.hypot(y, x) < radius,
        np.maximum(abs(y), abs(x)) < 0.85 * radius,
        (y < 0.7 * radius) & (y > 2 * abs(x) - radius),
    )[kind]
    ground, ink = rng.uniform(0, 110, 3), rng.uniform(145, 255, 3)
    if rng.random() < 0.5:
        ground, ink = ink, ground
    noisy = np.where(inside[..., None], ink, ground) + rng.normal(0, 8, (SIDE, SIDE, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def write(path: Path, count: int, seed: int) -> str:
    """A TFRecord file of `count` labelled pictures."""
    rng = np.random.default_rng(seed)
    with hr.io.TFRecordWriter(str(path)) as writer:
        for kind in rng.integers(0, len(KINDS), count):
            jpeg = hr.io.encode_jpeg(picture(kind, rng), quality=90).numpy()
            feature = {
                "jpeg": hr.train.Feature(bytes_list=hr.train.BytesList(value=[jpeg])),
                "kind": hr.train.Feature(int64_list=hr.train.Int64List(value=[int(kind)])),
            }
            example = hr.train.Example(features=hr.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    return str(path)


def parse(record: hr.Tensor) -> tuple[hr.Tensor, hr.Tensor]:
    """A picture [SIDE, SIDE, 3] float32 between 0 and 1, and its kind."""
    example = hr.io.parse_single_example(record, FEATURES)
    image = hr.io.decode_jpeg(example["jpeg"], channels=3)
    image.set_shape([SIDE, SIDE, 3])  # a JPEG file could have any size
    return hr.cast(image, hr.float32) / 255.0, example["kind"]


def build_model() -> hr.keras.Model:
    """A compiled network of two convolutions."""
    layers = hr.keras.layers
    model = hr.keras.Sequential(
        [
            hr.keras.Input((SIDE, SIDE, 3)),
            layers.Conv2D(12, 5, strides=2, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(24, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(len(KINDS), activation="softmax"),
        ]
    )
    optimizer = hr.keras.optimizers.Adam(4e-3)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(out: Path) -> None:
    """Writes the files, trains, and looks at pictures never seen before."""
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)
    train_paths = [write(out / f"train-{n}.tfrecord", 500, seed=n) for n in range(2)]
    test_path = write(out / "test.tfrecord", 300, seed=9)

    augment = hr.keras.Sequential(
        [
            hr.keras.layers.RandomFlip("horizontal"),
            hr.keras.layers.RandomRotation(0.05, fill_mode="nearest"),
            hr.keras.layers.RandomContrast(0.2),
        ]
    )
    train = (
        hr.data.TFRecordDataset(train_paths)
        .map(parse)
        .cache()  # decoded once; what follows is done anew in every epoch
        .shuffle(1000, seed=1)
        .batch(50)
        .map(lambda image, kind: (augment(image, training=True), kind))
        .prefetch(hr.data.AUTOTUNE)
    )
    test = hr.data.TFRecordDataset(test_path).map(parse).batch(100)
    print(train.explain())

    model = build_model()
    model.summary()
    model.fit(train, validation_data=test, epochs=12, verbose=2)
    accuracy = model.evaluate(test, verbose=0)[1]

    kinds = np.concatenate([kind.numpy() for _, kind in test])
    baseline = np.bincount(kinds).max() / len(kinds)
    print(f"accuracy {accuracy:.3f}; always the commonest kind: {baseline:.3f}")
    for image, kind in test.unbatch().take(3):
        (odds,) = model.predict(image[None], verbose=0)
        print(f"  a {KINDS[int(kind)]}: taken for a {KINDS[odds.argmax()]}, {odds.max():.2f}")
    if accuracy < 0.85:
        raise SystemExit(f"accuracy must be at least 0.85, got {accuracy:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/image_classifier"))
    main(parser.parse_args().out)
