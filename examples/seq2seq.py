"""Sequence to sequence: dates as people write them to dates as computers do.

    python examples/seq2seq.py [--out FOLDER]

An encoder (a bidirectional GRU) reads "March 3, 1998" letter by letter; a decoder, another GRU,
writes "1998-03-03" and, before each letter, looks back by attention at what was read.  While
training it is told the letters before (teacher forcing); afterwards it goes by its own.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import numpy as np

import headrace as hr

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,./- "
READ, WRITTEN, WIDTH = 18, 10, 48
STYLES = ("%B %d, %Y", "%d. %B %Y", "%d %b %Y", "%b %d, %y", "%d.%m.%Y", "%m/%d/%y")
START = len(LETTERS) + 1  # 0 is padding


def ids(texts: list[str], length: int) -> np.ndarray:
    """[len(texts), length] int32; 0 where a text is at its end."""
    rows = [[1 + LETTERS.index(letter) for letter in text] for text in texts]
    return hr.keras.utils.pad_sequences(rows, length, padding="post")


def dates(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Dates as read, and as they should be written."""
    rng = np.random.default_rng(seed)
    days = [datetime.date(1970, 1, 1) + datetime.timedelta(int(n)) for n in
            rng.integers(0, 20_000, count)]  # fmt: skip
    read = [day.strftime(rng.choice(STYLES)).lower() for day in days]
    return read, [day.isoformat() for day in days]


class Translator(hr.keras.Model):
    """Encoder, decoder and attention; gives the odds of the next letter at each place."""

    def __init__(self) -> None:
        super().__init__()
        layers = hr.keras.layers
        self.embed = layers.Embedding(len(LETTERS) + 1, 24, mask_zero=True)
        self.encoder = layers.Bidirectional(layers.GRU(WIDTH, return_sequences=True))
        self.begin = layers.Embedding(START + 1, 24)
        self.decoder = layers.GRU(2 * WIDTH, return_sequences=True, return_state=True)
        self.attend = layers.Attention(use_scale=True)
        self.choose = layers.Dense(len(LETTERS) + 1)

    def decode(self, memory: hr.Tensor, mask: hr.Tensor, letters: hr.Tensor, state=None):
        """The scores of each letter's successor, and the state after the last."""
        found, state = self.decoder(self.begin(letters), initial_state=state)
        seen = self.attend([found, memory], mask=[None, mask])
        return self.choose(hr.concat([found, seen], axis=-1)), state

    def call(self, inputs: tuple[hr.Tensor, hr.Tensor]) -> hr.Tensor:
        """The scores of each letter, given the text and the letters before."""
        text, before = inputs
        memory = self.encoder(self.embed(text))
        return self.decode(memory, hr.not_equal(text, 0), before)[0]

    def translate(self, texts: list[str]) -> list[str]:
        """What it writes, letter by letter."""
        text = hr.constant(ids(texts, READ))
        memory, mask = self.encoder(self.embed(text)), hr.not_equal(text, 0)
        letters, state, written = hr.fill([len(texts), 1], START), None, []
        for _ in range(WRITTEN):
            scores, state = self.decode(memory, mask, letters, state)
            letters = hr.argmax(scores, axis=-1, output_type=hr.int32)
            written.append(letters.numpy()[:, 0])
        return ["".join(LETTERS[i - 1] for i in row if i) for row in np.transpose(written)]


def main(out: Path) -> None:
    """Trains on some dates, and writes others."""
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)
    read, written = dates(4_000, seed=1)
    target = ids(written, WRITTEN)
    before = np.concatenate([np.full((len(target), 1), START), target[:, :-1]], axis=1)

    model = Translator()
    model.compile(
        hr.keras.optimizers.Adam(5e-3),
        hr.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit((ids(read, READ), before), target, batch_size=100, epochs=7, verbose=2)
    model.save_weights(out / "dates.weights.h5")

    unseen, wanted = dates(300, seed=2)
    found = model.translate(unseen)
    right = np.mean([a == b for a, b in zip(found, wanted, strict=True)])
    for text, date in list(zip(unseen, found, strict=True))[:6]:
        print(f"  {text:28} {date}")
    print(f"{right:.1%} of the dates are right to the last letter; guessing: none")
    if right < 0.6:
        raise SystemExit(f"60 % of the dates must be right, got {right:.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/seq2seq"))
    main(parser.parse_args().out)
