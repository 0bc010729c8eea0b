"""Parquet to a trained model, and a pipeline's elements to Parquet.

    python examples/parquet.py --out out/parquet

A table of rides (20 columns, of which the model uses 4) is written to Parquet files, read back
through a `Dataset` chain, learned by a small perceptron, interrupted and resumed in the middle
of an epoch, and what the chain delivers is written to Parquet again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import headrace as hr

FILES, ROWS = 4, 20_000
BATCH = 256


def write_rides(folder: Path) -> list[str]:
    """Paths of Parquet files of rides: what was measured, and columns nobody asks for."""
    rng = np.random.default_rng(7)
    paths = []
    for k in range(FILES):
        distance = rng.gamma(2.0, 3.0, ROWS).astype(np.float32)
        hour = rng.integers(0, 24, ROWS, dtype=np.int32)
        zone = rng.choice(["airport", "centre", "suburb"], ROWS)
        rush = np.where((hour >= 7) & (hour < 10), 1.3, 1.0)
        fare = 3 + 1.8 * distance * rush + np.where(zone == "airport", 7, 0)
        columns = {
            "ride": np.arange(ROWS) + k * ROWS,
            "distance_km": distance,
            "hour": hour,
            "zone": pa.array(zone).dictionary_encode(),
            "fare": (fare + rng.normal(0, 0.3, ROWS)).astype(np.float32),
            **{f"sensor_{j}": rng.random(ROWS, np.float32) for j in range(15)},
        }
        path = folder / f"rides-{k}.parquet"
        pq.write_table(pa.table(columns), path, row_group_size=5_000)
        paths.append(str(path))
    return paths


def features(ride: dict[str, hr.Tensor]) -> tuple[hr.Tensor, hr.Tensor]:
    """[4] float32 for the model, and the fare."""
    rush = hr.logical_and(ride["hour"] >= 7, ride["hour"] < 10)
    inputs = [
        ride["distance_km"] / 10.0,
        hr.cast(rush, hr.float32),
        ride["distance_km"] / 10.0 * hr.cast(rush, hr.float32),
        hr.cast(ride["zone"] == "airport", hr.float32),
    ]
    return hr.stack(inputs), ride["fare"]


def pipeline(paths: list[str]) -> hr.data.Dataset:
    """Shuffled batches of the rides longer than a walk."""
    return (
        hr.data.ParquetDataset(paths)
        .filter(lambda ride: ride["distance_km"] > 0.5)
        .map(features)
        .shuffle(5_000, seed=1)
        .batch(BATCH)
        .prefetch(hr.data.AUTOTUNE)
    )


def resume(dataset: hr.data.Dataset) -> int:
    """Batches left after stopping in the middle of an epoch; all of them come, once."""
    iterator = iter(dataset)
    for _ in range(100):
        next(iterator)
    state = iterator.state()
    rest = [labels.numpy() for _, labels in iterator]
    again = iter(dataset)
    again.restore(state)
    for (_, labels), expected in zip(again, rest, strict=True):
        np.testing.assert_array_equal(labels.numpy(), expected)
    return len(rest)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/parquet"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    paths = write_rides(out)
    dataset = pipeline(paths)
    print(dataset.explain())

    model = hr.keras.Sequential(
        [
            hr.keras.Input((4,)),
            hr.keras.layers.Dense(32, activation="relu"),
            hr.keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer=hr.keras.optimizers.Adam(3e-3), loss="mse", metrics=["mae"])
    history = model.fit(dataset, epochs=4, verbose=0).history
    print(f"mean error per ride: {history['mae'][0]:.2f}, then {history['mae'][-1]:.2f}")
    assert history["mae"][-1] < 0.6

    print(f"resumed in the middle of an epoch: {resume(pipeline(paths))} batches as expected")

    rides = hr.data.ParquetDataset(paths[:1], ["ride", "zone", "fare"])
    dear = rides.filter(lambda ride: ride["fare"] > 60.0)
    pq.write_table(dear.to_arrow().read_all(), out / "dear.parquet")
    written = hr.data.ParquetDataset(str(out / "dear.parquet"))
    print(f"{len(written)} rides above 60 written to {out / 'dear.parquet'}")


if __name__ == "__main__":
    main()
