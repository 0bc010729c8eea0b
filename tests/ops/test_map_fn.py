"""map_fn, folds, scan, vectorized_map: traced = eager = TensorFlow's, with gradients."""

import numpy as np
import pytest

import headrace as hr

X = np.array([[0.3, -0.8], [0.6, 1.1], [0.2, 0.9]], np.float32)

PROGRAMS = {
    "map": lambda lib, x: lib.map_fn(lambda r: lib.reduce_sum(r * r), x),
    "map of two": lambda lib, x: lib.map_fn(
        lambda p: p[0] * p[1], (x, lib.sin(x)), fn_output_signature=lib.float32
    ),
    "foldl": lambda lib, x: lib.foldl(lambda a, r: a * r + lib.sin(a), x),
    "foldl from": lambda lib, x: lib.foldl(lambda a, r: a * r, x, lib.ones([2]) * 2.0),
    "foldr": lambda lib, x: lib.foldr(lambda a, r: a - r * r, x),
    "scan": lambda lib, x: lib.scan(lambda a, r: a * r, x),
    "scan back": lambda lib, x: lib.scan(
        lambda a, r: a * 0.5 + r, x, lib.zeros([2]), reverse=True
    ),
    "scan of two": lambda lib, x: lib.scan(
        lambda a, p: (a[0] + p[0], a[1] * p[1]),
        (x, lib.exp(x)),
        (lib.zeros([2]), lib.ones([2])),
    )[1],
    "vectorized": lambda lib, x: lib.vectorized_map(
        lambda r: lib.exp(r) * lib.reduce_max(r), x
    ),
}


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


@pytest.mark.parametrize("name", PROGRAMS)
def test_traced_equals_eager_with_gradients(name):
    program = PROGRAMS[name]
    eager = _gradients(hr, lambda x: program(hr, x))
    for a, b in zip(_gradients(hr, hr.function(lambda x: program(hr, x))), eager, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_are_tensorflows(tf, name):
    program = PROGRAMS[name]
    ours = _gradients(hr, hr.function(lambda x: program(hr, x)))
    theirs = _gradients(tf, tf.function(lambda x: program(tf, x)))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_ragged_rows():
    rt = hr.ragged.constant([[1, 2, 3], [], [4]])
    for wrap in (lambda f: f, hr.function):
        f = wrap(lambda r: hr.map_fn(hr.reduce_sum, r, fn_output_signature=hr.int32))
        assert f(rt).numpy().tolist() == [6, 0, 4]


def test_functions_given_to_map_fn_are_converted():
    def absolute(v):
        if v < 0:
            return -v
        return v

    @hr.function
    def f(x):
        if hr.reduce_sum(x) > 100:
            x = x * 0
        return hr.map_fn(absolute, x)

    assert f(hr.constant([-1, 2, -3])).numpy().tolist() == [1, 2, 3]


def test_vectorized_map_of_a_choice_and_of_variables():
    w = hr.Variable(3.0)

    def fn(r):
        return hr.cond(hr.reduce_sum(r) > 0.5, lambda: r * w, lambda: hr.sort(-r))

    for call in (hr.vectorized_map, hr.function(lambda f, x: hr.vectorized_map(f, x))):
        with hr.GradientTape() as tape:
            y = call(fn, hr.constant(X))
        want = [r * 3.0 if r.sum() > 0.5 else np.sort(-r) for r in X]
        np.testing.assert_allclose(y.numpy(), want, rtol=1e-6)
        np.testing.assert_allclose(
            tape.gradient(y, w).numpy(), sum(r.sum() for r in X if r.sum() > 0.5), rtol=1e-5
        )


def test_what_has_no_batched_form_is_named():
    fn = lambda r: hr.numpy_function(lambda v: v * 2, [r], hr.float32)  # noqa: E731
    f = hr.function(lambda x: hr.vectorized_map(fn, x))
    with pytest.warns(UserWarning, match="PyFunc"):
        np.testing.assert_allclose(f(hr.constant(X)).numpy(), X * 2)
    with pytest.raises(hr.errors.UnimplementedError, match="PyFunc"):
        hr.function(lambda x: hr.vectorized_map(fn, x, False))(hr.constant(X))


@pytest.mark.parametrize(
    ("use", "kind", "text"),
    [
        (lambda: hr.map_fn(1, [1, 2]), TypeError, "callable"),
        (lambda: hr.map_fn(lambda x: x, 1), ValueError, "scalar"),
        (lambda: hr.map_fn(lambda x: (x, x), [1, 2]), ValueError, "structure"),
        (lambda: hr.map_fn(lambda p: p[0], (X, X[:2])), ValueError, "agree"),
        (lambda: hr.scan(1, [1, 2]), TypeError, "callable"),
    ],
)
def test_bad_arguments(use, kind, text):
    with pytest.raises(kind, match=text):
        use()
