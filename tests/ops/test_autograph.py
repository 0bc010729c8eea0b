"""AutoGraph: a converted function does in a trace what Python does with values."""

import linecache
import random
import traceback
import warnings

import numpy as np
import pytest

import headrace as hr
from headrace.ops.autograph.convert import convert, is_converted


def branches(x, n):
    s = 0
    if x > 2:
        s = x * 2
    elif x < -1 and n > 0:
        s = -x
    else:
        s = s + n
    return s


def early_returns(x, n):
    if x > 5:
        return x
    if n < 0:
        return n
    y = x + n
    if y == 0 or not x < n:
        return y * 10
    return y


def loops(x, n):
    i, s = 0, 0
    while i < n:
        i += 1
        if i % 3 == 0:
            continue
        if s > 20:
            break
        s += i * x
    else:
        s = -s
    return s


def ranges(x, n):
    total = 0
    for i in range(n):
        for j in range(1, i):
            if j > x:
                break
            total += i * j
    for k in range(n, 0, -2):
        total -= k
    return total


def returns_from_a_loop(x, n):
    for i in range(n):
        if i * i > x:
            return i
    return -1


def returns_from_two_loops(x, n):
    for i in range(n):
        for j in range(n):
            if i * j > x:
                return i * 100 + j
    return -1


def chained(x, n):
    a = 1 if 0 < x < n else 2
    b = 10 if not (x > 1 or n > 3) else 20
    return a + b


def temporaries(x, n):
    """What only an iteration uses is no loop variable."""
    s = 0
    for i in range(n):
        t = i * x
        if t > 4:
            u = t - 1
            s += u
    return s


def helpers(x, n):
    def double(v):
        if v > 3:
            return v * 2
        return v

    triple = lambda v: v * 3 if v > 1 else v  # noqa: E731
    return double(x) + triple(n) + outside(x)


def outside(v):
    while v > 10:
        v -= 3
    return v


def nested_values(x, n):
    state = {"a": (x, 0), "b": [n]}
    while state["b"][0] > 0:
        state = {"a": (state["a"][0] + 1, state["a"][1] + n), "b": [state["b"][0] - 1]}
    return state["a"][0] * 100 + state["a"][1]


def built_ins(x, n):
    return max(x, n) * 100 + min(x, n) + abs(x) + sum([x, n])


def a_while_true(x, n):
    i = 0
    while True:
        i += 1
        if i >= n:
            break
        x += i
    return x


def handled(x, n):
    s = 0
    for i in range(n):
        try:
            if i > x:
                s += 1
            else:
                s += 10
        finally:
            s += 100
    return s


