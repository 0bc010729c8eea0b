"""Elements on a GPU with work done there behind the copy: `device_cast`."""

import re

import numpy as np
import pytest
from late_copies import Late

import headrace as hr
from headrace.data import Dataset, device_dataset
from headrace.ops import nest

GPU = "/job:localhost/replica:0/task:0/device:GPU:0"


@pytest.fixture(autouse=True)
def _copies(gpus, monkeypatch):
    if not gpus.real:
        monkeypatch.setattr(device_dataset, "CupyCopies", Late)
        monkeypatch.setattr(Late, "waits", True)


def to_gpu(dataset):
    return dataset.apply(hr.data.experimental.prefetch_to_device("/gpu:0"))


def pixels(n=24):
    images = np.random.default_rng(1).integers(0, 256, (n, 4, 3), dtype=np.uint8)
    return Dataset.from_tensor_slices((images, np.arange(n)))


def check(dataset, plain):
    """Elements lie on the GPU and are those of `plain`."""
    found, wanted = [], list(plain.as_numpy_iterator())
    for element in dataset:
        assert {t.device for t in nest.flatten(element)} == {GPU}
        found.append(nest.map_structure(lambda t: t.numpy(), element))
        del element
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        for a, b in zip(nest.flatten(one), nest.flatten(other), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "scale", [lambda x: x, lambda x: x / 255, lambda x: x * 0.017], ids=["cast", "div", "mul"]
)
def test_bytes_are_cast_on_the_gpu(scale):
    plain = pixels().map(lambda x, y: (scale(hr.cast(x, hr.float32)), y)).batch(4)
    dataset = to_gpu(plain)
    assert "sends uint8" in dataset.explain()
    check(dataset, plain)


def test_functions_run_on_the_gpu():
    def scaled(x, y):
        return hr.cast(x, hr.float32) / 255, y

    def reduced(x, y):
        return {"x": hr.reduce_max(x, axis=[1, 2]) * 2 - 1, "y": y}

    plain = pixels().map(lambda x, y: (x[:, ::-1], y)).batch(4)
    dataset = plain.map(scaled, device="gpu:0").map(reduced, device="/gpu:0")
    want = plain.map(scaled).map(reduced)
    assert dataset.element_spec == want.element_spec
    check(dataset, want)
    check(to_gpu(dataset), want)
    assert "on_device(0, 3, scaled+reduced)" in dataset.explain()
    more = dataset.apply(hr.data.experimental.prefetch_to_device("/gpu:0", 4))
    assert "on_device(0, 5, scaled+reduced)" in more.explain()
    check(to_gpu(plain).map(scaled, device="gpu:0"), plain.map(scaled))
    host = [e["x"].tolist() for e in dataset.as_numpy_iterator()]
    assert host == [e["x"].tolist() for e in want.as_numpy_iterator()]


def test_the_cast_before_them_moves_there_too():
    cast = pixels().map(lambda x, y: (hr.cast(x, hr.float32) / 255, y)).batch(4)
    dataset = cast.map(lambda x, y: (hr.abs(x), y), device="gpu:0")
    assert "sends uint8" in dataset.explain()
    check(dataset, cast)


def noisy(x, y):
    moved = x + hr.cast(hr.random.uniform([4, 3], 0, 9, hr.int32, seed=4), hr.uint8)
    keep = hr.random.stateless_uniform([], [3, 1]) < 0.5
    return hr.cond(keep, lambda: x, lambda: moved), hr.random.normal([2], seed=7)


def shuffled(x, noise):
    keys = hr.random.uniform([4], seed=2)
    return hr.gather(x, hr.argsort(keys)), noise + hr.random.truncated_normal([2], seed=5)


RANDOM = {
    "one": lambda data, where: data.map(noisy, **where),
    "two": lambda data, where: data.map(noisy, **where).map(shuffled, **where),
    "cast_before": lambda data, where: data.map(
        lambda x, y: (hr.cast(x, hr.float32) / 255 + 0 * hr.random.uniform([], seed=3), y)
    ).map(lambda x, y: (x, y, hr.random.uniform([3], seed=8)), **where),
    "dropout": lambda data, where: data.batch(4).map(
        lambda x, y: (hr.nn.dropout(hr.cast(x, hr.float32), 0.5, seed=1), y), **where
    ),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_elements_draw_the_numbers_they_draw_on_the_host(kind):
    make = RANDOM[kind]
    there, here = (make(pixels(), where) for where in ({"device": "gpu:0"}, {}))
    check(there, here)
    host = [nest.flatten(e) for e in there.as_numpy_iterator()]
    for one, other in zip(host, here.as_numpy_iterator(), strict=True):
        for a, b in zip(one, nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("at", [0, 1, 5])
def test_draws_go_on_where_they_were(at):
    def rest(iterator):
        return [np.concatenate([t.numpy().ravel() for t in e]).tolist() for e in iterator]

    data = pixels(8).map(noisy, device="gpu:0")
    iterator = iter(data)
    for _ in range(at):
        next(iterator)
    fresh = iter(data)
    next(fresh)
    fresh.restore(iterator.state())
    assert rest(fresh) == rest(iterator)


def test_passes_differ_where_no_seed_was_chosen():
    data = Dataset.range(4).map(lambda x: hr.random.uniform([]), device="gpu:0")
    one, other = ([float(x) for x in data] for _ in range(2))
    assert len({*one, *other}) == 8


def test_errors_name_what_failed_and_the_next_element_comes():
    def checked(x):
        return hr.debugging.check_numerics(x, "bad row")

    rows = np.arange(6, dtype="f4")
    rows[2] = np.nan
    iterator = iter(Dataset.from_tensor_slices(rows).map(checked, device="gpu:0"))
    assert [float(next(iterator)), float(next(iterator))] == [0, 1]
    with pytest.raises(hr.errors.InvalidArgumentError) as there:
        next(iterator)
    assert [float(x) for x in iterator] == [3, 4, 5]
    with pytest.raises(hr.errors.InvalidArgumentError) as here:
        list(Dataset.from_tensor_slices(rows).map(checked))
    assert "bad row" in str(there.value) and "(element 2 of checked)" in str(there.value)
    for said in (there, here):
        assert re.search(r"\[stage [a-z_]+, .*test_device_map.py:\d+\]", str(said.value))


def test_what_cannot_run_there_is_refused(gpus):
    def refused(text, fn, device="gpu:0", dataset=None):
        with pytest.raises(hr.errors.InvalidArgumentError, match=text):
            (dataset or Dataset.range(3)).map(fn, device=device)

    count = hr.Variable(0, dtype=hr.int64)
    refused("There is no device GPU:17", lambda x: x, "gpu:17")
    refused("must be a CPU or a GPU", lambda x: x, "tpu:0")
    refused("'python' cannot run on device 'gpu:0': it was not traced", python)
    refused("it changes state outside", lambda x: count.assign_add(x))
    refused("it draws random numbers, and .* no batch rule", sampled)
    if gpus.count > 1:
        there = Dataset.range(3).map(lambda x: x, device="gpu:1")
        refused("the elements lie on gpu:1", lambda x: x, dataset=there)


def python(x):
    return x.numpy() + 1


def sampled(x):
    return hr.random.uniform_candidate_sampler([[x]], 1, 1, True, 5)[0]
