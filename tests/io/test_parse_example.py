"""parse_example and parse_single_example: TensorFlow's results and errors, case by case."""

import numpy as np
import pytest
from io_parity import assert_same, attempt, flat
from io_records import entry, example, field

import headrace as hr
from headrace.io.parse_ops import ParseExampleV2, prune
from headrace.io.parse_plan import ParsePlan
from headrace.ops.graph import batch_graph, trace
from headrace.ops.graph.passes.dead_nodes import dead_nodes

INT = field(3, field(1, b"\1\2"))  # a Feature: [1, 2]
FLOAT = field(2, field(1, bytes(4) + b"\0\0\x80\x3f"))  # [0.0, 1.0]


def features(*entries):
    return field(1, *(entry(key, feature) for key, feature in entries))


# name -> (features of a library m, records); the first record is parsed alone as well.
CASES = {
    "dense": (lambda m: {
        "i": m.io.FixedLenFeature([], m.int64), "f": m.io.FixedLenFeature([2], m.float32),
        "s": m.io.FixedLenFeature([2, 1], m.string), "e": m.io.FixedLenFeature([0], m.int64)},
        [example(i=[5], f=[1.5, -2.0], s=[b"a", b""], e=[]),
         example(e=[], s=[b"\xff" * 300, b"x"], f=[0.0, 9.0], i=[-(2**63)])]),
    "defaults": (lambda m: {
        "i": m.io.FixedLenFeature([2], m.int64, [7, -8]),
        "f": m.io.FixedLenFeature([], m.float32, 1.5),
        "s": m.io.FixedLenFeature([2], m.string, ["ab", ""])},
        [example(), example(i=[1, 2], f=[3.0], s=[b"q", b"r"]), example(i=[3, 4])]),
    "varlen": (lambda m: {k: m.io.VarLenFeature(t) for k, t in
                          (("i", m.int64), ("f", m.float32), ("s", m.string))},
        [example(i=[1, 2, 3], s=[b"x"]), example(), example(f=[0.5], s=[b"", b"yy"])]),
    "ragged": (lambda m: {
        "i": m.io.RaggedFeature(m.int64), "s": m.io.RaggedFeature(m.string),
        "f": m.io.RaggedFeature(m.float32, row_splits_dtype=m.int64)},
        [example(i=[1, 2, 3], s=[b"x"]), example(), example(f=[0.5], s=[b"", b"yy"])]),
    "sequence": (lambda m: {
        "i": m.io.FixedLenSequenceFeature([], m.int64, allow_missing=True),
        "f": m.io.FixedLenSequenceFeature([2], m.float32, True, default_value=-1.0),
        "s": m.io.FixedLenSequenceFeature([1], m.string, True, default_value="pad")},
        [example(i=[1, 2, 3], s=[b"x"]), example(),
         example(f=[0.5, 1.0, 2.0, 3.0], s=[b"a", b"b"])]),
    "sparse": (lambda m: {
        "one": m.io.SparseFeature("a", "v", m.float32, 10),
        "two": m.io.SparseFeature(["a", "b"], "v", m.float32, [10, 20]),
        "kept": m.io.SparseFeature(["b", "a"], "v", m.float32, [10, 20], already_sorted=True)},
        [example(a=[3, 1], b=[5, 7], v=[1.0, 2.0]), example(),
         example(a=[4, 4, 0], b=[9, 2, 100], v=[1.0, 2.0, 3.0])]),
    "sparse over a varlen": (lambda m: {
        "v": m.io.VarLenFeature(m.string), "x": m.io.SparseFeature("a", "v", m.string, 10)},
        [example(a=[3, 1], v=[b"p", b"q"])]),
    "sparse of unequal lengths": (lambda m: {
        "one": m.io.SparseFeature("a", "v", m.float32, 10)}, [example(a=[1, 2], v=[1.0])]),
    "missing": (lambda m: {"i": m.io.FixedLenFeature([], m.int64)}, [example(j=[1])]),
    "missing string": (lambda m: {"i": m.io.FixedLenFeature([], m.string)}, [b""]),
    "kind unset": (lambda m: {"i": m.io.FixedLenFeature([], m.float32)},
                   [features((b"i", b""))]),
    "wrong type": (lambda m: {"i": m.io.FixedLenFeature([], m.int64)}, [example(i=[1.0])]),
    "wrong type varlen": (lambda m: {"i": m.io.VarLenFeature(m.string)}, [example(i=[1.0])]),
    "wrong type ragged": (lambda m: {"i": m.io.RaggedFeature(m.float32)}, [example(i=[1])]),
    "wrong type sequence": (lambda m: {
        "i": m.io.FixedLenSequenceFeature([], m.float32, True)}, [example(i=[1])]),
    "too few": (lambda m: {"i": m.io.FixedLenFeature([3], m.int64)}, [example(i=[1])]),
    "too many floats": (lambda m: {"i": m.io.FixedLenFeature([], m.float32)},
                        [example(i=[1.0, 2.0])]),
    "too many strings": (lambda m: {"i": m.io.FixedLenFeature([1], m.string)},
                         [example(i=[b"x", b"y"])]),
    "too few strings": (lambda m: {"i": m.io.FixedLenFeature([2, 2], m.string)},
                        [example(i=[b"x", b"y"])]),
    "empty list": (lambda m: {"i": m.io.FixedLenFeature([], m.int64, 3)}, [example(i=[])]),
    "not a multiple": (lambda m: {
        "i": m.io.FixedLenSequenceFeature([2], m.int64, allow_missing=True)},
        [example(i=[1, 2, 3])]),
    "duplicate key": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                      [features((b"i", FLOAT), (b"i", INT))]),
    "duplicate key, wrong type last": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                                       [features((b"i", INT), (b"i", FLOAT))]),
    "duplicate key, unset last": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                                  [features((b"i", INT), (b"i", b""))]),
    "duplicate varlen, unset last": (lambda m: {"i": m.io.VarLenFeature(m.int64)},
                                     [features((b"i", INT), (b"i", b""))]),
    "merged Features": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64),
                                   "f": m.io.FixedLenFeature([2], m.float32)},
                        [features((b"i", INT)) + features((b"f", FLOAT))]),
    "unpacked": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64),
                            "f": m.io.VarLenFeature(m.float32)},
                 [features((b"i", field(3, b"\x08\x05\x08\x81\x01")),
                           (b"f", field(2, b"\x0d\0\0\x80\x3f\x0d\0\0\0\0")))]),
    "second packed chunk": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                            [features((b"i", field(3, field(1, b"\1\2"), field(1, b"\3"))))]),
    "two lists": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                  [features((b"i", INT + field(3, field(1, b"\3")))),
                   features((b"i", INT + FLOAT))]),
    "unknown field in Example": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                                 [field(9, b"xyz") + features((b"i", INT)) + b"\x18\x05"]),
    "unknown field in Features": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                                  [field(1, entry(b"i", INT), field(2, b"x"))]),
    "unknown field in an entry": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                                  [field(1, entry(b"i", INT + b"\x18\1")), field(
                                      1, field(1, field(1, b"i"), field(2, INT), b"\x18\1"))]),
    "unknown list": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                     [features((b"i", field(4, b"x")))]),
    "value before key": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                         [field(1, field(1, field(2, INT), field(1, b"i")))]),
    "key without value": (lambda m: {"i": m.io.VarLenFeature(m.int64)},
                          [field(1, field(1, field(1, b"i")))]),
    "packed overrun": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                       [features((b"i", field(3, b"\x0a\x10\1\2")))]),
    "string overrun": (lambda m: {"i": m.io.FixedLenFeature([1], m.string)},
                       [features((b"i", field(1, b"\x0a\x10ab")))]),
    "float cut": (lambda m: {"i": m.io.FixedLenFeature([1], m.float32)},
                  [features((b"i", field(2, field(1, b"abc")))),
                   features((b"i", field(2, b"\x0d\0\0")))]),
    "truncated": (lambda m: {"i": m.io.FixedLenFeature([1], m.int64)}, [example(i=[1])[:-1]]),
    "garbage": (lambda m: {"i": m.io.FixedLenFeature([1], m.int64)}, [b"\x07\x08"]),
    "unused features are not looked at": (lambda m: {"i": m.io.FixedLenFeature([2], m.int64)},
                                          [features((b"z", b"\x22\xff"), (b"i", INT))]),
    "a long varint": (lambda m: {"i": m.io.FixedLenFeature([1], m.int64)},
                      [features((b"i", field(3, field(1, b"\x81" * 9 + b"\x7f")))),
                       features((b"i", field(3, field(1, b"\x81" * 10 + b"\1"))))]),
    "third record fails": (lambda m: {"i": m.io.FixedLenFeature([], m.int64)},
                           [example(i=[v]) for v in (1, 2, 1.0, b"x")]),
    "empty key": (lambda m: {"": m.io.FixedLenFeature([2], m.int64)}, [features((b"", INT))]),
    "int32": (lambda m: {"v": m.io.RaggedFeature(m.int64, row_splits_dtype=m.int32)},
              [example(v=[1])]),
}  # fmt: skip

