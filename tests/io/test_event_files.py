"""hr.summary: what it writes, read back by our reader and by a real TensorBoard over HTTP."""

from __future__ import annotations

import glob
import time
import urllib.parse

import numpy as np
import pytest

import headrace as hr
from headrace.io.event_files import EventFileWriter, read_events
from headrace.io.summary_graph import graph_def
from headrace.io.summary_values import histogram_rows


def events(folder):
    """Every event of the files of a folder but the first of each."""
    found = []
    for path in sorted(glob.glob(f"{folder}/events*")):
        first, *rest = read_events(path)
        assert first.file_version == "brain.Event:2"
        found.extend(rest)
    return found


def tags(folder):
    return [(v.tag, e.step) for e in events(folder) for v in e.summary.value]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TensorBoard's own
def test_a_real_tensorboard_reads_every_kind_of_summary(tmp_path, tensorboard_client):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 5, 7, 3)).astype(np.uint8)
    values = rng.standard_normal(1000)

    @hr.function
    def f(x):
        with hr.name_scope("double"):
            return x * 2.0

    with hr.summary.create_file_writer(tmp_path / "train").as_default():
        for step in range(5):
            hr.summary.scalar("loss", 1 / (step + 1), step=step, description="falls")
        hr.summary.histogram("weights", values, step=3)
        hr.summary.image("pictures", pixels, step=2)
        hr.summary.audio("sound", np.zeros((1, 80, 1), np.float32), 8000, step=1)
        hr.summary.text("note", "hello **world**", step=0)
        hr.summary.graph(f.get_concrete_function(hr.constant([1.0, 2.0])))
        # The flush at the end of the block is what makes it readable.
    client = tensorboard_client(tmp_path)
    found = client.wait("plugin/text/tags", lambda r: r.get("train"))
    assert found == {"train": ["note"]}

    assert "loss" in client.json("plugin/scalars/tags")["train"]
    rows = client.json("plugin/scalars/scalars", run="train", tag="loss")
    assert [r[1] for r in rows] == list(range(5))
    np.testing.assert_allclose([r[2] for r in rows], [1 / (s + 1) for s in range(5)], rtol=1e-6)

    ((_, step, rows),) = client.json("plugin/histograms/histograms", run="train", tag="weights")
    assert step == 3 and sum(r[2] for r in rows) == 1000
    assert rows[0][0] == pytest.approx(values.min())

    query = {"run": "train", "tag": "pictures"}
    (first,) = client.json("plugin/images/images", **query, sample=0)
    assert first["step"] == 2
    png = client.get(f"plugin/images/individualImage?{first['query']}&x=1".split("?")[0],
                     **dict(urllib.parse.parse_qsl(first["query"])))  # fmt: skip
    np.testing.assert_array_equal(hr.io.decode_png(png).numpy(), pixels[0])

    assert client.json("plugin/audio/audio", run="train", tag="sound", sample=0)
    (note,) = client.json("plugin/text/text", run="train", tag="note")
    assert "<strong>world</strong>" in note["text"]
    graph = client.get("plugin/graphs/graph", run="train").decode()
    assert 'name: "double/Mul"' in graph and "Placeholder" in graph


class TestState:
    def test_nothing_is_recorded_without_a_default_writer(self):
        assert not hr.summary.should_record_summaries()
        assert not hr.summary.scalar("a", 1.0, step=1).numpy()

    def test_a_step_is_needed(self, tmp_path):
        with hr.summary.create_file_writer(tmp_path).as_default():
            with pytest.raises(ValueError, match="No step set"):
                hr.summary.scalar("a", 1.0)

    def test_default_steps_nest_and_come_back(self, tmp_path):
        writer = hr.summary.create_file_writer(tmp_path)
        with writer.as_default(step=1):
            hr.summary.scalar("a", 1.0)
            with writer.as_default(step=2):
                hr.summary.scalar("a", 1.0)
            hr.summary.experimental.set_step(5)
            hr.summary.scalar("a", 1.0)
        assert hr.summary.experimental.get_step() is None
        writer.close()
        assert tags(tmp_path) == [("a", 1), ("a", 2), ("a", 5)]

    def test_record_if(self, tmp_path):
        with hr.summary.create_file_writer(tmp_path).as_default(step=0):
            with hr.summary.record_if(False):
                assert not hr.summary.scalar("no", 1.0).numpy()
                with hr.summary.record_if(lambda: True):
                    assert hr.summary.scalar("yes", 1.0).numpy()
        assert tags(tmp_path) == [("yes", 0)]

    def test_tags_are_in_the_name_scope(self, tmp_path):
        with hr.summary.create_file_writer(tmp_path).as_default(step=0):
            with (
                hr.name_scope("outer"),
                hr.summary.experimental.summary_scope("in") as (tag, _),
            ):
                hr.summary.write(tag, hr.constant(1), metadata=None)
                hr.summary.scalar("loss", 1.0)
        assert [t for t, _ in tags(tmp_path)] == ["outer/in", "outer/in/loss"]

    def test_a_closed_writer_says_so(self, tmp_path):
        writer = hr.summary.create_file_writer(tmp_path)
        writer.close()
        writer.close()
        with pytest.raises(RuntimeError, match="already closed"):
            writer.set_as_default()

    def test_the_writer_of_nothing(self):
        with hr.summary.create_noop_writer().as_default(step=0):
            assert hr.summary.scalar("a", 1.0).numpy()


