"""Conversion, control flow, scattering: what Keras keeps in ``ops.core``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops import api as hr, nest
from ..engine.keras_tensor import KerasTensor
from ..promotion import standardize_dtype
from .op import operations
from .values import as_tensor, axes_of, static

op = operations("core")
builtin_slice = slice


@op("Cast")
def _cast(x: Any, dtype: Any) -> Any:
    return as_tensor(x, standardize_dtype(dtype))


def cast(x: Any, dtype: Any) -> Any:
    """`x` as `dtype`."""
    return _cast(x, standardize_dtype(dtype))


@op("SaturateCast")
def _saturate_cast(x: Any, dtype: Any) -> Any:
    return hr.saturate_cast(as_tensor(x), dtype)


def saturate_cast(x: Any, dtype: Any) -> Any:
    """`x` as `dtype`, cut to its range."""
    return _saturate_cast(x, standardize_dtype(dtype))


@op("ConvertToTensor")
def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """`x` as a tensor.

    Args:
        x: a number, array, tensor or variable.
        dtype: of the tensor; the value's own if None.
        sparse: False makes a sparse tensor dense.
        ragged: False makes a ragged tensor dense.
    """
    if hasattr(x, "row_splits") and ragged is False:
        x = x.to_tensor()
    elif hasattr(x, "dense_shape") and sparse is False:
        from ...ops.sparse_ops import to_dense

        x = to_dense(x)
    if hasattr(x, "row_splits") or hasattr(x, "dense_shape"):
        return x if dtype is None else hr.cast(x, dtype)
    return as_tensor(x, None if dtype is None else standardize_dtype(dtype))


def convert_to_numpy(x: Any) -> np.ndarray:
    """`x` as an array."""
    if hasattr(x, "row_splits"):
        x = x.to_tensor()
    elif hasattr(x, "dense_shape"):
        x = convert_to_tensor(x, sparse=False)
    return np.asarray(x)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor of ours."""
    return hr.is_tensor(x)


def shape(x: Any) -> tuple[Any, ...]:
    """The sizes of the axes: integers where they are known, else scalar tensors."""
    if isinstance(x, KerasTensor):
        return x.shape
    x = as_tensor(x)
    return tuple(static(x, a) for a in range(len(x.shape)))


def dtype(x: Any) -> str:
    """The name of the dtype of `x`."""
    return standardize_dtype(x.dtype)


