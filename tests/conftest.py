"""What all tests share: the peers, and no thread or warning left behind by importing them."""

import os
import sys
import warnings

import pytest

# The peers say on stderr what hardware they found; a failing test's output should not.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@pytest.fixture(scope="session")
def tf():
    """TensorFlow, the oracle; the test is skipped where the extra `peers` is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("tensorflow", reason="needs the extra `peers`")


def pytest_collection_modifyitems(items):
    """A test that takes TensorFlow as a fixture is a comparison with a peer."""
    for item in items:
        if "tf" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.peers)


@pytest.fixture(autouse=True)
def _no_seed_left_behind():
    """A global seed that a test sets would decide the next test's unseeded shuffles."""
    yield
    random_ops = sys.modules.get("headrace.ops.random_ops")
    if random_ops is not None and random_ops.global_seed() is not None:
        random_ops._seeds.set(None)
