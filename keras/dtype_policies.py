"""Dtype policies: the type a layer computes in and the type it keeps its variables in."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

from ..ops import api as hr, dtypes
from . import settings

__all__ = [
    "DTypePolicy",
    "DTypePolicyMap",
    "FloatDTypePolicy",
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

    def at(self, path: str | None) -> DTypePolicy:
        """The policy of the layer at `path`: this one."""
        return self

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


FloatDTypePolicy = DTypePolicy


class DTypePolicyMap(DTypePolicy, MutableMapping):  # type: ignore[type-arg]
    """Policies of layers by their path in the model, and one for all others.

    A key is a path such as ``"encoder/dense"`` or a regular expression of whole paths.  Layers
    that are given the map look themselves up by their path.

    >>> policies = DTypePolicyMap("float32", {"encoder/.*": DTypePolicy("mixed_bfloat16")})
    >>> policies["encoder/dense"].compute_dtype, policies["decoder/dense"].compute_dtype
    ('bfloat16', 'float32')

    Args:
        default_policy: of layers that no key fits; the global policy if None.
        policy_map: dictionary of path or pattern to policy.
    """

    def __init__(self, default_policy: Any = None, policy_map: dict[str, Any] | None = None):
        if isinstance(default_policy, DTypePolicyMap):
            raise ValueError("`default_policy` cannot be a `DTypePolicyMap`.")
        if policy_map is not None and not isinstance(policy_map, dict):
            raise TypeError(
                "If specified, `policy_map` must be a dict. Received: "
                f"policy_map={policy_map} of type {type(policy_map)}"
            )
        self._default_argument = default_policy
        self._default_policy = get(default_policy)
        self._policy_map = policy_map or {}

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of layers that no key fits."""
        return self._default_policy

    @property
    def name(self) -> str:
        """``map_`` and the default policy's name."""
        return f"map_{self._default_policy.name}"

    @property
    def compute_dtype(self) -> str:
        """The default policy's."""
        return self._default_policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The default policy's."""
        return self._default_policy.variable_dtype

    def at(self, path: str | None) -> DTypePolicy:
        """The policy of the layer at `path`."""
        return self._default_policy if path is None else self[path]

    def __getitem__(self, key: str) -> DTypePolicy:
        if key in self._policy_map:
            return self._policy_map[key]
        fits = [pattern for pattern in self._policy_map if re.fullmatch(pattern, key)]
        if len(fits) > 1:
            raise ValueError(
                f"Path '{key}' matches multiple dtype policy specification keys: {fits}. "
                "Make sure that each path matches at most one of them."
            )
        return self._policy_map[fits[0]] if fits else self._default_policy

    def __setitem__(self, key: str, policy: Any) -> None:
        if key in self._policy_map:
            raise ValueError(
                f"{key} already exist in the DTypePolicyMap with value "
                f"{self._policy_map[key]}. Please make sure to not use duplicated keys."
            )
        try:
            self._policy_map[key] = get(policy)
        except (TypeError, ValueError) as e:
            raise ValueError(
                "Cannot interpret the assigned value by `keras.dtype_policies.get`. Received: "
                f"{policy} of type {type(policy)}"
            ) from e

    def __delitem__(self, key: str) -> None:
        del self._policy_map[key]

    def __contains__(self, key: object) -> bool:
        return key in self._policy_map

    def __iter__(self) -> Any:
        return iter(self._policy_map)

    def __len__(self) -> int:
        return len(self._policy_map)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def get_config(self) -> dict[str, Any]:
        """The default policy as it was given, and the policies by key."""
        policies = {key: serialize(policy) for key, policy in self._policy_map.items()}
        default = self._default_argument
        if isinstance(default, DTypePolicy):
            default = serialize(default)
        return {"default_policy": default, "policy_map": policies}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> DTypePolicyMap:
        """The map that `get_config` described."""
        policies = {key: get(policy) for key, policy in config["policy_map"].items()}
        return cls(config["default_policy"], policies)

    def __repr__(self) -> str:
        pairs = [(key, policy.name) for key, policy in self._policy_map.items()]
        return f"<DTypePolicyMap default_policy={self._default_policy.name}, mapping={pairs}>"


_global: DTypePolicy | None = None


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are given no `dtype`."""
    return _global or DTypePolicy(settings.floatx())


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
        "class_name": type(policy).__name__,
        "config": policy.get_config(),
        "registered_name": None,
    }


def deserialize(config: dict[str, Any]) -> DTypePolicy:
    """The policy that `serialize` wrote."""
    if config.get("class_name") == "DTypePolicyMap":
        return DTypePolicyMap.from_config(config["config"])
    return DTypePolicy.from_config(config.get("config", config))