@op(tensors=2)
def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Zeros in `shape` with `values` added at `indices` ``[..., axes]``."""
    return hr.scatter_nd(as_tensor(indices), as_tensor(values), shape)


_UPDATES = {
    None: hr.tensor_scatter_nd_update,
    "add": hr.tensor_scatter_nd_add,
    "max": hr.tensor_scatter_nd_max,
    "min": hr.tensor_scatter_nd_min,
}


@op(tensors=3)
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: Any = None) -> Any:
    """`inputs` with `updates` at `indices` ``[updates, axes]``.

    Args:
        inputs: a tensor.
        indices: places in it.
        updates: what is put there.
        reduction: None puts it there; add, max, min and mul join it with what is there.
    """
    inputs = as_tensor(inputs)
    indices, updates = as_tensor(indices), as_tensor(updates, inputs.dtype.name)
    if reduction == "mul":
        places = _flat_places(indices, inputs)
        factors = hr.unsorted_segment_prod(
            hr.reshape(updates, [hr.size(places), -1]), hr.reshape(places, [-1]),
            hr.reduce_prod(hr.shape(inputs)[: indices.shape[-1]]),
        )  # fmt: skip
        return inputs * hr.reshape(factors, hr.shape(inputs))
    if reduction not in _UPDATES:
        raise ValueError(f"reduction must be None, add, max, min or mul, got {reduction!r}")
    return _UPDATES[reduction](inputs, indices, updates)


def _flat_places(indices: Any, inputs: Any) -> Any:
    """Places along the first axes together."""
    flat: Any = 0
    for axis in range(indices.shape[-1]):
        flat = flat * hr.cast(hr.shape(inputs)[axis], indices.dtype) + indices[..., axis]
    return flat


def _starts(inputs: Any, start_indices: Any, sizes: Any) -> list[Any]:
    """Starts moved so that the part lies inside, as Keras does."""
    starts = as_tensor(start_indices, "int32")
    room = hr.shape(inputs) - hr.convert_to_tensor(sizes, dtype="int32")
    return hr.maximum(hr.minimum(starts, room), 0)


@op(tensors=2)
def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """The part of `inputs` of `shape` that begins at `start_indices`."""
    return hr.slice(as_tensor(inputs), as_tensor(start_indices, "int32"), shape)


@op("SliceUpdate", tensors=3)
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """`inputs` with `updates` put in where `start_indices` says."""
    inputs = as_tensor(inputs)
    updates = as_tensor(updates, inputs.dtype.name)
    sizes = [static(updates, a) for a in range(len(updates.shape))]
    starts = hr.unstack(_starts(inputs, start_indices, sizes), num=len(sizes))
    grids = [hr.range(n) + s for n, s in zip(sizes, starts, strict=True)]
    places = hr.stack(hr.meshgrid(*grids, indexing="ij"), axis=-1)
    return hr.tensor_scatter_nd_update(inputs, places, updates)


@op()
def stop_gradient(variable: Any) -> Any:
    """`variable` as a constant for gradients."""
    return hr.stop_gradient(as_tensor(variable))


@op()
def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """A list of the slices along `axis`.

    Raises:
        ValueError: neither `num` nor the size is known.
    """
    x = as_tensor(x)
    count = x.shape[axes_of(axis, len(x.shape))[0]] if num is None else num
    if count is None:
        raise ValueError(f"Cannot infer argument `num` from shape {x.shape}.")
    return list(hr.unstack(x, num=count, axis=axis))


# -- control flow -----------------------------------------------------------------------------


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """What `true_fn()` gives if `pred` holds, else `false_fn()`."""
    return hr.cond(as_tensor(pred, "bool"), true_fn, false_fn)


def switch(index: Any, branches: Any, *operands: Any) -> Any:
    """What the branch with number `index` gives for `operands`; the nearest of those there."""
    at = hr.maximum(hr.minimum(as_tensor(index, "int32"), len(branches) - 1), 0)
    calls = [(lambda branch=branch: branch(*operands)) for branch in branches]
    return hr.switch_case(at, calls)


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:  # fmt: skip
    """`loop_vars` after `body` has run as long as `cond` holds.

    Args:
        cond, body: functions of the variables.
        loop_vars: a tuple or list of tensors, or one tensor.
        maximum_iterations: at most so often.
    """
    several = isinstance(loop_vars, (tuple, list))
    variables = tuple(loop_vars) if several else (loop_vars,)

    def step(*values: Any) -> Any:
        made = body(*values)
        return tuple(made) if isinstance(made, (tuple, list)) else (made,)

    found = hr.while_loop(cond, step, variables, maximum_iterations=maximum_iterations)
    return type(loop_vars)(found) if several else found[0]


def fori_loop(lower: Any, upper: Any, body_fun: Callable[..., Any], init_val: Any) -> Any:
    """`init_val` after ``body_fun(i, value)`` for i from `lower` to before `upper`."""
    found = hr.while_loop(
        lambda i, _: i < upper,
        lambda i, value: (i + 1, body_fun(i, value)),
        (as_tensor(lower, "int32"), nest.map_structure(as_tensor, init_val)),
    )
    return found[1]


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """What `f` gives for every slice of `xs` along the first axis, stacked."""
    xs = nest.map_structure(as_tensor, xs)
    first = nest.map_structure(lambda x: x[0], xs)
    signature = nest.map_structure(_spec_of, f(first))
    return hr.map_fn(f, xs, fn_output_signature=signature)


def _spec_of(x: Any) -> Any:
    x = as_tensor(x)
    return hr.TensorSpec(x.shape, x.dtype)


def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """What `function` gives for every slice of `elements`, all computed together."""
    return hr.vectorized_map(function, nest.map_structure(as_tensor, elements))


def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: Any = 1,
) -> Any:
    """``(carry, ys)``: `f` takes a carry and a slice of `xs`, and gives a carry and a result.

    Args:
        f: function of ``(carry, x)`` giving ``(carry, y)``.
        init: the first carry.
        xs: tensors, sliced along the first axis; None gives `f` None.
        length: how many steps, needed without `xs`.
        reverse: from the last slice to the first.
        unroll: accepted.

    Raises:
        TypeError: `f` is no function.
        ValueError: neither `xs` nor `length` is given.
    """
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ValueError(
            f"`unroll` must be an positive integer or boolean. Received: unroll={unroll}"
        )
    if xs is None and length is None:
        raise ValueError("Got no `xs` to scan over and `length` not provided.")
    carry = nest.map_structure(as_tensor, init)
    xs = None if xs is None else nest.map_structure(as_tensor, xs)
    count = length if xs is None else nest.flatten(xs)[0].shape[0]
    if count is None:
        raise ValueError("scan needs a first axis of known size, or `length`.")
    results = []
    for i in range(int(count))[:: -1 if reverse else 1]:
        x = None if xs is None else nest.map_structure(lambda v, i=i: v[i], xs)
        carry, y = f(carry, x)
        results.append(y)
    if reverse:
        results.reverse()
    if not results or all(y is None for y in results):
        return carry, nest.map_structure(lambda c: hr.zeros([count, *c.shape], c.dtype), carry)
    return carry, nest.map_structure(lambda *ys: hr.stack(ys, axis=0), *results)


def associative_scan(
    f: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Running results of the associative `f` along `axis`, in a logarithmic number of calls.

    Args:
        f: function of two of the structure of `elems`, giving one.
        elems: nested tensors of one size along `axis`.
        reverse: from the end.
        axis: along which.
    """
    if not callable(f):
        raise TypeError("`f` should be a callable.")
    flat = [as_tensor(e) for e in nest.flatten(elems)]
    axis = axes_of(axis, len(flat[0].shape))[0]
    if len({e.shape[axis] for e in flat}) != 1:
        raise ValueError(
            "Array inputs to associative_scan must have the same first dimension. (saw: "
            f"{[tuple(e.shape) for e in flat]})"
        )
    if reverse:
        flat = [hr.reverse(e, [axis]) for e in flat]

    def part(values: list[Any], start: Any, stop: Any) -> list[Any]:
        index = [builtin_slice(None)] * axis + [builtin_slice(start, stop)]
        return [v[tuple(index)] for v in values]

    distance, count = 1, int(flat[0].shape[axis])
    while distance < count:  # Hillis and Steele: each joins what is `distance` before it
        joined = f(
            nest.pack_sequence_as(elems, part(flat, None, count - distance)),
            nest.pack_sequence_as(elems, part(flat, distance, None)),
        )
        first = part(flat, None, distance)
        flat = [
            hr.concat([a, b], axis=axis)
            for a, b in zip(first, nest.flatten(joined), strict=True)
        ]
        distance *= 2
    if reverse:
        flat = [hr.reverse(e, [axis]) for e in flat]
    return nest.pack_sequence_as(elems, flat)


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, which gives its value and a function from the value's gradient to the arguments'."""
    return hr.custom_gradient(f)


__all__ = [
    "associative_scan", "cast", "cond", "convert_to_numpy", "convert_to_tensor",
    "custom_gradient", "dtype", "fori_loop", "is_tensor", "map", "saturate_cast", "scan",
    "scatter", "scatter_update", "shape", "slice", "slice_update", "stop_gradient", "switch",
    "unstack", "vectorized_map", "while_loop",
]  # fmt: skip
