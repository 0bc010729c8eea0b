"""Unicode: strings to code points and back, between encodings, cut into characters.

Well-formed UTF-8 is decoded and encoded for all strings of a batch at once with NumPy; anything
else goes string by string through Python's codecs.  Where bytes are malformed, each maximal
part that could have begun a character counts as one, as the Unicode standard recommends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .convert import to_tensor
from .dtypes import DType
from .errors import InvalidArgumentError
from .primitive import Primitive
from .ragged_tensor import RaggedTensor
from .shape_rules import same
from .string_array import StringArray
from .string_more import _splits_and
from .string_pieces import ragged_strings, runs
from .tensor import Tensor
from .tensor_spec import TensorSpec
from .unicode_scripts import script_of

__all__ = [
    "unicode_decode", "unicode_decode_with_offsets", "unicode_encode", "unicode_script",
    "unicode_split", "unicode_split_with_offsets", "unicode_transcode",
]  # fmt: skip

_OUTPUTS = {"UTF-8": "utf-8", "UTF-16-BE": "utf-16-be", "UTF-32-BE": "utf-32-be"}
_Codes = tuple[np.ndarray, np.ndarray, np.ndarray]  # code points, row lengths, byte starts


# -- decoding ---------------------------------------------------------------------------------

_SIZE = np.zeros(256, np.int8)  # bytes that a lead byte announces; 0 for others
_SIZE[:0x80], _SIZE[0xC2:0xE0], _SIZE[0xE0:0xF0], _SIZE[0xF0:0xF5] = 1, 2, 3, 4
_LEAD_BITS = np.array([0, 0x7F, 0x1F, 0x0F, 0x07], np.int32)
_LEAST = np.array([0, 0, 0x80, 0x800, 0x10000], np.int32)


def _decode_utf8(x: StringArray) -> _Codes | None:
    """Code points of well-formed UTF-8; None if any string is not."""
    x = x.ravel().compact()
    data, lengths = x.data, x.lengths
    if not data.size:
        return np.empty(0, np.int32), np.zeros(x.size, np.int64), np.empty(0, np.int64)
    if not (data & 0x80).any():
        return data.astype(np.int32), lengths, runs(lengths)
    size = _SIZE[data]
    at = np.flatnonzero((data & 0xC0) != 0x80)
    widths = size[at].astype(np.int64)
    # Characters tile the buffer, and strings begin where characters do.
    whole = len(at) and at[0] == 0 and (widths > 0).all()
    if not whole or not np.array_equal(np.cumsum(widths), np.append(at[1:], data.size)):
        return None
    begins = np.append((data & 0xC0) != 0x80, True)
    if not begins[x.starts].all():
        return None
    codes = data[at].astype(np.int32) & _LEAD_BITS[widths]
    for k in (1, 2, 3):
        more = np.flatnonzero(widths > k)
        if not len(more):
            break
        codes[more] = (codes[more] << 6) | (data[at[more] + k] & 0x3F)
    surrogate = (codes >= 0xD800) & (codes < 0xE000)
    if (codes < _LEAST[widths]).any() or surrogate.any() or codes.max() > 0x10FFFF:
        return None
    before = np.concatenate([[0], np.cumsum(begins[:-1])])
    counts = before[x.ends] - before[x.starts]
    return codes, counts, at - np.repeat(x.starts, counts)


def _codec(name: str, op: str) -> str:
    found = _OUTPUTS.get(name.upper())
    if found is None:
        import codecs

        try:
            found = codecs.lookup(name).name
        except LookupError:
            raise InvalidArgumentError(
                f"Could not create converter for input encoding: {name} [Op:{op}]", op=op
            ) from None
    return found


def _decode_slowly(
    x: StringArray, codec: str, errors: str, replacement: int, op: str
) -> _Codes:
    codes: list[int] = []
    starts: list[int] = []
    counts = np.zeros(x.size, np.int64)
    for i, raw in enumerate(x.numpy().reshape(-1).tolist()):
        before, at = len(codes), 0
        while at < len(raw):
            try:
                text, end, bad = raw[at:].decode(codec), len(raw), 0
            except UnicodeDecodeError as e:
                text, end, bad = (
                    raw[at : at + e.start].decode(codec),
                    at + e.start,
                    e.end - e.start,
                )
            for c in text:
                codes.append(ord(c))
                starts.append(at)
                at += len(c.encode(codec))
            at = end
            if bad:
                if errors == "strict":
                    raise InvalidArgumentError(
                        f"Invalid formatting on input string: element {i} at byte {at} "
                        f"[Op:{op}]",
                        op=op,
                    )
                if errors == "replace":
                    codes.append(replacement)
                    starts.append(at)
                at += bad
        counts[i] = len(codes) - before
    return np.array(codes, np.int32), counts, np.array(starts, np.int64)


def _decode(
    x: StringArray, encoding: str, errors: str, replacement: int, control: bool, op: str
) -> _Codes:
    codec = _codec(encoding, op)
    found = _decode_utf8(x) if codec == "utf-8" else None
    if found is None:
        found = _decode_slowly(x, codec, errors, replacement, op)
    codes, counts, starts = found
    if control and len(codes):
        low = codes <= 0x1F
        if errors == "strict" and low.any():
            raise InvalidArgumentError(f"Invalid formatting on input string [Op:{op}]", op=op)
        if errors == "ignore":
            rows = np.repeat(np.arange(len(counts)), counts)[~low]
            codes, starts = codes[~low], starts[~low]
            counts = np.bincount(rows, minlength=len(counts))
        else:
            codes = np.where(low, np.int32(replacement), codes)
    return codes, counts, starts


# -- encoding ---------------------------------------------------------------------------------


def _valid(codes: np.ndarray) -> np.ndarray:
    """Which numbers are code points and no surrogates."""
    surrogate = (codes >= 0xD800) & (codes < 0xE000)
    return (codes >= 0) & (codes <= 0x10FFFF) & ~surrogate


def _encode(
    codes: np.ndarray, counts: np.ndarray, encoding: str, errors: str, replacement: int, op: str
) -> StringArray:
    """Strings of `counts` code points each."""
    good = _valid(codes)
    if not good.all():
        if errors == "strict":
            raise InvalidArgumentError(
                f"Code point is out of range for Unicode, or a surrogate: "
                f"{int(codes[~good][0])} [Op:{op}]",
                op=op,
            )
        if errors == "ignore":
            rows = np.repeat(np.arange(len(counts)), counts)[good]
            codes, counts = codes[good], np.bincount(rows, minlength=len(counts))
        else:
            codes = np.where(good, codes, np.int32(replacement))
    data, widths = _encoded(codes, encoding, op)
    ends = np.concatenate([[0], np.cumsum(widths)])[np.cumsum(counts, dtype=np.int64)]
    starts = np.concatenate([[0], ends[:-1]])[: len(ends)]
    return StringArray(data, starts.astype(np.int64), ends.astype(np.int64))


def _encoded(codes: np.ndarray, encoding: str, op: str) -> tuple[np.ndarray, np.ndarray]:
    """All code points behind each other, and the bytes of each."""
    name = encoding.upper()
    if name == "UTF-32-BE":
        return codes.astype(">u4").view(np.uint8), np.full(len(codes), 4)
    if name == "UTF-16-BE":
        wide = codes > 0xFFFF
        units = np.empty(int(len(codes) + wide.sum()), ">u2")
        first = np.arange(len(codes)) + np.cumsum(wide) - wide
        above = codes[wide] - 0x10000
        units[first] = np.where(wide, 0, codes)
        units[first[wide]] = 0xD800 + (above >> 10)
        units[first[wide] + 1] = 0xDC00 + (above & 0x3FF)
        return units.view(np.uint8), np.where(wide, 4, 2)
    if name != "UTF-8":
        raise InvalidArgumentError(
            f"output_encoding must be one of UTF-8, UTF-16-BE or UTF-32-BE, got {encoding} "
            f"[Op:{op}]",
            op=op,
        )
    widths = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    first = np.cumsum(widths) - widths
    data = np.empty(int(widths.sum()), np.uint8)
    lead = np.array([0, 0, 0xC0, 0xE0, 0xF0])[widths]
    data[first] = lead | (codes >> (6 * (widths - 1)))
    for k in (1, 2, 3):
        more = np.flatnonzero(widths > k)
        shift = 6 * (widths[more] - 1 - k)
        data[first[more] + k] = 0x80 | ((codes[more] >> shift) & 0x3F)
    return data, widths


# -- primitives -------------------------------------------------------------------------------


def _check_attrs(errors: str, replacement: int, op: str) -> None:
    if errors not in ("strict", "replace", "ignore"):
        raise InvalidArgumentError(
            f"errors must be 'strict', 'replace' or 'ignore', got {errors!r} [Op:{op}]", op=op
        )
    if not 0 <= replacement <= 0x10FFFF:
        raise InvalidArgumentError(
            f"replacement_char out of unicode codepoint range, got {replacement} [Op:{op}]",
            op=op,
        )


def _decode_impl(
    x: StringArray, *, input_encoding: str, errors: str, replacement_char: int,
    replace_control_characters: bool, Tsplits: DType,
) -> Any:  # fmt: skip
    _check_attrs(errors, replacement_char, "UnicodeDecode")
    codes, counts, starts = _decode(
        x, input_encoding, errors, replacement_char, replace_control_characters,
        "UnicodeDecode",
    )  # fmt: skip
    splits = np.concatenate([[0], np.cumsum(counts)]).astype(Tsplits.np_dtype)
    return splits, codes.astype(np.int32), starts.astype(np.int64)


_DECODING = {
    "errors": "replace", "replacement_char": 65533, "replace_control_characters": False,
    "Tsplits": dtypes.int64,
}  # fmt: skip

UnicodeDecode = Primitive(
    "UnicodeDecode",
    "input: string",
    impl=lambda x, **attrs: _decode_impl(x, **attrs)[:2],
    shape=_splits_and(dtypes.int32),
    defaults=_DECODING,
)
UnicodeDecodeWithOffsets = Primitive(
    "UnicodeDecodeWithOffsets",
    "input: string",
    impl=_decode_impl,
    shape=_splits_and(dtypes.int32, dtypes.int64),
    defaults=_DECODING,
)


def _chars_impl(
    x: StringArray, *, input_encoding: str, errors: str, replacement_char: int
) -> Any:
    """Characters as strings, cut from the input's own bytes where they are UTF-8."""
    _check_attrs(errors, replacement_char, "UnicodeSplit")
    found = _decode_utf8(x) if input_encoding.upper() == "UTF-8" else None
    if found is not None:
        codes, counts, starts = found
        first = np.repeat(x.starts.ravel(), counts) + starts
        widths = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
        chars = StringArray(x.data, first, first + widths)
    else:
        codes, counts, starts = _decode(
            x, input_encoding, errors, replacement_char, False, "UnicodeSplit"
        )
        chars = _encode(
            codes, np.ones(len(codes), np.int64), input_encoding, errors, replacement_char,
            "UnicodeSplit",
        )  # fmt: skip
    splits = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return splits, chars, starts.astype(np.int64)


