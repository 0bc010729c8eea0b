"""What pipelines cost, one transformation at a time, on 100,000 elements.

.venv/bin/pytest benches/bench_data.py --benchmark-enable
"""

import numpy as np
import pytest

import headrace as hr

N = 100_000
Dataset = hr.data.Dataset

PIPELINES = {
    "batch": lambda: Dataset.range(N).batch(128),
    "map": lambda: Dataset.range(N).map(lambda x: x * 2 + 1).batch(128),
    "map-untraceable": lambda: Dataset.range(N // 100).map(lambda x: int(x) + 1).batch(128),
    "filter": lambda: Dataset.range(N).filter(lambda x: x % 3 == 0).batch(128),
    "shuffle": lambda: Dataset.range(N).shuffle(10_000).batch(128),
    "unbatch": lambda: Dataset.range(N).batch(128).unbatch().batch(100),
    "interleave": lambda: (
        Dataset.range(10).interleave(lambda i: Dataset.range(N // 10)).batch(128)
    ),
    "slices": lambda: Dataset.from_tensor_slices(np.zeros((N, 64), np.float32)).batch(128),
}


def drain(dataset):
    for _ in dataset:
        pass


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline(benchmark, name):
    benchmark(drain, PIPELINES[name]())


def test_first_element(benchmark):
    dataset = Dataset.range(N).map(lambda x: x * 2 + 1).batch(128)
    benchmark(lambda: next(iter(dataset)))
