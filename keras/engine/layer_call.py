"""CallableLayer: everything that happens around a layer's `call`.

`__call__` converts and casts inputs, finds the training flag and the masks, builds the layer on
its first inputs, checks the input spec, calls, and collects losses and masks.  Called on
placeholders (`KerasTensor`) it records a node of a functional model instead.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

import numpy as np

from ...ops import api as hr, nest
from ...ops.autograph.context import for_tracing
from ...ops.context import current as recorder
from ...ops.errors import UntraceableError
from ...ops.tensor import Tensor
from . import masks
from .call_signature import shapes_of, signature_of, tensor_arguments
from .context import current
from .input_spec import assert_input_compatibility
from .keras_tensor import KerasTensor
from .layer_state import StatefulLayer
from .symbolic import infer_specs, map_leaves as _map, map_shapes, record_call

__all__ = ["CallableLayer", "default", "is_default"]


def default(method: Any) -> Any:
    """Mark a method of `Layer` as one that subclasses may override."""
    method._is_layer_default = True
    return method


@functools.lru_cache(maxsize=8192)
def _defaulted(cls: Any, method: str) -> bool:
    return getattr(getattr(cls, method), "_is_layer_default", False)


def is_default(layer: Any, method: str) -> bool:
    """Whether the layer's class has not overridden `method`."""
    return _defaulted(type(layer), method)


