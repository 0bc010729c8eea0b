"""Ctrl-C in the middle of a pipeline: the prompt is back at once and no thread stays."""

import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import sys, threading, time
import numpy as np
import headrace as hr
from headrace.data import Dataset

def slow(x):
    time.sleep(0.01)
    return x.numpy()

def generate():
    while True:
        time.sleep(0.01)
        yield 1

def heavy(x):
    y = hr.fill([64, 64], hr.cast(x, hr.float32))
    return hr.reduce_sum(hr.matmul(y, y)), x

numbers = Dataset.range(1 << 40)
dataset = {
    "plain": lambda: numbers.batch(10),
    "heavy map": lambda: numbers.map(heavy).batch(32),
    "heavy map, prefetch": lambda: numbers.map(heavy).repeat().batch(32).prefetch(2),
    "python map": lambda: numbers.map(slow),
    "python map in parallel": lambda: numbers.map(slow, num_parallel_calls=4).prefetch(2),
    "generator": lambda: Dataset.from_generator(
        generate, output_signature=hr.TensorSpec([], hr.int64)).batch(1000).prefetch(1),
    "shuffle": lambda: numbers.shuffle(100_000).batch(8).prefetch(2),
}[sys.argv[1]]()
iterator = iter(dataset)
try:
    if sys.argv[1] != "generator":
        next(iterator)
    print("ready", flush=True)
    while True:
        next(iterator)
except KeyboardInterrupt:
    print("interrupted", flush=True)
del iterator
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    left = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    left = [name for name in left if name.startswith("headrace-") and "llvm" not in name]
    if not left:
        break
    time.sleep(0.01)
print("threads:", *left, flush=True)
"""
PLANS = ["plain", "heavy map", "heavy map, prefetch", "python map", "python map in parallel",
         "generator", "shuffle"]  # fmt: skip


@pytest.mark.parametrize("plan", PLANS)
def test_ctrl_c(plan):
    command = [sys.executable, "-c", SCRIPT, plan]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        waited_s = time.monotonic() - began
        assert process.stdout.readline() == "threads:\n"
        assert process.wait(30) == 0
    assert waited_s < 5  # 0.2 s on an idle machine; nothing else would end the pipeline
