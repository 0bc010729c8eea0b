"""Optimizers and schedules over the arguments that Keras documents.

Weights and every slot after 20 steps are Keras's, dense and sparse; so are configs, read by the
other side, and the state that a `.keras` file carries either way.
"""

import json

import numpy as np
import pytest

import headrace as hr
from headrace import keras

RNG = np.random.default_rng(37)
SHAPES = [(4, 3), (3, 5), (3,), (2, 2, 3), ()]
STARTS = [RNG.normal(size=s).astype("f") for s in SHAPES]
STEPS = 20
GRADS = [[RNG.normal(size=s).astype("f") for s in SHAPES] for _ in range(STEPS)]


def rate(name, *args, **kwargs):
    return lambda family: getattr(family.schedules, name)(*args, **kwargs)


DECAY = rate("ExponentialDecay", 0.05, 4, 0.7)
SCHEDULES = [
    DECAY, rate("ExponentialDecay", 0.1, 2.5, 0.9, staircase=True),
    rate("InverseTimeDecay", 0.1, 3, 2.0), rate("InverseTimeDecay", 0.1, 7, 0.3, True),
    rate("PiecewiseConstantDecay", [0, 5], [0.1, 0.2, 0.3]),
    rate("PiecewiseConstantDecay", [4, 9, 15], [1.0, 0.5, 0.25, 0.1]),
    rate("PolynomialDecay", 0.1, 9), rate("PolynomialDecay", 0.1, 9, 0.0, 0.5),
    rate("PolynomialDecay", 0.1, 4, 0.02, 3.0, cycle=True),
    rate("CosineDecay", 0.1, 9), rate("CosineDecay", 0.1, 9, 0.5),
    rate("CosineDecay", 0.0, 9, 0.1, warmup_target=0.2, warmup_steps=7),
    rate("CosineDecay", 0.3, 5, warmup_target=0.1, warmup_steps=3),
    rate("CosineDecayRestarts", 0.1, 7.5, 1.5, 0.9, 0.1),
    rate("CosineDecayRestarts", 0.1, 5.5, t_mul=1.0, m_mul=0.5),
]  # fmt: skip
KINDS = {
    "SGD": [{}, {"momentum": 0.8}, {"momentum": 0.8, "nesterov": True}, {"nesterov": True}],
    "Adam": [{}, {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.1}, {"amsgrad": True},
             {"beta_1": 0.0}],
    "AdamW": [{}, {"weight_decay": 0.2, "amsgrad": True}, {"epsilon": 1e-3}],
    "RMSprop": [{}, {"rho": 0.5, "epsilon": 0.01}, {"centered": True, "momentum": 0.7},
                {"rho": 0.0}],
    "Adagrad": [{}, {"initial_accumulator_value": 1.0, "epsilon": 0.1},
                {"initial_accumulator_value": 0.0}],
    "Adadelta": [{}, {"rho": 0.5, "epsilon": 1e-3}],
    "Adamax": [{}, {"beta_1": 0.6, "beta_2": 0.8, "epsilon": 0.01}],
    "Nadam": [{}, {"beta_1": 0.6, "beta_2": 0.8, "epsilon": 0.01}],
    "Lion": [{}, {"beta_1": 0.5, "beta_2": 0.6}],
    "Lamb": [{}, {"beta_1": 0.6, "beta_2": 0.8, "epsilon": 0.01}],
    "Adafactor": [{}, {"relative_step": False}, {"relative_step": False, "epsilon_1": 1e-2,
                  "epsilon_2": 0.1, "clip_threshold": 2.0, "beta_2_decay": -0.3}],
    "Ftrl": [{}, {"learning_rate_power": 0.0}, {"learning_rate_power": -1.0, "beta": 0.5},
             {"initial_accumulator_value": 0.5, "l1_regularization_strength": 0.1},
             {"l2_shrinkage_regularization_strength": 0.1, "beta": 0.2},
             {"l2_regularization_strength": 0.3}],
    "Muon": [{}, {"momentum": 0.5, "nesterov": False, "ns_steps": 2, "adam_beta_1": 0.5,
                  "adam_beta_2": 0.7, "epsilon": 1e-3},
             {"muon_a": 2.0, "muon_b": -1.5, "muon_c": 0.5, "rms_rate": 0.5},
             {"rms_rate": None, "adam_lr_ratio": 3.0, "adam_weight_decay": None},
             {"exclude_layers": ["w[02]"], "adam_weight_decay": 0.1},
             {"exclude_embeddings": False, "weight_decay": None}],
    "ScheduleFreeAdamW": [{}, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
                          {"warmup_steps": 30}, {"warmup_steps": 4, "weight_decay": 0.1}],
}  # fmt: skip
SHARED = [
    {"weight_decay": 0.1}, {"clipnorm": 0.5}, {"clipvalue": 0.2}, {"global_clipnorm": 0.9},
    {"use_ema": True}, {"use_ema": True, "ema_momentum": 0.0},
    {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 4},
    {"gradient_accumulation_steps": 4}, {"loss_scale_factor": 16.0},
    {"gradient_accumulation_steps": 3, "global_clipnorm": 0.4, "weight_decay": 0.02},
    {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 3},
    {"loss_scale_factor": 4.0, "clipvalue": 0.1, "use_ema": True, "weight_decay": 0.01},
    {"clipnorm": 0.3, "learning_rate": DECAY},
    {"gradient_accumulation_steps": 3, "learning_rate": DECAY},
]  # fmt: skip
GRID = [(name, {**own}) for name, rows in KINDS.items() for own in rows]
# Every optimizer under a few of the shared arguments, in turn; SGD under all.
for position, name in enumerate(KINDS):
    chosen = range(14) if name == "SGD" else [(position + 5 * i) % 14 for i in range(2)]
    GRID += [(name, {**KINDS[name][-1], **SHARED[i]}) for i in sorted(set(chosen))]
