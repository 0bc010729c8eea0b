"""Several logical devices on one GPU: memory and limits of their own, placement, copies."""

import gc

import numpy as np
import pytest

import headrace as hr
from headrace.ops.devices import devices

MIB = 1 << 20
info = hr.config.experimental.get_memory_info
Limit = hr.config.LogicalDeviceConfiguration


def name(i):
    return f"/job:localhost/replica:0/task:0/device:GPU:{i}"


@pytest.fixture
def parts(gpus):
    """The first GPU as three logical devices of 2, 4 and 8 MiB, the others hidden."""
    backend = devices.backend
    devices.use(type(backend)(backend.module, native=backend.native))
    gpu = hr.config.list_physical_devices("GPU")[0]
    hr.config.set_visible_devices(gpu, "GPU")
    limits = [Limit(memory_limit=n) for n in (2, 4, 8)]
    hr.config.set_logical_device_configuration(gpu, limits)
    try:
        yield gpus
    finally:
        gc.collect()
        devices.use(backend)


def test_names_and_settings(parts):
    found = [d.name for d in hr.config.list_logical_devices("GPU")]
    assert found == ["/device:GPU:0", "/device:GPU:1", "/device:GPU:2"]
    assert len(hr.config.list_physical_devices("GPU")) == parts.count
    with pytest.raises(RuntimeError, match="after being initialized"):
        gpu = hr.config.list_physical_devices("GPU")[0]
        hr.config.set_logical_device_configuration(gpu, [Limit(memory_limit=5)])
    with hr.device("gpu:2"):
        assert hr.constant(1.0).device == name(2)
    hr.config.set_soft_device_placement(False)
    try:
        with pytest.raises(hr.errors.InvalidArgumentError, match="GPU:3"):
            with hr.device("gpu:3"):
                hr.constant(1.0)
    finally:
        hr.config.set_soft_device_placement(True)


def test_a_limit_must_be_given(gpus):
    backend = devices.backend
    devices.use(backend)
    try:
        gpu = hr.config.list_physical_devices("GPU")[0]
        with pytest.raises(ValueError, match="memory limit is required"):
            hr.config.set_logical_device_configuration(gpu, [Limit(5), Limit()])
    finally:
        devices.use(backend)


def test_calls_run_where_their_inputs_are(parts):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for i in (2, 0, 1):
        with hr.device(f"gpu:{i}"):
            a = hr.constant(x)
        for b in (
            a,
            a + 1,
            a[1:, ::2],
            hr.transpose(a) @ a,
            hr.reduce_sum(a),
            hr.reshape(a, [-1]),
        ):
            assert b.device == name(i)
        v = hr.Variable(a)
        with hr.device(f"gpu:{i}"):
            w = hr.Variable(a)
        w.assign_add(a)
        assert (v.device, w.device) == (name(i), name(i))
        np.testing.assert_array_equal(w.numpy(), 2 * x)


def test_memory_belongs_to_the_part_that_asked(parts):
    for _ in range(2):  # what is dropped is given back
        with hr.device("gpu:1"):
            kept = hr.zeros([MIB // 4])
        assert info("GPU:1")["current"] >= MIB > info("GPU:0")["current"]
        with hr.device("gpu:0"):
            copy = hr.identity(kept)
        assert copy.device == name(0)
        assert info("GPU:0")["current"] >= MIB > info("GPU:2")["current"]
        del kept, copy
        gc.collect()
    assert info("GPU:0")["current"] < MIB > info("GPU:1")["current"]


def test_each_part_has_its_limit(parts):
    def room(i):
        with hr.device(f"gpu:{i}"):
            hr.zeros([3 * MIB // 4])  # 3 MiB

    with pytest.raises(hr.errors.ResourceExhaustedError, match=r"GPU:0 is used up"):
        room(0)
    room(1)
    with hr.device("gpu:2"):
        kept = [hr.zeros([MIB // 4]) for _ in range(7)]
        with pytest.raises(hr.errors.ResourceExhaustedError, match=r"float32\[262144\]"):
            hr.zeros([MIB // 2])
    assert len(kept) == 7
    room(1)


def test_functions_and_gradients_are_placed(parts):
    @hr.function
    def step(x):
        with hr.GradientTape() as tape:
            tape.watch(x)
            y = hr.reduce_sum(hr.tanh(x) ** 2)
        return tape.gradient(y, x)

    x = np.linspace(-1, 1, 7).astype(np.float32)
    with hr.device("cpu:0"):
        want = step(hr.constant(x)).numpy()
    for i in range(3):
        with hr.device(f"gpu:{i}"):
            got = step(hr.constant(x))
        assert got.device == name(i)
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-6)


def test_replicas_on_parts_train_as_one(parts):
    def trained(strategy):
        hr.keras.utils.set_random_seed(3)
        with strategy.scope():
            model = hr.keras.Sequential([hr.keras.layers.Input((4,)), hr.keras.layers.Dense(2)])
            model.compile(hr.keras.optimizers.SGD(0.1, momentum=0.9), "mse")
        rng = np.random.default_rng(0)
        x, y = (rng.normal(size=(24, n)).astype(np.float32) for n in (4, 2))
        for _ in range(3):
            loss = model.train_on_batch(x, y)
        return loss, [v.numpy() for v in model.variables]

    strategy = hr.distribute.MirroredStrategy(["GPU:0", "GPU:1"])
    assert strategy.num_replicas_in_sync == 2
    got, weights = trained(strategy)
    want, others = trained(hr.distribute.OneDeviceStrategy("cpu:0"))
    np.testing.assert_allclose(got, want, rtol=1e-4)
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
