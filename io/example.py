"""The messages `Example` and `SequenceExample` and their parts, without TensorFlow.

Used exactly as ``tf.train.Example``; the wire format is the same.  The classes are protobuf's
own, built from a description in code in a private descriptor pool, so that TensorFlow, which
registers messages for the same job in the default pool, may be imported in the same process.
(Format: tensorflow/core/example/{feature,example}.proto.)
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = [
    "BytesList",
    "Example",
    "Feature",
    "FeatureList",
    "FeatureLists",
    "Features",
    "FloatList",
    "Int64List",
    "SequenceExample",
]

_PACKAGE = "headrace.train"
_FIELD = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="headrace/train/example.proto", package=_PACKAGE, syntax="proto3"
    )

    def message(name: str) -> Any:
        return file.message_type.add(name=name)

    def field(owner: Any, number: int, name: str, kind: Any, **more: Any) -> Any:
        if isinstance(kind, str):
            more["type_name"] = f".{_PACKAGE}.{kind}"
            kind = _FIELD.TYPE_MESSAGE
        more.setdefault("label", _FIELD.LABEL_OPTIONAL)
        return owner.field.add(number=number, name=name, type=kind, **more)

    def mapping(owner: Any, number: int, name: str, entry: str, value: str) -> None:
        nested = owner.nested_type.add(name=entry)
        nested.options.map_entry = True
        field(nested, 1, "key", _FIELD.TYPE_STRING)
        field(nested, 2, "value", value)
        field(owner, number, name, f"{owner.name}.{entry}", label=_FIELD.LABEL_REPEATED)

    lists = (
        ("BytesList", _FIELD.TYPE_BYTES),
        ("FloatList", _FIELD.TYPE_FLOAT),
        ("Int64List", _FIELD.TYPE_INT64),
    )
    for name, kind in lists:
        field(message(name), 1, "value", kind, label=_FIELD.LABEL_REPEATED)
    feature = message("Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), 1):
        field(feature, number, name, lists[number - 1][0], oneof_index=0)
    mapping(message("Features"), 1, "feature", "FeatureEntry", "Feature")
    field(message("FeatureList"), 1, "feature", "Feature", label=_FIELD.LABEL_REPEATED)
    mapping(message("FeatureLists"), 1, "feature_list", "FeatureListEntry", "FeatureList")
    field(message("Example"), 1, "features", "Features")
    sequence = message("SequenceExample")
    field(sequence, 1, "context", "Features")
    field(sequence, 2, "feature_lists", "FeatureLists")
    return file


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    file = _file()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    made = {}
    for description in file.message_type:
        cls = message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{description.name}")
        )
        cls.__module__ = __name__
        made[description.name] = cls
    return made


_made = _classes()
BytesList: Any = _made["BytesList"]
FloatList: Any = _made["FloatList"]
Int64List: Any = _made["Int64List"]
Feature: Any = _made["Feature"]
Features: Any = _made["Features"]
FeatureList: Any = _made["FeatureList"]
FeatureLists: Any = _made["FeatureLists"]
Example: Any = _made["Example"]
SequenceExample: Any = _made["SequenceExample"]
