"""An iterator that was dropped is gone with its stages at once, whatever its functions raised.

The garbage collector is off: what is in a cycle, such as an error that a frame in its own
traceback holds, would stay, and with it buffers and threads.
"""

import contextlib
import gc
import time
import weakref

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset


def refuse(x):
    if int(x) == 7:
        raise ValueError("no 7 please")
    return x


def divide(x):
    return 100 // (x - 7)


def seven():
    yield from range(7)
    raise ValueError("no more")


def numbers():
    return Dataset.range(40)


def refusing():
    return numbers().map(refuse)


CASES = {
    "map": lambda: numbers().map(divide),
    "map_parallel": lambda: numbers().map(divide, num_parallel_calls=2),
    "map_large": lambda: Dataset.range(200_000).map(lambda x: x // (x - 70_001)),
    "map_untraceable": refusing,
    "map_untraceable_parallel": lambda: numbers().map(refuse, num_parallel_calls=2),
    "map_untraceable_unordered": lambda: numbers().map(
        refuse, num_parallel_calls=2, deterministic=False
    ),
    "map_batch": lambda: numbers().map(divide).batch(4),
    "filter": lambda: numbers().filter(lambda x: divide(x) > -50),
    "filter_untraceable": lambda: numbers().filter(lambda x: int(refuse(x)) > -1),
    "take_while": lambda: numbers().take_while(lambda x: divide(x) < 1000),
    "scan": lambda: numbers().scan(np.int64(0), lambda s, x: (s + divide(x), x)),
    "scan_untraceable": lambda: numbers().scan(np.int64(0), lambda s, x: (s, refuse(x))),
    "generator": lambda: Dataset.from_generator(
        seven, output_signature=hr.TensorSpec((), "int64")
    ),
    "flat_map": lambda: numbers().flat_map(lambda x: Dataset.range(divide(x))),
    "flat_map_untraceable": lambda: numbers().flat_map(lambda x: Dataset.range(int(refuse(x)))),
    "flat_map_inside": lambda: numbers().flat_map(lambda x: Dataset.range(x + 1).map(refuse)),
    "interleave": lambda: numbers().interleave(
        lambda x: Dataset.range(x + 1).map(refuse), num_parallel_calls=2
    ),
    "prefetch": lambda: refusing().prefetch(2),
    "batch_prefetch": lambda: refusing().batch(2).prefetch(2),
    "batch": lambda: refusing().batch(3),
    "padded_batch": lambda: refusing().padded_batch(3),
    "uneven_batch": lambda: Dataset.from_generator(
        lambda: map(np.zeros, (2, 2, 2, 2, 2, 3)),
        output_signature=hr.TensorSpec((None,), "float64"),
    ).batch(2),
    "unbatch": lambda: refusing().batch(3).unbatch(),
    "cache": lambda: refusing().cache(),
    "shuffle": lambda: refusing().shuffle(5),
    "shuffle_repeat": lambda: refusing().shuffle(5).repeat(2),
    "repeat": lambda: refusing().repeat(2),
    "zip": lambda: Dataset.zip(refusing(), numbers()),
    "window": lambda: refusing().window(3),
    "group_by_window": lambda: numbers().group_by_window(
        lambda x: divide(x) % 2, lambda k, w: w.batch(3), 3
    ),
    "ignore_errors": lambda: numbers().map(divide).ignore_errors(),
    "choose": lambda: Dataset.choose_from_datasets(
        [refusing(), numbers()], Dataset.range(2).repeat(10)
    ),
}


def stages(stage):
    return [stage, *(one for inner in stage.inputs for one in stages(inner))]


def everything(iterator):
    """All elements and errors."""
    for _ in range(100_000):
        with contextlib.suppress(hr.errors.OpError):
            if next(iterator, None) is None:
                return


def until_the_error(iterator):
    with contextlib.suppress(hr.errors.OpError):
        for _ in iterator:
            pass


def some(iterator):
    """A few elements: an error may be waiting for its turn."""
    with contextlib.suppress(hr.errors.OpError):
        for _ in range(3):
            next(iterator, None)


def run(make, consume):
    """Weak references to an iterator that `consume` has used, and to its stages."""
    iterator = iter(make())
    try:
        return [weakref.ref(one) for one in (iterator, *stages(iterator._stage))]
    finally:
        consume(iterator)


@pytest.mark.parametrize("consume", [until_the_error, everything, some])
@pytest.mark.parametrize("name", CASES)
def test_an_iterator_is_released_without_the_collector(name, consume):
    gc.collect()
    gc.disable()
    try:
        found = run(CASES[name], consume)
        deadline = time.monotonic() + 5  # threads leave soon
        while any(ref() is not None for ref in found) and time.monotonic() < deadline:
            time.sleep(0.002)
        left = [type(ref()).__name__ for ref in found if ref() is not None]
        assert left == []
    finally:
        gc.enable()


def test_an_error_that_was_put_off_still_tells_where_it_was_raised():
    """It comes behind good elements of its block, so nobody stands in its frames any more."""
    iterator = iter(refusing().batch(4))
    with pytest.raises(hr.errors.InvalidArgumentError) as caught:
        list(iterator)
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError)
    shown = "".join(getattr(cause, "__notes__", ())) + str(caught.traceback)
    assert 'raise ValueError("no 7 please")' in shown and "test_release.py" in shown
