"""The smaller families have Keras's names, and each name its arguments and defaults."""

import inspect

import pytest

from headrace import keras

# What we leave out, and arguments that we add or that Keras names otherwise.
LEFT_OUT = {"OrbaxCheckpoint", "TensorBoard"}
ADDED = {("BackupAndRestore", "skip_seen")}


def arguments(target):
    try:
        found = inspect.signature(target).parameters.values()
    except ValueError:
        return None
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [(p.name, p.default) for p in found if p.kind not in variadic]


@pytest.mark.parametrize(
    "family", ["initializers", "regularizers", "constraints", "activations", "callbacks"]
)
def test_signatures_are_keras(tf, family):
    theirs, ours = getattr(tf.keras, family), getattr(keras, family)
    for name in dir(theirs):
        if name[0] == "_" or name in LEFT_OUT:
            continue
        mine = arguments(getattr(ours, name))
        if mine is not None:
            mine = [found for found in mine if (name, found[0]) not in ADDED]
        assert mine == arguments(getattr(theirs, name)), name
