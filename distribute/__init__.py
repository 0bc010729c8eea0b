"""Strategies: on which devices and machines a training step runs and how its results are
combined; the interface is `tf.distribute`'s.
"""

from . import cluster_resolver, coordinator, experimental
from .context import (
    get_replica_context,
    get_strategy,
    has_strategy,
    in_cross_replica_context,
    set_strategy as experimental_set_strategy,
)
from .cross_device_ops import (
    CrossDeviceOps,
    HierarchicalCopyAllReduce,
    NaiveAllReduce,
    NcclAllReduce,
    ReductionToOneDevice,
)
from .input import DistributedDataset, DistributedIterator
from .mirrored import MirroredStrategy
from .multi_worker import MultiWorkerMirroredStrategy
from .one_device import OneDeviceStrategy
from .options import InputOptions, InputReplicationMode, RunOptions
from .parameter_server import ParameterServerStrategy
from .reduce_op import ReduceOp
from .replica_context import ReplicaContext
from .strategy import InputContext, Strategy, StrategyExtended
from .timeline import Timeline
from .values import DistributedValues

__all__ = [
    "CrossDeviceOps",
    "DistributedDataset",
    "DistributedIterator",
    "DistributedValues",
    "HierarchicalCopyAllReduce",
    "InputContext",
    "InputOptions",
    "InputReplicationMode",
    "MirroredStrategy",
    "MultiWorkerMirroredStrategy",
    "NaiveAllReduce",
    "NcclAllReduce",
    "OneDeviceStrategy",
    "ParameterServerStrategy",
    "ReduceOp",
    "ReductionToOneDevice",
    "ReplicaContext",
    "RunOptions",
    "Strategy",
    "StrategyExtended",
    "Timeline",
    "cluster_resolver",
    "coordinator",
    "experimental",
    "experimental_set_strategy",
    "get_replica_context",
    "get_strategy",
    "has_strategy",
    "in_cross_replica_context",
]
