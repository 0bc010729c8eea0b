"""`hr.config.experimental`: determinism, memory, and the older names of devices' settings."""

from typing import Any

from ..ops.determinism import enable_op_determinism
from ..ops.devices import (
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
    "get_synchronous_execution",
    "get_virtual_device_configuration",
    "get_visible_devices",
    "list_logical_devices",
    "list_physical_devices",
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
_tensor_float_32 = True


def set_memory_growth(device: Any, enable: bool) -> None:
    """Recorded: memory is always asked for as it is needed.

    Raises:
        ValueError: it is no device of this machine, or has logical devices.
    """
    if _devices.configuration(device):
        raise ValueError("Cannot set memory growth on device when virtual devices configured")
    _growth[device] = bool(enable)


def get_memory_growth(device: Any) -> bool:
    """What `set_memory_growth` was given.

    Raises:
        ValueError: it is no device of this machine.
        KeyError: nothing was set.
    """
    _devices.configuration(device)
    return _growth[device]


def get_memory_info(device: str) -> dict[str, int]:
    """``{"current": 0, "peak": 0}``: a CPU's memory is the process's, which the system counts.

    Raises:
        ValueError: there is no such device.
    """
    if f"/device:{device.removeprefix('/device:').upper()}" not in {
        d.name for d in _devices.logical()
    }:
        raise ValueError(f"Failed parsing device name: {device!r} is no device of this machine")
    return {"current": 0, "peak": 0}


def get_device_details(device: Any) -> dict[str, Any]:
    """What is known about a GPU; nothing about a CPU.

    Raises:
        ValueError: it is no device of this machine.
    """
    _devices.configuration(device)
    return {}


def set_synchronous_execution(enable: bool) -> None:
    """Accepted: operations end before their calls return."""


def get_synchronous_execution() -> bool:
    """True: operations end before their calls return."""
    return True


def enable_tensor_float_32_execution(enabled: bool) -> None:
    """Recorded: products on a CPU have all bits of float32 anyway."""
    global _tensor_float_32
    _tensor_float_32 = bool(enabled)


def tensor_float_32_execution_enabled() -> bool:
    """What `enable_tensor_float_32_execution` was given; True at first, as in TensorFlow."""
    return _tensor_float_32
