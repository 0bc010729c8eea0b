"""`hr.distribute.experimental`: `tf.distribute.experimental`'s names."""

from . import coordinator
from .multi_worker import MultiWorkerMirroredStrategy
from .options import (
    CommunicationImplementation,
    CommunicationImplementation as CollectiveCommunication,
    CommunicationOptions,
    CommunicationOptions as CollectiveHints,
)
from .parameter_server import ParameterServerStrategy, partitioners
from .preemption import PreemptionCheckpointHandler, TerminationConfig
from .replica_context import ValueContext

__all__ = [
    "CollectiveCommunication",
    "CollectiveHints",
    "CommunicationImplementation",
    "CommunicationOptions",
    "MultiWorkerMirroredStrategy",
    "ParameterServerStrategy",
    "PreemptionCheckpointHandler",
    "TerminationConfig",
    "ValueContext",
    "coordinator",
    "partitioners",
]
