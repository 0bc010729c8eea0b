"""Several augmentations: RandAugment, AugMix, and Pipeline, which runs layers in order."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.random_sampling import stateless_gamma
from ..engine.call_signature import signature_of
from ..engine.layer import Layer
from ..engine.masks import get_masks
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .augmentation_affine import RandomRotation, RandomShear, RandomTranslation
from .augmentation_base import Draws, RandomImageLayer, factor_range
from .augmentation_color import RandomBrightness, RandomColorDegeneration, RandomContrast
from .augmentation_filters import RandomSharpness
from .augmentation_mixing import beta
from .augmentation_tone import AutoContrast, Equalization, RandomPosterization, Solarization

__all__ = ["AugMix", "Pipeline", "RandAugment"]


def _parts(
    names: tuple[str, ...], factor: Any, value_range: Any, method: str, seed: Any, kwargs: Any
) -> list[Any]:
    """The layers a policy chooses from."""
    geometry = {"interpolation": method, "seed": seed, **kwargs}
    tones = {"value_range": value_range, "seed": seed, **kwargs}
    plain = {"value_range": value_range, **kwargs}
    bits = max(1, int(8 * factor[1]))
    made = {
        "shear": lambda: RandomShear(factor, factor, **geometry),
        "translation": lambda: RandomTranslation(factor, factor, **geometry),
        "rotation": lambda: RandomRotation(factor, **geometry),
        "brightness": lambda: RandomBrightness(factor, **tones),
        "color": lambda: RandomColorDegeneration(factor, **tones),
        "contrast": lambda: RandomContrast(factor, **tones),
        "sharpness": lambda: RandomSharpness(factor, **tones),
        "posterization": lambda: RandomPosterization(bits, **tones),
        "solarization": lambda: Solarization(factor, factor, **tones),
        "auto_contrast": lambda: AutoContrast(**plain),
        "equalization": lambda: Equalization(**plain),
    }
    return [made[name]() for name in names]


class _Policy(RandomImageLayer):
    """A layer that chooses among others; images are changed, boxes are not."""

    _names: tuple[str, ...] = ()

    def __init__(
        self,
        value_range: Any,
        factor: Any,
        interpolation: str,
        names: tuple[str, ...],
        seed: Any,
        data_format: Any,
        kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.value_range = value_range
        self.factor = factor_range(factor, (0, 1))
        self.interpolation = interpolation
        shared = {"dtype": kwargs["dtype"]} if "dtype" in kwargs else {}
        self._layers_ = _parts(names, self.factor, value_range, interpolation, seed, shared)

    def _box_change(self, drawn: Any, height: Any, width: Any) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} changes no bounding boxes; leave them out of its data"
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "factor": self.factor,
            "interpolation": self.interpolation,
        }


class RandAugment(_Policy):
    """A few random augmentations one after the other (Cubuk et al., 2019), the same ones for a
    whole batch.

    Args:
        value_range: lowest and highest value.
        num_ops: how many.
        factor: how strong: f for (0, f), or two numbers in [0, 1].
        interpolation: ``"nearest"`` or ``"bilinear"``.
        seed: Python int for repeatable draws.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    _names = (
        "shear", "translation", "rotation", "brightness", "color", "contrast", "sharpness",
        "posterization", "solarization", "auto_contrast", "equalization",
    )  # fmt: skip

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_ops: int = 2,
        factor: Any = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            value_range, factor, interpolation, self._names, seed, data_format, kwargs
        )
        self.num_ops = num_ops

    def _draw(self, draws: Draws) -> Any:
        chosen = draws.one(0, len(self._layers_), self.num_ops, dtype="int32")
        return chosen, [layer._draw(draws) for layer in self._layers_]

    def _change(self, images: Any, drawn: Any) -> Any:
        return self._applied(images, drawn, "_change")

    def _change_masks(self, masks: Any, drawn: Any) -> Any:
        return self._applied(masks, drawn, "_change_masks")

    def _applied(self, images: Any, drawn: Any, what: str) -> Any:
        chosen, numbers = drawn
        for step in range(self.num_ops):
            images = _one_of(self._layers_, chosen[step], what, images, numbers)
        return images

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_ops": self.num_ops}


