"""Top-level names: initializers, static values, aliases of Keras, versions, types."""

import numpy as np
import pytest

import headrace as hr


def test_initializers_are_tensorflows(tf):
    for make in (
        lambda lib: lib.zeros_initializer()([2, 3]),
        lambda lib: lib.ones_initializer()([2], lib.int32),
        lambda lib: lib.constant_initializer(3)([2, 2], lib.float32),
        lambda lib: lib.constant_initializer([1.0, 2.0, 3.0, 4.0])([2, 2]),
    ):
        ours, theirs = make(hr).numpy(), make(tf).numpy()
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    hr.random.set_seed(1)
    drawn = hr.random_normal_initializer(2.0, 0.5, seed=3)([4000]).numpy()
    assert abs(drawn.mean() - 2) < 0.05 and abs(drawn.std() - 0.5) < 0.05
    drawn = hr.random_uniform_initializer(1, 4, seed=3)([100], hr.int32).numpy()
    assert set(drawn) == {1, 2, 3}
    again = hr.random_normal_initializer.from_config({"mean": 2.0, "stddev": 1.0, "seed": 1})
    assert again.get_config() == {"mean": 2.0, "stddev": 1.0, "seed": 1}
    with pytest.raises(ValueError, match="floating"):
        hr.random_normal_initializer()([2], hr.int32)


def test_static_values_and_symbols():
    assert hr.get_static_value(hr.constant([1, 2])).tolist() == [1, 2]
    seen = []

    @hr.function
    def f(x):
        seen.append((hr.get_static_value(x), hr.is_symbolic_tensor(x)))
        seen.append(hr.get_static_value(hr.shape(x)).tolist())
        return hr.timestamp()

    first = f(hr.constant([1.0])).numpy()
    assert seen == [(None, True), [1]] and not hr.is_symbolic_tensor(hr.constant(1))
    assert f(hr.constant([1.0])).numpy() > first
    assert first > 1e9 and first.dtype == np.float64


def test_aliases_and_namespaces():
    for name in ("initializers", "losses", "metrics", "optimizers"):
        assert getattr(hr, name) is getattr(hr.keras, name)
        assert name in dir(hr)
    assert hr.version.VERSION == hr.__version__
    assert isinstance(hr.constant(1), hr.types.experimental.TensorLike)
    assert hr.get_logger().name == "headrace"
    assert hr.constant([1])[hr.newaxis].shape == [1, 1]
    hr.no_gradient("Shape")
    with pytest.raises(LookupError):
        hr.no_gradient("NoSuchOp")


def test_write_graph(tmp_path):
    path = hr.io.write_graph(hr.make_tensor_proto([1, 2]), str(tmp_path / "g"), "t.pb", False)
    with hr.io.gfile.GFile(path, "rb") as f:
        assert hr.make_ndarray(type(hr.make_tensor_proto(1)).FromString(f.read())).size == 2
