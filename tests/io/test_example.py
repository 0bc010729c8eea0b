"""Example messages: TensorFlow's wire format and usage, in one process with TensorFlow."""

import copy
import pickle

import pytest

from headrace.io.example import (
    BytesList,
    Example,
    Feature,
    FeatureList,
    FeatureLists,
    Features,
    FloatList,
    Int64List,
    SequenceExample,
)


def build(m):
    """The same message from either library's classes."""
    feature = {
        "ints": m["Feature"](int64_list=m["Int64List"](value=[1, -2, 3])),
        "floats": m["Feature"](float_list=m["FloatList"](value=[0.5])),
        "bytes": m["Feature"](bytes_list=m["BytesList"](value=[b"\xff", b""])),
        "none": m["Feature"](),
    }
    features = m["Features"](feature=feature)
    lists = m["FeatureLists"](
        feature_list={"steps": m["FeatureList"](feature=[feature["ints"], feature["none"]])}
    )
    return m["Example"](features=features), m["SequenceExample"](
        context=features, feature_lists=lists
    )


OURS = {
    c.__name__: c
    for c in (BytesList, Example, Feature, FeatureList, FeatureLists, Features, FloatList,
              Int64List, SequenceExample)
}  # fmt: skip


@pytest.mark.parametrize("which", [0, 1], ids=["Example", "SequenceExample"])
def test_tensorflow_understands_our_bytes_and_we_theirs(tf, which):
    theirs = build({name: getattr(tf.train, name) for name in OURS})[which]
    ours = build(OURS)[which]
    assert type(theirs).FromString(ours.SerializeToString()) == theirs
    assert type(ours).FromString(theirs.SerializeToString()) == ours
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )
    assert str(ours) == str(theirs)


def test_usage():
    example = Example()
    example.features.feature["a"].int64_list.value.extend([1, 2])
    example.features.feature["b"].bytes_list.value.append(b"x")
    assert example.features.feature["a"].WhichOneof("kind") == "int64_list"
    assert sorted(example.features.feature) == ["a", "b"]
    again = Example.FromString(example.SerializeToString())
    assert again == example
    assert pickle.loads(pickle.dumps(example)) == example
    assert copy.deepcopy(example) == example
    with pytest.raises(TypeError):
        Int64List(value=[0.5])


def test_the_classes_know_where_they_live():
    assert Example.DESCRIPTOR.full_name == "headrace.train.Example"
    assert Example.__module__ == "headrace.io.example"
