"""Values to tensors: dtypes, errors and texts are TensorFlow's."""

import numpy as np
import pytest

import headrace as hr

VALUES = {
    "int": 3,
    "large int": 2**40,
    "float": 1.5,
    "bool": True,
    "text": "ä",
    "bytes with a trailing NUL": b"a\0",
    "list of ints": [1, 2, 3],
    "list of large ints": [1, 2**40],
    "nested floats": [[1.0, 2.0], [3.0, 4.0]],
    "ints and floats": [1, 2.5],
    "empty list": [],
    "list of bytes": [b"a", b"bc"],
    "float64 array": np.array([1.0, 2.0]),
    "int8 array": np.array([1, 2], np.int8),
    "array of text": np.array(["a", "bc"]),
    "NumPy scalar": np.float64(2.0),
    "list of NumPy scalars": [np.float64(1.0), np.float64(2.0)],
    "bool array": np.array([True, False]),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_dtype_shape_and_value_are_tensorflows(tf, value):
    ours, theirs = hr.convert_to_tensor(value), tf.convert_to_tensor(value)
    assert ours.dtype.name == theirs.dtype.name
    assert ours.shape.as_list() == theirs.shape.as_list()
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


PAIRS = {
    "int to float": (1, "float32"),
    "float to int": (1.5, "int32"),
    "list of floats to int": ([1.0, 2.0], "int32"),
    "ints to float": ([1, 2], "float64"),
    "bool to float": (True, "float32"),
    "bool to int": ([True], "int32"),
    "bool array to float": (np.array([True]), "float32"),
    "text to float": ("a", "float32"),
    "float64 array to float32": (np.array([1.0]), "float32"),
    "float array to int": (np.array([1.0]), "int32"),
    "lists of unequal lengths": ([[1], [1, 2]], "int32"),
    "None": (None, "float32"),
}


@pytest.mark.parametrize("value,dtype", PAIRS.values(), ids=PAIRS.keys())
def test_conversion_to_a_dtype_agrees_with_tensorflow(tf, value, dtype):
    try:
        theirs = tf.convert_to_tensor(value, dtype)
    except (TypeError, ValueError):
        with pytest.raises((TypeError, ValueError)):
            hr.convert_to_tensor(value, dtype)
    else:
        ours = hr.convert_to_tensor(value, dtype)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        assert ours.dtype.name == theirs.dtype.name


@pytest.mark.parametrize("value", [300, -1, [1, 300]])
def test_numbers_that_do_not_fit_are_errors_where_tensorflow_wraps(value):
    with pytest.raises(ValueError, match="uint8"):
        hr.convert_to_tensor(value, "uint8")


def test_an_operand_is_never_truncated_where_tensorflow_does():
    with pytest.raises(hr.errors.InvalidArgumentError, match="int32 tensor but is a double"):
        hr.constant(1) + np.array([1.5])


def test_a_tensor_keeps_its_value_when_the_users_array_changes():
    array = np.zeros(3)
    tensor = hr.convert_to_tensor(array)
    array[:] = 1
    assert tensor.numpy().tolist() == [0, 0, 0]


def test_int32_and_float32_do_not_mix():
    with pytest.raises(
        hr.errors.InvalidArgumentError, match=r"AddV2 .*int32 tensor but is a float"
    ):
        hr.constant(1) + hr.constant(1.0)


def test_mixed_dtypes_are_a_type_error_while_tracing_as_in_tensorflow():
    with pytest.raises(TypeError, match="AddV2"):
        hr.function(lambda x: x + hr.constant(1.0))(hr.constant(1))


def test_python_numbers_take_the_tensors_dtype():
    assert (hr.constant(1.0, "float64") + 1).dtype == hr.float64
    assert (2 * hr.constant([1], "int64")).dtype == hr.int64


def test_lists_of_tensors_are_stacked():
    assert hr.convert_to_tensor([hr.constant([1.0]), [2.0]]).numpy().tolist() == [[1.0], [2.0]]


def test_repr_shows_id_shape_dtype_and_value():
    text = repr(hr.add(2, 3))
    assert text.startswith("<hr.Tensor: id=") and text.endswith(
        "shape=(), dtype=int32, numpy=5>"
    )


def test_constant_fills_a_shape():
    assert hr.constant(7, shape=[2, 2]).numpy().tolist() == [[7, 7], [7, 7]]
    with pytest.raises(TypeError, match="3 elements"):
        hr.constant([1, 2, 3], shape=[2])


def test_tensors_are_not_hashable_but_their_references_are():
    x = hr.constant(1)
    with pytest.raises(TypeError, match="ref"):
        hash(x)
    assert x.ref() in {x.ref()} and x.ref().deref() is x


def test_dlpack_and_array_protocols():
    x = hr.constant([1.0, 2.0])
    assert np.from_dlpack(x).tolist() == [1.0, 2.0]
    assert np.asarray(x, np.float64).dtype == np.float64


@pytest.mark.parametrize("value", [[1], [True], [[1, 2]], [1.5]], ids=str)
def test_a_list_of_numbers_is_no_list_of_strings(value):
    with pytest.raises(TypeError, match="dtype string"):
        hr.constant(value, "string")
    assert hr.constant([], "string").dtype is hr.string
