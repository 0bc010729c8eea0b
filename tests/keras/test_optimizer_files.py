"""Optimizers in model files: what Keras writes goes on here, and the other way round."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras

rng = np.random.default_rng(5)
X = rng.permutation(36).reshape(12, 3).astype("int32")  # once each: Keras squares rows apart
Y = rng.normal(size=(12, 2)).astype("float32")


def plain(name, **kwargs):
    return lambda family: getattr(family, name)(0.02, **kwargs)


def several(family):
    return family.MultiOptimizer(
        family.OptimizerMap(family.SGD(0.05, momentum=0.5), {".*embeddings": family.Adam(0.02)})
    )


def scaled(family):
    return family.LossScaleOptimizer(family.Adam(0.02), initial_scale=4.0, name="scaled")


def scheduled(family):
    return family.AdamW(
        family.schedules.CosineDecay(0.01, 9, warmup_target=0.03, warmup_steps=3),
        weight_decay=0.1, amsgrad=True, clipnorm=0.5, use_ema=True, ema_overwrite_frequency=4,
    )  # fmt: skip


MAKERS = {
    "SGD": plain("SGD", momentum=0.9),
    "RMSprop": plain("RMSprop", momentum=0.3, centered=True),
    "Adam": plain("Adam", amsgrad=True),
    "AdamW": plain("AdamW"),
    "Adagrad": plain("Adagrad"),
    "Adadelta": plain("Adadelta"),
    "Adamax": plain("Adamax"),
    "Nadam": plain("Nadam", use_ema=True),
    "Ftrl": plain("Ftrl"),
    "Lion": plain("Lion"),
    "Adafactor": plain("Adafactor"),
    "Muon": plain("Muon", exclude_layers=["last"]),
    "ScheduleFreeAdamW": plain("ScheduleFreeAdamW"),
    "accumulating": plain("Adam", gradient_accumulation_steps=2),
    "Lamb": plain("Lamb", weight_decay=0.01),
    "scheduled": scheduled,
    "MultiOptimizer": several,
    "LossScaleOptimizer": scaled,
}


def trained(family, make, **kwargs):
    model = family.Sequential(
        [
            family.Input((3,), dtype="int32"),
            family.layers.Embedding(40, 4),
            family.layers.Flatten(),
            family.layers.Dense(3, activation="tanh"),
            family.layers.Dense(2, name="last"),
        ]
    )
    model.compile(make(family.optimizers), loss="mse", **kwargs)
    step(model, 3)
    return model


def step(model, times):
    for _ in range(times):
        model.train_on_batch(X, Y)


def state(model):
    return [np.asarray(v.numpy()) for v in (*model.weights, *model.optimizer.variables)]


def assert_goes_on(ours, theirs):
    """Same weights and slots now and three steps later."""
    for _ in range(2):
        mine, expected = state(ours), state(theirs)
        assert len(mine) == len(expected)
        for a, b in zip(mine, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        step(ours, 3)
        step(theirs, 3)


@pytest.mark.parametrize("name", MAKERS)
def test_our_file_goes_on_in_keras(tf, name, tmp_path):
    model = trained(keras, MAKERS[name])
    model.save(tmp_path / "ours.keras")
    loaded = tf.keras.models.load_model(tmp_path / "ours.keras")
    loaded.run_eagerly = True
    assert_goes_on(model, loaded)


@pytest.mark.parametrize("name", MAKERS)
def test_the_file_of_keras_goes_on_here(tf, name, tmp_path):
    model = trained(tf.keras, MAKERS[name], run_eagerly=True)
    model.save(tmp_path / "theirs.keras")
    assert_goes_on(keras.models.load_model(tmp_path / "theirs.keras"), model)


def test_each_variable_has_its_optimizer():
    """20 steps of MultiOptimizer are those of its parts."""
    (adam, sgd), alone = (
        [keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.05)] for _ in range(2)
    )
    kernel, bias = hr.Variable([1.0, 2.0], name="kernel"), hr.Variable([3.0], name="bias")
    lone = [hr.Variable([1.0, 2.0]), hr.Variable([3.0])]
    both = keras.optimizers.MultiOptimizer(
        lambda variable: adam if "kernel" in variable.name else sgd
    )
    for i in range(20):
        grads = [hr.constant([0.5 - i, 1.0]), hr.constant([float(i)])]
        both.apply(grads, [kernel, bias])
        alone[0].apply(grads[:1], lone[:1])
        alone[1].apply(grads[1:], lone[1:])
    np.testing.assert_array_equal(kernel.numpy(), lone[0].numpy())
    np.testing.assert_array_equal(bias.numpy(), lone[1].numpy())
    assert both.optimizers == [adam, sgd] and int(both.iterations.numpy()) == 20
    assert len(both.variables) == 2 + len(adam.variables) + len(sgd.variables)
    weights = [v.numpy() for v in both.variables]
    both.set_weights([w + 1 for w in weights])
    np.testing.assert_array_equal(adam.variables[0].numpy(), 21)
    both.loss_scale_factor = 2.0
    assert adam.loss_scale_factor == sgd.loss_scale_factor == 2.0
    with pytest.raises(AttributeError, match="sub-optimizers"):
        both.learning_rate = 0.5


def test_map_of_optimizers():
    adam, sgd = keras.optimizers.Adam(), keras.optimizers.SGD()
    chosen = keras.optimizers.OptimizerMap(sgd, {"encoder/.*": adam})
    assert chosen["encoder/kernel"] is adam and chosen["encoder"] is sgd
    chosen["encoder/.*/bias"] = sgd
    assert len(chosen) == 2 and list(chosen)[1] == "encoder/.*/bias"
    with pytest.raises(ValueError, match="Multiple optimizers"):
        chosen["encoder/dense/bias"]
    del chosen["encoder/.*/bias"]
    again = keras.optimizers.OptimizerMap.from_config(chosen.get_config())
    assert type(again["encoder/kernel"]) is keras.optimizers.Adam
    wrapped = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    for key, value, text in (
        ("encoder/.*", sgd, "already exists"),
        (3, sgd, "must be a string"),
        ("x", "adam", "Optimizer instance"),
        ("x", wrapped, "LossScaleOptimizer cannot"),
        ("x", keras.optimizers.MultiOptimizer(chosen), "MultiOptimizer cannot"),
    ):
        with pytest.raises(ValueError, match=text):
            chosen[key] = value
    with pytest.raises(TypeError, match="default_optimizer"):
        keras.optimizers.OptimizerMap("adam")
    with pytest.raises(TypeError, match="dictionary"):
        keras.optimizers.OptimizerMap(sgd, [adam])


@pytest.mark.parametrize("given", ["adam", keras.optimizers.LossScaleOptimizer])
def test_what_a_map_must_give(given):
    give = given if isinstance(given, str) else given(keras.optimizers.SGD())
    both = keras.optimizers.MultiOptimizer(lambda variable: give)
    with pytest.raises(ValueError, match=r"for variable w"):
        both.build([hr.Variable([1.0], name="w")])


def test_multi_optimizer_gradients_must_match():
    both = keras.optimizers.MultiOptimizer(lambda variable: keras.optimizers.SGD())
    both.apply([])
    with pytest.raises(ValueError, match="must already be built"):
        both.apply([hr.constant(1.0)])
    a, b = hr.Variable(1.0), hr.Variable(1.0)
    both.build([a, b])
    with pytest.raises(ValueError, match="one-to-one"):
        both.apply([hr.constant(1.0)], [a])