_UnicodeSplit = Primitive(
    "_UnicodeSplit",
    "input: string",
    impl=_chars_impl,
    shape=_splits_and(dtypes.string, dtypes.int64),
)


def _encode_impl(
    values: Any, splits: Any, *, output_encoding: str, errors: str, replacement_char: int
) -> StringArray:
    _check_attrs(errors, replacement_char, "UnicodeEncode")
    counts = np.diff(splits).astype(np.int64)
    if not len(splits) or splits[0] != 0 or splits[-1] != len(values) or (counts < 0).any():
        raise InvalidArgumentError(
            f"input_splits must rise from 0 to {len(values)}, got {splits.tolist()} "
            "[Op:UnicodeEncode]",
            op="UnicodeEncode",
        )
    return _encode(values, counts, output_encoding, errors, replacement_char, "UnicodeEncode")


def _encode_shape(values: Any, splits: Any, **_: Any) -> TensorSpec:
    n = splits.shape[0] if splits.shape.rank == 1 else None
    return TensorSpec([None if n is None else n - 1], dtypes.string)


UnicodeEncode = Primitive(
    "UnicodeEncode",
    "input_values: int32, input_splits: Tsplits",
    impl=_encode_impl,
    shape=_encode_shape,
    defaults={"errors": "replace", "replacement_char": 65533},
)


