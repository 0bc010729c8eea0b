"""edit_distance: how many insertions, deletions and replacements lie between sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .sparse_tensor import SparseTensor
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["edit_distance"]


def edit_distance(
    hypothesis: SparseTensor,
    truth: SparseTensor,
    normalize: bool = True,
    name: str = "edit_distance",
) -> Tensor:
    """Levenshtein's distance between the sequences along the last axis of sparse tensors.

    Args:
        hypothesis, truth: sparse, of one rank and dtype; elements are taken in their order.
        normalize: over the truth's length (inf where that is 0 and the distance is not).

    Returns:
        float32, of the shape that `truth` and `hypothesis` have without the last axis.

    Raises:
        TypeError: an input is not sparse.
        InvalidArgumentError: ranks differ, or coordinates are out of range.
    """
    for what, t in (("hypothesis", hypothesis), ("truth", truth)):
        if not isinstance(t, SparseTensor):
            raise TypeError(f"{what} must be a SparseTensor, got {type(t).__name__}")
    return EditDistance(
        hypothesis.indices,
        hypothesis.values,
        hypothesis.dense_shape,
        truth.indices,
        truth.values,
        truth.dense_shape,
        normalize=bool(normalize),
    )


def _sequences(indices: Any, values: Any) -> dict[tuple[int, ...], list[Any]]:
    out: dict[tuple[int, ...], list[Any]] = {}
    items = values.tolist()
    for place, value in zip(indices[:, :-1].tolist(), items, strict=True):
        out.setdefault(tuple(place), []).append(value)
    return out


def _distance(a: list[Any], b: list[Any]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def _impl(hi: Any, hv: Any, hs: Any, ti: Any, tv: Any, ts: Any, *, normalize: bool) -> Any:
    if len(hs) != len(ts) or len(hs) < 2:
        raise InvalidArgumentError(
            "hypothesis and truth must have the same rank, at least 2, got dense shapes "
            f"{hs.tolist()} and {ts.tolist()} [Op:EditDistance]",
            op="EditDistance",
        )
    dims = tuple(np.maximum(hs, ts)[:-1].tolist())
    out = np.zeros(dims, np.float32)
    ours, theirs = _sequences(hi, hv), _sequences(ti, tv)
    for place in ours.keys() | theirs.keys():
        if any(not 0 <= p < n for p, n in zip(place, dims, strict=True)):
            raise InvalidArgumentError(
                f"got an element at {list(place)}, outside of {list(dims)} [Op:EditDistance]",
                op="EditDistance",
            )
        a, b = ours.get(place, []), theirs.get(place, [])
        found: float = _distance(a, b)
        if normalize:
            found = found / len(b) if b else (np.inf if a else 0.0)
        out[place] = found
    return out


def _shape(
    hi: Any, hv: Any, hs: Any, ti: Any, tv: Any, ts: Any, *, normalize: bool
) -> TensorSpec:
    sizes = [constant_value(s) for s in (hs, ts)]
    if sizes[0] is None or sizes[1] is None or len(sizes[0]) != len(sizes[1]):
        return TensorSpec(None, dtypes.float32)
    return TensorSpec(np.maximum(*sizes)[:-1].tolist(), dtypes.float32)


EditDistance = Primitive(
    "EditDistance",
    "hypothesis_indices: int64, hypothesis_values: T, hypothesis_shape: int64, "
    "truth_indices: int64, truth_values: T, truth_shape: int64",
    impl=_impl,
    shape=_shape,
    defaults={"normalize": True},
)
