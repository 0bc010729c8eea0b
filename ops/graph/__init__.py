"""The graph of a traced function: nodes, tracing, batching, passes and execution."""

from . import placed  # noqa: F401  # where there are GPUs
from .batching import batch_graph
from .execute import compile_graph
from .graph import Graph, Node
from .trace import trace

__all__ = ["Graph", "Node", "batch_graph", "compile_graph", "trace"]
