"""What image layers have in common: kinds of input, draws, ranges, configuration.

A layer says what it draws (`_draw`) and what it does with images ``[batch, height, width,
channels]`` (`_change`); single images, channels first, and dictionaries with labels, masks and
boxes beside the images are handled here.

In a pipeline each element has a stream of its own (`keras.random`); elsewhere the layer's
`SeedGenerator` moves on with each call.
"""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .. import backend
from ..random import SeedGenerator
from .augmentation_boxes import change_boxes
from .preprocessing_base import DataLayer, as_tensor

__all__ = [
    "Draws",
    "ImageLayer",
    "RandomImageLayer",
    "factor_range",
    "in_range",
    "value_range_of",
]


class Draws:
    """Random numbers for the images of one call.

    Args:
        images: ``[batch, height, width, channels]``.
        seeds: gives a seed for each draw.
        dtype: compute dtype of the layer.

    Attributes:
        batch, height, width, channels: sizes; tensors where they are not known.
    """

    def __init__(self, images: Any, seeds: Any, dtype: str):
        self.seeds, self.dtype = seeds, dtype
        known = images.shape.as_list()
        if None in known:
            sizes = hr.shape(images)
            known = [sizes[i] if n is None else n for i, n in enumerate(known)]
        self.batch, self.height, self.width, self.channels = known

    def dims(self, *shape: Any) -> Any:
        """A shape for the `hr` functions, of sizes that may be tensors."""
        if all(isinstance(n, int) for n in shape):
            return list(shape)
        return hr.stack([hr.cast(n, hr.int32) for n in shape])

    def uniform(self, low: Any, high: Any, *shape: Any, dtype: Any = None) -> Any:
        """Numbers from `low` to below `high`: ``[batch, *shape]``."""
        return self.one(low, high, self.batch, *shape, dtype=dtype)

    def one(self, low: Any, high: Any, *shape: Any, dtype: Any = None) -> Any:
        """Numbers from `low` to below `high`, the same for the whole batch."""
        return hr.stateless_uniform(
            self.dims(*shape),
            self.seeds.next(),
            low,
            high,
            dtype=dtype or backend.floatx(),
        )

    def normal(self, *shape: Any) -> Any:
        """Normal numbers of the compute dtype."""
        return hr.stateless_normal(self.dims(*shape), self.seeds.next(), dtype=self.dtype)

    def happens(self, factor: tuple[float, float]) -> Any:
        """bool ``[batch, 1, 1, 1]``: with a chance that is itself drawn from `factor`."""
        chance = self.uniform(*factor)
        return hr.reshape(self.uniform(0.0, 1.0) < chance, [-1, 1, 1, 1])


