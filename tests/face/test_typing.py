"""What a type checker makes of a user's script: operators known, wrong names found."""

import subprocess
import sys
from pathlib import Path

import pytest

import headrace as hr

SCRIPT = """
import headrace as hr

x = hr.constant([1.0, 2.0]) + 1
y: hr.Tensor = -x[0] * 2 / hr.nn.softmax(x)
v = hr.Variable(1.0)
with hr.GradientTape() as tape:
    loss: hr.Tensor = hr.reduce_sum(v * v + 1)
dataset: hr.data.Dataset = hr.data.Dataset.range(3).map(lambda e: e + 1).batch(2)
model: hr.keras.Model = hr.keras.Sequential([hr.keras.layers.Dense(3)])
strategy: hr.distribute.Strategy = hr.distribute.get_strategy()
s: hr.Tensor = hr.strings.length("a")
"""


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        pytest.param("", None, id="right"),
        pytest.param("hr.reduce_meen(x)", "has no attribute", id="wrong-name"),
        pytest.param("hr.nn.softmaxx(x)", "has no attribute", id="wrong-name-of-a-namespace"),
        pytest.param("n: int = hr.add(1, 2)", "Incompatible types", id="wrong-type"),
    ],
)
def test_mypy_reads_the_face(tmp_path, addition, complaint):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "headrace").symlink_to(Path(hr.__file__).parent)
    (tmp_path / "script.py").write_text(SCRIPT + addition + "\n")
    command = [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent"]
    command += [f"--cache-dir={Path(hr.__file__).parent / '.mypy_cache' / 'scripts'}"]
    done = subprocess.run(
        [*command, "script.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(tmp_path / "path")},
        capture_output=True,
        text=True,
        check=False,
    )
    if complaint is None:
        assert done.returncode == 0, done.stdout
    else:
        assert complaint in done.stdout
