"""`hr.config`: what the runtime has and how it behaves."""

from ..ops.devices import (
    LogicalDevice,
    LogicalDeviceConfiguration,
    PhysicalDevice,
    devices as _devices,
)
from ..ops.function import functions_run_eagerly, run_functions_eagerly
from . import config_experimental as experimental, config_threading as threading
from .config_devices import (
    get_logical_device_configuration,
    get_visible_devices,
    list_logical_devices,
    list_physical_devices,
    set_logical_device_configuration,
    set_visible_devices,
)

__all__ = [
    "LogicalDevice",
    "LogicalDeviceConfiguration",
    "PhysicalDevice",
    "experimental",
    "experimental_functions_run_eagerly",
    "experimental_run_functions_eagerly",
    "functions_run_eagerly",
    "get_logical_device_configuration",
    "get_soft_device_placement",
    "get_visible_devices",
    "list_logical_devices",
    "list_physical_devices",
    "run_functions_eagerly",
    "set_logical_device_configuration",
    "set_soft_device_placement",
    "set_visible_devices",
    "threading",
]

experimental_run_functions_eagerly = run_functions_eagerly
experimental_functions_run_eagerly = functions_run_eagerly


def get_soft_device_placement() -> bool:
    """Whether a device that is not there is replaced by the CPU."""
    return _devices.soft_placement


def set_soft_device_placement(enabled: bool) -> None:
    """Replace a device that is not there by the CPU (True), or refuse (False)."""
    _devices.soft_placement = bool(enabled)
