"""decode_fusion: which graphs it changes, which not and why, and equal pixels."""

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset, Options
from headrace.data.rules import RULES, rewrite_plan
from headrace.data.rules.common import function_of

RULE = {rule.name: rule for rule in RULES}["decode_fusion"]


@pytest.fixture(scope="module")
def images():
    """JPEGs of several sizes, a PNG, and bytes that are no image."""
    random = np.random.default_rng(0)
    found = []
    for height, width in ((40, 51), (64, 48), (37, 90)):
        pixels = np.kron(random.integers(0, 255, (10, 10, 3)), np.ones((9, 9, 1)))
        found.append(hr.io.encode_jpeg(pixels[:height, :width].astype(np.uint8)).numpy())
    pixels = random.integers(0, 255, (50, 60, 3)).astype(np.uint8)
    found.append(hr.io.encode_png(pixels).numpy())
    return [*found, b"no image", found[0]]


def floats(x):
    return hr.cast(hr.io.decode_jpeg(x, channels=3), hr.float32)


CHANGED = {
    "slice": (lambda x: (floats(x) / 255)[2:30, :20], "_StaticSlice"),
    "slice_rows_and_flip": (lambda x: (floats(x) * 2 - 1)[5:, ::-1], "_StaticSlice"),
    "pixel": (lambda x: floats(x)[3, 4], "_StaticSlice"),
    "box": (lambda x: hr.image.crop_to_bounding_box(floats(x) - 3, 1, 2, 30, 40), "Slice"),
    "random": (lambda x: hr.image.random_crop(floats(x) / 255, [20, 30, 3], seed=3), "Slice"),
    "resize": (lambda x: hr.image.resize(floats(x), [20, 24]), "_Resize"),
    "resize_scale": (lambda x: hr.image.resize(floats(x), [20, 24], "bicubic") / 255,
                     "_Resize"),
    "crop_resize": (lambda x: hr.image.resize(floats(x)[2:30, :20], [10, 10]), "_StaticSlice"),
    "two_crops": (lambda x: (floats(x) / 255)[2:30][:, 3:20], "_StaticSlice"),
    "size": (lambda x: hr.shape(floats(x) / 255), "Shape"),
}  # fmt: skip

UNCHANGED = {
    "scaled_before": (lambda x: hr.image.resize(floats(x) / 255, [20, 24]), "would round"),
    "whole": (lambda x: floats(x) / 255, "no more pixels than it uses"),
    "used_twice": (lambda x: (lambda y: (y[:20], hr.reduce_sum(y)))(floats(x)),
                   "no more pixels than it uses"),
    "by_channel": (lambda x: (floats(x) - hr.constant([1.0, 2.0, 3.0]))[2:30],
                   "no more pixels than it uses"),
    "no_cast": (lambda x: hr.image.resize(hr.io.decode_jpeg(x), [20, 24]),
                "no more pixels than it uses"),
    "raw": (lambda x: hr.cast(hr.io.decode_raw(x, hr.uint8), hr.float32)[:5], None),
}  # fmt: skip


def reads_bytes(node, kind):
    """Whether all operations of a kind read what was decoded, not what was made of it."""
    operations = [op for op in function_of(node).traced.graph.nodes if op.type == kind]
    return bool(operations) and all(op.inputs[0].dtype.name == "uint8" for op in operations)


@pytest.mark.parametrize("name", CHANGED)
def test_crops_and_resizes_read_bytes(name, images, check_law, monkeypatch):
    # A resize that is compiled in the meantime rounds differently.
    monkeypatch.setattr("headrace.ops.image_resample._kernel", lambda *args: None)
    fn, kind = CHANGED[name]

    def make():
        return Dataset.from_tensor_slices(images).map(fn)

    node = make()._node
    after = rewrite_plan(node, RULE)
    assert reads_bytes(after, kind)
    assert not reads_bytes(node, kind)
    assert after.element_spec == node.element_spec
    assert rewrite_plan(after, RULE) is after
    check_law(make, "decode_fusion")
    with_images = Dataset.from_tensor_slices(images[:4]).map(fn)
    options = Options()
    options.experimental_optimization.decode_fusion = False
    pairs = zip(with_images, with_images.with_options(options), strict=True)
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


@pytest.mark.parametrize("name", UNCHANGED)
def test_other_functions_stay_and_say_why(name, images):
    fn, reason = UNCHANGED[name]
    node = Dataset.from_tensor_slices(images).map(fn)._node
    assert rewrite_plan(node, RULE) is node
    found = RULE.why_not(node)
    assert found is None if reason is None else reason in found
