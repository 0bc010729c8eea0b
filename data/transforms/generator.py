"""from_generator: the values a Python generator yields, checked against a signature.

A generator cannot be put back, so restoring runs it anew and drops what was already delivered;
it must yield the same values again for that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...ops import dtypes, nest
from ...ops.errors import CancelledError, InvalidArgumentError
from ...ops.string_array import StringArray
from ...ops.tensor import Tensor
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..caught import Caught
from ..node import Node
from ..stage import Context, Stage, State
from ..values import from_raw, is_composite

__all__ = ["GeneratorNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class GeneratorNode(Node):
    """What ``iter(generator(*args))`` yields.

    Attributes:
        generator: called once for every iteration.
        args: raw arrays, given to it as NumPy values.
        spec: nested specs of what it yields.
    """

    generator: Callable[..., Any] = dataclasses.field(repr=False)
    args: tuple[Any, ...] = dataclasses.field(repr=False)
    spec: Any = dataclasses.field(repr=False)
    runs_python = True

    def _element_spec(self) -> Any:
        return self.spec

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _GeneratorStage(self, inputs, context)


class _GeneratorStage(Stage):
    node: GeneratorNode

    def __init__(self, node: GeneratorNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.pure = False
        self._values: Iterator[Any] | None = None
        self._yielded = 0
        self._ended = False

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        rows: list[list[Any]] = []
        want = min(max_rows, need_rows)
        stopping = self.context.stopping
        while len(rows) < want and not stopping.is_set():
            before = self._yielded
            try:
                value = self._pull()
                if self._ended:
                    break
                rows.append(self._convert(value))
            except Exception as error:
                if not rows:
                    raise
                # The error belongs to element `before`: replaying from there meets it again.
                self._hold({"yielded": before - len(rows), "ended": False})
                self._raise_later(Caught(error), release=True)
                break
        if stopping.is_set():
            raise CancelledError("the iterator was closed")
        return Block.from_rows(rows, self.structure) if rows else None

    def _pull(self) -> Any:
        if self._ended:
            return None
        if self._values is None:
            args = [Tensor.of(a).numpy() for a in self.node.args]
            self._values = iter(self.node.generator(*args))
        try:
            value = next(self._values)
        except StopIteration:
            self._ended = True
            return None
        except Exception as error:
            self._ended = True  # a generator that raised is finished
            raise InvalidArgumentError(
                f"{type(error).__name__}: {error} (raised by the generator at element "
                f"{self._yielded})"
            ) from error
        self._yielded += 1
        return value

    def _convert(self, value: Any) -> list[Any]:
        spec = self.node.spec
        if self.structure.is_single:
            flat = [value]
        else:
            try:
                nest.assert_same_structure(spec, _like(spec, value))
                flat = nest.flatten(_like(spec, value))
            except (TypeError, ValueError):
                raise InvalidArgumentError(
                    "TypeError: `generator` yielded an element that did not match the expected "
                    f"structure. The expected structure was {spec}, but the yielded element "
                    f"was {value!r}."
                ) from None
        leaves = self.structure.leaves
        return [convert_value(v, s) for v, s in zip(flat, leaves, strict=True)]

    def _state(self) -> State:
        return {"yielded": self._yielded, "ended": self._ended}

    def _restore(self, state: State) -> None:
        self._restart()
        while self._yielded < state["yielded"] and not self._ended:
            self._pull()
        self._ended = state["ended"]

    def _restart(self) -> None:
        self._close()
        self._values = None
        self._yielded = 0
        self._ended = False

    def _close(self) -> None:
        close = getattr(self._values, "close", None)
        if close is not None:
            try:
                close()
            except ValueError:  # it is running, on the thread that will finish it
                pass


def _like(spec: Any, value: Any) -> Any:
    """`value` with lists as leaves, and as a tuple where the spec is one."""
    if isinstance(spec, tuple):
        if isinstance(value, (list, np.ndarray)) and len(value) == len(spec):
            value = tuple(value)
        if not isinstance(value, tuple) or len(value) != len(spec):
            raise ValueError
        parts = [_like(s, v) for s, v in zip(spec, value, strict=True)]
        return type(spec)(*parts) if hasattr(spec, "_fields") else tuple(parts)
    if isinstance(spec, dict):
        if not isinstance(value, dict) or set(value) != set(spec):
            raise ValueError
        return {k: _like(s, value[k]) for k, s in spec.items()}
    return _Leaf(value) if isinstance(value, (list, tuple, dict)) else value


class _Leaf:
    """Hides a list from nest: it is to become one tensor."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value


