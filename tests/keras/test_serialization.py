"""Configs: plain values, functions, classes, custom objects, lambdas."""

import json

import numpy as np
import pytest

from headrace import keras
from headrace.keras.saving import deserialize_keras_object, serialize_keras_object


@pytest.mark.parametrize(
    "value",
    [None, 3, 2.5, "text", True, [1, [2, "a"]], {"a": [1, {"b": None}]}, (1, (2, 3)), b"bytes",
     slice(1, None, 2), ...],
    ids=repr,
)  # fmt: skip
def test_plain_values_round_trip(value):
    described = json.loads(json.dumps(serialize_keras_object(value)))
    again = deserialize_keras_object(described)
    assert again == value and type(again) is type(value)


def test_arrays_round_trip():
    array = np.arange(6, dtype="int16").reshape(2, 3)
    again = deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(array))))
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize(
    ("obj", "module", "name"),
    [
        (keras.layers.Dense(2), "keras.layers", "Dense"),
        (keras.Sequential(), "keras", "Sequential"),
        (keras.optimizers.SGD(), "keras.optimizers", "SGD"),
        (keras.losses.Huber(), "keras.losses", "Huber"),
        (keras.metrics.Mean(), "keras.metrics", "Mean"),
        (keras.initializers.Zeros(), "keras.initializers", "Zeros"),
        (keras.regularizers.L2(0.1), "keras.regularizers", "L2"),
        (keras.dtype_policies.DTypePolicy("float32"), "keras", "DTypePolicy"),
        (
            keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9),
            "keras.optimizers.schedules",
            "ExponentialDecay",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_objects_bear_keras_names(obj, module, name):
    described = json.loads(json.dumps(serialize_keras_object(obj)))
    assert (described["module"], described["class_name"]) == (module, name)
    assert described["registered_name"] is None
    again = deserialize_keras_object(described)
    assert type(again) is type(obj) and again.get_config() == obj.get_config()


def custom_function(x):
    return x + 1


def test_functions_by_module_scope_or_registry():
    described = serialize_keras_object(custom_function)
    assert described["class_name"] == "function" and described["config"] == "custom_function"
    described["module"] = "no.such.module"
    with pytest.raises(
        ValueError, match="Could not locate class or function 'custom_function'"
    ):
        deserialize_keras_object(described)
    with keras.utils.custom_object_scope({"custom_function": custom_function}):
        assert deserialize_keras_object(described) is custom_function
    again = deserialize_keras_object(
        described, custom_objects={"custom_function": custom_function}
    )
    assert again is custom_function


def test_lambda_needs_trust():
    described = json.loads(json.dumps(serialize_keras_object(lambda x: x * 7)))
    with pytest.raises(ValueError, match="safe_mode=False"):
        deserialize_keras_object(described)
    assert deserialize_keras_object(described, safe_mode=False)(3) == 21


def test_object_without_config():
    with pytest.raises(TypeError, match=r"must implement the `get_config\(\)`"):
        serialize_keras_object(object())


def test_registration_needs_a_config():
    with pytest.raises(ValueError, match="get_config"):
        keras.utils.register_keras_serializable()(type("Plain", (), {}))


def test_scopes_nest():
    a, b = object(), object()
    find = keras.utils.get_registered_object
    with keras.utils.custom_object_scope({"thing": a}):
        with keras.utils.custom_object_scope({"thing": b}):
            assert find("thing") is b
        assert find("thing") is a
    assert find("thing") is None
