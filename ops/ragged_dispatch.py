"""Ragged tensors in function form: ``hr.add(rt, 1)``, ``hr.reduce_sum(rt, axis=1)``...

`install` puts a second way into the listed public functions: where a call fails to convert its
arguments and one of them is ragged, the form for ragged tensors runs instead.  Calls on plain
tensors pay for a `try`, nothing else.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes, ragged_forms
from .array_basics import cast, ones_like as dense_ones_like, reshape, size
from .array_gather import gather
from .array_index import getitem
from .array_shape import expand_dims
from .convert import to_tensor
from .division import divide
from .errors import InvalidArgumentError
from .ragged_kernels import RowIndices
from .ragged_tensor import RaggedTensor, map_flat_values
from .reductions import (
    reduce_all,
    reduce_any,
    reduce_max,
    reduce_min,
    reduce_prod,
    reduce_sum,
)  # fmt: skip
from .segments import (
    unsorted_segment_max,
    unsorted_segment_min,
    unsorted_segment_prod,
    unsorted_segment_sum,
)  # fmt: skip
from .static_args import static_ints

__all__ = ["install"]

_ELEMENTWISE = """
abs acos acosh add add_n angle approximate_equal as_string asin asinh atan atan2 atanh bitcast
bitwise_and bitwise_or bitwise_xor cast ceil check_numerics clip_by_value complex conj cos cosh
digamma divide div_no_nan divide_no_nan elu equal erf erfc erfinv exp expm1 floor floordiv
floormod fill_nan gelu greater greater_equal identity imag invert is_finite is_inf is_nan
leaky_relu left_shift less less_equal lgamma log log1p log_sigmoid logical_and logical_not
logical_or logical_xor maximum minimum mod multiply multiply_no_nan negative nextafter not_equal
ones_like pow real realdiv reciprocal reciprocal_no_nan regex_full_match regex_replace relu
relu6 right_shift rint round rsqrt saturate_cast selu sigmoid sign silu sin sinh softplus
softsign sqrt square squared_difference stop_gradient string_length string_lower string_strip
string_to_hash_bucket string_to_hash_bucket_fast string_to_hash_bucket_strong string_to_number
string_upper substr subtract swish tan tanh truediv truncatediv truncatemod xdivy xlog1py xlogy
zeros_like
""".split()


def _is_ragged(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(isinstance(v, RaggedTensor) for v in value)
    return isinstance(value, RaggedTensor)


def _dispatching(plain: Callable[..., Any], ragged: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(plain)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return plain(*args, **kwargs)
        except (TypeError, ValueError, AttributeError):
            if any(map(_is_ragged, args)) or any(map(_is_ragged, kwargs.values())):
                return ragged(*args, **kwargs)
            raise

    return call


def install(namespace: dict[str, Any]) -> None:
    """Give the functions of `namespace` that have one their form for ragged tensors."""
    for name in _ELEMENTWISE:
        if name in namespace:
            plain = namespace[name]
            namespace[name] = _dispatching(plain, functools.partial(_elementwise, plain))
    for name, ragged in _FORMS.items():
        if name in namespace:
            namespace[name] = _dispatching(namespace[name], ragged)


# -- elementwise ------------------------------------------------------------------------------


def _elementwise(plain: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`plain` on the innermost values; plain tensors beside them spread along the rows."""
    lists = [a for a in args if isinstance(a, (list, tuple)) and _is_ragged(a)]
    first = next(
        a
        for a in (*args, *kwargs.values(), *(v for each in lists for v in each))
        if isinstance(a, RaggedTensor)
    )
    if lists:  # add_n
        flat = [v.flat_values for v in lists[0]]
        for other in lists[0][1:]:
            map_flat_values(lambda x, y: x, first, other)  # checks the rows
        return first.with_flat_values(plain(flat, *args[1:], **kwargs))
    spread = [_spread(a, first) for a in args]
    return map_flat_values(plain, *spread, **kwargs)


def _spread(value: Any, like: RaggedTensor) -> Any:
    """A plain tensor as one that broadcasts against the innermost values of `like`."""
    if isinstance(value, (RaggedTensor, str, bytes, dtypes.DType, type)) or value is None:
        return value
    if isinstance(value, (int, float, bool, complex)):
        return value
    x = to_tensor(value, None)
    inner = like.flat_values.shape.rank - 1
    if x.shape.rank is None or x.shape.rank <= inner:
        return x
    levels = like.ragged_rank
    dims = x.shape.as_list()
    lead = [1] * (levels + 1 + inner - len(dims)) + dims
    if all(d == 1 for d in lead[: levels + 1]):
        return reshape(x, [-1 if d is None else d for d in lead[levels:]])
    if any(d != 1 for d in lead[1 : levels + 1]):
        raise InvalidArgumentError(
            f"a tensor of shape {x.shape} cannot be broadcast to a ragged tensor of shape "
            f"{like.shape}: its sizes along ragged axes must be 1"
        )
    rows = reshape(x, [-1, *lead[levels + 1 :]])
    level: Any = like
    while isinstance(level, RaggedTensor):
        rows, level = gather(rows, level.value_rowids()), level.values
    return rows


# -- reductions -------------------------------------------------------------------------------


def _columns(x: RaggedTensor) -> Any:
    """The place of each value in its row."""
    starts = gather(x.row_starts(), x.value_rowids())
    count = getitem(x.row_splits, -1)
    positions, _ = RowIndices(reshape(cast(count * 0, count.dtype), [1]), reshape(count, [1]))
    return cast(positions, starts.dtype) - starts


