"""Global settings and dtype policies."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras import backend, dtype_policies


@pytest.fixture(autouse=True)
def restored():
    yield
    backend.set_epsilon(1e-7)
    backend.set_floatx("float32")
    backend.set_image_data_format("channels_last")
    dtype_policies.set_dtype_policy(None)


def test_settings_are_kept():
    backend.set_epsilon(1e-3)
    backend.set_image_data_format("channels_first")
    assert backend.epsilon() == 1e-3 and backend.image_data_format() == "channels_first"


def test_floatx_is_the_default_of_layers_and_inputs():
    backend.set_floatx("float64")
    assert keras.Layer().dtype == "float64" and keras.Input((1,)).dtype == "float64"


@pytest.mark.parametrize(
    ("setter", "value", "message"),
    [
        (backend.set_floatx, "int32", "floatx must be one of"),
        (backend.set_image_data_format, "rows", "data_format must be 'channels_last' or"),
    ],
)
def test_bad_settings(setter, value, message):
    with pytest.raises(ValueError, match=message):
        setter(value)


def test_unique_ids_count_per_prefix():
    keras.backend.clear_session()
    assert [backend.get_uid("a"), backend.get_uid("b"), backend.get_uid("a")] == [1, 1, 2]


@pytest.mark.parametrize(
    "identifier",
    ["mixed_float16", "float64", dtype_policies.DTypePolicy("bfloat16"), hr.float16, None],
    ids=str,
)
def test_policy_round_trip(identifier):
    policy = dtype_policies.get(identifier)
    assert dtype_policies.get(dtype_policies.serialize(policy)) == policy
    assert hash(policy) == hash(dtype_policies.get(policy.name))
    assert policy.name in repr(policy)


def test_global_policy():
    dtype_policies.set_dtype_policy("mixed_bfloat16")
    layer = keras.layers.Dense(1)
    assert (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")
    assert layer.get_config()["dtype"]["config"] == {"name": "mixed_bfloat16"}


@pytest.mark.parametrize(("name", "kind"), [("mixed_int8", ValueError), (3, TypeError)])
def test_unknown_policies(name, kind):
    with pytest.raises(kind, match=r"mixed_bfloat16|mixed precision"):
        dtype_policies.DTypePolicy(name)


def test_limits_of_fit_and_the_kind_of_progress(capsys):
    config = keras.config
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((8, 1), "f")
    try:
        config.set_max_epochs(2)
        config.set_max_steps_per_epoch(3)
        config.disable_interactive_logging()
        with pytest.warns(UserWarning, match="Limiting"):
            history = model.fit(x, x, batch_size=1, epochs=5)
        lines = capsys.readouterr().out
    finally:
        config.set_max_epochs(None)
        config.set_max_steps_per_epoch(None)
        config.enable_interactive_logging()
    assert history.epoch == [0, 1] and int(model.optimizer.iterations) == 6
    assert "3/3" in lines and "\r" not in lines and "\x08" not in lines
    assert config.backend() == "headrace" and not config.is_nnx_enabled()
    with pytest.raises(ValueError, match="keras package"):
        config.set_backend("jax")
