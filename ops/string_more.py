"""Strings: bytes_split, ngrams, reduce_join, unsorted_segment_join, format, and the raw forms
of splitting and of regular expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import reshape, shape as shape_of
from .array_index import getitem
from .convert import to_tensor
from .debugging_ops import printed
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .ragged_tensor import RaggedTensor
from .shape_rules import axes_of, same, to_dtype
from .static_args import static_ints
from .string_array import StringArray
from .string_ops import RegexFullMatch as _FullMatch, RegexReplace as _Replace, _split_impl
from .string_pieces import joined_runs, ragged_strings, runs, with_extra
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["bytes_split", "format", "ngrams", "reduce_join", "unsorted_segment_join"]


# -- bytes ------------------------------------------------------------------------------------


def bytes_split(input: Any, name: str | None = None) -> Any:
    """The bytes of each string as strings: one ragged axis more; a vector for a scalar.

    >>> bytes_split("ab").numpy().tolist()
    [b'a', b'b']
    """
    return ragged_strings(input, _BytesSplit)[0]


def _bytes_impl(x: StringArray) -> Any:
    lengths = x.lengths
    starts = np.repeat(x.starts, lengths) + runs(lengths)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return splits, StringArray(x.data, starts, starts + 1)


def _splits_and(*kinds: Any) -> Any:
    def shape(x: Any, **attrs: Any) -> Any:
        n = x.shape[0] if x.shape.rank == 1 else None
        splits = TensorSpec([None if n is None else n + 1], attrs.get("Tsplits", dtypes.int64))
        return splits, *[TensorSpec([None], k) for k in kinds]

    return shape


_BytesSplit = Primitive(
    "_BytesSplit", "input: string", impl=_bytes_impl, shape=_splits_and(dtypes.string)
)


# -- n-grams ----------------------------------------------------------------------------------


def ngrams(
    data: Any,
    ngram_width: Any,
    separator: str = " ",
    pad_values: Any = None,
    padding_width: int | None = None,
    preserve_short_sequences: bool = False,
    name: str | None = None,
) -> Any:
    """Runs of `ngram_width` strings of each row, joined.

    Args:
        data: strings, ragged or plain, of at least one axis; the last one is joined along.
        ngram_width: a width, or several, whose n-grams follow each other in each row.
        separator: put between the parts.
        pad_values: a string, or a pair, put before and behind each row.
        padding_width: how many of each, at most width - 1, which is the default.
        preserve_short_sequences: a row too short for any n-gram becomes one.
        name: ignored.

    Returns:
        Ragged for ragged data, else plain, filled up with "".

    Raises:
        TypeError: `data` is not of strings, or `pad_values` neither a string nor a pair.
        ValueError: a width below 1, or `padding_width` without `pad_values`.

    >>> ngrams(["a", "b", "c"], 2).numpy().tolist()
    [b'a b', b'b c']
    """
    if pad_values is None:
        left, right, width = "", "", 0
        if padding_width is not None:
            raise ValueError("pad_values must be provided if padding_width is set.")
    else:
        if isinstance(pad_values, (list, tuple)):
            if len(pad_values) != 2 or not all(isinstance(p, (str, bytes)) for p in pad_values):
                raise TypeError(f"pad_values must be a string or a pair, got {pad_values!r}")
            left, right = pad_values
        elif isinstance(pad_values, (str, bytes)):
            left = right = pad_values
        else:
            raise TypeError(f"pad_values must be a string or a pair, got {pad_values!r}")
        width = -1 if padding_width is None else int(padding_width)
        if padding_width is not None and padding_width < 1:
            raise ValueError(f"padding_width must be greater than 0, got {padding_width}")
    widths = [ngram_width] if isinstance(ngram_width, int) else list(ngram_width)
    if not widths or min(widths) < 1:
        raise ValueError(f"ngram_width must be greater than 0, got {ngram_width}")
    if not isinstance(data, RaggedTensor):
        x = to_tensor(data, None)
        _check_strings(x)
        rank = x.shape.rank
        if not rank:
            raise ValueError(f"Data must have a known rank of at least 1, got {x.shape}")
        if rank == 1:
            splits = [0, getitem(shape_of(x, dtypes.int64), 0)]
            rows = RaggedTensor.from_row_splits(x, splits, validate=False)
        else:
            rows = RaggedTensor.from_tensor(x, ragged_rank=rank - 1)
    else:
        rows = data
        _check_strings(rows)
    inner, outer = rows, []
    while isinstance(inner.values, RaggedTensor):
        outer.append(inner)
        inner = inner.values
    found, splits = StringNGrams(
        inner.values, inner.row_splits, separator=separator, ngram_widths=tuple(widths),
        left_pad=left, right_pad=right, pad_width=width,
        preserve_short_sequences=bool(preserve_short_sequences),
    )  # fmt: skip
    out = RaggedTensor.from_row_splits(found, splits, validate=False)
    for level in reversed(outer):
        out = level.with_values(out)
    if isinstance(data, RaggedTensor):
        return out
    return found if rank == 1 else out.to_tensor(default_value="")


def _check_strings(x: Any) -> None:
    if x.dtype is not dtypes.string:
        raise TypeError(f"data must be of strings, got {x.dtype.name}")


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode("utf-8")


def _ngrams_impl(
    data: StringArray, splits: Any, *, separator: Any, ngram_widths: tuple[int, ...],
    left_pad: Any, right_pad: Any, pad_width: int, preserve_short_sequences: bool,
) -> Any:  # fmt: skip
    lengths = np.diff(splits).astype(np.int64)
    if len(splits) == 0 or splits[0] != 0 or splits[-1] != data.size or (lengths < 0).any():
        raise InvalidArgumentError(
            f"data_splits must rise from 0 to {data.size}, got {splits.tolist()} "
            "[Op:StringNGrams]",
            op="StringNGrams",
        )
    rows, pool = len(lengths), with_extra(data, _bytes(left_pad), _bytes(right_pad))
    counts, parts = [], []
    for width in ngram_widths:
        pad = width - 1 if pad_width < 0 else min(pad_width, width - 1)
        # An empty row has pads only if they alone make an n-gram, as elsewhere.
        counts.append(np.maximum(lengths + 2 * pad - width + 1, 0))
        parts.append((counts[-1], np.full(int(counts[-1].sum()), width), pad))
    if preserve_short_sequences:
        short = (sum(counts) == 0) & (lengths > 0)
        pad = max(pad_width, 0)
        parts.append((short.astype(np.int64), (lengths + 2 * pad)[short], pad))
    strings, owner = [], []
    for count, widths, pad in parts:
        row = np.repeat(np.arange(rows), count)
        first = np.repeat(runs(count) - pad, widths)
        which = np.repeat(row, widths)
        at = first + runs(widths)
        places = np.where(
            at < 0, data.size, np.where(at >= lengths[which], data.size + 1, splits[which] + at)
        )
        strings.append(joined_runs(pool, places, widths, _bytes(separator)))
        owner.append(row)
    order = np.argsort(np.concatenate(owner), kind="stable")
    total = sum(p[0] for p in parts)
    out = np.concatenate([[0], np.cumsum(total)]).astype(splits.dtype)
    return StringArray.concatenate(strings)[order], out


StringNGrams = Primitive(
    "StringNGrams",
    "data: string, data_splits: Tsplits",
    impl=_ngrams_impl,
    shape=lambda data, splits, **_: (
        TensorSpec([None], dtypes.string),
        TensorSpec(splits.shape, splits.dtype),
    ),
)


# -- joining along axes and by segments -------------------------------------------------------


def reduce_join(
    inputs: Any, axis: Any = None, keepdims: bool = False, separator: str = "",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """Strings joined along axes.

    Args:
        inputs: strings, plain, or ragged with `axis` its last one.
        axis: one or several, the first of which changes fastest; all by default, the last one
            fastest.
        keepdims: keep the axes with size 1.
        separator: put between the parts.
        name: ignored.

    >>> reduce_join([["a", "b"], ["c", "d"]], axis=0, separator="-").numpy().tolist()
    [b'a-c', b'b-d']
    """
    if isinstance(inputs, RaggedTensor):
        return _ragged_join(inputs, axis, keepdims, separator)
    x = to_tensor(inputs, None)
    if axis is None:
        if x.shape.rank is None:
            raise ValueError("the rank of inputs must be known where axis is None")
        axis = list(range(x.shape.rank - 1, -1, -1))
    return ReduceJoin(
        x, np.atleast_1d(np.asarray(static_ints(axis, "ReduceJoin", "axis"), np.int32)),
        keep_dims=bool(keepdims), separator=separator,
    )  # fmt: skip


def _ragged_join(x: RaggedTensor, axis: Any, keepdims: bool, separator: str) -> Any:
    if axis is None:
        out = x
        for k in range(x.shape.rank - 1, -1, -1):
            out = reduce_join(out, k, False, separator)
        return reshape(out, [1] * x.shape.rank) if keepdims else out
    (axis,) = static_ints(axis, "reduce_join", "axis")
    axis = axis + x.shape.rank if axis < 0 else axis
    if not 0 < axis < x.shape.rank:
        raise ValueError(f"reduce_join of ragged strings takes an inner axis, got {axis}")
    if axis > 1:
        return x.with_values(reduce_join(x.values, axis - 1, keepdims, separator))
    if isinstance(x.values, RaggedTensor):
        raise NotImplementedError("reduce_join along an axis outside of a ragged one")
    ids = x.value_rowids()
    out = unsorted_segment_join(x.values, ids, x.nrows(), separator)
    return reshape(out, [-1, 1]) if keepdims else out


def _reduce_impl(x: StringArray, axes: Any, *, keep_dims: bool, separator: Any) -> StringArray:
    order = [a + x.ndim if a < 0 else a for a in axes.reshape(-1).tolist()]
    kept = [a for a in range(x.ndim) if a not in order]
    moved = x.transpose((*kept, *reversed(order))) if x.ndim else x
    shape = tuple(1 if a in order else x.shape[a] for a in range(x.ndim))
    if not keep_dims:
        shape = tuple(x.shape[a] for a in kept)
    if not order:
        return x
    count = int(np.prod([x.shape[a] for a in order], dtype=np.int64))
    results = int(np.prod([x.shape[a] for a in kept], dtype=np.int64))
    lengths = np.full(results, count, np.int64)
    places = np.arange(results * count)
    return joined_runs(moved.ravel(), places, lengths, _bytes(separator)).reshape(shape)


def _reduce_shape(x: Any, axes: Any, *, keep_dims: bool, separator: Any) -> TensorSpec:
    known = constant_value(axes)
    if x.shape.rank is None or known is None:
        return TensorSpec(None, dtypes.string)
    found = axes_of(tuple(known.reshape(-1).tolist()), x.shape.rank, "ReduceJoin")
    dims = [1 if a in found else d for a, d in enumerate(x.shape.as_list())]
    if not keep_dims:
        dims = [d for a, d in enumerate(dims) if a not in found]
    return TensorSpec(dims, dtypes.string)


ReduceJoin = Primitive(
    "ReduceJoin",
    "inputs: string, reduction_indices: int32",
    impl=_reduce_impl,
    shape=_reduce_shape,
    check_first=True,
    defaults={"keep_dims": False, "separator": ""},
)


def unsorted_segment_join(
    inputs: Any, segment_ids: Any, num_segments: Any, separator: str = "",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The strings of equal id joined in order: [num_segments, ...]; "" for ids without any.

    Args:
        inputs: strings [*ids_shape, ...].
        segment_ids: integers of shape ids_shape, in [0, num_segments).
        num_segments: the number of results.
        separator: put between the parts.
        name: ignored.

    >>> unsorted_segment_join(["a", "b", "c"], [1, 0, 1], 2, ":").numpy().tolist()
    [b'b', b'a:c']
    """
    return UnsortedSegmentJoin(inputs, segment_ids, num_segments, separator=separator)


