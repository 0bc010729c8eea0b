"""From a database to a trained model: the query chooses, the pipeline does the rest.

    python examples/sql.py [--out FOLDER]

scikit-learn's 1,797 handwritten digits stand in an SQLite table.  Two queries split them; rows
arrive in columns, through ADBC where its driver is installed (`pip install headrace[sql]`) and
through Python's own module where it is not.  For PostgreSQL only the URI is another.
"""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import headrace as hr


def write_table(path: Path) -> None:
    """A table of digits: id, label, 64 pixels as bytes, and who wrote it (maybe unknown)."""
    digits = load_digits()
    pixels = digits.data.astype(np.uint8)
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE digits (id INT, label INT, pixels BLOB, hand TEXT)")
        rows = [
            (k, int(label), image.tobytes(), None if k % 7 else f"hand {k % 3}")
            for k, (label, image) in enumerate(zip(digits.target, pixels, strict=True))
        ]
        database.executemany("INSERT INTO digits VALUES (?, ?, ?, ?)", rows)
    database.close()


def prepare(row: dict[str, hr.Tensor]) -> tuple[hr.Tensor, hr.Tensor]:
    """[64] float32 between 0 and 1, and the label."""
    pixels = hr.reshape(hr.io.decode_raw(row["pixels"], hr.uint8), [64])
    return hr.cast(pixels, hr.float32) / 16.0, row["label"]


def main() -> None:
    """Fills the table, trains on one query, tests on another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/sql"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{(out / 'digits.sqlite').resolve()}"
    write_table(out / "digits.sqlite")

    query = "SELECT label, pixels FROM digits WHERE id % 5 {} 0 ORDER BY id"
    rows = hr.data.Dataset.from_sql(query.format("!="), uri)
    print(rows.element_spec)
    train = rows.map(prepare).cache().shuffle(1_500, seed=1).batch(32)
    test = hr.data.Dataset.from_sql(query.format("="), uri).map(prepare).batch(500)

    hr.keras.utils.set_random_seed(1)
    layers = [hr.keras.layers.Dense(64, activation="relu"), hr.keras.layers.Dense(10)]
    model = hr.keras.Sequential([hr.keras.Input((64,)), *layers])
    loss = hr.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(hr.keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit(train, epochs=6, verbose=0)
    accuracy = model.evaluate(test, verbose=0)[1]
    print(f"accuracy on rows that were left out: {accuracy:.3f}")
    assert accuracy > 0.95

    # Tensors have no nulls: each source says what becomes of them.
    hands = hr.data.Dataset.from_sql("SELECT hand FROM digits", uri, nulls={"hand": "unknown"})
    known = hands.filter(lambda row: row["hand"] != "unknown")
    count = int(known.reduce(np.int64(0), lambda n, row: n + 1))
    print(f"{count} digits whose writer is known")
    assert count == len(range(0, 1797, 7))


if __name__ == "__main__":
    main()
