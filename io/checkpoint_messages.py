"""The messages of checkpoint files: a bundle's header and entries, the object graph, and the
state of a folder of checkpoints.

The classes are protobuf's own, built from a description in code in a private pool, as those of
`example` are.  (Formats: tensorflow/core/protobuf/{tensor_bundle,trackable_object_graph}.proto,
tensorflow/python/training/checkpoint_state.proto.)
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["BundleEntry", "BundleHeader", "CheckpointState", "TrackableObjectGraph"]

_PACKAGE = "headrace.checkpoint"
_FIELD = descriptor_pb2.FieldDescriptorProto
_INT32, _INT64, _BOOL, _STRING = (
    _FIELD.TYPE_INT32, _FIELD.TYPE_INT64, _FIELD.TYPE_BOOL, _FIELD.TYPE_STRING,
)  # fmt: skip
_FIXED32, _DOUBLE = _FIELD.TYPE_FIXED32, _FIELD.TYPE_DOUBLE

# Message -> its fields: name, number, kind (a message by its name), whether there are several.
_MESSAGES: dict[str, list[tuple[str, int, Any, bool]]] = {
    "Version": [("producer", 1, _INT32, False), ("min_consumer", 2, _INT32, False)],
    "Header": [
        ("num_shards", 1, _INT32, False),
        ("endianness", 2, _INT32, False),
        ("version", 3, "Version", False),
    ],
    "Dim": [("size", 1, _INT64, False)],
    "Shape": [("dim", 2, "Dim", True), ("unknown_rank", 3, _BOOL, False)],
    # A slice's extent without a length is the whole of the axis.
    "Extent": [("start", 1, _INT64, False), ("length", 2, _INT64, False)],
    "Slice": [("extent", 1, "Extent", True)],
    "Entry": [
        ("dtype", 1, _INT32, False),
        ("shape", 2, "Shape", False),
        ("shard_id", 3, _INT32, False),
        ("offset", 4, _INT64, False),
        ("size", 5, _INT64, False),
        ("crc32c", 6, _FIXED32, False),
        ("slices", 7, "Slice", True),
    ],
    "Child": [("node_id", 1, _INT32, False), ("local_name", 2, _STRING, False)],
    "Attribute": [
        ("name", 1, _STRING, False),
        ("full_name", 2, _STRING, False),
        ("checkpoint_key", 3, _STRING, False),
    ],
    "Slot": [
        ("original_variable_node_id", 1, _INT32, False),
        ("slot_name", 2, _STRING, False),
        ("slot_variable_node_id", 3, _INT32, False),
    ],
    "Flag": [("value", 1, _BOOL, False)],
    "Node": [
        ("children", 1, "Child", True),
        ("attributes", 2, "Attribute", True),
        ("slot_variables", 3, "Slot", True),
        ("has_checkpoint_values", 5, "Flag", False),
    ],
    "Graph": [("nodes", 1, "Node", True)],
    "CheckpointState": [
        ("model_checkpoint_path", 1, _STRING, False),
        ("all_model_checkpoint_paths", 2, _STRING, True),
        ("all_model_checkpoint_timestamps", 3, _DOUBLE, True),
        ("last_preserved_timestamp", 4, _DOUBLE, False),
    ],
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="headrace/checkpoint/messages.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, several in fields:
            more: dict[str, Any] = {"type": kind}
            if isinstance(kind, str):
                more = {"type": _FIELD.TYPE_MESSAGE, "type_name": f".{_PACKAGE}.{kind}"}
            label = _FIELD.LABEL_REPEATED if several else _FIELD.LABEL_OPTIONAL
            message.field.add(name=field, number=number, label=label, **more)
    # Whether an extent has a length is told from a length of 0.
    extent = next(m for m in file.message_type if m.name == "Extent")
    extent.oneof_decl.add(name="has_length")
    extent.field[1].oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())

    def cls(name: str) -> Any:
        found = message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        )
        found.__module__ = __name__
        return found

    return {name: cls(name) for name in ("Header", "Entry", "Graph", "CheckpointState")}


_made = _classes()
BundleHeader: Any = _made["Header"]
BundleEntry: Any = _made["Entry"]
TrackableObjectGraph: Any = _made["Graph"]
CheckpointState: Any = _made["CheckpointState"]
