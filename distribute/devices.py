"""The devices a strategy is given by name, checked against those there are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..ops.devices import devices as known_devices
from ..ops.errors import InvalidArgumentError

__all__ = ["canonical_device", "canonical_devices"]

# "cpu:0", "/cpu:0", "/device:CPU:0", "/job:localhost/replica:0/task:0/device:CPU:0"
_DEVICE = re.compile(r"(?:/job:\w+(?:/replica:\d+)?(?:/task:\d+)?)?/?(?:device:)?(\w+):(\d+)")
_MOST_CPUS = 256


def canonical_device(device: str) -> str:
    """The name in the form "/device:CPU:0".

    Raises:
        ValueError: it is no device's name.
        NotImplementedError: it is no CPU.
    """
    match = _DEVICE.fullmatch(device) if isinstance(device, str) else None
    if match is None:
        raise ValueError(f"device must be a name such as '/cpu:0', got {device!r}")
    kind, number = match[1].upper(), int(match[2])
    if kind != "CPU":
        raise NotImplementedError(
            f"device must be a CPU, got {device!r}: strategies have no replicas on GPUs yet; "
            "use '/cpu:0'"
        )
    return f"/device:{kind}:{number}"


def canonical_devices(devices: Sequence[str] | None) -> tuple[str, ...]:
    """The names of a strategy's devices; None means all there are.

    CPUs are virtual: unless `hr.config.set_logical_device_configuration` says how many there
    are, there are as many as are asked for.

    Raises:
        ValueError: no device, one named twice, or none with such a name.
        InvalidArgumentError: there are fewer.
    """
    logical = [d.name for d in known_devices.logical("CPU")] if devices is None else []
    if devices is None:
        return tuple(logical)
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
        if int(name.rsplit(":", 1)[1]) >= count:
            raise InvalidArgumentError(
                f"there is no device {name!r}: {count} CPU device(s) exist, /device:CPU:0 to "
                f"/device:CPU:{count - 1}; hr.config.set_logical_device_configuration "
                "declares more"
            )
    return names