def convert_value(value: Any, spec: Any) -> Any:
    """The raw array of a yielded component.

    Raises:
        InvalidArgumentError: it does not convert to the spec's dtype or fit its shape.
    """
    if isinstance(value, _Leaf):
        value = value.value
    if not isinstance(spec, TensorSpec):
        if is_composite(value) and spec.is_compatible_with(value):
            return value
        raise InvalidArgumentError(
            f"TypeError: `generator` yielded {value!r} where {spec} was expected."
        )
    try:
        raw = _to_dtype(value, spec.dtype)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgumentError(
            "TypeError: `generator` yielded an element that could not be converted to the "
            f"expected type. The expected type was {spec.dtype.name}, but the yielded element "
            f"was {value!r}."
        ) from None
    dims = spec.shape.dims
    if dims is not None and not (
        len(dims) == len(raw.shape)
        and all(d is None or d == n for d, n in zip(dims, raw.shape, strict=True))
    ):
        raise InvalidArgumentError(
            f"TypeError: `generator` yielded an element of shape {tuple(raw.shape)} where an "
            f"element of shape {spec.shape} was expected."
        )
    return raw


def _to_dtype(value: Any, dtype: dtypes.DType) -> Any:
    if isinstance(value, Tensor):
        value = value._value
    if dtype is dtypes.string:
        if isinstance(value, StringArray):
            return value
        array = value if isinstance(value, np.ndarray) else np.asarray(value, object)
        if array.ndim == 0:
            value = array.item()
            if not isinstance(value, (str, bytes)):
                value = str(value)
            return StringArray.from_values(value)
        flat = [v if isinstance(v, (str, bytes)) else str(v) for v in array.ravel().tolist()]
        return StringArray.from_values(flat).reshape(array.shape)
    if isinstance(value, (np.ndarray, np.generic)):
        return np.array(value, dtype.np_dtype)  # copied: generators like to reuse arrays
    return np.asarray(value).astype(dtype.np_dtype)


def signature(output_types: Any, output_shapes: Any, output_signature: Any) -> Any:
    """The nested specs that from_generator's three ways to say it mean.

    Raises:
        TypeError: none or both were given, or a part is no spec.
    """
    from ...ops.tensor_spec import TypeSpec

    if output_signature is not None:
        if output_types is not None or output_shapes is not None:
            raise TypeError(
                "The `output_types` argument can not be used together with the "
                "`output_signature` argument."
            )
        for spec in nest.flatten(output_signature):
            if not isinstance(spec, TypeSpec):
                raise TypeError(
                    "`output_signature` must contain objects that are subclass of `TypeSpec` "
                    f"but found {type(spec)} which is not."
                )
        return output_signature
    if output_types is None:
        raise TypeError(
            "To specify the output signature you need to provide either the "
            "`output_signature` argument or the `output_types` argument."
        )
    leaves, tree = nest.flatten_with_spec(output_types)
    if output_shapes is None:
        shapes = [None] * len(leaves)
    else:
        shapes = _shapes_in(output_types, output_shapes)
    return nest.pack_sequence_as(
        tree, [TensorSpec(s, t) for s, t in zip(shapes, leaves, strict=True)]
    )


def _shapes_in(types: Any, shapes: Any) -> list[Any]:
    """The shapes in the order of the types' leaves; a shape may itself be a tuple."""
    if isinstance(types, dict):
        return [s for k in sorted(types) for s in _shapes_in(types[k], shapes[k])]
    if isinstance(types, (tuple, list)):
        return [s for t, sh in zip(types, shapes, strict=True) for s in _shapes_in(t, sh)]
    return [shapes]


def argument(value: Any) -> Any:
    """A generator's argument as a raw array."""
    from ...ops.convert import convert_to_tensor

    return convert_to_tensor(from_raw(value))._value