class CallableLayer(StatefulLayer):
    """The call protocol of `Layer`."""

    autocast: bool
    activity_regularizer: Any
    call: Any
    build: Any
    compute_mask: Any
    compute_output_shape: Any
    compute_output_spec: Any
    input_spec: Any
    supports_masking: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs for these inputs (or placeholders, given placeholders)."""
        engine = self._engine
        if not engine.initialized:
            self.name = ""  # raises the error that names the remedy
        signature = signature_of(type(self).call)
        args, kwargs, symbolic = self._converted(args, kwargs)
        if symbolic:
            return self._symbolic_call(signature, args, kwargs)

        entry, outer, around = current.entry, current.training, current.inner
        training = self._resolve_training(signature, args, kwargs, outer)
        previous_mask = None
        if masks.any_mask():
            previous_mask = self._fill_masks(signature, args, kwargs)
        if entry is None:
            current.entry = self
            self._clear_losses()
        current.training = training
        if engine.path is None:
            engine.note_path(self, around)
        current.inner = self
        try:
            if self.input_spec is not None and args:
                assert_input_compatibility(self.input_spec, args[0], self.name)
            if not self.built:
                self._build_on(signature.bind(args, kwargs))
                if self.input_spec is not None and args:
                    assert_input_compatibility(self.input_spec, args[0], self.name)
            trace = recorder.trace
            if trace is None:
                outputs = self.call(*args, **kwargs)
            else:
                outputs = self._traced_call(trace, args, kwargs)
        except Exception as error:
            _explain(error, self, signature, args, kwargs)
            raise
        finally:
            current.entry, current.training, current.inner = entry, outer, around
        if self.activity_regularizer is not None:
            for output in nest.flatten(outputs):
                self.add_loss(_per_row(self.activity_regularizer(output), output))
        if previous_mask is not None or not is_default(self, "compute_mask"):
            self._mask_outputs(args, kwargs, outputs, previous_mask)
        return outputs

    def _traced_call(self, trace: Any, args: Any, kwargs: Any) -> Any:
        """`call`, its nodes in the scope of the layer's name."""
        outer = trace.scope
        trace.scope = f"{outer}/{self.name}" if outer else self.name
        try:
            return for_tracing(self.call)(*args, **kwargs)
        finally:
            trace.scope = outer

    def _converted(self, args: Any, kwargs: Any) -> tuple[Any, Any, bool]:
        """Arguments with arrays as tensors and floats cast; and whether any is symbolic."""
        dtype = self.compute_dtype if self.autocast else None
        symbolic = False

        def convert(leaf: Any) -> Any:
            nonlocal symbolic
            if isinstance(leaf, Tensor):
                have = leaf.dtype
                if dtype is not None and have.is_floating and have.name != dtype:
                    mask = masks.get_mask(leaf)
                    leaf = hr.cast(leaf, dtype)
                    masks.set_mask(leaf, mask)
            elif isinstance(leaf, KerasTensor):
                symbolic = True
            elif isinstance(leaf, (np.ndarray, np.generic)):
                if dtype is not None and leaf.dtype.kind == "f" and leaf.dtype.name != dtype:
                    leaf = hr.cast(hr.convert_to_tensor(leaf), dtype)
                else:
                    leaf = hr.convert_to_tensor(leaf)
            return leaf

        if args and isinstance(args[0], list) and _is_plain_numbers(args[0]):
            args = (np.asarray(hr.convert_to_tensor(args[0])), *args[1:])
        new_args = tuple(
            convert(a) if not isinstance(a, (list, tuple, dict)) else _map(convert, a)
            for a in args
        )
        if kwargs:
            kwargs = {
                k: convert(v) if not isinstance(v, (list, tuple, dict)) else _map(convert, v)
                for k, v in kwargs.items()
            }
        return new_args, kwargs, symbolic

    def _resolve_training(self, signature: Any, args: Any, kwargs: Any, outer: Any) -> Any:
        """Explicit flag, else the surrounding call's, else the default of `call`."""
        given = kwargs.get("training")
        if given is None and signature.has_training:
            index = signature.names.index("training") if "training" in signature.names else 99
            if index < len(args):
                return args[index] if args[index] is not None else outer
        training = given if given is not None else outer
        if signature.has_training:
            if training is None:
                training = signature.training_default
            kwargs["training"] = training
        elif "training" in kwargs and not signature.accepts_any:
            del kwargs["training"]
        return training

    def _fill_masks(self, signature: Any, args: Any, kwargs: Any) -> Any:
        """Put the masks that came with tensors into the mask arguments; the first's mask."""
        tensors = tensor_arguments(signature.bind(args, kwargs))
        first = None
        for position, (name, value) in enumerate(tensors.items()):
            mask = masks.get_masks(value)
            if position == 0:
                first = mask
            if mask is None:
                continue
            key = "mask" if position == 0 and signature.has_mask else f"{name}_mask"
            if key in signature.all_names and kwargs.get(key) is None:
                index = signature.names.index(key) if key in signature.names else len(args)
                if index >= len(args):
                    kwargs[key] = mask
        if first is None and tensors and kwargs.get("mask") is not None:
            first = kwargs["mask"]
        return first

    def _mask_outputs(self, args: Any, kwargs: Any, outputs: Any, previous_mask: Any) -> None:
        if self.supports_masking:
            flat = nest.flatten(outputs)
            if not any(masks.get_mask(t) is not None for t in flat):
                inputs = args[0] if args else next(iter(kwargs.values()), None)
                masks.set_masks(outputs, self.compute_mask(inputs, previous_mask))
        elif previous_mask is not None and not signature_of(type(self).call).has_mask:
            warnings.warn(
                f"Layer '{self.name}' (of type {type(self).__name__}) was passed an "
                "input with a "
                "mask attached to it. However, this layer does not support masking and will "
                "therefore destroy the mask information. Downstream layers will not see the "
                "mask.",
                stacklevel=3,
            )

    def _symbolic_call(self, signature: Any, args: Any, kwargs: Any) -> Any:
        entry, outer, around = current.entry, current.training, current.inner
        recorded = dict(kwargs)
        if not signature.has_training and not signature.accepts_any:
            kwargs.pop("training", None)
        if self.input_spec is not None and args:
            assert_input_compatibility(self.input_spec, args[0], self.name)
        current.entry = entry or self
        current.training = kwargs.get("training", outer)
        if self._engine.path is None:
            self._engine.note_path(self, around)
        current.inner = self
        try:
            if not self.built:
                self._build_on(signature.bind(args, kwargs))
                if self.input_spec is not None and args:
                    assert_input_compatibility(self.input_spec, args[0], self.name)
            previous_mask = self._fill_masks(signature, args, kwargs)
            outputs = self.compute_output_spec(*args, **kwargs)
        except Exception as error:
            _explain(error, self, signature, args, kwargs)
            raise
        finally:
            current.entry, current.training, current.inner = entry, outer, around
        if entry is None:
            self._clear_losses()
        outputs = record_call(self, args, recorded, outputs)
        if self.supports_masking:
            inputs = args[0] if args else next(iter(kwargs.values()), None)
            masks.set_masks(outputs, self._mask_specs(inputs, previous_mask))
        return outputs

    def _mask_specs(self, inputs: Any, previous_mask: Any) -> Any:
        """Placeholders for the outputs' masks."""
        if is_default(self, "compute_mask"):
            return previous_mask
        return infer_specs(
            self.compute_mask, (inputs, previous_mask), {}, f'the mask of layer "{self.name}"'
        )

    def _build_on(self, arguments: dict[str, Any]) -> None:
        """Build for the shapes of these arguments."""
        shapes = {name: shapes_of(value) for name, value in tensor_arguments(arguments).items()}
        if is_default(self, "build") or not shapes:
            self.built = True
            return
        self.build(**_shape_arguments(type(self).build, shapes))

    def _spec_from_shapes(self, args: Any, kwargs: Any) -> Any:
        arguments = signature_of(type(self).call).bind(args, kwargs)
        shapes = {n: shapes_of(v) for n, v in tensor_arguments(arguments).items()}
        found = self.compute_output_shape(
            **_shape_arguments(type(self).compute_output_shape, shapes)
        )
        return map_shapes(lambda shape: KerasTensor(shape, self.compute_dtype), found)


