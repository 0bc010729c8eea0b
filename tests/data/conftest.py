"""What tests of rules share."""

import pickle

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
