"""device_cast: which plans send bytes, which not and why, and equal elements."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset, Options
from headrace.data.device_dataset import DeviceIterator
from headrace.data.rules import RULES, RuleReport, rewrite_plan
from headrace.data.transforms.on_device import OnDeviceMapNode, OnDeviceNode
from headrace.ops import nest

sys.path.append(str(Path(__file__).parent))

from lazy_device import AtOnce

RULE = {rule.name: rule for rule in RULES}["device_cast"]


def to_device(dataset):
    ready = dataset.prefetch(2)
    return ready._derive(OnDeviceNode, input=ready._node, device=0, slots=3)


def pixels(n=11):
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (n, 4, 3), dtype=np.uint8)
    return Dataset.from_tensor_slices((images, np.arange(n)))


def cast(x):
    return hr.cast(x, hr.float32)


CHANGED = {
    "cast": lambda x, y: (cast(x), y),
    "divided": lambda x, y: (cast(x) / 255, y),
    "product": lambda x, y: {"y": y, "x": 0.017 * cast(x)},
    "converted": lambda x, y: hr.image.convert_image_dtype(x, hr.float32),
    "behind_work": lambda x, y: (y, (cast(hr.reverse(x, [0]) // 3) * 2, cast(x) / 7)),
    "used_twice": lambda x, y: (cast(x) / 255, hr.reduce_mean(cast(x)), x),
    "random": lambda x, y: (
        cast(hr.image.stateless_random_flip_up_down(x[..., None], [4, y])) / 255
    ),
}

UNCHANGED = {
    "two_steps": (lambda x, y: (cast(x) / 255 - 0.5, y), "no result of .* scaled once"),
    "by_channel": (lambda x, y: cast(x) * hr.constant([1.0, 2.0, 3.0]), "no result of"),
    "other_way": (lambda x, y: 255 / (cast(x) + 1), "no result of"),
    "half": (lambda x, y: hr.cast(x, hr.float16), "no result of"),
    "labels": (lambda x, y: (x, cast(y)), "no result of"),
    "python": (lambda x, y: hr.cast(x.numpy(), hr.float32), "was not traced"),
}

SHAPES = {
    "single": lambda ds, f: ds.map(f),
    "batched": lambda ds, f: ds.map(f).batch(4),
    "dropped": lambda ds, f: ds.map(f).prefetch(1).batch(4, drop_remainder=True),
    "parallel": lambda ds, f: ds.shuffle(5, 2, False).map(f, num_parallel_calls=2).batch(3),
}


def arrays(iterator):
    return [[np.array(v) for v in nest.flatten(e)] for e in iterator]


def assert_equal(found, wanted):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        for x, y in zip(a, b, strict=True):
            assert x.dtype == y.dtype and x.shape == y.shape
            assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CHANGED)
def test_bytes_travel_and_elements_are_equal(name, shape):
    plain = SHAPES[shape](pixels(), CHANGED[name])
    dataset = to_device(plain)
    report = dataset._report
    assert isinstance(report.after, OnDeviceMapNode)
    assert report.after.element_spec == dataset.element_spec == plain.element_spec
    wanted = arrays(plain.as_numpy_iterator())
    device, other = AtOnce(), AtOnce()
    assert_equal(arrays(DeviceIterator(report.after, copies=device)), wanted)
    assert_equal(arrays(dataset.as_numpy_iterator()), wanted)  # on the host
    assert_equal(arrays(DeviceIterator(dataset._node, copies=other)), wanted)
    assert device.moved < other.moved


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_stays(name):
    function, why = UNCHANGED[name]
    node = to_device(pixels().map(function).batch(2))._node
    report = RuleReport(RULE, True)
    assert rewrite_plan(node, RULE, report) is node
    (line,) = report.declined
    assert re.search(why, line)


def test_plans_it_is_not_about():
    mapped = pixels().map(CHANGED["cast"])
    padded = mapped.padded_batch(2, ([5, 3], []))
    for dataset in (mapped, mapped.prefetch(2), to_device(padded), to_device(pixels())):
        report = RuleReport(RULE, True)
        assert rewrite_plan(dataset._node, RULE, report) is dataset._node
        assert report.declined == report.applied == []


def test_it_is_told_and_can_be_switched_off():
    dataset = to_device(pixels().map(CHANGED["divided"]).batch(4))
    text = " ".join(dataset.explain().split())
    assert "+ '<lambda>' sends uint8, cast to float32 behind the copy" in text
    assert "on_device(0, 3, cast_on_device)" in text
    options = Options()
    options.experimental_optimization.device_cast = False
    off = dataset.with_options(options)
    assert type(off._report.after) is OnDeviceNode
    assert "device_cast off: switched off" in " ".join(off.explain().split())


@pytest.mark.parametrize("at", range(4))
def test_positions_are_kept(at):
    plan = to_device(
        pixels().shuffle(6, 1, False).map(CHANGED["divided"]).batch(4)
    )._report.after
    iterator = DeviceIterator(plan, copies=AtOnce())
    for _ in range(at):
        next(iterator, None)
    fresh = DeviceIterator(plan, copies=AtOnce())
    fresh.restore(iterator.state())
    assert_equal(arrays(fresh), arrays(iterator))
