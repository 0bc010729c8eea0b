"""Devices: their names, which are visible, and the scope that asks for one.

This build computes on the CPU.  Several logical CPUs can be declared, so that code for several
devices is tried out without them; they share the machine's memory and threads, and an array is
on all of them.  A scope that asks for a device there is none of runs on the CPU, unless soft
placement is off.
"""

from __future__ import annotations

import re
import threading
from typing import Any, NamedTuple

from .errors import InvalidArgumentError

__all__ = [
    "DeviceSpec",
    "LogicalDevice",
    "LogicalDeviceConfiguration",
    "PhysicalDevice",
    "current_device",
    "device",
    "devices",
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


class LogicalDeviceConfiguration(NamedTuple):
    """How a logical device is made of a physical one.

    Attributes:
        memory_limit: MiB; not for CPUs.
        experimental_priority, experimental_device_ordinal: not for CPUs.
    """

    memory_limit: int | None = None
    experimental_priority: int | None = None
    experimental_device_ordinal: int | None = None


_CPU = PhysicalDevice("/physical_device:CPU:0", "CPU")


class Devices:
    """The devices of the process; `hr.config` is its face.

    What is visible, and how many logical devices there are, is settled when the logical devices
    are first asked for, as in TensorFlow.
    """

    def __init__(self) -> None:
        self.soft_placement = True
        self._visible: list[PhysicalDevice] = [_CPU]
        self._configurations: dict[PhysicalDevice, list[LogicalDeviceConfiguration]] = {}
        self._logical: list[LogicalDevice] | None = None

    def physical(self, device_type: str | None = None) -> list[PhysicalDevice]:
        """All devices, those of `device_type` where one is given."""
        return [each for each in [_CPU] if device_type in (None, each.device_type)]

    def visible(self, device_type: str | None = None) -> list[PhysicalDevice]:
        """Those that are used."""
        return [each for each in self._visible if device_type in (None, each.device_type)]

    def set_visible(self, wanted: Any, device_type: str | None = None) -> None:
        """See `hr.config.set_visible_devices`."""
        given = list(wanted) if isinstance(wanted, (list, tuple, set)) and not isinstance(
            wanted, PhysicalDevice
        ) else [wanted]  # fmt: skip
        for each in given:
            self._known(each)
            if device_type is not None and each.device_type != device_type:
                raise ValueError(f"Unrecognized device: {each!r}")
        rest = [d for d in self._visible if device_type not in (None, d.device_type)]
        if self._logical is not None and [*rest, *given] != self._visible:
            raise RuntimeError("Visible devices cannot be modified after being initialized")
        self._visible = [*rest, *given]

    def configuration(self, device: Any) -> list[LogicalDeviceConfiguration] | None:
        """See `hr.config.get_logical_device_configuration`."""
        return self._configurations.get(self._known(device))

    def configure(self, device: Any, logical: Any) -> None:
        """See `hr.config.set_logical_device_configuration`."""
        self._known(device)
        made = [LogicalDeviceConfiguration(*each) for each in logical or ()]
        for each in made:
            if each.memory_limit is not None:
                raise ValueError("Setting memory limit on CPU virtual devices is currently not "
                                 "supported")  # fmt: skip
            if each.experimental_priority is not None:
                raise ValueError("Setting experimental_priority on CPU virtual devices is "
                                 " currently not supported")  # fmt: skip
        if self._configurations.get(device) == made:
            return
        if self._logical is not None:
            raise RuntimeError("Virtual devices cannot be modified after being initialized")
        self._configurations[device] = made

    def logical(self, device_type: str | None = None) -> list[LogicalDevice]:
        """The logical devices; from now on they stay as they are."""
        if self._logical is None:
            self._logical = [
                LogicalDevice(f"/device:CPU:{i}", "CPU")
                for i in range(sum(len(self._configurations.get(d) or "1")
                                   for d in self._visible))
            ]  # fmt: skip
        return [each for each in self._logical if device_type in (None, each.device_type)]

    def _known(self, device: Any) -> PhysicalDevice:
        if device not in self.physical():
            raise ValueError(f"Unrecognized device: {device!r}")
        return device


devices = Devices()


class DeviceSpec:
    """A device's name, possibly in parts.

    Args:
        job, replica, task: of a process in a cluster.
        device_type: such as "CPU".
        device_index: its number; None for any.

    >>> DeviceSpec(device_type="CPU", device_index=1).to_string()
    '/device:CPU:1'
    """

    __slots__ = ("device_index", "device_type", "job", "replica", "task")

    def __init__(
        self,
        job: str | None = None,
        replica: int | None = None,
        task: int | None = None,
        device_type: str | None = None,
        device_index: int | None = None,
    ):
        self.job = None if job is None else str(job)
        self.replica = None if replica is None else int(replica)
        self.task = None if task is None else int(task)
        self.device_type = None if device_type is None else str(device_type).upper()
        self.device_index = None if device_index is None else int(device_index)

    @classmethod
    def from_string(cls, spec: str) -> DeviceSpec:
        """The parts of a name such as "/job:worker/task:1/device:CPU:0" or "cpu:0".

        Raises:
            ValueError: a part is not understood.
        """
        return cls(**_parsed(spec))

    def parse_from_string(self, spec: str) -> DeviceSpec:
        """Like `from_string`."""
        return self.from_string(spec)

    def make_merged_spec(self, dev: DeviceSpec) -> DeviceSpec:
        """The parts of `dev`, and this one's where it has none."""
        return DeviceSpec(**{k: getattr(self, k) if getattr(dev, k) is None
                             else getattr(dev, k) for k in _PARTS})  # fmt: skip

    def replace(self, **kwargs: Any) -> DeviceSpec:
        """A copy with other parts."""
        return DeviceSpec(**{k: kwargs.get(k, getattr(self, k)) for k in _PARTS})

    def to_string(self) -> str:
        """The name; empty without parts."""
        found = [f"/{k}:{v}" for k in ("job", "replica", "task")
                 if (v := getattr(self, k)) is not None]  # fmt: skip
        if self.device_type is not None:
            index = "*" if self.device_index is None else self.device_index
            found.append(f"/device:{self.device_type}:{index}")
        return "".join(found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeviceSpec) and self.to_string() == other.to_string()

    def __hash__(self) -> int:
        return hash(self.to_string())

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={getattr(self, k)}" for k in _PARTS)
        return f"<DeviceSpec({shown})>"


_PARTS = ("job", "replica", "task", "device_type", "device_index")
_PART = re.compile(
    r"(?:job:(?P<job>\w+)|replica:(?P<replica>\d+)|task:(?P<task>\d+)"
    r"|(?:device:(?P<kind>[A-Za-z]\w*)|(?P<short>[cg]pu|tpu))(?::(?P<index>\d+|\*))?)$",
    re.IGNORECASE,
)


def _parsed(spec: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, spec.split("/")):
        match = _PART.match(part)
        if match is None:
            raise ValueError(
                f"Unknown attribute '{part.split(':')[0]}' is encountered while parsing the "
                f"device spec: '{spec}'."
            )
        for key in ("job", "replica", "task"):
            if match[key] is not None:
                found[key] = match[key]
        kind = match["kind"] or match["short"]
        if kind is not None:
            found["device_type"] = kind
            if match["index"] not in (None, "*"):
                found["device_index"] = match["index"]
    return found


class _Scopes(threading.local):
    stack: tuple[DeviceSpec, ...] = ()


_scopes = _Scopes()


class device:
    """A context manager that asks for a device for what runs in the block.

    Scopes nest and add up; None and the empty name ask for nothing in particular.

    Args:
        device_name: a name such as "cpu:0", "/device:CPU:0" or "/gpu:0", a `DeviceSpec`, a
            logical device, or None.

    Raises:
        ValueError: it names no device.
        InvalidArgumentError: there is no such device and soft placement is off.

    >>> with device("cpu:0"):
    ...     current_device()
    '/job:localhost/replica:0/task:0/device:CPU:0'
    """

    def __init__(self, device_name: Any):
        if isinstance(device_name, LogicalDevice):
            device_name = device_name.name
        if isinstance(device_name, DeviceSpec):
            self._spec: DeviceSpec | None = device_name
        elif device_name is None:
            self._spec = None
        elif isinstance(device_name, str):
            self._spec = DeviceSpec.from_string(device_name)
        else:
            raise ValueError(
                f"Expecting a string device name. Got {type(device_name)}({device_name})"
            )
        self._before: list[tuple[DeviceSpec, ...]] = []

    def __enter__(self) -> None:
        spec = self._spec
        if spec is not None and spec.device_type and not devices.soft_placement:
            known = [d.name for d in devices.logical()]
            name = f"/device:{spec.device_type}:{spec.device_index or 0}"
            if name not in known:
                raise InvalidArgumentError(
                    f"Could not satisfy device specification '{spec.to_string()}'. "
                    f"enable_soft_placement=0. All available devices [{', '.join(known)}]"
                )
        self._before.append(_scopes.stack)
        _scopes.stack = () if spec is None else (*_scopes.stack, spec)

    def __exit__(self, *error: Any) -> None:
        _scopes.stack = self._before.pop()


def current_device() -> str:
    """The full name of the device that the scopes around ask for, as far as there is one."""
    spec = DeviceSpec()
    for each in _scopes.stack:
        spec = spec.make_merged_spec(each)
    index = spec.device_index or 0
    if spec.device_type not in (None, "CPU") or index >= len(devices.logical("CPU")):
        index = 0
    return f"/job:localhost/replica:0/task:0/device:CPU:{index}"
