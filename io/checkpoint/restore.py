"""Restoring: matching the objects of a program with those of a checkpoint.

Both are graphs of named parts.  Matching starts with the roots and follows equal names; an
object that is matched gets its values.  Parts that the program does not have yet are waited
for: the object that lacks them keeps a `Waiting`, which is told when an attribute is set
(`Module`, `Checkpoint`, and Keras's classes do so) and matches anew.
"""

from __future__ import annotations

import itertools
import logging
import weakref
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError

from ...ops.errors import DataLossError
from ..bundle.reader import BundleReader
from ..checkpoint_messages import TrackableObjectGraph
from ..trackable import children_of, is_trackable, restore_values, values_of
from .graph import OBJECT_GRAPH_KEY, ObjectGraph, proto_paths, value_key

__all__ = ["Restoration", "read_graph"]

_WAITING = "_waiting_restores"
_serial = itertools.count()
_log = logging.getLogger("headrace")


def read_graph(reader: BundleReader) -> Any:
    """The object graph that a checkpoint holds.

    Raises:
        NotFoundError: it holds none.
        DataLossError: it is damaged.
    """
    proto = TrackableObjectGraph()
    value = reader.read(OBJECT_GRAPH_KEY)
    try:
        proto.ParseFromString(value.item())
        count = len(proto.nodes)
        edges = (c.node_id for n in proto.nodes for c in n.children)
        if not count or any(not 0 <= i < count for i in edges):
            raise ValueError("it refers to nodes that it does not have")
    except (DecodeError, ValueError, AttributeError) as error:
        raise DataLossError(
            f"{reader.prefix}: the checkpoint's object graph is damaged: {error}"
        ) from None
    return proto


class Restoration:
    """One `restore` of one checkpoint, for as long as objects wait for it.

    Args:
        reader: of the checkpoint.
        root: the object that is the checkpoint's root.
        children: as for `ObjectGraph`.
        skip_slots: whether TensorFlow's slot variables may stay unmatched.

    Raises:
        NotFoundError, DataLossError: see `read_graph`.
        ValueError, InvalidArgumentError: a value does not fit a variable.
    """

    def __init__(
        self, reader: BundleReader, root: Any, children: Any = children_of,
        skip_slots: bool = False,
    ):  # fmt: skip
        self.reader = reader
        with reader:
            self.proto = read_graph(reader)
        self.paths = proto_paths(self.proto)
        self.serial = next(_serial)
        self._root = root
        self._children = children
        self._skip_slots = skip_slots
        self._of_node: dict[int, Any] = {}  # node -> reference to its object
        self._of_object: dict[int, int] = {}
        self.unused: dict[int, list[str]] = {}
        self._valued = _with_values(self.proto)
        try:
            self.match(root, 0)
        finally:
            reader.close()

    # -- matching ---------------------------------------------------------------------------

    def match(self, obj: Any, node_id: int) -> None:
        """Restore `obj` and its parts from a node and what it leads to."""
        nodes = self.proto.nodes
        # The owner of a container's items, which is told of changes, is the nearest object.
        pending = [(obj, node_id, obj)]
        visited = set()
        met: dict[int, tuple[Any, int]] = {}
        lacking = set()
        for one, number, owner in pending:
            if (id(one), number) in visited:
                continue
            visited.add((id(one), number))
            self._bind(one, number)
            if hasattr(one, "__dict__"):
                owner = one
                met[id(one)] = one, number
            if not nodes[number].children:
                continue
            own = dict(self._children(one))
            alias = getattr(one, "_checkpoint_alias", None)
            for child in nodes[number].children:
                part = own.get(child.local_name)
                if part is None and alias is not None:
                    part = alias(child.local_name)
                if part is not None:
                    pending.append((part, child.node_id, owner))
                elif child.node_id in self._valued:
                    lacking.add(id(owner))
        for key, (one, number) in met.items():
            restored = getattr(one, "_restored_from_checkpoint", None)
            if restored is not None:
                restored()
            self._wait(one, number, key in lacking)

    def _bind(self, obj: Any, number: int) -> None:
        """Give `obj` the values of a node, unless an object has them already."""
        before = self.object_of(number)
        if before is obj:
            return
        if before is not None and self.proto.nodes[number].attributes:
            _log.warning(
                "Inconsistent references when loading the checkpoint into this object graph: "
                "%s is one object there, but two here, of which the first is restored: %r "
                "and %r", self.paths[number], before, obj,
            )  # fmt: skip
            return
        self._of_node[number] = _reference(obj)
        self._of_object[id(obj)] = number
        wanted = values_of(obj)
        stored = {a.name: a.checkpoint_key for a in self.proto.nodes[number].attributes}
        whole = dict(stored)
        path = self.paths[number] or ""
        for name in wanted:
            if name.startswith("."):
                key = value_key(path, name)
                if key in self.reader:
                    stored[name] = key
            elif "-" in name and (attribute := name.partition("-")[0]) in whole:
                stored.pop(attribute, None)
                stored[name] = whole[attribute] + name.removeprefix(attribute)
        where = f"{path or 'the root'} of the checkpoint {self.reader.prefix}"
        taken = {name: self.reader.read(key) for name, key in stored.items() if name in wanted}
        refuse = getattr(obj, "_refuse_checkpoint", None)
        if refuse is not None:
            refuse(set(stored), where)
        if taken:
            restore_values(obj, taken, where)
        unused = [name for name in stored if name not in wanted]
        if unused:
            self.unused[number] = unused

    def _wait(self, obj: Any, number: int, lacks: bool) -> None:
        """Have `obj` wait for this restoration, or wait for it no longer."""
        waiting = vars(obj).get(_WAITING)
        if lacks and waiting is None:
            waiting = Waiting(obj)
            object.__setattr__(obj, _WAITING, waiting)
        if waiting is not None:
            waiting.set(self, number, lacks)

    # -- what came of it --------------------------------------------------------------------

    def object_of(self, number: int) -> Any:
        """The object of a node, or None."""
        found = self._of_node.get(number)
        return None if found is None else found()

    def live_graph(self) -> ObjectGraph:
        """The program's objects now; containers that were filled meanwhile are matched."""
        try:
            self.match(self._root, 0)
        finally:
            self.reader.close()
        return ObjectGraph(self._root, self._children)

    def unmatched_objects(self) -> list[tuple[str, Any]]:
        """The program's objects with values that the checkpoint does not have."""
        graph = self.live_graph()
        return [
            (path, obj)
            for obj, path in zip(graph.objects, graph.paths, strict=True)
            if any(not n.startswith(".") for n in values_of(obj))
            and not self._has(obj)
        ]  # fmt: skip

    def _has(self, obj: Any) -> bool:
        number = self._of_object.get(id(obj))
        if number is None or self.object_of(number) is not obj:
            return False
        return bool(self.proto.nodes[number].attributes)

    def unmatched_nodes(self) -> list[int]:
        """The checkpoint's nodes with values that no object has taken, gone or not."""
        slots: set[int] = set()
        if self._skip_slots:
            slots = {
                s.slot_variable_node_id for n in self.proto.nodes for s in n.slot_variables
            }
        return [
            i
            for i, node in enumerate(self.proto.nodes)
            if node.attributes and i not in self._of_node and i not in slots
        ]

    @property
    def matched(self) -> int:
        """How many nodes have had an object."""
        return len(self._of_node)