RAGGED = {
    "splits": (lambda R: [R.RowSplits("p")], [0, 2, 3]),
    "lengths": (lambda R: [R.RowLengths("p")], [1, 0, 2]),
    "starts": (lambda R: [R.RowStarts("p")], [0, 0, 2]),
    "limits": (lambda R: [R.RowLimits("p")], [1, 1, 3]),
    "row ids": (lambda R: [R.ValueRowIds("p")], [0, 0, 3]),
    "uniform": (lambda R: [R.UniformRowLength(3)], []),
    "uniform inside": (lambda R: [R.RowLengths("p"), R.UniformRowLength(1)], [1, 2]),
    "uniform outside": (lambda R: [R.UniformRowLength(2), R.RowLengths("p")], [1, 2]),
    "two uniform": (lambda R: [R.UniformRowLength(1), R.UniformRowLength(3)], []),
    "two levels": (lambda R: [R.RowLengths("q"), R.RowSplits("p")], [0, 2, 3]),
}  # fmt: skip


def both(tf, make, records, batch):
    """The results or errors of both libraries."""
    results = []
    for m in (hr, tf):
        f = make(m)
        if batch:
            results.append(attempt(lambda m=m, f=f: m.io.parse_example(records, f)))
        else:
            results.append(attempt(lambda m=m, f=f: m.io.parse_single_example(records[0], f)))
    return [flat(r) for r in results]


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "single"])
@pytest.mark.parametrize("name", CASES)
def test_case(tf, form, name, batch):
    make, records = CASES[name]
    ours, theirs = both(tf, make, records, batch)
    if name == "sparse of unequal lengths":  # two kinds of error, one of them TensorFlow's own
        assert "Dimensions 2 and 1 are not compatible" in ours[1]
        return
    assert_same(ours, theirs)


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "single"])
@pytest.mark.parametrize("name", RAGGED)
@pytest.mark.parametrize("validate", [False, True])
def test_partitions(tf, form, name, batch, validate):
    make, partition = RAGGED[name]
    records = [
        example(v=[1.0, 2.0, 3.0], p=partition, q=[1, 1]),
        example(v=[], p=[0] if name == "splits" else [], q=[]),
        example(v=[4.0, 5.0, 6.0], p=partition, q=[2]),
    ]
    if name == "two levels":
        records[1] = example(v=[], p=[0], q=[])

    def describe(m):
        ragged = m.io.RaggedFeature
        return {"x": ragged(m.float32, "v", make(ragged), validate=validate),
                "p": ragged(m.int64)}  # fmt: skip

    ours, theirs = both(tf, describe, records, batch)
    assert_same(ours, theirs)