def _reduced_axis(dense: Any, segment: Any, x: Any, axis: int) -> Any:
    if not isinstance(x, RaggedTensor):
        return dense(x, axis)
    if axis > 1:
        return x.with_values(_reduced_axis(dense, segment, x.values, axis - 1))
    if isinstance(x.values, RaggedTensor) and axis == 0:
        raise NotImplementedError("reducing axis 0 of a tensor with several ragged axes")
    if axis == 0:
        longest = reduce_max(x.row_lengths()) if x.shape[0] != 0 else 0
        return segment(x.values, _columns(x), longest)
    if isinstance(x.values, RaggedTensor):
        raise NotImplementedError("reducing a ragged axis outside of another one")
    return segment(x.values, x.value_rowids(), x.nrows())


def _reduction(dense: Any, segment: Any) -> Callable[..., Any]:
    def reduce(
        input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
    ) -> Any:
        if axis is None:
            out = dense(input_tensor.flat_values)
            return reshape(out, [1] * input_tensor.shape.rank) if keepdims else out
        rank = input_tensor.shape.rank
        axes = sorted(
            (a + rank if a < 0 else a for a in static_ints(axis, "reduce", "axis")),
            reverse=True,
        )
        out = input_tensor
        for a in axes:
            out = _reduced_axis(dense, segment, out, a)
            if keepdims:
                out = _expand_dims(out, a)
        return out

    return reduce


_sum = _reduction(reduce_sum, unsorted_segment_sum)


def _mean(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Any:
    values = input_tensor.flat_values
    if not (values.dtype.is_floating or values.dtype.is_complex):
        values = cast(values, dtypes.float64)
    total = _sum(input_tensor.with_flat_values(values), axis, keepdims)
    count = _sum(input_tensor.with_flat_values(dense_ones_like(values)), axis, keepdims)
    return _elementwise(divide, total, count) if _is_ragged(total) else divide(total, count)


def _any(values: Any, ids: Any, num: Any) -> Any:
    return unsorted_segment_sum(cast(values, dtypes.int32), ids, num) > 0


def _all(values: Any, ids: Any, num: Any) -> Any:
    return unsorted_segment_min(cast(values, dtypes.int32), ids, num) > 0


# -- the rest ---------------------------------------------------------------------------------


def _expand_dims(input: Any, axis: Any, name: str | None = None) -> Any:
    if not isinstance(input, RaggedTensor):
        return expand_dims(input, axis)
    (axis,) = static_ints(axis, "expand_dims", "axis")
    axis = axis + input.shape.rank + 1 if axis < 0 else axis
    if axis == 0:
        n = input.nrows()
        return RaggedTensor.from_row_splits(input, [n * 0, n], validate=False)
    if axis == 1:
        return RaggedTensor.from_uniform_row_length(input, 1)
    return input.with_values(_expand_dims(input.values, axis - 1))


def _size(input: Any, out_type: Any = dtypes.int32, name: str | None = None) -> Any:
    return size(input.flat_values, out_type)


def _rank(input: Any, name: str | None = None) -> Any:
    return to_tensor(np.int32(input.shape.rank), None)


def _one_hot(indices: Any, *args: Any, **kwargs: Any) -> Any:
    from .one_hot import one_hot

    return indices.with_flat_values(one_hot(indices.flat_values, *args, **kwargs))


def _where(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Any:
    from .array_gather import where

    if x is None:
        return where(condition.to_tensor())
    return _elementwise(where, condition, x, y)


def _reverse(tensor: Any, axis: Any, name: str | None = None) -> Any:
    (axis,) = static_ints(axis, "reverse", "axis")
    axis = axis + tensor.shape.rank if axis < 0 else axis
    return tensor[(slice(None),) * axis + (slice(None, None, -1),)]


def _boolean_mask(tensor: Any, mask: Any, axis: Any = None, name: str | None = None) -> Any:
    from .ragged_ops import boolean_mask

    return boolean_mask(tensor, mask)


def _unstack(value: Any, num: Any = None, axis: int = 0, name: str | None = None) -> Any:
    if axis != 0:
        raise ValueError(f"a ragged tensor is unstacked along axis 0, got {axis}")
    return [value[k] for k in range(value.shape[0])]


_FORMS: dict[str, Callable[..., Any]] = {
    "reduce_sum": _sum,
    "reduce_prod": _reduction(reduce_prod, unsorted_segment_prod),
    "reduce_max": _reduction(reduce_max, unsorted_segment_max),
    "reduce_min": _reduction(reduce_min, unsorted_segment_min),
    "reduce_mean": _mean,
    "reduce_any": _reduction(reduce_any, _any),
    "reduce_all": _reduction(reduce_all, _all),
    "expand_dims": _expand_dims,
    "size": _size,
    "rank": _rank,
    "one_hot": _one_hot,
    "where": _where,
    "reverse": _reverse,
    "boolean_mask": _boolean_mask,
    "unstack": _unstack,
    **{name: getattr(ragged_forms, name) for name in ragged_forms.__all__},
}


# -- operators --------------------------------------------------------------------------------


def _add_operators() -> None:
    def add(name: str, fn: Callable[[Any, Any], Any]) -> None:
        setattr(RaggedTensor, name, lambda self, other: _elementwise(fn, self, other))

    def add_reflected(name: str, fn: Callable[[Any, Any], Any]) -> None:
        setattr(RaggedTensor, name, lambda self, other: _elementwise(fn, other, self))

    for word in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
        add(f"__{word}__", getattr(operator, word))
        add_reflected(f"__r{word}__", getattr(operator, word))
    for word in ("and", "or", "xor"):
        add(f"__{word}__", getattr(operator, f"__{word}__"))
    for word in ("lt", "le", "gt", "ge", "eq", "ne"):
        add(f"__{word}__", getattr(operator, word))


_add_operators()
