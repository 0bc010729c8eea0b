"""The bench of a GPU's input: its arithmetic of spans, and its pipelines on the CPU."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

import headrace as hr

sys.path.insert(0, str(Path(__file__).parents[2] / "benches"))

import gpu_input
from gpu_networks import NETWORKS

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)).map(lambda s: (s[0], sum(s))))


def ticks(spans):
    return {t for begin, end in spans for t in range(begin, end)}


@given(SPANS, SPANS)
def test_time_that_is_covered_and_shared(one, other):
    assert gpu_input.covered(one) == len(ticks(one))
    assert gpu_input.shared(one, other) == len(ticks(one) & ticks(other))


def test_rows_of_a_job():
    steps = [(10.0, 18.0), (20.0, 30.0)]
    copies = [(12.0, 16.0), (17.0, 21.0)]
    busy, hidden, rest = gpu_input.rows_for("mlp", steps, copies, 8_000_000, 4, 200.0)
    assert busy["value"] == pytest.approx(0.9) and busy["goal"] == 0.95 and not busy["met"]
    assert busy["examples/s"] == 400 and busy["gb/s"] == pytest.approx(1.0)
    assert hidden["value"] == pytest.approx(6 / 8)
    assert rest["value"] == pytest.approx(0.5)


def test_a_trace_shows_both_streams():
    trace = gpu_input.trace_of({"compute": [(1.0, 3.0)], "copies": [(0.5, 1.5), (2.0, 2.5)]})
    events = json.loads(json.dumps(trace))["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    assert names == {0: "compute", 1: "copies"}
    shown = [(e["tid"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"]
    assert shown == [(0, 1000, 2000), (1, 500, 1000), (1, 2000, 500)]


@pytest.mark.parametrize("job", gpu_input.AIMS)
def test_batches_come_out_of_files(job, tmp_path):
    paths = gpu_input.write_files(job, tmp_path, 12, files=2)
    assert len(list(hr.data.TFRecordDataset(paths))) == 12
    for x, y in itertools.islice(gpu_input.dataset_of(job, paths, 5), 3):
        assert x.shape == (5, *NETWORKS[job].shape) and x.dtype == hr.float32
        assert 0 <= float(hr.reduce_min(x)) and float(hr.reduce_max(x)) <= 1
        assert 0 <= int(hr.reduce_max(y)) < NETWORKS[job].classes


def test_steps_are_marked_behind_the_warmup(tmp_path):
    marks = itertools.count().__next__
    paths = gpu_input.write_files("mlp", tmp_path, 16, files=2)
    before = hr.keras.mixed_precision.global_policy()
    try:
        model = gpu_input.model_of(NETWORKS["mlp"])
        found = gpu_input.fitted(model, gpu_input.dataset_of("mlp", paths, 4), 3, 5, marks)
    finally:
        hr.keras.mixed_precision.set_global_policy(before)
    assert found == [(2 * k, 2 * k + 1) for k in range(5)]


def test_the_goals():
    assert gpu_input.AIMS == {"mlp": 0.95, "resnet50": 0.98}
    assert np.isfinite(gpu_input.covered([(0.0, 1.0)]))
