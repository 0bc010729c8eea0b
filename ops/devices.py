"""Devices: which there are, which are visible, and the scope that asks for one.

Devices are the CPU and, with CuPy and a driver, the machine's GPUs.  Several logical CPUs can
be declared, so that code for several devices is tried out without them; they share the
machine's memory and threads, and an array is on all of them.  Where calls run is decided in
`placement`.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from typing import Any, NamedTuple

from . import device_backend
from .array_module import device_arrays
from .context import placing
from .device_backend import Backend
from .device_parts import Part
from .device_spec import DeviceSpec
from .errors import InvalidArgumentError

__all__ = [
    "HOST",
    "DeviceSpec",
    "LogicalDevice",
    "LogicalDeviceConfiguration",
    "PhysicalDevice",
    "at",
    "current_device",
    "device",
    "devices",
    "pinned",
    "pinned_place",
    "requested",
    "scopes",
]

HOST = -1  # the CPU's memory, beside the numbers of GPUs


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
        memory_limit: MiB; of GPUs only.
        experimental_priority, experimental_device_ordinal: kept, without effect; not for CPUs.
    """

    memory_limit: int | None = None
    experimental_priority: int | None = None
    experimental_device_ordinal: int | None = None


_CPU = PhysicalDevice("/physical_device:CPU:0", "CPU")


