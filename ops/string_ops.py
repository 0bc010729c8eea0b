"""Strings: length, join, split, substr, case, numbers, regular expressions.

The work is done by Arrow's kernels (whose regular expressions are RE2, as TensorFlow's) on the
elements as one large_binary array, or on offsets alone where that is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import reshape
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .primitive import Primitive
from .ragged_tensor import RaggedTensor
from .shape_rules import broadcast, same, to_dtype
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "as_string",
    "regex_full_match",
    "regex_replace",
    "string_join",
    "string_length",
    "string_lower",
    "string_split",
    "string_strip",
    "string_to_number",
    "string_upper",
    "substr",
]


def _arrow(name: str, x: StringArray, text: bool = False, **options: Any) -> Any:
    """An Arrow compute function on the flattened elements."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = x.to_arrow()
    if text:
        array = array.view(pa.large_string())
    return getattr(pc, name)(array, **options)


def _strings(array: Any, shape: tuple[int, ...]) -> StringArray:
    return StringArray.from_arrow(array).reshape(shape)


# -- length, substr ---------------------------------------------------------------------------


def string_length(input: Any, unit: str = "BYTE", name: str | None = None) -> Tensor:
    """int32: length of each string in bytes (``"BYTE"``) or characters (``"UTF8_CHAR"``)."""
    if unit not in ("BYTE", "UTF8_CHAR"):
        raise ValueError(f"unit must be 'BYTE' or 'UTF8_CHAR', got {unit!r}")
    return StringLength(input, unit=unit)


def _length_impl(x: StringArray, *, unit: str) -> np.ndarray:
    if unit == "BYTE":
        return x.lengths.astype(np.int32)
    found = _arrow("utf8_length", x, text=True).to_numpy(zero_copy_only=False)
    return found.astype(np.int32).reshape(x.shape)


StringLength = Primitive(
    "StringLength",
    "input: string",
    impl=_length_impl,
    shape=to_dtype(dtypes.int32),
    batch=batch_rules.unary,
)


def substr(
    input: Any, pos: Any, len: Any, unit: str = "BYTE", name: str | None = None
) -> Tensor:
    """`len` bytes (or characters) of each string from `pos` on; a negative `pos` counts from
    the end.

    Raises:
        InvalidArgumentError: `pos` lies outside of a string.
    """
    return Substr(input, pos, len, unit=unit)


def _substr_impl(x: StringArray, pos: Any, length: Any, *, unit: str) -> StringArray:
    shape = np.broadcast_shapes(x.shape, pos.shape, length.shape)
    starts, ends = np.broadcast_to(x.starts, shape), np.broadcast_to(x.ends, shape)
    pos, length = (np.broadcast_to(a, shape).astype(np.int64) for a in (pos, length))
    if unit == "UTF8_CHAR":
        values = [
            v.decode("utf-8")[p : (p + n if p >= 0 or p + n < 0 else None)].encode("utf-8")
            for v, p, n in zip(
                StringArray(x.data, starts, ends).numpy().ravel().tolist(),
                pos.ravel().tolist(),
                length.ravel().tolist(),
                strict=True,
            )
        ]
        return StringArray.from_values(values).reshape(shape)
    size = ends - starts
    at = np.where(pos < 0, pos + size, pos)
    bad = (at < 0) | (at > size)
    if bad.any():
        k = int(np.flatnonzero(bad.ravel())[0])
        raise InvalidArgumentError(
            f"pos {int(pos.ravel()[k])} out of range for string of length "
            f"{int(size.ravel()[k])} at element {k} "
            f"[Op:Substr]",
            op="Substr",
        )
    return StringArray(x.data, starts + at, starts + np.minimum(at + length, size))


Substr = Primitive(
    "Substr",
    "input: string, pos: T, len: T",
    impl=_substr_impl,
    shape=lambda x, pos, length, *, unit: TensorSpec(
        broadcast(broadcast(x.shape, pos.shape, "Substr"), length.shape, "Substr"),
        dtypes.string,
    ),
    batch=batch_rules.elementwise,
)


# -- maps of Arrow functions ------------------------------------------------------------------


def _arrow_map(
    raw_name: str, kernel: Callable[[StringArray, dict[str, Any]], Any]
) -> Primitive:
    return Primitive(
        raw_name,
        "input: string",
        impl=lambda x, **attrs: _strings(kernel(x, attrs), x.shape),
        shape=same,
        batch=batch_rules.unary,
    )


StringLower = _arrow_map(
    "StringLower",
    lambda x, a: _arrow("utf8_lower" if a["encoding"] else "ascii_lower", x, text=True),
)
StringUpper = _arrow_map(
    "StringUpper",
    lambda x, a: _arrow("utf8_upper" if a["encoding"] else "ascii_upper", x, text=True),
)
StringStrip = _arrow_map(
    "StringStrip", lambda x, a: _arrow("ascii_trim_whitespace", x, text=True)
)
RegexReplace = _arrow_map(
    "StaticRegexReplace",
    lambda x, a: _arrow(
        "replace_substring_regex",
        x,
        text=True,  # characters match, not bytes, as in TensorFlow
        pattern=a["pattern"],
        replacement=a["rewrite"],
        max_replacements=None if a["replace_global"] else 1,
    ),
)


