"""ParsePlan: hashable, ordered as TensorFlow orders, and cut down without loss."""

import pickle

import numpy as np
import pytest

import headrace as hr
from headrace.io import parse_plan
from headrace.io.parse_config import RaggedFeature, VarLenFeature
from headrace.io.parse_plan import ParsePlan

FEATURES = {
    "d": hr.io.FixedLenFeature([2, 3], "float32", [[0.0] * 3] * 2),
    "v": hr.io.VarLenFeature("int64"),
    "r": hr.io.RaggedFeature("string", "rv", [hr.io.RaggedFeature.RowLengths("rl")]),
    "x": hr.io.SparseFeature(["xi", "xj"], "xv", "float32", [3, 4]),
    "q": hr.io.FixedLenSequenceFeature([2], "int64", allow_missing=True),
}


def test_equal_features_give_equal_plans():
    a, b = ParsePlan.from_features(FEATURES), ParsePlan.from_features(dict(FEATURES))
    assert a == b
    assert hash(a) == hash(b)
    assert pickle.loads(pickle.dumps(a)) == a
    other = {**FEATURES, "d": hr.io.FixedLenFeature([2, 3], "float32")}
    assert ParsePlan.from_features(other) != a


def test_plans_are_told_apart_by_the_kind_of_a_default():
    def plan(default):
        return ParsePlan.from_features({"k": hr.io.FixedLenFeature([], "float32", default)})

    assert plan(1) == plan(1.0)
    ParsePlan.from_features({"k": hr.io.FixedLenFeature([], "int64", 1)})
    with pytest.raises(TypeError, match=r"of dtype int64, got 1\.0"):
        ParsePlan.from_features({"k": hr.io.FixedLenFeature([], "int64", 1.0)})
    with pytest.raises(TypeError, match="of dtype int64, got True"):
        ParsePlan.from_features({"k": hr.io.FixedLenFeature([], "int64", True)})
    arrays = np.array([1, 2]), np.array([1, 2], object), hr.constant([1, 2])
    for values in ([1, 2], (1, 2), *arrays):
        made = ParsePlan.from_features({"k": hr.io.FixedLenFeature([2], "int64", values)})
        assert made.columns[0].default == (1, 2)


def test_plans_are_told_apart_by_the_kind_of_a_partition():
    made = {
        ParsePlan.from_features({"k": RaggedFeature("int64", "v", [kind("p")])})
        for kind in (RaggedFeature.RowSplits, RaggedFeature.RowLengths, RaggedFeature.RowStarts)
    }
    assert len(made) == 3


def test_many_descriptions_do_not_pile_up():
    for n in range(600):
        ParsePlan.from_features({f"k{n}": hr.io.VarLenFeature("int64")})
    assert len(parse_plan._known_plans) <= 256


def test_order_of_columns_and_outputs():
    plan = ParsePlan.from_features(FEATURES)
    assert [c.key for c in plan.columns] == sorted(c.key for c in plan.columns)
    assert [o.name for o in plan.outputs] == ["v", "d", "q", "r", "x"]


def test_select_drops_columns_nobody_needs():
    plan = ParsePlan.from_features(FEATURES)
    part = plan.select({"r", "v"})
    assert [o.name for o in part.outputs] == ["v", "r"]
    assert [c.key for c in part.columns] == ["rl", "rv", "v"]
    assert [part.columns[c].key for c in part.outputs[1].columns] == ["rv", "rl"]
    assert plan.select(FEATURES) == plan
    assert plan.select(()).columns == ()


def test_outputs_share_columns():
    shared = {"v": VarLenFeature("float32"), "a": hr.io.SparseFeature("i", "v", "float32", 9)}
    plan = ParsePlan.from_features(shared)
    assert [c.key for c in plan.columns] == ["i", "v"]


@pytest.mark.parametrize(
    ("feature", "kind", "message"),
    [
        (hr.io.FixedLenFeature([], "int64", 0.5), TypeError, "of dtype int64, got 0.5"),
        (hr.io.FixedLenFeature([], "float64"), ValueError, "must be float32, int64 or string"),
        (hr.io.FixedLenSequenceFeature([2], "int64", True, [1, 2]), ValueError, "one value"),
        (hr.io.SparseFeature(["a"], "v", "int64", [1, 2]), ValueError, "one entry per index"),
        (hr.io.SparseFeature("i", "", "int64", 1), ValueError, "Missing value_key"),
    ],
)
def test_bad_features(feature, kind, message):
    with pytest.raises(kind, match=message):
        ParsePlan.from_features({"k": feature})


def test_one_key_described_twice():
    twice = {"a": RaggedFeature("int64", "k"), "b": RaggedFeature("float32", "k")}
    with pytest.raises(ValueError, match=r"type .*int64.* vs .*float32.* feature k"):
        ParsePlan.from_features(twice)


def test_features_are_named_tuples_like_tensorflows(tf):
    for name in ("FixedLenFeature", "VarLenFeature", "FixedLenSequenceFeature", "SparseFeature",
                 "RaggedFeature"):  # fmt: skip
        ours, theirs = getattr(hr.io, name), getattr(tf.io, name)
        assert ours._fields == theirs._fields
    for name in ("RowSplits", "RowLengths", "RowStarts", "RowLimits", "ValueRowIds",
                 "UniformRowLength"):  # fmt: skip
        ours, theirs = getattr(RaggedFeature, name), getattr(tf.io.RaggedFeature, name)
        assert ours._fields == theirs._fields
    assert hr.io.FixedLenFeature([1], "int64")._replace(shape=[2]).shape == [2]
    assert RaggedFeature("int64").row_splits_dtype is hr.int32


def test_bad_ragged_features():
    with pytest.raises(TypeError, match="partitions must be made by"):
        RaggedFeature("int64", partitions=[3])
    with pytest.raises(ValueError, match="must be int32 or int64, got float32"):
        RaggedFeature("int64", row_splits_dtype="float32")
