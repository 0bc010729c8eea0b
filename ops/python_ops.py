"""py_function, numpy_function: Python code as an operation of a graph.

The code runs whenever the graph does, on eager tensors (or NumPy arrays).  It may do anything,
so it runs once per call, in order, and never on blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes, nest
from .array_basics import zeros_like
from .context import current, init_scope
from .convert import convert_to_tensor, to_tensor
from .dtypes import DType, as_dtype
from .errors import (
    InvalidArgumentError,
    OpError,
    OutOfRangeError,
    ResourceExhaustedError,
    UnimplementedError,
    UnknownError,
)
from .primitive import Primitive
from .tape import GradientTape, carries_gradient
from .tensor import Tensor
from .tensor_spec import TensorSpec, TypeSpec

__all__ = ["numpy_function", "py_function"]

_KINDS: tuple[tuple[Any, type[OpError]], ...] = (
    (NotImplementedError, UnimplementedError),
    ((TypeError, ValueError), InvalidArgumentError),
    (StopIteration, OutOfRangeError),
    (MemoryError, ResourceExhaustedError),
    (Exception, UnknownError),
)


def py_function(
    func: Callable[..., Any] | None = None,
    inp: Any = None,
    Tout: Any = None,
    name: str | None = None,
) -> Any:
    """The result of calling `func` on eager tensors, in a traced function whenever it runs.

    Gradients flow through what `func` does with operations.

    Args:
        func: function of as many tensors as there are in `inp`.
        inp: list of inputs.
        Tout: dtype of the result, or a list of dtypes; empty or None for no result.

    Raises:
        InvalidArgumentError, UnknownError...: `func` raised, or gave another dtype.
    """
    if func is None:
        return lambda f: lambda *args: py_function(f, args, Tout)
    return _call(func, inp, Tout, True)


def numpy_function(
    func: Callable[..., Any] | None = None,
    inp: Any = None,
    Tout: Any = None,
    stateful: bool = True,
    name: str | None = None,
) -> Any:
    """`py_function` on NumPy arrays; no gradient flows.

    Args:
        stateful: False if `func` gives the same result for the same arguments.
    """
    if func is None:
        return lambda f: lambda *args: numpy_function(f, args, Tout, stateful)
    return _call(func, inp, Tout, False)


def _call(func: Any, inp: Any, tout: Any, eager: bool) -> Any:
    if not callable(func):
        raise ValueError(f"Expected func to be callable, got {func!r}")
    tensors = [to_tensor(x, None) for x in nest.flatten(list(inp or ()))]
    kinds = _Kinds(func, tout)
    if current.trace is None:
        return kinds.packed(kinds.run(tensors if eager else [t.numpy() for t in tensors]))
    if eager:
        found = EagerPyFunc.call_flat(tuple(tensors), {"kinds": kinds})[:-1]
    else:
        found = PyFunc.call_flat(tuple(tensors), {"kinds": kinds})
    return kinds.packed(list(found))


class _Kinds:
    """A Python function with what it promises to return."""

    def __init__(self, func: Any, tout: Any):
        self.func = func
        self._single = tout is not None and not isinstance(tout, (list, tuple))
        listed = [tout] if self._single else list(tout or ())
        self.specs = [
            TensorSpec(t.shape, t.dtype) if isinstance(t, TypeSpec) else
            TensorSpec(None, as_dtype(t))
            for t in listed
        ]  # fmt: skip

    def packed(self, found: list[Any]) -> Any:
        """The results as the caller gets them."""
        return found[0] if self._single else list(found)

    def run(self, args: list[Any]) -> list[Any]:
        """Call the function; its results as tensors of the promised dtypes."""
        result = self.func(*args)
        if not self.specs:
            return []
        parts = [result] if self._single else result
        if not isinstance(parts, (list, tuple)):
            parts = [parts]
        if len(parts) != len(self.specs):
            raise InvalidArgumentError(
                f"{self.name} returned {len(parts)} values, Tout has {len(self.specs)}"
            )
        return [self._tensor(v, s.dtype) for v, s in zip(parts, self.specs, strict=True)]

    def _tensor(self, value: Any, dtype: DType) -> Tensor:
        if not isinstance(value, Tensor):
            value = convert_to_tensor(value, dtype if not hasattr(value, "dtype") else None)
        if value.dtype is not dtype:
            raise InvalidArgumentError(
                f"{self.name} returned a value of dtype {value.dtype.name}, but Tout expects "
                f"{dtype.name}"
            )
        return value

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.func, "__name__", repr(self.func))

    def __repr__(self) -> str:
        return self.name


def _guarded(kinds: _Kinds, args: list[Any]) -> list[Tensor]:
    try:
        return kinds.run(args)
    except OpError:
        raise
    except Exception as error:
        kind = next(kind for caught, kind in _KINDS if isinstance(error, caught))
        text = f"{type(error).__name__}: {error} (in {kinds.name})"
        raise kind(text, op="PyFunc") from error


def _numpy_impl(*arrays: Any, kinds: _Kinds) -> tuple[Any, ...]:
    with init_scope():
        found = _guarded(kinds, [Tensor.of(a).numpy() for a in arrays])
    return tuple(t._value for t in found)


PyFunc = Primitive(
    "PyFunc",
    "input: N * Tin",
    impl=_numpy_impl,
    shape=lambda *inputs, kinds: tuple(kinds.specs),
    vjp=lambda op, *grads: (None,) * len(op.inputs),
    stateful=True,
)


class _Recorded:
    """The tape of one call, a value of dtype variant for its gradient."""

    dtype = dtypes.variant
    shape = ()
    ndim = 0
    size = 1

    def __init__(self, tape: GradientTape, inputs: list[Tensor], outputs: list[Tensor]):
        self.tape = tape
        self.inputs = inputs
        self.outputs = outputs


def _eager_impl(*arrays: Any, kinds: _Kinds) -> tuple[Any, ...]:
    inputs = [Tensor.of(a) for a in arrays]
    with init_scope(), GradientTape(persistent=True) as tape:
        tape.watch([t for t in inputs if carries_gradient(t.dtype)])
        found = _guarded(kinds, inputs)
    return (*(t._value for t in found), _Recorded(tape, inputs, found))


def _eager_vjp(op: Any, *grads: Any) -> Any:
    given = [
        zeros_like(t) if g is None else to_tensor(g, None)
        for g, t in zip(grads[:-1], op.outputs, strict=False)
    ]
    like = tuple(TensorSpec(t.shape, t.dtype) for t in op.inputs)
    found = _EagerPyFuncGrad.call_flat((op.outputs[-1], *given), {"specs": like})
    return tuple(
        g if carries_gradient(t.dtype) else None for g, t in zip(found, op.inputs, strict=True)
    )


EagerPyFunc = Primitive(
    "EagerPyFunc",
    "input: N * Tin",
    impl=_eager_impl,
    shape=lambda *inputs, kinds: (*kinds.specs, TensorSpec([], dtypes.variant)),
    vjp=_eager_vjp,
    stateful=True,
    partial_grads=True,
)


def _grad_impl(record: _Recorded, *grads: Any, specs: Any) -> tuple[Any, ...]:
    with init_scope():
        found = record.tape.gradient(
            record.outputs, record.inputs, [Tensor.of(g) for g in grads]
        )
        return tuple(
            np.zeros(t.shape.as_list(), t.dtype.np_dtype if t.dtype.size else bool)
            if g is None
            else to_tensor(g, None)._value
            for g, t in zip(found, record.inputs, strict=True)
        )


_EagerPyFuncGrad = Primitive(
    "_EagerPyFuncGrad",
    "record: variant, grads: N * T",
    impl=_grad_impl,
    shape=lambda record, *grads, specs: tuple(specs),
)
