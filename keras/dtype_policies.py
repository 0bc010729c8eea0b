"""Dtype policies: the type a layer computes in and the type it keeps its variables in."""

from __future__ import annotations

from typing import Any

from ..ops import api as hr, dtypes
from . import backend

__all__ = [
    "DTypePolicy",
    "deserialize",
    "dtype_policy",
    "get",
    "serialize",
    "set_dtype_policy",
]


class DTypePolicy:
    """A pair of types, named ``"float32"``, ``"mixed_bfloat16"``, ``"mixed_float16"``...

    A ``mixed_*`` policy computes in the 16-bit type and keeps variables in float32.

    >>> DTypePolicy("mixed_bfloat16").compute_dtype
    'bfloat16'

    Args:
        name: of a dtype or a mixed policy; None for the global policy.

    Raises:
        ValueError: `name` is neither a dtype nor a known mixed policy.
    """

    def __init__(self, name: str | None = None):
        if name is None:
            name = dtype_policy().name
        if not isinstance(name, str):
            raise TypeError(f"name must be a string such as 'mixed_bfloat16', got {name!r}")
        if name in ("mixed_float16", "mixed_bfloat16"):
            self._compute, self._variable = name.removeprefix("mixed_"), "float32"
        else:
            try:
                self._compute = self._variable = dtypes.as_dtype(name).name
            except TypeError:
                raise ValueError(
                    f"Cannot convert '{name}' to a mixed precision DTypePolicy. Valid policies "
                    "include 'mixed_float16', 'mixed_bfloat16', and the name of any dtype such "
                    "as 'float32'."
                ) from None
        self._name = name

    @property
    def name(self) -> str:
        """The policy's name."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """Name of the type layers compute in."""
        return self._compute

    @property
    def variable_dtype(self) -> str:
        """Name of the type layers create variables in."""
        return self._variable

    def convert_input(self, x: Any, autocast: bool, dtype: Any) -> Any:
        """`x` as a tensor; floats of another type than `dtype` are cast with `autocast`."""
        want = dtypes.as_dtype(dtype)
        known = getattr(x, "dtype", None)
        if known is None:
            return hr.convert_to_tensor(x)
        x = hr.convert_to_tensor(x)
        return hr.cast(x, want) if autocast and x.dtype.is_floating else x

    def get_config(self) -> dict[str, Any]:
        """``{"name": ...}``."""
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """The policy that `get_config` described."""
        return cls(config["name"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self._name}">'


_global: DTypePolicy | None = None


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are given no `dtype`."""
    return _global or DTypePolicy(backend.floatx())


def set_dtype_policy(policy: str | DTypePolicy | None) -> None:
    """Set the policy of layers that are given no `dtype`; None returns to `floatx`."""
    global _global
    _global = None if policy is None else get(policy)


def get(identifier: Any) -> DTypePolicy:
    """A policy from a policy, a name, a dtype, its config, or None (the global one)."""
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    return DTypePolicy(dtypes.as_dtype(identifier).name)


def serialize(policy: DTypePolicy) -> dict[str, Any]:
    """The policy as Keras 3 writes it into configs."""
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": policy.get_config(),
        "registered_name": None,
    }


def deserialize(config: dict[str, Any]) -> DTypePolicy:
    """The policy that `serialize` wrote."""
    return DTypePolicy.from_config(config.get("config", config))
