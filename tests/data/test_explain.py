"""explain(): the plan before and after, the lines, and for each rule what it did or why not."""

import re

import headrace as hr
from headrace.data import Dataset
from headrace.data.explain import explain_plan, plan_lines
from headrace.data.options import Options


def scale(x):
    return x * 2


def shift(x):
    return x + 1


def python(x):
    return x.numpy() + 1


def without_lines(text):
    return re.sub(r" *test_explain\.py:\d+(, test_explain\.py:\d+)*$", "", text, flags=re.M)


def test_a_plan_that_is_rewritten():
    options = Options()
    options.experimental_optimization.inject_prefetch = False
    dataset = Dataset.range(1000).take(-1).map(scale).map(shift, num_parallel_calls=2).batch(5)
    dataset = dataset.with_options(options)
    plans, rules = without_lines(dataset.explain()).split("Rules (+ applied, - not applied):\n")
    assert (
        plans
        == """\
As written:
  range(0, 1000, 1)
  take(-1)
  map(scale)                        per element, traced
  map(shift, num_parallel_calls=2)  per element, traced
  batch(5)
  = 200 elements of int64[?]

As it runs:
  range(0, 1000, 1)
  parallel_map(scale+shift, threads=2)  by the block
  batch(5)
  = 200 elements of int64[?]

"""
    )
    told = [line for line in rules.splitlines() if "nothing to do" not in line]
    assert told == [
        "  noop_elimination           + take(-1) dropped",
        "  map_fusion                 + map(scale+shift, num_parallel_calls=2)",
        "  map_vectorization          + map(scale+shift, num_parallel_calls=2) runs by the "
        "block",
        "  map_parallelization        + parallel_map(scale+shift, threads=2)",
        "  map_and_batch_fusion       + parallel_map works on whole batches of 5",
        "  inject_prefetch            off: switched off by the options",
    ]


def test_the_users_lines_stand_next_to_the_stages():
    text = Dataset.range(3).map(scale).explain()
    assert re.search(r"map\(scale\) +per element, traced +test_explain.py:\d+\n", text)


def test_a_python_function_is_explained_with_the_place_that_needs_its_value():
    text = " ".join(Dataset.range(3).map(python).explain().split())
    assert "It runs as written." in text
    assert "map(python) per element, Python" in text
    assert re.search(r"its .numpy\(\) value was asked for, raised at test_explain.py:\d+", text)
    assert "num_parallel_calls would let it run on several threads" in text


def test_a_rule_that_is_off_says_so():
    options = Options()
    options.experimental_optimization.map_fusion = False
    text = Dataset.range(3).map(scale).map(shift).with_options(options).explain()
    assert re.search(r"map_fusion +off: switched off by the options", text)
    assert len(re.findall(r"parallel_map\(\w+, threads=one per CPU\) +by the block", text)) == 2


def test_inputs_of_a_zip_are_numbered_above_it():
    zipped = Dataset.zip((Dataset.range(3).batch(2), Dataset.range(9)))
    assert [text for text, _ in plan_lines(zipped._node)] == [
        "  1. range(0, 3, 1)", "     batch(2)", "  2. range(0, 9, 1)", "zip()"
    ]  # fmt: skip


def test_specs_are_short():
    dataset = Dataset.from_tensors({"a": hr.zeros([2, 3]), "b": ("text", [1, 2])})
    assert "= 1 element of {a: float32[2, 3], b: (string[], int32[2])}" in dataset.explain()


def test_endless_and_unknown_lengths():
    assert "= elements without end of int64[]" in Dataset.range(3).repeat().explain()
    unknown = Dataset.range(3).filter(lambda x: x > 1)
    assert "= an unknown number of elements of int64[]" in unknown.explain()


def test_lines_fit_a_terminal():
    text = Dataset.range(3).map(python).batch(2).explain()
    assert max(map(len, text.splitlines())) <= 100


def test_explaining_runs_nothing():
    calls = []
    dataset = Dataset.range(3).map(lambda x: calls.append(x.numpy()) or x)
    before = len(calls)
    explain_plan(dataset._node)
    assert len(calls) - before <= 1  # one element tells what a Python function returns