CASES = [pytest.param(*c, id=f"{c[0]}-{'-'.join(c[1])}-{i}") for i, c in enumerate(GRID)]


def made(family, kind, kwargs, **more):
    kwargs = {"learning_rate": 0.03, **kwargs, **more}
    if callable(kwargs["learning_rate"]):
        kwargs["learning_rate"] = kwargs["learning_rate"](family)
    return getattr(family, kind)(**kwargs)


def near(got, want, tolerance=3e-5):
    got, want = (np.asarray(x.numpy() if hasattr(x, "numpy") else x) for x in (got, want))
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance / 10)


def same_state(ours, theirs, tolerance=3e-5):
    (mine, values), (its, peers) = ours, theirs
    assert len(mine.variables) == len(its.variables)
    for a, b in zip(values, peers, strict=True):
        near(a, b, tolerance)
    for a, b in zip(mine.variables, its.variables, strict=True):
        near(a, b, tolerance)


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_twenty_steps_and_configs_are_keras(tf, name, kwargs):
    mine, its = made(keras.optimizers, name, kwargs), made(tf.keras.optimizers, name, kwargs)
    values = [hr.Variable(x, name=f"w{i}") for i, x in enumerate(STARTS)]
    peers = [tf.keras.Variable(x, name=f"w{i}") for i, x in enumerate(STARTS)]
    for grads in GRADS:
        mine.apply([hr.constant(g) for g in grads], values)
        its.apply([tf.constant(g) for g in grads], peers)
    # Keras's iteration of five small products each step adds up float32 noise.
    same_state((mine, values), (its, peers), 3e-4 if name == "Muon" else 3e-5)
    mine.finalize_variable_values(values)
    its.finalize_variable_values(peers)
    for a, b in zip(values, peers, strict=True):
        near(a, b, 3e-4 if name == "Muon" else 3e-5)
    mine, its = (made(f.optimizers, name, kwargs, name="n") for f in (keras, tf.keras))
    a, b = mine.get_config(), its.get_config()
    assert json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    # Keras's optimizers.deserialize does not know Lamb; its models' files do.
    read = tf.keras.utils.deserialize_keras_object(keras.optimizers.serialize(mine))
    assert json.dumps(read.get_config(), sort_keys=True) == json.dumps(b, sort_keys=True)
    back = keras.optimizers.deserialize(tf.keras.optimizers.serialize(its))
    assert json.dumps(back.get_config(), sort_keys=True) == json.dumps(a, sort_keys=True)


@pytest.mark.parametrize("index", range(len(SCHEDULES)))
def test_schedules_are_keras(tf, index):
    mine, its = SCHEDULES[index](keras.optimizers), SCHEDULES[index](tf.keras.optimizers)
    traced = hr.function(mine)
    for step in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 16, 29, 1000):
        near(mine(step), its(step), 1e-5)
        now = hr.constant(step, dtype="int64")
        near(mine(now), its(tf.constant(step, "int64")), 1e-5)
        near(traced(now), mine(now), 1e-5)
    assert json.dumps(mine.get_config()) == json.dumps(its.get_config())
    for family, form in (
        (tf.keras, keras.optimizers.schedules.serialize(mine)),
        (keras, tf.keras.optimizers.schedules.serialize(its)),
    ):
        again = family.optimizers.schedules.deserialize(form)
        assert json.dumps(again.get_config()) == json.dumps(its.get_config())


SPARSE = [
    (name, {**KINDS[name][-1], **more}) for name in KINDS
    for more in ({}, {"weight_decay": 0.05, "use_ema": True})
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs"), SPARSE)
def test_sparse_gradients_are_keras(tf, name, kwargs):
    """Rows named once each: Keras squares and clips rows named twice apart."""
    table = RNG.normal(size=(8, 3)).astype("f")
    mine, its = made(keras.optimizers, name, kwargs), made(tf.keras.optimizers, name, kwargs)
    value, peer = hr.Variable(table), tf.keras.Variable(table)
    for _ in range(STEPS // 2):
        indices = RNG.permutation(8)[:3]
        rows = RNG.normal(size=(3, 3)).astype("f")
        mine.apply(
            [hr.IndexedSlices(hr.constant(rows), hr.constant(indices), hr.constant([8, 3]))],
            [value],
        )
        its.apply([tf.IndexedSlices(rows, indices, [8, 3])], [peer])
    same_state((mine, [value]), (its, [peer]), 3e-4 if name == "Muon" else 3e-5)