class Devices:
    """The devices of the process; `hr.config` is its face.

    What is visible, and how many logical devices there are, is settled when the logical devices
    are first asked for, as in TensorFlow.

    Attributes:
        soft_placement: whether what cannot be where it is asked for goes elsewhere.
        why_none: the reason why there are no GPUs; empty where there are some.
        tensor_float_32: whether float32 products on GPUs may round their factors.
    """

    def __init__(self) -> None:
        self.soft_placement = True
        self._tensor_float_32 = True
        self._lock = threading.RLock()
        self._reset(None, "")
        self._looked = False
        placing.on = device_backend.installed()  # what there is, the first call finds out

    def _reset(self, backend: Backend | None, why_none: str) -> None:
        self._looked = True
        self._backend = backend
        self.why_none = why_none
        self._visible: list[PhysicalDevice] | None = None
        self._configurations: dict[PhysicalDevice, list[LogicalDeviceConfiguration]] = {}
        self._logical: list[LogicalDevice] | None = None
        self._gpus: list[int] = []

    @property
    def backend(self) -> Backend | None:
        """The GPUs; None where there are none."""
        if not self._looked:
            with self._lock:
                if not self._looked:
                    self.use(*device_backend.load())
        return self._backend

    def use(self, backend: Backend | None, why_none: str = "") -> None:
        """Compute with the GPUs of `backend` from now on; nothing is settled any more."""
        with self._lock:
            if backend is not None and not backend.count:
                backend, why_none = None, "CUDA's driver finds no GPU"
            self._reset(backend, why_none)
            device_arrays.kind = None if backend is None else backend.array
            device_arrays.module = None if backend is None else backend.module
            device_arrays.backend = backend
            device_arrays.scipy = None if backend is None else backend.scipy
            placing.on = backend is not None
            if backend is not None:
                backend.allow_tensor_float_32(self._tensor_float_32)
            if backend is not None and backend.native:
                _load_overrides()

    def adopting(self) -> Backend:
        """The GPUs, for a device array that came from outside.

        Raises:
            InvalidArgumentError: there are none that Headrace could use.
        """
        backend = self.backend
        if backend is None:
            raise InvalidArgumentError(f"An array on a GPU cannot be used: {self.why_none}.")
        return backend

    @property
    def settled(self) -> bool:
        """Whether the logical devices stay as they are."""
        return self._logical is not None

    @property
    def are_split(self) -> bool:
        """Whether several logical devices are on one GPU."""
        self.logical()
        return self._backend is not None and len(self._gpus) > len(self.visible("GPU"))

    @property
    def tensor_float_32(self) -> bool:
        """See `hr.config.experimental.enable_tensor_float_32_execution`."""
        return self._tensor_float_32

    @tensor_float_32.setter
    def tensor_float_32(self, enabled: bool) -> None:
        self._tensor_float_32 = enabled
        if self._looked and self._backend is not None:
            self._backend.allow_tensor_float_32(enabled)

    # -- physical and logical -------------------------------------------------------------

    def physical(self, device_type: str | None = None) -> list[PhysicalDevice]:
        """All devices, those of `device_type` where one is given."""
        backend = None if device_type == "CPU" else self.backend
        found = [_CPU] + [
            PhysicalDevice(f"/physical_device:GPU:{i}", "GPU")
            for i in range(0 if backend is None else backend.count)
        ]
        return [each for each in found if device_type in (None, each.device_type)]

    def visible(self, device_type: str | None = None) -> list[PhysicalDevice]:
        """Those that are used."""
        if self._visible is None:
            return self.physical(device_type)
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
        before = self.visible()
        after = [d for d in before if device_type not in (None, d.device_type)] + given
        if self._logical is not None and after != before:
            raise RuntimeError("Visible devices cannot be modified after being initialized")
        self._visible = after

    def configuration(self, device: Any) -> list[LogicalDeviceConfiguration] | None:
        """See `hr.config.get_logical_device_configuration`."""
        return self._configurations.get(self._known(device))

    def configure(self, device: Any, logical: Any) -> None:
        """See `hr.config.set_logical_device_configuration`."""
        self._known(device)
        made = [LogicalDeviceConfiguration(*each) for each in logical or ()]
        if device.device_type == "CPU":
            _check_cpu(made)
        elif any(each.memory_limit is None for each in made):
            raise ValueError("Setting memory limit is required for GPU virtual devices")
        if self._configurations.get(device) == made:
            return
        if self._logical is not None:
            raise RuntimeError("Virtual devices cannot be modified after being initialized")
        self._configurations[device] = made

    def logical(self, device_type: str | None = None) -> list[LogicalDevice]:
        """The logical devices; from now on they stay as they are."""
        if self._logical is None:
            with self._lock:
                if self._logical is None:
                    self._settle()
        found: list[LogicalDevice] = self._logical  # type: ignore[assignment]
        return [each for each in found if device_type in (None, each.device_type)]

    def _settle(self) -> None:
        cpus = sum(len(self._configurations.get(d) or "1") for d in self.visible("CPU"))
        made = [LogicalDevice(f"/device:CPU:{i}", "CPU") for i in range(cpus)]
        parts = []
        for each in self.visible("GPU"):
            gpu = int(each.name.rpartition(":")[2])
            limits = [one.memory_limit or 0 for one in self._configurations.get(each) or ()]
            parts.append([Part(gpu, int(limit) << 20) for limit in limits or (0,)])
        flat = [part for own in parts for part in own]
        made += [LogicalDevice(f"/device:GPU:{i}", "GPU") for i in range(len(flat))]
        if self._backend is not None and len(flat) > len(parts):
            self._gpus = list(range(len(flat)))
            self._backend.split(flat)
        else:
            self._gpus = [part.gpu for part in flat]
            for part in flat:
                if part.limit_bytes and self._backend is not None:
                    self._backend.set_limit(part.gpu, part.limit_bytes)
        self._logical = made

    def _known(self, device: Any) -> PhysicalDevice:
        if device not in self.physical():
            raise ValueError(f"Unrecognized device: {device!r}")
        return device

    # -- places ---------------------------------------------------------------------------

    def default(self) -> int:
        """Where calls go that nothing else decides about: where the thread is pinned, else the
        first GPU, or `HOST`."""
        if _scopes.pinned is not None:
            return _scopes.pinned
        if self._logical is None:
            self.logical()
        return self._gpus[0] if self._gpus else HOST

    def gpu_number(self, logical: int) -> int:
        """The place of a logical GPU.

        Raises:
            InvalidArgumentError: there is no such GPU.
        """
        self.logical()
        if not 0 <= logical < len(self._gpus):
            known = ", ".join(d.name for d in self.logical())
            why = f" {self.why_none}." if self.why_none else ""
            raise InvalidArgumentError(
                f"There is no device GPU:{logical}; there are {known}.{why}"
            )
        return self._gpus[logical]

    def name_of(self, place: int) -> str:
        """The full name of the device at a place."""
        if place == HOST:
            return "/job:localhost/replica:0/task:0/device:CPU:0"
        self.logical()
        index = self._gpus.index(place) if place in self._gpus else place
        return f"/job:localhost/replica:0/task:0/device:GPU:{index}"

    def place_of(self, spec: DeviceSpec) -> int | None:
        """Where a scope's spec sends calls; None where it says nothing.

        Raises:
            InvalidArgumentError: there is no such device and soft placement is off.
        """
        kind = spec.device_type
        if kind is None:
            return None
        if self._logical is None and kind == "CPU" and not spec.device_index:
            return HOST  # without looking for GPUs
        known = [d.name for d in self.logical()]
        if f"/device:{kind}:{spec.device_index or 0}" not in known:
            if not self.soft_placement:
                why = f" There is no GPU: {self.why_none}." if kind == "GPU" and (
                    self.why_none) else ""  # fmt: skip
                raise InvalidArgumentError(
                    f"Could not satisfy device specification '{spec.to_string()}'. "
                    f"enable_soft_placement=0. All available devices [{', '.join(known)}]."
                    f"{why} With hr.config.set_soft_device_placement(True) another device is "
                    "taken."
                )
            return HOST if kind == "CPU" else self.default()
        return self._gpus[spec.device_index or 0] if kind == "GPU" else HOST


