"""parallel_file_reading: sources of several files read them ahead on other threads."""

from __future__ import annotations

from ..node import Node
from .common import describe

__all__ = ["rewrite", "told", "why_not"]


def rewrite(node: Node) -> Node | None:
    """The source with parallel reads."""


def told(before: Node, after: Node) -> str:
    """The new source."""
    return describe(after)


def why_not(node: Node) -> str | None:
    """Why a source reads one file at a time."""
