"""docs/distribution.md: its code runs."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "distribution.md").read_text()


@pytest.mark.timeout(60)
def test_the_code_runs():
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "distribution.md", "exec"), scope)
    assert float(scope["total"]) >= 0
    assert scope["strategy"].extended.sharded_optimizer
