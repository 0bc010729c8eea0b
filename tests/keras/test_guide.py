"""docs/keras.md: its examples run as they stand there, one after the other."""

import doctest
import re
from pathlib import Path

import headrace as hr

DOCS = Path(hr.__file__).parent / "docs"
PAGE = (DOCS / "keras.md").read_text()


def test_the_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    parser = doctest.DocTestParser()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    blocks = 0
    for found in re.finditer(r"^```python\n(.*?)^```$", PAGE, re.S | re.M):
        code, line = found.group(1), PAGE[: found.start()].count("\n") + 1
        blocks += 1
        if not code.startswith(">>>"):
            exec(compile(code, f"keras.md:{line}", "exec"), names)
            continue
        test = parser.get_doctest(code, names, f"keras.md:{line}", "keras.md", line)
        failed, tried = runner.run(test, clear_globs=False)
        assert not failed and tried, f"example at line {line}: {capsys.readouterr().out}"
    assert blocks >= 15
    assert "epoch 1: " in capsys.readouterr().out


def test_its_pictures_are_there():
    for name in re.findall(r"!\[[^]]*\]\((images/[^)]+)\)", PAGE):
        data = (DOCS / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) < 200_000
