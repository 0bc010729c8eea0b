"""parse_sequence_example and its single form: TensorFlow's results and errors."""

import random

import numpy as np
import pytest
from io_parity import assert_same, attempt, flat
from io_records import entry, field, mutated, sequence

import headrace as hr
from headrace.io.parse_sequence import ParseSequenceExampleV2, prune
from headrace.ops.graph import trace
from headrace.ops.graph.passes.dead_nodes import dead_nodes

ONE = sequence({"c": [5]}, a=[[1, 2], [3, 4]], b=[[1.0], None, [2.0, 3.0]])
TWO = sequence({"c": [6]}, a=[[5, 6]], b=[])
STRINGS = sequence({"t": [b"", b"xy"]}, s=[[b"x", b"yy"], [b"z", b""]])


def dense(m):
    return m.io.FixedLenSequenceFeature([2], m.int64)


# name -> (features of a library m: context, lists; records)
CASES = {
    "every kind": (lambda m: ({"c": m.io.FixedLenFeature([], m.int64)},
                              {"a": dense(m), "b": m.io.VarLenFeature(m.float32)}), [ONE, TWO]),
    "ragged": (lambda m: ({"c": m.io.RaggedFeature(m.int64)},
                          {"a": m.io.RaggedFeature(m.int64),
                           "b": m.io.RaggedFeature(m.float32, row_splits_dtype=m.int64)}),
               [ONE, TWO, sequence()]),
    "varlen": (lambda m: ({"c": m.io.VarLenFeature(m.int64)},
                          {"a": m.io.VarLenFeature(m.int64),
                           "z": m.io.VarLenFeature(m.string)}),
               [TWO, sequence(), ONE]),
    "strings": (lambda m: ({"t": m.io.FixedLenFeature([2], m.string)},
                           {"s": m.io.FixedLenSequenceFeature([2], m.string)}), [STRINGS] * 2),
    "strings by default": (lambda m: ({"t": m.io.FixedLenFeature([2], m.string, ["p", "q"])},
                                      {"s": m.io.FixedLenSequenceFeature([2], m.string, True)}),
                           [STRINGS, sequence()]),
    "rows of two axes": (lambda m: ({}, {"a": m.io.FixedLenSequenceFeature([1, 2], m.int64)}),
                         [ONE, TWO]),
    "default in the context": (lambda m: ({"c": m.io.FixedLenFeature([1], m.int64, [9])}, {}),
                               [sequence(), ONE]),
    "missing in the context": (lambda m: ({"z": m.io.FixedLenFeature([], m.int64)}, {}), [ONE]),
    "missing once": (lambda m: ({"c": m.io.FixedLenFeature([], m.int64)}, {}),
                     [ONE, sequence()]),
    "wrong length": (lambda m: ({"c": m.io.FixedLenFeature([2], m.int64)}, {}), [ONE]),
    "shorter once": (lambda m: ({"c": m.io.FixedLenFeature([2], m.int64)}, {}),
                     [sequence({"c": [1, 2]}), ONE]),
    "longer than the default": (lambda m: ({"c": m.io.FixedLenFeature([1], m.int64, [1])}, {}),
                                [sequence({"c": [1, 2]}), sequence()]),
    "unset in the context": (lambda m: ({"c": m.io.FixedLenFeature([1], m.int64, [1])}, {}),
                             [ONE, sequence({"c": None})]),
    "wrong type in the context": (lambda m: ({"c": m.io.VarLenFeature(m.string)}, {}), [ONE]),
    "missing list": (lambda m: ({}, {"z": dense(m)}), [ONE]),
    "missing list allowed": (
        lambda m: ({}, {"z": m.io.FixedLenSequenceFeature([2], m.int64, True)}), [ONE, TWO]),
    "missing ragged": (lambda m: ({}, {"z": m.io.RaggedFeature(m.int64)}), [ONE, TWO]),
    "total no multiple": (lambda m: ({}, {"a": m.io.FixedLenSequenceFeature([3], m.int64)}),
                          [ONE]),
    "steps differ": (lambda m: ({}, {"a": dense(m)}), [sequence(a=[[1, 2, 3], [1]])]),
    "unset step": (lambda m: ({}, {"a": dense(m)}), [sequence(a=[[1, 2], None])]),
    "wrong type at a step": (lambda m: ({}, {"a": dense(m)}),
                             [sequence(a=[[1, 2], [1.0, 2.0]])]),
    "wrong type, ragged": (lambda m: ({}, {"a": m.io.RaggedFeature(m.float32)}), [TWO]),
    "truncated": (lambda m: ({}, {"a": dense(m)}), [ONE[:-1]]),
    "garbage": (lambda m: ({}, {"a": dense(m)}), [b"\x07\x08"]),
    "value before key": (lambda m: ({}, {"a": m.io.VarLenFeature(m.int64)}),
                         [field(2, field(1, field(2, b""), field(1, b"a")))]),
    "no step at all": (lambda m: ({}, {"a": m.io.VarLenFeature(m.int64)}),
                       [field(2, entry(b"a", b"\x08\x01"))]),
    "list twice": (lambda m: ({}, {"a": m.io.VarLenFeature(m.int64)}), [ONE + TWO]),
    "context twice": (lambda m: ({"c": m.io.FixedLenFeature([], m.int64)}, {}), [ONE + TWO]),
    "unknown fields": (lambda m: ({"c": m.io.FixedLenFeature([], m.int64)}, {}),
                       [b"\x20\x05" + ONE + field(9, b"xx")]),
    "partitions": (lambda m: ({}, {
        "r": m.io.RaggedFeature(m.float32, "v", [m.io.RaggedFeature.RowLengths("l")])}),
        [sequence(l=[[1, 2], [1]], v=[[1.0, 2.0, 3.0], [1.0]]), sequence(l=[], v=[])]),
    "unpacked": (lambda m: ({"c": m.io.FixedLenFeature([2], m.int64)}, {}),
                 [field(1, entry(b"c", field(3, b"\x08\x05\x08\x81\x01")))]),
    "sequence in the context": (lambda m: ({"c": dense(m)}, {}), [ONE]),
    "fixed length in the lists": (lambda m: ({}, {"a": m.io.FixedLenFeature([], m.int64)}),
                                  [ONE]),
    "sparse": (lambda m: ({}, {"a": m.io.SparseFeature("i", "v", m.float32, 5)}), [ONE]),
    "default for a list": (
        lambda m: ({}, {"a": m.io.FixedLenSequenceFeature([2], m.int64, True, 3)}), [ONE]),
    "no features": (lambda m: ({}, None), [ONE]),
}  # fmt: skip


