"""Grouped updates: the same step with one call, and on a device with one launch."""

import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.keras.optimizers import grouped_updates
from headrace.keras.optimizers.grouped_updates import GroupedUpdate, group_updates
from headrace.ops.cuda import device, nvrtc
from headrace.ops.graph import trace
from headrace.ops.graph.execute import compile_graph

OPTIMIZERS = {
    "SGD": {}, "SGD momentum": {"momentum": 0.9}, "SGD nesterov": {"momentum": 0.9,
    "nesterov": True}, "Adam": {}, "Adam amsgrad": {"amsgrad": True}, "RMSprop": {},
    "Adagrad": {}, "Lion": {}, "Nadam": {},
}  # fmt: skip
SHAPES = [(3,), (40, 70), (5, 2)]


def made(name):
    optimizer = getattr(hr.keras.optimizers, name.split()[0])(0.1, **OPTIMIZERS[name])
    rng = np.random.default_rng(0)
    variables = [hr.Variable(rng.normal(size=s).astype("f4")) for s in SHAPES]
    optimizer.build(variables)
    return optimizer, variables


def traced(optimizer, variables):
    def step(*grads):
        optimizer.apply_gradients(zip(grads, variables, strict=True))
        return hr.constant(0)

    return trace(step, tuple(hr.TensorSpec(s) for s in SHAPES)).graph


def gradients(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype("f4") for s in SHAPES]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_grouped_step_is_the_step(name):
    results = []
    for passes in ([], [group_updates]):
        optimizer, variables = made(name)
        graph = traced(optimizer, variables)
        run = compile_graph(graph, passes)
        for i in range(3):
            run(*gradients(i))
        results.append([v.numpy() for v in (*variables, *optimizer.variables)])
        grouped = [n for n in run.graph if n.type == "_GroupedUpdate"]
        assert len(grouped) == (1 if passes else 0)
        if grouped:
            assert len(grouped[0].attrs["groups"]) == 3
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_on_a_device_it_is_one_launch(name, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "ops" / "cuda"))
    from ptx_device import PtxDevice

    results = []
    for on_device in (False, True):
        optimizer, variables = made(name)
        run = compile_graph(traced(optimizer, variables), [group_updates])
        if on_device:
            monkeypatch.setitem(GroupedUpdate.overrides, "cpu", GroupedUpdate.form("gpu"))
            run = compile_graph(traced(optimizer, variables), [group_updates])
            with device.use(PtxDevice()) as gpu:
                run(*gradients(0))
            assert [n for n, _, _ in gpu.launches] == ["update"]
        else:
            run(*gradients(0))
        results.append([v.numpy() for v in variables])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_updates_of_one_variable_keep_their_order():
    v = hr.Variable(np.zeros(4, "f4"))
    rate = hr.constant(1.0)

    def step(g):
        apply = grouped_updates.ResourceApplyGradientDescent
        apply(rate, g, variables=(v,))
        apply(rate, g * v, variables=(v,))
        return g

    graph = trace(step, (hr.TensorSpec([4]),)).graph
    assert group_updates(graph) is graph


def test_what_is_read_between_updates_stops_them_from_joining():
    a, b = hr.Variable(np.zeros(4, "f4")), hr.Variable(np.zeros(4, "f4"))
    rate = hr.constant(1.0)

    def step(g):
        apply = grouped_updates.ResourceApplyGradientDescent
        apply(rate, g, variables=(a,))
        seen = a + 1.0
        apply(rate, g, variables=(b,))
        return seen

    graph = trace(step, (hr.TensorSpec([4]),)).graph
    assert group_updates(graph) is graph
    np.testing.assert_array_equal(compile_graph(graph)(np.ones(4, "f4"))[0], np.zeros(4))
    assert sys.modules["headrace.ops.graph.passes"].PLACED_PASSES[-1] is group_updates