class ImageLayer(DataLayer):
    """A layer on images, or on dictionaries that hold images, labels, masks and boxes.

    Args:
        data_format: ``"channels_last"`` or ``"channels_first"``; Keras's default if None.
        bounding_box_format: of boxes that come with the images, e.g. ``"xyxy"``.
        **kwargs: see `Layer`.
    """

    trains_only = True  # whether inference gives the images as they are

    def __init__(self, data_format: Any = None, bounding_box_format: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = data_format or backend.image_data_format()
        self.bounding_box_format = bounding_box_format
        self.built = True

    # -- to be overridden -----------------------------------------------------------------

    def _draw(self, draws: Draws) -> Any:
        """What is drawn for a batch; None if nothing is."""
        return None

    def _change(self, images: Any, drawn: Any) -> Any:
        """The changed images ``[batch, height, width, channels]`` of the compute dtype."""
        return images

    def _change_labels(self, labels: Any, drawn: Any) -> Any:
        return labels

    def _change_masks(self, masks: Any, drawn: Any) -> Any:
        return masks

    def _box_change(self, drawn: Any, height: Any, width: Any) -> Any:
        """How boxes change: None, or see `augmentation_boxes.change_boxes`."""
        return None

    # -- the call -------------------------------------------------------------------------

    def call(self, data: Any, training: Any = True) -> Any:
        """The images (or the dictionary), changed in training."""
        images = as_tensor(data["images"] if isinstance(data, dict) else data)
        self._check(images)
        drawn = self.get_random_transformation(images, training)
        out = self.transform_images(images, drawn, training)
        if not isinstance(data, dict):
            return out
        single = images.shape.rank == 3
        found = {**data, "images": out}
        if "labels" in data:
            labels = as_tensor(data["labels"])
            found["labels"] = self._unless_single(
                single, lambda x: self.transform_labels(x, drawn, training), labels
            )
        if "segmentation_masks" in data:
            masks = as_tensor(data["segmentation_masks"])
            found["segmentation_masks"] = self.transform_segmentation_masks(
                masks, drawn, training
            )
        if "bounding_boxes" in data:
            found["bounding_boxes"] = self._boxes(
                data["bounding_boxes"], images, out, drawn, training
            )
        return found

    def _check(self, images: Any) -> None:
        if images.shape.rank not in (3, 4):
            raise ValueError(
                f"{type(self).__name__} takes images of rank 3 (one image) or 4 (a batch). "
                f"Received: inputs.shape={images.shape}"
            )

    def _unless_single(self, single: bool, change: Any, x: Any) -> Any:
        return hr.squeeze(change(hr.expand_dims(x, 0)), axis=0) if single else change(x)

    def _acts(self, training: Any) -> bool:
        return bool(training) or not self.trains_only

    def _seeds(self, seed: Any) -> Any:
        return seed if seed is not None else getattr(self, "generator", None)

    def get_random_transformation(
        self, data: Any, training: Any = True, seed: Any = None
    ) -> Any:
        """What is drawn for these images: for `transform_images` and its like.

        Args:
            data: images, or a dictionary with them.
            training: nothing is drawn if False.
            seed: a `SeedGenerator` to draw with instead of the layer's own.
        """
        if not self._acts(training):
            return None
        images = as_tensor(data["images"] if isinstance(data, dict) else data)
        return self._draw(Draws(self._normal(images), self._seeds(seed), self.compute_dtype))

    def _normal(self, images: Any) -> Any:
        """Images as ``[batch, height, width, channels]``."""
        if images.shape.rank == 3:
            images = hr.expand_dims(images, 0)
        first = self.data_format == "channels_first"
        return hr.transpose(images, [0, 2, 3, 1]) if first else images

    def _back(self, images: Any, rank: int) -> Any:
        if self.data_format == "channels_first":
            images = hr.transpose(images, [0, 3, 1, 2])
        return hr.squeeze(images, axis=0) if rank == 3 else images

    def transform_images(self, images: Any, transformation: Any, training: Any = True) -> Any:
        """Images changed as was drawn; as they are outside of training."""
        images = as_tensor(images)
        x = hr.cast(images, self.compute_dtype)
        if not self._acts(training):
            return x
        out = self._change(self._normal(x), transformation)
        return self._back(hr.cast(out, self.compute_dtype), images.shape.rank)

    def transform_labels(self, labels: Any, transformation: Any, training: Any = True) -> Any:
        """Labels ``[batch, ...]`` changed as was drawn."""
        return self._change_labels(labels, transformation) if self._acts(training) else labels

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any, training: Any = True
    ) -> Any:
        """Masks, shaped as the images, changed as was drawn."""
        masks = as_tensor(segmentation_masks)
        if not self._acts(training):
            return masks
        out = self._change_masks(self._normal(masks), transformation)
        return self._back(hr.cast(out, masks.dtype), masks.shape.rank)

    def _boxes(self, boxes: Any, images: Any, out: Any, drawn: Any, training: Any) -> Any:
        if not self.bounding_box_format:
            raise ValueError(
                "`bounding_box_format` must be specified when passing bounding boxes. "
                f"Received: layer={type(self).__name__}"
            )
        if not self._acts(training):
            return boxes
        before, after = (self._normal(x).shape[1:3] for x in (images, out))
        change = self._box_change(drawn, *before)
        if change is None:
            return boxes
        return change_boxes(boxes, change, self.bounding_box_format, before, after)

    # -- configuration --------------------------------------------------------------------

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {**super().get_config(), "data_format": self.data_format}
        if self.bounding_box_format is not None:
            config["bounding_box_format"] = self.bounding_box_format
        return config


class RandomImageLayer(ImageLayer):
    """An image layer that draws.

    Args:
        seed: Python int for repeatable draws.
        **kwargs: see `ImageLayer`.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = SeedGenerator(seed)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "seed": self.seed}


def factor_range(
    factor: Any, bounds: tuple[float, float] = (-1, 1), name: str = "factor"
) -> tuple[float, float]:
    """A factor as lowest and highest: ``f`` means ``(-f, f)`` within `bounds`.

    Raises:
        ValueError: it is outside of `bounds`, or neither a number nor two.
    """
    low, high = bounds
    text = (
        f"The `{name}` argument should be a number (or a list of two numbers) in the range "
        f"[{low}, {high}]. Received: {name}={factor}"
    )
    if isinstance(factor, (tuple, list)):
        if len(factor) != 2 or factor[0] > high or factor[1] < low:
            raise ValueError(text)
        return tuple(sorted(factor))  # type: ignore[return-value]
    if not isinstance(factor, (int, float)) or factor < low or factor > high:
        raise ValueError(text)
    factor = abs(factor)
    return (max(-factor, low), factor)


def value_range_of(value_range: Any) -> list[float]:
    """The lowest and the highest value of the images.

    Raises:
        ValueError: it is no pair.
    """
    if not isinstance(value_range, (tuple, list)) or len(value_range) != 2:
        raise ValueError(
            "The `value_range` argument should be a list of two numbers. Received: "
            f"value_range={value_range}"
        )
    return sorted(value_range)


def in_range(images: Any, source: Any, target: Any) -> Any:
    """`images` with the values from `source` spread over `target`."""
    if tuple(source) == tuple(target):
        return images
    share = (images - source[0]) / (source[1] - source[0])
    return share * (target[1] - target[0]) + target[0]
