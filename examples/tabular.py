"""A table with numbers and categories in a CSV file to a trained model.

    python examples/tabular.py [--out FOLDER]

Bicycle journeys: how long will this one take?  Each column has its preprocessing layer, which
learns from the column what it has to know: the mean of a number, the words of a category.  The
model takes the columns as a dictionary, as `make_csv_dataset` gives them.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

import headrace as hr

WEATHER = {"sun": 1.0, "cloud": 1.0, "rain": 1.3, "snow": 1.9}
SPEED_KMH = {"city": 14.0, "cargo": 10.0, "racing": 24.0, "electric": 20.0}
COLUMNS = ("distance_km", "climb_m", "weather", "bicycle", "hour", "minutes")


def write(path: Path, count: int, seed: int) -> str:
    """A CSV file of `count` journeys."""
    rng = np.random.default_rng(seed)
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for _ in range(count):
            km, climb, hour = rng.gamma(3, 2), rng.gamma(2, 40), rng.integers(24)
            weather, bicycle = rng.choice(list(WEATHER)), rng.choice(list(SPEED_KMH))
            minutes = 60 * km / SPEED_KMH[bicycle] * WEATHER[weather]
            minutes += climb * (0.02 if bicycle == "electric" else 0.1)
            minutes *= 1.4 if hour in (7, 8, 17, 18) else 1.0
            minutes *= rng.normal(1, 0.05)
            rows.writerow([f"{km:.2f}", int(climb), weather, bicycle, hour, f"{minutes:.1f}"])
    return str(path)


def read(path: str, training: bool) -> hr.data.Dataset:
    """Batches of ({column: [batch, 1]}, log(minutes) [batch, 1])."""
    dataset = hr.data.experimental.make_csv_dataset(
        path, 128, label_name="minutes", num_epochs=1, shuffle=training, shuffle_seed=1
    )

    def prepare(columns: dict[str, hr.Tensor], minutes: hr.Tensor) -> tuple:
        columns = {name: hr.expand_dims(column, 1) for name, column in columns.items()}
        return columns, hr.math.log(hr.expand_dims(minutes, 1))

    return dataset.map(prepare)


def build_model(data: hr.data.Dataset) -> hr.keras.Model:
    """A compiled model of the columns, its preprocessing adapted to `data`."""
    layers = hr.keras.layers

    def column(name: str) -> hr.data.Dataset:
        return data.map(lambda columns, minutes: columns[name])

    inputs, features = {}, []
    for name in ("distance_km", "climb_m"):
        inputs[name] = hr.keras.Input((1,), name=name)
        normalize = layers.Normalization(axis=None)
        normalize.adapt(column(name))
        features.append(normalize(inputs[name]))
        features.append(hr.keras.ops.log1p(inputs[name]))  # functions make layers, too
    for name in ("weather", "bicycle"):
        inputs[name] = hr.keras.Input((1,), name=name, dtype="string")
        lookup = layers.StringLookup(output_mode="one_hot")
        lookup.adapt(column(name))
        print(f"  {name}: {lookup.get_vocabulary()}")
        features.append(lookup(inputs[name]))
    inputs["hour"] = hr.keras.Input((1,), name="hour", dtype="int32")
    features.append(layers.Flatten()(layers.Embedding(24, 4)(inputs["hour"])))

    x = layers.Concatenate()(features)
    x = layers.Dense(64, activation="relu")(x)
    x = layers.Dense(32, activation="relu")(x)
    model = hr.keras.Model(inputs, layers.Dense(1)(x))
    model.compile(hr.keras.optimizers.Adam(5e-3), "mse", metrics=["mae"])
    return model


def main(out: Path) -> None:
    """Writes the table, trains, and compares with always giving the mean."""
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)
    train = read(write(out / "train.csv", 4_000, seed=1), training=True)
    test = read(write(out / "test.csv", 500, seed=2), training=False)
    print("The categories found:")
    model = build_model(train)
    stop = hr.keras.callbacks.EarlyStopping("val_loss", patience=4, restore_best_weights=True)
    model.fit(train, validation_data=test, epochs=20, callbacks=[stop], verbose=2)

    known = np.concatenate([y for _, y in train])
    truth = np.concatenate([y for _, y in test])
    always = float(np.abs(truth - known.mean()).mean())
    error = model.evaluate(test, return_dict=True, verbose=0)["mae"]
    print(f"off by {np.expm1(error):.1%} as a rule; always the mean: {np.expm1(always):.1%}")

    model.save(out / "journeys.keras")
    loaded = hr.keras.models.load_model(out / "journeys.keras")
    journey = {
        "distance_km": 6.0,
        "climb_m": 80.0,
        "weather": "snow",
        "bicycle": "cargo",
        "hour": 8,
    }
    columns = {name: hr.constant([[value]]) for name, value in journey.items()}
    ((minutes,),) = np.exp(loaded.predict(columns, verbose=0))
    print(f"{journey}: {minutes:.0f} minutes")
    if error > 0.25 * always:
        raise SystemExit(f"the error must be a quarter of the baseline's, got {error:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/tabular"))
    main(parser.parse_args().out)
