"""Functions traced on tensors of which not even the rank is known."""

import numpy as np
import pytest
from harness import run, same

from headrace.ops import api as hr
from headrace.ops.errors import UnimplementedError
from headrace.ops.graph.batching import batch_graph
from headrace.ops.graph.trace import trace

X = np.array([[1.5, -2.0, 0.5], [0.25, 3.0, -1.0]], np.float32)
Y = np.array([[0.5, 1.0], [-1.5, 2.0], [0.75, 0.1]], np.float32)
LABELS = np.array([2, 0], np.int32)

FUNCTIONS = {
    "arithmetic": (lambda x: (x + 1.0) * x / 2.0 - hr.exp(x), (X,)),
    "comparison": (lambda x: hr.cast(x > 0.0, hr.float32), (X,)),
    "sum of all": (hr.reduce_sum, (X,)),
    "sum of one": (lambda x: hr.reduce_sum(x, 1), (X,)),
    "sum of the last": (lambda x: hr.reduce_sum(x, -1, keepdims=True), (X,)),
    "mean and max": (lambda x: hr.reduce_mean(x, 0) + hr.reduce_max(x), (X,)),
    "logsumexp": (lambda x: hr.reduce_logsumexp(x, 1), (X,)),
    "argmax": (lambda x: hr.argmax(x, 1), (X,)),
    "cumsum": (lambda x: hr.cumsum(x, 1), (X,)),
    "matmul": (hr.matmul, (X, Y)),
    "matmul of a transpose": (lambda x: hr.matmul(x, x, transpose_b=True), (X,)),
    "einsum": (lambda x, y: hr.einsum("ij,jk->ik", x, y), (X, Y)),
    "diagonal": (hr.diag_part, (X,)),
    "diagonal matrix": (hr.diag, (X,)),
    "activations": (lambda x: hr.relu(x) + hr.elu(x) + hr.gelu(x), (X,)),
    "softmax": (lambda x: hr.softmax(x) + hr.log_softmax(x, axis=-1), (X,)),
    "bias": (hr.bias_add, (X, X[0])),
    "sparse cross-entropy": (
        lambda x, y: hr.sparse_softmax_cross_entropy_with_logits(labels=y, logits=x),
        (X, LABELS),
    ),
    "cross-entropy": (
        lambda x: hr.softmax_cross_entropy_with_logits(labels=hr.softmax(x), logits=x),
        (X,),
    ),
    "top k": (lambda x: hr.top_k(x, 2).values, (X,)),
    "segments": (lambda x: hr.unsorted_segment_sum(x, LABELS, 3), (X,)),
    "l2": (lambda x: hr.l2_loss(x) + hr.l2_normalize(x), (X,)),
    "clip": (lambda x: hr.clip_by_norm(hr.clip_by_value(x, -1.0, 1.0), 0.5), (X,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_traced_result_is_the_eager_one(name):
    fn, args = FUNCTIONS[name]
    eager = fn(*[hr.constant(a) for a in args]).numpy()
    specs = tuple(hr.TensorSpec(None, hr.constant(a).dtype) for a in args)
    graph = trace(fn, specs, name="f").graph
    same(run(graph, list(args))[0], eager)
    assert graph.outputs[0].shape.is_compatible_with(eager.shape)


NOT_DIFFERENTIATED = {"comparison", "argmax"}
DIFFERENTIABLE = [n for n in FUNCTIONS if n not in NOT_DIFFERENTIATED]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_in_a_trace_is_the_eager_one(name):
    fn, args = FUNCTIONS[name]

    def grad(x, *more):
        with hr.GradientTape() as tape:
            tape.watch(x)
            y = fn(x, *more)
        return tape.gradient(y, x)

    eager = grad(*[hr.constant(a) for a in args]).numpy()
    specs = tuple(hr.TensorSpec(None, hr.constant(a).dtype) for a in args)
    same(run(trace(grad, specs, name="g").graph, list(args))[0], eager)


@pytest.mark.parametrize("fn", [hr.reduce_sum, lambda x: x + hr.ones([2]), hr.l2_loss])
def test_a_batch_rule_that_needs_the_rank_says_so(fn):
    graph = trace(fn, (hr.TensorSpec(None),), name="f").graph
    with pytest.raises(UnimplementedError, match="known rank"):
        batch_graph(graph)
