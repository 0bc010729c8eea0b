"""Timelines: lanes of every replica, and how much of the communication is hidden."""

import glob
import json

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.distribute.options import CommunicationOptions
from headrace.distribute.timeline import recorded

pytestmark = pytest.mark.timeout(60)


def test_a_fit_shows_input_compute_and_communication_of_every_replica(tmp_path):
    options = CommunicationOptions(bytes_per_pack=512, bytes_of_first_pack=1)
    strategy = hr.distribute.MirroredStrategy(["cpu:0", "cpu:1"], communication_options=options)
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((8,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
    x = np.ones((64, 8), "float32")
    model.fit(x, x[:, :1], batch_size=16, verbose=0)
    path = tmp_path / "trace.json"
    with hr.distribute.Timeline(path) as timeline:
        model.fit(x, x[:, :1], batch_size=16, verbose=0)
    trace = json.loads(path.read_text())
    spans = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    kinds = {(e["pid"], e["cat"]) for e in spans}
    for replica in (0, 1):
        assert {(replica, "compute"), (replica, "communication")} <= kinds
    assert (0, "input") in kinds
    assert sum(e["cat"] == "compute" for e in spans) == 2 * 4
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in spans)
    assert set(trace["otherData"]) == {"communication_hidden", "input_hidden"}
    assert all(0 <= share <= 1 for share in timeline.overlap().values())


def test_what_is_hidden():
    timeline = hr.distribute.Timeline()
    timeline.add("compute", "step", 0, 0.0, 10.0)
    timeline.add("communication", "a", 0, 2.0, 6.0)
    timeline.add("communication", "b", 0, 4.0, 10.0)  # beside a: 8 seconds together
    timeline.add("waiting", "b", 0, 8.0, 10.0)
    timeline.add("input", "next", 0, -5.0, 1.0)  # before the first step it does not count
    assert timeline.overlap() == {"communication_hidden": 0.75, "input_hidden": 0.9}


def made_timeline():
    """Two replicas, two steps of ten ms; the second replica waits for all of its reduction."""
    timeline = hr.distribute.Timeline(process=3)
    for k in range(2):
        at = 100.0 + 0.01 * k
        timeline.add("input", "next batch", 0, at, at + 0.001)
        for replica, waits in ((0, 0.001), (1, 0.004)):
            timeline.add("compute", "step", replica, at + 0.002, at + 0.01)
            timeline.add("communication", "a", replica, at + 0.005, at + 0.009)
            timeline.add("waiting", "a", replica, at + 0.009 - waits, at + 0.009)
    return timeline


def lines_of(space):
    """{plane: {line: [(name, start in ms, duration in ms, stats)]}} of an XSpace."""

    def shown(plane, event):
        stats = {
            plane.stat_metadata[s.metadata_id].name: getattr(s, s.WhichOneof("value"))
            for s in event.stats
        }
        start, duration = (round(n / 1e9, 6) for n in (event.offset_ps, event.duration_ps))
        return plane.event_metadata[event.metadata_id].name, start, duration, stats

    return {
        plane.name: {x.name: [shown(plane, e) for e in x.events] for x in plane.lines}
        for plane in space.planes
    }


@pytest.mark.peers
def test_a_profile_has_the_lanes_of_every_replica_and_the_steps(tf, tmp_path):
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    path = made_timeline().save_profile(tmp_path, "mine")
    assert glob.glob(f"{tmp_path}/plugins/profile/mine/*-3.xplane.pb") == [path]
    with open(path, "rb") as file:
        planes = lines_of(xplane_pb2.XSpace.FromString(file.read()))
    assert list(planes) == ["/host:CPU", *(f"/device:CUSTOM:replica {r}" for r in (0, 1))]
    replica = planes["/device:CUSTOM:replica 1"]
    assert replica["input"] == []
    assert replica["compute"] == [("step", 2, 8, {}), ("step", 12, 8, {})]
    assert replica["communication"] == [("a", 5, 4, {}), ("a", 15, 4, {})]
    assert replica["waiting"] == replica["communication"]
    shares = [planes[f"/device:CUSTOM:replica {r}"]["overlap"][0] for r in (0, 1)]
    assert shares[0][:3] == (
        "75.0% communication hidden, 94.4% input hidden", 0, 20,
    )  # fmt: skip
    assert shares[1][3]["communication_hidden_percent"] == pytest.approx(0)
    assert planes["/host:CPU"]["steps"][:4] == [
        ("train", 0, 10, {"step_num": 0, "_r": 1}), ("IteratorGetNext", 0, 1, {}),
        ("compute/step:Step", 2, 8, {}), ("waiting/a:AllReduce", 8, 1, {}),
    ]  # fmt: skip
    assert planes["/host:CPU"]["steps"][4] == ("train", 10, 10, {"step_num": 1, "_r": 1})


def test_the_profile_tab_shows_lanes_and_steps(tmp_path):
    convert = pytest.importorskip(
        "xprof.convert.raw_to_tool_data", reason="needs the plugin of the profile tab, xprof"
    )
    path = made_timeline().save_profile(tmp_path)

    def tool(name):
        return json.loads(convert.xspace_to_tool_data([path], name, {})[0])

    events = tool("trace_viewer")["traceEvents"]
    processes = {e["pid"]: e["args"]["name"] for e in events if e.get("name") == "process_name"}
    threads = {(e["pid"], e["tid"]): e["args"]["name"]
               for e in events if e.get("name") == "thread_name"}  # fmt: skip
    shown = {
        (processes[e["pid"]], threads[e["pid"], e["tid"]], e["name"])
        for e in events
        if e.get("ph") == "X"
    }
    for replica in (0, 1):
        assert {(lane, name) for process, lane, name in shown
                if process.endswith(f"replica {replica}")} >= {
            ("compute", "step"), ("communication", "a"), ("waiting", "a")}  # fmt: skip
    assert any(lane == "overlap" and name.startswith("75.0% comm") for _, lane, name in shown)
    tables = {t["cols"][0]["id"]: t for t in tool("input_pipeline_analyzer") if t["cols"]}
    columns = [c["id"] for c in tables["stepnum"]["cols"]]
    for row in tables["stepnum"]["rows"]:
        step = dict(zip(columns, (c["v"] for c in row["c"]), strict=True))
        assert (step["stepTimeMs"], step["infeedTimeMs"]) == pytest.approx((10, 1))
    assert len(tables["stepnum"]["rows"]) == 2


def test_a_timeline_writes_its_profile_beside_the_trace(tmp_path):
    for _ in range(2):  # within a second: a session for each
        with hr.distribute.Timeline(tmp_path / "trace.json", logdir=tmp_path):
            with recorded("compute", "step"):
                pass
    assert len(glob.glob(f"{tmp_path}/plugins/profile/*/*-0.xplane.pb")) == 2
    with pytest.raises(KeyError):
        with hr.distribute.Timeline(logdir=tmp_path, session="failed"):
            raise KeyError("of the user")
    assert not (tmp_path / "plugins" / "profile" / "failed").exists()
    for wrong in ({"session": "a"}, {"logdir": tmp_path, "session": "a/b"}):
        with pytest.raises(ValueError, match="session must be a name"):
            hr.distribute.Timeline(**wrong)


def test_nothing_is_recorded_without_one_and_only_one_is_open():
    with recorded("compute", "step"):
        pass
    with hr.distribute.Timeline() as timeline:
        with pytest.raises(RuntimeError, match="open already"):
            with hr.distribute.Timeline():
                pass
        with recorded("compute", "step", 3):
            pass
    with recorded("compute", "later"):
        pass
    assert [(s["lane"], s["name"], s["replica"]) for s in timeline.spans] == [
        ("compute", "step", 3)
    ]
