"""The face of a tensor: conversions, texts, protocols, and what a symbolic one refuses."""

import copy
import pickle

import numpy as np
import pytest

import headrace as hr
from headrace.ops.errors import UntraceableError
from headrace.ops.tensor import as_raw, raw_value


def test_scalars_convert_to_python_numbers():
    assert int(hr.constant(3)) == 3 and float(hr.constant(1.5)) == 1.5
    assert bool(hr.constant(True)) and complex(hr.constant(2.0)) == 2
    assert [10, 20, 30][hr.constant(1)] == 20
    assert int(hr.constant([[7]])) == 7
    with pytest.raises(ValueError, match="one element converts to int"):
        int(hr.constant([1, 2]))
    with pytest.raises(TypeError, match="index"):
        [1, 2][hr.constant(1.0)]


def test_length_and_iteration():
    x = hr.constant([[1, 2], [3, 4]])
    assert len(x) == 2 and [t.numpy().tolist() for t in x] == [[1, 2], [3, 4]]
    with pytest.raises(TypeError, match="no `len"):
        len(hr.constant(1))
    with pytest.raises(TypeError, match="iterate over a scalar"):
        iter(hr.constant(1))


@pytest.mark.parametrize(
    "value,shown",
    [
        (5, "shape=(), dtype=int32, numpy=5>"),
        ([1, 2], "shape=(2,), dtype=int32, numpy=array([1, 2], dtype=int32)>"),
        (
            [[1.0], [2.0]],
            "shape=(2, 1), dtype=float32, numpy=\n"
            "array([[1.],\n       [2.]], dtype=float32)>",
        ),
        (b"ab", "shape=(), dtype=string, numpy=b'ab'>"),
    ],
    ids=str,
)  # fmt: skip
def test_repr_is_tensorflows_but_for_the_module_and_the_id(tf, value, shown):
    assert repr(hr.constant(value)).endswith(shown)
    assert repr(tf.constant(value)).endswith(shown)


def test_str_and_format():
    assert str(hr.constant([1.5])) == "hr.Tensor([1.5], shape=(1,), dtype=float32)"
    assert str(hr.constant("a")) == "hr.Tensor(b'a', shape=(), dtype=string)"
    assert f"{hr.constant(1.25):.1f}" == "1.2" and f"{hr.constant(2)}" == "2"


def test_numpy_gives_a_copy():
    x = hr.constant([1, 2])
    x.numpy()[0] = 9
    assert x.numpy().tolist() == [1, 2]
    assert (
        np.asarray(x, "f8").tolist() == [1.0, 2.0] and np.array(hr.constant("a")).item() == b"a"
    )
    assert isinstance(hr.constant(1).numpy(), np.int32)


def test_tensors_copy_and_pickle():
    x = hr.constant([b"a", b"bc"])
    for same in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert same.numpy().tolist() == [b"a", b"bc"]


def test_shapes():
    x = hr.zeros([2, 3])
    assert x.get_shape() == [2, 3] and x.ndim == 2 and "CPU:0" in x.device
    x.set_shape([None, 3])
    with pytest.raises(ValueError, match="not compatible"):
        x.set_shape([3, 3])
    with pytest.raises(AttributeError, match="name is undefined"):
        x.name


REFUSED = {
    "numpy": lambda x: x.numpy(),
    "NumPy call": lambda x: np.log1p(x),
    "bool": lambda x: 1 if x > 0 else 2,
    "int": lambda x: int(x),
    "float": lambda x: float(x),
    "index": lambda x: [1, 2][x],
    "format": lambda x: f"{x}",
    "length": lambda x: len(x),
    "iteration": lambda x: list(x),
    "raw value": raw_value,
}


@pytest.mark.parametrize("use", REFUSED.values(), ids=REFUSED.keys())
def test_a_symbolic_tensor_has_no_value(use):
    seen = []

    def fn(x):
        try:
            use(x)
        except UntraceableError as error:
            seen.append(str(error))
        return x

    hr.function(fn).get_concrete_function(hr.TensorSpec([None], "int32"))
    assert "has no value while the function is traced" in seen[0]


def test_a_symbolic_tensor_says_what_is_known():
    seen = {}

    @hr.function(input_signature=[hr.TensorSpec([None, 2])])
    def fn(x):
        seen.update(shape=x.shape.as_list(), dtype=x.dtype, rank=x.ndim, name=x.name)
        seen.update(op=x.op.type, text=repr(x), device=x.device, same=copy.deepcopy(x) is x)
        x.set_shape([3, None])
        assert len(x) == 3 and len(list(x)) == 3
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(x)
        return x

    fn(hr.zeros([3, 2]))
    assert seen["shape"] == [None, 2] and seen["dtype"] == hr.float32 and seen["rank"] == 2
    assert seen["op"] == "Placeholder" and seen["name"].endswith(":0") and seen["device"] == ""
    assert "shape=(None, 2)" in seen["text"] and seen["same"]


def test_references_compare_by_identity():
    x, y = hr.constant(1), hr.constant(1)
    assert x.ref() == x.ref() and x.ref() != y.ref() and "Reference" in repr(x.ref())


def test_raw_arrays_of_foreign_kinds():
    assert as_raw(np.array([1, 2], ">i4")).dtype == np.dtype("i4")
    assert as_raw(np.array(["a"])).numpy().tolist() == [b"a"]
    assert as_raw(hr.constant(1)).shape == ()
    with pytest.raises(TypeError, match="no tensor counterpart"):
        as_raw(np.array(["2020-01-01"], "M8[D]"))


def test_variables_read_write_and_say_what_they_are():
    v = hr.Variable([1.0, 2.0], name="w")
    assert v.name == "w:0" and v.trainable and v.shape == [2] and v.ndim == 1 and len(v) == 2
    assert repr(v).startswith("<hr.Variable 'w:0' shape=(2,) dtype=float32")
    assert [float(t) for t in v] == [1.0, 2.0] and float(v[1]) == 2.0
    v.assign_add([1.0, 1.0]).assign_sub([0.5, 0.5])
    assert v.numpy().tolist() == [1.5, 2.5] and np.asarray(v).tolist() == [1.5, 2.5]
    assert copy.deepcopy(v).numpy().tolist() == [1.5, 2.5]
    assert int(hr.Variable(3)) == 3 and bool(hr.Variable(True)) and [5, 6][hr.Variable(1)] == 6
    with pytest.raises(ValueError, match="Shape mismatch"):
        v.assign([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="unhashable"):
        hash(v)
    with pytest.raises(ValueError, match="initial_value"):
        hr.Variable(None)
    with pytest.raises(ValueError, match="requested dtype int32"):
        hr.convert_to_tensor(v, "int32")


def test_an_assigned_value_is_not_written_through():
    v = hr.Variable([1.0])
    before = v.read_value()
    v.owned()[0] = 5.0
    assert before.numpy().tolist() == [1.0] and v.numpy().tolist() == [5.0]
    array = v.owned()
    assert v.owned() is not array  # somebody holds it now
    del array
