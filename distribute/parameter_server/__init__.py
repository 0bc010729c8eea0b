"""Parameter servers: variables that live on Ray actors, and workers that train with them.

`partitioners` says into how many shards a variable is cut, `server` is the actor that keeps
shards and updates them, `store` speaks with all servers, `server_variable` is what user code
sees of a variable, `strategy` is `ParameterServerStrategy`; `worker` is the actor that runs the
functions that `hr.distribute.coordinator` schedules.
"""

from .strategy import ParameterServerStrategy

__all__ = ["ParameterServerStrategy"]
