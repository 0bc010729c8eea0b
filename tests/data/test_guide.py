"""The examples of docs/data.md run as they stand there, one after the other."""

import doctest
import re
from pathlib import Path

import headrace as hr
from headrace.data.iterator import NumpyIterator

GUIDE = Path(hr.__file__).parent / "docs" / "data.md"


def run_guide():
    names = {}
    exec("import numpy as np", names)
    parser = doctest.DocTestParser()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    tried = 0
    for found in re.finditer(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.S | re.M):
        code, line = found.group(1), GUIDE.read_text()[: found.start()].count("\n") + 1
        if not code.startswith(">>>"):
            exec(compile(code, f"{GUIDE}:{line}", "exec"), names)
            continue
        test = parser.get_doctest(code, names, f"data.md:{line}", str(GUIDE), line)
        failed, count = runner.run(test, clear_globs=False)
        names.update(test.globs)
        assert not failed, f"example at line {line}"
        tried += count
    return names, tried


def test_examples_of_the_guide():
    names, tried = run_guide()
    assert tried > 30
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
