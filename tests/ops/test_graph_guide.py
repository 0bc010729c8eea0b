"""docs/graphs.md: its code runs, and its list of passes is the true one."""

import re
from pathlib import Path

from headrace.ops.graph.passes import PASSES
from headrace.ops.primitive import REGISTRY

PAGE = (Path(__file__).parents[2] / "docs" / "graphs.md").read_text()


def test_the_code_runs(capsys):
    scope = {}
    try:
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
            exec(compile(block, "graphs.md", "exec"), scope)
    finally:
        REGISTRY.pop("Cube", None)
    printed = capsys.readouterr().out
    assert "[Softmax]" in printed or "Softmax" in printed.split("kernel")[1]
    assert "MatMul" in printed


def test_every_pass_is_listed_in_order():
    listed = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    assert listed == list(dict.fromkeys(p.__name__ for p in PASSES))
