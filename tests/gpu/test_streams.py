"""Streams racing: threads that compute at once, each on a stream of its own, get what one gets
alone; memory that one frees is not another's before its work is done."""

import threading

import numpy as np
import pytest

import headrace as hr

THREADS = 4


@pytest.fixture(autouse=True)
def _devices(gpus):
    """All tests here need them."""


def at_once(gpus, work):
    """`work(number)` in threads, each on a stream of its own; their results."""
    found = [None] * THREADS
    gate = threading.Barrier(THREADS)

    def run(number):
        try:
            with gpus.xp.cuda.Device(0):
                stream = gpus.xp.cuda.Stream(non_blocking=True)
                with stream:
                    gate.wait(60)
                    found[number] = work(number)
                    stream.synchronize()
        except BaseException as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(100)
    assert not any(t.is_alive() for t in threads)
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return found


def layers(x, w):
    """Products, chains, sums."""
    y = hr.nn.softmax(hr.tanh(x @ w) * 2.0 + hr.reduce_mean(x, -1, keepdims=True))
    return hr.reduce_sum(hr.square(y) * hr.reduce_max(x, 0), -1)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_each_gets_what_it_gets_alone(gpus, compiled):
    size = 256 if gpus.real else 16
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(size, size)).astype("f4") for _ in range(THREADS)]
    weights = hr.constant(rng.normal(size=(size, size)).astype("f4") / size)
    run = hr.function(layers) if compiled else layers
    want = [run(hr.constant(a), weights).numpy() for a in arrays]

    def work(number):
        made = []
        for turn in range(40 if gpus.real else 6):
            which = (number + turn) % THREADS
            made.append((which, run(hr.constant(arrays[which]), weights).numpy()))
        return made

    for made in at_once(gpus, work):
        for which, got in made:
            np.testing.assert_allclose(got, want[which], rtol=1e-6, atol=1e-6)


def test_freed_memory_is_not_anothers_too_early(gpus):
    """Blocks are dropped while work that reads them is queued; no other stream gets them."""
    size = 1 << 20 if gpus.real else 1 << 8

    def work(number):
        x = hr.fill([size], float(number))
        for _ in range(30 if gpus.real else 3):
            x = x + 1.0 - hr.ones([size])  # every step drops two blocks
        return float(hr.reduce_min(x)), float(hr.reduce_max(x))

    assert at_once(gpus, work) == [(float(n), float(n)) for n in range(THREADS)]


def test_random_numbers_of_threads_differ(gpus):
    def work(number):
        return [hr.random.uniform([64]).numpy() for _ in range(4)]

    drawn = np.concatenate([np.concatenate(made) for made in at_once(gpus, work)])
    assert len(np.unique(drawn)) > 0.99 * drawn.size
