"""Batches of a dataset, copied to the model's GPU while it works on earlier ones.

`fit`, `evaluate` and `predict` send a dataset's batches through a `DeviceRing` when all of the
model's variables on devices lie on one GPU.  Not where that could be noticed: Python code per
element must not run ahead of what is asked for, and batches that are held over several steps
(`steps_per_execution`) would be written over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...data.dataset_base import DatasetBase
from ...data.device_copies import CupyCopies
from ...data.device_ring import DeviceRing
from ...data.rules.common import python_step
from ...data.transforms.on_device import OnDeviceNode
from ...data.transforms.prefetch import PrefetchNode
from ...ops import nest
from ...ops.array_module import is_on_device
from ...ops.context import placing
from ...ops.devices import HOST, at, devices, requested
from ...ops.tensor import Tensor
from .data_adapter import DataAdapter, DatasetAdapter

__all__ = ["through_ring"]


def through_ring(batches: Iterator[Any], adapter: DataAdapter, model: Any) -> Iterator[Any]:
    """A pass over the adapter's data, on the model's GPU where there is one; where not, as it
    is."""
    if not placing.on or devices.backend is None or not _may_read_ahead(adapter, model):
        return batches
    gpu = _gpu_of(model)
    if gpu is None or requested() not in (None, gpu):
        return batches
    return map(_as_tensors, DeviceRing(_on_host(batches), CupyCopies(gpu)))


def _may_read_ahead(adapter: DataAdapter, model: Any) -> bool:
    if type(adapter) is not DatasetAdapter or not isinstance(adapter._dataset, DatasetBase):
        return False
    extended = model.distribute_strategy.extended
    if model._replicated() or extended.several_workers or model.steps_per_execution != 1:
        return False
    dataset = adapter._dataset
    if dataset._own_options.fetch_to_device is False:
        return False
    plan = dataset._report.after
    if isinstance(plan, OnDeviceNode):
        return False  # it has a ring
    # A prefetch at the end reads ahead of what is asked for: the user allows it.
    return isinstance(plan, PrefetchNode) or python_step(plan) is None


def _gpu_of(model: Any) -> int | None:
    """The GPU with the model's variables, if there is exactly one."""
    values: list[Any] = [getattr(v, "_value", None) for v in model.variables]
    found = {v.device.id for v in values if is_on_device(v)}
    return found.pop() if len(found) == 1 else None


def _on_host(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches with raw arrays where a device can have them."""
    while True:
        with at(HOST):  # class weights are looked up here, on the ring's thread
            batch = next(batches, _END)
        if batch is _END:
            return
        yield nest.map_structure(_raw, batch)


_END = object()


def _raw(leaf: Any) -> Any:
    value = getattr(leaf, "_value", None) if isinstance(leaf, Tensor) else None
    backend = devices.backend
    if isinstance(value, np.ndarray) and backend is not None and backend.holds(value.dtype):
        return value
    return leaf


def _as_tensors(batch: Any) -> Any:
    return nest.map_structure(lambda x: Tensor.of(x) if is_on_device(x) else x, batch)
