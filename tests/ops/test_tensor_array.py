"""TensorArray: eager = traced, gradients = TensorFlow's, errors."""

import numpy as np
import pytest

import headrace as hr

X = np.array([[0.3, -0.8], [0.6, 1.1], [0.2, 0.9]], np.float32)


def _write_stack(lib, x):
    ta = lib.TensorArray(lib.float32, size=3)
    for k in range(3):
        ta = ta.write(k, x[k] * float(k + 1))
    return ta.stack()


def _loop(lib, x):
    """Running products: reads one array, writes another, in a loop."""
    n = lib.shape(x)[0]
    source = lib.TensorArray(lib.float32, size=n, clear_after_read=False).unstack(x)
    out = lib.TensorArray(lib.float32, size=n, element_shape=[2])

    def body(i, acc, out):
        acc = acc * source.read(i) + lib.sin(source.read(0))
        return i + 1, acc, out.write(i, acc)

    start = (lib.constant(0), lib.ones([2]), out)
    return lib.while_loop(lambda i, *_: i < n, body, start)[2].stack()


def _overwrite(lib, x):
    ta = lib.TensorArray(lib.float32, size=2, clear_after_read=False)
    ta = ta.write(0, x[0]).write(1, x[1]).write(0, x[2] * x[2])
    return ta.gather([1, 0])


def _scatter_gather(lib, x):
    ta = lib.TensorArray(lib.float32, size=4, element_shape=[2], clear_after_read=False)
    return ta.scatter([3, 0, 2], x * x).gather([0, 3, 1])


def _concat(lib, x):
    ta = lib.TensorArray(lib.float32, size=2, infer_shape=False, clear_after_read=False)
    return ta.write(0, x * x).write(1, x[:1] * 3.0).concat()


def _split(lib, x):
    ta = lib.TensorArray(lib.float32, size=2, infer_shape=False, clear_after_read=False)
    ta = ta.split(x * x, [1, 2])
    return lib.concat([ta.read(1), ta.read(0) * x[:1]], 0)


def _dynamic(lib, x):
    ta = lib.TensorArray(lib.float32, size=0, dynamic_size=True, element_shape=[2])

    def body(i, ta):
        return i + 1, ta.write(i, x[1] * lib.cast(i, lib.float32) * x[2])

    return lib.while_loop(lambda i, ta: i < 4, body, (lib.constant(0), ta))[1].stack()


def _in_choice(lib, x):
    ta = lib.TensorArray(lib.float32, size=2, element_shape=[2], clear_after_read=False)
    ta = ta.write(0, x[0])
    ta = lib.cond(lib.reduce_sum(x) > 0.0, lambda: ta.write(1, x[1] * x[2]), lambda: ta)
    return ta.stack()


PROGRAMS = [
    _write_stack, _loop, _overwrite, _scatter_gather, _concat, _split, _dynamic, _in_choice,
]  # fmt: skip


def _gradients(lib, fn):
    x = lib.constant(X)
    with lib.GradientTape() as outer:
        outer.watch(x)
        with lib.GradientTape() as inner:
            inner.watch(x)
            value = fn(x)
            y = lib.reduce_sum(lib.sin(value))
        first = lib.convert_to_tensor(inner.gradient(y, x))
        sink = lib.reduce_sum(lib.sin(first))
    return value.numpy(), first.numpy(), lib.convert_to_tensor(outer.gradient(sink, x)).numpy()


@pytest.mark.parametrize("program", PROGRAMS)
def test_traced_equals_eager_with_gradients(program):
    eager = _gradients(hr, lambda x: program(hr, x))
    for a, b in zip(_gradients(hr, hr.function(lambda x: program(hr, x))), eager, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients_are_tensorflows(tf, program):
    ours = _gradients(hr, hr.function(lambda x: program(hr, x)))
    theirs = _gradients(tf, tf.function(lambda x: program(tf, x)))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_an_element_gathered_twice_gets_both_gradients():
    """TensorFlow's lists keep only the last of them in a traced function."""
    x = hr.constant(X)
    with hr.GradientTape() as tape:
        tape.watch(x)
        ta = hr.TensorArray(hr.float32, size=3, clear_after_read=False).unstack(x)
        y = hr.reduce_sum(ta.gather([2, 0, 2]) * [[1.0], [2.0], [4.0]])
    assert tape.gradient(y, x).numpy()[:, 0].tolist() == [2.0, 0.0, 5.0]


def test_many_writes_cost_the_same_each():
    @hr.function
    def f(n):
        ta = hr.TensorArray(hr.int32, size=0, dynamic_size=True)
        return hr.while_loop(
            lambda i, ta: i < n, lambda i, ta: (i + 1, ta.write(i, i * i)), (0, ta)
        )[1].stack()

    assert f(hr.constant(3000)).numpy().tolist() == [k * k for k in range(3000)]


def test_arrays_pass_in_and_out_of_functions():
    f = hr.function(lambda ta, x: ta.write(1, x))
    ta = hr.TensorArray(hr.float32, size=2, element_shape=[]).write(0, 1.0)
    assert f(ta, hr.constant(5.0)).stack().numpy().tolist() == [1.0, 5.0]


def test_strings():
    ta = hr.TensorArray(hr.string, size=2).write(0, "a").write(1, "bc")
    assert ta.stack().numpy().tolist() == [b"a", b"bc"]


def test_unwritten_elements_are_zeros_where_the_shape_is_known():
    ta = hr.TensorArray(hr.float32, size=2, element_shape=[2])
    assert ta.read(1).numpy().tolist() == [0.0, 0.0]
    with pytest.raises(hr.errors.InvalidArgumentError, match="uninitialized"):
        hr.TensorArray(hr.float32, size=2).read(0)


@pytest.mark.parametrize(
    ("use", "kind", "text"),
    [
        (lambda ta: ta.write(2, 1.0), "OutOfRangeError", "index 2.*not resizeable"),
        (lambda ta: ta.read(5), "OutOfRangeError", "index 5.*size is: 2"),
        (lambda ta: ta.read(-1), "OutOfRangeError", "negative"),
        (lambda ta: (ta.read(0), ta.read(0)), "InvalidArgumentError", "cleared after"),
        (lambda ta: ta.write(0, hr.constant(1)), "InvalidArgumentError", "dtype is float32"),
    ],
)
def test_bad_use_raises_tensorflows_kinds(use, kind, text):
    ta = hr.TensorArray(hr.float32, size=2).write(0, 1.0)
    with pytest.raises(getattr(hr.errors, kind), match=text):
        use(ta)


def test_shapes_are_checked():
    ta = hr.TensorArray(hr.float32, size=2).write(0, [1.0, 2.0])
    with pytest.raises(ValueError, match="Incompatible shape"):
        ta.write(1, 3.0)
    with pytest.raises(ValueError, match="3 tensors into a TensorArray of static size 2"):
        hr.TensorArray(hr.float32, size=2).unstack([1.0, 2.0, 3.0])
    with pytest.raises(NotImplementedError, match="GradientTape"):
        ta.grad("source")
