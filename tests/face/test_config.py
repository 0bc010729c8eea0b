"""`hr.config`: devices, and running functions eagerly."""

import os
import subprocess
import sys

import pytest

import headrace as hr
from headrace.ops.devices import current_device


def test_devices_are_listed_as_tensorflow_lists_them(tf):
    ours = hr.config.list_physical_devices("CPU")
    theirs = tf.config.list_physical_devices("CPU")
    assert [tuple(each) for each in ours] == [tuple(each) for each in theirs]
    assert [tuple(each) for each in hr.config.list_logical_devices()] == [
        tuple(each) for each in tf.config.list_logical_devices("CPU")
    ]
    assert hr.config.list_physical_devices("TPU") == []


def test_functions_run_eagerly_only_while_told_to():
    traces = []

    @hr.function
    def double(x):
        traces.append(hr.executing_eagerly())
        return x + x

    assert hr.config.functions_run_eagerly() is False
    hr.config.run_functions_eagerly(True)
    try:
        assert hr.config.functions_run_eagerly() is True
        double(hr.constant(1))
        double(hr.constant(2))
    finally:
        hr.config.run_functions_eagerly(False)
    double(hr.constant(1))
    double(hr.constant(2))
    assert traces == [True, True, False]


def test_threads():
    threading = hr.config.threading
    assert threading.get_intra_op_parallelism_threads() == 0
    try:
        threading.set_intra_op_parallelism_threads(3)
        threading.set_inter_op_parallelism_threads(2)
        assert threading.get_intra_op_parallelism_threads() == 3
        assert threading.get_inter_op_parallelism_threads() == 2
        with pytest.raises(ValueError, match="-1"):
            threading.set_intra_op_parallelism_threads(-1)
    finally:
        threading.set_intra_op_parallelism_threads(0)
        threading.set_inter_op_parallelism_threads(0)


SETTLED = """
import sys, importlib
lib = importlib.import_module(sys.argv[1])
c = lib.config
cpu = c.list_physical_devices("CPU")[0]

def tried(fn):
    try:
        return repr(fn())
    except Exception as error:
        return type(error).__name__

def placed(name):
    with lib.device(name):
        return "entered"

two = [c.LogicalDeviceConfiguration(), c.LogicalDeviceConfiguration()]
other = c.PhysicalDevice("/physical_device:GPU:0", "GPU")
for fn in (
    lambda: c.get_visible_devices(),
    lambda: c.get_soft_device_placement(),
    lambda: c.get_logical_device_configuration(cpu),
    lambda: c.set_visible_devices([other]),
    lambda: c.set_visible_devices(cpu, "CPU"),
    lambda: c.experimental.get_memory_growth(cpu),
    lambda: c.set_logical_device_configuration(cpu, two),
    lambda: c.get_logical_device_configuration(cpu),
    lambda: c.experimental.set_memory_growth(cpu, True),
    lambda: c.experimental.get_device_details(cpu),
    lambda: c.list_logical_devices(),
    lambda: c.list_logical_devices("GPU"),
    lambda: c.set_logical_device_configuration(cpu, two),
    lambda: c.set_logical_device_configuration(cpu, two[:1]),
    lambda: c.set_visible_devices([], "CPU"),
    lambda: c.experimental.get_memory_info("CPU:7"),
    lambda: c.experimental.get_synchronous_execution(),
    lambda: c.experimental.tensor_float_32_execution_enabled(),
    *[lambda d=d: placed(d) for d in (
        "cpu:0", "/cpu:1", "CPU:5", "gpu:0", "cpu", "", None, "/device:CPU:0", "foo:0", 3,
        "/job:localhost/replica:0/task:0/device:CPU:1",
        lib.DeviceSpec(device_type="CPU", device_index=1))],
    lambda: placed(c.list_logical_devices()[1]),
    lambda: lib.DeviceSpec.from_string("/job:a/replica:1/task:2/device:CPU:3"),
    lambda: lib.DeviceSpec.from_string("cpu:0").to_string(),
    lambda: lib.DeviceSpec(job="a").make_merged_spec(lib.DeviceSpec(task=1)).to_string(),
    lambda: lib.DeviceSpec(job="a", device_type="cpu").replace(job="b").to_string(),
):
    print(tried(fn))
"""


@pytest.mark.peers
@pytest.mark.processes
def test_devices_are_settled_as_in_tensorflow():
    found = [
        subprocess.run(
            [sys.executable, "-c", SETTLED, lib], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for lib in ("headrace", "tensorflow")
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 35


def test_a_scope_asks_for_a_device():
    with hr.device("cpu:0"):
        with hr.device(hr.DeviceSpec(job="localhost")), hr.device(None):
            assert current_device().endswith("/device:CPU:0")
        x = hr.ones([2]) + 1.0
    assert x.device == "/job:localhost/replica:0/task:0/device:CPU:0"
    hr.config.set_soft_device_placement(False)
    try:
        with hr.device("cpu:0"), pytest.raises(hr.errors.InvalidArgumentError, match="GPU"):
            with hr.device("gpu:0"):
                raise AssertionError("not reached")
    finally:
        hr.config.set_soft_device_placement(True)


DETERMINISTIC = """
import headrace as hr, numpy as np
hr.config.experimental.enable_op_determinism()
try:
    hr.random.uniform([2])
except RuntimeError as error:
    assert "seed" in str(error)
else:
    raise AssertionError("no seed was asked for")
hr.keras.utils.set_random_seed(1)
layers = hr.keras.layers
model = hr.keras.Sequential([
    hr.keras.Input((12, 12, 1)), layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(),
    layers.BatchNormalization(), layers.Flatten(), layers.Dropout(0.5), layers.Dense(3)])
model.compile("adam", hr.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
rng = np.random.default_rng(0)
x, y = rng.random((64, 12, 12, 1), np.float32), rng.integers(0, 3, 64)
model.fit(x, y, epochs=2, verbose=0)
print([w.tobytes().hex() for w in model.get_weights()])
"""


@pytest.mark.processes
@pytest.mark.slow
def test_deterministic_runs_are_equal_bit_for_bit(tmp_path):
    runs = []
    for cache in ("a", "a", "b"):  # an empty cache, the one it filled, another empty one
        env = os.environ | {"HEADRACE_CACHE_DIR": str(tmp_path / cache)}
        command = [sys.executable, "-c", DETERMINISTIC]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        runs.append(done.stdout)
    assert len(runs[0]) > 1000 and len(set(runs)) == 1