def test_partitions_that_do_not_fit(form):
    ragged = hr.io.RaggedFeature
    record = [example(v=[1, 2, 3], p=[1, 1])]
    checked = {"x": ragged("int64", "v", [ragged.RowLengths("p")], validate=True)}
    with pytest.raises(hr.errors.InvalidArgumentError, match="RowLengths does not fit the 3"):
        hr.io.parse_example(record, checked)
    uniform = {"x": ragged("int64", "v", [ragged.UniformRowLength(2)])}
    with pytest.raises(hr.errors.InvalidArgumentError, match="requires a multiple of 2"):
        hr.io.parse_example(record, uniform)


def test_no_records(tf, form):
    def make(m):
        return {
            "i": m.io.FixedLenFeature([2], m.int64), "v": m.io.VarLenFeature(m.string),
            "r": m.io.RaggedFeature(m.float32),
            "q": m.io.FixedLenSequenceFeature([2], m.int64, allow_missing=True),
        }  # fmt: skip

    empty = np.zeros(0, object)
    ours = hr.io.parse_example(hr.constant(empty, hr.string), make(hr))
    theirs = tf.io.parse_example(tf.constant(empty, tf.string), make(tf))
    assert_same(flat(ours), flat(theirs))


def test_names_appear_in_messages(tf, form):
    def make(m):
        return {"i": m.io.FixedLenFeature([], m.int64)}

    records = [example(i=[1]), example()]
    got = [
        flat(attempt(lambda m=m: m.io.parse_example(records, make(m), ["a", "b"])))
        for m in (hr, tf)
    ]
    assert got[0] == got[1]
    assert got[0][1].startswith("Name: b, Feature: i")


