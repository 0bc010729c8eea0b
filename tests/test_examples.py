"""The examples run as a user would run them and reach what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import headrace as hr

EXAMPLES = Path(hr.__file__).parent / "examples"


@pytest.mark.processes
@pytest.mark.slow
def test_digits_trains_from_files_to_97_percent(tmp_path):
    pytest.importorskip("sklearn", reason="needs the extra `demo`")
    pytest.importorskip("matplotlib", reason="needs the extra `demo`")
    command = [
        sys.executable,
        "-W",
        "error",
        str(EXAMPLES / "digits.py"),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("*.tfrecord"))) == 8
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "digits.weights.h5").exists()
    for said in ("label", "tf_record", "accuracy", "bottleneck", "again"):
        assert said in done.stdout, f"{said!r} is missing from the output"


@pytest.mark.processes
@pytest.mark.slow
def test_parquet_trains_resumes_and_writes(tmp_path):
    command = [
        sys.executable,
        "-W",
        "error",
        str(EXAMPLES / "parquet.py"),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "dear.parquet").exists()
    for said in ("4 of 20 columns", "row groups with distance_km > 0.5", "resumed", "written"):
        assert said in done.stdout, f"{said!r} is missing from the output"


@pytest.mark.processes
def test_images_are_written_read_and_shown(tmp_path):
    command = [sys.executable, "-W", "error", str(EXAMPLES / "images.py")]
    command += ["--out", str(tmp_path), "--images", "100"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "thumbnail.png").read_bytes().startswith(b"\x89PNG")
    for said in ("by the block", "epoch 2: 100 images", "mean of the last batch"):
        assert said in done.stdout, f"{said!r} is missing from the output"
