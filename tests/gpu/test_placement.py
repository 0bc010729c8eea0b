"""Where values lie and calls run: TensorFlow's rules (its guide "Use a GPU")."""

import numpy as np
import pytest
from late_copies import Late

import headrace as hr
from headrace.keras.engine import device_input
from headrace.ops.devices import devices

CPU = "/job:localhost/replica:0/task:0/device:CPU:0"
GPU = "/job:localhost/replica:0/task:0/device:GPU:0"


@pytest.fixture(autouse=True)
def _devices(gpus):
    """All tests here need them."""


def test_gpus_are_listed(gpus):
    names = [d.name for d in hr.config.list_physical_devices("GPU")]
    assert names == [f"/physical_device:GPU:{i}" for i in range(gpus.count)]
    assert hr.config.list_logical_devices("GPU")[0] == ("/device:GPU:0", "GPU")
    assert hr.config.list_physical_devices()[0].device_type == "CPU"
    details = hr.config.experimental.get_device_details(
        hr.config.list_physical_devices("GPU")[0]
    )
    assert details["compute_capability"] >= (7, 5) and details["device_name"]
    assert hr.test.is_gpu_available() and hr.test.gpu_device_name() == "/device:GPU:0"
    assert not hr.test.is_gpu_available(min_cuda_compute_capability=(99, 0))


@pytest.mark.parametrize(
    "name",
    [
        "gpu:0", "GPU:0", "/gpu:0", "/device:GPU:0", "device:gpu:0", "gpu",
        "/job:localhost/replica:0/task:0/device:GPU:0",
    ],
)  # fmt: skip
def test_every_spelling(name):
    with hr.device(name):
        assert hr.constant([1, 2]).device == GPU


def test_scopes_nest_and_none_takes_them_away():
    with hr.device("cpu:0"):
        assert hr.constant(1.0).device == CPU
        with hr.device("gpu:0"):
            assert (hr.constant(1.0) + 1).device == GPU
        with hr.device(None):
            assert hr.constant(1.0).device == GPU
        assert hr.constant(1.0).device == CPU


def test_without_a_scope_floats_go_to_the_first_gpu_and_int32_stays():
    assert hr.constant([1.0]).device == GPU
    assert hr.constant(np.arange(3)).device == GPU  # int64
    assert hr.constant([1, 2]).device == CPU  # sizes and indices, as TensorFlow has it
    assert (hr.constant([1, 2]) + 1).device == CPU
    assert hr.shape(hr.constant([1.0])).device == CPU
    assert hr.constant("a").device == CPU
    assert hr.zeros([2]).device == GPU
    assert hr.random.normal([2]).device == GPU
    assert hr.range(3.0).device == GPU


def test_a_call_runs_where_its_inputs_are(two_gpus):
    with hr.device("gpu:1"):
        x = hr.constant([1.0, 2.0])
    assert (x * 2).device.endswith("GPU:1")
    assert hr.reduce_sum(x).device.endswith("GPU:1")
    with hr.device("gpu:0"):
        assert (x * 2).device == GPU


def test_all_of_it_works_on_the_second_gpu(two_gpus):
    with hr.device("gpu:1"):
        v = hr.Variable([[1.0, 2.0], [3.0, 4.0]])
        x = hr.constant([[1.0, 1.0]])
    optimizer = hr.keras.optimizers.SGD(0.5, momentum=0.9)
    for _ in range(2):
        with hr.GradientTape() as tape:
            loss = hr.reduce_sum(x @ v)
        optimizer.apply_gradients([(tape.gradient(loss, v), v)])
    assert v.device.endswith("GPU:1") and loss.device.endswith("GPU:1")
    np.testing.assert_allclose(v.numpy(), [[-0.45, 0.55], [1.55, 2.55]], rtol=1e-5)
    assert hr.transpose(v).gpu(0).numpy().tolist() == v.numpy().T.tolist()  # not contiguous
    assert hr.constant(hr.transpose(v), hr.float64).device.endswith("GPU:1")
    assert hr.Variable(v).numpy().tolist() == v.numpy().tolist()


def test_inputs_are_copied_to_the_call():
    with hr.device("cpu:0"):
        x = hr.constant([1.0, 2.0])
    with hr.device("gpu:0"):
        y = x + hr.constant([1.0, 1.0])
        assert y.device == GPU and y.numpy().tolist() == [2.0, 3.0]
        assert (x + np.float32(1)).device == GPU
    with hr.device("cpu:0"):
        assert (y + x).device == CPU
    assert hr.gather(y, [1, 0]).device == GPU  # int32 indices on the host


