"""docs/checkpoints.md: its code runs."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text()


def test_the_code_runs(capsys):
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "checkpoints.md", "exec"), scope)
    assert int(scope["step"]) == 200
    assert len(scope["manager"].checkpoints) == 2
    assert "_CHECKPOINTABLE_OBJECT_GRAPH" in capsys.readouterr().out
