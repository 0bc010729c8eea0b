"""Click prediction: 27 integer and 13 float features from TFRecord files into `fit`.

    python examples/click_features.py [--out FOLDER]

The shape is that of advertising logs: categories as integers, counts as floats, one label.
The model uses 5 of the 40 features; `explain()` shows that the others are never parsed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import headrace as hr

INTS = [f"cat_{k}" for k in range(27)]
FLOATS = [f"count_{k}" for k in range(13)]
FEATURES = {
    "label": hr.io.FixedLenFeature([], hr.int64),
    **{name: hr.io.FixedLenFeature([], hr.int64) for name in INTS},
    **{name: hr.io.FixedLenFeature([], hr.float32, default_value=0.0) for name in FLOATS},
}
USED_INTS, USED_FLOATS = ("cat_3", "cat_14"), ("count_0", "count_5", "count_12")
BUCKETS = 50


def write_log(path: Path, rows: int, seed: int) -> None:
    """Clicks that depend on two categories and one count; every third count is missing."""
    rng = np.random.default_rng(seed)
    feature, numbers = hr.train.Feature, hr.train.Int64List
    with hr.io.TFRecordWriter(str(path)) as writer:
        for _ in range(rows):
            cats, counts = rng.integers(0, 1000, 27), rng.gamma(1.0, 20.0, 13)
            odds = (cats[3] % BUCKETS < 10) * 3 + cats[14] % 2 * 2 + np.log1p(counts[0]) - 5
            click = int(rng.logistic() / 3 < odds)
            row = {"label": feature(int64_list=numbers(value=[click]))}
            for name, cat in zip(INTS, cats.tolist(), strict=True):
                row[name] = feature(int64_list=numbers(value=[cat]))
            for k, (name, count) in enumerate(zip(FLOATS, counts.tolist(), strict=True)):
                if k % 3 == 0 or rng.random() < 2 / 3:
                    row[name] = feature(float_list=hr.train.FloatList(value=[count]))
            example = hr.train.Example(features=hr.train.Features(feature=row))
            writer.write(example.SerializeToString())


def prepare(record: hr.Tensor) -> tuple[hr.Tensor, hr.Tensor]:
    """One-hot categories and log counts, [2 * BUCKETS + 3] float32, and the label."""
    row = hr.io.parse_single_example(record, FEATURES)
    ids = hr.stack([row[name] % BUCKETS for name in USED_INTS])
    counts = hr.stack([hr.math.log1p(row[name]) for name in USED_FLOATS])
    flags = hr.reshape(hr.one_hot(ids, BUCKETS), [2 * BUCKETS])
    return hr.concat([flags, counts], axis=0), row["label"]


def main() -> None:
    """Writes the logs, trains, checks the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/click_features"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    write_log(out / "train.tfrecord", 4_000, seed=0)
    write_log(out / "test.tfrecord", 1_000, seed=1)
    both = [out / "train.tfrecord", out / "test.tfrecord"]
    train, test = (hr.data.TFRecordDataset(str(path)).map(prepare) for path in both)
    train, test = train.shuffle(4_000, seed=1).batch(64), test.batch(500)
    print(train.explain())
    hr.keras.utils.set_random_seed(1)
    one = hr.keras.layers.Dense(1, activation="sigmoid")
    model = hr.keras.Sequential([hr.keras.Input((2 * BUCKETS + 3,)), one])
    model.compile(hr.keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=6, verbose=0)
    accuracy = model.evaluate(test, verbose=0)[1]
    clicks = np.mean([y for _, labels in test for y in labels.numpy()])
    guess = max(clicks, 1 - clicks)
    print(f"accuracy {accuracy:.3f}; always the more frequent answer: {guess:.3f}")
    assert accuracy > 0.85 > guess


if __name__ == "__main__":
    main()
