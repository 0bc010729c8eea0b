"""Array primitives called by names, as `raw_ops` does."""

import numpy as np
import pytest

import headrace as hr

X = np.arange(6.0).reshape(2, 3)

CALLS = [
    ("Transpose", {"x": X, "perm": [1, 0]}),
    ("ExpandDims", {"input": X, "axis": 0}),
    ("Squeeze", {"input": X[None]}),
    ("Pack", {"values": [X, X]}),
    ("Unpack", {"value": X, "num": 2}),
    ("Split", {"axis": 1, "value": X, "num_split": 3}),
    ("SplitV", {"value": X, "size_splits": [1, 2], "axis": 1, "num_split": 2}),
    ("ConcatV2", {"values": [X, X], "axis": 0}),
    ("GatherV2", {"params": X, "indices": [0], "axis": 0}),
    ("GatherNd", {"params": X, "indices": [[0, 1]]}),
    ("OneHot", {"indices": [0, 1], "depth": 3, "on_value": 1.0, "off_value": 0.0}),
    ("ReverseV2", {"tensor": X, "axis": [0]}),
    ("Roll", {"input": X, "shift": 1, "axis": 0}),
    ("Reshape", {"tensor": X, "shape": [3, 2]}),
    ("Tile", {"input": X, "multiples": [1, 2]}),
    ("PadV2", {"input": X, "paddings": [[0, 1], [0, 0]], "constant_values": np.float64(0)}),
    ("MirrorPad", {"input": X, "paddings": [[0, 1], [0, 0]], "mode": "REFLECT"}),
    ("BroadcastTo", {"input": X, "shape": [2, 2, 3]}),
    ("Slice", {"input": X, "begin": [0, 0], "size": [1, -1]}),
    ("StridedSlice", {"input": X, "begin": [0], "end": [1], "strides": [1]}),
    ("SelectV2", {"condition": [[True], [False]], "t": X, "e": X + 1}),
    ("Where", {"condition": X > 2}),
    ("ScatterNd", {"indices": [[0]], "updates": [1.0], "shape": [3]}),
    ("TensorScatterUpdate", {"tensor": X, "indices": [[0]], "updates": X[:1]}),
    ("Range", {"start": 0, "limit": 3, "delta": 1}),
    ("Fill", {"dims": [2], "value": 1.0}),
    ("Shape", {"input": X}),
    ("LinSpace", {"start": 0.0, "stop": 1.0, "num": 3}),
    ("Unique", {"x": [1, 1]}),
    ("UniqueWithCounts", {"x": [1, 1], "out_idx": "int64"}),
    ("EnsureShape", {"input": X, "shape": [2, None]}),
    ("DynamicPartition", {"data": X, "partitions": [0, 1], "num_partitions": 2}),
    ("DynamicStitch", {"indices": [[0], [1]], "data": [[1.0], [2.0]]}),
    ("LowerBound", {"sorted_inputs": [[1, 2]], "values": [[2]]}),
    ("ReverseSequence", {"input": X, "seq_lengths": [1, 2], "seq_dim": 1}),
]


@pytest.mark.parametrize(("name", "arguments"), CALLS, ids=[name for name, _ in CALLS])
def test_raw_calls_are_tensorflows(tf, name, arguments):
    theirs = dict(arguments)
    if "out_idx" in theirs:
        theirs["out_idx"] = tf.as_dtype(theirs["out_idx"])
    want = getattr(tf.raw_ops, name)(**theirs)
    got = getattr(hr.raw_ops, name)(**arguments)
    want = list(want) if isinstance(want, (list, tuple)) else [want]
    got = list(got) if isinstance(got, (list, tuple)) else [got]
    for ours, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(ours.numpy(), other.numpy())
        assert ours.numpy().dtype == other.numpy().dtype
