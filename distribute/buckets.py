"""Gradients reduced in buckets: the last layers' first, as the backward pass makes them.

One reduction per gradient would cost a meeting of the replicas each; one for all could begin
only when the last is made.  So they travel in buckets: a small first one, to begin early, then
larger ones (Li et al. 2020, PyTorch Distributed).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops.indexed_slices import IndexedSlices
from ..ops.tensor_spec import TensorSpec
from .collective_ops import all_gather, finish_reduction, start_reduction

__all__ = ["assign_buckets", "reduce_gradients"]


def assign_buckets(
    sizes_bytes: Sequence[int], kinds: Sequence[Any], limits: tuple[int, int]
) -> list[list[int]]:
    """The numbers of the gradients in each bucket, from the last gradient to the first.

    Args:
        sizes_bytes: of the gradients, in the order of the variables.
        kinds: their dtypes; a bucket holds one.
        limits: bytes after which the first bucket, and any other, is full.

    >>> assign_buckets([8, 8, 8, 8], ["f"] * 4, (1, 16))
    [[3], [2, 1], [0]]
    """
    buckets: list[list[int]] = []
    open_by_kind: dict[Any, tuple[list[int], int]] = {}
    for i in reversed(range(len(sizes_bytes))):
        bucket, held = open_by_kind.get(kinds[i], ([], 0))
        if not bucket:
            buckets.append(bucket)
        bucket.append(i)
        held += sizes_bytes[i]
        limit = limits[0] if bucket is buckets[0] else limits[1]
        open_by_kind[kinds[i]] = ([], 0) if held >= limit else (bucket, held)
    return buckets


def reduce_gradients(
    gradients: Sequence[Any], limits: tuple[int, int], shapes: Sequence[Any]
) -> list[Any]:
    """The sums of the gradients over the replicas; None stays None, and sparse ones stay
    sparse: their rows are gathered.

    Args:
        gradients: of this replica, in the order of the variables.
        limits: see `assign_buckets`.
        shapes: of the variables.
    """
    found = list(gradients)
    dense = [
        i for i, g in enumerate(found) if g is not None and not isinstance(g, IndexedSlices)
    ]
    sizes = [(shapes[i].num_elements() or 0) * found[i].dtype.size for i in dense]
    kinds = [found[i].dtype for i in dense]
    begun = []
    for bucket in assign_buckets(sizes, kinds, limits):
        members = [dense[k] for k in bucket]
        token = start_reduction([found[i] for i in members])
        begun.append((members, token))
    for i, g in enumerate(found):
        if isinstance(g, IndexedSlices):
            values, indices = all_gather(g.values, 0), all_gather(g.indices, 0)
            found[i] = IndexedSlices(values, indices, g.dense_shape)
    for members, token in begun:
        specs = [TensorSpec(found[i].shape, found[i].dtype) for i in members]
        for i, reduced in zip(members, finish_reduction(token, specs), strict=True):
            found[i] = reduced
    return found
