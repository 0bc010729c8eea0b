"""Reviews to words to an LSTM: did the film please, all in all?

    python examples/text_classifier.py [--out FOLDER]

What a review says first doesn't count; what it ends with does.  Both kinds are made of the same
words equally often, so that a bag of words can only guess; an LSTM reads them in order.  The
saved model takes the text itself: its vocabulary is in the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import headrace as hr

GOOD = "brilliant charming clever funny gripping moving superb touching wise witty".split()
BAD = "awful boring clumsy dull flat hollow noisy silly stale tedious".split()
THINGS = "acting camera cast dialogue ending humour music pace plot script".split()
TURNS = ("but in the end", "yet all in all", "and after an hour", "; still, it became")
LENGTH = 16


def reviews(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts, and whether each ends well."""
    rng = np.random.default_rng(seed)
    texts, pleased = [], rng.integers(0, 2, count)
    for last in pleased:
        first_words, last_words = (BAD, GOOD) if last else (GOOD, BAD)
        texts.append(
            f"The {rng.choice(THINGS)} was {rng.choice(first_words)} and "
            f"{rng.choice(first_words)}, {rng.choice(TURNS)} "
            f"{rng.choice(last_words)}, {rng.choice(last_words).upper()}!"
        )
    return texts, pleased.astype(np.float32)


def train(layers: list[hr.keras.layers.Layer], data: hr.data.Dataset) -> hr.keras.Model:
    """A model of these layers and a sigmoid, trained."""
    model = hr.keras.Sequential([*layers, hr.keras.layers.Dense(1, activation="sigmoid")])
    optimizer = hr.keras.optimizers.Adam(0.01)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    model.fit(data, epochs=4, verbose=2)
    return model


def main(out: Path) -> None:
    """Trains both kinds of model, and puts vocabulary and LSTM together into one file."""
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)
    texts, pleased = reviews(2_000, seed=1)
    test_texts, test_pleased = reviews(500, seed=2)

    vectorize = hr.keras.layers.TextVectorization(output_sequence_length=LENGTH)
    vectorize.adapt(hr.data.Dataset.from_tensor_slices(texts).batch(256))
    words = vectorize.vocabulary_size()
    print(f"{words} words, the commonest: {vectorize.get_vocabulary()[:6]}")
    print(f"{test_texts[0]!r}\n  is {vectorize(test_texts[0]).numpy()}")

    def pipeline(texts: list[str], pleased: np.ndarray) -> hr.data.Dataset:
        dataset = hr.data.Dataset.from_tensor_slices((texts, pleased[:, None]))
        return dataset.shuffle(2_000, seed=1).batch(50).map(lambda t, y: (vectorize(t), y))

    data, test = pipeline(texts, pleased), pipeline(test_texts, test_pleased)
    layers = hr.keras.layers

    print("A bag of words:")
    bag = train([layers.Embedding(words, 16), layers.GlobalAveragePooling1D()], data)
    print("An LSTM:")
    lstm = train([layers.Embedding(words, 16, mask_zero=True), layers.LSTM(24)], data)
    guessed, read = (model.evaluate(test, verbose=0)[1] for model in (bag, lstm))
    print(f"accuracy: bag of words {guessed:.3f}, LSTM {read:.3f}")

    # For use: a model from text to probability, in one file.
    whole = hr.keras.Sequential([hr.keras.Input((1,), dtype="string"), vectorize, lstm])
    whole.save(out / "reviews.keras")
    loaded = hr.keras.models.load_model(out / "reviews.keras")
    new = [
        "At first dull and stale, but soon gripping, even WITTY!",
        "Charming and funny for ten minutes, then tedious and hollow.",
    ]
    odds = loaded.predict(hr.constant(new)[:, None], verbose=0)
    for text, (probability,) in zip(new, odds, strict=True):
        print(f"  {probability:.2f}  {text}")
    if read < 0.95 or guessed > 0.7:
        raise SystemExit("the LSTM should know, and the bag of words guess")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/text_classifier"))
    main(parser.parse_args().out)