def _transcode_impl(
    x: StringArray, *, input_encoding: str, output_encoding: str, errors: str,
    replacement_char: int, replace_control_characters: bool,
) -> StringArray:  # fmt: skip
    name = "UnicodeTranscode"
    _check_attrs(errors, replacement_char, name)
    codes, counts, _ = _decode(
        x, input_encoding, errors, replacement_char, replace_control_characters, name
    )
    data, widths = _encoded(codes, output_encoding, name)
    ends = np.concatenate([[0], np.cumsum(widths)])[np.cumsum(counts, dtype=np.int64)]
    starts = np.concatenate([[0], ends[:-1]])[: len(ends)]
    return StringArray(data, starts.astype(np.int64), ends.astype(np.int64)).reshape(x.shape)


UnicodeTranscode = Primitive(
    "UnicodeTranscode",
    "input: string",
    impl=_transcode_impl,
    shape=same,
    batch=batch_rules.unary,
    defaults={
        "errors": "replace", "replacement_char": 65533, "replace_control_characters": False,
    },
)  # fmt: skip

UnicodeScript = Primitive(
    "UnicodeScript",
    "input: int32",
    impl=script_of,
    shape=same,
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
)


# -- public -----------------------------------------------------------------------------------


def unicode_decode(
    input: Any, input_encoding: str, errors: str = "replace", replacement_char: int = 65533,
    replace_control_characters: bool = False, name: str | None = None,
) -> Any:  # fmt: skip
    """The code points (int32) of each string: one ragged axis more; a vector for a scalar.

    Args:
        input: strings, plain or ragged.
        input_encoding: ``"UTF-8"``, ``"UTF-16-BE"``, ``"UTF-32-BE"``, or another that Python
            knows.
        errors: what malformed bytes do: ``"replace"`` puts `replacement_char`, ``"ignore"``
            nothing, ``"strict"`` raises.
        replacement_char: a code point.
        replace_control_characters: whether U+0000 to U+001F count as malformed.
        name: ignored.

    Raises:
        InvalidArgumentError: malformed bytes with ``"strict"``, an unknown encoding.

    >>> unicode_decode("hé", "UTF-8").numpy().tolist()
    [104, 233]
    """
    return _decoded(
        input, input_encoding, errors, replacement_char, replace_control_characters
    )[0]