def _segment_impl(x: StringArray, ids: Any, num: Any, *, separator: Any) -> StringArray:
    name, num = "UnsortedSegmentJoin", int(num)
    if x.shape[: ids.ndim] != ids.shape:
        raise InvalidArgumentError(
            f"segment_ids of shape {list(ids.shape)} must be a prefix of inputs' shape "
            f"{list(x.shape)} [Op:{name}]",
            op=name,
        )
    if num < 0 or (ids.size and (int(ids.min()) < 0 or int(ids.max()) >= num)):
        raise InvalidArgumentError(
            f"segment_ids are not allowed to exceed num_segments or to have negative values: "
            f"they must lie in [0, {num}), got {int(ids.min(initial=0))} to "
            f"{int(ids.max(initial=0))} [Op:{name}]",
            op=name,
        )
    rest = x.shape[ids.ndim :]
    inner = int(np.prod(rest, dtype=np.int64))
    flat = ids.reshape(-1)
    cells = (flat.astype(np.int64)[:, None] * inner + np.arange(inner)).reshape(-1)
    taken = np.argsort(cells, kind="stable")
    lengths = np.bincount(cells, minlength=num * inner)
    pieces = x.ravel()
    # As in TensorFlow no separator follows a result that is still empty.
    full = pieces.lengths[taken] > 0
    before = np.concatenate([[0], np.cumsum(full)])
    begin = np.repeat(before[np.cumsum(lengths) - lengths], lengths)
    keep = before[1:] > begin
    run = np.repeat(np.arange(len(lengths)), lengths)[keep]
    lengths = np.bincount(run, minlength=len(lengths))
    found = joined_runs(pieces, taken[keep], lengths, _bytes(separator))
    return found.reshape((num, *rest))


