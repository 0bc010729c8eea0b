"""Boxes on images: suppression, crops, drawing, glimpses, sampled crops, multiscale SSIM."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of, same

import headrace as hr

RNG = np.random.default_rng(8)
BOXES = RNG.uniform(0, 1, (60, 4)).astype(np.float32)
SCORES = np.round(RNG.uniform(0, 1, 60), 1).astype(np.float32)
IMAGES = RNG.uniform(0, 255, (2, 9, 11, 3)).astype(np.float32)
CROPS = np.array(
    [[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], [0.8, 0.9, 0.1, 0.2], [-0.3, -0.2, 1.3, 1.1]],
    np.float32,
)
INDEX = np.array([0, 1, 0, 1], np.int32)


def _agree(tf, fn, tolerance=1e-5):
    ours, theirs = fn(hr), fn(tf)
    ours, theirs = ([r] if hasattr(r, "numpy") else list(r) for r in (ours, theirs))
    for got, want in zip(ours, theirs, strict=True):
        same(got.numpy(), want.numpy(), tolerance)


@pytest.mark.parametrize("limit", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0])
def test_non_max_suppression_is_tensorflows(tf, limit, sigma):
    _agree(tf, lambda lib: lib.image.non_max_suppression(BOXES, SCORES, 20, limit, 0.2))
    _agree(
        tf,
        lambda lib: lib.image.non_max_suppression_with_scores(
            BOXES, SCORES, 30, limit, 0.1, sigma
        ),
    )
    overlaps = np.random.default_rng(0).uniform(0, 1, (60, 60)).astype(np.float32)
    _agree(
        tf,
        lambda lib: lib.image.non_max_suppression_overlaps(overlaps, SCORES, 20, limit, 0.1),
    )


@pytest.mark.parametrize("batch", [(), (2,)])
def test_padded_suppression_is_tensorflows(tf, batch):
    low, high = np.minimum(BOXES[:, :2], BOXES[:, 2:]), np.maximum(BOXES[:, :2], BOXES[:, 2:])
    boxes = np.broadcast_to(np.concatenate([low, high], 1), (*batch, 60, 4))
    count = int(np.prod(batch)) * 60
    scores = (RNG.permutation(count) / count).astype(np.float32).reshape((*batch, 60))
    _agree(
        tf,
        lambda lib: lib.image.non_max_suppression_padded(
            boxes, scores, 20, 0.3, 0.2, pad_to_max_output_size=True
        ),
    )
    if batch:
        with pytest.raises(ValueError, match="pad_to_max_output_size"):
            hr.image.non_max_suppression_padded(boxes, scores, 20)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("total", [7, 50])
def test_combined_suppression_is_tensorflows(tf, shared, pad, total):
    boxes = RNG.uniform(0, 1.2, (2, 30, 1 if shared else 3, 4)).astype(np.float32)
    scores = RNG.uniform(0, 1, (2, 30, 3)).astype(np.float32)
    _agree(
        tf,
        lambda lib: lib.image.combined_non_max_suppression(
            boxes, scores, 4, total, 0.3, 0.2, pad_per_class=pad, clip_boxes=pad
        ),
    )


def test_kept_boxes_never_overlap_and_all_others_do():
    limit = 0.3
    kept = hr.image.non_max_suppression(BOXES, SCORES, 100, limit).numpy()
    low, high = np.minimum(BOXES[:, :2], BOXES[:, 2:]), np.maximum(BOXES[:, :2], BOXES[:, 2:])
    side = np.maximum(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0)
    shared, area = side.prod(-1), (high - low).prod(-1)
    overlap = shared / (area[:, None] + area - shared)
    for i in range(60):
        better = [k for k in kept if SCORES[k] >= SCORES[i] and k != i]
        assert (i in kept) == (not (overlap[i, better] > limit).any())


def test_raw_forms_and_errors(tf):
    for name in ("NonMaxSuppression", "NonMaxSuppressionV2", "NonMaxSuppressionV4"):
        limits = {} if name == "NonMaxSuppression" else {"iou_threshold": np.float32(0.4)}
        if name.endswith("V4"):
            limits["score_threshold"] = np.float32(0.3)
        _agree(
            tf,
            lambda lib, name=name, limits=limits: getattr(lib.raw_ops, name)(
                boxes=BOXES, scores=SCORES, max_output_size=9, **limits
            ),
        )
    with pytest.raises(hr.errors.InvalidArgumentError, match="iou_threshold"):
        hr.image.non_max_suppression(BOXES, SCORES, 3, 1.5)
    with pytest.raises(hr.errors.InvalidArgumentError, match="incompatible shape"):
        hr.image.non_max_suppression(BOXES, SCORES[1:], 3)


# -- crops ------------------------------------------------------------------------------------


def crop(tag, size, method, **more):
    def call(lib):
        return lambda x: lib.image.crop_and_resize(x, CROPS, INDEX, size, method, 7.0)

    return Case(f"crop-{tag}", call(hr), (IMAGES,), call, batch=False, **more)


NO_LAW = {"grad": False}
CASES = [
    crop("bilinear", (4, 5), "bilinear", **NO_LAW),
    crop("nearest", (4, 5), "nearest", **NO_LAW),
    crop("one", (1, 1), "bilinear", **NO_LAW),
    crop("large", (12, 1), "bilinear", **NO_LAW),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_crops_are_tensorflows(tf, case, kind):
    check_against_tensorflow(tf, case, kind)
    _agree(
        tf, lambda lib: lib.image.crop_and_resize(IMAGES.astype(np.uint8), CROPS, INDEX, (3, 4))
    )


@pytest.mark.parametrize("size", [(4, 5), (1, 3), (1, 1)])
def test_crop_gradients_are_tensorflows(tf, size):
    found = []
    for lib in (hr, tf):
        image, boxes = lib.constant(IMAGES), lib.constant(CROPS)
        with lib.GradientTape() as tape:
            tape.watch([image, boxes])
            y = lib.image.crop_and_resize(image, boxes, INDEX, size)
            total = lib.reduce_sum(y * y)
        found.append([g.numpy() for g in tape.gradient(total, [image, boxes])])
    same(found[0][0], found[1][0], 1e-3)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-3, atol=1)


def test_crop_of_no_boxes_and_errors():
    none = hr.image.crop_and_resize(IMAGES, np.zeros((0, 4)), np.zeros(0, np.int32), (2, 2))
    assert none.shape == [0, 2, 2, 3]
    with pytest.raises(hr.errors.InvalidArgumentError, match="batch_size"):
        hr.image.crop_and_resize(IMAGES, CROPS, INDEX + 1, (2, 2))
    with pytest.raises(hr.errors.InvalidArgumentError, match="method"):
        hr.image.crop_and_resize(IMAGES, CROPS, INDEX, (2, 2), method="cubic")


# -- drawing, glimpses ------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 3, 4])
@pytest.mark.parametrize("colored", [True, False])
def test_drawn_boxes_are_tensorflows(tf, depth, colored):
    images = RNG.uniform(0, 1, (2, 9, 11, depth)).astype(np.float32)
    boxes = RNG.uniform(-0.3, 0.9, (2, 12, 4)).astype(np.float32)
    boxes[:, :, 2:] = boxes[:, :, :2] + 0.4
    colors = RNG.uniform(0, 1, (3, 4)).astype(np.float32) if colored else None
    _agree(tf, lambda lib: lib.image.draw_bounding_boxes(images, boxes, colors))


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("size", [(4, 5), (12, 13)])
def test_glimpses_are_tensorflows(tf, centered, normalized, size):
    offsets = np.array([[0.3, -0.4], [-1.2, 0.9]], np.float32) * (1 if normalized else 6)
    flags = {"centered": centered, "normalized": normalized, "noise": "zero"}
    _agree(tf, lambda lib: lib.image.extract_glimpse(IMAGES, size, offsets, **flags))
    _agree(
        tf,
        lambda lib: lib.raw_ops.ExtractGlimpse(
            input=IMAGES, size=size, offsets=offsets, uniform_noise=False, **flags
        ),
    )


def test_glimpse_noise():
    at = np.full((2, 2), 5, np.float32)
    for noise, low, high in (("uniform", 0, 256), ("gaussian", -500, 800)):
        drawn = hr.image.extract_glimpse(IMAGES, (20, 20), at, noise=noise).numpy()
        assert drawn.std() > 30 and low <= drawn.min() and drawn.max() < high
    with pytest.raises(ValueError, match="noise"):
        hr.image.extract_glimpse(IMAGES, (2, 2), at, noise="pink")


# -- sampled crops ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_sampled_crops_are_tensorflows(tf, seed):
    rng = np.random.default_rng(seed)
    size = np.array([rng.integers(5, 300), rng.integers(5, 300), 3], np.int32)
    boxes = np.sort(rng.uniform(0, 1, (1, 3, 2, 2)), 2).reshape(1, 3, 4).astype(np.float32)
    more = {"min_object_covered": float(rng.uniform(0, 1)), "area_range": [0.1, 0.8]}
    _agree(
        tf,
        lambda lib: lib.image.stateless_sample_distorted_bounding_box(
            size, boxes, [seed, 7], **more
        ),
    )
    for lib in (tf, hr):
        lib.random.set_seed(seed)
    for _ in range(2):
        _agree(tf, lambda lib: lib.image.sample_distorted_bounding_box(size, boxes, 5, **more))


def test_sampled_crops_errors_and_no_boxes():
    none = np.zeros((1, 0, 4), np.float32)
    with pytest.raises(hr.errors.InvalidArgumentError, match="No bounding boxes"):
        hr.image.sample_distorted_bounding_box([10, 10, 3], none)
    begin, size, box = hr.image.sample_distorted_bounding_box(
        [10, 10, 3], none, use_image_if_no_bounding_boxes=True
    )
    assert begin.shape == [3] and size.numpy()[2] == -1 and box.shape == [1, 1, 4]
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"\[0.0, 1.0\]"):
        hr.image.sample_distorted_bounding_box([10, 10, 3], np.full((1, 1, 4), 2.0))


# -- proposals, similarity --------------------------------------------------------------------


def test_proposals():
    scores = np.array([[[[0.9, 0.8, 0.7, 0.95]]]], np.float32)
    anchors = np.array(
        [[0, 0, 50, 50], [2, 0, 52, 50], [60, 60, 90, 95], [0, 0, 5, 5]], np.float32
    )
    deltas = np.zeros((1, 1, 1, 16), np.float32)
    deltas[0, 0, 0, 8:10] = 0.5, 0.0
    info = np.array([[100, 90, 1, 0, 0]], np.float32)
    rois, found = hr.image.generate_bounding_box_proposals(
        scores, deltas, info, anchors, post_nms_topn=3
    )
    assert found.numpy().tolist() == [[np.float32(0.9), np.float32(0.7), 0]]
    assert rois.numpy()[0].tolist() == [[0, 0, 50, 50], [75, 60, 100, 90], [0, 0, 0, 0]]


def test_multiscale_similarity_is_tensorflows(tf):
    x = RNG.uniform(0, 1, (2, 95, 90, 3)).astype(np.float32)
    y = np.clip(x + RNG.normal(size=x.shape) * 0.1, 0, 1).astype(np.float32)
    _agree(tf, lambda lib: lib.image.ssim_multiscale(x, y, 1.0, filter_size=5), 1e-4)
    _agree(tf, lambda lib: lib.image.ssim_multiscale(x, y, 1.0, power_factors=(0.4, 0.6)), 1e-4)
    with pytest.raises(hr.errors.InvalidArgumentError, match="filter_size"):
        hr.image.ssim_multiscale(x, y, 1.0)
