"""Keras's global settings: `epsilon`, `floatx`, `image_data_format`, and the name counters."""

from __future__ import annotations

from .utils.naming import clear_names, get_uid

__all__ = [
    "clear_session",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]

_FLOATS = ("bfloat16", "float16", "float32", "float64")
_settings: dict[str, object] = {
    "epsilon": 1e-7,
    "floatx": "float32",
    "image_data_format": "channels_last",
}


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite (default 1e-7)."""
    return _settings["epsilon"]  # type: ignore[return-value]


def set_epsilon(value: float) -> None:
    """Set what `epsilon()` returns."""
    _settings["epsilon"] = float(value)


def floatx() -> str:
    """The default float type of layers, as a name (default ``"float32"``)."""
    return _settings["floatx"]  # type: ignore[return-value]


def set_floatx(value: str) -> None:
    """Set the default float type: ``bfloat16``, ``float16``, ``float32`` or ``float64``.

    Raises:
        ValueError: `value` is none of them.
    """
    if value not in _FLOATS:
        raise ValueError(f"floatx must be one of {_FLOATS}, got {value!r}")
    _settings["floatx"] = value


def image_data_format() -> str:
    """``"channels_last"`` (default) or ``"channels_first"``."""
    return _settings["image_data_format"]  # type: ignore[return-value]


def set_image_data_format(data_format: str) -> None:
    """Set the default order of image axes.

    Raises:
        ValueError: `data_format` is neither ``"channels_last"`` nor ``"channels_first"``.
    """
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f"data_format must be 'channels_last' or 'channels_first', got {data_format!r}"
        )
    _settings["image_data_format"] = data_format


def clear_session() -> None:
    """Forget the names given so far: the next `Dense` is called ``dense`` again."""
    clear_names()