def _with_values(proto: Any) -> set[int]:
    """The nodes that have values or lead to some."""
    parents: dict[int, list[int]] = {}
    for i, node in enumerate(proto.nodes):
        for child in node.children:
            parents.setdefault(child.node_id, []).append(i)
    pending = [i for i, node in enumerate(proto.nodes) if node.attributes]
    found = set(pending)
    for i in pending:
        for parent in parents.get(i, ()):
            if parent not in found:
                found.add(parent)
                pending.append(parent)
    return found


def _reference(obj: Any) -> Any:
    try:
        return weakref.ref(obj)
    except TypeError:  # lists and dictionaries cannot be referred to weakly
        return lambda: obj


class Waiting:
    """The restorations that an object waits for; the last one asked for counts."""

    def __init__(self, owner: Any):
        self._owner = weakref.ref(owner)
        self._waited: tuple[Restoration, int] | None = None
        self._busy = False

    def set(self, restoration: Restoration, number: int, lacks: bool) -> None:
        """Wait for a restoration, in place of an earlier one, or no longer."""
        if lacks:
            self._waited = restoration, number
        elif self._waited is not None and self._waited[0].serial <= restoration.serial:
            self._waited = None

    def noticed(self, name: str, value: Any) -> None:
        """The object's attribute was set: match what it has now."""
        owner = self._owner()
        if self._busy or owner is None or self._waited is None:
            return
        if name != "built" and not (
            is_trackable(value) or isinstance(value, (list, tuple, Mapping))
        ):
            return
        restoration, number = self._waited
        self._busy = True
        try:
            restoration.match(owner, number)
        finally:
            self._busy = False
            restoration.reader.close()

    def __deepcopy__(self, memo: Any) -> None:
        return None

    def __reduce__(self) -> Any:
        return _nothing, ()


def _nothing() -> None:
    return None