def unicode_decode_with_offsets(
    input: Any, input_encoding: str, errors: str = "replace", replacement_char: int = 65533,
    replace_control_characters: bool = False, name: str | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """`unicode_decode`, and the byte (int64) at which each character starts in its string."""
    return _decoded(input, input_encoding, errors, replacement_char, replace_control_characters)


def _decoded(input: Any, encoding: str, errors: str, replacement: int, control: bool) -> Any:
    def split(x: Any) -> Any:
        return UnicodeDecodeWithOffsets(
            x, input_encoding=encoding, errors=errors, replacement_char=int(replacement),
            replace_control_characters=bool(control), Tsplits=dtypes.int64,
        )  # fmt: skip

    return ragged_strings(input, split)


def unicode_split(
    input: Any, input_encoding: str, errors: str = "replace", replacement_char: int = 65533,
    name: str | None = None,
) -> Any:  # fmt: skip
    """The characters of each string as strings: one ragged axis more; see `unicode_decode`."""
    return unicode_split_with_offsets(input, input_encoding, errors, replacement_char)[0]


def unicode_split_with_offsets(
    input: Any, input_encoding: str, errors: str = "replace", replacement_char: int = 65533,
    name: str | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """`unicode_split`, and the byte (int64) at which each character starts in its string."""

    def split(x: Any) -> Any:
        return _UnicodeSplit(
            x, input_encoding=input_encoding, errors=errors,
            replacement_char=int(replacement_char),
        )  # fmt: skip

    return ragged_strings(input, split)


def unicode_encode(
    input: Any, output_encoding: str, errors: str = "replace", replacement_char: int = 65533,
    name: str | None = None,
) -> Any:  # fmt: skip
    """Strings of the code points along the last axis.

    Args:
        input: int32, plain or ragged, of at least one axis.
        output_encoding: ``"UTF-8"``, ``"UTF-16-BE"`` or ``"UTF-32-BE"``.
        errors, replacement_char: what is done about numbers that are no characters.
        name: ignored.

    >>> unicode_encode([104, 233], "UTF-8").numpy().decode()
    'hé'
    """
    if isinstance(input, RaggedTensor):
        if isinstance(input.values, RaggedTensor) or input.values.shape.rank > 1:
            inner = unicode_encode(input.values, output_encoding, errors, replacement_char)
            return input.with_values(inner)
        return UnicodeEncode(
            input.values, input.row_splits, output_encoding=output_encoding, errors=errors,
            replacement_char=int(replacement_char),
        )  # fmt: skip
    x = to_tensor(input, None)
    rank = x.shape.rank
    if not rank:
        raise ValueError(f"input_tensor must have a rank of at least 1, got shape {x.shape}")
    return _EncodeRows(
        x, output_encoding=output_encoding, errors=errors,
        replacement_char=int(replacement_char),
    )  # fmt: skip


def _encode_rows_impl(x: Any, **attrs: Any) -> StringArray:
    rows = int(np.prod(x.shape[:-1], dtype=np.int64))
    splits = np.arange(rows + 1) * x.shape[-1]
    return _encode_impl(x.reshape(-1), splits, **attrs).reshape(x.shape[:-1])


_EncodeRows = Primitive(
    "_UnicodeEncodeRows",
    "input: int32",
    impl=_encode_rows_impl,
    shape=lambda x, **_: TensorSpec(x.shape[:-1], dtypes.string),
    batch=batch_rules.unary,
)


def unicode_transcode(
    input: Any, input_encoding: str, output_encoding: str, errors: str = "replace",
    replacement_char: int = 65533, replace_control_characters: bool = False,
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """Strings from one encoding in another; see `unicode_decode` and `unicode_encode`."""
    return UnicodeTranscode(
        input, input_encoding=input_encoding, output_encoding=output_encoding, errors=errors,
        replacement_char=int(replacement_char),
        replace_control_characters=bool(replace_control_characters),
    )  # fmt: skip


def unicode_script(input: Any, name: str | None = None) -> Tensor:
    """The script of each code point, as ICU numbers them (25 is Latin, 0 Common, 1 Inherited,
    103 Unknown); -1 for what is no code point."""
    return UnicodeScript(input)
