"""bytes_split, ngrams, joins, format and the Unicode functions against TensorFlow."""

import numpy as np
import pytest
from harness import same

import headrace as hr

WORDS = [["ab", "c", "", "d"], ["é", "xyz", "q", ""]]
RAGGED = [["a", "b", "c", "d"], [], ["e"], ["f", "g"]]
RAW = [b"h\xc3\xa9llo", b"", b"a\x01b", "\U0001f600x\u4e2d".encode(), b"plain"]
BAD = [b"a\xff\xffb", b"\xe4\xb8", b"\xf0\x9f\x98x", b"\xed\xa0\x80", b"\xc0\x80z", b"ok"]


def _agree(tf, fn):
    ours, theirs = fn(hr), fn(tf)
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
    for got, want in pairs:
        if hasattr(want, "to_list"):
            assert got.to_list() == want.to_list()
            assert got.dtype.name == want.dtype.name
        else:
            same(got.numpy(), want.numpy())


@pytest.mark.parametrize("value", ["abc", ["ab", "", "é"], WORDS])
def test_bytes_split_is_tensorflows(tf, value):
    _agree(tf, lambda lib: lib.strings.bytes_split(value))
    _agree(tf, lambda lib: lib.strings.bytes_split(lib.ragged.constant(RAGGED)))


@pytest.mark.parametrize("width", [1, 2, 3, [1, 3], [4, 2]])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"separator": ""},
        {"pad_values": "P"},
        {"pad_values": ("L", "RR"), "separator": "--"},
        {"pad_values": "P", "padding_width": 1},
        {"pad_values": "P", "padding_width": 1, "preserve_short_sequences": True},
        {"preserve_short_sequences": True},
    ],
)
def test_ngrams_are_tensorflows(tf, width, more):
    _agree(tf, lambda lib: lib.strings.ngrams(lib.ragged.constant(RAGGED), width, **more))
    _agree(tf, lambda lib: lib.strings.ngrams(WORDS, width, **more))
    _agree(tf, lambda lib: lib.strings.ngrams(["a", "b", "c"], width, **more))


def test_ngrams_errors():
    with pytest.raises(ValueError, match="ngram_width"):
        hr.strings.ngrams(["a"], 0)
    with pytest.raises(ValueError, match="pad_values must be provided"):
        hr.strings.ngrams(["a"], 2, padding_width=1)
    with pytest.raises(TypeError, match="strings"):
        hr.strings.ngrams([1], 2)


@pytest.mark.parametrize("axis", [None, 0, 1, -1, [0, 1], [1, 0], []])
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("separator", ["", "-="])
def test_reduce_join_is_tensorflows(tf, axis, keepdims, separator):
    more = {"axis": axis, "keepdims": keepdims, "separator": separator}
    _agree(tf, lambda lib: lib.strings.reduce_join(WORDS, **more))


def test_reduce_join_of_other_shapes(tf):
    cube = np.arange(24).reshape(2, 3, 4).astype(str).astype(object)
    for axis in ([0, 2], [2, 0], 1, None):
        _agree(tf, lambda lib, axis=axis: lib.strings.reduce_join(cube, axis, separator=","))
    empty = np.zeros((2, 0), object)
    for axis in (0, 1):
        _agree(
            tf,
            lambda lib, axis=axis: lib.strings.reduce_join(
                lib.constant(empty, lib.string), axis
            ),
        )
    _agree(
        tf, lambda lib: lib.strings.reduce_join(lib.ragged.constant(RAGGED), 1, separator="-")
    )
    _agree(tf, lambda lib: lib.strings.reduce_join("x"))


def test_unsorted_segment_join_is_tensorflows(tf):
    for ids, num in (([1, 0], 3), ([0, 0], 1), ([1, 1], 2)):
        _agree(
            tf,
            lambda lib, ids=ids, num=num: lib.strings.unsorted_segment_join(
                WORDS, ids, num, ":"
            ),
        )
    _agree(
        tf,
        lambda lib: lib.strings.unsorted_segment_join(WORDS, [[0, 1, 0, 2], [2, 1, 1, 0]], 3),
    )
    with pytest.raises(hr.errors.InvalidArgumentError, match="num_segments"):
        hr.strings.unsorted_segment_join(["a"], [3], 2)


def test_format_is_tensorflows(tf):
    def both(lib):
        shown = lib.strings.format
        return (
            shown("x: {}, y: {}!", (lib.constant([1, 2, 3]), lib.constant(2.5))),
            shown("{}", lib.constant(np.arange(20).reshape(10, 2))),
            shown("%s", lib.constant(["a", "b"]), placeholder="%s"),
            shown("{}", lib.range(10), summarize=-1),
        )

    _agree(tf, both)
    with pytest.raises(ValueError, match="template expects 2"):
        hr.strings.format("{} {}", hr.constant(1))


