"""Elements on a GPU with work done there behind the copy: `device_cast`."""

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
