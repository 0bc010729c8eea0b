"""hr.profiler.experimental: what a profile holds, its files, and one at a time."""

from __future__ import annotations

import glob
import gzip
import json
import threading

import numpy as np
import pytest

import headrace as hr
from headrace.io.profile_files import HOST, chrome_trace, xspace
from headrace.ops.context import recording
from headrace.ops.profiling import Span, profiling

profiler = hr.profiler.experimental


def spans(folder):
    """The events of the only profile in a folder, by name."""
    (path,) = glob.glob(f"{folder}/plugins/profile/*/*.trace.json.gz")
    with gzip.open(path, "rt") as file:
        found = {}
        for event in json.load(file)["traceEvents"]:
            if event["ph"] == "X":
                found.setdefault(event["name"], []).append(event)
    return found


def test_operations_eager_and_compiled(tmp_path):
    @hr.function
    def f(x):
        with hr.name_scope("layer"):
            return hr.matmul(x, x)

    x = hr.ones([8, 8])
    wanted = f(x).numpy()
    with profiler.Profile(tmp_path):
        assert (f(x).numpy() == wanted).all()
        hr.matmul(x, x)
        hr.add(hr.constant(1), 2)
    assert not profiling.running
    found = spans(tmp_path)
    assert len(found["layer/MatMul:MatMul"]) == len(found["MatMul:MatMul"]) == 1
    assert len(found["AddV2:AddV2"]) == 1
    (outer,), (inner,) = found["f"], found["layer/MatMul:MatMul"]
    assert outer["ts"] <= inner["ts"] and inner["dur"] <= outer["dur"]


def test_nothing_is_left_on(tmp_path):
    before = recording.count
    with pytest.raises(ZeroDivisionError), profiler.Profile(tmp_path):
        assert recording.count == before + 1
        raise ZeroDivisionError
    assert recording.count == before and not profiling.running
    assert glob.glob(f"{tmp_path}/plugins/profile/*/*.xplane.pb")  # of an error, too


def test_failing_calls_say_where_in_a_profile_too(tmp_path):
    @hr.function(input_signature=[hr.TensorSpec([None]), hr.TensorSpec([None])])
    def f(x, y):
        return x + y

    def message():
        with pytest.raises(hr.errors.InvalidArgumentError) as caught:
            f(hr.ones([2]), hr.ones([3]))
        return str(caught.value)

    plain = message()
    with profiler.Profile(tmp_path):
        assert message() == plain