def run(m, make, records, batch, **more):
    context, lists = make(m)
    if batch:
        call = m.io.parse_sequence_example
        return flat(attempt(lambda: call(records, context, lists, **more)))
    return flat(attempt(lambda: m.io.parse_single_sequence_example(records[0], context, lists)))


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "single"])
@pytest.mark.parametrize("name", CASES)
def test_case(tf, form, name, batch):
    make, records = CASES[name]
    ours, theirs = run(hr, make, records, batch), run(tf, make, records, batch)
    if ours[0] == "ValueError":  # descriptions are shown as each library writes them
        ours, theirs = ours[1].split("(")[0], theirs[1].split("(")[0]
    assert_same(ours, theirs)


def test_names_appear_in_messages(tf, form):
    make = CASES["missing list"][0]
    got = [run(m, make, [ONE], True, example_names=["mine"]) for m in (hr, tf)]
    assert got[0] == got[1]
    assert got[0][1].startswith("Name: mine")


def test_serialized_must_be_a_scalar():
    with pytest.raises(ValueError, match="Input serialized must be a scalar"):
        hr.io.parse_single_sequence_example([ONE], {"c": hr.io.VarLenFeature("int64")})
    with pytest.raises(hr.errors.InvalidArgumentError, match="scalar or vector"):
        hr.io.parse_sequence_example([[ONE]], {"c": hr.io.VarLenFeature("int64")})


def test_misaligned_partitions(form):
    ragged = hr.io.RaggedFeature
    lists = {"r": ragged("float32", "v", [ragged.RowLengths("l")])}
    record = sequence(l=[[1]], v=[[1.0], [2.0]])
    with pytest.raises(hr.errors.InvalidArgumentError, match="r: values and partitions are"):
        hr.io.parse_sequence_example([record], None, lists)


