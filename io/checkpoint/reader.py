"""Checkpoints by name: what they hold, without the objects they were saved from."""

from __future__ import annotations

import os
from typing import Any

from ...ops.dtypes import DType
from ...ops.errors import NotFoundError
from ...ops.string_array import StringArray
from .. import gfile
from ..bundle.reader import BundleReader
from .graph import OBJECT_GRAPH_KEY, proto_paths
from .restore import read_graph
from .state import latest_checkpoint

__all__ = [
    "CheckpointReader",
    "CheckpointView",
    "list_variables",
    "load_checkpoint",
    "load_variable",
]


class CheckpointReader:
    """A checkpoint's values by name.

    Args:
        filename: path of the checkpoint, without ending.

    Raises:
        NotFoundError: there is none.
        DataLossError: its index is damaged.
    """

    def __init__(self, filename: Any):
        self._reader = BundleReader(os.fsdecode(os.fspath(filename)))

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """The names and shapes."""
        return {name: self._reader.shape(name) for name in self._reader.names()}

    def get_variable_to_dtype_map(self) -> dict[str, DType]:
        """The names and dtypes."""
        return {name: self._reader.dtype(name) for name in self._reader.names()}

    def has_tensor(self, tensor_str: str) -> bool:
        """Whether there is a value of this name."""
        return tensor_str in self._reader

    def get_tensor(self, tensor_str: str) -> Any:
        """The value: an array, `bytes` for a scalar string.

        Raises:
            NotFoundError: there is none.
            DataLossError: it is damaged.
        """
        try:
            value = self._reader.read(tensor_str)
        finally:
            self._reader.close()
        if not isinstance(value, StringArray):
            return value if value.ndim else value[()]
        return value.numpy() if value.ndim else value.item()

    def debug_string(self) -> bytes:
        """A line for each value: name, dtype and shape."""
        lines = [
            f"{n} ({self._reader.dtype(n).name}) {self._reader.shape(n)}"
            for n in self._reader.names()
        ]
        return "\n".join(lines).encode()


def load_checkpoint(ckpt_dir_or_file: Any) -> CheckpointReader:
    """A reader for a checkpoint, or for the latest one of a folder.

    Raises:
        ValueError: the folder has none.
        NotFoundError: there is no such checkpoint.
    """
    path = os.fsdecode(os.fspath(ckpt_dir_or_file))
    if gfile.isdir(path):
        latest = latest_checkpoint(path)
        if latest is None:
            raise ValueError(
                f"Couldn't find 'checkpoint' file or checkpoints in given directory {path}"
            )
        path = latest
    return CheckpointReader(path)


def load_variable(ckpt_dir_or_file: Any, name: str) -> Any:
    """One value of a checkpoint, an array.

    Raises:
        ValueError, NotFoundError: as for `load_checkpoint`; or there is no such value.
    """
    return load_checkpoint(ckpt_dir_or_file).get_tensor(name.removesuffix(":0"))


def list_variables(ckpt_dir_or_file: Any) -> list[tuple[str, list[int]]]:
    """The names and shapes of a checkpoint's values, sorted by name.

    Raises:
        ValueError, NotFoundError: as for `load_checkpoint`.
    """
    return sorted(load_checkpoint(ckpt_dir_or_file).get_variable_to_shape_map().items())


class CheckpointView:
    """The graph of objects that a checkpoint was saved from.

    Args:
        save_path: path of the checkpoint.

    Raises:
        ValueError: it was not saved from objects.
    """

    def __init__(self, save_path: Any):
        reader = BundleReader(os.fsdecode(os.fspath(save_path)))
        if OBJECT_GRAPH_KEY not in reader:
            raise ValueError(
                f'The specified checkpoint "{save_path}" does not appear to be object-based '
                f'(saved with TF2) since it is missing the key "{OBJECT_GRAPH_KEY}"; '
                "load_checkpoint() reads its values by name"
            )
        with reader:
            self._proto = read_graph(reader)

    def children(self, node_id: int) -> dict[str, int]:
        """The parts of a node, by name: their nodes.

        Raises:
            NotFoundError: there is no such node.
        """
        if not 0 <= node_id < len(self._proto.nodes):
            raise NotFoundError(
                f"the checkpoint has the nodes 0 to {len(self._proto.nodes) - 1}, got {node_id}"
            )
        return {c.local_name: c.node_id for c in self._proto.nodes[node_id].children}

    def descendants(self) -> list[int]:
        """The nodes that can be reached from the root, nearest first."""
        paths = proto_paths(self._proto)
        reached = [i for i, path in enumerate(paths) if path is not None]
        return sorted(reached, key=lambda i: (len(str(paths[i]).split("/")) if i else 0, i))
