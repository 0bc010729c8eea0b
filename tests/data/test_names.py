"""Every public name of tf.data exists here, or is listed with the reason why not."""

import inspect
import subprocess
import sys

import pytest

import headrace as hr

MISSING = {
    "enable_debug_mode": "untraced functions run eagerly anyway; explain() shows which do",
    "from_variant": "a handle of TensorFlow's C++ runtime",
    "to_variant": "a handle of TensorFlow's C++ runtime",
    "get_model_proto": "a protocol buffer of tf.data's C++ model; see Dataset.stats()",
    "make_saveable_from_iterator": "of TensorFlow 1; see Iterator.state()",
}


def public(thing):
    return {n for n in dir(thing) if not n.startswith("_")}


@pytest.mark.peers
def test_names():
    tf = pytest.importorskip("tensorflow")
    missing = set()
    for path in ("data", "data.Dataset", "data.experimental", "data.experimental.Optional",
                 "data.experimental.Reducer", "data.TFRecordDataset", "data.TextLineDataset",
                 "data.FixedLengthRecordDataset"):  # fmt: skip
        ours, theirs = hr, tf
        for part in path.split("."):
            ours, theirs = getattr(ours, part), getattr(theirs, part)
        missing |= public(theirs) - public(ours)
    for path in ("Options", "ThreadingOptions", "experimental.OptimizationOptions",
                 "experimental.DistributeOptions", "experimental.AutotuneOptions"):  # fmt: skip
        ours, theirs = hr.data, tf.data
        for part in path.split("."):
            ours, theirs = getattr(ours, part), getattr(theirs, part)
        missing |= public(theirs()) - public(ours())
    assert missing == set(MISSING)


@pytest.mark.peers
def test_signatures():
    """Same parameters, in the same order, with the same defaults."""
    tf = pytest.importorskip("tensorflow")
    different = {}
    pairs = [
        (n, getattr(hr.data.Dataset, n), getattr(tf.data.Dataset, n))
        for n in public(tf.data.Dataset) & public(hr.data.Dataset)
    ]
    pairs += [(n, getattr(hr.data.experimental, n), getattr(tf.data.experimental, n))
              for n in public(tf.data.experimental) & public(hr.data.experimental)]  # fmt: skip
    for name, ours, theirs in pairs:
        if not callable(theirs) or inspect.isclass(theirs) or name == "range":
            continue  # range(*args, **kwargs) there
        mine, other = ([
            (p.name, p.default if isinstance(p.default, (int, str, bool, type(None))) else "?")
            for p in inspect.signature(f).parameters.values() if p.name != "self"
        ] for f in (ours, theirs))  # fmt: skip
        if mine[: len(other)] != other:
            different[name] = (mine, other)
    assert not different


def test_fingerprints_agree_between_processes():
    script = """
import headrace as hr, numpy as np
k = 3
def f(x):
    return int(x) * k
ds = hr.data.Dataset.from_tensor_slices(np.arange(5)).map(lambda x: x * 2).shuffle(4)
ds = ds.map(f).batch(2, drop_remainder=True).interleave(lambda b: hr.data.Dataset.range(b[0]))
print(int(ds.fingerprint()))
"""
    scripts = [script, script]
    scripts += [script.replace("k = 3", "k = 4"), script.replace("* 2", "* 3")]
    runs = [subprocess.check_output([sys.executable, "-c", s], text=True) for s in scripts]
    assert runs[0] == runs[1]
    assert len(set(runs)) == 3
