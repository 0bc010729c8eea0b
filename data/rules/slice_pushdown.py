"""slice_pushdown: take, skip and shard run where elements are cheapest: best at the source.

They move before stages that make every element from the element with its number (maps, zip,
prefetch), and before batches as a number of rows.  Ranges, tensors and tables are cut; of
Parquet files only the row groups in question are read; skipped records are never parsed.

A function that was not traced runs for skipped elements too, as it would without rules, so
nothing moves before it.  What is skipped is not computed: a record that is damaged or has
another form, and is skipped, is no error, and counts.  So skip and shard do not move before
functions that may fail for reasons of their own, such as a division by zero; and take, whose
elements are all used, not before any that may fail, as it does not count elements that did.
"""

from __future__ import annotations

import dataclasses

from ..failures import Failures
from ..node import Node
from ..transforms.batch import BatchNode
from ..transforms.enumerate import EnumerateNode
from ..transforms.map import MapNode
from ..transforms.shard import ShardNode
from ..transforms.skip import SkipNode
from ..transforms.take import TakeNode
from .common import describe, python_step, walk

__all__ = ["rewrite", "told", "why_not"]

_Slice = TakeNode | SkipNode | ShardNode


def rewrite(node: Node) -> Node | None:
    """The plan in which a take, a skip or a shard stands further down."""
    if not isinstance(node, _Slice) or _part(node) is None:
        return None
    below = node.input
    narrowed = _narrowed(node)
    if narrowed is not None or not below.inputs or _reason(node) is not None:
        return narrowed
    match below:
        case TakeNode():
            left = len(range(below.count)[_part(node)])  # type: ignore[index]
            inner = below.input if isinstance(node, TakeNode) else _pushed(node, below.input)
            return dataclasses.replace(below, input=inner, count=left)
        case SkipNode():
            assert isinstance(node, SkipNode)
            return dataclasses.replace(below, count=below.count + node.count)
        case EnumerateNode():
            start = below.start + (node.count if isinstance(node, SkipNode) else 0)
            return dataclasses.replace(below, input=_pushed(node, below.input), start=start)
        case BatchNode():
            assert not isinstance(node, ShardNode)
            rows = dataclasses.replace(node, count=node.count * below.batch_size)
            return below.with_inputs(_pushed(rows, below.input))
    moved = {id(one): _pushed(node, one) for one in below.inputs}
    return below.with_inputs(*(moved[id(one)] for one in below.inputs))


def told(before: Node, after: Node) -> str:
    """What was moved, and what stands there now."""
    while after.inputs and not isinstance(after, _Slice):
        after = after.inputs[0]
    return f"{describe(before)} moved down: {describe(after)}"


def why_not(node: Node) -> str | None:
    """Why a take, a skip or a shard stays behind other stages."""
    if not isinstance(node, _Slice) or _part(node) is None or not node.input.inputs:
        return None
    return _reason(node)


def _part(node: _Slice) -> slice | None:
    """The numbers of the elements it lets through; None if that has no slice."""
    match node:
        case TakeNode():
            return slice(0, node.count) if node.count >= 0 else None
        case SkipNode():
            return slice(node.count, None) if node.count >= 0 else None
        case ShardNode():
            return slice(node.index, None, node.num_shards)


def _narrowed(node: _Slice) -> Node | None:
    """What `node` lets through from a source that reads less for it."""
    below = node.input
    if isinstance(node, TakeNode) and isinstance(below, SkipNode) and below.count >= 0:
        found = below.input.sliced(slice(below.count, below.count + node.count))
        if found is None:
            return None
        source, rest = found
        return source if rest is None else _cut(_cut(source, rest, below), rest, node)
    found = below.sliced(_part(node))  # type: ignore[arg-type]
    if found is None:
        return None
    source, rest = found
    return source if rest is None else _cut(source, rest, node)


def _cut(source: Node, part: slice, node: _Slice) -> Node:
    """What `node` cuts, from a source that is narrower by now."""
    match node:
        case TakeNode():
            inside = part.stop - (part.start if isinstance(source, SkipNode) else 0)
            return dataclasses.replace(node, input=source, count=inside)
        case SkipNode():
            return dataclasses.replace(node, input=source, count=part.start)
    return dataclasses.replace(node, input=source, index=part.start)


def _pushed(node: _Slice, below: Node) -> Node:
    """`node` over `below`, moved down as far as it goes."""
    moved: Node = dataclasses.replace(node, input=below)
    while isinstance(moved, _Slice) and (better := rewrite(moved)) is not None:
        moved = better
    return moved


def _reason(node: _Slice) -> str | None:
    """Why `node` cannot change places with the node before it."""
    below = node.input
    match below:
        case TakeNode():
            return None if below.count >= 0 else "take(-1) takes all"
        case SkipNode():
            if isinstance(node, SkipNode) and below.count >= 0:
                return None
            return f"{below.label} stands there, as far down as it goes"
        case ShardNode():
            return f"{below.label} stands there, as far down as it goes"
        case EnumerateNode():
            if isinstance(node, ShardNode):
                return "enumerate counts all elements"
            return None
        case BatchNode():
            if isinstance(node, ShardNode):
                return "batches are made of elements that follow each other"
        case MapNode():
            function = below.function
            if function.traced is None:
                return f"{function.name!r} was not traced, so it runs for all elements"
            if function.is_stateful:
                return f"{function.name!r} changes state outside"
            if function.is_random and not isinstance(node, TakeNode):
                return f"{function.name!r} draws by an element's number"
        case _ if not below.one_to_one:
            return f"the elements of {below.label} are not those of its input one by one"
    return _failing(node)


def _failing(node: _Slice) -> str | None:
    """What may fail behind `node`, so that another number of elements would come through."""
    below = node.input
    allowed = Failures.NEVER if isinstance(node, TakeNode) else Failures.ON_DATA
    suspects = [below]
    if isinstance(below, BatchNode) or len(below.inputs) > 1:
        # An error there ends a batch, or takes elements of the other inputs along.
        python = python_step(below)
        if python is not None:
            return f"{below.label} gets what {python.label} makes by Python code"
        suspects = list(walk(below))
    if len(below.inputs) > 1:
        allowed = Failures.NEVER
    for one in suspects:
        if one.failures > allowed:
            when = "on damaged data" if one.failures is Failures.ON_DATA else "on some values"
            return f"{describe(one)} may fail {when}, and failed elements do not count"
    return None
