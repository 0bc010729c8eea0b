"""`hr.train`: checkpoints, and the messages that records hold."""

from ..io.checkpoint.checkpoint import Checkpoint
from ..io.checkpoint.manager import CheckpointManager
from ..io.checkpoint.options import CheckpointOptions
from ..io.checkpoint.reader import (
    CheckpointReader,
    CheckpointView,
    list_variables,
    load_checkpoint,
    load_variable,
)
from ..io.checkpoint.state import (
    checkpoints_iterator,
    get_checkpoint_state,
    latest_checkpoint,
)
from ..io.example import (
    BytesList,
    Example,
    Feature,
    FeatureList,
    FeatureLists,
    Features,
    FloatList,
    Int64List,
    SequenceExample,
)

__all__ = [
    "BytesList",
    "Checkpoint",
    "CheckpointManager",
    "CheckpointOptions",
    "CheckpointReader",
    "CheckpointView",
    "Example",
    "Feature",
    "FeatureList",
    "FeatureLists",
    "Features",
    "FloatList",
    "Int64List",
    "SequenceExample",
    "checkpoints_iterator",
    "get_checkpoint_state",
    "latest_checkpoint",
    "list_variables",
    "load_checkpoint",
    "load_variable",
]
