"""A time series: how warm will it be in twelve hours?

    python examples/time_series.py [--out FOLDER]

Two years of made weather: days, seasons, and fronts that bring first falling pressure and then
cold.  `timeseries_dataset_from_array` cuts windows of two days, a GRU reads them and forecasts.
Baselines: it stays as it is; it will be as it was a day before that hour.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import headrace as hr

PAST_H, AHEAD_H = 48, 12
HOURS = 2 * 365 * 24


def weather(seed: int) -> np.ndarray:
    """[HOURS, 2] float32: temperature in Celsius and pressure in hectopascal."""
    rng = np.random.default_rng(seed)
    hour = np.arange(HOURS)
    front = np.zeros(HOURS)
    for n in range(1, HOURS):  # comes and goes within days
        front[n] = 0.98 * front[n - 1] + rng.normal(0, 0.2)
    season = -10 * np.cos(2 * np.pi * hour / (365 * 24))
    day = -4 * np.cos(2 * np.pi * (hour - 3) / 24)
    temperature = 10 + season + day - 4 * np.roll(front, AHEAD_H) + rng.normal(0, 0.3, HOURS)
    pressure = 1013 - 6 * front + rng.normal(0, 0.5, HOURS)
    return np.stack([temperature, pressure], 1).astype(np.float32)


def windows(series: np.ndarray, target: np.ndarray, training: bool) -> hr.data.Dataset:
    """Batches of ([batch, PAST_H, features], [batch] degrees AHEAD_H after the window)."""
    return hr.keras.utils.timeseries_dataset_from_array(
        series[:-AHEAD_H],
        target[PAST_H - 1 + AHEAD_H :],
        sequence_length=PAST_H,
        sequence_stride=3 if training else 1,
        batch_size=64,
        shuffle=training,
        seed=1,
    )


def main(out: Path) -> None:
    """Trains on the first 70 %, and forecasts the last 15 %."""
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)
    series = weather(seed=1)
    degrees = series[:, 0]
    parts = [slice(0, HOURS * 70 // 100), slice(HOURS * 70 // 100, HOURS * 85 // 100),
             slice(HOURS * 85 // 100, HOURS)]  # fmt: skip
    train, validation, test = (
        windows(series[part], degrees[part], training=number == 0)
        for number, part in enumerate(parts)
    )

    layers = hr.keras.layers
    normalize = layers.Normalization()
    normalize.adapt(series[parts[0]])
    past = hr.keras.Input((PAST_H, 2))
    x = normalize(past)
    change = layers.Dense(1)(layers.GRU(24)(x))
    now = past[:, -1, :1]  # the network forecasts by how much it will change
    model = hr.keras.Model(past, now + 5.0 * change)
    model.compile(hr.keras.optimizers.Adam(5e-3), "mse", metrics=["mae"])
    best = out / "forecast.keras"
    callbacks = [
        hr.keras.callbacks.ModelCheckpoint(best, save_best_only=True),
        hr.keras.callbacks.EarlyStopping(patience=3),
        hr.keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.3),
    ]
    model.fit(train, validation_data=validation, epochs=8, callbacks=callbacks, verbose=2)

    model = hr.keras.models.load_model(best)
    error = model.evaluate(test, return_dict=True, verbose=0)["mae"]
    windows_of, truth = (np.concatenate([b[i].numpy() for b in test]) for i in (0, 1))
    stays = np.abs(windows_of[:, -1, 0] - truth).mean()
    a_day_before = np.abs(windows_of[:, -1 - 24 + AHEAD_H, 0] - truth).mean()
    print(
        f"off by {error:.2f} degrees; as now {stays:.2f}, as the day before {a_day_before:.2f}"
    )
    some = windows_of[::800]
    for window, forecast in zip(some, model.predict(some, verbose=0), strict=True):
        print(f"  now {window[-1, 0]:5.1f}, in {AHEAD_H} hours {forecast[0]:5.1f} degrees")
    if error > 0.6 * min(stays, a_day_before):
        raise SystemExit(f"the error must be 60 % of the baselines' at most, got {error:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/time_series"))
    main(parser.parse_args().out)
