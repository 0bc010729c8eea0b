"""`hr.version`: what this package is, under TensorFlow's names."""

from .. import __version__

VERSION = __version__
GIT_VERSION = "unknown"
COMPILER_VERSION = "numba"
# Graphs are not stored, so there is one format.
GRAPH_DEF_VERSION = 1
GRAPH_DEF_VERSION_MIN_CONSUMER = 0
GRAPH_DEF_VERSION_MIN_PRODUCER = 0

__all__ = [
    "COMPILER_VERSION",
    "GIT_VERSION",
    "GRAPH_DEF_VERSION",
    "GRAPH_DEF_VERSION_MIN_CONSUMER",
    "GRAPH_DEF_VERSION_MIN_PRODUCER",
    "VERSION",
]
