"""explain() and drawings tell what was really done."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph import trace
from headrace.ops.graph.draw import draw_layers
from headrace.ops.graph.explain import explain, peak_bytes
from headrace.ops.graph.passes import optimize


def test_explain_names_passes_kernels_and_bytes():
    @hr.function
    def f(x):
        unused = hr.matmul(x, x)  # noqa: F841
        y = hr.exp(x) * 2.0
        return hr.reduce_sum(y + hr.exp(x), -1)

    assert "not traced yet" in f.explain()
    with pytest.raises(ValueError, match="no graph yet"):
        _ = f.graph
    text = f.explain(hr.TensorSpec([256, 256]))
    assert "dead_nodes               -1 calls" in text
    assert "common_subexpressions    -1 calls" in text
    assert "[Exp, Mul, AddV2, Sum] -> float32(256,)" in text
    assert text == f.explain()
    f(np.ones((256, 256), "f4"))
    assert "MatMul" in f.graph.pretty()


def test_peak_bytes_counts_what_is_alive_at_once():
    def fn(x):
        return hr.cumsum(hr.cumsum(hr.cumsum(x)))

    graph = trace(fn, (hr.TensorSpec([1000]),)).graph
    assert peak_bytes(graph) == 2 * 4000
    wide = trace(lambda x: hr.exp(x) * hr.tanh(x), (hr.TensorSpec([1000, 4]),)).graph
    assert peak_bytes(wide) == 3 * 16000
    assert peak_bytes(optimize(wide)) == 16000


N = 128
ALONE = {
    "few elements": (lambda x: hr.exp(x[0, :8]), "Exp: fewer than 2048 elements"),
    "no neighbour": (lambda x: hr.matmul(x, x)[:100] - 1.0, "Sub: no call beside it is one"),
    "other axes": (
        lambda x: hr.reduce_sum(hr.reshape(hr.exp(x) * 2.0, [64, 2, N]), 1) * 2.0,
        "Sum: reduces other axes",
    ),
    "other shapes": (
        lambda x: (x[:32] - 1.0) * x[:, :1, None],
        "Sub, Mul: the calls beside it work on other shapes",
    ),
    "a dtype": (
        lambda x: hr.cast(hr.exp(hr.cast(x, hr.float64)), hr.float32),
        "Exp: kernels have no Exp of float64",
    ),
    "something between": (
        lambda x: (lambda y: y + hr.sort(y, -1))(x - 1.0),
        "Sub, AddV2: other calls stand between it and the kernel beside it",
    ),
    "too many inputs": (
        lambda x: sum([hr.roll(x, k, 0) for k in range(1, 15)], x),
        "no place for it: too many inputs, steps or passes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
def test_explain_says_why_a_call_is_in_no_kernel(name):
    fn, reason = ALONE[name]
    text = explain(trace(fn, (hr.TensorSpec([N, N]),)).graph)
    assert reason in text, text


def test_explain_says_that_datasets_keep_bits():
    graph = trace(hr.exp, (hr.TensorSpec([N, N]),)).graph
    assert "not in kernels" not in explain(graph)
    graph.exact = True
    assert "Exp: rounds differently in a kernel" in explain(graph)


def test_explain_tells_of_branches():
    @hr.function
    def f(x):
        return hr.cond(hr.reduce_sum(x) > 0, lambda: hr.exp(x) * 2.0, lambda: x)

    assert "[Exp, Mul]" in f.explain(hr.TensorSpec([64, 64]))


def test_drawing_has_every_call_and_is_well_formed():
    graph = trace(
        lambda x: hr.nn.softmax(x @ hr.ones([8, 3]) + 1.0), (hr.TensorSpec([None, 8]),)
    ).graph
    drawing = ET.fromstring(graph.draw())
    texts = [t.text for t in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for name in ("MatMul", "Softmax", "result", "float32(None, 3)"):
        assert name in texts
    boxes = [
        (float(r.get("x")), float(r.get("y")), float(r.get("width")))
        for r in drawing.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert len(boxes) == len(graph.nodes) + 1
    for i, (x, y, w) in enumerate(boxes):
        for x2, y2, _ in boxes[i + 1 :]:
            assert y != y2 or x2 >= x + w or x2 + _ <= x, "boxes overlap"


def test_layers_go_downwards():
    drawing = draw_layers([("a", ""), ("b", ""), ("c<&", "")], [(0, 1), (1, 2), (0, 2)])
    assert drawing.index(">a<") < drawing.index(">b<") < drawing.index("c&lt;&amp;")


def test_an_empty_graph_explains_itself():
    graph = trace(lambda x: x, (hr.TensorSpec([3]),)).graph
    assert "0 calls traced, 0 run" in explain(graph)
