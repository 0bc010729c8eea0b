"""The operations by which replicas combine values inside a step, eager or compiled.

Their array functions ask the replica that the thread runs as (`current.replica`) for its
communicator, so that one compiled step serves all replicas.  Reductions of gradients come in
two halves: what begins one is moved, in a compiled step, to where its last gradient is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import dtypes, recycling
from ..ops.context import current
from ..ops.convert import to_tensor
from ..ops.errors import InvalidArgumentError
from ..ops.placement import to_host
from ..ops.primitive import Primitive
from ..ops.tensor_spec import TensorSpec
from .reduce_op import ReduceOp

__all__ = [
    "all_gather",
    "all_reduce",
    "batch_share",
    "broadcast",
    "finish_reduction",
    "replica_id",
    "start_reduction",
]


def _specs(*values: Any, **attrs: Any) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(v.shape, v.dtype) for v in values)


# -- all_reduce ----------------------------------------------------------------------------


def all_reduce(values: Sequence[Any], op: ReduceOp) -> list[Any]:
    """The tensors `values` of one dtype, each combined over the replicas."""
    if op is ReduceOp.MEAN and not values[0].dtype.is_floating:
        raise InvalidArgumentError(
            f"all_reduce by MEAN needs floats, got {values[0].dtype.name}; use SUM, or hr.cast"
        )
    return list(ReplicaAllReduce(list(values), mean=op is ReduceOp.MEAN))


def _all_reduce_impl(*values: Any, mean: bool) -> tuple[Any, ...]:
    return tuple(current.replica.communicator.all_reduce(values, mean))


def _all_reduce_vjp(op: Any, *grads: Any) -> list[Any]:
    return list(ReplicaAllReduce(list(grads), mean=op.attrs["mean"]))


ReplicaAllReduce = Primitive(
    "_ReplicaAllReduce",
    "values: N * T",
    impl=_all_reduce_impl,
    shape=_specs,
    vjp=_all_reduce_vjp,
    stateful=True,
)


# -- reductions of gradients, in two halves --------------------------------------------------


def start_reduction(values: Sequence[Any], mean: bool = False) -> Any:
    """A token of the reduction of the tensors `values`, of one dtype, that begins here."""
    return StartReduction(list(values), mean=mean, own=())


def _start_impl(*values: Any, mean: bool, own: tuple[bool, ...]) -> Any:
    # Of what nobody reads any more, the memory may be somebody else's still.
    own = tuple(mine and recycling.is_sole(v) for mine, v in zip(own, values, strict=False))
    return np.asarray(current.replica.communicator.start(values, mean, True, own))


def _start_shape(*values: Any, mean: bool, own: tuple[bool, ...]) -> TensorSpec:
    return TensorSpec([], dtypes.int64)


StartReduction = Primitive(
    "_StartReduction",
    "values: N * T",
    impl=_start_impl,
    shape=_start_shape,
    stateful=True,
    defaults={"own": ()},
)
StartReduction.starts_early = True  # type: ignore[attr-defined]


def finish_reduction(token: Any, specs: Sequence[TensorSpec]) -> list[Any]:
    """The reduced tensors of a `start_reduction`, of these specs."""
    return list(FinishReduction(token, specs=tuple(specs)))


def _finish_impl(token: Any, *, specs: Any) -> tuple[Any, ...]:
    return tuple(current.replica.communicator.finish(int(token)))


FinishReduction = Primitive(
    "_FinishReduction",
    "token: int64",
    impl=_finish_impl,
    shape=lambda token, *, specs: specs,
    stateful=True,
)


# -- all_gather ----------------------------------------------------------------------------


def all_gather(value: Any, axis: int) -> Any:
    """The replicas' tensors joined along `axis`; they may differ in that size only."""
    return ReplicaAllGather(value, axis=axis)


def _gather_impl(value: Any, *, axis: int) -> Any:
    return current.replica.communicator.all_gather(value, axis)


def _gather_shape(value: Any, *, axis: int) -> TensorSpec:
    rank = value.shape.rank
    if rank is None:
        return TensorSpec(None, value.dtype)
    if not -rank <= axis < rank:
        raise InvalidArgumentError(
            f"axis of all_gather must be in [{-rank}, {rank}) for shape {value.shape}, got "
            f"{axis}; a scalar has no axis to join along"
        )
    dims = value.shape.as_list()
    dims[axis] = None
    return TensorSpec(dims, value.dtype)


def _gather_vjp(op: Any, grad: Any) -> Any:
    (total,) = ReplicaAllReduce([grad], mean=False)
    return OwnPart(total, op.inputs[0], axis=op.attrs["axis"])


ReplicaAllGather = Primitive(
    "_ReplicaAllGather",
    "value: T",
    impl=_gather_impl,
    shape=_gather_shape,
    vjp=_gather_vjp,
    stateful=True,
    check_first=True,
)


def _own_part_impl(joined: Any, value: Any, *, axis: int) -> Any:
    me = current.replica.communicator
    sizes = me.host.all_gather(np.asarray([value.shape[axis]]), 0)
    start = int(sizes[: me.rank].sum())
    part = [slice(None)] * joined.ndim
    part[axis] = slice(start, start + value.shape[axis])
    return joined[tuple(part)]


OwnPart = Primitive(
    "_ReplicaOwnPart",
    "joined: T, value: T",
    impl=_own_part_impl,
    shape=lambda joined, value, *, axis: TensorSpec(value.shape, value.dtype),
    stateful=True,
)


# -- the rest ------------------------------------------------------------------------------


def broadcast(value: Any) -> Any:
    """The tensor of replica 0."""
    return ReplicaBroadcast(value)


ReplicaBroadcast = Primitive(
    "_ReplicaBroadcast",
    "value: T",
    impl=lambda value: current.replica.communicator.broadcast([value])[0],
    shape=lambda value: TensorSpec(value.shape, value.dtype),
    stateful=True,
)


def replica_id() -> Any:
    """The number of the replica that runs, an int32 scalar."""
    return ReplicaId()


ReplicaId = Primitive(
    "_ReplicaId",
    "",
    impl=lambda: np.asarray(current.replica.communicator.rank, np.int32),
    shape=lambda: TensorSpec([], dtypes.int32),
    stateful=True,
)


def batch_share(count: Any) -> Any:
    """This replica's share of what all replicas count, a float32 scalar.

    Args:
        count: how many examples (or elements) this replica averages over, a scalar.
    """
    return BatchShare(to_tensor(count, dtypes.float32))


def _share_impl(count: Any) -> Any:
    replica = current.replica
    if replica.rows is not None:  # the strategy dealt the batch out itself
        own, total = replica.rows
        return np.asarray(own / max(total, 1), np.float32)
    count = to_host(count)
    (total,) = replica.communicator.host.all_reduce([np.asarray(count, np.float64)])
    return np.asarray(float(count) / max(float(total), 1.0), np.float32)


BatchShare = Primitive(
    "_ReplicaBatchShare",
    "count: float32",
    impl=_share_impl,
    shape=lambda count: TensorSpec([], dtypes.float32),
    vjp=lambda op, grad: None,
    stateful=True,
)


def _share_owned_impl(*, variables: Any, owners: Any) -> Any:
    current.replica.communicator.share_owned(variables, owners)
    return np.zeros((), np.bool_)


ShareOwned = Primitive(
    "_ReplicaShareOwned",
    "",
    impl=_share_owned_impl,
    shape=lambda *, variables, owners: TensorSpec([], dtypes.bool),
    stateful=True,
)
