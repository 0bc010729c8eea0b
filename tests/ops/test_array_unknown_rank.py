"""Every array operation's cases again, traced on tensors whose very rank is unknown."""

import pytest

from headrace.ops import api as hr
from headrace.ops.graph.trace import trace

from . import (
    test_array_gather,
    test_array_index,
    test_array_join,
    test_array_pad,
    test_array_scatter,
    test_array_shape,
    test_array_sort,
    test_sequences,
)
from .harness import arrays_of, run, same, values

CASES = {
    f"{module.__name__.rsplit('test_', 1)[1]}-{case.id}": case
    for module in (
        test_array_gather,
        test_array_index,
        test_array_join,
        test_array_pad,
        test_array_scatter,
        test_array_shape,
        test_array_sort,
        test_sequences,
    )
    for case in module.CASES
    if case.id != "gather-batch-negative"
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_traced_result_is_the_eager_one(case):
    arrays = arrays_of(case.args)
    eager = values(case.fn(*[hr.constant(a) for a in arrays]))
    graph = trace(
        case.fn, tuple(hr.TensorSpec(None, hr.constant(a).dtype) for a in arrays)
    ).graph
    for out, got, want in zip(graph.outputs, run(graph, arrays), eager, strict=True):
        same(got, want)
        assert out.shape.is_compatible_with(want.shape)


def test_a_negative_number_of_batch_axes_needs_a_rank():
    with pytest.raises(ValueError, match="known rank"):
        trace(lambda i: hr.gather([[1.0]], i, batch_dims=-1), (hr.TensorSpec(None, "int32"),))
