"""What one eager call costs: the hot path of debugging sessions and untraced code.

.venv/bin/pytest benches/bench_eager.py --benchmark-enable
"""

import numpy as np
import pytest

import headrace as hr

SMALL = np.arange(64, dtype=np.float32).reshape(8, 8)


@pytest.fixture(scope="module")
def a():
    return hr.constant(SMALL)


@pytest.mark.parametrize("op", ["add", "multiply", "matmul", "maximum"])
def test_binary(benchmark, a, op):
    benchmark(getattr(hr, op), a, a)


@pytest.mark.parametrize("op", ["negative", "exp", "reduce_sum", "transpose"])
def test_unary(benchmark, a, op):
    benchmark(getattr(hr, op), a)


def test_add_of_a_python_number(benchmark, a):
    benchmark(lambda: a + 1)


def test_constant_of_a_list(benchmark):
    benchmark(hr.constant, [1.0, 2.0, 3.0])


def test_gradient_of_a_product(benchmark, a):
    def gradient():
        with hr.GradientTape() as tape:
            tape.watch(a)
            y = hr.reduce_sum(a * a)
        return tape.gradient(y, a)

    benchmark(gradient)


def test_traced_function_call(benchmark, a):
    square = hr.function(lambda x: hr.reduce_sum(x * x))
    square(a)
    benchmark(square, a)
