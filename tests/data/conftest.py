"""What tests of rules share."""

import gc
import pickle
import threading
import time

import pytest

import headrace as hr
from headrace.data import Options
from headrace.data.iterator import NumpyIterator
from headrace.ops import nest


def outcomes(iterator):
    """The elements, and in their places the kinds of errors."""
    found = []
    while True:
        try:
            found.append(repr(nest.flatten(next(iterator))))
        except StopIteration:
            return found
        except hr.errors.OpError as error:
            found.append(type(error).__name__)


class PipelineThreads:
    """The threads of pipelines begun during a test.

    Compilers, products and remote reads have threads of the process, which stay; an iterator
    that an earlier test left in a cycle of references may still have some, too.
    """

    NAMES = ("headrace-worker", "headrace-prefetch", "headrace-reader")

    def __init__(self):
        gc.collect()
        self._before = set(self._all())

    def _all(self):
        return [t for t in threading.enumerate() if t.name.startswith(self.NAMES)]

    def __call__(self):
        return [t for t in self._all() if t not in self._before]

    def all_ended(self, limit_s=20.0):
        """True as soon as none runs, False if some still do after `limit_s` seconds."""
        end = time.monotonic() + limit_s
        while self() and time.monotonic() < end:
            time.sleep(0.005)
        return not self()


@pytest.fixture
def pipeline_threads():
    return PipelineThreads()


@pytest.fixture
def check_law():
    """`check(make, rule)`: the same elements and errors as without the rule and as written, and
    with it the checkpoint law at every position; gives the plan that runs."""

    def check(make, rule):
        def fresh():
            return make().as_numpy_iterator()

        options = Options()
        setattr(options.experimental_optimization, rule, False)
        with fresh() as iterator:
            whole = outcomes(iterator)
        assert whole == outcomes(make().with_options(options).as_numpy_iterator())
        assert whole == outcomes(NumpyIterator(make()._node))
        with fresh() as iterator:
            for position in range(len(whole) + 1):
                with fresh() as again:
                    again.restore(pickle.loads(pickle.dumps(iterator.state())))
                    assert outcomes(again) == whole[position:], position
                try:
                    next(iterator, None)
                except hr.errors.OpError:
                    pass
        return make()._report.after

    return check