FUNCTIONS = [
    branches, early_returns, loops, ranges, returns_from_a_loop, returns_from_two_loops,
    chained, temporaries, helpers, nested_values, built_ins, a_while_true, handled,
]  # fmt: skip


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_traced_equals_python(fn):
    traced = hr.function(fn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (-3, 0, 2, 4, 13):
            for n in (0, 1, 4, 7):
                assert int(traced(hr.constant(x), hr.constant(n))) == fn(x, n), (x, n)
    assert traced.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_a_converted_function_is_python_on_python_values(fn):
    converted = convert(fn)
    assert is_converted(converted)
    for x in (-3, 0, 2, 13):
        for n in (0, 1, 7):
            found = converted(x, n)
            assert found == fn(x, n) and type(found) is int


def _program(rng: random.Random) -> str:
    """A random function of two ints: branches, bounded loops, jumps."""
    names = ["a", "b", "c"]

    def value():
        kind = rng.randrange(4)
        if kind == 0:
            return str(rng.randrange(-3, 6))
        if kind == 1:
            return rng.choice(["x", "n"])
        return rng.choice(names)

    def test():
        one = f"{value()} {rng.choice(['<', '>', '<=', '==', '!='])} {value()}"
        other = f"{value()} > {value()}"
        return rng.choice([one, one, f"{one} and {other}", f"not {one}", f"{one} or {other}"])

    def block(depth, loop, pad):
        lines = []
        for _ in range(rng.randrange(1, 4)):
            kind = rng.randrange(9)
            if kind < 3 or depth == 0:
                name = rng.choice(names)
                lines.append(f"{name} = {value()} {rng.choice(['+', '-'])} {value()}")
            elif kind < 6:
                lines.append(f"if {test()}:")
                lines += block(depth - 1, loop, "    ")
                if rng.random() < 0.5:
                    lines.append("else:")
                    lines += block(depth - 1, loop, "    ")
            elif kind == 6:
                limit = rng.choice(["n", "3", "x"])
                lines.append(f"for i{depth} in range({limit}):")
                lines += [
                    f"    {rng.choice(names)} += i{depth}",
                    *block(depth - 1, True, "    "),
                ]
                if rng.random() < 0.3:
                    lines += ["else:", "    a += 1"]
            elif kind == 7:
                lines += [f"k{depth} = 0", f"while k{depth} < 4 and ({test()}):"]
                lines += [f"    k{depth} += 1", *block(depth - 1, True, "    ")]
            elif loop and rng.random() < 0.7:
                lines += [f"if {test()}:", f"    {rng.choice(['break', 'continue'])}"]
            else:
                lines += [f"if {test()}:", f"    return {value()}"]
        return [pad + line for line in lines]

    head = ["def program(x, n):", "    a, b, c = 0, x, n"]
    return "\n".join(
        [*head, *block(3, False, "    "), "    return a * 10000 + b * 100 + c", ""]
    )


@pytest.mark.parametrize("seed", range(25))
def test_random_programs(seed):
    source = _program(random.Random(seed))
    filename = f"<random program {seed}>"
    linecache.cache[filename] = len(source), None, source.splitlines(True), filename
    scope = {}
    exec(compile(source, filename, "exec"), scope)
    program = scope["program"]
    traced = hr.function(program)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x, n in ((0, 3), (2, 1), (-2, 4), (5, 0)):
            assert int(traced(hr.constant(x), hr.constant(n))) == program(x, n), source


def test_a_loop_over_rows_is_one_node_and_differentiates():
    @hr.function
    def f(xs, w):
        acc = hr.zeros([2])
        for x in xs:
            acc = hr.tanh(acc * w + x)
        return hr.reduce_sum(acc)

    xs, w = (
        hr.constant(np.random.default_rng(0).normal(size=(40, 2)).astype("f")),
        hr.constant(0.5),
    )
    with hr.GradientTape() as tape:
        tape.watch(w)
        y = f(xs, w)
    nodes = [n.type for n in f.get_concrete_function(xs, w).graph.nodes]
    assert "StatelessWhile" in nodes and nodes.count("Tanh") == 0
    with hr.GradientTape() as eager:
        eager.watch(w)
        want = f.python_function(xs, w)
    np.testing.assert_allclose(y.numpy(), want.numpy(), rtol=1e-5)
    np.testing.assert_allclose(
        tape.gradient(y, w).numpy(), eager.gradient(want, w).numpy(), rtol=1e-4
    )


class Counter:
    def __init__(self):
        self.count = hr.Variable(0)
        self.last = None
        self.__secret = 3

    @hr.function
    def step(self, x):
        if x > self.__secret:
            self.count.assign_add(x)
        else:
            self.count.assign_sub(1)
        return self.count.read_value()

    @hr.function
    def remember(self, x):
        if x > 0:
            self.last = x * 2
        else:
            self.last = x
        last, self.last = self.last, None
        return last


def test_methods_attributes_and_assignments():
    counter = Counter()
    assert int(counter.step(hr.constant(5))) == 5
    assert int(counter.step(hr.constant(1))) == 4
    assert [int(counter.remember(hr.constant(v))) for v in (3, -3)] == [6, -3]


def test_closures_are_shared_and_defaults_kept():
    limit = 3
    calls = []

    def f(x, scale=[2]):  # noqa: B006
        nonlocal limit
        calls.append(limit)
        if x > limit:
            return x * scale[0]
        return x

    traced = hr.function(f)
    assert int(traced(hr.constant(5))) == 10
    limit = 10
    assert int(traced(hr.constant([5])[0])) == 10  # the trace holds what it met
    assert int(hr.function(f)(hr.constant(5))) == 5
    assert set(calls) == {3, 10}


def test_lambdas_of_one_line_are_told_apart():
    f, g = hr.function(lambda x: x if x > 0 else -x), hr.function(lambda x: 1 if x > 0 else 0)
    assert int(f(hr.constant(-4))) == 4 and int(g(hr.constant(-4))) == 0


def test_functions_given_to_operations_are_converted():
    @hr.function
    def f(n):
        def body(i, s):
            if i % 2 == 0:
                s += i
            return i + 1, s

        return hr.while_loop(lambda i, s: i < n and s < 100, body, (0, 0))[1]

    assert int(f(hr.constant(7))) == 12


def test_ragged_growth_with_loop_options():
    @hr.function
    def f(n):
        x = hr.zeros([0], hr.int32)
        for i in hr.range(n):
            hr.autograph.experimental.set_loop_options(
                shape_invariants=[(x, hr.TensorShape([None]))]
            )
            x = hr.concat([x, [i * i]], 0)
        return x

    assert f(hr.constant(4)).numpy().tolist() == [0, 1, 4, 9]


def test_print_and_assert_run_with_the_graph(capsys):
    @hr.function
    def f(x):
        assert x > 0, "x must be positive"
        if x > 2:
            print("large", x)
        return x

    f(hr.constant(1)), f(hr.constant(3)), f(hr.constant(4))
    out = capsys.readouterr()
    assert (out.out + out.err).split("\n") == ["large 3", "large 4", ""]
    with pytest.raises(hr.errors.InvalidArgumentError, match="x must be positive"):
        f(hr.constant(-1))


def test_a_name_that_a_loop_defines_needs_an_iteration(tf):
    def f(lib, x):
        while x > 0:
            y = x * 2.0
            x -= 1.0
        return y

    for lib in (hr, tf):
        made = lib.function(lambda v, lib=lib: f(lib, v))
        assert float(made(lib.constant(3.0))) == 2.0
        with pytest.raises(lib.errors.InvalidArgumentError, match="at least once to init"):
            made(lib.constant(-1.0))


# -- errors -----------------------------------------------------------------------------------


def undefined_in_else(x):
    if x > 0:
        y = x
    return y


def dtype_of_branches(x):
    if x > 0:
        y = 1
    else:
        y = 2.0
    return y


def dtype_of_loop(x):
    s = 0
    while x > 0:
        s = hr.cast(s, hr.float32) + 0.5
        x -= 1
    return s


def shape_of_loop(x):
    s = [1]
    s = hr.constant(s)
    while x > 0:
        s = hr.concat([s, s], 0)
        x -= 1
    return s


def none_in_else(x):
    y = None
    if x > 0:
        y = x
    return y


def none_returned(x):
    if x > 0:
        return x


@pytest.mark.parametrize(
    ("fn", "kind", "text"),
    [
        (undefined_in_else, ValueError, "'y' must also be initialized in the else branch"),
        (dtype_of_branches, TypeError, "'y' has dtype int32 in the main.*float32 in the else"),
        (dtype_of_loop, TypeError, "'s' has dtype int32 before.*float32 after"),
        (shape_of_loop, ValueError, r"'s' has shape \(1,\) before.*set_loop_options"),
        (none_in_else, ValueError, "'y' is None at the end of the else branch"),
        (none_returned, ValueError, "the return value is None"),
    ],
)
def test_errors_name_the_variable_and_are_of_tensorflows_kind(fn, kind, text):
    with pytest.raises(kind, match=text):
        hr.function(fn)(hr.constant(3))


@pytest.mark.parametrize("fn", [undefined_in_else, dtype_of_branches, none_in_else])
def test_tensorflow_raises_the_same_kind(tf, fn):
    kinds = []
    for lib in (hr, tf):
        with pytest.raises(Exception) as caught:
            lib.function(fn)(lib.constant(3))
        kinds.append([k for k in (ValueError, TypeError) if isinstance(caught.value, k)])
    assert kinds[0] == kinds[1]


def failing(x):
    if x > 0:
        y = hr.zeros([2]) + hr.zeros([3])  # this line
    else:
        y = hr.zeros([2])
    return y


def test_tracebacks_name_the_users_line():
    with pytest.raises(hr.errors.InvalidArgumentError) as caught:
        hr.function(failing)(hr.constant(3))
    text = "".join(traceback.format_exception(caught.value))
    assert "this line" in text and "test_autograph.py" in text


def generator(x):
    if x > 0:
        yield x


def raising(x):
    if x < 0:
        raise ValueError("negative")
    return x * 2


@pytest.mark.parametrize(
    ("fn", "text"),
    [(lambda x: list(generator(x)), "bool"), (raising, "`raise` at line")],
)
def test_what_cannot_be_converted_runs_eagerly_after_one_warning(fn, text):
    f = hr.function(fn)
    with pytest.warns(UserWarning, match=text) as caught:
        f(hr.constant(3))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(hr.constant(4))
    with pytest.raises(ValueError, match="negative"):
        hr.function(raising).python_function(hr.constant(-1))


def test_functions_without_source_run_eagerly():
    scope = {}
    exec("def f(x):\n    return 1 if x > 0 else 2", scope)
    with pytest.warns(UserWarning, match="no source code"):
        assert hr.function(scope["f"])(hr.constant(3)) == 1


def test_do_not_convert_and_autograph_false():
    def f(x):
        return x if x > 0 else -x

    for made in (hr.function(f, autograph=False),
                 hr.function(hr.autograph.experimental.do_not_convert(f))):  # fmt: skip
        with pytest.warns(UserWarning, match="used as a Python bool"):
            assert int(made(hr.constant(-3))) == 3


def test_to_graph_and_to_code():
    converted = hr.autograph.to_graph(branches)
    assert converted(3, 1) == 6
    text = hr.autograph.to_code(branches)
    assert "if_stmt" in text and text.startswith("def branches(x, n):")


def test_equal_functions_on_equal_lines_of_two_files_are_told_apart(tmp_path):
    """Their code objects are equal; what is converted of them names their own files."""
    from headrace.ops.autograph.convert import convert

    made = []
    for name in ("one.py", "two.py"):
        path = tmp_path / name
        path.write_text("def f(x):\n    if x > 0:\n        return x\n    return -x\n")
        scope = {}
        exec(compile(path.read_text(), str(path), "exec"), scope)
        made.append(scope["f"])
    assert made[0].__code__ == made[1].__code__
    assert [convert(f).__code__.co_filename for f in made] == [
        f.__code__.co_filename for f in made
    ]