def string_lower(input: Any, encoding: str = "", name: str | None = None) -> Tensor:
    """Strings in lower case; ASCII unless ``encoding="utf-8"``."""
    return StringLower(input, encoding=encoding)


def string_upper(input: Any, encoding: str = "", name: str | None = None) -> Tensor:
    """Strings in upper case; ASCII unless ``encoding="utf-8"``."""
    return StringUpper(input, encoding=encoding)


def string_strip(input: Any, name: str | None = None) -> Tensor:
    """Strings without white space at both ends."""
    return StringStrip(input)


def regex_replace(
    input: Any, pattern: str, rewrite: str, replace_global: bool = True, name: str | None = None
) -> Tensor:
    r"""Strings with matches of the RE2 `pattern` replaced by `rewrite` (``\1`` is a group).

    Raises:
        InvalidArgumentError: the pattern is not valid.
    """
    return RegexReplace(
        input,
        pattern=_text(pattern),
        rewrite=_text(rewrite),
        replace_global=bool(replace_global),
    )


def regex_full_match(input: Any, pattern: str, name: str | None = None) -> Tensor:
    """bool: whether each whole string matches the RE2 `pattern`."""
    return RegexFullMatch(input, pattern=_text(pattern))


RegexFullMatch = Primitive(
    "StaticRegexFullMatch",
    "input: string",
    impl=lambda x, *, pattern: (
        _arrow("match_substring_regex", x, text=True, pattern=f"^(?:{pattern})$")
        .to_numpy(zero_copy_only=False)
        .astype(bool)
        .reshape(x.shape)
    ),
    shape=to_dtype(dtypes.bool),
    batch=batch_rules.unary,
)


def _text(pattern: Any) -> str:
    if isinstance(pattern, bytes):
        return pattern.decode("utf-8")
    if isinstance(pattern, Tensor):
        return pattern.numpy().decode("utf-8")
    return pattern


# -- join -------------------------------------------------------------------------------------


def string_join(inputs: Any, separator: str = "", name: str | None = None) -> Tensor:
    """The strings of several tensors joined elementwise; scalars broadcast."""
    return StringJoin(list(inputs), separator=separator)


def _join_impl(*arrays: StringArray, separator: str) -> StringArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    shape = next((a.shape for a in arrays if a.ndim), ())
    if any(a.ndim and a.shape != shape for a in arrays):
        raise InvalidArgumentError(
            "StringJoin: Expected the same shape for all inputs, got "
            f"{[list(a.shape) for a in arrays]} [Op:StringJoin]",
            op="StringJoin",
        )
    parts = [a.map_offsets(lambda o: np.broadcast_to(o, shape)).to_arrow() for a in arrays]
    sep = pa.scalar(separator.encode("utf-8"), pa.large_binary())
    return _strings(pc.binary_join_element_wise(*parts, sep), shape)


def _join_shape(*tensors: Any, separator: str) -> TensorSpec:
    return TensorSpec(
        next((t.shape for t in tensors if t.shape.rank != 0), tensors[0].shape), dtypes.string
    )


def _join_batch(ctx: Any, *tensors: Any, separator: str) -> Any:
    ranks = [s.rank for s in ctx.element_shapes]
    if max(ranks) > 0:
        # A scalar element beside a larger one would need spreading along the element's axes.
        if any(r == 0 and b for r, b in zip(ranks, ctx.batched, strict=True)):
            raise batch_rules.UnimplementedError(
                "primitive StringJoin: scalar and non-scalar elements", op="StringJoin"
            )
        tensors = tuple(
            t if b or r == 0 else batch_rules.all_batched(ctx, tensors)[i]
            for i, (t, b, r) in enumerate(zip(tensors, ctx.batched, ranks, strict=True))
        )
    return StringJoin.call_flat(tuple(tensors), {"separator": separator})


StringJoin = Primitive(
    "StringJoin", "inputs: N * string", impl=_join_impl, shape=_join_shape, batch=_join_batch
)


# -- split ------------------------------------------------------------------------------------


