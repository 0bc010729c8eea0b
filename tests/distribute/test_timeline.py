"""Timelines: lanes of every replica, and how much of the communication is hidden."""

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
