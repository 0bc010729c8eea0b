"""Attention as one operation gives what its parts give: dtypes, masks, biases, gradients."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops import attention as ops_attention

CLOSE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 8e-2}
BIASES = {"none": None, "whole": (1, 3, 5, 7), "flat": (5, 7), "keys": (2, 1, 1, 7)}


def results(fn, inputs):
    """Results, gradients, and gradients of the gradients."""
    with hr.GradientTape() as outer:
        outer.watch(inputs)
        with hr.GradientTape() as tape:
            tape.watch(inputs)
            out = fn(*inputs)
            total = hr.reduce_sum(hr.cast(out, "float32") ** 3)
        grads = tape.gradient(total, inputs)
        again = hr.add_n([hr.reduce_sum(hr.cast(g, "float32") ** 2) for g in grads])
    return [out, *grads, *outer.gradient(again, inputs)]


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("dtype", CLOSE)
def test_the_operation_equals_its_parts(dtype, bias, masked, causal):
    rng = np.random.default_rng(0)
    shapes = [(2, 5, 3, 8), (2, 7, 3, 8), (2, 7, 3, 4)]
    shapes += [] if BIASES[bias] is None else [BIASES[bias]]
    inputs = [hr.cast(hr.constant(rng.normal(size=s)), dtype) for s in shapes]
    mask = hr.constant(rng.random((2, 1, 5, 7)) > 0.4) if masked else None

    def whole(q, k, v, bias=None):
        return ops_attention.dot_product_attention(
            q, k, v, bias=bias, mask=mask, scale=0.3, is_causal=causal
        )

    def parts(q, k, v, bias=None):
        shown = mask
        if causal:
            seen = ops_attention.causal_mask(q, k)
            shown = seen if mask is None else hr.logical_and(mask, seen)
        return ops_attention._composed(q, k, v, bias, shown, 0.3)

    for got, want in zip(results(whole, inputs), results(parts, inputs), strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        got, want = (hr.cast(t, "float32").numpy() for t in (got, want))
        close = CLOSE[dtype]
        np.testing.assert_allclose(got, want, rtol=close, atol=close * max(1, abs(want).max()))


def test_which_biases_are_part_of_the_operation():
    half = hr.zeros((1, 2, 1, 8), hr.float16)
    for bias, one in ((None, True), (hr.float16, True), (hr.float32, False)):
        given = None if bias is None else hr.zeros((1, 1, 2, 2), bias)

        @hr.function
        def run(q, given=given):
            return ops_attention.dot_product_attention(q, q, q, bias=given)

        nodes = run.get_concrete_function(half).graph.nodes
        assert ("_Attention" in {node.type for node in nodes}) is one


def test_errors_of_biases():
    half = hr.zeros((1, 2, 1, 8), hr.float16)
    with pytest.raises(
        hr.errors.InvalidArgumentError, match=r"bias must broadcast to \[1, 1, 2"
    ):
        ops_attention.dot_product_attention(
            half, half, half, bias=hr.zeros((1, 1, 3, 2), hr.float16)
        )