def string_split(
    input: Any, sep: str | None = None, maxsplit: int = -1, name: str | None = None
) -> Any:
    """The parts of each string between separators.

    Args:
        input: strings, scalar or vector (or ragged).
        sep: separator; None means runs of white space, with no empty parts.
        maxsplit: splits at most; -1 for all.

    Returns:
        For a scalar a vector, else a `RaggedTensor` with one more axis.
    """
    if isinstance(input, RaggedTensor):
        return input.with_values(string_split(input.values, sep, maxsplit))
    x = to_tensor(input, None)
    separator = "" if sep is None else _text(sep)
    values, splits = StringSplit(reshape(x, [-1]), sep=separator, maxsplit=maxsplit)
    if x.shape.rank == 0:
        return values
    ragged = RaggedTensor.from_row_splits(values, splits, validate=False)
    if x.shape.rank == 1:
        return ragged
    if x.shape.rank == 2 and x.shape[1] is not None:
        return RaggedTensor.from_uniform_row_length(ragged, x.shape[1])
    raise ValueError(f"strings.split takes strings of rank 0, 1 or 2, got shape {x.shape}")


def _split_impl(x: StringArray, *, sep: str, maxsplit: int) -> tuple[StringArray, np.ndarray]:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = x.to_arrow()
    limit = None if maxsplit < 0 else maxsplit
    if sep:
        parts = pc.split_pattern(array, pattern=sep, max_splits=limit)
    else:
        parts = pc.ascii_split_whitespace(array.view(pa.large_string()), max_splits=limit)
    values = StringArray.from_arrow(parts.values)
    splits = parts.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    if not sep:
        # Leading and trailing white space gives empty parts in Arrow and none here.
        keep = values.lengths > 0
        if not keep.all():
            before = np.concatenate([[0], np.cumsum(keep)])
            values, splits = values[keep], before[splits]
    return values, splits


def _split_shape(x: Any, *, sep: str, maxsplit: int) -> tuple[TensorSpec, TensorSpec]:
    n = x.shape[0]
    return TensorSpec([None], dtypes.string), TensorSpec(
        [None if n is None else n + 1], dtypes.int64
    )


StringSplit = Primitive(
    "_StringSplitRows", "input: string", impl=_split_impl, shape=_split_shape
)


# -- numbers ----------------------------------------------------------------------------------


def string_to_number(
    input: Any, out_type: Any = dtypes.float32, name: str | None = None
) -> Tensor:
    """The number each string spells.

    Raises:
        InvalidArgumentError: a string spells none; the message shows it.
    """
    return StringToNumber(input, out_type=as_dtype(out_type))


def _to_number_impl(x: StringArray, *, out_type: DType) -> np.ndarray:
    import pyarrow as pa

    text = _arrow("ascii_trim_whitespace", x, text=True)
    try:
        found = text.cast(pa.from_numpy_dtype(out_type.np_dtype))
        return found.to_numpy(zero_copy_only=False).reshape(x.shape)
    except pa.ArrowInvalid:
        out = np.empty(x.size, out_type.np_dtype)
        for i, v in enumerate(x.numpy().ravel().tolist()):
            try:
                out[i] = int(v) if out_type.is_integer else float(v.replace(b"_", b"?"))
            except (ValueError, OverflowError):
                raise InvalidArgumentError(
                    "StringToNumberOp could not correctly convert string: "
                    f"{v.decode('utf-8', 'replace')} "
                    f"(element {i}) [Op:StringToNumber]",
                    op="StringToNumber",
                ) from None
        return out.reshape(x.shape)


StringToNumber = Primitive(
    "StringToNumber",
    "string_tensor: string",
    impl=_to_number_impl,
    shape=lambda x, *, out_type: TensorSpec(x.shape, out_type),
    batch=batch_rules.unary,
)


def as_string(
    input: Any,
    precision: int = -1,
    scientific: bool = False,
    shortest: bool = False,
    width: int = -1,
    fill: str = "",
    name: str | None = None,
) -> Tensor:
    """Numbers and booleans as strings, formatted as C's printf would."""
    return AsString(
        input,
        precision=precision,
        scientific=scientific,
        shortest=shortest,
        width=width,
        fill=fill,
    )


def _as_string_impl(
    x: Any, *, precision: int, scientific: bool, shortest: bool, width: int, fill: str
) -> StringArray:
    if isinstance(x, StringArray):
        return x
    kind = x.dtype.kind
    flags = fill if fill in ("-", "+", " ", "0") else ""
    size = str(width) if width >= 0 else ""
    if kind == "b":
        values = ["true" if v else "false" for v in x.ravel().tolist()]
        values = [v.rjust(width) if width > 0 else v for v in values]
    elif kind in "iu":
        values = [f"%{flags}{size}d" % v for v in x.ravel().tolist()]
    else:
        point = f".{precision}" if precision >= 0 else ""
        letter = "e" if scientific else ("g" if shortest else "f")
        values = [
            f"%{flags}{size}{point}{letter}" % v for v in x.astype(np.float64).ravel().tolist()
        ]
    return StringArray.from_values(np.array(values, object)).reshape(x.shape)


AsString = Primitive(
    "AsString",
    "input: T",
    impl=_as_string_impl,
    shape=to_dtype(dtypes.string),
    batch=batch_rules.unary,
)
