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
from ..ops.array_module import array_module, beside, is_on_device, place_of as place_on_device
from ..ops.devices import HOST, pinned
from ..ops.placement import to_host, to_place
from ..ops.tensor import Tensor
from .nccl import load_nccl, nccl_type
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


WITHOUT_NCCL = (
    "cross_device_ops=hr.distribute.HierarchicalCopyAllReduce() does without NCCL, CPU devices "
    "without a GPU"
)


class CrossDeviceOps(abc.ABC):
    """Combines values that lie on several devices."""

    @abc.abstractmethod
    def combine(self, arrays: Sequence[Any]) -> list[Any]:
        """The sum of `arrays`, one per device, as an array for every device, where it lies."""

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
        if len(parts) == 1:
            return Mirrored(parts)
        found = self.combine([p._value for p in parts])
        if not any(map(is_on_device, found)):
            found = found[:1]  # all the same
        totals = [Tensor.of(f if is_on_device(f) else np.asarray(f)) for f in found]
        if how is ReduceOp.MEAN:
            totals = [total / hr.cast(len(parts), total.dtype) for total in totals]
        return Mirrored(totals * (len(parts) // len(totals)))

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
        where = getattr(destinations, "values", destinations)
        raw = hr.convert_to_tensor(tensor)._value
        places = [place_of(getattr(each, "_value", None)) for each in where]
        if not any(place != HOST for place in places):
            return Mirrored([Tensor.of(raw)] * len(places))
        return Mirrored([Tensor.of(moved(raw, place)) for place in places])

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class NaiveAllReduce(CrossDeviceOps):
    """The oracle: one sum after the other, a copy for every device."""

    def combine(self, arrays: Sequence[Any]) -> list[Any]:
        """See `CrossDeviceOps.combine`."""
        total = _added(arrays)
        return [_copied(total, place_of(a)) for a in arrays]


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
        given = self.reduce_to_device is not None
        there = hr.device(self.reduce_to_device) if given else pinned(place_of(arrays[0]))
        with there:
            total = self.accumulation_fn(
                [Tensor.of(a if is_on_device(a) else np.asarray(a)) for a in arrays]
            )
        raw = hr.convert_to_tensor(total)._value
        return [moved(raw, place_of(a)) for a in arrays]


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
        first = arrays[0] if is_on_device(arrays[0]) else np.asarray(arrays[0])
        shape, size = first.shape, int(first.size)
        count = min(max(self.num_packs, 1), max(size, 1))
        if count == 1:
            return self._combine_pack(arrays)
        columns = []
        for array in arrays:
            with beside(array):
                flat = array_module(array).reshape(array, -1)
                columns.append(array_module(array).array_split(flat, count))
        packs = [self._combine_pack(pack) for pack in zip(*columns, strict=True)]
        joined = []
        for parts in zip(*packs, strict=True):
            with beside(*parts):
                joined.append(array_module(*parts).concatenate(parts).reshape(shape))
        return joined

    @abc.abstractmethod
    def _combine_pack(self, arrays: Sequence[Any]) -> list[Any]: ...


class HierarchicalCopyAllReduce(_Packed):
    """Sums within groups of four devices that are near each other, then across the groups, then
    copies back along the same way: for machines without links between all devices."""

    _GROUP = 4

    def _combine_pack(self, arrays: Sequence[Any]) -> list[Any]:
        groups = [arrays[i : i + self._GROUP] for i in range(0, len(arrays), self._GROUP)]
        total = _added([_added(group) for group in groups])
        found = []
        for group in groups:
            head = moved(total, place_of(group[0]))
            found += [_copied(head, place_of(a)) for a in group]
        return found


class NcclAllReduce(_Packed):
    """NCCL's all-reduce between GPUs, through CuPy.  The default on GPUs, whose replicas'
    gradients it reduces beside the backward pass (`nccl_communicator`).

    Raises:
        ImportError: CuPy, a GPU or NCCL is missing; it says what to install.
    """

    def __init__(self, num_packs: int = 1):
        super().__init__(num_packs)
        self._backend, self._nccl = load_nccl("NcclAllReduce", WITHOUT_NCCL)
        self._groups: dict[tuple[int, ...], Any] = {}

    def communicators(self, places: Sequence[int]) -> Any:
        """NCCL's communicators between these GPUs, one for each, made once."""
        key = tuple(places)
        if key not in self._groups:
            self._groups[key] = self._nccl.NcclCommunicator.initAll(list(places))
        return self._groups[key]

    def _combine_pack(self, arrays: Sequence[Any]) -> list[Any]:
        nccl = self._nccl
        places = [place_of(a) for a in arrays]
        kind = nccl_type(nccl, arrays[0].dtype.name)
        if kind is None or HOST in places or len(set(places)) < len(places):
            total = _added(arrays)  # of what lies on the host, or NCCL has no numbers for
            return [_copied(total, place) for place in places]
        module, communicators = self._backend.module, self.communicators(places)
        given, results = [], []
        for a in arrays:
            with beside(a):
                given.append(module.ascontiguousarray(a).reshape(a.shape))
                results.append(module.empty_like(given[-1]))
        # One thread calls for all: outside of a group, the first call might wait for the next.
        nccl.groupStart()
        try:
            for a, out, communicator in zip(given, results, communicators, strict=True):
                with beside(a):
                    communicator.allReduce(
                        a.data.ptr, out.data.ptr, int(a.size), kind, nccl.NCCL_SUM,
                        module.cuda.get_current_stream().ptr,
                    )  # fmt: skip
        finally:
            nccl.groupEnd()
        return results


def place_of(array: Any) -> int:
    """Where a raw array lies: a GPU's number or `HOST`."""
    return place_on_device(array) if is_on_device(array) else HOST


def moved(array: Any, place: int) -> Any:
    """A raw array at a place; itself if it is there."""
    return to_host(array) if place == HOST else to_place(array, place)


def _copied(array: Any, place: int) -> Any:
    """A copy of an array at a place."""
    found = moved(array, place)
    if found is not array:
        return found
    with beside(array):
        return array.copy() if is_on_device(array) else np.array(array)


def _added(arrays: Sequence[Any]) -> Any:
    """The sum, made where the first one lies."""
    first = arrays[0]
    place = place_of(first)
    with beside(first):
        total = _copied(first, place)
        for array in arrays[1:]:
            total += moved(array, place)
    return total
