"""A training loop of one's own: two networks that play against each other.

    python examples/custom_training.py [--out FOLDER]

A generator makes points out of noise, a discriminator tells them from real ones, and each step
trains both: more than `fit` does by itself.  A traced function with two gradient tapes is the
whole step; the loop around it, metrics, schedule and checkpoint are plain Python.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import headrace as hr

NOISE, BATCH, STEPS = 8, 256, 1_500


def real_points(count: int, seed: int) -> np.ndarray:
    """Points [count, 2] float32 on a ring of radius 2, a little scattered."""
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0, 2 * np.pi, count), rng.normal(2, 0.1, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)


def perceptron(inputs: int, outputs: int, name: str) -> hr.keras.Model:
    """Two hidden layers."""
    layers = hr.keras.layers
    hidden = [layers.Dense(64, activation="leaky_relu") for _ in range(2)]
    return hr.keras.Sequential(
        [hr.keras.Input((inputs,)), *hidden, layers.Dense(outputs)], name
    )


generator = perceptron(NOISE, 2, "generator")
discriminator = perceptron(2, 1, "discriminator")
schedule = hr.keras.optimizers.schedules.CosineDecay(2e-3, STEPS)
generator_optimizer = hr.keras.optimizers.Adam(schedule, beta_1=0.5)
discriminator_optimizer = hr.keras.optimizers.Adam(schedule, beta_1=0.5)
entropy = hr.keras.losses.BinaryCrossentropy(from_logits=True)
fooled = hr.keras.metrics.BinaryAccuracy("fooled", threshold=0.0)
discriminator_loss = hr.keras.metrics.Mean("discriminator_loss")


@hr.function
def train_step(real: hr.Tensor) -> None:
    """One update of each network on a batch of real points [batch, 2]."""
    noise = hr.random.normal([hr.shape(real)[0], NOISE])
    with hr.GradientTape() as generator_tape, hr.GradientTape() as discriminator_tape:
        made = generator(noise, training=True)
        said_of_real = discriminator(real, training=True)
        said_of_made = discriminator(made, training=True)
        cheat = entropy(hr.ones_like(said_of_made), said_of_made)
        tell = entropy(hr.ones_like(said_of_real), said_of_real)
        tell += entropy(hr.zeros_like(said_of_made), said_of_made)
    for model, optimizer, tape, loss in (
        (generator, generator_optimizer, generator_tape, cheat),
        (discriminator, discriminator_optimizer, discriminator_tape, tell),
    ):
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    discriminator_loss.update_state(tell)
    fooled.update_state(hr.ones_like(said_of_made), said_of_made)


def misfit() -> float:
    """How far the radii of made points are from those of real ones, on average."""
    made = generator(hr.random.stateless_normal([2_000, NOISE], seed=[1, 2])).numpy()
    radii = np.sort(np.hypot(*made.T)), np.sort(np.hypot(*real_points(2_000, seed=9).T))
    return float(np.abs(radii[0] - radii[1]).mean())


def main(out: Path) -> None:
    """Plays the game, and looks at what came of it."""
    out.mkdir(parents=True, exist_ok=True)
    data = hr.data.Dataset.from_tensor_slices(real_points(10_000, seed=1))
    data = data.shuffle(10_000, seed=1).repeat().batch(BATCH).prefetch(hr.data.AUTOTUNE)

    before = misfit()
    start = time.perf_counter()
    for step, real in enumerate(data.take(STEPS), 1):
        train_step(real)
        if step % 300 == 0:
            rate = 300 / (time.perf_counter() - start)
            print(
                f"step {step}: misfit {misfit():.3f}, "
                f"discriminator loss {float(discriminator_loss.result()):.3f}, "
                f"fooled {float(fooled.result()):.2f}, "
                f"learning rate {float(generator_optimizer.learning_rate):.5f}, "
                f"{rate:,.0f} steps a second"
            )
            for metric in (discriminator_loss, fooled):
                metric.reset_state()
            generator.save_weights(out / "generator.weights.h5")
            start = time.perf_counter()

    after = misfit()
    print(f"radii are off by {after:.3f}; before training by {before:.3f}")
    canvas = np.full((17, 35), " ")
    points = generator(hr.random.stateless_normal([600, NOISE], seed=[3, 4])).numpy()
    rows, columns = ((points[:, ::-1] / 2.7 + 1) / 2 * (17, 35)).astype(int).T
    canvas[rows.clip(0, 16), columns.clip(0, 34)] = "o"
    print("\n".join("".join(row) for row in canvas))
    if after > 0.25 * before:
        raise SystemExit(f"the misfit must fall to a quarter, got {after:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/custom_training"))
    hr.keras.utils.set_random_seed(1)
    main(parser.parse_args().out)