BAD_FEATURES = {
    "no type": lambda m: {"a": m.io.VarLenFeature(None)},
    "no shape": lambda m: {"a": m.io.FixedLenFeature(None, m.int64)},
    "unknown first size": lambda m: {"a": m.io.FixedLenFeature([None, 2], m.int64)},
    "unknown size": lambda m: {"a": m.io.FixedLenFeature([2, None], m.int64)},
    "no feature": lambda m: {"a": 3},
    "no index": lambda m: {"a": m.io.SparseFeature("", "v", m.int64, 3)},
    "conflict": lambda m: {"a": m.io.VarLenFeature(m.int64),
                           "b": m.io.SparseFeature("i", "a", m.float32, 3)},
    "sequence must be there": lambda m: {"a": m.io.FixedLenSequenceFeature([], m.int64)},
    "empty": lambda m: {},
}  # fmt: skip


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "single"])
@pytest.mark.parametrize("name", BAD_FEATURES)
def test_bad_descriptions(tf, name, batch):
    (kind, ours), (their_kind, theirs) = both(tf, BAD_FEATURES[name], [b""], batch)
    assert kind == their_kind == "ValueError"
    assert ours.split("Received")[0].strip(" .") in theirs or theirs.split(". ")[0] in ours


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda m: {"a": m.io.FixedLenFeature([2], m.int64, [1])}, "InvalidArgumentError"),
        (lambda m: {"a": m.io.FixedLenFeature([2], m.int32)}, "InvalidArgumentError"),
        (lambda m: {"a": m.io.FixedLenFeature([], m.int64), "x": m.io.SparseFeature(
            "i", "a", m.int64, 3)}, "ValueError"),
        (lambda m: {"a": m.io.RaggedFeature(m.int64), "x": m.io.SparseFeature(
            "i", "a", m.int64, 3)}, "ValueError"),
    ],
    ids=["default of another size", "int32", "dense and sparse", "ragged and sparse"],
)  # fmt: skip
def test_bad_descriptions_of_other_kinds(tf, make, kind):
    ours, theirs = both(tf, make, [b""], True)
    assert ours[0] == theirs[0] == kind


def test_serialized_must_be_strings_of_one_axis_at_most():
    f = {"i": hr.io.FixedLenFeature([], hr.int64)}
    with pytest.raises(ValueError, match="Input serialized must be a scalar"):
        hr.io.parse_single_example([b""], f)
    with pytest.raises(hr.errors.InvalidArgumentError, match="scalar or vector"):
        hr.io.parse_example([[b""]], f)
    with pytest.raises((TypeError, ValueError)):
        hr.io.parse_example([3], f)
    with pytest.raises(hr.errors.InvalidArgumentError, match="one name per record"):
        hr.io.parse_example([b"", b""], f, example_names=["a"])


# -- as a primitive -------------------------------------------------------------------------

SCALAR = hr.TensorSpec([], "string")
DENSE = {
    "i": hr.io.FixedLenFeature([], "int64"),
    "f": hr.io.FixedLenFeature([2], "float32", [0.0, 1.0]),
    "s": hr.io.FixedLenFeature([], "string"),
}
DENSE_RECORDS = [example(i=[k], s=[b"s%d" % k], **({"f": [1.0, float(k)]} if k % 2 else {}))
                 for k in range(12)]  # fmt: skip


def test_a_block_of_single_examples_is_a_batch(form):
    traced = trace(
        lambda s: hr.io.parse_single_example(s, DENSE), (hr.TensorSpec([], "string"),)
    )
    batched = batch_graph(traced.graph)
    assert all(batched.out_batched)
    raw = hr.constant(DENSE_RECORDS)._value
    got = batched.graph.compile()(raw)
    whole = hr.io.parse_example(DENSE_RECORDS, DENSE)
    for value, key in zip(got, ["f", "i", "s"], strict=True):
        assert_same([np.asarray(value)], parts_of(whole[key]))


def test_a_block_of_batches(form):
    traced = trace(lambda s: hr.io.parse_example(s, DENSE), (hr.TensorSpec([4], "string"),))
    raw = hr.constant(np.array(DENSE_RECORDS, object).reshape(3, 4))._value
    got = batch_graph(traced.graph).graph.compile()(raw)
    whole = hr.io.parse_example(DENSE_RECORDS, DENSE)
    for value, key in zip(got, ["f", "i", "s"], strict=True):
        expected = whole[key].numpy()
        assert (
            np.asarray(value).tolist() == expected.reshape(3, 4, *expected.shape[1:]).tolist()
        )