def _check_cpu(made: list[LogicalDeviceConfiguration]) -> None:
    for each in made:
        if each.memory_limit is not None:
            raise ValueError("Setting memory limit on CPU virtual devices is currently not "
                             "supported")  # fmt: skip
        if each.experimental_priority is not None:
            raise ValueError("Setting experimental_priority on CPU virtual devices is "
                             " currently not supported")  # fmt: skip


def _load_overrides() -> None:
    """Import `cuda.overrides`, which registers the array forms for GPUs."""
    if importlib.util.find_spec(".cuda.overrides", __package__) is not None:
        importlib.import_module(".cuda.overrides", __package__)


devices = Devices()


class _Scopes(threading.local):
    stack: tuple[DeviceSpec, ...] = ()
    place: int | None = None
    pinned: int | None = None


_scopes = _Scopes()


def requested() -> int | None:
    """Where the scopes around send calls: a GPU's number, `HOST`, or None."""
    return _scopes.place


def scopes() -> tuple[DeviceSpec, ...]:
    """The scopes around; the same object as long as none is entered or left."""
    return _scopes.stack


def pinned_place() -> int | None:
    """The place that the thread's calls are pinned to: a GPU's number, `HOST`, or None."""
    return _scopes.pinned


class pinned:
    """A context manager: what no scope decides about runs at a place, wherever its inputs lie;
    small integers stay on the host, as they do without it.  A strategy's replica is pinned to
    its device.

    Args:
        place: a GPU's number or `HOST`; None changes nothing.
    """

    __slots__ = ("_before", "_place")

    def __init__(self, place: int | None):
        self._place = place

    def __enter__(self) -> None:
        self._before = _scopes.pinned
        if self._place is not None:
            _scopes.pinned = self._place

    def __exit__(self, *error: Any) -> None:
        _scopes.pinned = self._before


class at:
    """A context manager that sends the calls in the block to a place, whatever scopes say.

    Args:
        place: a GPU's number, `HOST`, or None for what decides without a scope.
    """

    __slots__ = ("_before", "_place")

    def __init__(self, place: int | None):
        self._place = place

    def __enter__(self) -> None:
        self._before = _scopes.stack, _scopes.place
        _scopes.stack, _scopes.place = (*_scopes.stack, DeviceSpec()), self._place

    def __exit__(self, *error: Any) -> None:
        _scopes.stack, _scopes.place = self._before


class device:
    """A context manager that asks for a device for what runs in the block.

    Scopes nest and add up; None and the empty name ask for nothing in particular.  A device
    that is not there is replaced by another one, unless soft placement is off
    (`hr.config.set_soft_device_placement`).

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
        self._before: list[tuple[tuple[DeviceSpec, ...], int | None]] = []

    def __enter__(self) -> None:
        spec = self._spec
        stack = () if spec is None else (*_scopes.stack, spec)
        place = devices.place_of(_merged(stack))
        self._before.append((_scopes.stack, _scopes.place))
        _scopes.stack, _scopes.place = stack, place

    def __exit__(self, *error: Any) -> None:
        _scopes.stack, _scopes.place = self._before.pop()


def _merged(stack: tuple[DeviceSpec, ...]) -> DeviceSpec:
    spec = DeviceSpec()
    for each in stack:
        spec = spec.make_merged_spec(each)
    return spec


def current_device() -> str:
    """The full name of the device that the scopes around ask for, as far as there is one."""
    place = _scopes.place
    if place is None:
        place = devices.default()
    if place != HOST:
        return devices.name_of(place)
    spec = _merged(_scopes.stack)
    index = spec.device_index or 0
    if spec.device_type not in (None, "CPU") or index >= len(devices.logical("CPU")):
        index = 0
    return f"/job:localhost/replica:0/task:0/device:CPU:{index}"