def fuzzed(m):
    context = {
        "c": m.io.FixedLenFeature([], m.int64, 3),
        "t": m.io.VarLenFeature(m.string),
        "g": m.io.RaggedFeature(m.float32),
    }
    return context, {
        "a": m.io.FixedLenSequenceFeature([2], m.int64, True),
        "b": m.io.VarLenFeature(m.float32),
        "s": m.io.RaggedFeature(m.int64),
    }


def numbers(m):
    """`fuzzed` without strings: where those are damaged, TensorFlow's parser crashes."""
    context, lists = fuzzed(m)
    return {key: feature for key, feature in context.items() if key != "t"}, lists


@pytest.mark.parametrize("seed", range(4))
def test_damaged_messages(tf, seed, compiled, monkeypatch):
    """TensorFlow, the kernels and the plain parser agree on mutated records."""
    rng = random.Random(seed)
    for _ in range(200):
        record = sequence(
            {"c": [rng.randrange(-5, 300)], "g": [1.0] * rng.randrange(3),
             "t": [b"ab", b"", b"cde"][: rng.randrange(3)] or [b""]},
            a=[[rng.randrange(200), 2]] * rng.randrange(3),
            s=[[1, 2], None][: rng.randrange(3)],
            b=[[0.5], [1.5, 2.5]][: rng.randrange(3)],
        )  # fmt: skip
        if rng.random() < 0.9:
            record = mutated(record, rng)
        batch = rng.random() < 0.5
        ours = run(hr, fuzzed, [record], batch)
        with monkeypatch.context() as plain:
            plain.setattr("headrace.io.jit.kernel", lambda name: None)
            assert_same(run(hr, fuzzed, [record], batch), ours)
        ours, theirs = run(hr, numbers, [record], batch), run(tf, numbers, [record], batch)
        if isinstance(ours[0], str) and ours[0] == theirs[0]:
            continue  # of several errors TensorFlow reports one by its hash order
        assert_same(ours, theirs)


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "single"])
def test_specs_fit_the_results(form, batch):
    context, lists = fuzzed(hr)
    serialized = hr.constant([ONE] * 3 if batch else ONE)
    parse = hr.io.parse_sequence_example if batch else hr.io.parse_single_sequence_example
    traced = trace(
        lambda s: parse(s, context, lists), (hr.TensorSpec(serialized.shape, "string"),)
    )
    values = traced.graph.compile()(serialized._value)
    for out, value in zip(traced.graph.outputs, values, strict=True):
        assert out.shape.is_compatible_with(value.shape)
        assert hr.as_dtype(value.dtype) is out.dtype


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "single"])
def test_pruning_keeps_the_values(form, batch):
    context, lists = fuzzed(hr)
    serialized = hr.constant([ONE] * 3 if batch else ONE)
    parse = hr.io.parse_sequence_example if batch else hr.io.parse_single_sequence_example
    whole = parse(serialized, context, lists)

    def some(s):
        parsed = parse(s, context, lists)
        return parsed[1]["a"], parsed[0]["c"]

    graph = dead_nodes(trace(some, (hr.TensorSpec(serialized.shape, "string"),)).graph)
    (node,) = [n for n in graph.nodes if n.primitive is ParseSequenceExampleV2]
    assert [c.key for c in node.attrs["context"].columns] == ["c"]
    assert [c.key for c in node.attrs["lists"].columns] == ["a"]
    got = graph.compile()(serialized._value)
    expected = whole[1]["a"], whole[0]["c"]
    assert_same(list(map(np.asarray, got)), list(map(np.asarray, expected)))


def test_pruning_keeps_outputs_whole():
    context, lists = fuzzed(hr)
    traced = trace(
        lambda s: hr.io.parse_sequence_example(s, context, lists),
        (hr.TensorSpec([None], "string"),),
    )
    (node,) = [n for n in traced.graph.nodes if n.primitive is ParseSequenceExampleV2]
    for used in range(len(node.outputs)):
        attrs, places = prune(node.attrs, [used])
        assert used in places
        assert sorted(places.values()) == list(range(len(places)))
        assert len(attrs["context"].outputs) + len(attrs["lists"].outputs) == 1
