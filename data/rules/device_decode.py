"""device_decode: functions on a GPU decode their JPEGs there, with nvImageCodec.

Off unless it is switched on: the pixels may differ from the CPU's by a few levels.  What
nvImageCodec cannot decode, and what it is not asked to (a `ratio`, a `dct_method`), the CPU
decodes and the pixels are copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from ...ops import image_nvimgcodec
from ...ops.graph import Graph
from ...ops.graph.graph import graphs_of
from ..node import Node
from ..transforms.on_device import OnDeviceMapNode

__all__ = ["rewrite", "told", "why_not"]


def rewrite(node: Node) -> Node | None:
    """The node that decodes on the GPU."""
    if not isinstance(node, OnDeviceMapNode) or node.decodes or _reason(node) is not None:
        return None
    return dataclasses.replace(node, decodes=True)


def told(before: Node, after: Node) -> str:
    """Whose function it is."""
    assert isinstance(before, OnDeviceMapNode)
    return f"{before.tail.name!r} decodes JPEGs on the GPU, with nvImageCodec"


def why_not(node: Node) -> str | None:
    """Why a function on the GPU has its JPEGs decoded on the CPU."""
    if not isinstance(node, OnDeviceMapNode) or node.decodes or not any(_jpegs(node)):
        return None
    return _reason(node)


def _reason(node: OnDeviceMapNode) -> str | None:
    found = list(_jpegs(node))
    if not found:
        return f"{node.tail.name!r} decodes no JPEG"
    if not any(map(_taken, found)):
        return (
            f"{node.tail.name!r} decodes with a `ratio`, `dct_method` or "
            "`try_recover_truncated` that is the CPU decoder's"
        )
    why = image_nvimgcodec.why_none()
    return f"the CPU decodes: {why}" if why else None


def _taken(attrs: dict[str, Any]) -> bool:
    return (
        attrs["ratio"] == 1
        and attrs["dct_method"] != "INTEGER_ACCURATE"
        and not attrs["try_recover_truncated"]
    )


def _jpegs(node: OnDeviceMapNode) -> Iterator[dict[str, Any]]:
    """The attributes of every decoding of a JPEG in the function."""
    assert node.tail.traced is not None
    graphs: list[Graph] = [node.tail.traced.graph]
    while graphs:
        for one in graphs.pop().nodes:
            if one.type == "DecodeJpeg":
                yield one.attrs
            graphs.extend(graphs_of(one))
