"""DeviceSpec: a device's name in parts, and every spelling of it that TensorFlow takes."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["DeviceSpec"]


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
