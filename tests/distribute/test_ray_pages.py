"""docs/data-service.md and docs/parameter-servers.md: their code runs."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", ["data-service.md", "parameter-servers.md"])
def test_the_code_runs(local_ray, page, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S)
    scope = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, page, "exec"), scope)
    told = re.findall(r"print\(.*\)  # (.+)", "".join(blocks))
    printed = capsys.readouterr().out.splitlines()
    assert all(text in printed for text in told)