def _segment_shape(x: Any, ids: Any, num: Any, *, separator: Any) -> TensorSpec:
    known = constant_value(num)
    if x.shape.rank is None or ids.shape.rank is None:
        return TensorSpec(None, dtypes.string)
    lead = TensorShape([None if known is None else int(known)])
    return TensorSpec(lead.concatenate(x.shape[ids.shape.rank :]), dtypes.string)


UnsortedSegmentJoin = Primitive(
    "UnsortedSegmentJoin",
    "inputs: string, segment_ids: Tindices, num_segments: Tnumsegments",
    impl=_segment_impl,
    shape=_segment_shape,
    defaults={"separator": ""},
)


# -- format -----------------------------------------------------------------------------------


def format(
    template: str, inputs: Any, placeholder: str = "{}", summarize: int = 3,
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """`template` with its placeholders replaced by the printed values of `inputs`: a scalar.

    Args:
        template: a Python string.
        inputs: a tensor or several.
        placeholder: what to replace.
        summarize: how many elements to show at each end of an axis.
        name: ignored.

    Raises:
        ValueError: there are more or fewer placeholders than inputs.

    >>> format("x: {}", to_tensor([1, 2], None)).numpy()
    b'x: [1 2]'
    """
    values = [to_tensor(v, None) for v in inputs] if isinstance(inputs, (list, tuple)) else None
    values = [to_tensor(inputs, None)] if values is None else values
    if template.count(placeholder) != len(values):
        raise ValueError(
            f"The template expects {template.count(placeholder)} tensors, but the inputs only "
            f"has {len(values)}. Please ensure the number of placeholders in the template "
            "matches the number of inputs."
        )
    return StringFormat.call_flat(
        tuple(values),
        {"template": template, "placeholder": placeholder, "summarize": summarize},
    )


def _format_impl(*arrays: Any, template: str, placeholder: str, summarize: int) -> StringArray:
    first, *rest = template.split(placeholder)
    text = first + "".join(
        printed(a, summarize) + part for a, part in zip(arrays, rest, strict=True)
    )
    return StringArray.from_values(np.array(text.encode("utf-8"), object))


StringFormat = Primitive(
    "StringFormat",
    "inputs: N * T",
    impl=_format_impl,
    shape=lambda *xs, **_: TensorSpec([], dtypes.string),
    defaults={"template": "%s", "placeholder": "%s", "summarize": 3},
)


# -- raw forms --------------------------------------------------------------------------------


def _text(x: StringArray, what: str, op: str) -> str:
    if x.ndim:
        raise InvalidArgumentError(
            f"{what} must be scalar, got shape {list(x.shape)} [Op:{op}]", op=op
        )
    return x.item().decode("utf-8")


RegexReplace = Primitive(
    "RegexReplace",
    "input: string, pattern: string, rewrite: string",
    impl=lambda x, pattern, rewrite, *, replace_global: _Replace.impl(
        x,
        pattern=_text(pattern, "Pattern", "RegexReplace"),
        rewrite=_text(rewrite, "Rewrite", "RegexReplace"),
        replace_global=replace_global,
    ),
    shape=same,
    defaults={"replace_global": True},
)
RegexFullMatch = Primitive(
    "RegexFullMatch",
    "input: string, pattern: string",
    impl=lambda x, pattern: _FullMatch.impl(
        x, pattern=_text(pattern, "Pattern", "RegexFullMatch")
    ),
    shape=to_dtype(dtypes.bool),
)


def _split_raw_impl(x: StringArray, sep: StringArray, *, maxsplit: int) -> Any:
    values, splits = _split_impl(x, sep=_text(sep, "sep", "StringSplitV2"), maxsplit=maxsplit)
    lengths = np.diff(splits)
    indices = np.stack([np.repeat(np.arange(x.size), lengths), runs(lengths)], 1)
    shape = np.array([x.size, lengths.max(initial=0)], np.int64)
    return indices.astype(np.int64), values, shape


StringSplitV2 = Primitive(
    "StringSplitV2",
    "input: string, sep: string",
    impl=_split_raw_impl,
    shape=lambda x, sep, **_: (
        TensorSpec([None, 2], dtypes.int64),
        TensorSpec([None], dtypes.string),
        TensorSpec([2], dtypes.int64),
    ),
    defaults={"maxsplit": -1},
)
