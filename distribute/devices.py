"""The devices a strategy is given by name, checked against those there are."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..ops import nest
from ..ops.context import placing
from ..ops.devices import HOST, devices as known_devices, pinned
from ..ops.errors import InvalidArgumentError
from ..ops.placement import to_host, to_place
from ..ops.tensor import SymbolicTensor, Tensor

__all__ = ["brought", "canonical_device", "canonical_devices", "current_on", "place_named"]

# "cpu:0", "/cpu:0", "/device:CPU:0", "/job:localhost/replica:0/task:0/device:CPU:0"
_DEVICE = re.compile(r"(?:/job:\w+(?:/replica:\d+)?(?:/task:\d+)?)?/?(?:device:)?(\w+):(\d+)")
_MOST_CPUS = 256


def canonical_device(device: str) -> str:
    """The name in the form "/device:CPU:0".

    Raises:
        ValueError: it is no name of a CPU or GPU.
        InvalidArgumentError: it names a GPU that is not there; it says why.
    """
    match = _DEVICE.fullmatch(device) if isinstance(device, str) else None
    kind = "" if match is None else match[1].upper()
    if match is None or kind not in ("CPU", "GPU"):
        raise ValueError(f"device must be a name such as '/cpu:0' or '/gpu:0', got {device!r}")
    number = int(match[2])
    if kind == "GPU":
        known_devices.gpu_number(number)
    return f"/device:{kind}:{number}"


def canonical_devices(devices: Sequence[str] | None) -> tuple[str, ...]:
    """The names of a strategy's devices; None means all GPUs, or all CPUs where there are none.

    CPUs are virtual: unless `hr.config.set_logical_device_configuration` says how many there
    are, there are as many as are asked for.

    Raises:
        ValueError: no device, one named twice, or none with such a name.
        InvalidArgumentError: there are fewer.
    """
    if devices is None:
        found = known_devices.logical("GPU") or known_devices.logical("CPU")
        return tuple(d.name for d in found)
    if isinstance(devices, str) or not devices:
        raise ValueError(
            f"devices must be a list of at least one device name, got {devices!r}; "
            "for instance ['cpu:0', 'cpu:1']"
        )
    names = tuple(canonical_device(d) for d in devices)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(
            f"devices must differ, got {sorted(twice)[0]!r} more than once in {list(devices)}"
        )
    declared = any(
        known_devices.configuration(d) is not None for d in known_devices.physical("CPU")
    )
    count = len(known_devices.logical("CPU")) if declared else _MOST_CPUS
    for name in names:
        if "CPU" in name and int(name.rsplit(":", 1)[1]) >= count:
            raise InvalidArgumentError(
                f"there is no device {name!r}: {count} CPU device(s) exist, /device:CPU:0 to "
                f"/device:CPU:{count - 1}; hr.config.set_logical_device_configuration "
                "declares more"
            )
    return names


def place_named(name: str) -> int | None:
    """Where a replica on the device of a canonical name computes: a GPU's number; `HOST`, or
    None where everything does for there is no GPU."""
    kind, number = name.rsplit(":", 2)[-2:]
    if kind == "GPU":
        return known_devices.gpu_number(int(number))
    return HOST if placing.on else None


@contextlib.contextmanager
def current_on(place: int | None) -> Iterator[None]:
    """The block runs as a replica at a place: calls go there, new arrays are made there."""
    backend = None if place is None else known_devices.backend
    if backend is None or place is None or place == HOST:
        with pinned(place):
            yield
        return
    with backend.on(place), pinned(place):
        yield


def brought(part: Any, place: int) -> Any:
    """Nested tensors on the device at a place; what cannot lie there stays."""

    def bring(leaf: Any) -> Any:
        raw = getattr(leaf, "_value", None) if isinstance(leaf, Tensor) else None
        if raw is None or isinstance(leaf, SymbolicTensor):
            return leaf
        there = to_host(raw) if place == HOST else to_place(raw, place)
        return leaf if there is raw else Tensor.of(there)

    return nest.map_structure(bring, part)
