"""Strings and decode_raw: TensorFlow's results, eager, traced and by the block."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph import batch_graph, trace
from headrace.ops.string_array import StringArray

WORDS = ["", "a", " Héllo wörld ", "x,y,,z", "12.5", "\t tabs\nand lines ", "aaa"]

MAPS = {
    "length": lambda m: lambda s: m.strings.length(s),
    "characters": lambda m: lambda s: m.strings.length(s, unit="UTF8_CHAR"),
    "lower": lambda m: lambda s: m.strings.lower(s),
    "upper utf-8": lambda m: lambda s: m.strings.upper(s, encoding="utf-8"),
    "strip": lambda m: lambda s: m.strings.strip(s),
    "replace all": lambda m: lambda s: m.strings.regex_replace(s, "[ao](.?)", r"<\1>"),
    "replace first": lambda m: (
        lambda s: m.strings.regex_replace(s, "a", "b", replace_global=False)
    ),
    "full match": lambda m: lambda s: m.strings.regex_full_match(s, "a+|x.*"),
    "join": lambda m: lambda s: m.strings.join([s, "-", s], separator="+"),
    "substr": lambda m: lambda s: m.strings.substr(s, 0, 3),
    "substr of characters": lambda m: lambda s: m.strings.substr(s, 0, 4, unit="UTF8_CHAR"),
    "add": lambda m: lambda s: s + "!",
    "equal": lambda m: lambda s: m.equal(s, "aaa"),
}


def _same(ours, theirs):
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert ours.dtype.name == theirs.dtype.name


@pytest.mark.parametrize("make", MAPS.values(), ids=MAPS.keys())
def test_maps_of_strings_are_tensorflows(tf, make):
    _same(make(hr)(hr.constant(WORDS)), make(tf)(tf.constant(WORDS)))
    _same(make(hr)(hr.constant("aaa")), make(tf)(tf.constant("aaa")))


@pytest.mark.parametrize("pattern", [r"\W", "[é-ü]", ".", "..", r"\pL+"])
def test_patterns_match_characters_as_tensorflows(tf, pattern):
    words = ["é", "日本 x", "ab", b"\xff a"]
    replaced = [m.strings.regex_replace(words, f"({pattern})", r"<\1>") for m in (hr, tf)]
    _same(*replaced)
    _same(*[m.strings.regex_full_match(words, pattern) for m in (hr, tf)])


@pytest.mark.parametrize("make", MAPS.values(), ids=MAPS.keys())
def test_a_block_of_strings_is_a_loop_over_them(make):
    graph = trace(make(hr), (hr.TensorSpec([], "string"),)).graph
    block = StringArray.from_values(WORDS)
    got = batch_graph(graph).graph.compile()(block)[0]
    want = [graph.compile()(block[i])[0] for i in range(len(WORDS))]
    assert np.asarray(got).tolist() == [np.asarray(w).tolist() for w in want]


@pytest.mark.parametrize("options", [{}, {"sep": ","}, {"sep": "a", "maxsplit": 1}], ids=str)
def test_split_is_tensorflows(tf, options):
    ours, theirs = hr.strings.split(WORDS, **options), tf.strings.split(WORDS, **options)
    assert ours.to_list() == theirs.to_list()
    _same(hr.strings.split("a b,c", **options), tf.strings.split("a b,c", **options))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_to_number_is_tensorflows(tf, dtype):
    words = [" 12", "-3 ", "0"] + (["1.5e3", "inf"] if dtype.startswith("float") else [])
    _same(hr.strings.to_number(words, dtype), tf.strings.to_number(words, dtype))


def test_to_number_shows_what_is_no_number():
    with pytest.raises(hr.errors.InvalidArgumentError, match="convert string: 1x"):
        hr.strings.to_number(["1", "1x"])


@pytest.mark.parametrize(
    "values,options",
    [
        ([1, -20, 300], {}),
        ([1, -20], {"width": 6, "fill": "0"}),
        ([1.5, -2.25], {}),
        ([1.5, 1e10], {"precision": 2}),
        ([1.5], {"scientific": True}),
        ([0.1], {"shortest": True}),
        ([True, False], {}),
    ],
    ids=str,
)
def test_as_string_is_tensorflows(tf, values, options):
    _same(hr.strings.as_string(values, **options), tf.strings.as_string(values, **options))


def test_substr_outside_of_a_string_is_an_error():
    with pytest.raises(hr.errors.InvalidArgumentError, match="pos 5 out of range"):
        hr.strings.substr(["ab"], 5, 1)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "int64"])
@pytest.mark.parametrize("options", [{}, {"little_endian": False}], ids=str)
def test_decode_raw_is_tensorflows(tf, dtype, options):
    data = [bytes(range(16)), bytes(range(100, 116))]
    _same(hr.io.decode_raw(data, dtype, **options), tf.io.decode_raw(data, dtype, **options))


def test_decode_raw_to_a_fixed_length():
    out = hr.io.decode_raw([b"abc", b"abcdef"], "uint8", fixed_length=4).numpy()
    assert out.tolist() == [[97, 98, 99, 0], [97, 98, 99, 100]]


@pytest.mark.parametrize("gap", [0, 3, "uneven"], ids=str)
def test_decode_raw_reads_any_layout_of_a_buffer(gap):
    gaps = [0, 5, 1, 9] if gap == "uneven" else [gap] * 4
    rows = np.arange(32, dtype=np.uint8).reshape(4, 8)
    starts = np.cumsum([g + (8 if i else 0) for i, g in enumerate(gaps)])
    data = np.full(64, 255, np.uint8)
    for s, row in zip(starts, rows, strict=True):
        data[s : s + 8] = row
    strings = hr.Tensor.of(StringArray(data, starts, starts + 8))
    assert hr.io.decode_raw(strings, "uint8").numpy().tolist() == rows.tolist()
    assert hr.io.decode_raw(strings, "int32").numpy().tolist() == rows.view("<i4").tolist()


def test_decode_raw_of_unequal_lengths_names_the_element():
    with pytest.raises(hr.errors.InvalidArgumentError, match="element 1 has size 2 != 1"):
        hr.io.decode_raw([b"a", b"ab"], "uint8")
    with pytest.raises(hr.errors.InvalidArgumentError, match="not a multiple of 4"):
        hr.io.decode_raw([b"abc"], "float32")


@pytest.mark.parametrize(
    "values", [[], [b"a", b"bb\0", b""], [[b"x", b"yy"], [b"", b"z"]]], ids=str
)
def test_string_arrays_keep_bytes_and_shapes(values):
    array = StringArray.from_values(values)
    assert array.numpy().tolist() == values
    assert array.compact().numpy().tolist() == values
    again = StringArray.from_arrow(array.to_arrow()).reshape(array.shape)
    assert again.numpy().tolist() == values


def test_joined_string_arrays_do_not_keep_large_buffers_alive():
    big = np.zeros(1 << 20, np.uint8)
    part = StringArray(big, np.array([10, 500000]), np.array([14, 500004]))
    joined = StringArray.concatenate([part, StringArray.from_values([b"abc"])])
    assert joined.data.size < 100 and joined.numpy().tolist() == [b"\0" * 4, b"\0" * 4, b"abc"]