def test_raw_forms_are_tensorflows(tf):
    _agree(
        tf,
        lambda lib: lib.raw_ops.RegexReplace(
            input=["abcb", "x"], pattern="b", rewrite="_", replace_global=False
        ),
    )
    _agree(tf, lambda lib: lib.raw_ops.RegexFullMatch(input=["ab", "b"], pattern="a."))
    for sep in ("", " ", "b"):
        _agree(
            tf,
            lambda lib, sep=sep: tuple(
                lib.raw_ops.StringSplitV2(input=["a b  c", "", "bb"], sep=sep)
            ),
        )


# -- Unicode ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strings", [RAW, BAD])
@pytest.mark.parametrize("errors", ["replace", "ignore"])
@pytest.mark.parametrize("control", [True, False])
def test_decoding_is_tensorflows(tf, strings, errors, control):
    more = {"errors": errors, "replacement_char": 63}
    _agree(
        tf,
        lambda lib: lib.strings.unicode_decode_with_offsets(
            strings, "UTF-8", replace_control_characters=control, **more
        ),
    )
    _agree(tf, lambda lib: lib.strings.unicode_split_with_offsets(strings, "UTF-8", **more))
    for target in ("UTF-8", "UTF-16-BE", "UTF-32-BE"):
        _agree(
            tf,
            lambda lib, target=target: lib.strings.unicode_transcode(
                strings, "UTF-8", target, replace_control_characters=control, **more
            ),
        )


@pytest.mark.parametrize("encoding", ["UTF-16-BE", "UTF-32-BE", "latin-1", "US-ASCII"])
def test_other_encodings_are_tensorflows(tf, encoding):
    text = ["hello", "", "x"] if "UTF" not in encoding else ["h\xe9", "\U0001f600", ""]
    strings = [t.encode(encoding) for t in text]
    _agree(tf, lambda lib: lib.strings.unicode_decode_with_offsets(strings, encoding))
    _agree(tf, lambda lib: lib.strings.unicode_transcode(strings, encoding, "UTF-8"))


@pytest.mark.parametrize("shape", ["scalar", "matrix", "ragged"])
def test_shapes_of_decoded_strings(tf, shape):
    def value(lib):
        if shape == "ragged":
            return lib.ragged.constant([["é", "ab"], [], ["中"]])
        return "héy" if shape == "scalar" else WORDS

    _agree(tf, lambda lib: lib.strings.unicode_decode(value(lib), "UTF-8"))
    _agree(tf, lambda lib: lib.strings.unicode_split(value(lib), "UTF-8"))


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16-BE", "UTF-32-BE"])
@pytest.mark.parametrize("errors", ["replace", "ignore"])
def test_encoding_is_tensorflows(tf, encoding, errors):
    codes = [[104, 233, 0x4E2D, 0x1F600], [65, 0xD800, 0x110000, 0xFFFE]]
    _agree(tf, lambda lib: lib.strings.unicode_encode(codes, encoding, errors))
    _agree(tf, lambda lib: lib.strings.unicode_encode(codes[0], encoding, errors))
    _agree(
        tf,
        lambda lib: lib.strings.unicode_encode(
            lib.ragged.constant([[[104], []], [[233, 66]]]), encoding, errors
        ),
    )
    with pytest.raises(hr.errors.InvalidArgumentError, match="out of range"):
        hr.strings.unicode_encode(codes, encoding, "strict")


def test_decoding_and_encoding_random_text_is_the_identity():
    rng = np.random.default_rng(0)
    pool = np.concatenate([np.arange(1, 0xD800), np.arange(0xE000, 0xFDD0)])
    wide = np.arange(0x10000, 0x1FFFE)
    text = [
        "".join(chr(c) for c in rng.choice(wide if k % 5 == 0 else pool, rng.integers(0, 9)))
        for k in range(200)
    ]
    codes = hr.strings.unicode_decode(text, "UTF-8")
    assert codes.to_list() == [[ord(c) for c in t] for t in text]
    again = hr.strings.unicode_encode(codes, "UTF-8").numpy()
    assert again.tolist() == [t.encode() for t in text]


def test_strict_errors_and_unknown_encodings():
    with pytest.raises(hr.errors.InvalidArgumentError, match="Invalid formatting"):
        hr.strings.unicode_decode(BAD, "UTF-8", errors="strict")
    with pytest.raises(hr.errors.InvalidArgumentError, match="input encoding"):
        hr.strings.unicode_decode(RAW, "no-such")
    with pytest.raises(hr.errors.InvalidArgumentError, match="errors must be"):
        hr.strings.unicode_decode(RAW, "UTF-8", errors="never")


def test_scripts_are_tensorflows(tf):
    codes = np.concatenate([np.arange(0, 0x30000), [0x110000, -1, 0xE0100, 0x10FFFF]])
    _agree(tf, lambda lib: lib.strings.unicode_script(codes.astype(np.int32)))


def test_in_a_traced_function():
    @hr.function(input_signature=[hr.TensorSpec([None], hr.string)])
    def words(x):
        grams = hr.strings.ngrams(hr.strings.split(x), 2)
        return hr.strings.unicode_decode(x, "UTF-8"), grams

    codes, grams = words(["a b c", "é"])
    assert codes.to_list() == [[97, 32, 98, 32, 99], [233]]
    assert grams.to_list() == [[b"a b", b"b c"], []]
