"""benches/scaling/simulate.py: what must hold of simulated steps, and a real timeline."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace import keras

_path = Path(__file__).parents[2] / "benches" / "scaling" / "simulate.py"
_spec = importlib.util.spec_from_file_location("headrace_simulate", _path)
sim = importlib.util.module_from_spec(_spec)
sys.modules["headrace_simulate"] = sim  # dataclasses look their module up
_spec.loader.exec_module(sim)

pytestmark = pytest.mark.timeout(60)

MB = 1e6
STEP = sim.Step(0.010, ((0.004, 5 * MB), (0.008, 20 * MB), (0.008, 20 * MB)), 0.001)


def test_one_device_does_what_it_computes():
    assert sim.simulate(STEP, sim.Network(), 1) == pytest.approx(0.031)


def test_reductions_are_hidden_while_there_is_something_to_compute():
    fast = sim.Network(per_node=8, node_bytes_per_s=1e12, node_latency_s=0, launch_s=0)
    # Only the last bucket is exposed.
    exposed = fast.all_reduce_s(20 * MB, 8)
    assert sim.simulate(STEP, fast, 8) == pytest.approx(0.031 + exposed)


def test_a_slow_network_is_what_a_step_waits_for():
    slow = sim.Network(per_node=1, net_bytes_per_s=1e9, net_latency_s=0, launch_s=0)
    last = sum(slow.all_reduce_s(size, 4) for _, size in STEP.buckets[1:])
    found = sim.simulate(STEP, slow, 4)
    # The first bucket is through before the second is made; then the network never rests.
    assert found == pytest.approx(0.022 + last + 0.001)


def test_a_slow_input_is_what_a_step_waits_for():
    step = dataclasses.replace(STEP, input_s=0.05)
    assert sim.simulate(step, sim.Network(), 1) == pytest.approx(0.05)


def test_more_devices_and_more_jitter_take_longer():
    network = sim.Network()
    times = [sim.simulate(STEP, network, n) for n in (1, 2, 8, 16, 64)]
    assert times == sorted(times)
    jittery = dataclasses.replace(STEP, jitter=0.05)
    assert sim.simulate(jittery, network, 64) > times[-1]


def test_the_bytes_of_a_ring_inside_of_a_machine():
    network = sim.Network(8, 100e9, 10e9, 0, 0, 0)
    assert network.all_reduce_s(100e6, 8) == pytest.approx(2 * 7 / 8 * 100e6 / 100e9)
    assert network.all_reduce_s(100e6, 16) == pytest.approx(
        2 * 7 / 8 * 100e6 / 100e9 + 2 * 1 / 2 * 100e6 / 8 / 10e9
    )


def test_a_models_buckets_hold_all_of_its_gradients():
    step = sim.of_parameters(25.6e6, 0.085)
    assert sum(size for _, size in step.buckets) == pytest.approx(25.6e6 * 4)
    assert step.buckets[0][1] == 1 << 20
    assert step.compute_s == pytest.approx(0.085)


def test_a_measured_timeline_is_read():
    strategy = hr.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    with strategy.scope():
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
        model.compile("sgd", "mse")
    x = np.ones((64, 8), "float32")
    model.fit(x, x, batch_size=8, verbose=0)
    with hr.distribute.Timeline() as timeline:
        model.fit(x, x, batch_size=8, verbose=0)
    step, waits = sim.from_timeline(timeline.chrome_trace())
    assert len(step.buckets) == len(waits) == 1
    assert step.compute_s > 0 and waits[0] >= 0


def test_what_a_timeline_says_of_its_steps():
    """Two buckets, ready after 3 and 5 ms; waits of 0.5 and 2 ms; an update of 1 ms."""
    timeline = hr.distribute.Timeline()
    for k in range(3):
        t = 0.1 * k
        timeline.add("compute", "step", 0, t, t + 0.0085)
        timeline.add("communication", "a", 0, t + 0.003, t + 0.0055)
        timeline.add("communication", "b", 0, t + 0.005, t + 0.0075)
        timeline.add("waiting", "a", 0, t + 0.005, t + 0.0055)
        timeline.add("waiting", "b", 0, t + 0.0055, t + 0.0075)
    step, waits = sim.from_timeline(timeline.chrome_trace())
    assert step.forward_s == pytest.approx(0.003)
    assert [s for s, _ in step.buckets] == pytest.approx([0.0, 0.002])
    assert waits == pytest.approx([0.0005, 0.002])
    assert step.update_s == pytest.approx(0.001)
    assert step.compute_s + sum(waits) == pytest.approx(0.0085)


def test_what_reduces_by_itself_waits_for_every_reduction():
    slow = sim.Network(per_node=1, net_bytes_per_s=1e9, net_latency_s=0, launch_s=0)
    reductions = sum(slow.all_reduce_s(size, 4) for _, size in STEP.buckets)
    found = sim.simulate(STEP, slow, 4, overlapped=False)
    assert found == pytest.approx(STEP.compute_s + reductions)


def test_jitter_is_found_again():
    rng = np.random.default_rng(0)
    timeline = hr.distribute.Timeline()
    t = 0.0
    for _ in range(4000):
        slow = 1 + 0.08 * abs(rng.standard_normal())
        for lane, begin, end in (
            ("compute", 0, 0.012), ("communication", 0.008, 0.011), ("waiting", 0.01, 0.011)
        ):  # fmt: skip
            timeline.add(lane, "", 0, t + begin * slow, t + end * slow)
        t += 0.05
    step, _ = sim.from_timeline(timeline.chrome_trace(), sizes_bytes=[1e6])
    assert step.jitter == pytest.approx(0.08, rel=0.1)
    assert step.compute_s == pytest.approx(0.011, rel=0.01)
    assert step.buckets[0][1] == 1e6
