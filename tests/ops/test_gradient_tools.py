"""Jacobians, forward mode, custom gradients, Python functions with gradients."""

import numpy as np
import pytest

import headrace as hr

X = np.array([[0.3, -0.8], [0.6, 1.1], [0.2, 0.9]], np.float32)
W = np.array([[1.0, 0.5], [-0.3, 2.0]], np.float32)


def _target(lib, x, w):
    return lib.tanh(lib.matmul(x * lib.exp(x), w)) * x


def _jacobians(lib, traced):
    def run(x, w):
        with lib.GradientTape(persistent=True) as tape:
            tape.watch([x, w])
            y = _target(lib, x, w)
        return tape.jacobian(y, [x, w]), tape.batch_jacobian(y, x)

    (a, b), c = (lib.function(run) if traced else run)(lib.constant(X), lib.constant(W))
    return a.numpy(), b.numpy(), c.numpy()


@pytest.mark.parametrize("traced", [False, True])
def test_jacobians_are_tensorflows(tf, traced):
    for a, b in zip(_jacobians(hr, traced), _jacobians(tf, traced), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_jacobian_row_by_row_is_the_same():
    x = hr.constant(X)
    with hr.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = _target(hr, x, hr.constant(W))
    together = tape.jacobian(y, x)
    alone = tape.jacobian(y, x, experimental_use_pfor=False)
    np.testing.assert_allclose(together.numpy(), alone.numpy(), rtol=1e-5, atol=1e-6)


def test_unconnected_sources():
    x, z = hr.constant(X), hr.constant([1.0])
    with hr.GradientTape(persistent=True) as tape:
        tape.watch([x, z])
        y = x * 2.0
    assert tape.jacobian(y, z) is None
    assert tape.jacobian(y, z, unconnected_gradients="zero").shape == (3, 2, 1)


def test_hessian_of_a_layer_with_variables():
    v = hr.Variable([1.0, -2.0])
    with hr.GradientTape() as outer:
        with hr.GradientTape() as inner:
            y = hr.reduce_sum(hr.sin(v * hr.constant(X)) * v)
        g = inner.gradient(y, v)
    hessian = outer.jacobian(g, v).numpy()
    eps = 1e-3
    for k in range(2):
        sides = []
        for s in (eps, -eps):
            u = hr.constant(v.numpy() + s * np.eye(2, dtype="f")[k])
            with hr.GradientTape() as tape:
                tape.watch(u)
                y = hr.reduce_sum(hr.sin(u * hr.constant(X)) * u)
            sides.append(tape.gradient(y, u).numpy())
        np.testing.assert_allclose(hessian[k], (sides[0] - sides[1]) / (2 * eps), atol=2e-2)


def _forward(lib):
    x, w = lib.constant(X), lib.constant(W)
    tangents = (lib.constant(X * 0.5 + 1.0), lib.constant(W * W))
    acc = lib.autodiff.ForwardAccumulator((x, w), tangents)
    with acc:
        y = _target(lib, x, w)
        z = lib.reduce_sum(lib.gather(x, [2, 0, 2]))
    return acc.jvp(y).numpy(), acc.jvp(z).numpy()


def test_forward_mode_is_tensorflows(tf):
    for a, b in zip(_forward(hr), _forward(tf), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_forward_over_reverse_and_over_forward():
    x, v = hr.constant([0.5, 2.0]), hr.constant([1.0, -3.0])
    with hr.autodiff.ForwardAccumulator(x, v) as acc:
        with hr.GradientTape() as tape:
            tape.watch(x)
            y = hr.reduce_sum(hr.sin(x) * x)
        g = tape.gradient(y, x)
    second = (2 * np.cos(x.numpy()) - x.numpy() * np.sin(x.numpy())) * v.numpy()
    np.testing.assert_allclose(acc.jvp(g).numpy(), second, rtol=1e-5)
    with hr.autodiff.ForwardAccumulator(x, v) as outer:
        with hr.autodiff.ForwardAccumulator(x, v) as inner:
            y = hr.sin(x) * x
        first = inner.jvp(y)
    np.testing.assert_allclose(outer.jvp(first).numpy(), second * v.numpy(), rtol=1e-5)


def test_forward_mode_checks_its_arguments():
    x = hr.constant([1.0, 2.0])
    with pytest.raises(ValueError, match="shape"):
        hr.autodiff.ForwardAccumulator(x, hr.constant([1.0]))
    with pytest.raises(ValueError, match="more than once"):
        hr.autodiff.ForwardAccumulator((x, x), (x, x))
    acc = hr.autodiff.ForwardAccumulator(x, x)
    with acc:
        y = hr.constant(3.0) * 2.0
    assert acc.jvp(y) is None and float(acc.jvp(y, "zero")) == 0.0


# -- functions with gradients of their own ----------------------------------------------------


@hr.custom_gradient
def log1pexp(x):
    e = hr.exp(x)
    return hr.math.log(1.0 + e), lambda g: g * (1.0 - 1.0 / (1.0 + e))


@pytest.mark.parametrize("wrap", [lambda f: f, hr.function], ids=["eager", "traced"])
def test_custom_gradients_hold_to_second_order(wrap):
    f = wrap(lambda x: log1pexp(x) * 2.0)
    x = hr.constant([0.5, 100.0])
    with hr.GradientTape() as outer:
        outer.watch(x)
        with hr.GradientTape() as inner:
            inner.watch(x)
            y = f(x)
        d = inner.gradient(y, x)
    s = 1 / (1 + np.exp(-0.5))
    np.testing.assert_allclose(d.numpy(), [2 * s, 2.0], rtol=1e-6)
    np.testing.assert_allclose(outer.gradient(d, x).numpy()[0], 2 * s * (1 - s), rtol=1e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, hr.function], ids=["eager", "traced"])
def test_custom_gradients_with_variables(wrap):
    w = hr.Variable(3.0)

    @hr.custom_gradient
    def scaled(x):
        def grad(g, variables=None):
            assert variables[0] is w
            return g * 10.0, [hr.reduce_sum(g * 100.0)]

        return x * w, grad

    f, x = wrap(lambda x: scaled(x)), hr.constant([1.0, 2.0])
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    dx, dw = tape.gradient(y, [x, w])
    assert y.numpy().tolist() == [3.0, 6.0]
    assert dx.numpy().tolist() == [10.0, 10.0] and float(dw) == 200.0


@pytest.mark.parametrize("wrap", [lambda f: f, hr.function], ids=["eager", "traced"])
def test_recompute_grad_changes_no_gradient(wrap):
    w = hr.Variable(0.7)
    plain = lambda x: hr.tanh(x * w) * x  # noqa: E731
    found = []
    for f in (wrap(lambda x: hr.recompute_grad(plain)(x)), plain):
        x = hr.constant(X)
        with hr.GradientTape() as outer:
            outer.watch(x)
            with hr.GradientTape() as inner:
                inner.watch(x)
                y = f(x)
            d = inner.gradient(y, [x, w])
        found.append([v.numpy() for v in (y, *d, outer.gradient(d[0], x))])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_grad_pass_through():
    x = hr.constant([1.2, 2.7])
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.grad_pass_through(hr.round)(x * 2.0)
    assert tape.gradient(y, x).numpy().tolist() == [2.0, 2.0]


# -- Python functions -------------------------------------------------------------------------


def test_py_function_runs_each_time_and_has_a_gradient():
    calls = []

    def func(x, n):
        calls.append(int(n.numpy()))
        return x * x if calls[-1] > 0 else -x

    f = hr.function(lambda x, n: hr.py_function(func, [x, n], hr.float32) * 3.0)
    for n, want in ((1, 12.0), (-1, -3.0)):
        x = hr.constant(2.0)
        with hr.GradientTape() as tape:
            tape.watch(x)
            y = f(x, hr.constant(n))
        assert float(tape.gradient(y, x)) == want
    assert calls == [1, -1]


def test_numpy_function_and_results_without_value():
    seen = []

    @hr.function
    def f(x):
        hr.py_function(lambda v: seen.append(float(v)), [x], [])
        a, b = hr.numpy_function(lambda v: (np.sinh(v), v > 1), [x], [hr.float32, hr.bool])
        return a, b

    a, b = f(hr.constant(2.0))
    np.testing.assert_allclose(float(a), np.sinh(2.0), rtol=1e-6)
    assert bool(b) and seen == [2.0]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(ValueError, "InvalidArgumentError"), (KeyError, "UnknownError"),
     (NotImplementedError, "UnimplementedError")],
)  # fmt: skip
def test_errors_of_python_functions_have_tensorflows_kinds(raised, kind):
    def func(x):
        raise raised("oops")

    f = hr.function(lambda x: hr.py_function(func, [x], hr.float32))
    with pytest.raises(getattr(hr.errors, kind), match="oops"):
        f(hr.constant(1.0))


def test_a_result_of_another_dtype_is_refused():
    f = hr.function(lambda x: hr.numpy_function(lambda v: v.astype("f8"), [x], hr.float32))
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"float64.*float32"):
        f(hr.constant(1.0))
