"""Ray: how Headrace finds it, starts it and speaks to its actors.

Ray is an optional library (extra ``ray``), loaded when it is first needed.  A cluster that
this process is connected to is used as it is; else the one that ``RAY_ADDRESS`` names; else,
for those who serve, a local one is started.  All of Headrace's actors have names in one
namespace, so that processes find each other's by address alone.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from typing import Any

from ..ops.errors import UnavailableError

__all__ = ["NAMESPACE", "actor_named", "connect", "ray_module"]

NAMESPACE = "headrace"


def ray_module(what: str) -> Any:
    """The module ``ray``, its usage reports off.

    Args:
        what: what needs it, for the error.

    Raises:
        ModuleNotFoundError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Processes that Ray starts leave GPUs alone unless they ask for some: that is Ray's rule
    # to come, and it warns until it is set.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray: Any = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise ModuleNotFoundError(
            f"{what} needs Ray, which is not installed: pip install 'headrace[ray]'",
            name="ray",
        ) from None
    return ray


def connect(what: str, start: bool) -> Any:
    """The module ``ray``, connected to a cluster.

    Args:
        what: what needs it, for errors.
        start: whether to start a local cluster where none is known.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        UnavailableError: there is no cluster, or it does not answer.
    """
    ray = ray_module(what)
    if ray.is_initialized():
        return ray
    quiet: dict[str, Any] = {
        "namespace": NAMESPACE, "log_to_driver": False, "logging_level": logging.ERROR,
        "configure_logging": True,
    }  # fmt: skip
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address or not start:
            ray.init(address=address or "auto", **quiet)
        else:
            ray.init(include_dashboard=False, **quiet)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise UnavailableError(
            f"{what} found no Ray cluster{f' at {address}' if address else ''}: {error}; start "
            "one with `ray start --head`, or set RAY_ADDRESS to one that runs"
        ) from error
    return ray


def actor_named(ray: Any, name: str) -> Any | None:
    """The living actor of that name, or None."""
    with contextlib.suppress(ValueError):
        return ray.get_actor(name, namespace=NAMESPACE)
    return None
