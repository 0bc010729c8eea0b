"""Cross-device operations: how the sum of the replicas' values is made.

A strategy takes one as `cross_device_ops`.  All give the same sums up to rounding; the naive
one is what the others are tested against.  A kind of its own overrides `combine`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops import api as hr
from ..ops.tensor import Tensor
from .reduce_op import ReduceOp
from .values import DistributedValues, Mirrored

__all__ = [
    "CrossDeviceOps",
    "HierarchicalCopyAllReduce",
    "NaiveAllReduce",
    "NcclAllReduce",
    "ReductionToOneDevice",
    "SharedMemoryAllReduce",
]


class CrossDeviceOps(abc.ABC):
    """Combines values that lie on several devices."""

    @abc.abstractmethod
    def combine(self, arrays: Sequence[Any]) -> list[Any]:
        """The sum of `arrays`, one per device, as an array for every device."""

    def reduce(
        self, reduce_op: Any, per_replica_value: Any, destinations: Any, options: Any = None
    ) -> Any:
        """The components of `per_replica_value` combined, mirrored to `destinations`.

        Args:
            reduce_op: SUM or MEAN.
            per_replica_value: a distributed value, or a tensor that counts as one component.
            destinations: where the result is wanted; every replica gets it here.
            options: `CommunicationOptions`, without effect here.
        """
        how = ReduceOp.of(reduce_op)
        if isinstance(per_replica_value, DistributedValues):
            parts = [hr.convert_to_tensor(v) for v in per_replica_value.values]
        else:
            parts = [hr.convert_to_tensor(per_replica_value)]
        total = parts[0]
        if len(parts) > 1:
            total = Tensor.of(np.asarray(self.combine([p._value for p in parts])[0]))
        if how is ReduceOp.MEAN and len(parts) > 1:
            total = total / hr.cast(len(parts), total.dtype)
        return Mirrored([total] * len(parts))

    def batch_reduce(
        self, reduce_op: Any, value_destination_pairs: Sequence[Any], options: Any = None
    ) -> list[Any]:
        """`reduce` of each ``(value, destinations)`` pair.

        Raises:
            ValueError: what is given is no list of pairs.
        """
        pairs = list(value_destination_pairs)
        if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
            raise ValueError(
                "value_destination_pairs must be a list of (value, destinations) pairs, got "
                f"{value_destination_pairs!r}"
            )
        return [self.reduce(reduce_op, value, where, options) for value, where in pairs]

    def broadcast(self, tensor: Any, destinations: Any) -> Any:
        """`tensor` on every device of `destinations`, a distributed value or a list."""
        count = len(getattr(destinations, "values", destinations))
        return Mirrored([hr.convert_to_tensor(tensor)] * count)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class NaiveAllReduce(CrossDeviceOps):
    """The oracle: one sum after the other, a copy for every device."""

    def combine(self, arrays: Sequence[Any]) -> list[Any]:
        """See `CrossDeviceOps.combine`."""
        total = np.array(arrays[0])
        for array in arrays[1:]:
            total = total + array
        return [np.array(total) for _ in arrays]


class SharedMemoryAllReduce(CrossDeviceOps):
    """Between CPU replicas: all of them add parts of the arrays where they lie; nothing is
    copied.  The default on CPUs; `shared_sum` does it inside a step."""

    def combine(self, arrays: Sequence[Any]) -> list[Any]:
        """See `CrossDeviceOps.combine`."""
        total = np.add(arrays[0], arrays[1]) if len(arrays) > 1 else np.asarray(arrays[0])
        for array in arrays[2:]:
            total = np.add(total, array)
        return [total] * len(arrays)


class ReductionToOneDevice(CrossDeviceOps):
    """The values are brought to one device, added there, and the sum is sent to all.

    Args:
        reduce_to_device: where; the first device if None.
        accumulation_fn: adds a list of tensors; `hr.add_n` if None.
    """

    def __init__(
        self,
        reduce_to_device: str | None = None,
        accumulation_fn: Callable[[list[Any]], Any] | None = None,
    ):
        self.reduce_to_device = reduce_to_device
        self.accumulation_fn = accumulation_fn or hr.add_n

    def combine(self, arrays: Sequence[Any]) -> list[Any]:
        """See `CrossDeviceOps.combine`."""
        with hr.device(self.reduce_to_device):
            total = self.accumulation_fn([Tensor.of(np.asarray(a)) for a in arrays])
        return [hr.convert_to_tensor(total)._value] * len(arrays)


class _Packed(CrossDeviceOps):
    """Sums made in `num_packs` pieces.

    Args:
        num_packs: number of pieces a value is cut into; 0 leaves it whole.

    Raises:
        ValueError: it is negative.
    """

    def __init__(self, num_packs: int = 1):
        if num_packs < 0:
            raise ValueError(f"num_packs must be >= 0, got {num_packs}")
        self.num_packs = num_packs

    def combine(self, arrays: Sequence[Any]) -> list[Any]:
        """See `CrossDeviceOps.combine`."""
        first = np.asarray(arrays[0])
        count = min(max(self.num_packs, 1), max(first.size, 1))
        if count == 1:
            return self._combine_pack(arrays)
        columns = [np.array_split(np.reshape(a, -1), count) for a in arrays]
        packs = [self._combine_pack(pack) for pack in zip(*columns, strict=True)]
        joined = [np.concatenate(parts) for parts in zip(*packs, strict=True)]
        return [j.reshape(first.shape) for j in joined]

    @abc.abstractmethod
    def _combine_pack(self, arrays: Sequence[Any]) -> list[Any]: ...


class HierarchicalCopyAllReduce(_Packed):
    """Sums within groups of four devices that are near each other, then across the groups, then
    copies back along the same way: for machines without links between all devices."""

    _GROUP = 4

    def _combine_pack(self, arrays: Sequence[Any]) -> list[Any]:
        groups = [arrays[i : i + self._GROUP] for i in range(0, len(arrays), self._GROUP)]
        heads = [_added(group) for group in groups]
        total = _added(heads)
        return [np.array(total) for _ in arrays]


def _added(arrays: Sequence[Any]) -> Any:
    total = np.array(arrays[0])
    for array in arrays[1:]:
        total += array
    return total


class NcclAllReduce(_Packed):
    """NCCL's all-reduce between GPUs, through CuPy.

    Raises:
        ImportError: CuPy or NCCL is not installed; it says what to install.
    """

    def __init__(self, num_packs: int = 1):
        super().__init__(num_packs)
        self._cupy, self._nccl = _load_nccl()
        self._groups: dict[tuple[int, ...], list[Any]] = {}

    def _combine_pack(self, arrays: Sequence[Any]) -> list[Any]:
        cp, nccl = self._cupy, self._nccl
        on = [cp.asarray(a) for a in arrays]
        devices = tuple(int(a.device.id) for a in on)
        if devices not in self._groups:
            self._groups[devices] = nccl.NcclCommunicator.initAll(list(devices))
        kinds = {"f": nccl.NCCL_FLOAT32, "d": nccl.NCCL_FLOAT64, "e": nccl.NCCL_FLOAT16}
        results = [cp.empty_like(a) for a in on]
        nccl.groupStart()
        for a, out, comm in zip(on, results, self._groups[devices], strict=True):
            with a.device:
                stream = cp.cuda.get_current_stream()
                comm.allReduce(
                    a.data.ptr, out.data.ptr, a.size, kinds[a.dtype.char], nccl.NCCL_SUM,
                    stream.ptr,
                )  # fmt: skip
        nccl.groupEnd()
        return results


def _load_nccl() -> tuple[Any, Any]:
    try:
        import cupy
        from cupy.cuda import nccl
    except ImportError as error:
        raise ImportError(
            "NcclAllReduce needs CuPy and NCCL, which are not installed; install the extra "
            "cuda13 or cuda12 (pip install 'headrace[cuda13]') and nvidia-nccl-cu13, or leave "
            "cross_device_ops to the strategy"
        ) from error
    return cupy, nccl