@pytest.mark.parametrize("batch", [True, False])
def test_a_failing_block_names_its_first_bad_element(form, batch):
    records = list(DENSE_RECORDS)
    records[7] = example(s=[b""])
    records[9] = b"\xff"
    spec = hr.TensorSpec([4] if batch else [], "string")
    parse = hr.io.parse_example if batch else hr.io.parse_single_example
    traced = trace(lambda s: parse(s, DENSE), (spec,))
    values = np.array(records, object)
    raw = hr.constant(values.reshape(3, 4) if batch else values)._value
    with pytest.raises(hr.errors.InvalidArgumentError, match="Feature: i") as caught:
        batch_graph(traced.graph).graph.compile()(raw)
    assert caught.value.element_index == (1 if batch else 7)


def test_uneven_features_have_no_batch_rule():
    uneven = {"v": hr.io.VarLenFeature("int64")}
    traced = trace(
        lambda s: hr.io.parse_single_example(s, uneven), (hr.TensorSpec([], "string"),)
    )
    with pytest.raises(hr.errors.UnimplementedError, match="'v' is no FixedLenFeature"):
        batch_graph(traced.graph)


ALL_KINDS = {
    **DENSE,
    "v": hr.io.VarLenFeature("int64"),
    "r": hr.io.RaggedFeature("int64", "rv", [hr.io.RaggedFeature.RowLengths("rl")]),
    "q": hr.io.FixedLenSequenceFeature([2], "int64", allow_missing=True),
    "x": hr.io.SparseFeature(["xi", "xj"], "xv", "float32", [3, 4]),
}


@pytest.mark.parametrize("batch", [True, False])
def test_specs_fit_the_results(form, batch):
    record = example(i=[1], s=[b""], v=[1, 2], rv=[1, 2], rl=[2, 0], q=[1, 2], xi=[1], xj=[2],
                     xv=[0.5])  # fmt: skip
    serialized = hr.constant([record] * 3 if batch else record)
    parse = hr.io.parse_example if batch else hr.io.parse_single_example
    spec = hr.TensorSpec(serialized.shape, "string")
    traced = trace(lambda s: parse(s, ALL_KINDS), (spec,))
    values = traced.graph.compile()(serialized._value)
    for out, value in zip(traced.graph.outputs, values, strict=True):
        assert out.shape.is_compatible_with(value.shape)
        assert out.shape.rank == value.ndim
        assert hr.as_dtype(value.dtype) is out.dtype


@pytest.mark.parametrize("name", ALL_KINDS)
@pytest.mark.parametrize("single", [True, False])
def test_pruning_keeps_the_values(form, name, single):
    plan = ParsePlan.from_features(ALL_KINDS)
    record = example(i=[1], s=[b"t"], f=[1.0, 2.0], v=[1, 2], rv=[1, 2], rl=[2, 0], q=[1, 2],
                     xi=[1], xj=[2], xv=[0.5])  # fmt: skip
    serialized = hr.constant(record if single else [record] * 3)
    names = hr.constant(np.zeros(0, object), hr.string)
    whole = ParseExampleV2(serialized, names, plan=plan, single=single)
    old = [o.name for o in plan.outputs for _ in o.parts(single)]
    used = [old.index(name)]
    attrs, places = prune({"plan": plan, "single": single}, used)
    part = ParseExampleV2(serialized, names, **attrs)
    assert [o.name for o in attrs["plan"].outputs] == [name]
    assert sorted(places.values()) == list(range(len(part)))
    assert used[0] in places
    for before, after in places.items():
        assert_same([np.asarray(part[after])], [np.asarray(whole[before])])


def test_features_nobody_reads_are_not_parsed():
    def label(s):
        return hr.io.parse_single_example(s, ALL_KINDS)["i"] + 1

    graph = dead_nodes(trace(label, (hr.TensorSpec([], "string"),)).graph)
    (node,) = [n for n in graph.nodes if n.type == "ParseExampleV2"]
    assert [c.key for c in node.attrs["plan"].columns] == ["i"]
    # Without the uneven ones it can run on blocks.
    (got,) = batch_graph(graph).graph.compile()(hr.constant(DENSE_RECORDS)._value)
    assert got.tolist() == list(range(1, 13))


def parts_of(value):
    return [np.asarray(value)]
