"""Wrappers over sequences: Bidirectional and TimeDistributed."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr, nest
from ..engine.call_signature import signature_of
from ..engine.layer import Layer
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .recurrent_loop import run_steps
from .wrapper import Wrapper

__all__ = ["Bidirectional", "TimeDistributed"]

_MERGES = ("sum", "mul", "ave", "concat", None)


class Bidirectional(Layer):
    """A recurrent layer and its copy that goes backwards (Schuster & Paliwal 1997).

    Args:
        layer: a recurrent layer, copied; or one with `RNN`'s attributes ``go_backwards``,
            ``return_sequences``, ``return_state`` and ``stateful``.
        merge_mode: "concat", "sum", "mul", "ave", or None for both outputs.
        weights: first values, the forward layer's before the other's.
        backward_layer: the layer that goes backwards; a copy of `layer` if None.
        **kwargs: see `Layer`.

    >>> from .recurrent_layers import LSTM
    >>> Bidirectional(LSTM(4))(hr.zeros([2, 3, 5])).shape
    TensorShape([2, 8])
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ):
        if not isinstance(layer, Layer):
            raise ValueError(
                "Please initialize `Bidirectional` layer with a `keras.layers.Layer` instance. "
                f"Received: {layer}"
            )
        if backward_layer is not None and not isinstance(backward_layer, Layer):
            raise ValueError(
                "`backward_layer` need to be a `keras.layers.Layer` instance. Received: "
                f"{backward_layer}"
            )
        if merge_mode not in _MERGES:
            raise ValueError(
                f"Invalid merge mode. Received: {merge_mode}. Merge mode should be one of "
                '{"sum", "mul", "ave", "concat", None}'
            )
        super().__init__(**kwargs)
        self.forward_layer = _copy(layer, "forward_")
        if backward_layer is None:
            backward_layer = _copy(layer, "backward_", go_backwards=not layer.go_backwards)
        self.backward_layer = backward_layer
        both = (self.forward_layer, self.backward_layer)
        if hasattr(layer, "use_cudnn"):
            for one in both:
                one.use_cudnn = layer.use_cudnn
        _check_pair(*both)
        for one in both:
            if getattr(one, "zero_output_for_mask", None) is not None:
                one.zero_output_for_mask = one.return_sequences
        self.merge_mode = merge_mode
        self._first_weights = weights
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Build both layers."""
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)
        if self._first_weights:
            values = list(self._first_weights)
            half = len(values) // 2
            self.forward_layer.set_weights(values[:half])
            self.backward_layer.set_weights(values[half:])
        self.built = True

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None
    ) -> Any:
        """The merged outputs, or both; with `return_state` the states of both behind."""
        first: Any = (None, None)
        if initial_state is not None:
            half = len(initial_state) // 2
            first = (initial_state[:half], initial_state[half:])
        results = []
        for layer, state in zip((self.forward_layer, self.backward_layer), first, strict=True):
            kwargs: dict[str, Any] = {} if state is None else {"initial_state": state}
            takes = signature_of(type(layer).call)
            if takes.has_training:
                kwargs["training"] = training
            if takes.has_mask:
                kwargs["mask"] = mask
            results.append(layer(sequences, **kwargs))
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*results[0][1:], *results[1][1:])
            results = [results[0][0], results[1][0]]
        one, other = (hr.cast(r, self.compute_dtype) for r in results)
        if self.return_sequences:
            other = hr.reverse(other, [1])
        output = self._merged(one, other)
        if self.merge_mode is None:
            return (*output, *states)
        return (output, *states) if self.return_state else output

    def _merged(self, one: Any, other: Any) -> Any:
        if self.merge_mode == "concat":
            return hr.concat([one, other], -1)
        if self.merge_mode == "sum":
            return one + other
        if self.merge_mode == "ave":
            return (one + other) / 2
        if self.merge_mode == "mul":
            return one * other
        return one, other

    @property
    def states(self) -> Any:
        """The states that both layers keep between batches, or None."""
        one, other = self.forward_layer.states, self.backward_layer.states
        return (*one, *other) if one and other else None

    def reset_state(self) -> None:
        """Set the states that both layers keep to zeros.

        Raises:
            AttributeError: the layer is not stateful.
        """
        if not self.stateful:
            raise AttributeError("Layer must be stateful.")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self) -> None:
        """The same, by its older name."""
        self.reset_state()

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None
    ) -> Any:
        """Shape of the output, or of both; with `return_state` also those of the states."""
        output = self.forward_layer.compute_output_shape(sequences_shape)
        states: tuple[Any, ...] = ()
        if self.return_state:
            output, states = output[0], tuple(output[1:])
        output = tuple(output)
        if self.merge_mode == "concat":
            output = (*output[:-1], 2 * output[-1])
        if self.merge_mode is None:
            return (output, output, *states, *states)
        return (output, *states, *states) if self.return_state else output

    def compute_mask(self, sequences: Any, mask: Any = None) -> Any:
        """The steps' mask where steps are returned; states have none."""
        mask = nest.flatten(mask)[0] if mask is not None and self.return_sequences else None
        states = []
        if self.return_state:
            states = [None] * (2 * len(nest.flatten(self.forward_layer.state_size)))
        if self.merge_mode is None:
            return [mask, mask, *states]
        return [mask, *states] if self.return_state else mask

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialize_keras_object(self.forward_layer),
            "backward_layer": serialize_keras_object(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer that `config` describes."""
        config = dict(config)
        for name in ("layer", "backward_layer"):
            if isinstance(config.get(name), dict):
                config[name] = deserialize_keras_object(
                    config[name], custom_objects=custom_objects
                )
        return super().from_config(config)


def _copy(layer: Any, prefix: str, **changes: Any) -> Any:
    """A layer of the same configuration without its weights."""
    described = serialize_keras_object(layer)
    name = prefix + layer.name.removeprefix(prefix)
    described["config"] = {**described["config"], "name": name, **changes}
    described.pop("build_config", None)
    return deserialize_keras_object(described, safe_mode=False)


def _check_pair(forward: Any, backward: Any) -> None:
    if forward.go_backwards == backward.go_backwards:
        raise ValueError(
            "Forward layer and backward layer should have different `go_backwards` value. "
            f"Received: forward_layer.go_backwards {forward.go_backwards}, "
            f"backward_layer.go_backwards={backward.go_backwards}"
        )
    for name in ("stateful", "return_sequences", "return_state"):
        one, other = getattr(forward, name), getattr(backward, name)
        if one != other:
            raise ValueError(
                "Forward layer and backward layer are expected to have the same value for "
                f'attribute "{name}", got "{one}" for forward layer and "{other}" for backward '
                "layer"
            )


class TimeDistributed(Wrapper):
    """Applies a layer to every step of ``[batch, steps, ...]``.

    Layers whose samples do not depend on each other get all steps at once, as one large batch;
    the others (batch normalization, stateful layers, layers from elsewhere) step by step.

    Args:
        layer: the layer.
        **kwargs: see `Layer`.

    >>> from .dense import Dense
    >>> TimeDistributed(Dense(4))(hr.zeros([2, 3, 5])).shape
    TensorShape([2, 3, 4])
    """

    def __init__(self, layer: Any, **kwargs: Any):
        if not isinstance(layer, Layer):
            raise ValueError(
                "Please initialize `TimeDistributed` layer with a `keras.layers.Layer` "
                f"instance. Received: {layer}"
            )
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        """Build the layer for one step's inputs."""
        super().build(_step_shape(input_shape))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Every step's output, ``[batch, steps, ...]``."""
        _check_mask(inputs, mask)
        takes = signature_of(type(self.layer).call)
        kwargs = {"training": training} if takes.has_training else {}
        masked = mask is not None and takes.has_mask
        if _apart(self.layer):
            return self._at_once(inputs, mask if masked else None, kwargs)
        if not masked:
            return run_steps(lambda x, states: (self.layer(x, **kwargs), states), inputs, [])[1]
        # The loop carries one sequence: the mask follows as the steps' numbers.
        steps = hr.unstack(inputs, axis=1)
        masks = hr.unstack(mask, axis=1)
        pairs = zip(steps, masks, strict=True)
        return hr.stack([self.layer(x, mask=m, **kwargs) for x, m in pairs], axis=1)

    def _at_once(self, inputs: Any, mask: Any, kwargs: dict[str, Any]) -> Any:
        known, sizes = inputs.shape, hr.shape(inputs)
        if mask is not None:
            kwargs = {**kwargs, "mask": _folded(mask)}
        outputs = self.layer(_folded(inputs), **kwargs)

        def unfold(output: Any) -> Any:
            shape = hr.concat([sizes[:2], hr.shape(output)[1:]], 0)
            full = (known[0], known[1], *output.shape[1:])
            return hr.ensure_shape(hr.reshape(output, shape), full)

        return nest.map_structure(unfold, outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The layer's output shape with the steps' axis inserted."""
        output = tuple(self.layer.compute_output_shape(_step_shape(input_shape)))
        return (output[0], input_shape[1], *output[1:])


def _step_shape(input_shape: Any) -> tuple[int | None, ...]:
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) < 3:
        raise ValueError(
            "`TimeDistributed` Layer should be passed an `input_shape` with at least 3 "
            f"dimensions, received: {input_shape}"
        )
    return (input_shape[0], *input_shape[2:])


def _check_mask(inputs: Any, mask: Any) -> None:
    if mask is None:
        return
    if len(mask.shape) < 2:
        raise ValueError(
            "The `mask` passed to the `TimeDistributed` layer must be at least 2D (e.g., "
            f"`(batch_size, timesteps)`), but it has {len(mask.shape)} dimension(s) with shape "
            f"{tuple(mask.shape)}."
        )
    for have, wanted in zip(tuple(mask.shape)[:2], tuple(inputs.shape)[:2], strict=True):
        if None not in (have, wanted) and have != wanted:
            raise ValueError(
                "The `mask` passed to the `TimeDistributed` layer has a shape "
                f"{tuple(mask.shape)} that is incompatible with the input shape "
                f"{tuple(inputs.shape)}. The first two dimensions of the mask (batch size and "
                "timesteps) must match the input's first two dimensions."
            )


def _folded(x: Any) -> Any:
    """``[batch, steps, ...]`` as ``[batch * steps, ...]``."""
    if len(x.shape) == 2:
        return hr.reshape(x, [-1])
    made = hr.reshape(x, hr.concat([[-1], hr.shape(x)[2:]], 0))
    batch, steps = x.shape[0], x.shape[1]
    rows = None if batch is None or steps is None else batch * steps
    return hr.ensure_shape(made, (rows, *x.shape[2:]))


# Layers of ours whose samples depend on each other, or whose call has other effects.
_TOGETHER = frozenset({"BatchNormalization", "Lambda", "SpectralNormalization"})


def _apart(layer: Any) -> bool:
    """Whether every sample's output depends on that sample alone."""
    for one in layer._flatten_layers():
        cls = type(one)
        ours = cls.__module__.startswith(_HERE) or cls.__module__.startswith(_MODELS)
        if not ours or cls.__name__ in _TOGETHER or getattr(one, "stateful", False):
            return False
        noise = getattr(one, "noise_shape", None)
        if noise is not None and noise[0] is not None:
            return False
    return True


_HERE = __name__.rsplit(".", 1)[0] + "."
_MODELS = __name__.rsplit(".", 2)[0] + ".engine."
