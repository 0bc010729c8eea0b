"""The data service: pipelines run by Ray actors, their elements read by any process.

::

    dispatcher = service.DispatchServer()
    workers = [service.WorkerServer(service.WorkerConfig(dispatcher.target)) for _ in range(2)]
    ds = ds.apply(service.distribute(service.ShardingPolicy.DYNAMIC, dispatcher.target))

`shipping` packs a plan for another process, `sharding` cuts it up, `ledger` keeps who has what,
`dispatcher` and `worker` are the actors, `running` is a pipeline at work on a worker,
`consumer` reads; `saving` has workers write files.  Users know it as
``hr.data.experimental.service``.
"""

from .api import CrossTrainerCache, distribute, from_dataset_id, register_dataset
from .dispatcher import DispatcherConfig, DispatchServer
from .saving import distributed_save as distributed_save
from .sharding import ShardingPolicy
from .worker import WorkerConfig, WorkerServer

__all__ = [
    "CrossTrainerCache",
    "DispatchServer",
    "DispatcherConfig",
    "ShardingPolicy",
    "WorkerConfig",
    "WorkerServer",
    "distribute",
    "from_dataset_id",
    "register_dataset",
]
