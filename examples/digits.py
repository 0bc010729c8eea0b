"""From TFRecord files to a trained model: handwritten digits, end to end.

    python examples/digits.py --out out/digits

1,797 real 8x8 images (scikit-learn's digits: the test set of NIST's "optical recognition of
handwritten digits") are written to sharded TFRecord files, read back through a `Dataset` chain,
learned by a small perceptron, and the curves are plotted.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_digits

import headrace as hr

SHARDS = 4
BATCH = 64
EPOCHS = 40
FEATURES = {
    "image": hr.io.FixedLenFeature([], hr.string),
    "label": hr.io.FixedLenFeature([], hr.int64),
}


def write_shards(folder: Path, split: str, images: np.ndarray, labels: np.ndarray) -> list[str]:
    """Paths of the TFRecord files that now hold `images` [n, 64] uint8 and `labels` [n]."""
    paths = [
        str(folder / f"{split}-{shard:05d}-of-{SHARDS:05d}.tfrecord") for shard in range(SHARDS)
    ]
    for shard, path in enumerate(paths):
        with hr.io.TFRecordWriter(path) as writer:
            for image, label in zip(images[shard::SHARDS], labels[shard::SHARDS], strict=True):
                image_bytes = hr.train.BytesList(value=[image.tobytes()])
                label_number = hr.train.Int64List(value=[int(label)])
                feature = {
                    "image": hr.train.Feature(bytes_list=image_bytes),
                    "label": hr.train.Feature(int64_list=label_number),
                }
                example = hr.train.Example(features=hr.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    return paths


def parse(record: hr.Tensor) -> tuple[hr.Tensor, hr.Tensor]:
    """An image as [64] float32 between 0 and 1, and its label."""
    example = hr.io.parse_single_example(record, FEATURES)
    pixels = hr.io.decode_raw(example["image"], hr.uint8)
    image = hr.reshape(hr.cast(pixels, hr.float32), [64]) / 16.0
    return image, example["label"]


def pipeline(paths: list[str], training: bool) -> hr.data.Dataset:
    """Batches of images and labels, shuffled anew each epoch when `training`."""
    dataset = hr.data.TFRecordDataset(paths).map(parse)
    if training:
        dataset = dataset.shuffle(2000, seed=1)
    return dataset.batch(BATCH).prefetch(hr.data.AUTOTUNE)


def build_model() -> hr.keras.Model:
    """A compiled perceptron for 64 pixels and ten digits."""
    model = hr.keras.Sequential(
        [
            hr.keras.Input((64,)),
            hr.keras.layers.Dense(256, activation="relu"),
            hr.keras.layers.Dropout(0.3),
            hr.keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=hr.keras.optimizers.Adam(2e-3),
        loss=hr.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def plot(history: dict[str, list[float]], path: Path) -> None:
    """Draws loss and accuracy over the epochs into a PNG."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    epochs = range(1, len(history["loss"]) + 1)
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        axis.plot(epochs, history[name], label="training")
        axis.plot(epochs, history[f"val_{name}"], label="test")
        axis.set(xlabel="epoch", ylabel=name)
        axis.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(out: Path) -> float:
    """The accuracy reached on the test images; files and curves are left in `out`."""
    start = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = digits.data.astype(np.uint8)[order]
    labels = digits.target[order]
    held_out = len(labels) // 5
    train_paths = write_shards(out, "train", images[held_out:], labels[held_out:])
    test_paths = write_shards(out, "test", images[:held_out], labels[:held_out])
    print(f"wrote {len(labels)} digits to {len(train_paths + test_paths)} files in {out}")

    train, test = pipeline(train_paths, training=True), pipeline(test_paths, training=False)

    print("\nThree rows, read eagerly:")
    for image, label in hr.data.TFRecordDataset(train_paths).map(parse).take(3):
        print(
            f"  label {label.numpy()}, {image.shape} {image.dtype.name}, first row {image[:8]}"
        )

    print("\nWhat runs when the training pipeline is iterated:")
    print(train.explain())

    model = build_model()
    model.summary()
    history = model.fit(train, validation_data=test, epochs=EPOCHS)

    loss, accuracy = model.evaluate(test, verbose=0)
    print(f"\ntest loss {loss:.4f}, test accuracy {accuracy:.4f}")

    print("\nWhere the training pipeline's time went:")
    print(train.stats())

    weights = out / "digits.weights.h5"
    model.save_weights(weights)
    restored = build_model()
    restored.load_weights(weights)
    restored_accuracy = restored.evaluate(test, verbose=0)[1]
    assert restored_accuracy == accuracy, "reloaded weights must predict the same"
    print(f"\nsaved {weights} and reloaded it: accuracy {restored_accuracy:.4f} again")

    curves = out / "curves.png"
    plot(history.history, curves)
    print(f"plotted {curves}")
    print(f"{time.perf_counter() - start:.1f} s in all")
    if accuracy < 0.97:
        raise SystemExit(f"test accuracy must be at least 0.97, got {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/digits"))
    main(parser.parse_args().out)
