"""cond, case, switch_case: traced = eager, gradients = TensorFlow's to second order."""

import numpy as np
import pytest

import headrace as hr

X = np.array([0.5, -1.25, 2.0], np.float32)


def _gradients(lib, fn, x, *args):
    """Value, gradient and second gradient of `fn` in `x`, taken outside of the function."""
    x = lib.constant(x)
    with lib.GradientTape() as outer:
        outer.watch(x)
        with lib.GradientTape() as inner:
            inner.watch(x)
            y = lib.reduce_sum(fn(x, *args))
        first = inner.gradient(y, x)
        sink = lib.reduce_sum(lib.sin(first)) if first is not None else y * 0.0
    second = outer.gradient(sink, x)
    return [None if v is None else v.numpy() for v in (y, first, second)]


def _same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        # A branch that depends on nothing gives zeros where the other gives a gradient.
        a, b = (np.zeros(3) if v is None else v for v in (a, b))
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def _plain(lib, x, n):
    return lib.cond(n > 0, lambda: lib.exp(x) * x, lambda: x * x * x)


def _nested(lib, x, n):
    inner = lambda: lib.cond(n > 5, lambda: lib.sin(x), lambda: x * x)  # noqa: E731
    return lib.cond(n > 0, inner, lambda: lib.cos(x) * 2.0)


def _one_side_only(lib, x, n):
    return lib.cond(n > 0, lambda: x * x * x, lambda: lib.zeros([3]))


def _switch(lib, x, n):
    fns = [lambda: x, lambda: x * x, lambda: lib.exp(x)]
    return lib.switch_case(n, fns, default=lambda: -x * x)


def _case(lib, x, n):
    pairs = [(n < 1, lambda: x * x), (n > 8, lambda: lib.sin(x))]
    return lib.case(pairs, default=lambda: x * 3.0)


PROGRAMS = [_plain, _nested, _one_side_only, _switch, _case]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("n", [-1, 1, 2, 9])
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
            first = inner.gradient(y, x)
            sink = hr.reduce_sum(hr.sin(first))
        return y, first, outer.gradient(sink, x, unconnected_gradients="zero")

    _same([v.numpy() for v in inside(hr.constant(X), hr.constant(n))], eager)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("n", [-1, 1, 9])
def test_gradients_are_tensorflows(tf, program, n):
    ours = _gradients(hr, hr.function(lambda x, k: program(hr, x, k)), X, hr.constant(n))
    theirs = _gradients(tf, tf.function(lambda x, k: program(tf, x, k)), X, tf.constant(n))
    _same(ours, theirs)


def test_a_variable_read_in_a_branch_gets_its_gradient():
    v = hr.Variable(2.0)
    f = hr.function(lambda x: hr.cond(x > 0.0, lambda: x * x * v * v, lambda: x * v))
    for x, want in ((3.0, 36.0), (-3.0, -3.0)):
        with hr.GradientTape() as tape:
            y = f(hr.constant(x))
        assert float(tape.gradient(y, v)) == want
    nodes = [n.type for n in f.get_concrete_function(hr.constant(1.0)).graph.nodes]
    assert "StatelessIf" in nodes and nodes.count("ReadVariableOp") == 1


def test_assignments_happen_in_the_chosen_branch_only_and_in_order():
    v = hr.Variable(1.0)

    @hr.function
    def f(p):
        v.assign_add(1.0)

        def double():
            v.assign(v * 2.0)
            return v.read_value()

        out = hr.cond(p, double, lambda: hr.constant(-1.0))
        v.assign_add(0.5)
        return out

    assert float(f(hr.constant(True))) == 4.0 and float(v) == 4.5
    assert float(f(hr.constant(False))) == -1.0 and float(v) == 6.0


def test_a_random_branch_is_drawn_once_for_value_and_gradient():
    f = hr.function(
        lambda x, p: hr.cond(
            p, lambda: x * hr.random.normal([50]), lambda: x * x * hr.random.uniform([50])
        )
    )
    x = hr.fill([50], 2.0)
    for p, factor in ((True, 2.0), (False, 1.0)):
        with hr.GradientTape() as tape:
            tape.watch(x)
            y = f(x, hr.constant(p))
        np.testing.assert_allclose(tape.gradient(y, x).numpy() * factor, y.numpy(), rtol=1e-6)


def test_branches_of_one_trace_draw_from_streams_of_their_own():
    hr.random.set_seed(3)
    draw = lambda: hr.random.normal([4])  # noqa: E731
    f = hr.function(lambda p: (draw(), hr.cond(p, draw, draw), hr.cond(p, draw, draw)))
    numbers = [t.numpy().tolist() for p in (True, False) for t in f(hr.constant(p))]
    assert len({tuple(n) for n in numbers}) == 6


def test_structures_pass_and_shapes_widen():
    f = hr.function(
        lambda p: hr.cond(
            p, lambda: {"a": (hr.zeros([2, 3]), None)}, lambda: {"a": (hr.ones([4, 3]), None)}
        )
    )
    out = f(hr.constant(False))
    assert out["a"][0].shape == (4, 3) and out["a"][1] is None
    spec = f.get_concrete_function(hr.constant(False)).structured_outputs
    assert spec["a"][0].shape.as_list() == [None, 3]


@pytest.mark.parametrize(
    ("true_fn", "false_fn", "text"),
    [
        (lambda: 1, lambda: 2.0, "int32 tensor.*float32 tensor"),
        (lambda: 1, lambda: (1, 2), "overall structure"),
        (lambda: hr.constant(1), lambda: None, "overall structure"),
    ],
)
def test_branches_must_match(true_fn, false_fn, text):
    with pytest.raises(TypeError, match=text):
        hr.function(lambda p: hr.cond(p, true_fn, false_fn))(hr.constant(True))


def test_only_the_chosen_branch_runs():
    f = hr.function(lambda x: hr.cond(x > 0, lambda: hr.gather([1, 2], x), lambda: -1))
    assert int(f(hr.constant(1))) == 2 and int(f(hr.constant(-7))) == -1
    with pytest.raises(hr.errors.InvalidArgumentError):
        f(hr.constant(7))


def test_bad_arguments():
    with pytest.raises(TypeError, match="true_fn"):
        hr.cond(True, 1, lambda: 2)
    with pytest.raises(ValueError, match="scalar"):
        hr.function(lambda p: hr.cond(p, lambda: 1, lambda: 2))(hr.constant([True, False]))
    with pytest.raises(TypeError, match="non-empty"):
        hr.switch_case(0, [])
    with pytest.raises(ValueError, match="contiguous"):
        hr.switch_case(0, {0: lambda: 1, 2: lambda: 2})