def _one_of(layers: list[Any], chosen: Any, what: str, images: Any, numbers: Any) -> Any:
    """The images after the chosen layer; only that one runs, unless elements differ in it."""

    def branch(layer: Any, drawn: Any) -> Any:
        return lambda: hr.cast(getattr(layer, what)(images, drawn), images.dtype)

    branches = [branch(layer, n) for layer, n in zip(layers, numbers, strict=True)]
    return hr.ensure_shape(
        hr.switch_case(chosen, [*branches, lambda: hr.identity(images)]), images.shape
    )


class AugMix(_Policy):
    """Means of chains of random augmentations, mixed with the image (Hendrycks et al., 2020).

    Args:
        value_range: lowest and highest value.
        num_chains: how many chains.
        chain_depth: most augmentations of a chain.
        factor: how strong: f for (0, f), or two numbers in [0, 1].
        alpha: of the distributions of the weights.
        all_ops: also change brightness, colour, contrast and sharpness.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        seed: Python int for repeatable draws.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    _names = (
        "shear", "translation", "rotation", "posterization", "solarization", "auto_contrast",
        "equalization", "brightness", "color", "contrast", "sharpness",
    )  # fmt: skip

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: Any = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ):
        names = self._names if all_ops else self._names[:7]
        super().__init__(value_range, factor, interpolation, names, seed, data_format, kwargs)
        self.num_chains = num_chains
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops

    def _draw(self, draws: Draws) -> Any:
        shares = [
            stateless_gamma([1], draws.seeds.next(), alpha=float(self.alpha))[0]
            for _ in range(self.num_chains)
        ]
        total = sum(shares[1:], shares[0])
        weights = [share / total for share in shares]  # a draw of the Dirichlet distribution
        own = beta(draws, self.alpha, 1)[0]
        chosen = draws.one(
            0, len(self._layers_) + 1, self.num_chains, self.chain_depth, dtype="int32"
        )
        numbers = [
            [[layer._draw(draws) for layer in self._layers_] for _ in range(self.chain_depth)]
            for _ in range(self.num_chains)
        ]
        return weights, own, chosen, numbers

    def _change(self, images: Any, drawn: Any) -> Any:
        mixed = self._applied(images, drawn, "_change")
        low, high = (hr.cast(v, images.dtype) for v in self.value_range)
        return hr.minimum(hr.maximum(mixed, low), high)

    def _change_masks(self, masks: Any, drawn: Any) -> Any:
        return self._applied(hr.cast(masks, hr.float32), drawn, "_change_masks")

    def _applied(self, images: Any, drawn: Any, what: str) -> Any:
        weights, own, chosen, numbers = drawn
        total = hr.zeros_like(images)
        for i in range(self.num_chains):
            chain = images
            for j in range(self.chain_depth):
                chain = _one_of(self._layers_, chosen[i, j], what, chain, numbers[i][j])
            total = total + chain * hr.cast(weights[i], images.dtype)
        own = hr.cast(own, images.dtype)
        return own * images + (1.0 - own) * total

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_chains": self.num_chains,
            "chain_depth": self.chain_depth,
            "alpha": self.alpha,
            "all_ops": self.all_ops,
        }


class Pipeline(Layer):
    """Layers one after the other; unlike a `Sequential` it is no model.

    Args:
        layers: the layers.
        name: see `Layer`.
    """

    def __init__(self, layers: Any, name: str | None = None):
        super().__init__(name=name, autocast=False)
        self._pipeline_layers = list(layers)
        self.built = True

    @property
    def layers(self) -> list[Any]:
        """The layers."""
        return self._pipeline_layers

    def call(self, inputs: Any, training: Any = True, mask: Any = None) -> Any:
        """What the last layer makes of what the ones before it made."""
        for layer in self._pipeline_layers:
            signature = signature_of(type(layer).call)
            kwargs = {}
            if signature.has_mask:
                kwargs["mask"] = mask
            if signature.has_training and training is not None:
                kwargs["training"] = training
            inputs = layer(inputs, **kwargs)
            mask = get_masks(inputs)
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The layers and the name."""
        return {"layers": serialize_keras_object(self._pipeline_layers), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The pipeline that `config` describes.

        Raises:
            ValueError: it holds no list of layers.
        """
        layers = config.get("layers")
        if not isinstance(layers, (list, tuple)):
            raise ValueError(
                "`Pipeline` config must contain a `layers` key mapping to a list of serialized "
                f"layers. Received config with layers={layers}."
            )
        made = [deserialize_keras_object(x, custom_objects=custom_objects) for x in layers]
        return cls(**{**config, "layers": made})
