"""Keras's global settings: the float type, the image format, limits of `fit`, flags."""

from __future__ import annotations

__all__ = [
    "backend",
    "disable_flash_attention",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "enable_flash_attention",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_flash_attention_enabled",
    "is_interactive_logging_enabled",
    "is_nnx_enabled",
    "is_traceback_filtering_enabled",
    "max_epochs",
    "max_steps_per_epoch",
    "set_backend",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_max_epochs",
    "set_max_steps_per_epoch",
]

_FLOATS = ("bfloat16", "float16", "float32", "float64")
_settings: dict[str, object] = {
    "epsilon": 1e-7,
    "floatx": "float32",
    "image_data_format": "channels_last",
    "max_epochs": None,
    "max_steps_per_epoch": None,
    "interactive_logging": True,
    "traceback_filtering": True,
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


def backend() -> str:
    """``"headrace"``: there is one implementation."""
    return "headrace"


def set_backend(backend: str) -> None:
    """Accepted for ``"headrace"`` only.

    Raises:
        ValueError: another name.
    """
    if backend != "headrace":
        raise ValueError(
            f"This Keras runs on Headrace alone; backend={backend!r} is a matter of the keras "
            "package. Remove the call."
        )


def max_epochs() -> int | None:
    """The most epochs that any `fit` runs, or None."""
    return _settings["max_epochs"]  # type: ignore[return-value]


def set_max_epochs(max_epochs: int | None) -> None:
    """Limit the epochs of every `fit`, as for a quick trial of a script."""
    _settings["max_epochs"] = max_epochs


def max_steps_per_epoch() -> int | None:
    """The most batches of any epoch of `fit`, `evaluate` and `predict`, or None."""
    return _settings["max_steps_per_epoch"]  # type: ignore[return-value]


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Limit the batches of every epoch."""
    _settings["max_steps_per_epoch"] = max_steps_per_epoch


def enable_interactive_logging() -> None:
    """Progress is drawn as a bar that moves (the default)."""
    _settings["interactive_logging"] = True


def disable_interactive_logging() -> None:
    """Progress is a line per epoch where ``verbose="auto"``."""
    _settings["interactive_logging"] = False


def is_interactive_logging_enabled() -> bool:
    """Whether progress is drawn as a bar that moves."""
    return bool(_settings["interactive_logging"])


def enable_traceback_filtering() -> None:
    """Accepted: tracebacks always show the user's own lines and ours."""
    _settings["traceback_filtering"] = True


def disable_traceback_filtering() -> None:
    """Accepted: nothing is filtered out of tracebacks."""
    _settings["traceback_filtering"] = False


def is_traceback_filtering_enabled() -> bool:
    """What was set last."""
    return bool(_settings["traceback_filtering"])


def enable_flash_attention() -> None:
    """Accepted: the attention operation chooses its own form."""


def disable_flash_attention() -> None:
    """Accepted: the attention operation chooses its own form."""


def is_flash_attention_enabled() -> None:
    """None: it is chosen by the operation, not here."""


def is_nnx_enabled() -> bool:
    """False: that is a matter of JAX."""
    return False