def test_stages_of_a_pipeline_and_its_threads(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    with hr.io.TFRecordWriter(path) as writer:
        for n in range(200):
            writer.write(np.float32([n]).tobytes())
    dataset = hr.data.TFRecordDataset(path).map(lambda r: hr.io.decode_raw(r, hr.float32) * 2)
    with profiler.Profile(tmp_path):
        assert sum(1 for _ in dataset.batch(50)) == 4
    found = spans(tmp_path)
    assert {"Iterator::TFRecord", "Iterator::Batch"} <= set(found)
    assert any(name.endswith(":DecodeRaw") for name in found)


def test_traces_of_the_users_own(tmp_path):
    with profiler.Trace("before"):
        pass
    with profiler.Profile(tmp_path):
        with profiler.Trace("train", step_num=7, _r=1) as trace:
            trace.set_metadata(note="first")
        other = threading.Thread(
            target=lambda: profiler.Trace("aside").__enter__().__exit__(), name="other"
        )
        other.start()
        other.join()
    found = spans(tmp_path)
    assert found["train"][0]["args"] == {"step_num": 7, "_r": 1, "note": "first"}
    assert found["aside"][0]["tid"] != found["train"][0]["tid"] and "before" not in found


def test_without_operations(tmp_path):
    with profiler.Profile(tmp_path, profiler.ProfilerOptions(host_tracer_level=0)):
        hr.add(hr.constant(1), 2)
        with profiler.Trace("mine"):
            pass
    assert set(spans(tmp_path)) == {"mine"}


def test_one_at_a_time(tmp_path):
    with pytest.raises(hr.errors.UnavailableError, match="No profiler is running"):
        profiler.stop()
    profiler.start(tmp_path)
    try:
        with pytest.raises(hr.errors.AlreadyExistsError, match="Another profiler is running"):
            profiler.start(tmp_path)
    finally:
        profiler.stop(save=False)
    assert not glob.glob(f"{tmp_path}/plugins")
    for _ in range(2):  # within a second: a session of its own for each
        with profiler.Profile(tmp_path):
            pass
    assert len(glob.glob(f"{tmp_path}/plugins/profile/*")) == 2


LINES = {
    "MainThread": [
        Span(1, "train", 0, 1 << 40, {"step_num": -1, "_r": 1, "share": 0.5, "of": "a"})
    ],
    "worker": [Span(2, "a/MatMul:MatMul", 5, 1000)],
}


@pytest.mark.peers
def test_a_profile_is_a_message_of_xprof(tf):
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (plane,) = xplane_pb2.XSpace.FromString(xspace({HOST: LINES})).planes
    assert plane.name == "/host:CPU" and [x.name for x in plane.lines] == list(LINES)
    (step,), (product,) = (line.events for line in plane.lines)
    assert plane.event_metadata[step.metadata_id].name == "train"
    assert plane.event_metadata[product.metadata_id].name == "a/MatMul:MatMul"
    assert (product.offset_ps, product.duration_ps) == (5000, 1_000_000)
    assert step.duration_ps == (1 << 40) * 1000
    kinds = {plane.stat_metadata[s.metadata_id].name: s for s in step.stats}
    assert kinds["step_num"].int64_value == -1 and kinds["_r"].int64_value == 1
    assert kinds["share"].double_value == 0.5 and kinds["of"].str_value == "a"


def test_the_trace_event_format():
    events = [e for e in chrome_trace(LINES)["traceEvents"] if e["ph"] == "X"]
    assert [(e["name"], e["tid"], e["ts"], e["dur"]) for e in events] == [
        ("train", 1, 0.0, (1 << 40) / 1e3), ("a/MatMul:MatMul", 2, 0.005, 1.0),
    ]  # fmt: skip


class TestSummaryTrace:
    def test_the_graphs_that_ran_are_exported(self, tmp_path):
        from tensorboard.compat.proto.config_pb2 import RunMetadata

        from headrace.io.event_files import read_events

        @hr.function
        def f(x):
            return hr.cond(hr.reduce_sum(x) > 0, lambda: hr.sin(x), lambda: hr.cos(x))

        @hr.function
        def g(x):
            return x + 1.0

        g(hr.ones([2]))
        hr.summary.trace_on()
        f(hr.ones([2]))
        f(hr.ones([2]))
        with hr.summary.create_file_writer(tmp_path).as_default():
            hr.summary.trace_export("mine", step=3)
        (path,) = glob.glob(f"{tmp_path}/events*")
        ((event, value),) = [(e, v) for e in read_events(path) for v in e.summary.value]
        assert (value.tag, event.step) == ("mine", 3)
        assert value.metadata.plugin_data.plugin_name == "graph_run_metadata_graph"
        message = RunMetadata.FromString(value.tensor.string_val[0])
        (graph,) = message.function_graphs  # not g, and f's branches in f
        ops = {n.op for n in graph.pre_optimization_graph.node}
        assert {"Sin", "Cos"} <= ops
        with pytest.raises(ValueError, match="Must enable trace before export"):
            hr.summary.trace_export("again", step=3)

    def test_off(self, tmp_path):
        with pytest.raises(ValueError, match="profiler_outdir must be a folder"):
            hr.summary.trace_on(profiler=True)
        hr.summary.trace_on(graph=False, profiler=True, profiler_outdir=tmp_path)
        with pytest.warns(UserWarning, match="under way already"):
            hr.summary.trace_on()
        assert profiling.running and profiling.graphs is None
        hr.summary.trace_off()
        assert not profiling.running and not glob.glob(f"{tmp_path}/plugins")

    def test_with_a_profile(self, tmp_path):
        hr.summary.trace_on(profiler=True, profiler_outdir=tmp_path)
        hr.function(lambda x: hr.sin(x))(hr.ones([2]))
        with hr.summary.create_file_writer(tmp_path).as_default():
            hr.summary.trace_export("mine", step=0)
        assert any(name.endswith("Sin:Sin") for name in spans(tmp_path))
