"""`hr.config.experimental`: determinism, memory, and the older names of devices' settings."""

from typing import Any

from ..ops.determinism import enable_op_determinism
from ..ops.devices import (
    HOST as _HOST,
    LogicalDeviceConfiguration,
    PhysicalDevice,
    devices as _devices,
)
from .config_devices import (
    get_logical_device_configuration,
    get_visible_devices,
    list_logical_devices,
    list_physical_devices,
    set_logical_device_configuration,
    set_visible_devices,
)

__all__ = [
    "VirtualDeviceConfiguration",
    "enable_op_determinism",
    "enable_tensor_float_32_execution",
    "get_device_details",
    "get_memory_growth",
    "get_memory_info",
    "get_memory_usage",
    "get_synchronous_execution",
    "get_virtual_device_configuration",
    "get_visible_devices",
    "list_logical_devices",
    "list_physical_devices",
    "reset_memory_stats",
    "set_memory_growth",
    "set_synchronous_execution",
    "set_virtual_device_configuration",
    "set_visible_devices",
    "tensor_float_32_execution_enabled",
]

VirtualDeviceConfiguration = LogicalDeviceConfiguration
get_virtual_device_configuration = get_logical_device_configuration
set_virtual_device_configuration = set_logical_device_configuration
_growth: dict[PhysicalDevice, bool] = {}


def set_memory_growth(device: Any, enable: bool) -> None:
    """Recorded: memory of GPUs, too, is always asked for as it is needed, in blocks that a pool
    keeps; `set_logical_device_configuration` limits it.

    Raises:
        ValueError: it is no device of this machine, or has logical devices.
        RuntimeError: another growth than before is asked for once GPUs are in use.
    """
    if _devices.configuration(device):
        raise ValueError("Cannot set memory growth on device when virtual devices configured")
    if device.device_type == "GPU" and _devices.settled:
        if _growth.get(device) != bool(enable):
            raise RuntimeError("Physical devices cannot be modified after being initialized")
    _growth[device] = bool(enable)


def get_memory_growth(device: Any) -> bool:
    """What `set_memory_growth` was given.

    Raises:
        ValueError: it is no device of this machine.
        KeyError: nothing was set.
    """
    _devices.configuration(device)
    return _growth[device]


def _numbered(device: str) -> int:
    """The place of a device named like "GPU:0" or "CPU:0"."""
    if not isinstance(device, str):
        device = getattr(device, "name", device)
    name = f"/device:{str(device).removeprefix('/device:').upper()}"
    if name not in {d.name for d in _devices.logical()}:
        known = ", ".join(d.name.removeprefix("/device:") for d in _devices.logical())
        raise ValueError(
            f"Failed parsing device name: {device!r} is no device of this machine, which has "
            f"{known}"
        )
    kind, _, index = name.removeprefix("/device:").partition(":")
    return _devices.gpu_number(int(index)) if kind == "GPU" else _HOST


def get_memory_info(device: str) -> dict[str, int]:
    """Bytes of a GPU that arrays hold, ``"current"``, and the most its pool has held,
    ``"peak"``.  Zeros for a CPU, whose memory is the process's, which the system counts.

    Args:
        device: such as "GPU:0".

    Raises:
        ValueError: there is no such device.
    """
    place = _numbered(device)
    if place == _HOST or _devices.backend is None:
        return {"current": 0, "peak": 0}
    return _devices.backend.memory(place)


def reset_memory_stats(device: str) -> None:
    """Let the ``"peak"`` of `get_memory_info` begin with what is held now; the pool gives back
    what it does not use.

    Raises:
        ValueError: there is no such device.
    """
    place = _numbered(device)
    if place != _HOST and _devices.backend is not None:
        _devices.backend.forget_peak(place)


def get_memory_usage(device: str) -> int:
    """The ``"current"`` of `get_memory_info`.

    Raises:
        ValueError: there is no such device.
    """
    return get_memory_info(device)["current"]


def get_device_details(device: Any) -> dict[str, Any]:
    """``"device_name"`` and ``"compute_capability"`` of a GPU; nothing about a CPU.

    Raises:
        ValueError: it is no device of this machine.
    """
    _devices.configuration(device)
    if device.device_type != "GPU" or _devices.backend is None:
        return {}
    return _devices.backend.details(int(device.name.rpartition(":")[2]))


def set_synchronous_execution(enable: bool) -> None:
    """Accepted: operations end before their calls return."""


def get_synchronous_execution() -> bool:
    """True: operations end before their calls return."""
    return True


def enable_tensor_float_32_execution(enabled: bool) -> None:
    """Let products of float32 on GPUs of compute capability 8.0 and later round their factors
    to TensorFloat-32 (10 bits behind the point), which is several times as fast; the sums are
    float32.  On CPUs products have all bits in any case.
    """
    _devices.tensor_float_32 = bool(enabled)


def tensor_float_32_execution_enabled() -> bool:
    """What `enable_tensor_float_32_execution` was given; True at first, as in TensorFlow."""
    return _devices.tensor_float_32