class TestTraced:
    def test_steps_and_conditions_are_read_whenever_the_graph_runs(self, tmp_path):
        step = hr.Variable(0, dtype="int64")

        @hr.function
        def f(x):
            with hr.summary.record_if(lambda: hr.equal(step % 2, 0)):
                hr.summary.scalar("x", x, step=step)
            return x

        with hr.summary.create_file_writer(tmp_path).as_default():
            for i in range(4):
                step.assign(i)
                f(hr.constant(float(i)))
        assert tags(tmp_path) == [("x", 0), ("x", 2)]

    def test_a_trace_outlives_its_writer(self, tmp_path):
        @hr.function
        def f(x):
            hr.summary.scalar("x", x, step=1)
            return x

        for name in "ab":
            writer = hr.summary.create_file_writer(tmp_path / name)
            with writer.as_default():
                f(hr.constant(1.0))
            writer.close()
        f(hr.constant(1.0))  # nobody listens
        assert tags(tmp_path / "a") == tags(tmp_path / "b") == [("x", 1)]


def test_wrong_data_is_named(tmp_path):
    with hr.summary.create_file_writer(tmp_path).as_default(step=0):
        with pytest.raises(
            ValueError, match=r"scalar 'a' needs one number, got the shape \(2,"
        ):
            hr.summary.scalar("a", [1.0, 2.0])
        with pytest.raises(hr.errors.InvalidArgumentError, match="data must be images"):
            hr.summary.image("a", np.zeros((3, 3)))
        with pytest.raises(TypeError, match="graph_data must be"):
            hr.summary.graph(3)


def test_events_wait_and_are_flushed_by_number_and_time(tmp_path):
    from tensorboard.compat.proto.event_pb2 import Event

    writer = EventFileWriter(tmp_path, max_queue=2, flush_millis=50)
    for i in range(3):
        writer.add(Event(step=i))
    assert len(events(tmp_path)) == 3
    writer.add(Event(step=3))
    end = time.monotonic() + 20
    while len(events(tmp_path)) < 4:
        assert time.monotonic() < end
        time.sleep(0.01)
    writer.close()
    with pytest.raises(hr.errors.FailedPreconditionError, match="closed"):
        writer.add(Event())


@pytest.mark.peers
@pytest.mark.parametrize("data", [
    np.random.default_rng(0).standard_normal(500),
    np.array([2.0, 2.0, 2.0]), np.zeros(0), np.arange(7),
], ids=["normal", "all the same", "empty", "integers"])  # fmt: skip
@pytest.mark.parametrize("buckets", [30, 1, 0])
def test_messages_are_tensorflows(tmp_path, data, buckets):
    import tensorflow as tf
    from tensorboard.util.tensor_util import make_ndarray

    image = np.random.default_rng(1).random((4, 3, 2, 1))
    for name, lib in (("ours", hr), ("theirs", tf)):
        with lib.summary.create_file_writer(str(tmp_path / name)).as_default(step=4):
            lib.summary.histogram("h", data, buckets=buckets, description="d")
            lib.summary.scalar("s", 3, description="d")
            lib.summary.text("t", ["a", "b"])
            lib.summary.image("i", image)
            lib.summary.audio("a", np.zeros((2, 9, 1), np.float32), 44100)
    ours, theirs = ([v for e in events(tmp_path / n) for v in e.summary.value]
                    for n in ("ours", "theirs"))  # fmt: skip
    for a, b in zip(ours, theirs, strict=True):
        assert a.tag == b.tag and a.metadata == b.metadata
        x, y = make_ndarray(a.tensor), make_ndarray(b.tensor)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        if a.tag == "i":  # PNG files differ by zlib's version, not in pixels
            assert x[:2].tolist() == y[:2].tolist()
            for p, q in zip(x[2:], y[2:], strict=True):
                np.testing.assert_array_equal(hr.io.decode_png(p), hr.io.decode_png(q))
        elif x.dtype == object:
            assert x.tolist() == y.tolist()
        else:
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)


def test_a_histogram_counts_every_value_once():
    rng = np.random.default_rng(2)
    for _ in range(20):
        data = rng.standard_normal(rng.integers(1, 50)) * 10.0 ** rng.integers(-5, 5)
        rows = histogram_rows(data, int(rng.integers(1, 40)))
        assert rows[:, 2].sum() == data.size
        np.testing.assert_array_equal(rows[1:, 0], rows[:-1, 1])


def test_a_graphs_names_are_unique_and_inputs_exist():
    v = hr.Variable(1.0, name="v")

    @hr.function
    def f(x):
        for _ in hr.range(3):
            with hr.name_scope("in"):
                x = x * v
        return hr.cond(x[0] > 0, lambda: x + v, lambda: x - 1.0)

    message = graph_def(f.get_concrete_function(hr.TensorSpec([None], "float32")).graph)
    names = [n.name for n in message.node]
    assert len(set(names)) == len(names) and "v" in names
    for node in message.node:
        assert all(i.split(":")[0] in names for i in node.input), node