def _shape_arguments(function: Any, shapes: dict[str, Any]) -> dict[str, Any]:
    """The shapes as keyword arguments of `build` or `compute_output_shape`.

    A function with one parameter gets the first input's shape; several are matched by name:
    ``query_shape`` is the shape of the argument ``query``.
    """
    signature = signature_of(function)
    if len(signature.names) == 1 and not signature.accepts_any:
        return {signature.names[0]: next(iter(shapes.values()))}
    matched = {
        f"{name}_shape": shape
        for name, shape in shapes.items()
        if f"{name}_shape" in signature.all_names or signature.accepts_any
    }
    if signature.names and signature.names[0] not in matched:
        matched[signature.names[0]] = next(iter(shapes.values()))
    return matched


def _per_row(loss: Any, output: Any) -> Any:
    """An activity's loss by the batch size, as Keras 3.15 has it; 0 for no rows."""
    if not len(output.shape):
        return loss
    return hr.divide_no_nan(loss, hr.cast(hr.shape(output)[0], loss.dtype))


def _is_plain_numbers(value: list[Any]) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, (bool, int, float, str, bytes))


def _explain(error: Exception, layer: Any, signature: Any, args: Any, kwargs: Any) -> None:
    """Note on the error which layer raised it, what it received, and by which layers around
    it that one was called."""
    if isinstance(error, UntraceableError):
        return
    path = getattr(error, "_layer_path", None)
    if path is not None:
        path.insert(0, layer.name)
        said = f"Layers called: {' > '.join(path)}"
        notes = error.__notes__
        notes[:] = [n for n in notes if not n.startswith("Layers called: ")]
        error.add_note(said)
        return
    try:
        error._layer_path = [layer.name]  # type: ignore[attr-defined]
    except AttributeError:
        return
    lines = [
        f"  • {name}={_described(value)}"
        for name, value in signature.bind(args, kwargs).items()
    ]
    cls = type(layer).__name__
    error.add_note(
        f"Exception encountered when calling {cls}.call() of layer "
        f'"{layer.name}".\n\nArguments received by {cls}.call():\n' + "\n".join(lines)
    )


def _described(value: Any) -> str:
    if isinstance(value, (Tensor, KerasTensor)):
        dtype = getattr(value.dtype, "name", value.dtype)
        return f"{type(value).__name__}(shape={value.shape}, dtype={dtype})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_described(v) for v in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {_described(v)}' for k, v in value.items())}}}"
    return inspect.cleandoc(repr(value))[:200]
