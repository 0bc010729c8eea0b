"""Strategies: on which devices a training step runs and how its results are combined.

For now one device; the interface is `tf.distribute`'s, so that scripts written against it run.
"""

from .context import (
    get_replica_context,
    get_strategy,
    has_strategy,
    in_cross_replica_context,
)
from .one_device import OneDeviceStrategy
from .replica_context import ReplicaContext
from .strategy import InputContext, ReduceOp, Strategy, StrategyExtended

__all__ = [
    "InputContext",
    "OneDeviceStrategy",
    "ReduceOp",
    "ReplicaContext",
    "Strategy",
    "StrategyExtended",
    "get_replica_context",
    "get_strategy",
    "has_strategy",
    "in_cross_replica_context",
]
