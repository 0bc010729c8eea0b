"""Lines of text to ids to batches of like lengths to a model: is a line Python or English?

    python examples/text.py [--out FOLDER]

The text is this repository's own: its modules and its Markdown pages.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import headrace as hr

ROOT = Path(hr.__file__).parent
WORDS, BUCKETS = 2_000, 500


def lines(pattern: str, label: int) -> hr.data.Dataset:
    """(line, label) of all files that match, without lines that are nearly empty."""
    files = sorted(str(path) for path in ROOT.glob(pattern))
    text = hr.data.TextLineDataset(files).filter(lambda line: hr.strings.length(line) > 20)
    return text.map(lambda line: (line, label))


def tokens(line: hr.Tensor) -> hr.Tensor:
    """[count] strings: words in lower case, and signs."""
    spaced = hr.strings.regex_replace(hr.strings.lower(line), r"(\W)", r" \1 ")
    return hr.strings.split(spaced)


def main() -> None:
    """Makes the vocabulary, trains, checks the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/text"))
    vocabulary = parser.parse_args().out / "vocabulary.txt"
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    both = [lines("data/*.py", 0).take(1_500), lines("**/*.md", 1).take(500).repeat(3)]
    chosen = hr.data.Dataset.sample_from_datasets(both, [0.5, 0.5], seed=1)
    chosen = chosen.shuffle(3_000, seed=2, reshuffle_each_iteration=False).take(2_400).cache()

    # The vocabulary: what comes up first.  Other words share buckets, by their fingerprint.
    words = chosen.skip(400).flat_map(
        lambda line, label: hr.data.Dataset.from_tensor_slices(tokens(line))
    )
    known = list(words.unique().take(WORDS).as_numpy_iterator())
    vocabulary.write_bytes(b"\n".join(known) + b"\n")
    kinds = hr.lookup.TextFileIndex
    init = hr.lookup.TextFileInitializer(
        str(vocabulary), hr.string, kinds.WHOLE_LINE, hr.int64, kinds.LINE_NUMBER,
        value_index_offset=1,  # 0 is padding
    )  # fmt: skip
    table = hr.lookup.StaticVocabularyTable(init, BUCKETS)

    def prepare(line: hr.Tensor, label: hr.Tensor) -> tuple[hr.Tensor, hr.Tensor]:
        return table[tokens(line)], label

    def batched(dataset: hr.data.Dataset) -> hr.data.Dataset:
        """Batches in which lines have about the same length, so that little is padding."""
        return dataset.map(prepare).bucket_by_sequence_length(
            lambda ids, label: hr.shape(ids)[0], [10, 20, 30], [64, 32, 32, 16]
        )

    test, train = batched(chosen.take(400)), batched(chosen.skip(400))
    widths = sorted({ids.shape[1] for ids, _ in train})
    print(f"{len(known)} words; ids come in batches of {len(widths)} widths up to {widths[-1]}")
    ragged = chosen.map(prepare).ragged_batch(4)
    print("the same, ragged:", [len(row) for row in next(iter(ragged))[0].to_list()])

    hr.keras.utils.set_random_seed(1)
    embedding = hr.keras.layers.Embedding(1 + WORDS + BUCKETS, 16)
    layers = [embedding, hr.keras.layers.GlobalAveragePooling1D(), hr.keras.layers.Dense(1)]
    model = hr.keras.Sequential(layers)
    loss = hr.keras.losses.BinaryCrossentropy(from_logits=True)
    accuracy = hr.keras.metrics.BinaryAccuracy(threshold=0.0)
    model.compile(hr.keras.optimizers.Adam(0.02), loss, metrics=[accuracy])
    model.fit(train, epochs=3, verbose=0)
    right = model.evaluate(test, verbose=0)[1]
    print(f"lines told apart: {right:.3f}")
    assert right > 0.85


if __name__ == "__main__":
    main()
