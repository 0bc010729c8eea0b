"""parallel_file_reading: sources of several files that take time read them at the same time.

Records still come one file after the other.  Reading plain local files is copying, which a
parallel map behind them overlaps with its work anyway; decompression is work worth threads of
its own, and a remote file takes several round trips before its first byte comes.
"""

from __future__ import annotations

from collections.abc import Callable

from ...io.filesystems import is_remote
from ..node import Node
from ..parallel_files import ParallelFilesNode
from ..pool import usable_cpus
from ..transforms.files import FilesNode
from .common import describe

__all__ = ["rewrite", "told", "why_not"]

_MOST_READERS = 8
_REMOTE_READERS = 4  # each reads 12 MiB ahead, whatever the number of CPUs


def rewrite(node: Node) -> Node | None:
    """The source with parallel reads."""
    if not isinstance(node, FilesNode):
        return None
    node = _in_parts(node)
    if _reason(node) is not None:
        return None
    least = _REMOTE_READERS if any(map(is_remote, node.files)) else 2
    readers = min(len(node.files), max(least, usable_cpus()), _MOST_READERS)
    return ParallelFilesNode(node, readers, name=node.name, source=node.source)


def told(before: Node, after: Node) -> str:
    """The new source."""
    return describe(after)


def why_not(node: Node) -> str | None:
    """Why a source reads one file at a time."""
    return _reason(_in_parts(node)) if isinstance(node, FilesNode) else None


def _reason(node: FilesNode) -> str | None:
    if len(node.files) < 2:
        return "there is only one file"
    if any(map(is_remote, node.files)):
        return None
    if not node.compression_type:
        if getattr(node, "decodes", False):
            if usable_cpus() > 2:
                return None
            return f"{usable_cpus()} CPUs are kept busy by one file and what follows"
        return "the files are not compressed, so reading them is no work worth threads"
    return None


def _in_parts(node: FilesNode) -> FilesNode:
    """The source with the parts of its files, where these can be read at the same time."""
    in_parts: Callable[[], FilesNode] | None = getattr(node, "in_parts", None)
    return node if in_parts is None else in_parts()
