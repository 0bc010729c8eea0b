"""What can make a traced function fail, as far as its graph tells.

Rules that let fewer elements through a function, or let it run on elements that would not
have reached it, ask this first.  An operation whose errors concern shapes and dtypes alone was
checked when it was traced, if its shapes are all known; a division by a constant other than
zero was checked as well.  What is not listed here may fail for any value.
"""

from __future__ import annotations

import enum

import numpy as np

from ..ops.graph import Graph, Node
from ..ops.graph.graph import constant_value

__all__ = ["Failures", "graph_failures"]


class Failures(enum.IntEnum):
    """How much can go wrong, in rising order."""

    NEVER = 0
    """Nothing: what could be wrong was checked when the function was traced."""
    ON_DATA = 1
    """Records that are damaged, or of another form than the function expects."""
    ON_VALUES = 2
    """Any element: a division by zero, an index out of range."""


# Errors of these concern shapes alone.
_SHAPES_ONLY = frozenset(
    """
    AddN All Any ArgMax ArgMin AsString BatchMatMulV2 BiasAdd BroadcastArgs BroadcastTo Cast
    Complex ComplexAbs ConcatV2 Conj Const Cumprod Cumsum Digamma Div Einsum EnsureShape
    EuclideanNorm ExpandDims Erfinv Fill Identity Imag Lgamma LogSoftmax MatMul Max Mean Min
    MirrorPad OneHot OnesLike Pack PadV2 Placeholder Prod RandomStandardNormal RandomUniform
    ReadVariableOp Real Reshape ReverseV2 Roll Shape Size Slice Softmax Split SplitV Squeeze
    StatelessRandomNormal StatelessRandomUniform StatelessTruncatedNormal StaticRegexFullMatch
    StaticRegexReplace StopGradient StridedSlice StringJoin StringLength StringLower
    StringStrip StringUpper Sum Tile TopKV2 Transpose TruncatedNormal Unpack ZerosLike
    _RandomBits _Resize _StaticSlice
    """.split()
)
# These read bytes that others wrote.
_READ_DATA = frozenset(
    """
    DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng DecodeRaw DecodeWebP
    ExtractJpegShape ParseExampleBlock ParseExampleV2 ParseSequenceExampleV2 StringToNumber
    """.split()
)
# Nothing is wrong where all inputs but the first are constants, and none of them zero.
_DIVISIONS = frozenset(["FloorDiv", "FloorMod", "TruncateDiv", "TruncateMod"])
_CONSTANT_BOUNDS = frozenset(["_RandomInRange", "Slice", "StridedSlice"])


def graph_failures(graph: Graph) -> Failures:
    """The worst that any operation of `graph` can do."""
    return max(map(_failures, graph.nodes), default=Failures.NEVER)


def _failures(node: Node) -> Failures:
    kind = node.type
    if kind in _READ_DATA:
        return Failures.ON_DATA
    if kind == "Placeholder" or kind == "Const":
        return Failures.NEVER
    if kind in _DIVISIONS:
        divisor = node.inputs[1]
        value = constant_value(divisor)
        if not divisor.dtype.is_floating and (value is None or not np.all(value)):
            return Failures.ON_VALUES
    elif kind in _CONSTANT_BOUNDS:
        if any(constant_value(t) is None for t in node.inputs[1:]):
            return Failures.ON_VALUES
    elif kind == "Pow" and node.outputs[0].dtype.is_integer:
        return Failures.ON_VALUES  # a negative exponent
    elif kind not in _SHAPES_ONLY and node.primitive.elementwise is None:
        return Failures.ON_VALUES
    if not all(t.shape.is_fully_defined() for t in node.inputs):
        return Failures.ON_DATA
    if not all(t.shape.is_fully_defined() for t in node.outputs):
        return Failures.ON_VALUES  # a shape that values decide
    return Failures.NEVER
