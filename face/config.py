"""`hr.config`: what the runtime has and how it behaves."""

from typing import NamedTuple

from ..ops.function import functions_run_eagerly, run_functions_eagerly
from . import config_threading as threading

__all__ = [
    "LogicalDevice",
    "PhysicalDevice",
    "functions_run_eagerly",
    "list_logical_devices",
    "list_physical_devices",
    "run_functions_eagerly",
    "threading",
]


class PhysicalDevice(NamedTuple):
    """A device of this machine.

    Attributes:
        name: such as "/physical_device:CPU:0".
        device_type: such as "CPU".
    """

    name: str
    device_type: str


class LogicalDevice(NamedTuple):
    """A device as strategies and device scopes name it.

    Attributes:
        name: such as "/device:CPU:0".
        device_type: such as "CPU".
    """

    name: str
    device_type: str


def list_physical_devices(device_type: str | None = None) -> list[PhysicalDevice]:
    """The devices Headrace can run on, those of `device_type` where one is given.

    >>> import headrace as hr
    >>> hr.config.list_physical_devices("CPU")
    [PhysicalDevice(name='/physical_device:CPU:0', device_type='CPU')]
    """
    devices = [PhysicalDevice("/physical_device:CPU:0", "CPU")]
    return [each for each in devices if device_type in (None, each.device_type)]


def list_logical_devices(device_type: str | None = None) -> list[LogicalDevice]:
    """The names under which `list_physical_devices` are addressed."""
    return [
        LogicalDevice(each.name.replace("physical_device", "device"), each.device_type)
        for each in list_physical_devices(device_type)
    ]
