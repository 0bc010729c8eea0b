"""Config: named values that can be frozen."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any

__all__ = ["Config"]


class Config:
    """Values by attribute or by key, as JSON, frozen when they are settled.

    >>> config = Config(rate=0.1)
    >>> config.steps = 10
    >>> config.freeze().as_dict()
    {'rate': 0.1, 'steps': 10}

    Args:
        **kwargs: the first values.
    """

    __slots__ = ("_frozen", "_values")

    def __init__(self, **kwargs: Any):
        object.__setattr__(self, "_values", dict(kwargs))
        object.__setattr__(self, "_frozen", False)

    def freeze(self) -> Config:
        """Allow no more changes; the config itself."""
        object.__setattr__(self, "_frozen", True)
        return self

    def unfreeze(self) -> Config:
        """Allow changes again; the config itself."""
        object.__setattr__(self, "_frozen", False)
        return self

    def _check(self) -> None:
        if self._frozen:
            raise ValueError(
                "Cannot mutate attribute(s) because the config is frozen. Call `unfreeze()` "
                "first."
            )

    def __getattr__(self, name: str) -> Any:
        values = object.__getattribute__(self, "_values")
        if name in values:
            return values[name]
        near = difflib.get_close_matches(name, values, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise AttributeError(f"Unknown attribute: '{name}'.{hint}", name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._check()
        self._values[name] = value

    def __delattr__(self, name: str) -> None:
        self._check()
        del self._values[name]

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value)

    def __delitem__(self, key: str) -> None:
        delattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __repr__(self) -> str:
        return f"<Config {self._values}>"

    def keys(self) -> Any:
        """The names."""
        return self._values.keys()

    def values(self) -> Any:
        """The values."""
        return self._values.values()

    def items(self) -> Any:
        """Names and values."""
        return self._values.items()

    def get(self, key: str, default_value: Any = None) -> Any:
        """The value, or `default_value`."""
        return self._values.get(key, default_value)

    def pop(self, *args: Any) -> Any:
        """Remove a value and return it."""
        self._check()
        return self._values.pop(*args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several values."""
        self._check()
        self._values.update(*args, **kwargs)

    def as_dict(self) -> dict[str, Any]:
        """The values as a dictionary."""
        return dict(self._values)

    def to_json(self) -> str:
        """The values as JSON."""
        return json.dumps(self._values)
