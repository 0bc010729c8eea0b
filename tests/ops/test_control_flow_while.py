"""while_loop: traced = eager, gradients = TensorFlow's to second order, errors."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.tensor_list import ListValue

X = np.array([0.3, -0.8, 0.6], np.float32)


def _gradients(lib, fn, x, *args):
    x = lib.constant(x)
    with lib.GradientTape() as outer:
        outer.watch(x)
        with lib.GradientTape() as inner:
            inner.watch(x)
            y = lib.reduce_sum(fn(x, *args))
        first = inner.gradient(y, x, unconnected_gradients="zero")
        sink = lib.reduce_sum(lib.sin(first))
    second = outer.gradient(sink, x)
    return [np.zeros(3) if v is None else v.numpy() for v in (y, first, second)]


def _same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def _power(lib, x, n):
    start = (lib.constant(0), lib.ones([3]))
    return lib.while_loop(lambda i, a: i < n, lambda i, a: (i + 1, a * x + lib.sin(a)), start)[
        1
    ]


def _two(lib, x, n):
    w = lib.constant(0.7)
    body = lambda i, a, b: (i + 1, lib.sin(a) * b * w, b + a * x)  # noqa: E731
    _, a, b = lib.while_loop(lambda i, a, b: i < n, body, (lib.constant(0), x, x * 2.0))
    return a * b


def _late(lib, x, n):
    """The gradient reaches `a` only after some iterations."""
    body = lambda i, a, b, c: (i + 1, a * x, b + a, c + b)  # noqa: E731
    start = (lib.constant(0), x * x, lib.zeros([3]), lib.zeros([3]))
    return lib.while_loop(lambda i, *_: i < n, body, start)[3]


def _choice_inside(lib, x, n):
    def body(i, a):
        odd = lib.equal(i % 2, 1)
        return i + 1, lib.cond(odd, lambda: a * x, lambda: lib.exp(a * 0.5) - x)

    return lib.while_loop(lambda i, a: i < n, body, (lib.constant(0), x))[1]


def _loop_inside(lib, x, n):
    def body(i, a):
        step = lambda j, b: (j + 1, b * x + 0.1 * lib.cast(i, x.dtype))  # noqa: E731
        inner = lib.while_loop(lambda j, b: j < i, step, (lib.constant(0), a))
        return i + 1, inner[1] + lib.sin(a)

    return lib.while_loop(lambda i, a: i < n, body, (lib.constant(0), x))[1]


def _loop_in_choice(lib, x, n):
    return lib.cond(n > 1, lambda: _two(lib, x, n), lambda: x * x * x)


PROGRAMS = [_power, _two, _late, _choice_inside, _loop_inside, _loop_in_choice]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("n", [0, 1, 4])
def test_traced_equals_eager_with_gradients(program, n):
    eager = _gradients(hr, lambda x, k: program(hr, x, k), X, hr.constant(n))
    traced = hr.function(lambda x, k: program(hr, x, k))
    _same(_gradients(hr, traced, X, hr.constant(n)), eager)

    @hr.function
    def inside(x, k):
        with hr.GradientTape() as outer:
            outer.watch(x)
            with hr.GradientTape() as inner:
                inner.watch(x)
                y = hr.reduce_sum(program(hr, x, k))
            first = inner.gradient(y, x, unconnected_gradients="zero")
            sink = hr.reduce_sum(hr.sin(first))
        return y, first, outer.gradient(sink, x, unconnected_gradients="zero")

    _same([v.numpy() for v in inside(hr.constant(X), hr.constant(n))], eager)


@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients_are_tensorflows(tf, program):
    ours = _gradients(hr, hr.function(lambda x, k: program(hr, x, k)), X, hr.constant(3))
    theirs = _gradients(tf, tf.function(lambda x, k: program(tf, x, k)), X, tf.constant(3))
    _same(ours, theirs)


def test_third_order():
    f = hr.function(lambda x, n: _two(hr, x, n))

    def third(fn):
        x = hr.constant(X)
        with hr.GradientTape() as t3:
            t3.watch(x)
            with hr.GradientTape() as t2:
                t2.watch(x)
                with hr.GradientTape() as t1:
                    t1.watch(x)
                    y = fn(x, hr.constant(3))
                d1 = t1.gradient(y, x)
            d2 = t2.gradient(d1, x)
        return t3.gradient(d2, x).numpy()

    np.testing.assert_allclose(third(f), third(lambda x, n: _two(hr, x, n)), rtol=2e-4)


def test_variables_read_by_a_body_get_gradients_and_assigned_ones_change_each_time():
    w, seen = hr.Variable(2.0), hr.Variable(0.0)

    @hr.function
    def f(x, n):
        def body(i, a):
            seen.assign_add(1.0)
            return i + 1, a * w + seen

        return hr.while_loop(lambda i, a: i < n, body, (hr.constant(0), x))[1]

    with hr.GradientTape() as tape:
        y = f(hr.constant(3.0), hr.constant(2))
    assert float(y) == (3.0 * 2 + 1) * 2 + 2 and float(seen) == 2.0
    assert float(tape.gradient(y, w)) == 2 * 2 * 3.0 + 1.0
    f(hr.constant(3.0), hr.constant(3))
    assert float(seen) == 5.0


def test_random_draws_are_the_same_for_value_and_gradient():
    @hr.function
    def f(x, n):
        def body(i, a):
            flip = hr.cond(
                hr.random.uniform([]) < 0.5, lambda: hr.random.normal([20]), lambda: a
            )
            return i + 1, a * hr.random.normal([20]) + flip * 0.0

        return hr.while_loop(lambda i, a: i < n, body, (hr.constant(0), x))[1]

    x = hr.fill([20], 2.0)
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = f(x, hr.constant(3))
    np.testing.assert_allclose(tape.gradient(y, x).numpy() * 2.0, y.numpy(), rtol=1e-5)


def test_maximum_iterations_and_single_variables():
    for wrap in (lambda f: f, hr.function):
        f = wrap(
            lambda n, m: hr.while_loop(
                lambda i: i < n, lambda i: i + 1, [hr.constant(0)], maximum_iterations=m
            )
        )
        found = [hr.nest.flatten(f(hr.constant(9), hr.constant(m)))[0] for m in (4, 20)]
        assert [int(v) for v in found] == [4, 9]


def test_shape_invariants_let_a_variable_grow():
    @hr.function
    def f(n):
        return hr.while_loop(
            lambda i, x: i < n,
            lambda i, x: (i + 1, hr.concat([x, hr.reshape(i, [1])], 0)),
            (hr.constant(0), hr.zeros([0], hr.int32)),
            shape_invariants=(hr.TensorShape([]), hr.TensorShape([None])),
        )[1]

    assert f(hr.constant(4)).numpy().tolist() == [0, 1, 2, 3]


def test_nested_structures_and_ragged_loop_variables():
    rt = hr.ragged.constant([[1, 2], [], [3]])

    @hr.function
    def f(n):
        return hr.while_loop(
            lambda i, d: i < n,
            lambda i, d: (i + 1, {"r": d["r"] * 2, "s": (d["s"][0] + 1.0, None)}),
            (hr.constant(0), {"r": rt, "s": (hr.constant(0.0), None)}),
        )[1]

    out = f(hr.constant(3))
    assert out["r"].to_list() == [[8, 16], [], [24]] and float(out["s"][0]) == 3.0


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (lambda i, x: (i + 1, hr.cast(x, "float64")), TypeError, "float32 before.*float64"),
        (lambda i, x: (i + 1, hr.concat([x, x], 0)), ValueError, r"shape \(2,\) before"),
        (lambda i, x: (i + 1, (x, x)), ValueError, "nested structure"),
    ],
)
def test_variables_must_keep_their_kind(body, kind, text):
    f = hr.function(
        lambda n: hr.while_loop(lambda i, x: i < n, body, (hr.constant(0), hr.ones([2])))
    )
    with pytest.raises(kind, match=text):
        f(hr.constant(3))


def test_an_error_in_a_body_has_its_kind_and_names_the_op():
    f = hr.function(
        lambda n: hr.while_loop(
            lambda i, x: i < n, lambda i, x: (i + 1, hr.gather([5, 6], i)), (0, 0)
        )[1]
    )
    assert int(f(hr.constant(2))) == 6
    with pytest.raises(hr.errors.InvalidArgumentError, match="indices"):
        f(hr.constant(3))


def test_versions_of_a_list_stay_readable():
    rng = np.random.default_rng(0)
    versions, models = [ListValue()], [[]]
    for _ in range(300):
        k = int(rng.integers(len(versions)))
        version, model = versions[k], models[k]
        kind = rng.integers(3)
        if kind == 0 or not model:
            value = int(rng.integers(100))
            version, model = version.put(len(model), value, len(model) + 1), [*model, value]
        elif kind == 1:
            version, model = version.put(len(model) - 1, None, len(model) - 1), model[:-1]
        else:
            at, value = int(rng.integers(len(model))), int(rng.integers(100))
            version, model = version.put(at, value), [*model[:at], value, *model[at + 1 :]]
        versions.append(version)
        models.append(model)
        check = int(rng.integers(len(versions)))
        assert [versions[check].get(i) for i in range(versions[check].length)] == models[check]
