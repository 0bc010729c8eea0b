"""The functions of `hr.config` about devices, which `hr.config.experimental` offers as well."""

from typing import Any

from ..ops.devices import (
    LogicalDevice,
    LogicalDeviceConfiguration,
    PhysicalDevice,
    devices as _devices,
)

__all__ = [
    "get_logical_device_configuration",
    "get_visible_devices",
    "list_logical_devices",
    "list_physical_devices",
    "set_logical_device_configuration",
    "set_visible_devices",
]


def list_physical_devices(device_type: str | None = None) -> list[PhysicalDevice]:
    """The devices Headrace can run on, those of `device_type` where one is given.

    >>> import headrace as hr
    >>> hr.config.list_physical_devices("CPU")
    [PhysicalDevice(name='/physical_device:CPU:0', device_type='CPU')]
    """
    return _devices.physical(device_type)


def list_logical_devices(device_type: str | None = None) -> list[LogicalDevice]:
    """The names under which visible devices are addressed; they are settled by this call."""
    return _devices.logical(device_type)


def get_visible_devices(device_type: str | None = None) -> list[PhysicalDevice]:
    """The devices that are used."""
    return _devices.visible(device_type)


# The parameter is called `devices` in TensorFlow.
def set_visible_devices(devices: Any, device_type: str | None = None) -> None:
    """Use only `devices` (of `device_type`).

    Raises:
        ValueError: one is not a device of this machine.
        RuntimeError: the logical devices have been settled already.
    """
    _devices.set_visible(devices, device_type)


def get_logical_device_configuration(device: Any) -> list[LogicalDeviceConfiguration] | None:
    """What `set_logical_device_configuration` was given; None before it.

    Raises:
        ValueError: it is no device of this machine.
    """
    return _devices.configuration(device)


def set_logical_device_configuration(device: Any, logical_devices: Any) -> None:
    """Make several logical devices of one: each `LogicalDeviceConfiguration` stands for one.

    Logical CPUs share the memory and threads of the machine: they serve to try out code for
    several _devices.

    Raises:
        ValueError: it is no device of this machine, or a setting that CPUs do not have.
        RuntimeError: the logical devices have been settled already.
    """
    _devices.configure(device, logical_devices)