def test_copies():
    x = hr.constant([1.0, 2.0])
    host = x.cpu()
    assert (host.device, host.gpu().device) == (CPU, GPU)
    assert x.gpu() is x and host.cpu() is host
    with hr.device("cpu:0"):
        assert hr.identity(x).device == CPU
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"GPU:17; there are .*GPU:0"):
        x.gpu(17)


def test_values_come_back():
    x = hr.constant([[1.5, 2.5]])
    assert x.numpy().tolist() == [[1.5, 2.5]]
    assert np.asarray(x).tolist() == [[1.5, 2.5]]
    assert float(x[0, 0]) == 1.5 and bool(x[0, 1] > 2) and len(x) == 1
    assert "1.5" in repr(x) and "1.5" in str(x) and f"{x[0, 0]:.2f}" == "1.50"
    assert [float(v) for v in x[0]] == [1.5, 2.5]


def test_strings_run_on_the_host():
    with hr.device("gpu:0"):
        s = hr.strings.join(["a", hr.strings.as_string(hr.constant([1.0, 2.0]))])
        assert s.device == CPU
        assert hr.where([True, False], s, "x").numpy().tolist()[1] == b"x"
        x = hr.strings.to_number(["1", "2"])
        assert (x + 1).device == GPU


def test_variables_stay_where_they_were_made():
    with hr.device("cpu:0"):
        host = hr.Variable([1.0])
    v = hr.Variable([1.0])
    assert (host.device, v.device) == (CPU, GPU)
    with hr.device("cpu:0"):
        v.assign_add([1.0])
        assert v.device == GPU and v.read_value().device == GPU
        assert (v * 2).device == CPU
    with hr.device("gpu:0"):
        host.assign([3.0])
        assert host.device == CPU and (host + 1).device == GPU
    assert hr.Variable(3).device == CPU


def test_functions_keep_the_scopes_they_were_traced_in():
    @hr.function
    def both(x):
        with hr.device("cpu:0"):
            here = x * 2
        return here, x + 1

    here, there = both(hr.constant([1.0]))
    assert (here.device, there.device) == (CPU, GPU)
    with hr.GradientTape() as tape:
        w = hr.Variable([1.0])
        y = both(w)
        total = hr.reduce_sum(y[0] * y[1])
    assert tape.gradient(total, w).numpy().tolist() == [6.0]


def test_scopes_around_a_function_decide_at_each_call():
    double = hr.function(lambda x: x * 2)
    with hr.device("cpu:0"):
        assert double(hr.constant([1.0])).device == CPU
    assert double(hr.constant([1.0])).device == GPU
    with hr.device("cpu:0"):
        assert double(hr.constant([1.0])).device == CPU


def test_control_flow_with_a_device_in_it():
    @hr.function
    def collatz(x):
        n = hr.constant(0)
        while x > 1.0:
            x = hr.cond(x % 2 == 0, lambda x=x: x / 2, lambda x=x: 3 * x + 1)
            n += 1
        return n, x

    n, x = collatz(hr.constant(6.0))
    assert (int(n), float(x), x.device) == (8, 1.0, GPU)


def test_soft_placement():
    with hr.device("gpu:17"):
        assert hr.constant(1.0).device == GPU  # another one, softly
    hr.config.set_soft_device_placement(False)
    try:
        with pytest.raises(hr.errors.InvalidArgumentError, match=r"GPU:17.*GPU:0.*soft"):
            with hr.device("gpu:17"):
                raise AssertionError("not reached")
        with hr.device("gpu:0"):
            with pytest.raises(hr.errors.InvalidArgumentError, match="strings lie on the host"):
                hr.strings.upper("a")
        assert hr.strings.upper("a").numpy() == b"A"
    finally:
        hr.config.set_soft_device_placement(True)


def test_datasets_stay_on_the_host():
    w = hr.Variable(2.0)
    x = hr.constant([1.0, 2.0, 3.0])
    ds = hr.data.Dataset.from_tensor_slices(x).map(lambda v: v * w).batch(2)
    found = list(ds)
    assert [t.device for t in found] == [CPU, CPU]
    assert [t.numpy().tolist() for t in found] == [[2.0, 4.0], [6.0]]

    def untraceable(v):
        return hr.constant(float(v.numpy()) + 1)

    ds = hr.data.Dataset.from_tensor_slices(x).map(
        lambda v: hr.py_function(untraceable, [v], hr.float32)
    )
    assert [float(t) for t in ds] == [2.0, 3.0, 4.0]


