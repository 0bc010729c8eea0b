"""Mixed precision: policies, what trains under them, and the dynamic scale of the loss."""

import warnings

import numpy as np
import pytest

import headrace as hr

POLICIES = ["mixed_float16", "mixed_bfloat16"]


@pytest.fixture
def policy(request):
    hr.keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    hr.keras.mixed_precision.set_global_policy(None)


def data(n=32, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4)).astype(np.float32)
    return x, x.sum(1, keepdims=True).astype(np.float32)


def network(keras):
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.LayerNormalization(),
            keras.layers.Dense(1, dtype="float32"),
        ]
    )


def close_to(value):
    return pytest.approx(value, rel=0.02, abs=0.02)


@pytest.mark.parametrize("eager", [False, True], ids=["compiled", "eager"])
@pytest.mark.parametrize("policy", POLICIES, indirect=True)
def test_a_model_trains_and_its_weights_are_float32(policy, eager):
    hr.keras.utils.set_random_seed(1)
    model = network(hr.keras)
    model.compile(hr.keras.optimizers.Adam(0.05), "mse", run_eagerly=eager)
    x, y = data()
    history = model.fit(x, y, epochs=12, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < history[0] / 3
    assert {w.dtype for w in model.weights} == {hr.float32}
    assert model.layers[0](x).dtype.name == policy.removeprefix("mixed_")
    scaled = isinstance(model.optimizer, hr.keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


@pytest.mark.parametrize("policy", POLICIES, indirect=True)
def test_losses_and_metrics_stay_in_floatx(policy):
    assert hr.keras.losses.MeanSquaredError().dtype == "float32"
    assert hr.keras.metrics.Mean().dtype == "float32"


@pytest.mark.parametrize("eager", [False, True], ids=["compiled", "eager"])
def test_a_step_that_overflows_changes_nothing_but_the_scale(eager):
    optimizer = hr.keras.optimizers.LossScaleOptimizer(
        hr.keras.optimizers.SGD(0.1, momentum=0.9), initial_scale=8.0, dynamic_growth_steps=2
    )
    variable = hr.Variable([1.0, 2.0])
    apply = optimizer.apply if eager else hr.function(optimizer.apply)
    optimizer.build([variable])

    def step(*gradient):
        apply([hr.constant(gradient)], [variable])
        scale, count = optimizer.dynamic_scale.numpy(), optimizer.step_counter.numpy()
        return variable.numpy().tolist(), float(scale), int(count), int(optimizer.iterations)

    assert step(8.0, 16.0) == ([pytest.approx(0.9), pytest.approx(1.8)], 8.0, 1, 1)
    before = variable.numpy().tolist()
    assert step(np.inf, 0.0) == (before, 4.0, 0, 1)
    assert step(0.0, np.nan) == (before, 2.0, 0, 1)
    assert step(0.0, 0.0)[1:] == (2.0, 1, 2)
    assert step(0.0, 0.0)[1:] == (4.0, 0, 3)  # the second finite step doubles it


def test_the_scale_is_in_the_dtype_of_the_loss():
    optimizer = hr.keras.optimizers.LossScaleOptimizer(hr.keras.optimizers.SGD())
    for _ in range(2):
        assert optimizer.scale_loss(hr.constant(2.0)).numpy() == 65536.0
        optimizer.build([hr.Variable(1.0)])


def test_it_is_made_from_its_config_and_saved_with_its_state(tmp_path):
    hr.keras.utils.set_random_seed(2)
    inner = hr.keras.optimizers.Adam(0.01)
    made = hr.keras.optimizers.LossScaleOptimizer(inner, 4.0, 3, name="outer")
    again = hr.keras.optimizers.deserialize(hr.keras.optimizers.serialize(made))
    assert again.get_config() == made.get_config()
    made.learning_rate = 0.5
    assert float(inner.learning_rate.numpy()) == 0.5

    model = network(hr.keras)
    model.compile(made, "mse")
    x, y = data()
    model.fit(x, y, verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = hr.keras.models.load_model(path)
    for a, b in zip(made.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert loaded.optimizer.dynamic_growth_steps == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"dynamic": False}, "no longer supports"),
        ({"clipnorm": 1.0}, "Instead, set `clipnorm` on"),
        ({"other": 1}, "`other`"),
    ],
)
def test_what_belongs_to_the_inner_optimizer_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        hr.keras.optimizers.LossScaleOptimizer(hr.keras.optimizers.SGD(), **arguments)
    hr.keras.optimizers.LossScaleOptimizer(hr.keras.optimizers.SGD(), clipnorm=None)


def test_policies_convert_inputs():
    policy = hr.keras.DTypePolicy("mixed_bfloat16")
    x = hr.constant([1.0])
    assert policy.convert_input(x, True, "bfloat16").dtype is hr.bfloat16
    assert policy.convert_input(x, False, "bfloat16").dtype is hr.float32
    assert policy.convert_input(hr.constant([1]), True, "bfloat16").dtype is hr.int32
    assert hr.keras.DTypePolicy().name == "float32"


@pytest.mark.peers
@pytest.mark.parametrize("policy", POLICIES, indirect=True)
def test_training_is_that_of_keras(policy):
    keras = pytest.importorskip("keras")
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        theirs, ours = network(keras), network(hr.keras)
        theirs.compile(keras.optimizers.SGD(0.05), "mse")
        ours.compile(hr.keras.optimizers.SGD(0.05), "mse")
        ours.set_weights(theirs.get_weights())
        x, y = data()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for k in range(6):
                part = slice(8 * (k % 4), 8 * (k % 4) + 8)
                want = float(theirs.train_on_batch(x[part], y[part]))
                got = float(ours.train_on_batch(x[part], y[part]))
                assert got == close_to(want), k
        if policy == "mixed_float16":
            for name in ("dynamic_scale", "step_counter", "iterations"):
                a = np.asarray(getattr(ours.optimizer, name))
                b = np.asarray(getattr(theirs.optimizer, name))
                np.testing.assert_array_equal(a, b, err_msg=name)
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=0.03)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
