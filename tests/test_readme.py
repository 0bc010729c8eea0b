"""The README's example runs, is twenty lines long, and its links lead somewhere."""

import re
from pathlib import Path

import headrace as hr

ROOT = Path(hr.__file__).parent
README = (ROOT / "README.md").read_text()
EXAMPLE = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]


def test_the_example_runs_and_learns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(EXAMPLE, "README.md", "exec"), names)
    assert names["model"].evaluate(names["data"], verbose=0)[1] > 0.9
    assert "parse" in capsys.readouterr().out


def test_the_example_is_as_short_as_it_says():
    lines = [line for line in EXAMPLE.splitlines() if line.strip()]
    assert len(lines) <= 24


def test_every_link_of_the_texts_leads_to_a_file():
    for text in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/performance.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / text).read_text())
        missing = [link for link in links if not ((ROOT / text).parent / link).exists()]
        assert missing == [], text