def test_visible_devices_and_limits(gpus):
    backend = devices.backend
    gpu = hr.config.list_physical_devices("GPU")[-1]
    devices.use(backend)  # nothing is settled
    try:
        hr.config.set_visible_devices(gpu, "GPU")
        hr.config.set_logical_device_configuration(
            gpu, [hr.config.LogicalDeviceConfiguration(memory_limit=512)]
        )
        assert [d.name for d in hr.config.list_logical_devices("GPU")] == ["/device:GPU:0"]
        assert hr.constant(1.0).device == GPU
        with backend.on(gpus.count - 1):
            assert gpus.xp.get_default_memory_pool().get_limit() == 512 << 20
        with pytest.raises(RuntimeError, match="after being initialized"):
            hr.config.set_visible_devices([], "GPU")
        with pytest.raises(RuntimeError, match="after being initialized"):
            hr.config.set_logical_device_configuration(
                gpu, [hr.config.LogicalDeviceConfiguration(10)] * 2
            )
        backend.set_limit(gpus.count - 1, 0)
        devices.use(backend)
        hr.config.set_visible_devices([], "GPU")
        assert hr.constant(1.0).device == CPU
    finally:
        backend.set_limit(gpus.count - 1, 0)
        devices.use(backend)


def test_training_runs_on_the_device_and_gives_the_cpus_numbers(gpus, monkeypatch):
    if not gpus.real:
        monkeypatch.setattr(device_input, "CupyCopies", Late)

    def trained(device):
        hr.keras.utils.set_random_seed(3)
        with hr.device(device):
            layers = hr.keras.layers
            model = hr.keras.Sequential(
                [
                    hr.keras.Input((8, 8, 1)),
                    layers.Conv2D(4, 3, activation="relu"),
                    layers.MaxPooling2D(),
                    layers.Flatten(),
                    layers.Dense(3, activation="softmax"),
                ]
            )
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            rng = np.random.default_rng(0)
            x = rng.normal(size=(32, 8, 8, 1)).astype(np.float32)
            y = rng.integers(0, 3, 32)
            history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
            return model, history.history["loss"]

    model, losses = trained(None)
    assert {w.device for w in model.trainable_variables} == {GPU}
    _, theirs = trained("cpu:0")
    np.testing.assert_allclose(losses, theirs, rtol=1e-3 if gpus.real else 1e-5)


def test_an_optimizers_slots_lie_beside_the_variables():
    with hr.device("cpu:0"):
        v = hr.Variable([1.0, 2.0])
    optimizer = hr.keras.optimizers.Adam(0.1)
    optimizer.apply_gradients([(hr.constant([1.0, 1.0]), v)])
    assert v.device == CPU
    assert {s.device for s in optimizer.variables if s.shape == (2,)} == {CPU}
    np.testing.assert_allclose(v.numpy(), [0.9, 1.9], rtol=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_layers_give_the_cpus_numbers(gpus, kind):
    x = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
    found = []
    for place in ("cpu:0", None):
        hr.keras.utils.set_random_seed(5)
        with hr.device(place):
            layer = getattr(hr.keras.layers, kind)(3, return_sequences=True)
            inputs = hr.constant(x)
            with hr.GradientTape() as tape:
                tape.watch(inputs)
                out = layer(inputs)
                total = hr.reduce_sum(out * out)
            grads = tape.gradient(total, [inputs, *layer.trainable_variables])
        assert out.device == (CPU if place else GPU)
        found.append([out.numpy(), *(g.numpy() for g in grads)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_values_and_models_are_saved_and_copied(tmp_path):
    import copy
    import pickle

    x = hr.constant([1.0, 2.0])
    assert pickle.loads(pickle.dumps(x)).numpy().tolist() == [1.0, 2.0]
    assert copy.deepcopy(hr.Variable(x)).numpy().tolist() == [1.0, 2.0]
    model = hr.keras.Sequential([hr.keras.Input((2,)), hr.keras.layers.Dense(1)])
    model.save(tmp_path / "model.keras")
    again = hr.keras.models.load_model(tmp_path / "model.keras")
    assert {w.device for w in again.weights} == {GPU}
    want, got = model(hr.reshape(x, [1, 2])), again(hr.reshape(x, [1, 2]))
    assert want.numpy().tolist() == got.numpy().tolist()
