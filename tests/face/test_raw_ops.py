"""`hr.raw_ops` is the registry under TensorFlow's names."""

import subprocess
import sys
import textwrap

import pytest

import headrace as hr


def test_a_raw_op_is_called_by_keywords():
    x, y = hr.constant([1.0, 2.0]), hr.constant([3.0, 4.0])
    assert hr.raw_ops.AddV2(x=x, y=y, name="sum").numpy().tolist() == [4.0, 6.0]
    with pytest.raises(TypeError):
        hr.raw_ops.AddV2(x, y)
    with pytest.raises(TypeError, match="missing required argument: 'y'"):
        hr.raw_ops.AddV2(x=x)


def test_an_unknown_operation_is_named():
    with pytest.raises(AttributeError, match="no operation 'AddV3'"):
        _ = hr.raw_ops.AddV3


@pytest.mark.processes
def test_all_of_them_are_there_from_the_first_use():
    """No room that is loaded later brings more."""
    program = """
        import importlib, pkgutil
        import headrace as hr

        first = set(dir(hr.raw_ops))
        for room in ("ops", "io", "data", "distribute", "keras"):
            module = importlib.import_module("headrace." + room)
            for found in pkgutil.walk_packages(module.__path__, module.__name__ + "."):
                if ".cuda" not in found.name:
                    importlib.import_module(found.name)
        print(sorted(set(dir(hr.raw_ops)) - first))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_every_raw_op_bears_a_name_of_tensorflows(tf):
    """Primitives that TensorFlow lacks are few and listed here."""
    ours = {name for name in dir(hr.raw_ops) if not hasattr(tf.raw_ops, name)}
    assert ours <= OWN


OWN = {
    "ParseExampleBlock",  # records of a block, some of which may be parsed one by one
    "ResourceSparseApplyGradientDescent",  # TensorFlow scatters a negative update instead
}
