"""What docs/data.md and docs/arrow.md say: their examples run as they stand there, one after
the other, and the errors they list are raised with these texts."""

import doctest
import re
import threading
from pathlib import Path

import pytest

import headrace as hr
from headrace.data.iterator import NumpyIterator
from headrace.data.rules import RULES

DOCS = Path(hr.__file__).parent / "docs"


def run_page(name):
    """The names a page's examples define, and how many lines of them were tried."""
    page, text = DOCS / name, (DOCS / name).read_text()
    names = {}
    exec("import numpy as np", names)
    parser = doctest.DocTestParser()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    tried = 0
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.S | re.M):
        code, line = found.group(1), text[: found.start()].count("\n") + 1
        if not code.startswith(">>>"):
            exec(compile(code, f"{page}:{line}", "exec"), names)
            continue
        test = parser.get_doctest(code, names, f"{name}:{line}", str(page), line)
        failed, count = runner.run(test, clear_globs=False)
        names.update(test.globs)
        assert not failed, f"example at line {line}"
        tried += count
    return names, tried


def test_examples_of_the_page_on_arrow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, tried = run_page("arrow.md")
    assert tried > 20


def test_examples_of_the_guide():
    names, tried = run_page("data.md")
    assert tried > 45
    make = names["every"]

    def fresh():
        return NumpyIterator(make(hr.data.Dataset.range(23).map(lambda x: x + 1), 3)._node)

    iterator, states = fresh(), []
    states.append(iterator.state())
    elements = []
    for x in iterator:
        elements.append(int(x))
        states.append(iterator.state())
    assert elements == list(range(1, 24, 3))
    for position, state in enumerate(states):
        again = fresh()
        again.restore(state)
        assert [int(x) for x in again] == elements[position:]


def listed_errors():
    """The first column of the guide's table of errors."""
    table = (DOCS / "data.md").read_text().split("| error | what to do |")[1].split("\n\n")[0]
    return [row.split("`")[1] for row in table.splitlines() if row.startswith("| `")]


def unequal_shapes(folder):
    lengths = hr.data.Dataset.range(1, 3).map(lambda n: hr.fill([n], 0))
    list(lengths.batch(2))


def another_chain(folder):
    state = iter(hr.data.Dataset.range(3).batch(2)).state()
    iter(hr.data.Dataset.range(3).shuffle(2)).restore(state)


def damaged_cache(folder):
    cached = hr.data.Dataset.range(40_000).cache(str(folder / "c"))
    list(cached.batch(10_000))
    file = folder / "c.elements"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    list(cached.batch(10_000))


def cache_under_way(folder):
    dataset = hr.data.Dataset.range(30).cache(str(folder / "c"))
    first = iter(dataset)
    next(first)
    try:
        next(iter(hr.data.Dataset.range(30).cache(str(folder / "c"))))
    finally:
        first.close()


def nothing_saved(folder):
    hr.data.Dataset.load(str(folder / "nothing"))


CAUSES = [unequal_shapes, another_chain, damaged_cache, cache_under_way, nothing_saved]


@pytest.mark.parametrize("number", range(len(CAUSES)), ids=[c.__name__ for c in CAUSES])
def test_errors_of_the_guide_are_raised(number, tmp_path):
    said = listed_errors()
    assert len(said) == len(CAUSES)
    # What varies is left out: paths, the dataset's name, byte offsets.
    parts = [p for p in re.split(r"c\.\w+; |batch\(range\)|\.\.\.|byte \d+", said[number]) if p]
    with pytest.raises(hr.errors.OpError) as caught:
        CAUSES[number](tmp_path)
    for part in parts:
        assert part.strip(" ,") in str(caught.value)


def test_every_rule_stands_in_the_guide_in_order():
    table = (DOCS / "data.md").read_text().split("| rule | what it does |")[1].split("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert re.findall(r"`(\w+)`", " ".join(first)) == [rule.name for rule in RULES]


def test_cheap_stages_start_no_thread(pipeline_threads, monkeypatch):
    started = []
    start = threading.Thread.start
    monkeypatch.setattr(
        threading.Thread, "start", lambda self: (started.append(self.name), start(self))
    )
    assert sum(1 for _ in hr.data.Dataset.range(100).map(lambda x: x + 1).batch(10)) == 10
    assert not [name for name in started if name.startswith(pipeline_threads.NAMES)]
