"""Random crops that keep part of an object: sample_distorted_bounding_box, stateless or not.

Crops of random area and aspect ratio are tried until one covers enough of some box.  Numbers
are drawn in TensorFlow's order from the same Philox stream, so that with the same seeds the
crops are its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import dtypes
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .philox import blocks, key_and_counter
from .primitive import Primitive
from .random_ops import get_seed, take
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["sample_distorted_bounding_box", "stateless_sample_distorted_bounding_box"]

_Rect = tuple[int, int, int, int]  # x0, y0, x1, y1


class _Draws:
    """Numbers made of the 32-bit words of a stream, one after the other."""

    def __init__(self, key: int, counter: tuple[int, int], start: int = 0):
        self.words = self._words(key, counter, start)

    @staticmethod
    def _words(key: int, counter: tuple[int, int], start: int) -> Iterator[int]:
        while True:
            yield from blocks(key, counter, start, 32).reshape(-1).tolist()
            start += 32

    def unit(self) -> np.float32:
        """A float of [0, 1)."""
        word = (next(self.words) & 0x7FFFFF) | 0x3F800000
        return np.uint32(word).view(np.float32) - np.float32(1)

    def below(self, n: int) -> int:
        """An integer of [0, n), by rejection."""
        if n & (n - 1) == 0:
            return next(self.words) & (n - 1)
        reject = (2**32 - 1) % n + 1
        while (word := next(self.words)) < reject:
            pass
        return word % n


def _round(x: Any) -> int:
    return int(np.rint(np.float32(x)))


def _crop(
    width: int, height: int, areas: tuple[float, float], aspect: np.float32, draws: _Draws
) -> _Rect | None:
    """A crop of the aspect ratio with an area within the limits, None if there is none."""
    if areas[1] <= 0 or aspect <= 0 or width <= 0 or height <= 0 or areas[0] > areas[1]:
        return None
    least, most = (np.float32(a) * np.float32(width) * np.float32(height) for a in areas)
    low, high = (_round(math.sqrt(a / aspect)) for a in (least, most))
    if _round(high * aspect) > width:
        high = int((width + 0.5 - 1e-7) / float(aspect))
        if _round(high * aspect) > width:
            high -= 1
    high = min(high, height)
    tall = min(low, high)
    if tall < high:
        tall += draws.below(high - tall + 1)
    wide = _round(tall * aspect)
    for step, wrong in ((1, wide * tall < least), (-1, wide * tall > most)):
        if wrong:
            tall += step
            wide = _round(tall * aspect)
    if not (least <= wide * tall <= most and 0 < wide <= width and 0 < tall <= height):
        return None
    y = draws.below(height - tall) if tall < height else 0
    x = draws.below(width - wide) if wide < width else 0
    return x, y, x + wide, y + tall


def _area(r: _Rect) -> int:
    return max(r[2] - r[0], 0) * max(r[3] - r[1], 0)


def _covers(crop: _Rect, boxes: list[_Rect], least: float) -> bool:
    """Whether at least `least` of one box lies within the crop."""
    if _area(crop) < 1:
        return False
    for box in boxes:
        shared = (
            max(crop[0], box[0]), max(crop[1], box[1]), min(crop[2], box[2]),
            min(crop[3], box[3]),
        )  # fmt: skip
        if _area(box) >= 1 and np.float32(_area(shared) / _area(box)) >= least:
            return True
    return False


def _sample(
    size: Any, boxes: Any, covered: float, draws: _Draws, *, aspect_ratio_range: Any,
    area_range: Any, max_attempts: int, use_image_if_no_bounding_boxes: bool,
) -> Any:  # fmt: skip
    name = "SampleDistortedBoundingBox"
    height, width = (int(v) for v in size[:2].tolist())
    if height <= 0 or width <= 0:
        raise InvalidArgumentError(
            f"Image height and width must be positive, got {height}, {width} [Op:{name}]",
            op=name,
        )
    if not covered >= 0:
        raise InvalidArgumentError(
            f"Min object covered must be non-negative: {covered} [Op:{name}]", op=name
        )
    flat = boxes.reshape((-1, 4)).astype(np.float32)
    if flat.size and not ((flat >= 0) & (flat <= 1)).all():
        raise InvalidArgumentError(
            f"All bounding box coordinates must be in [0.0, 1.0]: got {float(flat.min())} to "
            f"{float(flat.max())} [Op:{name}]",
            op=name,
        )
    scale = np.array([height, width] * 2, np.float32)
    known: list[_Rect] = [
        (x0, y0, x1, y1) for y0, x0, y1, x1 in (flat * scale).astype(np.int64).tolist()
    ]
    whole = (0, 0, width, height)
    if not known:
        if not use_image_if_no_bounding_boxes:
            raise InvalidArgumentError(
                "No bounding boxes provided as input. One must enable "
                "use_image_if_no_bounding_boxes if you wish to not provide any bounding boxes. "
                f"[Op:{name}]",
                op=name,
            )
        known = [whole]
    low, high = (np.float32(a) for a in aspect_ratio_range)
    found = whole
    for _ in range(max_attempts):
        aspect = draws.unit() * (high - low) + low
        crop = _crop(width, height, area_range, aspect, draws)
        if crop is not None and _covers(crop, known, covered):
            found = crop
            break
    x0, y0, x1, y1 = found
    kind = size.dtype
    box = np.array([y0, x0, y1, x1], np.float32) / scale
    return (
        np.array([y0, x0, 0], kind),
        np.array([y1 - y0, x1 - x0, -1], kind),
        box.reshape((1, 1, 4)),
    )


def _stateful_impl(
    size: Any, boxes: Any, covered: Any = None, *, seed: int, seed2: int,
    min_object_covered: float | None = None, max_attempts: int, **attrs: Any,
) -> Any:  # fmt: skip
    if not (seed or seed2):
        seed, seed2 = get_seed(None)
    name = "SampleDistortedBoundingBox"
    draws = _Draws(*take((name, seed, seed2), seed, seed2, max_attempts))
    least = min_object_covered if covered is None else covered
    return _sample(size, boxes, float(least), draws, max_attempts=max_attempts, **attrs)


def _stateless_impl(size: Any, boxes: Any, covered: Any, seed: Any, **attrs: Any) -> Any:
    key, counter = key_and_counter(tuple(int(s) for s in seed.tolist()))
    return _sample(size, boxes, float(covered), _Draws(key, counter), **attrs)


def _shape(
    size: Any, boxes: Any, *_: Any, aspect_ratio_range: Any, area_range: Any,
    max_attempts: int, **__: Any,
) -> Any:  # fmt: skip
    name = "SampleDistortedBoundingBox"
    known = constant_value(size)
    if known is not None and known.shape != (3,):
        raise InvalidArgumentError(
            f"image_size must be a vector [height, width, channels], got shape {known.shape} "
            f"[Op:{name}]",
            op=name,
        )
    if boxes.shape.rank not in (3, None) or (
        boxes.shape.rank == 3 and boxes.shape[2] not in (4, None)
    ):
        raise InvalidArgumentError(
            f"bounding_boxes must be of shape [batch, N, 4], got {boxes.shape} [Op:{name}]",
            op=name,
        )
    for what, span in (("aspect_ratio_range", aspect_ratio_range), ("area_range", area_range)):
        if len(span) != 2 or not 0 < span[0] <= span[1]:
            raise InvalidArgumentError(
                f"{what} must be two positive rising numbers, got {list(span)} [Op:{name}]",
                op=name,
            )
    if area_range[1] > 1 or max_attempts <= 0:
        raise InvalidArgumentError(
            f"area_range must lie in (0, 1] and max_attempts be positive, got "
            f"{list(area_range)} and {max_attempts} [Op:{name}]",
            op=name,
        )
    return (
        TensorSpec([3], size.dtype),
        TensorSpec([3], size.dtype),
        TensorSpec([1, 1, 4], dtypes.float32),
    )


_SIZES = (dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64)
_DEFAULTS = {
    "aspect_ratio_range": (0.75, 1.33),
    "area_range": (0.05, 1.0),
    "max_attempts": 100,
    "use_image_if_no_bounding_boxes": False,
}
_COMMON: dict[str, Any] = {"shape": _shape, "types": {"T": _SIZES}, "check_first": True}
_SEEDED = {**_DEFAULTS, "seed": 0, "seed2": 0}

SampleDistortedBoundingBox = Primitive(
    "SampleDistortedBoundingBox",
    "image_size: T, bounding_boxes: float32",
    impl=_stateful_impl,
    stateful=True,
    random=True,
    defaults={**_SEEDED, "min_object_covered": 0.1},
    **_COMMON,
)
SampleDistortedBoundingBoxV2 = Primitive(
    "SampleDistortedBoundingBoxV2",
    "image_size: T, bounding_boxes: float32, min_object_covered: float32",
    impl=_stateful_impl,
    stateful=True,
    random=True,
    defaults=_SEEDED,
    **_COMMON,
)
StatelessSampleDistortedBoundingBox = Primitive(
    "StatelessSampleDistortedBoundingBox",
    "image_size: T, bounding_boxes: float32, min_object_covered: float32, seed: Tseed",
    impl=_stateless_impl,
    defaults=_DEFAULTS,
    **_COMMON,
)


def _attrs(aspect: Any, area: Any, attempts: Any, use_image: Any) -> dict[str, Any]:
    return {
        "aspect_ratio_range": tuple(float(v) for v in aspect or (0.75, 1.33)),
        "area_range": tuple(float(v) for v in area or (0.05, 1.0)),
        "max_attempts": int(attempts or 100),
        "use_image_if_no_bounding_boxes": bool(use_image),
    }


def sample_distorted_bounding_box(
    image_size: Any,
    bounding_boxes: Any,
    seed: int = 0,
    min_object_covered: Any = 0.1,
    aspect_ratio_range: Any = None,
    area_range: Any = None,
    max_attempts: int | None = None,
    use_image_if_no_bounding_boxes: bool | None = None,
    name: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A random crop of an image that keeps part of an object.

    Args:
        image_size: [height, width, channels].
        bounding_boxes: float32 [batch, N, 4] of [y1, x1, y2, x2] in [0, 1].
        seed: 0 for a different crop in each run.
        min_object_covered: how much of some box the crop must cover.
        aspect_ratio_range: of width / height, by default [0.75, 1.33].
        area_range: of the image's area, by default [0.05, 1].
        max_attempts: how often to try, by default 100; then the whole image is taken.
        use_image_if_no_bounding_boxes: take the image for the one box where there is none.
        name: ignored.

    Returns:
        begin [y, x, 0] and size [height, width, -1] for `hr.slice`, and the crop as a box of
        shape [1, 1, 4] for `draw_bounding_boxes`.

    Raises:
        InvalidArgumentError: there is no box, or one leaves the image.
    """
    seed1, seed2 = get_seed(seed) if seed else (0, 0)
    return SampleDistortedBoundingBoxV2(
        image_size, bounding_boxes, min_object_covered, seed=seed1, seed2=seed2,
        **_attrs(aspect_ratio_range, area_range, max_attempts, use_image_if_no_bounding_boxes),
    )  # fmt: skip


def stateless_sample_distorted_bounding_box(
    image_size: Any,
    bounding_boxes: Any,
    seed: Any,
    min_object_covered: Any = 0.1,
    aspect_ratio_range: Any = None,
    area_range: Any = None,
    max_attempts: int | None = None,
    use_image_if_no_bounding_boxes: bool | None = None,
    name: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`sample_distorted_bounding_box` as a function of `seed` (two integers) alone."""
    return StatelessSampleDistortedBoundingBox(
        image_size, bounding_boxes, min_object_covered, seed,
        **_attrs(aspect_ratio_range, area_range, max_attempts, use_image_if_no_bounding_boxes),
    )  # fmt: skip
