"""A small Transformer that learns to write: which letter comes next in this manual?

    python examples/transformer.py [--out FOLDER]

A block of causal self-attention, as in GPT, reads 32 letters of the repository's own Markdown
pages and gives the odds of each one's successor.  The measure is the average surprise in bits
per letter on text held back; tables of single letters and of pairs are the baselines.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

import headrace as hr

PAGES = ("README.md", "CONTRIBUTING.md", "docs/data.md", "docs/arrow.md", "docs/graphs.md")
LENGTH, WIDTH, HEADS, BLOCKS, BATCH, STEPS = 32, 64, 4, 1, 16, 450


@hr.keras.saving.register_keras_serializable("headrace-examples")
class Block(hr.keras.layers.Layer):
    """Self-attention and a perceptron, each normalised first and added to its input."""

    def __init__(self, width: int, heads: int, **kwargs) -> None:
        super().__init__(**kwargs)
        layers = hr.keras.layers
        self.width, self.heads = width, heads
        self.attention = layers.MultiHeadAttention(heads, width // heads)
        self.perceptron = hr.keras.Sequential(
            [layers.Dense(4 * width, activation="gelu"), layers.Dense(width)]
        )
        self.first, self.second = layers.LayerNormalization(), layers.LayerNormalization()

    def call(self, x: hr.Tensor) -> hr.Tensor:
        """The letters' vectors, each having looked at those before it."""
        y = self.first(x)
        x = x + self.attention(y, y, use_causal_mask=True)
        return x + self.perceptron(self.second(x))

    def get_config(self) -> dict:
        """What `__init__` needs to make it again."""
        return {**super().get_config(), "width": self.width, "heads": self.heads}


@hr.keras.saving.register_keras_serializable("headrace-examples")
class Positions(hr.keras.layers.Layer):
    """Adds to each place a vector of its own, which is learned."""

    def build(self, shape: tuple) -> None:
        """Make the table."""
        self.table = self.add_weight((LENGTH, shape[-1]), "uniform", name="table")

    def call(self, x: hr.Tensor) -> hr.Tensor:
        """The vectors, each with that of its place."""
        return x + self.table[: hr.shape(x)[1]]


def build_model(letters: int) -> hr.keras.Model:
    """A compiled model from [batch, time] letters to [batch, time, letters] scores."""
    layers = hr.keras.layers
    text = hr.keras.Input((None,), dtype="int32")
    x = Positions()(layers.Embedding(letters, WIDTH)(text))
    for _ in range(BLOCKS):
        x = Block(WIDTH, HEADS)(x)
    scores = layers.Dense(letters)(layers.LayerNormalization()(x))
    model = hr.keras.Model(text, scores)
    schedule = hr.keras.optimizers.schedules.CosineDecay(
        0.0, STEPS, warmup_target=8e-3, warmup_steps=STEPS // 10
    )
    optimizer = hr.keras.optimizers.AdamW(schedule, weight_decay=1e-3, clipnorm=1.0)
    loss = hr.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    return model


def windows(text: np.ndarray, training: bool) -> hr.data.Dataset:
    """Batches of (letters, the letters after them), each [BATCH, LENGTH]."""
    dataset = hr.keras.utils.timeseries_dataset_from_array(
        text, None, LENGTH + 1, sequence_stride=7 if training else LENGTH,
        batch_size=BATCH, shuffle=training, seed=1,
    )  # fmt: skip
    return dataset.map(lambda window: (window[:, :-1], window[:, 1:]))


def baselines(train: np.ndarray, test: np.ndarray, letters: int) -> tuple[float, float]:
    """Bits per letter of `test` by counts of single letters, and of pairs, in `train`."""
    single = np.bincount(train, minlength=letters) + 0.1
    pairs = np.full((letters, letters), 0.02)
    np.add.at(pairs, (train[:-1], train[1:]), 1)
    single /= single.sum()
    pairs /= pairs.sum(1, keepdims=True)
    return (
        float(-np.log2(single[test]).mean()),
        float(-np.log2(pairs[test[:-1], test[1:]]).mean()),
    )


def write(model: hr.keras.Model, start: str, alphabet: str, count: int) -> str:
    """`start` and what the model goes on to write; the likelier letters more often."""
    rng, text = np.random.default_rng(0), start
    for _ in range(count):
        read = [[alphabet.index(letter) for letter in text[-LENGTH:]]]
        scores = model(hr.constant(read), training=False)[0, -1].numpy() / 0.6
        odds = np.exp(scores - scores.max())
        text += alphabet[rng.choice(len(alphabet), p=odds / odds.sum())]
    return text


def main(out: Path) -> None:
    """Trains, and compares with the baselines."""
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)
    root = Path(hr.__file__).parent
    pages = [re.sub(r"[^!-~]+", " ", (root / page).read_text().lower()) for page in PAGES]
    alphabet = "".join(sorted(set("".join(pages))))
    texts = [np.array([alphabet.index(letter) for letter in page], np.int32) for page in pages]
    train = np.concatenate([text[: len(text) * 9 // 10] for text in texts])
    test = np.concatenate([text[len(text) * 9 // 10 :] for text in texts])
    print(f"{len(train)} letters to learn from, {len(alphabet)} different ones")

    model = build_model(len(alphabet))
    model.summary()
    data = windows(train, training=True).repeat()
    epochs = 5
    model.fit(
        data, epochs=epochs, steps_per_epoch=STEPS // epochs,
        validation_data=windows(test, training=False), verbose=2,
    )  # fmt: skip
    single, pairs = baselines(train, test, len(alphabet))
    bits = model.evaluate(windows(test, training=False), verbose=0) / np.log(2)
    print(f"bits per letter: letters {single:.2f}, pairs {pairs:.2f}, Transformer {bits:.2f}")

    path = out / "writer.keras"
    model.save(path)
    print(repr(write(hr.keras.models.load_model(path), "a dataset ", alphabet, 60)))
    if bits > pairs - 0.2:
        raise SystemExit(f"the Transformer must beat pairs by 0.2 bits, got {bits:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/transformer"))
    main(parser.parse_args().out)
